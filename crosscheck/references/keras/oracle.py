"""Keras 3 on JAX: layers, losses and functions as oracles.

A layer is created again from its config, in the precision of its arguments. Its ``stateless_call`` is a pure function of JAX arrays, which
:mod:`crosscheck.references.jax.oracle` handles like any other function. A table has the error theories of some layers; the rounding errors of other
layers are measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import jax
import keras
import numpy as np
from keras.src.backend.common.dtypes import BIT64_TO_BIT32_DTYPE

from crosscheck.core.arguments import Labels, Signature
from crosscheck.core.operation import Arrays, RefusedError, Rounding
from crosscheck.oracles.theories import CrossEntropy, Measured, Multilinear, Selection, Softmax, Where
from crosscheck.references.functions import title
from crosscheck.references.jax.oracle import JaxOracle, sign_kinks, window_kinks
from crosscheck.references.keras.signatures import WEIGHTS, Passed, passed, settings_of, signature_of, takes_target_first, turned_round

NAME = f"Keras {keras.__version__} on JAX {jax.__version__}"

_SEED = "seed_generator_state"
"""Keras' name for the state of a random generator in a layer."""

_WITH_MODES = (keras.layers.BatchNormalization, keras.layers.Dropout)


def oracle(reference: Any, training: bool = False) -> JaxOracle:
    """Return the oracle of a layer, a loss or a function of ``keras.ops``; it computes in the precision of its arguments.

    Parameters
    ----------
    reference : keras.Layer, keras.losses.Loss or callable
        A loss takes the prediction, the target and, if the call has them, weights of the samples under the name ``sample_weight``; so does a function
        whose first arguments are called ``y_true`` and ``y_pred``.
    training : bool
        Whether a layer that has modes is in training mode.

    Raises
    ------
    TypeError
        If Keras runs on another backend, or the layer draws random numbers, so that it cannot be a reference.
    """
    if (backend := keras.backend.backend()) != "jax":
        raise TypeError(f"Keras runs on the backend {backend}, expected jax; set KERAS_BACKEND=jax before keras is imported")
    says = signature(reference)
    if isinstance(reference, keras.losses.Loss):

        def loss(target: Any, prediction: Any, sample_weight: Any = None) -> Any:
            return _loss_in(reference, str(prediction.dtype))(target, prediction, sample_weight)

        function = _in_precision_of_arguments(loss, type(reference).__name__)
        labels = says is None or isinstance(list(says.inputs(2).values())[1], Labels)
        return JaxOracle(function, _loss_theory(reference), labels=labels, name=NAME, arranged=turned_round, signature=says)
    if not isinstance(reference, keras.Layer):
        arranged = turned_round if takes_target_first(reference) else None
        return JaxOracle(_in_precision_of_arguments(reference, title(reference)), name=NAME, arranged=arranged, signature=says)
    if training and any(variable.path.endswith(_SEED) for variable in reference.variables):
        raise TypeError(
            f"keras.layers.{type(reference).__name__} draws its own mask in training, so that no other code can agree with it; "
            "let both sides use the same mask, set rate=0, or compare it in evaluation mode"
        )
    known = _THEORIES[type(reference)](reference) if type(reference) in _THEORIES else {}
    function, shapes = LayerFunction(reference, training), parameter_shapes(reference)
    return JaxOracle(function, shapes=shapes, modes=has_modes(reference), name=NAME, arranged=function.arranged, signature=says, **known)


def signature(reference: Any) -> Signature | None:
    """Return what a layer or loss of Keras says of its arguments and results; None if that is not known."""
    return signature_of(reference)


@contextmanager
def in_precision(dtype: Any) -> Iterator[None]:
    """Make Keras compute, create constants and promote dtypes in a given precision.

    On JAX, a table makes Keras' promotion replace float64 by float32; no public function changes this table.
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
    """A layer as a function of its inputs and, by name, its parameters and buffers; the layer itself is never changed."""

    layer: Any
    training: bool = False
    _made: dict[str, Any] = field(default_factory=dict)

    @property
    def __name__(self) -> str:
        return type(self.layer).__name__

    def arranged(self, arguments: Mapping[str, Any]) -> tuple[Passed]:
        """Return inputs that are given by name as the layer takes them."""
        return (passed(self.layer, arguments),)

    def __call__(self, *inputs: Any, **given: Any) -> Any:
        """Return the output or, if buffers are given, the output and a dict of their new values."""
        arguments = inputs[0] if isinstance(inputs[0], Passed) else Passed(inputs, {})
        dtype = _precision([*jax.tree.leaves((arguments.positional, dict(arguments.named))), *given.values()])
        with in_precision(dtype):
            layer = self._in_precision(dtype, arguments)
            names, buffers = names_of(layer), names_of(layer, trainable=False)
            if unknown := set(given) - set(names) - set(buffers):
                known = ", ".join([*names, *buffers]) or "none"
                raise RefusedError(f"{self.__name__} has no parameter {min(unknown)!r}, which is declared; its parameters and buffers are {known}")
            if missing := [name for name in names if name not in given]:
                raise RefusedError(f"{self.__name__} has a parameter {missing[0]!r}, which is not declared; declare it in params")
            own = {name: variable.value for name, variable in zip(buffers, layer.non_trainable_variables, strict=True)}
            fixed = [given.get(name, own[name]) for name in buffers]
            mode = {"training": self.training} if self.training or has_modes(layer) else {}
            values = [given[name] for name in names]
            output, after = layer.stateless_call(values, fixed, *arguments.positional, **arguments.named, **mode)
        changed = {name: value for name, value in zip(buffers, after, strict=True) if name in given}
        return (output, changed) if changed else output

    def _in_precision(self, dtype: str, arguments: Passed) -> Any:
        """Return a copy of the layer in a precision, created from the layer's config once for each precision."""
        if dtype not in self._made:
            # The variables must be concrete, because later traces use them, too.
            with jax.ensure_compile_time_eval():
                layer = type(self.layer).from_config(_in_dtype(self.layer.get_config(), dtype))
                if not layer.built:
                    self._build(layer, arguments)
                if self.layer.built:
                    for mine, theirs in zip(layer.non_trainable_variables, self.layer.non_trainable_variables, strict=True):
                        mine.assign(np.asarray(theirs.value).astype(str(mine.dtype)))
            self._made[dtype] = layer
        return self._made[dtype]

    def _build(self, layer: Any, arguments: Passed) -> None:
        first = next(iter([*arguments.positional, *arguments.named.values()]))
        if not arguments.named and len(arguments.positional) == 1 and not isinstance(first, list):
            layer.build(first.shape)
        elif self.layer.built:
            layer.build_from_config(self.layer.get_build_config())
        else:
            zeros = jax.tree.map(lambda value: np.zeros(value.shape, value.dtype), (arguments.positional, dict(arguments.named)))
            layer(*zeros[0], **zeros[1])


def _in_dtype(config: Any, dtype: str) -> Any:
    """Return a layer's config, and the configs of its inner layers, with another precision."""
    if isinstance(config, list | tuple):
        return type(config)(_in_dtype(value, dtype) for value in config)
    if not isinstance(config, dict):
        return config

    def is_precision(key: str, value: Any) -> bool:
        return key == "dtype" and (isinstance(value, dict) or str(value).startswith(("float", "bfloat", "mixed")))

    return {key: dtype if is_precision(key, value) else _in_dtype(value, dtype) for key, value in config.items()}


def names_of(layer: Any, trainable: bool = True) -> list[str]:
    """Return the names of a layer's variables: the last parts of their paths if they are unique, else paths such as ``dense.kernel``."""

    def paths(variables: Any) -> list[list[str]]:
        return [variable.path.split("/")[variable.path.startswith(f"{layer.name}/") :] for variable in variables]

    everywhere = [path[-1] for path in paths([*layer.trainable_variables, *layer.non_trainable_variables])]
    unique = len(set(everywhere)) == len(everywhere)
    return [path[-1] if unique else ".".join(path) for path in paths(layer.trainable_variables if trainable else layer.non_trainable_variables)]


def _precision(arguments: Sequence[Any]) -> str:
    """Return the precision of the first argument that holds real numbers."""
    return next((str(value.dtype) for value in arguments if jax.numpy.issubdtype(value.dtype, jax.numpy.floating)), "float64")


def _in_precision_of_arguments(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return the function with a new name; Keras then computes in the precision of the function's arguments."""

    @wraps(function)
    def run(*inputs: Any, **params: Any) -> Any:
        with in_precision(_precision([*inputs, *params.values()])):
            return function(*inputs, **params)

    run.__name__ = name
    return run


def _is_linear(layer: Any) -> bool:
    return layer.activation is keras.activations.linear


def _pooling(layer: Any) -> dict[str, Any]:
    settings = _windows(layer)
    if not settings:
        return {}
    overlapping = any(size > step for size, step in zip(settings["kernel"], settings["stride"], strict=True))
    return {"theory": Selection(overlapping), "settings": settings, "kinks": window_kinks(**settings)}


def _relu(layer: Any) -> dict[str, Any]:
    plain = layer.max_value is None and not layer.negative_slope and not layer.threshold
    return {"theory": Selection(), "kinks": sign_kinks()} if plain else {}


def _windows(layer: Any) -> dict[str, tuple[int, int]]:
    """Return the settings of a layer's windows for fault models; empty if fault models cannot describe these windows."""
    dilated = tuple(getattr(layer, "dilation_rate", (1, 1))) != (1, 1)
    if layer.data_format != "channels_first" or layer.padding != "valid" or dilated:
        return {}
    kernel = layer.kernel_size if hasattr(layer, "kernel_size") else layer.pool_size
    return {"kernel": (kernel[0], kernel[1]), "stride": (layer.strides[0], layer.strides[1]), "padding": (0, 0)}


def _loss_in(loss: Any, dtype: str) -> Any:
    """Return a copy of a loss in another precision.

    It is not created from its config, which lacks settings such as the delta of Huber's loss; ``copy.copy`` would do that.
    """
    own, policy = object.__new__(type(loss)), keras.dtype_policies.get(dtype)
    vars(own).update({**vars(loss), "_dtype_policy": policy, "_dtype": policy.compute_dtype})
    return own


def _loss_theory(loss: Any) -> Rounding:
    config = settings_of(loss)
    known = type(loss) is keras.losses.SparseCategoricalCrossentropy and config["from_logits"] and config.get("ignore_class") is None
    known = known and config.get("axis", -1) in (-1, 1)
    if not known or config["reduction"] not in ("sum", "sum_over_batch_size"):
        return Measured()
    theory = CrossEntropy("sum" if config["reduction"] == "sum" else "mean")
    return Where(lambda call: call.x.ndim == 2 and WEIGHTS not in call.constants, theory)


_THEORIES: dict[type, Callable[[Any], dict[str, Any]]] = {
    keras.layers.Conv2D: lambda layer: {"theory": Multilinear(), "settings": _windows(layer)} if _is_linear(layer) else {},
    keras.layers.Dense: lambda layer: {"theory": Multilinear()} if _is_linear(layer) else {},
    keras.layers.MaxPooling2D: _pooling,
    keras.layers.ReLU: _relu,
    keras.layers.Flatten: lambda layer: {"theory": Selection()},
    keras.layers.Softmax: lambda layer: {"theory": Softmax()} if layer.axis in (1, -1) else {},
}
"""For each class of layers (not its subclasses), a function that returns a layer's arguments for :class:`JaxOracle`, or no arguments."""


def parameter_shapes(reference: Any) -> dict[str, tuple[int, ...]] | None:
    """Return the shapes of a layer's parameters by name; None for a function, or for a layer that is not built yet."""
    if isinstance(reference, keras.Layer) and reference.built:
        return {name: tuple(variable.shape) for name, variable in zip(names_of(reference), reference.trainable_variables, strict=True)}
    return None


def parameter_values(reference: Any) -> Arrays:
    """Return the values of a layer's parameters by name; empty for a function, or for a layer that is not built yet."""
    if isinstance(reference, keras.Layer) and reference.built:
        return {name: np.array(variable.value) for name, variable in zip(names_of(reference), reference.trainable_variables, strict=True)}
    return {}


def has_modes(reference: Any) -> bool:
    """Return whether training and evaluation may differ, because a reference contains a dropout or batch normalisation layer."""
    if isinstance(reference, keras.Layer):
        return isinstance(reference, _WITH_MODES) or any(has_modes(layer) for layer in getattr(reference, "layers", ()))
    return False
