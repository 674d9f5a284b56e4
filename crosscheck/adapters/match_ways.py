"""The ways to pair the subject's parameters with the reference's and to order their axes, as far as shapes and names allow them, the likeliest first.

Of all orders of axes that fit a shape, only layouts that people use count:

- The axes of a convolution's kernel, those after the first two of a PyTorch weight, stay together and in their order. Height and width of equal
  lengths are not exchanged, but the axes of inputs and outputs may be, and they may be before or after the kernel.
- One author uses one layout: where the shapes of several parameters allow several orders, all of these parameters with the same number of axes have
  the same order.
- Parameters whose names mean the same are paired, if their shapes fit.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from crosscheck.adapters.layout import Layout, Parameter
from crosscheck.adapters.naming import alike
from crosscheck.core.operation import Shape

Order = tuple[int, ...]
"""For each axis of the reference that is longer than 1, the subject's axis."""

_AXES = "abcdefgh"


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


Ways = tuple[Way, ...]
"""A way for each parameter."""


def parameters(chosen: Ways) -> dict[str, Parameter]:
    """Return the parameters by the subject's names."""
    return {way.name: Parameter(way.reference, Layout(way.pattern)) for way in chosen}


def ways(subject: Mapping[str, Shape | None], reference: Mapping[str, Shape], kernel_last: bool = False) -> Iterator[Ways]:
    """Yield the ways to map parameters; if names pair some of them and the shapes fit, only ways with these pairs.

    Parameters
    ----------
    subject, reference : mapping
        The shapes by name; the subject's is None for an argument of a function.
    kernel_last : bool
        Whether the reference's axes after the first two are those of a kernel, as PyTorch's are.
    """
    named = alike(subject, reference)
    found = _with_pairs(subject, reference, named, kernel_last)
    first = next(found, None)
    if first is not None:
        yield first
        yield from found
    elif named:
        yield from _with_pairs(subject, reference, {}, kernel_last)


def _with_pairs(subject: Mapping[str, Shape | None], reference: Mapping[str, Shape], named: Mapping[str, str], kernel_last: bool) -> Iterator[Ways]:
    for pairs in _pairings(subject, reference, named):
        orders = {name: orders_of(subject[name], reference[partner], kernel_last) for name, partner in pairs.items()}
        for chosen in _consistent(orders, {name: len(reference[partner]) for name, partner in pairs.items()}):
            yield tuple(way_of(name, subject[name], partner, reference[partner], chosen[name]) for name, partner in pairs.items())


def _pairings(subject: Mapping[str, Shape | None], reference: Mapping[str, Shape], named: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yield every way to pair the parameters such that the shapes fit."""
    if not subject:
        yield {}
        return
    (name, shape), *others = subject.items()
    taken = {*named.values()}
    for partner in [named[name]] if name in named else [other for other in reference if other not in taken]:
        if orders_of(shape, reference[partner]):
            rest = {other: expected for other, expected in reference.items() if other != partner}
            following = {other: one for other, one in named.items() if other != name}
            yield from ({name: partner, **pairs} for pairs in _pairings(dict(others), rest, following))


def _consistent(orders: Mapping[str, Sequence[Order]], axes: Mapping[str, int]) -> Iterator[dict[str, Order]]:
    """Yield choices of an order for each parameter; those with several orders and the same number of axes have the same, if they can."""
    fixed = {name: found[0] for name, found in orders.items() if len(found) == 1}
    groups = list[list[dict[str, Order]]]()
    for count in sorted({axes[name] for name in orders if name not in fixed}):
        group = {name: found for name, found in orders.items() if name not in fixed and axes[name] == count}
        common = [order for order in next(iter(group.values())) if all(order in found for found in group.values())]
        alone = (dict(zip(group, chosen, strict=True)) for chosen in itertools.product(*group.values()))
        groups.append([dict.fromkeys(group, order) for order in common] or list(itertools.islice(alone, 1000)))
    for chosen in itertools.product(*groups):
        yield fixed | {name: order for part in chosen for name, order in part.items()}


def orders_of(shape: Shape | None, expected: Shape, kernel_last: bool = False) -> list[Order]:
    """Return the orders of a parameter's axes that give the expected shape, the identity first.

    An axis of length 1 may be anywhere, or missing on either side, as in a bias of shape ``(1, n)``. An argument of a function, without a shape, may
    have its axes in any order.
    """
    if shape is None:
        found, places = list(itertools.permutations(range(len(expected)))), list(range(len(expected)))
    else:
        places = [axis for axis, size in enumerate(expected) if size != 1]
        own = [axis for axis, size in enumerate(shape) if size != 1]
        sizes = [expected[axis] for axis in places]
        found = [order for order in itertools.permutations(own) if [shape[axis] for axis in order] == sizes] if len(own) == len(sizes) else []
    usual = [order for order in found if _is_usual(order, places)] if kernel_last else found
    return usual or found


def has_one_layout(shape: Shape, kernel_last: bool = False) -> bool:
    """Return whether a shape shows the layout of its parameter: it has several axes, which have only one order."""
    return sum(size != 1 for size in shape) > 1 and len(orders_of(shape, shape, kernel_last)) == 1


def _is_usual(order: Order, places: Sequence[int]) -> bool:
    """Return whether the axes of the kernel stay together and in their order; ``places`` are the reference's axes."""
    kernel = [axis for axis, place in zip(order, places, strict=True) if place >= 2]
    return not kernel or kernel == [axis for axis in sorted(order) if kernel[0] <= axis <= kernel[-1]]


def way_of(name: str, shape: Shape | None, partner: str, expected: Shape, order: Order) -> Way:
    """Return the way to map a parameter with an order of its axes."""
    own = expected if shape is None else shape
    same = list(order) == sorted(order) and (shape is None or shape == expected)
    return Way(name, partner, "" if same else _pattern(own, order, expected))


def ways_of(name: str, shape: Shape | None, partner: str, expected: Shape) -> list[Way]:
    """Return all ways to order the axes of one parameter, or one buffer."""
    return [way_of(name, shape, partner, expected, order) for order in orders_of(shape, expected)]


def _pattern(shape: Shape, order: Order, expected: Shape) -> str:
    """Return the einops pattern that puts the axes of a shape into the given order; axes that are not in ``order`` have length 1."""
    own = [_AXES[axis] if axis in order else "1" for axis in range(len(shape))]
    moved = iter(order)
    theirs = [_AXES[next(moved)] if size != 1 or len(order) == len(expected) else "1" for size in expected]
    return f"{' '.join(own)} -> {' '.join(theirs)}"
