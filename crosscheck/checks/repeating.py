"""Random numbers repeated: a layer that draws some is to draw the same ones whenever it is called, so that two calls can be compared."""

from __future__ import annotations

import copy
import random
from typing import Any

import numpy as np

_SEED = 0


class Repeating:
    """The generators of one instance of a layer, brought back to where they were.

    Known are the layer's own, which it holds as attributes, and those that NumPy and Python keep for everybody.

    Parameters
    ----------
    instance : object
        As a convention makes it.
    """

    def __init__(self, instance: Any) -> None:
        held = getattr(getattr(instance, "layer", instance), "__dict__", {})
        self._own = [value for value in held.values() if isinstance(value, np.random.Generator | np.random.RandomState | random.Random)]
        self._states = [copy.deepcopy(_state(generator)) for generator in self._own]

    def again(self) -> None:
        """Bring every generator back."""
        np.random.seed(_SEED)  # noqa: NPY002 - the one that a layer may draw from
        random.seed(_SEED)
        for generator, state in zip(self._own, self._states, strict=True):
            _set(generator, copy.deepcopy(state))


def _state(generator: Any) -> Any:
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    return generator.getstate() if isinstance(generator, random.Random) else generator.get_state()


def _set(generator: Any, state: Any) -> None:
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, random.Random):
        generator.setstate(state)
    else:
        generator.set_state(state)
