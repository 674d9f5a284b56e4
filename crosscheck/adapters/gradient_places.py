"""Where the gradient of an array is, by the names in common use and by what a backward pass wrote."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from crosscheck.adapters.naming import COLLECTIONS, GRADIENTS, VALUES, gradient_names
from crosscheck.adapters.object_graph import Path, arrays_in, read
from crosscheck.core.guard import SubjectError

Rule = tuple[str | int, ...]
"""How the place of a gradient follows from that of its parameter."""

_ARRAY, _NONE, _ROOM = 3, 2, 1
"""What may be at a place, by how much it says: an array, None, or nothing yet in an empty dict or list."""

_NOTHING = (LookupError, AttributeError, TypeError, SubjectError)
"""What reading a place raises where there is nothing."""


@dataclass(frozen=True)
class Written:
    """An object graph right before and right after a backward pass."""

    before: Any
    after: Any
    returned: Any = None
    """What the backward pass returned."""

    output: str = ""
    """The attribute where the forward pass left its output, if it returned nothing."""

    grad_input: str = ""
    """The attribute where the backward pass left the input's gradient, if it returned nothing."""


@dataclass(frozen=True)
class Place:
    """Where the gradient of an array is."""

    path: Path
    seen: bool
    """Whether something is there: an array, or None."""
    rivals: tuple[Path, ...] = ()
    """Other places where the backward pass wrote something else that may be the gradient."""


def gradient_places(root: Any, arrays: Mapping[Path, Any], written: Written | None = None) -> dict[Path, Place]:
    """Return the place of the gradient for each array that has one.

    The arrays of one object or dict follow one rule, and the rule that finds the most gradients is taken. What a backward pass wrote decides, if one
    has run.
    """
    holders, result = defaultdict[Path, list[Path]](list), dict[Path, Place]()
    for path in arrays:
        holders[path[:-1]].append(path)
    for paths in holders.values():
        found = {} if written is None else _by_rule(written.after, paths, partial(_was_written, written), compare=True)
        if not found and written is not None:
            found = _by_any_name(written, {path: arrays[path] for path in paths})
        found = found or _by_rule(root, paths, partial(_is_there, root))
        # A backward pass may also write what was there before, such as zeros.
        result |= {path: replace(place, seen=place.seen or _is_there(root, place.path) >= _NONE) for path, place in found.items()}
    return result


def _by_rule(graph: Any, paths: Iterable[Path], hits: Callable[[Path], int], compare: bool = False) -> dict[Path, Place]:
    """Return the places of gradients by the rule with the most hits; empty if no rule has one. ``compare`` asks for rivals with other values."""
    rules, scores = defaultdict[Rule, dict[Path, Path]](dict), dict[tuple[Rule, Path], int]()
    for path in paths:
        for rule, place in _candidates(graph, path):
            rules[rule][path], scores[rule, path] = place, hits(place)
    totals = {rule: sum(scores[rule, path] for path in of) for rule, of in rules.items()}
    best = max(totals, key=lambda rule: totals[rule], default=None)
    if best is None or not totals[best]:
        return {}
    gradients = {place for path, place in rules[best].items() if scores[best, path]}
    others = [rules[rule] for rule, total in totals.items() if total == totals[best] and rule != best] if compare else []
    result = dict[Path, Place]()
    for path, place in rules[best].items():
        if path not in gradients:
            rivals = tuple(other[path] for other in others if path in other and _differ(graph, place, other[path]))
            result[path] = Place(place, scores[best, path] >= _NONE, rivals)
    return result


def _differ(after: Any, place: Path, other: Path) -> bool:
    """Return whether there are different arrays at two places."""
    return _is_there(after, place) == _is_there(after, other) == _ARRAY and not np.array_equal(read(after, place), read(after, other), equal_nan=True)


def _candidates(graph: Any, path: Path) -> Iterator[tuple[Rule, Path]]:
    """Yield the places of a graph where the gradient of the array at ``path`` may be, each with a rule that other arrays follow in their way."""
    *_, last = path
    homes = list[tuple[Rule, Path]]()
    for at, key in enumerate(path):
        if key in COLLECTIONS or (key in VALUES and at == len(path) - 1):
            homes += [((at, other), (*path[:at], other, *path[at + 1 :])) for other in GRADIENTS]
            homes += [((at, "out"), (*path[:at], *path[at + 1 :]))] if isinstance(last, str) and key in COLLECTIONS else []
        elif isinstance(key, str) and at < len(path) - 1:
            yield from (((at, pattern), (*path[:at], other, *path[at + 1 :])) for pattern, other in gradient_names(key))
    homes += [((), path)]
    homes += [((at, "in", other), (*path[:at], other, *path[at:])) for at in range(len(path) - 1, -1, -1) for other in GRADIENTS]
    for rule, home in homes:
        if not _exists(graph, home[:-1]):
            continue
        if rule and "out" not in rule:
            yield rule, home
        if isinstance(last, str):
            yield from (((*rule, pattern), (*home[:-1], name)) for pattern, name in gradient_names(last))
    if last == 0 and len(path) > 2 and path[-3] in COLLECTIONS and _is_pair(read(graph, path[:-1])):
        yield ("pair",), (*path[:-1], 1)


def _exists(graph: Any, path: Path) -> bool:
    try:
        read(graph, path)
    except _NOTHING:
        return False
    return True


def _is_pair(value: Any) -> bool:
    """Return whether a value is a pair of a parameter and its gradient."""
    return isinstance(value, tuple | list) and len(value) == 2 and (value[1] is None or np.shape(value[0]) == np.shape(value[1]))


def _by_any_name(written: Written, arrays: Mapping[Path, Any]) -> dict[Path, Place]:
    """Return the places of gradients whose names follow no common pattern: a backward pass wrote arrays of the parameters' shapes there.

    Every array has to have one, at a place that differs from its own in one name: in the same way for all of them.
    """
    rules = defaultdict[Rule, dict[Path, Place]](dict)
    for place, value in arrays_in(written.after):
        for path, own in arrays.items():
            if np.shape(own) == np.shape(value) and (rule := _difference(path, place)) and _was_written(written, place):
                rules[rule][path] = Place(place, True)
    complete = [found for found in rules.values() if len(found) == len(arrays)]
    return complete[0] if len(complete) == 1 else {}


def _difference(path: Path, place: Path) -> Rule:
    """Return how a place differs from a path in one name: by what surrounds the name, or by another name; empty if otherwise."""
    others = [at for at, (one, other) in enumerate(zip(path, place, strict=False)) if one != other]
    if len(path) != len(place) or len(others) != 1:
        return ()
    at = others[0]
    name, other = path[at], place[at]
    if not isinstance(name, str) or not isinstance(other, str):
        return ()
    # The name has to be a word of the other one: "slope_of_W" and "slopeW" are of "W", but "batch" is not of "b".
    capital = name[:1].isupper()
    word = re.search(rf"(?<![{'A-Z' if capital else 'A-Za-z'}]){re.escape(name)}(?![{'a-z' if capital else 'A-Za-z'}])", other)
    return (at, other[: word.start()], other[word.end() :]) if word else (at, other) if at < len(path) - 1 or name in VALUES else ()


def _is_there(root: Any, place: Path) -> int:
    """Return whether there is an array, None, an empty dict or list in which there is room for one, or nothing."""
    try:
        value = read(root, place)
    except _NOTHING:
        try:
            holder = read(root, place[:-1])
        except _NOTHING:
            return 0
        return _ROOM if isinstance(holder, dict | list) and not holder else 0
    return _ARRAY if isinstance(value, np.ndarray | np.generic | float) else _NONE if value is None else 0


def _was_written(written: Written, place: Path) -> int:
    """Return whether there is an array that was not there before, or has changed."""
    if _is_there(written.after, place) < _ARRAY:
        return 0
    same = _is_there(written.before, place) == _ARRAY and np.array_equal(read(written.before, place), read(written.after, place), equal_nan=True)
    return 0 if same else _ARRAY
