"""The base of all optimizers: parameters, which it changes in place, a learning rate, and arrays that it keeps for each parameter.

A subclass defines :meth:`Optimizer.update`, which changes one parameter by one step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from scratch.layer import Array


class Optimizer(ABC):
    """An update rule, applied to each parameter by itself.

    Parameters
    ----------
    params : mapping of str to array
        The parameters by name; :meth:`step` changes these arrays in place.
    lr : float
        Learning rate; it may be changed between steps.
    state : tuple of str
        The names of the arrays that the rule keeps from one step to the next.

    Attributes
    ----------
    state : dict of str to dict of str to array
        Name of the state, name of the parameter, array. As in PyTorch, a parameter has no state before its first step. To continue a training, put
        its arrays there.
    """

    def __init__(self, params: Mapping[str, Array], lr: float, state: tuple[str, ...]) -> None:
        self.check_at_least_zero(lr=lr)
        self.params = params
        self.lr = lr
        self.state: dict[str, dict[str, Array]] = {name: {} for name in state}

    def step(self, grads: Mapping[str, Array]) -> None:
        """Update every parameter in place; ``grads`` has a gradient for each name in ``params``, in the parameter's shape.

        A missing gradient raises a KeyError and a wrong shape a ValueError, before any parameter is changed.
        """
        kind = type(self).__name__
        missing = [name for name in self.params if name not in grads]
        if missing:
            raise KeyError(f"{kind}: no gradient for {', '.join(missing)}; run backward first")
        for name, param in self.params.items():
            # NumPy would broadcast a smaller gradient silently.
            if grads[name].shape != param.shape:
                raise ValueError(f"{kind}: the gradient for {name} has shape {grads[name].shape}, expected {param.shape}, the parameter's")
        for name, param in self.params.items():
            self.update(name, param, grads[name])

    @abstractmethod
    def update(self, name: str, param: Array, grad: Array) -> None:
        """Change one parameter and its state in place, but not the gradient."""

    def kept(self, state: str, name: str, param: Array) -> Array:
        """Return the array of a state for a parameter, which the caller changes in place; zeros at the first step."""
        arrays = self.state[state]
        if name not in arrays:
            arrays[name] = np.zeros_like(param)
        return arrays[name]

    def check_at_least_zero(self, **settings: float) -> None:
        """Raise a ValueError that names the first setting that is negative or not finite."""
        for name, value in settings.items():
            if not (value >= 0 and np.isfinite(value)):
                raise ValueError(f"{type(self).__name__}: {name}={value!r}, expected a number of at least 0")

    def check_decay(self, **settings: float) -> None:
        """Raise a ValueError that names the first setting that is not the weight of an exponential average: at least 0 and below 1."""
        for name, value in settings.items():
            if not 0 <= value < 1:
                raise ValueError(f"{type(self).__name__}: {name}={value!r}, expected a number of at least 0 and below 1")
