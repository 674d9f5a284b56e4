"""JAX: a reference network that trains independently of the subject; each step is one compiled function.

The backward pass calls the vjp of one layer after another. A step with a trace compiles each layer separately: in one function, XLA may compute a
value twice, with different rounding errors, and the trace would not show the arrays that the step used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial, reduce
from itertools import dropwhile
from operator import add
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from crosscheck.core.operation import Constants, Labels
from crosscheck.core.precision import Array
from crosscheck.core.subject import Outcome
from crosscheck.core.trace import Trace
from crosscheck.core.training import Snapshot, TrainState
from crosscheck.oracles.network import INPUT, LOSS, Architecture
from crosscheck.oracles.optimizers import Update
from crosscheck.oracles.optimizers.rules import RULES
from crosscheck.oracles.theories import Scaling
from crosscheck.references.functions import applied
from crosscheck.references.jax.noise.perturbed import Numbers
from crosscheck.references.jax.oracle import NAME, JaxOracle, described, device_of, full_precision
from crosscheck.references.networks import NetworkReference, below, in_order, kept_arrays, kept_state

Key = tuple[str, str]

Named = dict[str, Any]

Noise = tuple[Named, npt.NDArray[np.float64]]
"""The relative sizes of the perturbations, by ``layer/quantity``, and the random numbers of a step, with mean 0 and variance 1."""


def layers_of(reference: object, loss: object) -> dict[str, JaxOracle]:
    """Return the layers of a chain by name; ``TypeError`` unless they are oracles with known parameters and the loss takes labels."""
    if not isinstance(reference, Mapping) or not reference:
        raise TypeError(
            f"the reference is a {type(reference).__name__}, expected a dict of names and crosscheck.references.jax.oracle.JaxOracle, in order"
        )
    for name, layer in reference.items():
        if not isinstance(layer, JaxOracle) or layer.shapes is None:
            shown = "JaxOracle without shapes" if isinstance(layer, JaxOracle) else type(layer).__name__
            raise TypeError(f"the layer {name} is a {shown}, expected a JaxOracle(..., shapes=...) with the shapes of its parameters")
    if not isinstance(loss, JaxOracle) or not loss.labels:
        raise TypeError(f"the loss is a {type(loss).__name__}, expected a JaxOracle with labels=True")
    if LOSS in reference:
        raise TypeError(f"a layer has the name {LOSS!r}, which is reserved for the loss; rename the layer")
    return dict(reference)


def parameter_shapes(layer: JaxOracle) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a layer's parameters by name."""
    return dict(layer.shapes or {})


@dataclass(frozen=True)
class JaxNetwork(NetworkReference[JaxOracle]):
    """A reference network of JAX functions; the shapes of each function's parameters are known."""

    @property
    def name(self) -> str:
        """The framework and its version, for reports."""
        return NAME

    def __post_init__(self) -> None:
        device_of(self.device)

    @property
    def place(self) -> str:
        """The device and, for a GPU, its model, for reports."""
        return described(device_of(self.device))

    def computing(self) -> AbstractContextManager[None]:
        """Set up JAX for the network's device and precision."""
        return full_precision(device_of(self.device), self.tf32)

    @property
    def architecture(self) -> Architecture:
        """The oracles of the layers, the loss and the optimizer, with their connections."""
        device = device_of(self.device)
        layers = {name: replace(layer, device=device) for name, layer in self.layers.items()}
        params = {name: tuple(parameter_shapes(layer)) for name, layer in self.layers.items()}
        buffers = {name: tuple(layer.buffers) for name, layer in self.layers.items() if layer.buffers}
        masked = {name: layer.theory.p for name, layer in self.layers.items() if layer.masked and isinstance(layer.theory, Scaling)}
        return Architecture(layers, replace(self.loss, device=device), Update(self.settings), params, self.frozen, self.sources, buffers, masked)

    def training(self, dtype: npt.DTypeLike = np.float64, noise: Mapping[Key, float] | None = None, seed: int = 0) -> JaxTraining:
        """Return a reference that trains independently of the subject; all references of this network share one compiled step."""
        return JaxTraining(self, dtype, noise, seed)

    @cached_property
    def last(self) -> str:
        """The name of the last layer, whose output the loss gets."""
        return list(self.layers)[-1]

    @cached_property
    def trained(self) -> list[str]:
        """The names of the layers that need a backward pass: the first layer that trains, and all later layers."""
        return list(dropwhile(lambda name: not self.layers[name].shapes or name in self.frozen, self.layers))

    @cached_property
    def compiled(self) -> Any:
        """One training step without a trace, compiled."""
        return jax.jit(lambda *arguments: self.step(*arguments)[:3])

    @cached_property
    def forwards(self) -> dict[str, Any]:
        """Each layer's compiled function of its input, parameters, buffers and masks, which returns its output and its new buffers.

        Layers with the same oracle share a function, so that it is compiled once.
        """
        known = {id(layer): jax.jit(partial(_forward, layer)) for layer in self.layers.values()}
        return {name: known[id(layer)] for name, layer in self.layers.items()}

    @cached_property
    def objective(self) -> Any:
        """The loss as a compiled function of the last layer's output and the labels."""
        return jax.jit(lambda y, labels: self.loss.called({"input": y, "labels": labels}))

    @cached_property
    def updated(self) -> Any:
        """The update of one parameter, compiled."""
        return jax.jit(self.update)

    @cached_property
    def predicting(self) -> Any:
        """The forward pass in evaluation mode, compiled."""
        return jax.jit(self._predict)

    def update(self, param: Any, grad: Any, state: Mapping[str, Any], lr: Any) -> tuple[Any, Named]:
        """Return a parameter and its state after a step with learning rate ``lr``, which replaces the rate in the settings."""
        return RULES[type(self.settings)](replace(self.settings, lr=lr), param, grad, {"step": jnp.zeros((), param.dtype), **state})

    def _predict(self, kept: Kept, x: Any) -> Any:
        outputs: Named = {INPUT: x}
        for name, layer in self.layers.items():
            named = {**below(kept.params, name), **below(kept.buffers, name)}
            result = applied(layer.evaluation or layer.function, (self._input(name, outputs),), named)
            outputs[name] = result[0] if layer.buffers else result
        return outputs[self.last]

    def _input(self, name: str, outputs: Named) -> Any:
        return reduce(add, (outputs[source] for source in self.wiring[name]))

    def count(self, kept: Kept, x: Any, labels: Any, masks: Named) -> int:
        """Return how many random numbers a perturbed step needs."""
        numbers = Numbers()
        jax.eval_shape(lambda: self._run(kept, x, labels, masks, _Perturbation({}, numbers), self.settings.lr))
        return numbers.dealt

    def step(self, kept: Kept, x: Any, labels: Any, masks: Named, noise: Noise | None, lr: Any) -> tuple[Kept, Any, Any, Named]:
        """Do a training step; return the new state, the loss, the last output, and all intermediate arrays by kind and name."""
        scales, numbers = noise or (None, None)
        return self._run(kept, x, labels, masks, _Perturbation(scales, Numbers(numbers)), lr)

    def _run(self, kept: Kept, x: Any, labels: Any, masks: Named, perturbation: _Perturbation, lr: Any) -> tuple[Kept, Any, Any, Named]:
        inputs: Named = {}
        outputs: Named = {INPUT: x}
        pulls: Named = {}
        buffers = dict(kept.buffers)
        for name in self.layers:
            inputs[name] = self._input(name, outputs)
            forward = partial(self.forwards[name], buffers=below(kept.buffers, name), masks=(masks[name],) if name in masks else ())
            output, pulls[name], after = jax.vjp(forward, inputs[name], below(kept.params, name), has_aux=True)
            outputs[name] = perturbation.perturbed(output, (name, "output"))
            buffers.update({f"{name}.{own}": perturbation.perturbed(value, (name, own)) for own, value in after.items()})
        last = outputs[self.last]
        loss, pull = jax.vjp(lambda y: self.objective(y, labels), last)
        cotangents, grads, grad_inputs = self._backward(pulls, pull(jnp.ones_like(loss))[0], perturbation)
        params, state = dict(kept.params), dict(kept.state)
        for key, grad in grads.items():
            layer_name, _, own = key.rpartition(".")
            grads[key] = perturbation.perturbed(grad, (layer_name, f"{own}.grad"))
            updated, state[key] = self.updated(params[key], grads[key], kept.state.get(key, {}), lr)
            params[key] = perturbation.perturbed(updated, (layer_name, own))
        seen = {"input": inputs, "output": outputs, "grad_output": cotangents, "grad_input": grad_inputs, "grads": grads, "buffers": buffers}
        return Kept(params, state, buffers), loss, last, seen

    def _backward(self, pulls: Named, grad_loss: Any, perturbation: _Perturbation) -> tuple[Named, Named, Named]:
        """Return the cotangents, the parameter gradients and the input gradients of all layers that the backward pass reaches."""
        if not self.trained:
            return {}, {}, {}
        arrived: dict[str, list[tuple[str, Any]]] = {name: [] for name in self.trained}
        arrived[self.trained[-1]].append((LOSS, grad_loss))
        cotangents: Named = {}
        grads: Named = {}
        grad_inputs: Named = {LOSS: grad_loss}
        for name in reversed(self.trained):
            if not arrived[name]:
                continue
            whole = reduce(add, (value for _, value in arrived[name]))
            cotangents[name] = perturbation.perturbed(whole, *((consumer, "grad_input") for consumer, _ in arrived[name]))
            grad_inputs[name], own = pulls[name](cotangents[name])
            if name not in self.frozen:
                grads.update({f"{name}.{parameter}": grad for parameter, grad in own.items()})
            for source in self.wiring[name]:
                if source in arrived:
                    arrived[source].append((name, grad_inputs[name]))
        return cotangents, grads, grad_inputs


def _forward(layer: JaxOracle, x: Any, params: Named, buffers: Named, masks: tuple[Any, ...]) -> tuple[Any, Named]:
    """Return a layer's output and its new buffers."""
    result = applied(layer.function, (x, *masks), {**params, **buffers})
    return result if buffers else (result, {})


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Kept:
    """The state of a training between steps: parameters and buffers, named ``layer.name``, and each parameter's optimizer state."""

    params: Named
    state: dict[str, Named]
    buffers: Named


@dataclass(frozen=True)
class _Perturbation:
    """The random perturbation of one value after another; if ``scales`` is None, values stay unchanged."""

    scales: Named | None = None
    numbers: Numbers = field(default_factory=Numbers)

    def perturbed(self, value: Any, *places: Key) -> Any:
        """Return ``value * (1 + scale * xi)`` with random xi for each element; ``scale`` is the largest scale of the given places."""
        if self.scales is None:
            return value
        scale = jnp.stack([self.scales.get("/".join(place), jnp.zeros(())) for place in places]).max()
        # Not value * (1 + scale * xi): this factor is rounded more coarsely above 1 than below 1, so values would shrink on average.
        return value + value * (scale * self.numbers.deal(value.shape)).astype(value.dtype)


class JaxTraining:
    """A network that trains with JAX. All arrays are zero until :meth:`load`. Arguments: see :data:`crosscheck.core.training.MakeTraining`."""

    def __init__(self, network: JaxNetwork, dtype: npt.DTypeLike = np.float64, noise: Mapping[Key, float] | None = None, seed: int = 0) -> None:
        self.network, self.dtype = network, np.dtype(dtype)
        self._scales = None if noise is None else {"/".join(place): np.float64(scale) for place, scale in noise.items()}
        self._seed, self._steps = seed, 0
        self._counts: dict[tuple[int, ...], int] = {}
        layers = network.layers.items()
        params = {f"{name}.{own}": np.zeros(shape, dtype) for name, layer in layers for own, shape in parameter_shapes(layer).items()}
        buffers = {f"{name}.{own}": np.zeros(shape, dtype) for name, layer in layers for own, shape in layer.buffers.items()}
        self._kept = Kept(params, {}, buffers)
        self._params, self._buffers = list(params), list(buffers)

    @property
    def params(self) -> dict[str, Array]:
        """The parameters, named ``layer.parameter``."""
        return {name: np.array(self._kept.params[name]) for name in self._params}

    @property
    def buffers(self) -> dict[str, Array]:
        """The layers' buffers, named ``layer.buffer``."""
        return {name: np.array(self._kept.buffers[name]) for name in self._buffers}

    @property
    def state(self) -> dict[str, dict[str, Array]]:
        """The optimizer's states of each parameter, with the harness's names; empty before the first step."""
        kept = _sorted(self._kept.state, self._params)
        return {key: {name: np.array(value) for name, value in own.items()} for key, own in kept.items() if own}

    def load(self, start: TrainState) -> None:
        """Set the parameters, the buffers and the optimizer's state; states that are not given are cleared."""
        state = {key: {name: self._own(value) for name, value in own.items()} for key, own in start.state.items() if own}
        params = {name: self._own(start.params[name]) for name in self._params}
        self._kept = Kept(params, state, {name: self._own(start.buffers[name]) for name in self._buffers})

    def _own(self, value: Array) -> Array:
        return np.array(value, self.dtype)

    def step(
        self, x: Array, labels: Labels, trace: Trace | None = None, constants: Mapping[str, Constants] | None = None, lr_factor: float = 1.0
    ) -> Outcome:
        """Do a training step on ``(batch, channels, height, width)`` images and ``(batch,)`` labels; ``trace`` records all quantities in order."""
        masks = {name: own["mask"] for name, own in (constants or {}).items() if "mask" in own}
        with self.network.computing():
            given = (self._kept, self._own(x), np.asarray(labels), masks)
            # The rate is an argument, so that a new rate needs no compilation. As a Python float, it takes the precision of the parameters.
            lr = self.network.settings.lr * lr_factor
            noise = self._noise(given)
            # The whole step would be compiled twice, because the optimizer has no state before the first step.
            if trace is None and (noise or self._steps):
                self._kept, loss, last = self.network.compiled(*given, noise, lr)
            else:
                self._kept, loss, last, seen = self.network.step(*given, noise, lr)
        self._steps += 1
        if trace is not None:
            seen |= {"grads": _sorted(seen["grads"], self._params), "buffers": _sorted(seen["buffers"], self._buffers)}
            for layer, quantity, value in in_order(list(self.network.layers), seen, loss):
                trace.take(layer, quantity, np.array(value))
        return Outcome(float(loss), np.array(last))

    def _noise(self, given: tuple[Any, ...]) -> Noise | None:
        """Return the noise of the next step, which is uniform like rounding errors and depends only on the seed and the number of steps."""
        if self._scales is None:
            return None
        shape = given[1].shape
        if shape not in self._counts:
            self._counts[shape] = self.network.count(*given)
        rng = np.random.default_rng([self._seed, self._steps])
        return self._scales, rng.uniform(-math.sqrt(3), math.sqrt(3), self._counts[shape])

    def predict(self, x: Array) -> Array:
        """Return the last layer's output for a batch, in evaluation mode."""
        with self.network.computing():
            return np.array(self.network.predicting(self._kept, self._own(x)))

    def snapshot(self) -> Snapshot:
        """Return the parameters, the buffers, the optimizer's state, and the number of steps, on which the noise depends."""
        return Snapshot(kept_arrays(self), {"steps": self._steps})

    def restore(self, snapshot: Snapshot) -> None:
        """Restore a snapshot from a training of the same network with the same noise."""
        self._steps = int(snapshot.facts["steps"])
        self.load(kept_state(snapshot.arrays))


def _sorted(arrays: Named, names: list[str]) -> Named:
    """Return arrays in the order of ``names``, because JAX returns dicts sorted by name."""
    return {name: arrays[name] for name in names if name in arrays}


Network = JaxNetwork
"""The network class for :func:`crosscheck.references.resolve.resolved_training`."""
