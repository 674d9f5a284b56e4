"""Arrays of an object graph by their paths: a layer, or a whole network of layers in attributes, lists and dicts.

A path is valid for every copy of the graph, unlike a reference to an object.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from inspect import isclass, ismethod, isroutine, signature
from types import ModuleType
from typing import Any

import numpy as np

from crosscheck.adapters.naming import COLLECTIONS
from crosscheck.core.guard import SubjectError, contained
from crosscheck.core.precision import Array
from crosscheck.references.resolve import framework_of

Path = tuple[str | int, ...]
"""A place: names of attributes, keys of dicts and positions in lists, from the root on. The name of a method stands for what it returns."""

_MOST = 20_000
"""How many objects of a graph are visited at most."""


def read(root: Any, path: Path) -> Any:
    """Return what is at a path.

    Raises
    ------
    LookupError, AttributeError
        If there is nothing.
    SubjectError
        If a method on the path raises.
    """
    for key in path:
        root = _child(root, key)
    return root


def write(root: Any, path: Path, value: Array) -> None:
    """Set what is at a path: an array of the same shape and precision is overwritten, everything else is replaced."""
    *way, key = path
    holder: Any = read(root, tuple(way))
    try:
        existing = _child(holder, key)
    except (LookupError, AttributeError):
        existing = None
    if written(existing, value):
        return
    if isinstance(holder, dict | list):
        holder[key] = value  # type: ignore[index]
    else:
        setattr(holder, str(key), value)


def written(existing: Any, value: Array) -> bool:
    """Write a value into ``existing`` and return True; return False if ``existing`` is not a writable array of the same shape and precision."""
    fits = isinstance(existing, np.ndarray) and existing.shape == value.shape and existing.dtype == value.dtype and bool(existing.flags.writeable)
    if fits:
        existing[...] = value
    return fits


def _child(node: Any, key: str | int) -> Any:
    if isinstance(node, Mapping):
        return node[key if key in node else str(key)]
    if isinstance(node, list | tuple):
        if isinstance(key, str):
            raise LookupError(key)
        return node[key]
    if isinstance(key, int):
        raise LookupError(key)
    value = getattr(node, key)
    if not ismethod(value):
        return value
    with contained(key):
        returned = value()
    return list(returned) if isinstance(returned, Iterator) else returned


def arrays_in(root: Any) -> Iterator[tuple[Path, Any]]:
    """Yield every array of real numbers of a graph, those near the root first."""
    for path, node in nodes_in(root):
        for key, value in _children(node):
            in_collection = any(key in COLLECTIONS for key in path)
            if _is_number(value) and np.asarray(value).dtype.kind == "f" and (in_collection or isinstance(value, np.ndarray)):
                yield (*path, key), value


def nodes_in(root: Any) -> Iterator[tuple[Path, Any]]:
    """Yield the root and everything in its graph but arrays and numbers, what is near the root first. Each object is visited once."""
    waiting, seen = deque[tuple[Path, Any]]([((), root)]), dict[int, Any]()
    while waiting and len(seen) < _MOST:
        path, node = waiting.popleft()
        if id(node) in seen:
            continue
        seen[id(node)] = node  # also keeps it alive, so that its id stays its own
        yield path, node
        waiting.extend(((*path, key), value) for key, value in _children(node) if not _is_number(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.generic | float)


def _children(node: Any) -> list[tuple[str | int, Any]]:
    """Return what an object holds: private attributes last, because others may show the same arrays under better names."""
    if isinstance(node, Mapping):
        return [(key, value) for key, value in node.items() if isinstance(key, str | int)]
    if isinstance(node, list | tuple):
        return list(enumerate(node))
    if node is None or isinstance(node, str | bytes | int | complex | ModuleType) or isroutine(node) or isclass(node) or framework_of(node):
        return []
    slots = (name for kind in type(node).__mro__ for name in _names(getattr(kind, "__slots__", ())))
    own = {**getattr(node, "__dict__", {}), **{name: getattr(node, name) for name in slots if hasattr(node, name) and name != "__dict__"}}
    shown = {name: value for name in COLLECTIONS if name not in own and (value := _shown(node, name)) is not None}
    return sorted((own | shown).items(), key=lambda item: item[0].startswith("_"))


def _names(given: str | Iterable[str]) -> Iterable[str]:
    return (given,) if isinstance(given, str) else given


def _shown(node: Any, name: str) -> Any:
    """Return what a property or a method without arguments shows of an object's own arrays; None if there is no such thing, or it shows copies."""
    kind = getattr(type(node), name, None)
    if kind is None or not (isinstance(kind, property) or (isroutine(kind) and _needs_nothing(getattr(node, name)))):
        return None
    try:
        with contained(name):
            found, again = (_child(node, name) for _ in range(2))
            live = [id(value) for _, value in arrays_in({name: found})] == [id(value) for _, value in arrays_in({name: again})]
    except SubjectError:
        return None
    return found if isinstance(found, Mapping | list | tuple) and live else None


def _needs_nothing(method: Any) -> bool:
    try:
        signature(method).bind()
    except (TypeError, ValueError):
        return False
    return True
