"""Keras on JAX: a reference network of Keras layers, each step one compiled function.

It extends :class:`crosscheck.references.jax.training.JaxNetwork` by an update with the ``stateless_apply`` of a Keras optimizer. The harness names
and defines optimizer states as PyTorch does, so Keras' states are converted. Where Keras' formula is another than PyTorch's, the harness's own rule
updates the parameters, as in a network of JAX functions.
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
    """A reference network of Keras layers, and of a Keras optimizer if Keras has one with the settings."""

    @property
    def name(self) -> str:
        """The network's name in reports, which says if only the layers are Keras'."""
        return NAME if self.updates else f"{NAME} layers"

    @property
    def converted(self) -> frozenset[str]:
        """The states that Keras defines in another way: its momentum is a velocity."""
        return frozenset({"momentum"} if self.updates else ())

    @property
    def updates(self) -> bool:
        """Whether Keras has an optimizer with the settings. Its weight decay is decoupled, and its RMSprop and Adam add epsilon elsewhere."""
        s = self.settings
        return isinstance(s, SgdSettings | AdadeltaSettings) and not s.weight_decay and not (isinstance(s, SgdSettings) and s.dampening)

    def update(self, param: Any, grad: Any, state: Mapping[str, Any], lr: Any) -> tuple[Any, dict[str, Any]]:
        """Return a parameter and its state after a step with learning rate ``lr``."""
        if not self.updates:
            return super().update(param, grad, state, lr)
        with in_precision(param.dtype):
            # Each step creates a new optimizer, because the state is an argument and a result of the step.
            with jax.ensure_compile_time_eval():
                optimizer, names = self._optimizer()
                optimizer.build([keras.Variable(jnp.zeros(param.shape, param.dtype), dtype=str(param.dtype))])
            kept = [variable.value for variable in optimizer.variables]
            own = {variable.path.rpartition("/")[2].removeprefix("variable_"): place for place, variable in enumerate(optimizer.variables)}
            kept[own["learning_rate"]] = jnp.asarray(lr, kept[own["learning_rate"]].dtype)
            places = {ours: next(p for name, p in own.items() if name.endswith(theirs)) for ours, theirs in names.items()}
            for ours, place in places.items():
                kept[place] = self._converted(ours, state[ours], lr, backwards=True) if ours in state else jnp.zeros_like(param)
            (updated,), after = optimizer.stateless_apply(kept, [grad], [param])
        return updated, {ours: self._converted(ours, after[place], lr, backwards=False) for ours, place in places.items()}

    def _optimizer(self) -> tuple[Any, dict[str, str]]:
        """Return a new optimizer and, for the harness's names of its states, the endings of Keras' names."""
        s = self.settings
        if isinstance(s, SgdSettings):
            return keras.optimizers.SGD(s.lr, s.momentum, s.nesterov), {"momentum": "momentum"} if s.momentum else {}
        assert isinstance(s, AdadeltaSettings)
        return keras.optimizers.Adadelta(s.lr, s.rho, s.eps), {"square_avg": "accumulated_grad", "acc_delta": "accumulated_delta_var"}

    def _converted(self, name: str, value: Any, lr: Any, backwards: bool) -> Any:
        """Convert a state from Keras' definition to the harness's, or ``backwards``. Keras' momentum is a velocity, -lr times the sum of gradients.

        Both conversions in a step use the current rate, so that a change of the rate scales the whole sum, as in PyTorch. Without the conversions,
        Keras' velocity would keep contributions that were scaled by earlier rates.
        """
        if name != "momentum":
            return value
        return value * -lr if backwards else value / -lr


Network = KerasNetwork
"""The network class for :func:`crosscheck.references.resolve.resolved_training`."""
