"""Match the parameters of a whole network to those of a reference of any architecture.

Names come first: identical names of equal shapes, then names that mean the same, as ``W2`` and ``fc2.weight``. What is left is matched by order among
the parameters of the same size, or in another order. The order of axes may stay open where lengths are equal, as for a square matrix. All ways are
returned, the likeliest first, so that the loss of a first step can tell which is right.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from crosscheck.adapters.layout import Layout, Parameter
from crosscheck.adapters.match_params import MappingError, parse
from crosscheck.adapters.match_ways import Way, orders_of, way_of
from crosscheck.adapters.naming import STATISTICS, alike
from crosscheck.core.operation import Shape

MOST = 64
"""How many ways to order axes are tried at most, and how many with parameters in another order."""

FEW = 4
"""How many ways to order axes are tried at most with parameters in another order."""

Shapes = Mapping[str, Shape]
Matched = dict[str, Parameter]


def match_network(own: Shapes, expected: Shapes, declared: Mapping[str, str], sizes: Mapping[str, int], absent: Sequence[str] = ()) -> list[Matched]:
    """Return the ways in which a network's parameters may correspond to the reference's, the likeliest first.

    Parameters
    ----------
    own, expected : mapping of str to tuple of int
        The shapes of the parameters by name.
    declared, sizes : mapping
        As ``names`` and ``sizes`` of :class:`~crosscheck.adapters.whole_step.WholeStep`.
    absent : sequence of str
        Parameters of the reference that the network need not have.

    Raises
    ------
    MappingError
        If a name is unknown, or a parameter has no counterpart. The message ends with the line to add.
    """
    known = _declared(own, expected, declared, sizes)
    taken = {parameter.name for parameter in known.values()}
    ours = {name: shape for name, shape in own.items() if name not in known}
    theirs = {name: shape for name, shape in expected.items() if name not in taken}
    needed = {name: shape for name, shape in theirs.items() if name not in absent}
    found = list[Matched]()
    for partners in _partners(ours, needed) or _partners(ours, theirs):
        options = {name: _ways(name, ours[name], partner, theirs[partner]) for name, partner in partners.items()}
        choices = itertools.islice(_choices(options, own), FEW if found else MOST)
        found += [known | {way.name: Parameter(way.reference, Layout(way.pattern)) for way in ways} for ways in choices]
    if not found:
        raise MappingError(_no_partners(ours, theirs))
    return [{name: params[name] for name in own if name in params} for params in found]


def _declared(own: Shapes, expected: Shapes, declared: Mapping[str, str], sizes: Mapping[str, int]) -> Matched:
    known = {name: parse(name, text, sizes, "names") for name, text in declared.items()}
    for name, parameter in known.items():
        if name not in own:
            raise MappingError(f"names has the key {name!r}, expected a parameter of your code: {', '.join(own) or 'none'}")
        if parameter.name not in expected:
            raise MappingError(f"names[{name!r}] is {parameter.name!r}, expected a parameter of the reference: {', '.join(expected) or 'none'}")
    return known


def _partners(ours: Shapes, theirs: Shapes) -> list[dict[str, str]]:
    """Return the likely choices of the reference's parameter for each of ours, the likeliest first; empty if there is none.

    Names come first, and then the order among those of the same size.
    """
    if len(ours) != len(theirs):
        return []
    if dict(ours) == dict(theirs):
        return [{name: name for name in ours}]
    by_name = alike(ours, theirs)
    found = {name: other for name, other in by_name.items() if _ways(name, ours[name], other, theirs[other])}
    for known in (found, {}):
        left, free = ([name for name in every if name not in used] for every, used in ((ours, known), (theirs, set(known.values()))))
        groups = list(zip(_by_size(left, ours), _by_size(free, theirs), strict=False))
        if all(len(mine) == len(its) for mine, its in groups) and len(known) + sum(len(mine) for mine, _ in groups) == len(ours):
            chosen = [known | one for one in itertools.islice(_orders(groups, ours, theirs), 1 + MOST // FEW)]
            if fitting := [one for one in chosen if all(_ways(name, ours[name], other, theirs[other]) for name, other in one.items())]:
                return fitting
    return []


Group = tuple[list[str], list[str]]
"""Parameters of the same size, ours and theirs."""


def _orders(groups: Sequence[Group], ours: Shapes, theirs: Shapes) -> Iterator[dict[str, str]]:
    """Yield ways to pair the parameters of each group, each once: in order, by equal shapes, in reverse, and with one group in any other order."""
    ordered = [its for _, its in groups]
    straight = [_first_fitting(group, lambda mine, other: ours[mine] == theirs[other]) for group in groups]
    turned = [_first_fitting(group, lambda mine, other: ours[mine] == theirs[other][::-1]) for group in groups]
    single = (
        [*ordered[:at], list(order), *ordered[at + 1 :]]
        for orders in itertools.zip_longest(*(zip(itertools.repeat(at), itertools.permutations(its)) for at, its in enumerate(ordered)))
        for at, order in filter(None, orders)
    )
    seen = list[Any]()
    for every in itertools.chain([ordered, straight, turned, [its[::-1] for its in ordered]], single):
        if every not in seen:
            seen.append(every)
            yield {mine: other for (names, _), its in zip(groups, every, strict=True) for mine, other in zip(names, its, strict=True)}


def _first_fitting(group: Group, fits: Callable[[str, str], bool]) -> list[str]:
    """Return the reference's parameters of a group in the order in which ours get the first free one that fits, or else the first free one."""
    mine, its = group
    free, order = list(its), list[str]()
    for name in mine:
        order.append(next((other for other in free if fits(name, other)), free[0]))
        free.remove(order[-1])
    return order


def _by_size(names: Sequence[str], shapes: Shapes) -> list[list[str]]:
    """Return the names of the parameters with the same lengths of axes, in order, for each such set of lengths."""
    groups = defaultdict[tuple[int, ...], list[str]](list)
    for name in names:
        groups[tuple(sorted(length for length in shapes[name] if length != 1))].append(name)
    return [groups[lengths] for lengths in sorted(groups)]


def _ways(name: str, shape: Shape, partner: str, expected: Shape) -> list[Way]:
    """Return the usual ways to order the axes of a parameter; empty if its lengths are not the reference's."""
    return [way_of(name, shape, partner, expected, order) for order in orders_of(shape, expected, kernel_last=True)]


def _choices(options: Mapping[str, list[Way]], own: Shapes) -> Iterator[tuple[Way, ...]]:
    """Yield one way for each parameter, first those in which parameters with as many axes have them in the same order."""
    votes = Counter((len(own[name]), way.pattern) for name, ways in options.items() for way in ways if len(ways) == 1)
    ordered = {name: sorted(ways, key=lambda way: -votes[len(own[way.name]), way.pattern]) for name, ways in options.items()}
    patterns = dict.fromkeys(way.pattern for ways in ordered.values() if len(ways) > 1 for way in ways)
    first = tuple(ways[0] for ways in ordered.values())
    alike = (tuple(next((way for way in ways if way.pattern == pattern), ways[0]) for ways in ordered.values()) for pattern in patterns)
    every = itertools.chain([first], alike, itertools.product(*ordered.values()))
    yield from itertools.islice(dict.fromkeys(itertools.islice(every, 2 * MOST)), MOST)


def match_statistics(own: Shapes, expected: Shapes, declared: Mapping[str, str]) -> Matched:
    """Return the running statistics that are on both sides: as declared, or those of each kind in order, if there are as many of the same shapes."""
    known = _declared(own, expected, declared, {})
    for kind in STATISTICS:
        mine, its = ([name for name in every if name.rpartition(".")[2].lower() in kind] for every in (own, expected))
        if [own[name] for name in mine] == [expected[name] for name in its]:
            known = {name: Parameter(other, Layout()) for name, other in zip(mine, its, strict=True)} | known
    return known


def _no_partners(ours: Shapes, theirs: Shapes) -> str:
    """Return the message for parameters without counterparts; it ends with the line to add."""

    def shown(shapes: Shapes) -> str:
        return ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "none"

    mine, its = (Counter(_lengths(shape) for shape in every.values()) for every in (ours, theirs))
    heading = f"the parameters do not correspond (your code: {shown(ours)}; reference: {shown(theirs)})"
    missing = next((name for name in reversed(list(theirs)) if _lengths(theirs[name]) in its - mine), next(iter(theirs), "NAME"))
    if not ours:
        return f'{heading}; say what holds your arrays, a dict, a list or an object:\n    WholeStep(step, {{"W1": W1, "b1": b1}})'
    if not mine - its:
        return f'{heading}; if your code does without one of them, hold it at zero in the reference, too:\n    frozen=["{missing}"]'
    odd = next(name for name in ours if _lengths(ours[name]) in mine - its)
    if len(ours) > len(theirs):
        return (
            f'{heading}; some of yours are no parameters: give the others alone:\n    WholeStep(step, lambda: {{"W1": network.W1, "b1": network.b1}})'
        )
    if len(ours) < len(theirs):
        parts = f'"{missing}": {odd.rpartition(".")[2]}[...].reshape{theirs[missing]}'
        return f"{heading}; if one of yours holds several, give its parts, without copying them:\n    WholeStep(step, lambda: {{{parts}, ...}})"
    return f'{heading}; declare those that do not fit by their lengths:\n    names={{"{odd}": "{missing}: PATTERN"}}, such as "weight: i o -> o i"'


def _lengths(shape: Shape) -> tuple[int, ...]:
    return tuple(sorted(length for length in shape if length != 1))
