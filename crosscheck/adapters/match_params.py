"""Which parameter is which, and how its axes are ordered: as declared, or where there is exactly one way.

A declaration reads from the subject to the reference: ``{"W": "weight: i o -> o i"}`` says that the subject's ``W`` is the reference's ``weight``,
which has its axes the other way round; ``{"b": "bias"}`` that both order them alike. What is not declared is tried: of all ways to pair what is left
and to order its axes exactly one has to fit the shapes. If several do, and a square matrix is enough for that, the error lists them.

Running statistics are matched as declared, or by name and shape. A layer may have other arrays beside them, such as those that it keeps for its
backward pass, and may show no statistics at all; then they are not compared, with the reason.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crosscheck.adapters.convention import Instance
from crosscheck.adapters.layout import Layout, LayoutError, Parameter
from crosscheck.core.operation import Shape

LayerShapes = Mapping[str, Mapping[str, Shape]]
"""The layers of a network, each with the shapes of its parameters by name."""

_PARAMETERS = (
    {"weight", "weights", "w", "kernel", "kernels", "filter", "filters", "filt", "f", "gamma"},
    {"bias", "biases", "b", "beta"},
)
"""Names in use for one and the same parameter."""

_STATISTICS = (
    {"running_mean", "moving_mean", "run_mean", "mean_running", "global_mean"},
    {"running_var", "running_variance", "moving_var", "moving_variance", "run_var", "var_running", "global_var"},
)
"""Names in use for one and the same running statistic."""

_AXES = "abcdefgh"


class MappingError(ValueError):
    """Parameters cannot be mapped in exactly one way."""


@dataclass(frozen=True)
class Way:
    """One way to map a parameter of the subject."""

    name: str
    reference: str
    pattern: str
    """In einops' notation; empty where the axes are ordered alike."""

    @property
    def declared(self) -> str:
        """As one would declare it."""
        return f"{self.reference}: {self.pattern}" if self.pattern else self.reference

    def __str__(self) -> str:
        return f"{self.name} is {self.declared}"


def parse(name: str, declaration: str, sizes: Mapping[str, int], where: str = "params") -> Parameter:
    """Return a declared parameter, or what else is declared as one, in an argument called ``where``.

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
    """Return the parameters by the subject's names, and in words what was inferred.

    Parameters
    ----------
    subject : mapping
        Shapes by name, None where a parameter is an argument without a shape of its own.
    reference : mapping or None
        Shapes by name; None where the reference is a function that takes any.
    sizes : mapping
        Of axes inside parentheses.

    Raises
    ------
    MappingError
        If names are unknown or there is not exactly one way.
    """
    known = ", ".join(subject) or "none"
    for name in declared:
        if name not in subject:
            raise MappingError(f"params names {name!r}, but the subject's parameters are: {known}")
    result = {name: parse(name, declaration, sizes) for name, declaration in declared.items()}
    for name, parameter in result.items():
        if reference is not None and parameter.name not in reference:
            raise MappingError(f"params[{name!r}] names {parameter.name!r}, but the reference's parameters are: {', '.join(reference) or 'none'}")
    taken = [parameter.name for parameter in result.values()]
    if twice := [name for name in taken if taken.count(name) > 1]:
        raise MappingError(f"params maps two parameters to {twice[0]!r}")
    left = [name for name in subject if name not in result]
    if reference is None:
        if left:
            missing = ", ".join(map(repr, left))
            raise MappingError(f"the reference is a function, whose parameters have no shapes; declare {missing}:\n{_example(left)}")
        return result, []
    free = [name for name in reference if name not in taken]
    if len(left) != len(free):
        raise MappingError(_not_as_many(known, reference, left, free))
    ours, theirs = {name: subject[name] for name in left}, {name: reference[name] for name in free}
    ways = list(itertools.islice(_ways(ours, theirs), 9))
    if len(ways) != 1:
        raise MappingError(_not_one(ways, ours, theirs))
    result |= {way.name: Parameter(way.reference, Layout(way.pattern)) for way in ways[0]}
    return {name: result[name] for name in subject}, [str(way) for way in ways[0]]


def _ways(subject: Mapping[str, Shape | None], reference: Mapping[str, Shape]) -> Iterator[tuple[Way, ...]]:
    """Yield every way to pair the parameters and order their axes; a name in use for exactly one of the reference's decides the partner."""
    if not subject:
        yield ()
        return
    (name, shape), *others = subject.items()
    named = [other for other in reference if _same_name(name, other, _PARAMETERS)]
    for partner in named if len(named) == 1 else reference:
        rest = {other: expected for other, expected in reference.items() if other != partner}
        for way in _ways_of(name, shape, partner, reference[partner]):
            yield from ((way, *following) for following in _ways(dict(others), rest))


def _same_name(name: str, other: str, known: Sequence[set[str]]) -> bool:
    name, other = name.lower(), other.lower()
    return name == other or any(name in names and other in names for names in known)


def _ways_of(name: str, shape: Shape | None, partner: str, expected: Shape) -> list[Way]:
    """Return the orders of the axes that give the expected shape.

    An axis of length 1 fits anywhere, and may be missing on either side, as in a bias of shape ``(1, n)``.
    """
    if shape is None:
        orders = itertools.permutations(range(len(expected)))
        return [Way(name, partner, "" if list(order) == sorted(order) else _pattern(expected, order, expected)) for order in orders]
    long = [axis for axis, size in enumerate(shape) if size != 1]
    sizes = [size for size in expected if size != 1]
    found = [order for order in itertools.permutations(long) if [shape[axis] for axis in order] == sizes]
    return [Way(name, partner, "" if shape == expected and list(order) == long else _pattern(shape, order, expected)) for order in found]


def _pattern(shape: Shape, order: Sequence[int], expected: Shape) -> str:
    """Return the pattern that brings the axes of a shape into an order; those that are left out have length 1."""
    own = [_AXES[axis] if axis in order else "1" for axis in range(len(shape))]
    moved = iter(order)
    theirs = [_AXES[next(moved)] if size != 1 or len(order) == len(expected) else "1" for size in expected]
    return f"{' '.join(own)} -> {' '.join(theirs)}"


def _not_as_many(known: str, reference: Mapping[str, Shape], left: Sequence[str], free: Sequence[str]) -> str:
    heading = f"the subject's parameters are {known}; the reference's are {', '.join(reference) or 'none'}"
    if len(left) > len(free):
        return (
            f"{heading}: {len(left) - len(free)} too many; name those that are parameters, such as "
            f"params={{{left[0]!r}: {next(iter(reference), 'NAME')!r}}}; "
            "an argument of a function that is no parameter goes into Functions(..., extra=[...])"
        )
    missing = ", ".join(map(repr, free))
    return f"{heading}: {len(free) - len(left)} too few to be {missing}; name what the subject calls it, or take it out of the reference (bias=False)"


def _not_one(ways: Sequence[tuple[Way, ...]], subject: Mapping[str, Shape | None], reference: Mapping[str, Shape]) -> str:
    def shapes(params: Mapping[str, Shape | None]) -> str:
        return ", ".join(f"{name} {'(an argument)' if shape is None else shape}" for name, shape in params.items())

    heading = f"subject {shapes(subject)}; reference {shapes(reference)}"
    if not ways:
        return f"no order of axes makes the subject's parameters fit the reference's: {heading}; declare how:\n{_example(list(subject))}"
    options = "\n".join("    params={" + ", ".join(f'"{way.name}": "{way.declared}"' for way in chosen) + "}" for chosen in ways[:8])
    more = "\n    ..." if len(ways) > 8 else ""
    return f"the parameters can be mapped in several ways ({heading}); say which one:\n{options}{more}"


def _example(names: Sequence[str]) -> str:
    return "    params={" + ", ".join(f'"{name}": "NAME: PATTERN"' for name in names) + '}, such as "weight: i o -> o i"'


def same_statistic(name: str, other: str) -> bool:
    """Return whether two names, either of which may be that of a module's part (``bn.running_mean``), are in use for the same running statistic."""
    return _same_name(name.rpartition(".")[2], other.rpartition(".")[2], _STATISTICS)


def kept_by(instance: Instance) -> dict[str, Shape | None]:
    """Return the shapes of the arrays that a layer may keep from step to step; None for one that is no array before the first forward pass."""

    def may_be(value: Any) -> bool:
        return value is None or (isinstance(value, int | float | np.ndarray | np.generic) and np.asarray(value).dtype.kind in "fi")

    return {name: np.shape(value) or None for name, value in instance.buffers().items() if may_be(value)}


def mapped_buffers(
    own: Mapping[str, Shape | None], expected: Mapping[str, Shape], declared: Mapping[str, str], sizes: Mapping[str, int]
) -> tuple[dict[str, Parameter], list[str], dict[str, str]]:
    """Return the statistics by the subject's names, in words what was inferred, and why the others are not compared, by the reference's names.

    Parameters
    ----------
    own, expected : mapping
        Shapes of the subject's candidates and of the reference's statistics by name; None where a candidate is no array yet.
    declared : mapping
        As :attr:`crosscheck.Pair.buffers`.
    sizes : mapping
        Of axes inside parentheses.

    Raises
    ------
    MappingError
        If a declaration names what one of the sides does not have.
    """
    result = {name: parse(name, declaration, sizes, "buffers") for name, declaration in declared.items()}
    for name, buffer in result.items():
        if name not in own:
            raise MappingError(f"buffers names {name!r}, but what the subject keeps is: {', '.join(own) or 'nothing'}")
        if buffer.name not in expected:
            raise MappingError(f"buffers[{name!r}] names {buffer.name!r}, but the reference keeps: {', '.join(expected) or 'nothing'}")
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
            which = "no one that is it" if ways else "none"
            absent[theirs] = f"not compared: of {theirs} {shape} the subject shows {which} by name and shape; say buffers={{'ITS NAME': {theirs!r}}}"
    return result, inferred, absent
