"""The texts of errors about parameters: what was found, and the lines that declare what may be meant, the likeliest first.

Each line is ready to paste into the pair. It repeats what is declared already, so that nothing is lost.
"""

from __future__ import annotations

import itertools
import math
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches

from crosscheck.adapters.match_ways import Ways, ways
from crosscheck.adapters.naming import alike
from crosscheck.core.operation import Shape

Declared = Mapping[str, str]
Shapes = Mapping[str, Shape]
SomeShapes = Mapping[str, Shape | None]

_MOST = 8
"""The largest number of lines in an error."""


def line(declared: Declared) -> str:
    """Return the line of a pair that declares parameters."""
    return "\n    params={" + ", ".join(f'"{name}": "{declaration}"' for name, declaration in declared.items()) + "}"


def lines_of(found: Iterable[Ways], declared: Declared) -> str:
    """Return the lines that declare ways to map parameters beside what is declared already."""
    shown = [line({**declared, **{way.name: way.declared for way in chosen}}) for chosen in itertools.islice(found, _MOST + 1)]
    return "".join(shown[:_MOST]) + ("\n    ..." if len(shown) > _MOST else "")


def unknown_key(name: str, declared: Declared, subject: SomeShapes) -> str:
    """Return the text for a declared parameter that the subject does not have."""
    known = ", ".join(subject) or "none"
    free = _nearest_first(name, [other for other in subject if other not in declared])
    lines = "".join(line({(other if key == name else key): text for key, text in declared.items()}) for other in free[:_MOST])
    return f"params has the key {name!r}, expected a parameter of your code: {known}{_did_you_mean(name, subject)}{lines}"


def unknown_parameter(name: str, found: str, declared: Declared, reference: Shapes) -> str:
    """Return the text for a declaration that names a parameter that the reference does not have."""
    known = ", ".join(reference) or "none"
    taken = {text.partition(":")[0].strip() for text in declared.values()}
    free = _nearest_first(found, [other for other in reference if other not in taken])
    lines = "".join(line({**declared, name: declared[name].replace(found, other, 1)}) for other in free[:_MOST])
    return f"params[{name!r}] is {found!r}, expected a parameter of the reference: {known}{_did_you_mean(found, reference)}{lines}"


def _nearest_first(name: str, known: Sequence[str]) -> list[str]:
    near = get_close_matches(name, known, len(known)) if known else []
    return [*near, *(other for other in known if other not in near)]


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, known, 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def not_as_many(
    subject: SomeShapes, reference: Shapes, ours: SomeShapes, theirs: Shapes, declared: Declared, no_params: Callable[[Sequence[str]], str] | None
) -> str:
    """Return the text if the subject has more or fewer parameters than the reference; ``ours`` and ``theirs`` are those that are not declared."""
    heading = f"your code has the parameters {', '.join(subject) or 'none'}; the reference has {', '.join(reference) or 'none'}"
    more = len(ours) - len(theirs)
    if more < 0:
        return (
            f"{heading}: nothing in your code is left for {', '.join(map(repr, theirs))}; leave it out of the reference (bias=False), "
            f"or declare its name in your code:{line({**declared, 'NAME': next(iter(theirs))})}"
        )
    if no_params is not None:
        named, last = alike(ours, theirs), list(ours).index
        # The arguments whose names mean no parameter, the last ones first.
        some = sorted(itertools.combinations(ours, more), key=lambda names: (sum(name in named for name in names), -sum(map(last, names))))
        lines = "".join(f"\n    subject={no_params(names)}" for names in some[:_MOST])
        return f"{heading}: {more} too many in your code; declare which arguments are no parameters:{lines}"
    chosen = (dict(some) for some in itertools.combinations(ours.items(), len(theirs))) if theirs else iter(())
    lines = lines_of(itertools.chain.from_iterable(ways(some, theirs) for some in chosen), declared) or line({"NAME": "NAME"})
    return f"{heading}: {more} too many in your code; declare which of them are parameters:{lines}"


def not_one(found: Sequence[Ways], ours: SomeShapes, theirs: Shapes, declared: Declared, agreeing: int | None = None) -> str:
    """Return the text if several ways to map parameters fit, or none does; ``agreeing`` says with how many of them the output agrees, if tried."""
    if found:
        tried = {None: "", 0: ", and the output agrees with none of them"}.get(agreeing, ", and the output agrees with each of them")
        return f"the parameters can be mapped in several ways{tried} ({_shapes(ours, theirs)}); declare one of them:{lines_of(found, declared)}"
    lines = _reshaped(ours, theirs, declared) or f'{line({**declared, **dict.fromkeys(ours, "NAME: PATTERN")})}, such as "weight: i o -> o i"'
    return f"the parameters do not fit the reference's in any order of axes ({_shapes(ours, theirs)}); declare how they fit:{lines}"


def other_than_names(found: Sequence[Ways], ours: SomeShapes, theirs: Shapes, declared: Declared) -> str:
    """Return the text if names and shapes say one way to map parameters, the first of ``found``, and the output another."""
    return (
        f"names and shapes are those of the reference, but the output agrees with another order of axes ({_shapes(ours, theirs)}); "
        f"declare which order is meant:{lines_of(found, declared)}"
    )


def without_shapes(names: Sequence[str], declared: Declared) -> str:
    """Return the text if the reference is a function, whose parameters have no shapes."""
    example = f'{line({**declared, **dict.fromkeys(names, "NAME: PATTERN")})}, such as "weight: i o -> o i"'
    return f"the reference is a function, so that its parameters have no shapes to match; declare {', '.join(map(repr, names))}:{example}"


def _shapes(ours: SomeShapes, theirs: Shapes) -> str:
    def shown(params: SomeShapes) -> str:
        return ", ".join(f"{name} {'(an argument)' if shape is None else shape}" for name, shape in params.items())

    return f"your code: {shown(ours)}; reference: {shown(theirs)}"


def _reshaped(ours: SomeShapes, theirs: Shapes, declared: Declared) -> str:
    """Return the lines that declare parameters of which some are flattened, or have their axes in one; empty if that does not fit either."""
    named = alike(ours, theirs) if len(ours) > 1 else dict(zip(ours, theirs, strict=True))
    letters, flat = iter(string.ascii_lowercase), dict[str, dict[str, int]]()
    for name, partner in named.items():
        shape, expected = ours[name], theirs[partner]
        if shape is not None and shape != expected and math.prod(shape) == math.prod(expected) and 1 in (len(shape), len(expected)):
            flat[name] = dict(zip(letters, shape if len(shape) > 1 else expected, strict=False))
    rest = {name: ours[name] for name in ours if name not in flat}
    chosen = next(ways(rest, {name: shape for name, shape in theirs.items() if name not in {named[one] for one in flat}}), None)
    if not flat or chosen is None:
        return ""
    sizes = ", ".join(f'"{axis}": {size}' for axes in flat.values() for axis, size in axes.items())

    def of(order: Callable[[Sequence[str]], Sequence[str]]) -> str:
        patterns = {}
        for name, axes in flat.items():
            apart, together = " ".join(axes), f"({' '.join(order(list(axes)))})"
            both = f"{together} -> {apart}" if len(ours[name] or ()) == 1 else f"{' '.join(order(list(axes)))} -> ({apart})"
            patterns[name] = f"{named[name]}: {both}"
        return line({**declared, **patterns, **{way.name: way.declared for way in chosen}}) + f", sizes={{{sizes}}}"

    return of(lambda axes: axes) + of(lambda axes: axes[::-1])
