"""Keras 3 on JAX: layers, losses and functions as oracles.

A layer becomes a function of JAX's arrays by ``stateless_call``: it is made again from its config in the precision of the arrays given, and keeps
nothing from one call to the next. So everything that :mod:`crosscheck.references.jax.oracle` does to functions holds for layers. An entry of the
table says which error theory a kind of layer follows; the rounding of what is not in the table is measured.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import jax
import numpy as np

# Keras asks for its backend once, while it is imported for the first time.
if "keras" not in sys.modules:
    os.environ["KERAS_BACKEND"] = "jax"

import keras
from keras.src.backend.common.dtypes import BIT64_TO_BIT32_DTYPE

from crosscheck.core.operation import RefusedError, Rounding
from crosscheck.oracles.theories import CrossEntropy, Measured, Multilinear, Selection, Softmax
from crosscheck.references.jax.oracle import JaxOracle, Kinks, sign_kinks, window_kinks

NAME = f"Keras {keras.__version__} on JAX {jax.__version__}"

_SEED = "seed_generator_state"
"""What Keras calls the state of a layer that draws random numbers."""

_WITH_MODES = (keras.layers.BatchNormalization, keras.layers.Dropout)


def oracle(reference: Any, training: bool = False) -> JaxOracle:
    """Return the oracle of a layer, a loss or a function of ``keras.ops``, computed in the precision of the arrays that it is given.

    Parameters
    ----------
    reference : keras.Layer, keras.losses.Loss or callable
        A loss gets the input as the prediction, and the labels.
    training : bool
        Whether a layer that has modes trains.

    Raises
    ------
    TypeError
        If it can be no reference: Keras runs on another backend, or the layer draws random numbers.
    """
    _require_jax()
    if isinstance(reference, keras.losses.Loss):
        config = reference.get_config()

        def loss(x: Any, labels: Any) -> Any:
            return type(reference).from_config({**config, "dtype": str(x.dtype)})(labels, x)

        return JaxOracle(_in_precision_of_input(loss, type(reference).__name__), _loss_theory(reference), labels=True, name=NAME)
    if not isinstance(reference, keras.Layer):
        name = str(getattr(reference, "__name__", type(reference).__name__))
        return JaxOracle(_in_precision_of_input(reference, name), name=NAME)
    if training and any(variable.path.endswith(_SEED) for variable in reference.variables):
        raise TypeError(
            f"keras.layers.{type(reference).__name__} draws a mask of its own in training, so that no subject can agree with it; "
            "let both sides use the same mask, set rate=0, or take it in evaluation"
        )
    known = _THEORIES.get(type(reference), lambda layer: None)
    theory = known(reference) or _Theory()
    shapes, modes = parameter_shapes(reference), has_modes(reference)
    return JaxOracle(LayerFunction(reference, training), theory.rounding, theory.settings, theory.kinks, shapes, modes=modes, name=NAME)


def _require_jax() -> None:
    if (backend := keras.backend.backend()) != "jax":
        raise TypeError(f"Keras runs on {backend}, expected jax: set KERAS_BACKEND=jax before keras is imported")


@contextmanager
def in_precision(dtype: Any) -> Iterator[None]:
    """Let Keras compute in a precision: constants in the code, and results of its rules of promotion.

    On JAX these rules have no float64: their results are narrowed to float32, by a table that no public function changes.
    """
    before, kept = keras.config.floatx(), dict(BIT64_TO_BIT32_DTYPE)
    keras.config.set_floatx(str(dtype))
    BIT64_TO_BIT32_DTYPE["float64"] = str(dtype)
    try:
        yield
    finally:
        keras.config.set_floatx(before)
        BIT64_TO_BIT32_DTYPE.update(kept)


@dataclass(frozen=True, eq=False)
class LayerFunction:
    """A layer as a function of its input, its parameters and, by the same names as in the layer, its buffers.

    Attributes
    ----------
    layer : keras.Layer
        It is not changed.
    """

    layer: Any
    training: bool = False
    _made: dict[str, Any] = field(default_factory=dict)

    @property
    def __name__(self) -> str:
        return type(self.layer).__name__

    def __call__(self, x: Any, **given: Any) -> Any:
        """Return the output, and the new values of the buffers if any are given."""
        with in_precision(x.dtype):
            layer = self._in_precision(x)
            names, buffers = names_of(layer), names_of(layer, trainable=False)
            if unknown := set(given) - set(names) - set(buffers):
                raise RefusedError(f"{self.__name__} has {', '.join([*names, *buffers]) or 'no parameters'}; declared is {min(unknown)}")
            if missing := [name for name in names if name not in given]:
                raise RefusedError(f"{self.__name__} has a parameter {missing[0]}, which is not declared")
            own = {name: variable.value for name, variable in zip(buffers, layer.non_trainable_variables, strict=True)}
            fixed = [given.get(name, own[name]) for name in buffers]
            output, after = layer.stateless_call([given[name] for name in names], fixed, x, **self._mode(layer))
        changed = {name: value for name, value in zip(buffers, after, strict=True) if name in given}
        return (output, changed) if changed else output

    def _mode(self, layer: Any) -> dict[str, bool]:
        return {"training": self.training} if self.training or has_modes(layer) else {}

    def _in_precision(self, x: Any) -> Any:
        """Return the layer made again from its config, with the same buffers, once for each precision."""
        dtype = str(x.dtype)
        if dtype not in self._made:
            # Its variables outlive the trace in which they are made.
            with jax.ensure_compile_time_eval():
                layer = type(self.layer).from_config(_in_dtype(self.layer.get_config(), dtype))
                if not layer.built:
                    layer.build(x.shape)
                if self.layer.built:
                    for mine, theirs in zip(layer.non_trainable_variables, self.layer.non_trainable_variables, strict=True):
                        mine.assign(np.asarray(theirs.value).astype(str(mine.dtype)))
            self._made[dtype] = layer
        return self._made[dtype]


def _in_dtype(config: Any, dtype: str) -> Any:
    """Return a layer's config with another precision, that of the layers inside included."""
    if isinstance(config, list | tuple):
        return type(config)(_in_dtype(value, dtype) for value in config)
    if not isinstance(config, dict):
        return config
    return {key: dtype if key == "dtype" and _is_precision(value) else _in_dtype(value, dtype) for key, value in config.items()}


def _is_precision(value: Any) -> bool:
    return isinstance(value, dict) or str(value).startswith(("float", "bfloat", "mixed"))


def names_of(layer: Any, trainable: bool = True) -> list[str]:
    """Return the names of a layer's variables: the last part of their paths where that is unique, else ``dense.kernel``."""

    def paths(variables: Any) -> list[list[str]]:
        return [variable.path.split("/")[variable.path.startswith(f"{layer.name}/") :] for variable in variables]

    everywhere = [path[-1] for path in paths([*layer.trainable_variables, *layer.non_trainable_variables])]
    unique = len(set(everywhere)) == len(everywhere)
    return [path[-1] if unique else ".".join(path) for path in paths(layer.trainable_variables if trainable else layer.non_trainable_variables)]


def _in_precision_of_input(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return a function of this name that makes numbers in the precision of its input."""

    @wraps(function)
    def run(x: Any, *others: Any, **params: Any) -> Any:
        with in_precision(x.dtype):
            return function(x, *others, **params)

    run.__name__ = name
    return run


@dataclass(frozen=True)
class _Theory:
    """What is known of a layer; the rounding of anything else is measured."""

    rounding: Rounding = field(default_factory=Measured)
    settings: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    kinks: Kinks | None = None


def _is_linear(layer: Any) -> bool:
    return layer.activation is keras.activations.linear


def _pooling(layer: Any) -> _Theory | None:
    settings = _windows(layer)
    if not settings:
        return None
    overlapping = any(size > step for size, step in zip(settings["kernel"], settings["stride"], strict=True))
    return _Theory(Selection(overlapping), settings, window_kinks(settings["kernel"], settings["stride"], settings["padding"]))


def _relu(layer: Any) -> _Theory | None:
    plain = layer.max_value is None and not layer.negative_slope and not layer.threshold
    return _Theory(Selection(), kinks=sign_kinks()) if plain else None


def _windows(layer: Any) -> dict[str, tuple[int, int]]:
    """Return the settings of windows of the kind that fault models know."""
    dilated = tuple(getattr(layer, "dilation_rate", (1, 1))) != (1, 1)
    if layer.data_format != "channels_first" or layer.padding != "valid" or dilated:
        return {}
    kernel = layer.kernel_size if hasattr(layer, "kernel_size") else layer.pool_size
    return {"kernel": (kernel[0], kernel[1]), "stride": (layer.strides[0], layer.strides[1]), "padding": (0, 0)}


def _loss_theory(loss: Any) -> Rounding:
    config = loss.get_config()
    known = type(loss) is keras.losses.SparseCategoricalCrossentropy and config["from_logits"] and config.get("ignore_class") is None
    if not known or config["reduction"] not in ("sum", "sum_over_batch_size"):
        return Measured()
    return CrossEntropy("sum" if config["reduction"] == "sum" else "mean")


_THEORIES: dict[type, Callable[[Any], _Theory | None]] = {
    keras.layers.Conv2D: lambda layer: _Theory(Multilinear(), _windows(layer)) if _is_linear(layer) else None,
    keras.layers.Dense: lambda layer: _Theory(Multilinear()) if _is_linear(layer) else None,
    keras.layers.MaxPooling2D: _pooling,
    keras.layers.ReLU: _relu,
    keras.layers.Flatten: lambda layer: _Theory(Selection()),
    keras.layers.Softmax: lambda layer: _Theory(Softmax()) if layer.axis in (1, -1) else None,
}
"""The error theory of each kind of layer; None where it does not cover a layer's settings, so that it is measured. A subclass is none of these."""


def parameter_shapes(reference: Any) -> dict[str, tuple[int, ...]] | None:
    """Return the shapes of a layer's parameters by name; None for a function, and for a layer that is not built, which does not know them yet."""
    if isinstance(reference, keras.Layer) and reference.built:
        return {name: tuple(variable.shape) for name, variable in zip(names_of(reference), reference.trainable_variables, strict=True)}
    return None


def has_modes(reference: Any) -> bool:
    """Return whether a reference is another operation in training than in evaluation: a dropout, a normalisation with running statistics."""
    if isinstance(reference, keras.Layer):
        return isinstance(reference, _WITH_MODES) or any(has_modes(layer) for layer in getattr(reference, "layers", ()))
    return False
