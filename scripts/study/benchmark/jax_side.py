"""JAX's side of the benchmark: the training step is one compiled function of weights, optimizer state and batch, channels last."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from digits.batches import Labels
from jax import lax

import scratch
from crosscheck.adapters.layout import Layout
from crosscheck.core.precision import Array
from crosscheck.oracles.optimizers.rules import RULES
from study.benchmark.sides import EachStep, Images, Masks, Workload

KERNEL, IMAGES = Layout("o i h w -> h w i o"), Layout("n h w c -> n c h w")
"""``KERNEL`` leads from scratch's axis order of a kernel to JAX's, ``IMAGES`` from JAX's axis order of images to scratch's."""


def applied(layer: object, x: Any, params: dict[str, Any], key: Any) -> Any:
    """Return a layer's output, channels last."""
    match layer:
        case scratch.Conv2d():
            y = lax.conv_general_dilated(x, params["weight"], layer.stride, "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
            return y + params["bias"] if "bias" in params else y
        case scratch.MaxPool2d():
            return lax.reduce_window(x, -jnp.inf, lax.max, (1, *layer.kernel_size, 1), (1, *layer.stride, 1), "VALID")
        case scratch.ReLU():
            return jax.nn.relu(x)
        case scratch.Dropout():
            return jnp.where(drawn(layer, key, x.shape), x / (1 - layer.p), 0)
        case scratch.Flatten():
            return x.reshape(len(x), -1)
        case scratch.Linear():
            return x @ params["weight"] + params["bias"]
    raise TypeError(f"the benchmark's side in JAX has no {type(layer).__name__}; add an entry to scripts/study/benchmark/jax_side.py")


def drawn(layer: scratch.Dropout, key: Any, shape: tuple[int, ...]) -> Any:
    """Return the mask that a dropout layer draws with a key."""
    return jax.random.bernoulli(key, 1 - layer.p, shape)


def layouts_of(layers: dict[str, Any]) -> dict[str, Layout]:
    """Return, for each parameter by its name, the layout that leads from scratch's array to that of a channels-last network."""
    layouts, channels, before = dict[str, Layout](), 0, None
    for name, layer in layers.items():
        layouts |= {f"{name}.{own}": KERNEL if value.ndim == 4 else Layout() for own, value in layer.params.items()}
        if isinstance(layer, scratch.Conv2d):
            channels = len(layer.params["weight"])
        if isinstance(layer, scratch.Linear) and isinstance(before, scratch.Flatten):
            side = math.isqrt(len(layer.params["weight"]) // channels)
            layouts[f"{name}.weight"] = Layout("(c h w) k -> (h w c) k", {"c": channels, "h": side, "w": side})
        before = layer
    return layouts


class JaxSide(EachStep):
    """A side with one jitted function, which takes weights, state and a batch and returns the new weights and state."""

    def __init__(self, workload: Workload) -> None:
        training = workload.training()
        self.layers, settings = training.model.layers, workload.settings()
        self._layouts = layouts_of(self.layers)
        self._params = {name: jnp.asarray(layout.to_reference(training.model.params[name])) for name, layout in self._layouts.items()}
        self._state = {name: {state: jnp.zeros_like(value) for state in settings.states} for name, value in self._params.items()}
        self._drops = [name for name, layer in self.layers.items() if isinstance(layer, scratch.Dropout)]
        self._key, self._last = jax.random.key(workload.seed), jax.random.key(workload.seed)

        def loss(params: Any, images: Any, labels: Any, keys: Any) -> Any:
            x = images[..., None].astype(jnp.float32) / 255 - 0.5
            for name, layer in self.layers.items():
                x = applied(layer, x, {own: params[f"{name}.{own}"] for own in layer.params}, keys.get(name))
            return -jnp.take_along_axis(jax.nn.log_softmax(x), labels[:, None], axis=1).mean()

        def step(params: Any, state: Any, key: Any, images: Any, labels: Any) -> Any:
            key, own = jax.random.split(key)
            value, grads = jax.value_and_grad(loss)(params, images, labels, self._keys(own))
            updated = {name: RULES[type(settings)](settings, params[name], grads[name], state[name]) for name in params}
            return {name: one[0] for name, one in updated.items()}, {name: one[1] for name, one in updated.items()}, key, own, value

        self._compiled = jax.jit(step, donate_argnums=(0, 1))
        # Without dropout layers, the step needs no key.
        self._plain = jax.jit(lambda params, state, images, labels: step(params, state, self._key, images, labels), donate_argnums=(0, 1))

    def _keys(self, key: Any) -> dict[str, Any]:
        return dict(zip(self._drops, jax.random.split(key, len(self._drops)), strict=True)) if self._drops else {}

    def step(self, images: Images, labels: Labels) -> float:
        """Do one training step and return its loss."""
        if self._drops:
            self._params, self._state, self._key, self._last, loss = self._compiled(self._params, self._state, self._key, images, labels)
        else:
            self._params, self._state, _, _, loss = self._plain(self._params, self._state, images, labels)
        return float(loss)

    def observed(self, images: Images, labels: Labels) -> tuple[float, Masks]:
        """Do one training step; return its loss and its dropout masks, which the same key draws again."""
        return self.step(images, labels), self._drawn(images.shape)

    def _drawn(self, shape: tuple[int, ...]) -> Masks:
        found: dict[str, Any] = {}
        keys, x = self._keys(self._last), jax.ShapeDtypeStruct((*shape, 1), jnp.float32)
        for name, layer in self.layers.items() if self._drops else ():
            if isinstance(layer, scratch.Dropout):
                mask = np.asarray(drawn(layer, keys[name], x.shape))
                found[name] = IMAGES.to_reference(mask) if mask.ndim == 4 else mask
            else:
                params = {own: self._params[f"{name}.{own}"] for own in layer.params}
                x = jax.eval_shape(partial(applied, layer), x, params, None)
        return found

    def params(self) -> dict[str, Array]:
        """Return copies of the parameters in scratch's layouts."""
        return {name: np.array(layout.to_subject(np.asarray(self._params[name]))) for name, layout in self._layouts.items()}
