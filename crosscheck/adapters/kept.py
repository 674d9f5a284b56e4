"""Where an object graph keeps its parameters and their gradients, and how to read and write them.

The graph is a layer, or a whole network of layers in attributes, lists and dicts. A place in it is a path from its root, so that what was found
in a network is valid for every copy of the network, too::

    kept = find(network)                                # {"attention.W_q": Kept(...), "layers.0.W": Kept(...), ...}
    weight = kept["layers.0.W"]
    weight.read(network)                                # the array itself
    weight.write(network, value)                        # into the same array if shape and precision allow it
    weight.clear_grad(network)
    weight.read_grad(network)                           # None where there is no gradient yet

Gradients are found by their names: ``dW`` beside ``W``, ``grads["W"]`` beside ``params["W"]``, ``W.grad`` beside ``W.data``. Many layers make their
gradients only in the backward pass. With copies of the network from before and after a backward pass, ``find(network, Written(before, after))``
prefers what this pass wrote, and finds gradients whose names follow no common pattern.

Not every array that is found needs to be a parameter: ``find`` returns each array of real numbers that is neither a gradient nor a running statistic.
Those without a gradient have ``grad`` None.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from crosscheck.adapters.gradient_places import Place, Written, gradient_places
from crosscheck.adapters.naming import COLLECTIONS, GRADIENTS, VALUES, is_statistic
from crosscheck.adapters.object_graph import Path, arrays_in, read, write
from crosscheck.core.guard import SubjectError
from crosscheck.core.precision import Array


@dataclass(frozen=True)
class Kept:
    """A parameter of an object graph."""

    path: Path
    grad: Path | None = None
    """The place of its gradient, as other parameters of the same object have theirs; None if none was found."""

    seen: bool = False
    """Whether something is at the gradient's place: an array, or None."""

    rivals: tuple[Path, ...] = ()
    """Other places where a backward pass wrote something else that may be the gradient."""

    @property
    def name(self) -> str:
        """The dotted name, without what all parameters are in: ``layers.0.W`` for ``layers[0].params["W"].data``."""
        keys = list(self.path)
        if self.grad is not None and len(keys) > 1 and self.grad[:-1] == self.path[:-1] and (keys[-1] in VALUES or isinstance(keys[-1], int)):
            keys.pop()  # a parameter is an object or a pair, which also holds the gradient
        following = [*keys[1:], 0]
        return dotted(tuple(key for key, after in zip(keys, following, strict=True) if key not in COLLECTIONS or isinstance(after, int)))

    def read(self, root: Any) -> Any:
        """Return the parameter without copying it."""
        return read(root, self.path)

    def write(self, root: Any, value: Array) -> None:
        """Set the parameter."""
        write(root, self.path, value)

    def read_grad(self, root: Any) -> Any:
        """Return the gradient without copying it; None if there is none yet."""
        try:
            return None if self.grad is None else read(root, self.grad)
        except (LookupError, AttributeError, SubjectError):
            return None

    def write_grad(self, root: Any, value: Array) -> None:
        """Set the gradient."""
        assert self.grad is not None
        write(root, self.grad, value)

    def clear_grad(self, root: Any) -> None:
        """Set the gradient to zeros, if there is one."""
        if (value := self.read_grad(root)) is not None:
            self.write_grad(root, np.zeros_like(value))


def find(root: Any, written: Written | None = None) -> dict[str, Kept]:
    """Return the arrays of an object graph that may be parameters by dotted name, with the places of their gradients.

    An array in several places, as in a layer that is used twice, is found once. Where an object has a non-empty dict or list of parameters, such as
    ``params``, its own further arrays are no parameters.

    Parameters
    ----------
    root : object
        A layer or a network, best before its first call: a layer that was called may also keep the arrays of that call.
    written : Written, optional
        Copies of it right before and right after a backward pass.
    """
    arrays = {path: value for path, value in arrays_in(root) if not is_statistic(str(path[-1])) and not any(key in GRADIENTS for key in path)}
    grads = gradient_places(root, arrays, written)
    gradients = {place.path for place in grads.values() if place.seen}
    own = _without_collected({path: value for path, value in arrays.items() if path not in gradients}, root, grads)
    places = defaultdict[Any, list[Path]](list)
    for path, value in own.items():
        # Equal numbers of Python may be one object.
        places[id(value) if isinstance(value, np.ndarray) else path].append(path)
    result = [_best(paths, grads) for paths in places.values()]
    count = Counter(kept.name for kept in result)
    return {kept.name if count[kept.name] == 1 else dotted(kept.path): kept for kept in result}


def dotted(path: Path) -> str:
    """Return a path as a text, with which a user can declare it: ``layers.0.params.W``."""
    return ".".join(map(str, path))


def place(text: str) -> Path:
    """Return the path that a text of :func:`dotted` stands for."""
    return tuple(int(key) if key.isdecimal() else key for key in text.split("."))


def elsewhere(layer: Any, grads: Mapping[str, str], name: str, shape: Any) -> str:
    """Return, for an error, the lines that declare where the missing gradient of a parameter may be: in any array of its shape.

    Parameters
    ----------
    grads : mapping of str to str
        The places of all gradients, which are those of the other parameters, by the places of the parameters.
    """
    taken = {*grads, *(grad for other, grad in grads.items() if other != name)}
    found = [dotted(path) for path, value in arrays_in(layer) if np.shape(value) == shape and dotted(path) not in taken]
    if not found:
        return f"no other array has its shape {shape}"
    lines = (f"\n    subject=Layer(layer, params={ {**grads, name: other} })" for other in found[:8])
    return f"if it is elsewhere, declare its place:{''.join(lines)}"


def _without_collected(arrays: Mapping[Path, Any], root: Any, grads: Mapping[Path, Place]) -> dict[Path, Any]:
    """Leave out the further arrays of an object that has a dict or list of parameters, but not those of its layers.

    If the dict is empty, as in a base class of all layers, arrays with a gradient are parameters all the same.
    """
    collected = defaultdict[Path, set[int]](set)
    for path, value in arrays.items():
        for at in range(1, len(path)):
            if path[at - 1] in COLLECTIONS:
                collected[path[: at - 1]].add(id(value))
    empty = {path[:at] for path in arrays for at in range(len(path)) if _has_empty_dict(read(root, path[:at]))} - {*collected}

    def is_further(path: Path, value: Any) -> bool:
        holder = max((home for home in (*collected, *empty) if path[: len(home)] == home), key=len, default=None)
        if holder is None or (holder in empty and path in grads and grads[path].seen) or id(value) in collected.get(holder, ()):
            return False
        between = (read(root, path[:at]) for at in range(len(holder) + 1, len(path)))
        return all(isinstance(node, Mapping | list | tuple) for node in between)

    return {path: value for path, value in arrays.items() if not is_further(path, value)}


def _has_empty_dict(node: Any) -> bool:
    """Return whether an object has an empty dict of parameters."""
    own = getattr(node, "__dict__", {})
    return any(name in own and isinstance(own[name], dict) and not own[name] for name in COLLECTIONS)


def _best(paths: list[Path], grads: Mapping[Path, Place]) -> Kept:
    """Return the parameter that is in several places: under its shortest name of words, with the gradient that is there."""
    path = min(paths, key=lambda place: (any(isinstance(key, int) for key in place[-1:]), any(str(key).startswith("_") for key in place), len(place)))
    found = min((grads[place] for place in paths if place in grads), key=lambda place: not place.seen, default=None)
    return Kept(path) if found is None else Kept(path, found.path, found.seen, found.rivals)
