"""Where in a network a training step goes wrong, found by the arrays that its layers take and return.

The layers of the two networks may have different names and need not correspond one to one. A layer agrees if the reference computes the same array
somewhere, up to the order of axes. In order of execution, the first array that agrees with none, after the last one that agrees, is where the two
part. Half of the digits decide; the verdict itself does not depend on this.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from crosscheck.adapters.layer_events import Event
from crosscheck.core.precision import Array, Precision
from crosscheck.oracles.whole import Recorded

_MOST_AXES = 4
"""Arrays with more axes are compared in their own order only."""


def parted(events: Sequence[Event], recorded: Sequence[Recorded], forward: bool, precision: Precision) -> tuple[Event, str] | None:
    """Return the array with which a wrong step begins, and the module of the reference that computes the last array before it that is right.

    Parameters
    ----------
    events : sequence of Event
        What the subject's layers took and returned.
    recorded : sequence of Recorded
        What the reference computed.
    forward : bool
        Whether the forward pass is wrong; otherwise it is right, and the backward pass is looked at.

    Returns
    -------
    tuple or None
        None if all arrays agree, or none can be compared.
    """
    own = [event for event in events if (event.quantity == "output") == forward]
    values = [(one.module, one.value, one.value if forward else one.grad) for one in recorded]
    sizes = {value.size for _, _, value in values if value is not None}
    own = [event for event in own if event.value.size in sizes]
    partners = [_partner(event, values, precision) for event in own]
    last = max((at for at, partner in enumerate(partners) if partner is not None), default=-1)
    return None if last + 1 >= len(own) else (own[last + 1], (partners[last] or "") if last >= 0 else "")


def _partner(event: Event, values: Iterable[tuple[str, Array, Array | None]], precision: Precision) -> str | None:
    """Return the module of the reference that computes the same array, of a gradient: for the same array of the forward pass; None if none does."""
    for module, of, value in values:
        if value is not None and (event.of is None or _alike(event.of, of, precision)) and _alike(event.value, value, precision):
            return module
    return None


def _alike(found: npt.NDArray[Any], other: Array, precision: Precision) -> bool:
    """Return whether half of the digits of two arrays agree, for some order of the axes."""
    if found.size != other.size:
        return False
    wide = found.astype(np.float64)
    near = float(np.sqrt(np.finfo(precision.dtype).eps)) * float(np.linalg.norm(wide))
    return any(np.linalg.norm(one - other) <= near for one in _orders(wide, other.shape))


def _orders(value: Array, shape: tuple[int, ...]) -> Iterable[Array]:
    """Yield an array in every order of its axes that gives a shape; axes of length 1 do not count."""
    value, shape_of_long = np.squeeze(value), tuple(length for length in shape if length != 1)
    if value.shape == shape_of_long:
        yield value.reshape(shape)
    if value.ndim <= _MOST_AXES:
        for order in itertools.permutations(range(value.ndim)):
            if list(order) != sorted(order) and tuple(value.shape[axis] for axis in order) == shape_of_long:
                yield value.transpose(order).reshape(shape)
