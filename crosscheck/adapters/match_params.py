"""Match the subject's parameters, and the order of their axes, to the reference's, either as declared or by inference.

A declaration reads from the subject to the reference: ``{"W": "weight: i o -> o i"}`` says that the subject's ``W`` is the reference's ``weight``
with its axes swapped; ``{"b": "bias"}`` says that the axes have the same order. For the other parameters, all ways to pair them and to order their
axes are tried, and exactly one way must fit the shapes. If several fit, as with a square matrix, the error lists them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

from crosscheck.adapters.layout import Layout, LayoutError, Parameter
from crosscheck.adapters.mapping_errors import not_as_many, not_one, other_than_names, unknown_key, unknown_parameter, without_shapes
from crosscheck.adapters.match_ways import Way, Ways, has_one_layout, parameters, ways
from crosscheck.core.operation import Shape

LayerShapes = Mapping[str, Mapping[str, Shape]]
"""For each layer of a network, the shapes of its parameters by name."""


class MappingError(ValueError):
    """The subject's parameters cannot be mapped to the reference's, or can be mapped in several ways."""


Agrees = Callable[[Mapping[str, Parameter]], bool]
"""Whether the subject's output agrees with the reference's if its parameters are mapped in this way."""

_MOST_TRIED = 64
"""The largest number of ways that are tried on an input."""


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
    subject: Mapping[str, Shape | None],
    reference: Mapping[str, Shape] | None,
    declared: Mapping[str, str],
    sizes: Mapping[str, int],
    *,
    agrees: Agrees | None = None,
    kernel_last: bool = False,
    no_params: Callable[[Sequence[str]], str] | None = None,
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
    agrees : callable, optional
        Tries a mapping on one input. Without it, nothing is tried.
    kernel_last : bool
        As for :func:`crosscheck.adapters.match_ways.ways`.
    no_params : callable, optional
        Returns the line that declares that arguments of a function are no parameters, for an error.

    Raises
    ------
    MappingError
        If a name is unknown, or it cannot be told which of several ways is meant.
    """
    result = _declared(subject, reference, declared, sizes)
    left = [name for name in subject if name not in result]
    if reference is None:
        if left:
            raise MappingError(without_shapes(left, declared))
        return result, []
    taken = {parameter.name for parameter in result.values()}
    ours, theirs = {name: subject[name] for name in left}, {name: shape for name, shape in reference.items() if name not in taken}
    if result and not theirs and None not in ours.values():
        # All parameters are declared; what is left are other arrays.
        return result, [f"not compared, the reference has no such parameter: {name}" for name in ours]
    if len(ours) != len(theirs):
        raise MappingError(not_as_many(subject, reference, ours, theirs, declared, no_params))
    found, words = _inferred(ours, theirs, declared, result, agrees, kernel_last)
    return {name: (result | parameters(found))[name] for name in subject}, words


def _declared(
    subject: Mapping[str, Shape | None], reference: Mapping[str, Shape] | None, declared: Mapping[str, str], sizes: Mapping[str, int]
) -> dict[str, Parameter]:
    """Return the declared parameters by the subject's names."""
    for name in declared:
        if name not in subject:
            raise MappingError(unknown_key(name, declared, subject))
    result = {name: parse(name, declaration, sizes) for name, declaration in declared.items()}
    for name, parameter in result.items():
        if reference is not None and parameter.name not in reference:
            raise MappingError(unknown_parameter(name, parameter.name, declared, reference))
    taken = [parameter.name for parameter in result.values()]
    if twice := [name for name in taken if taken.count(name) > 1]:
        both = ", ".join(repr(name) for name, parameter in result.items() if parameter.name == twice[0])
        raise MappingError(f"params maps {both} to the same parameter of the reference, {twice[0]!r}; map each to a different one")
    return result


def _inferred(
    ours: Mapping[str, Shape | None],
    theirs: Mapping[str, Shape],
    declared: Mapping[str, str],
    known: Mapping[str, Parameter],
    agrees: Agrees | None,
    kernel_last: bool,
) -> tuple[Ways, list[str]]:
    """Return the only way to map parameters, and sentences that report it.

    Equal names and shapes on both sides are the mapping, and so is the only way that shapes, names and usual layouts leave. Otherwise, the ways are
    tried on one input, and the only one with which the output agrees is the mapping. If equal names and shapes say one way, and the output agrees
    with another order of the axes, this is an error: it may be a slip, or another layout. It is a slip if another parameter can only be in the
    reference's layout, because one author uses one layout.
    """
    mirrored = ours == theirs and any(has_one_layout(shape, kernel_last) for shape in theirs.values())
    possible = [] if mirrored else list(itertools.islice(ways(ours, theirs, kernel_last), _MOST_TRIED + 1))
    chosen = tuple(Way(name, name, "") for name in ours) if ours == theirs else possible[0] if len(possible) == 1 else None
    tried = list[Ways]()
    if agrees is not None and 1 < len(possible) <= _MOST_TRIED and (chosen is None or not agrees({**known, **parameters(chosen)})):
        tried = [way for way in possible if way != chosen and agrees({**known, **parameters(way)})]
    if chosen is not None and tried:
        raise MappingError(other_than_names([chosen, *tried], ours, theirs, declared))
    if chosen is None and len(tried) != 1:
        raise MappingError(not_one(tried or possible, ours, theirs, declared, None if agrees is None or len(possible) > _MOST_TRIED else len(tried)))
    found = tried[0] if chosen is None else chosen
    same = [way.name for way in found if way.declared == way.name]
    words = [f"same name and shape as in the reference: {', '.join(same)}"] if same else []
    words += [str(way) for way in found if way.name not in same]
    if chosen is None:
        words.append(f"of {len(possible)} ways to map the parameters, only this one gives the reference's output")
    return found, words
