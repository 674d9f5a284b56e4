"""What a recorded reference takes, as plain data in a trace file: its inputs with their axes and kinds of numbers, and the lengths of the axes."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from crosscheck.core.arguments import Argument, Case, Input, Integers, Labels, Mask, Target

KINDS: Mapping[str, type[Argument]] = {kind.__name__: kind for kind in (Input, Target, Integers, Labels, Mask)}
"""The kinds of inputs that a trace file can describe, by name."""

Description = dict[str, Any]


def described(case: Case) -> Description | None:
    """Return the inputs of a case as plain data; None if an input is of a kind that a trace file cannot describe."""
    inputs = [{"name": name, "kind": type(one).__name__} | _plain(one) for name, one in case.inputs.items()]
    known = all(KINDS.get(type(one).__name__) is type(one) for one in case.inputs.values())
    return {"inputs": inputs, "sizes": {axis: int(length) for axis, length in case.sizes.items()}, "named": case.named} if known else None


def _plain(one: Argument) -> Description:
    values = {each.name: getattr(one, each.name) for each in fields(one)}
    return {name: _as_json(value) for name, value in (values | {"shape": one.axes}).items()}


def _as_json(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_as_json(each) for each in value]
    return value if isinstance(value, bool | str | None) else operator.index(value)


def case_of(description: Any) -> Case:
    """Return the case that a trace file describes.

    Raises
    ------
    ValueError
        If the description is not one that :func:`described` returns.
    """
    if not isinstance(description, dict) or set(description) != {"inputs", "sizes", "named"} or not isinstance(description["inputs"], list):
        raise ValueError(f"{description!r} does not name inputs, sizes and whether the axes are named")
    inputs = dict(_named(one) for one in description["inputs"])
    sizes = lengths(description["sizes"])
    needed = [axis for one in inputs.values() for axis in (*one.axes, getattr(one, "below", 1)) if isinstance(axis, str)]
    if not inputs or len(inputs) != len(description["inputs"]) or set(needed) != set(sizes):
        named, given = ", ".join(dict.fromkeys(needed)), ", ".join(sizes)
        raise ValueError(f"{len(inputs)} inputs with the axes {named or 'none'}, and lengths of {given or 'none'}")
    if not isinstance(description["named"], bool):
        raise ValueError(f"named is {description['named']!r}")
    return Case(inputs, sizes, named=description["named"])


def lengths(given: Any) -> dict[str, int]:
    """Return lengths of axes by name; raise ``ValueError`` if these are not whole numbers of at least 1."""
    if not isinstance(given, dict) or not all(_whole(length) and length >= 1 for length in given.values()):
        raise ValueError(f"{given!r} are not lengths of axes")
    return given


def _named(one: Any) -> tuple[str, Argument]:
    """Return the name of an input, and what it is."""
    kind = KINDS.get(str(one.get("kind"))) if isinstance(one, dict) else None
    if kind is None or not isinstance(one["name"], str):
        raise ValueError(f"{one!r} is no input of a kind {', '.join(KINDS)}")
    given = {name: value for name, value in one.items() if name not in ("name", "kind")}
    if set(given) != {each.name for each in fields(kind)}:
        raise ValueError(f"{one!r} is no {kind.__name__}")
    right: Mapping[str, Callable[[Any], bool]] = {
        "shape": lambda value: isinstance(value, list),  # the axes themselves are checked by the class
        "of": lambda value: isinstance(value, str),  # as are these words
        "below": lambda value: isinstance(value, str) or (_whole(value) and value >= 1),
        "also": lambda value: isinstance(value, list) and all(map(_whole, value)),
        "ignored": lambda value: value is None or _whole(value),
        "hidden": lambda value: isinstance(value, bool),
    }
    if wrong := [name for name, value in given.items() if not right[name](value)]:
        raise ValueError(f"{one['name']}: {wrong[0]} is {given[wrong[0]]!r}")
    return one["name"], kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
