"""Keras on JAX: a whole network that trains on its own, by Keras's layers and Keras's optimizers, each step one compiled function.

What :mod:`crosscheck.references.jax.training` does, with the update by ``stateless_apply``. Keras's optimizers keep another state than PyTorch's, by
which the harness names it; where one follows from the other it is converted, and where the formulas differ the settings are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from crosscheck.oracles.optimizers import AdadeltaSettings, SgdSettings
from crosscheck.references.jax.training import JaxNetwork, layers_of, parameter_shapes
from crosscheck.references.keras.oracle import NAME, in_precision

import keras  # isort: skip

__all__ = ["NAME", "KerasNetwork", "Network", "layers_of", "parameter_shapes"]


@dataclass(frozen=True)
class KerasNetwork(JaxNetwork):
    """Oracles of Keras's layers with their wiring, their loss and the settings of one of Keras's optimizers.

    Raises
    ------
    TypeError
        If Keras has no optimizer of these settings.
    """

    name = NAME
    converted = frozenset({"momentum"})  # Keras keeps a velocity

    def __post_init__(self) -> None:
        super().__post_init__()
        s = self.settings
        if isinstance(s, SgdSettings) and not s.dampening and not s.weight_decay:
            return
        if isinstance(s, AdadeltaSettings) and not s.weight_decay:
            return
        raise TypeError(
            f"no optimizer of Keras takes the steps of {s}: its SGD has no dampening, its weight decay is decoupled, and its RMSprop and Adam add "
            "epsilon elsewhere; take crosscheck.references.jax.training.JaxNetwork with the same layers"
        )

    def update(self, param: Any, grad: Any, state: Mapping[str, Any], lr: Any) -> tuple[Any, dict[str, Any]]:
        """Return a parameter and its state after a step of Keras's optimizer at this learning rate."""
        with in_precision(param.dtype):
            # Its variables outlive no step: what they hold is given and returned.
            with jax.ensure_compile_time_eval():
                optimizer = self._optimizer()
                optimizer.build([keras.Variable(jnp.zeros(param.shape, param.dtype), dtype=str(param.dtype))])
            kept = [variable.value for variable in optimizer.variables]
            own = {variable.path.rpartition("/")[2].removeprefix("variable_"): place for place, variable in enumerate(optimizer.variables)}
            kept[own["learning_rate"]] = jnp.asarray(lr, kept[own["learning_rate"]].dtype)
            places = {ours: next(p for name, p in own.items() if name.endswith(theirs)) for ours, theirs in self._names().items()}
            for ours, place in places.items():
                kept[place] = self._converted(ours, state[ours], lr, backwards=True) if ours in state else jnp.zeros_like(param)
            (updated,), after = optimizer.stateless_apply(kept, [grad], [param])
        return updated, {ours: self._converted(ours, after[place], lr, backwards=False) for ours, place in places.items()}

    def _optimizer(self) -> Any:
        s = self.settings
        if isinstance(s, SgdSettings):
            return keras.optimizers.SGD(s.lr, s.momentum, s.nesterov)
        assert isinstance(s, AdadeltaSettings)
        return keras.optimizers.Adadelta(s.lr, s.rho, s.eps)

    def _names(self) -> dict[str, str]:
        """Return how the names of Keras's state end, by the harness's."""
        if isinstance(self.settings, SgdSettings):
            return {"momentum": "momentum"} if self.settings.momentum else {}
        return {"square_avg": "accumulated_grad", "acc_delta": "accumulated_delta_var"}

    def _converted(self, name: str, value: Any, lr: Any, backwards: bool) -> Any:
        """Return a state as the harness knows it, or backwards: Keras keeps momentum as a velocity, -lr times the sum of gradients.

        With the rate of the step on both sides of it, a rate that changes scales the whole sum, as in PyTorch; Keras's own velocity keeps what it
        gathered at former rates.
        """
        if name != "momentum":
            return value
        return value * -lr if backwards else value / -lr


Network = KerasNetwork
"""The class that :func:`crosscheck.references.resolve.resolved_training` makes of a framework's layers."""
