"""Match the subject's parameters, and the order of their axes, to the reference's, either as declared or by inference.

A declaration reads from the subject to the reference: ``{"W": "weight: i o -> o i"}`` says that the subject's ``W`` is the reference's ``weight``
with its axes swapped; ``{"b": "bias"}`` says that the axes have the same order. For the other parameters, all ways to pair them and to order their
axes are tried, and exactly one way must fit the shapes. If several fit, as with a square matrix, the error lists them.

Running statistics are matched as declared, or by name and shape. A layer may also have other arrays, such as a cache for its backward pass, and it
may have no statistics at all. Statistics of the reference without a match are not compared, and the report says why.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np

from crosscheck.adapters.convention import Instance
from crosscheck.adapters.layout import Layout, LayoutError, Parameter
from crosscheck.adapters.naming import PARAMETERS, same_name, same_statistic
from crosscheck.core.operation import Shape

LayerShapes = Mapping[str, Mapping[str, Shape]]
"""For each layer of a network, the shapes of its parameters by name."""

_AXES = "abcdefgh"


class MappingError(ValueError):
    """The subject's parameters cannot be mapped to the reference's, or can be mapped in several ways."""


@dataclass(frozen=True)
class Way:
    """One way to map a parameter of the subject to a parameter of the reference."""

    name: str
    reference: str
    pattern: str
    """The einops pattern from the subject's axes to the reference's; empty if the order is the same."""

    @property
    def declared(self) -> str:
        """The declaration that a user would write for this mapping."""
        return f"{self.reference}: {self.pattern}" if self.pattern else self.reference

    def __str__(self) -> str:
        return f"{self.name} is {self.declared}"


def parse(name: str, declaration: str, sizes: Mapping[str, int], where: str = "params") -> Parameter:
    """Parse the declaration of a parameter or buffer; ``where`` is the name of the user's argument that contains it.

    Raises
    ------
    MappingError
        If the declaration is not ``NAME`` or ``NAME: PATTERN``.
    """
    reference, colon, pattern = (part.strip() for part in str(declaration).partition(":"))
    if not isinstance(declaration, str) or "->" in reference or not reference or (colon and not pattern):
        raise MappingError(f"{where}[{name!r}] is {declaration!r}, expected 'NAME' or 'NAME: PATTERN', such as 'weight: i o -> o i'")
    try:
        return Parameter(reference, Layout(pattern, sizes))
    except LayoutError as error:
        raise MappingError(f"{where}[{name!r}]: {error}") from error


def mapped(
    subject: Mapping[str, Shape | None], reference: Mapping[str, Shape] | None, declared: Mapping[str, str], sizes: Mapping[str, int]
) -> tuple[dict[str, Parameter], list[str]]:
    """Return the parameters by the subject's names, and a list of sentences that say what was inferred.

    Parameters
    ----------
    subject : mapping
        The shapes of the subject's parameters by name; None for an argument of a function, which has no shape.
    reference : mapping or None
        The shapes of the reference's parameters by name; None if the reference is a function, which takes parameters of any shape.
    declared, sizes : mapping
        As :attr:`crosscheck.Pair.params` and :attr:`crosscheck.Pair.sizes`.

    Raises
    ------
    MappingError
        If a name is unknown, or not exactly one way fits.
    """
    known = ", ".join(subject) or "none"
    for name in declared:
        if name not in subject:
            raise MappingError(f"params has the key {name!r}, expected a parameter of your code: {known}{_nearest(name, subject)}")
    result = {name: parse(name, declaration, sizes) for name, declaration in declared.items()}
    for name, parameter in result.items():
        if reference is not None and parameter.name not in reference:
            names = ", ".join(reference) or "none"
            hint = _nearest(parameter.name, reference)
            raise MappingError(f"params[{name!r}] is {parameter.name!r}, expected a parameter of the reference: {names}{hint}")
    taken = [parameter.name for parameter in result.values()]
    if twice := [name for name in taken if taken.count(name) > 1]:
        both = ", ".join(repr(name) for name, parameter in result.items() if parameter.name == twice[0])
        raise MappingError(f"params maps {both} to the same parameter of the reference, {twice[0]!r}; map each to a different one")
    left = [name for name in subject if name not in result]
    if reference is None:
        if left:
            missing = ", ".join(map(repr, left))
            raise MappingError(f"the reference is a function, so that its parameters have no shapes to match; declare {missing}:\n{_example(left)}")
        return result, []
    free = [name for name in reference if name not in taken]
    if len(left) != len(free):
        raise MappingError(_not_as_many(known, reference, left, free))
    ours, theirs = {name: subject[name] for name in left}, {name: reference[name] for name in free}
    identical = ours == theirs and len(ours) > 1
    ways = [tuple(Way(name, name, "") for name in ours)] if identical else list(itertools.islice(_ways(ours, theirs), 9))
    if len(ways) != 1:
        raise MappingError(_not_one(ways, ours, theirs))
    result |= {way.name: Parameter(way.reference, Layout(way.pattern)) for way in ways[0]}
    alike = [way.name for way in ways[0] if way.declared == way.name]
    found = [f"same name and shape as in the reference: {', '.join(alike)}"] if alike else []
    return {name: result[name] for name in subject}, [*found, *(str(way) for way in ways[0] if way.name not in alike)]


def _nearest(name: str, known: Iterable[str]) -> str:
    """Return a suggestion of the most similar name; empty if none is similar."""
    near = get_close_matches(name, known, 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _ways(subject: Mapping[str, Shape | None], reference: Mapping[str, Shape]) -> Iterator[tuple[Way, ...]]:
    """Yield every way to pair the parameters and order their axes. If exactly one parameter has a matching name, only that one is tried."""
    if not subject:
        yield ()
        return
    (name, shape), *others = subject.items()
    named = [other for other in reference if same_name(name, other, PARAMETERS)]
    for partner in named if len(named) == 1 else reference:
        rest = {other: expected for other, expected in reference.items() if other != partner}
        for way in _ways_of(name, shape, partner, reference[partner]):
            yield from ((way, *following) for following in _ways(dict(others), rest))


def _ways_of(name: str, shape: Shape | None, partner: str, expected: Shape) -> list[Way]:
    """Return the ways to order a parameter's axes that give the expected shape.

    An axis of length 1 may be anywhere, or missing on either side, as in a bias of shape ``(1, n)``.
    """
    if shape is None:
        orders = itertools.permutations(range(len(expected)))
        return [Way(name, partner, "" if list(order) == sorted(order) else _pattern(expected, order, expected)) for order in orders]
    long = [axis for axis, size in enumerate(shape) if size != 1]
    sizes = [size for size in expected if size != 1]
    found = [order for order in itertools.permutations(long) if [shape[axis] for axis in order] == sizes]
    return [Way(name, partner, "" if shape == expected and list(order) == long else _pattern(shape, order, expected)) for order in found]


def _pattern(shape: Shape, order: Sequence[int], expected: Shape) -> str:
    """Return the einops pattern that puts the axes of a shape into the given order; axes that are not in ``order`` have length 1."""
    own = [_AXES[axis] if axis in order else "1" for axis in range(len(shape))]
    moved = iter(order)
    theirs = [_AXES[next(moved)] if size != 1 or len(order) == len(expected) else "1" for size in expected]
    return f"{' '.join(own)} -> {' '.join(theirs)}"


def _not_as_many(known: str, reference: Mapping[str, Shape], left: Sequence[str], free: Sequence[str]) -> str:
    heading = f"your code has the parameters {known}; the reference has {', '.join(reference) or 'none'}"
    if len(left) > len(free):
        return (
            f"{heading}: {len(left) - len(free)} too many in your code; declare which of them are parameters, such as "
            f"params={{{left[0]!r}: {next(iter(reference), 'NAME')!r}}}; "
            "an argument of a function that is not a parameter belongs in Functions(..., extra=[...])"
        )
    missing = ", ".join(map(repr, free))
    return (
        f"{heading}: nothing in your code is left for {missing}; declare its name in your code, such as params={{'NAME': {free[0]!r}}}, "
        "or leave it out of the reference (bias=False)"
    )


def _not_one(ways: Sequence[tuple[Way, ...]], subject: Mapping[str, Shape | None], reference: Mapping[str, Shape]) -> str:
    def shapes(params: Mapping[str, Shape | None]) -> str:
        return ", ".join(f"{name} {'(an argument)' if shape is None else shape}" for name, shape in params.items())

    heading = f"your code: {shapes(subject)}; reference: {shapes(reference)}"
    if not ways:
        return f"the parameters do not fit the reference's in any order of axes ({heading}); declare how they fit:\n{_example(list(subject))}"
    options = "\n".join("    params={" + ", ".join(f'"{way.name}": "{way.declared}"' for way in chosen) + "}" for chosen in ways[:8])
    more = "\n    ..." if len(ways) > 8 else ""
    return f"the parameters can be mapped in several ways ({heading}); declare one of them:\n{options}{more}"


def _example(names: Sequence[str]) -> str:
    return "    params={" + ", ".join(f'"{name}": "NAME: PATTERN"' for name in names) + '}, such as "weight: i o -> o i"'


def possible_buffers(instance: Instance) -> dict[str, Shape | None]:
    """Return the shapes of all possible buffers of a layer by name; None for an attribute that holds no array before the first forward pass."""

    def may_be(value: Any) -> bool:
        return value is None or (isinstance(value, int | float | np.ndarray | np.generic) and np.asarray(value).dtype.kind in "fi")

    return {name: np.shape(value) or None for name, value in instance.buffers().items() if may_be(value)}


def mapped_buffers(
    own: Mapping[str, Shape | None], expected: Mapping[str, Shape], declared: Mapping[str, str], sizes: Mapping[str, int]
) -> tuple[dict[str, Parameter], list[str], dict[str, str]]:
    """Return the subject's matched buffers by name, sentences on what was inferred, and why the reference's other statistics are not compared.

    Parameters
    ----------
    own, expected : mapping
        The shapes of all possible buffers of the subject (None if there is no array yet), and of the reference's statistics, by name.
    declared, sizes : mapping
        As :attr:`crosscheck.Pair.buffers` and :attr:`crosscheck.Pair.sizes`.

    Raises
    ------
    MappingError
        If a declaration has a name that the subject or the reference does not have.
    """
    result = {name: parse(name, declaration, sizes, "buffers") for name, declaration in declared.items()}
    for name, buffer in result.items():
        if name not in own:
            raise MappingError(f"buffers has the key {name!r}, expected an attribute or buffer of your code: {', '.join(own) or 'none'}")
        if buffer.name not in expected:
            raise MappingError(f"buffers[{name!r}] is {buffer.name!r}, expected a statistic of the reference: {', '.join(expected) or 'none'}")
    inferred, absent, taken = [], {}, {buffer.name for buffer in result.values()}
    left = [name for name in own if name not in result]
    for theirs, shape in expected.items():
        if theirs in taken:
            continue
        ways = [way for name in left if same_statistic(name, theirs) for way in _ways_of(name, own[name], theirs, shape)]
        others = [other for other in expected if other != theirs and same_statistic(other, theirs)]
        if len(ways) == 1 and not others:
            result[ways[0].name] = Parameter(theirs, Layout(ways[0].pattern))
            inferred.append(str(ways[0]))
        else:
            found = f"{'several arrays' if ways else 'no array'} with the name and shape of {theirs} {shape}"
            absent[theirs] = f"not compared: your code has {found}; declare buffers={{'NAME': {theirs!r}}}"
    return result, inferred, absent
