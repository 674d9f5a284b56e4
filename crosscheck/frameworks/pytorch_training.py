"""PyTorch: a whole network that trains, step by step, on its own."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.optim.sgd import sgd as functional_sgd

from crosscheck.architecture import Architecture
from crosscheck.arithmetic import Array
from crosscheck.frameworks import pytorch_snapshot
from crosscheck.frameworks.pytorch import NAME, array, oracle, takes_labels, tensor
from crosscheck.freerun import MakeTraining
from crosscheck.operation import Arrays
from crosscheck.snapshot import Snapshot
from crosscheck.subject import Outcome
from crosscheck.trace import Trace
from crosscheck.update import SgdSettings

__all__ = ["NAME", "TorchSgd", "TorchTraining", "architecture", "layers_of", "make_training", "parameter_shapes"]

Labels = npt.NDArray[np.integer[Any]]


def layers_of(reference: object, loss: object) -> dict[str, nn.Module]:
    """Return the layers of a chain by name.

    Raises
    ------
    TypeError
        If it is no chain of layers with a loss that takes labels, or names are not unique.
    """
    if not isinstance(reference, nn.Sequential) or not len(reference):
        raise TypeError(f"the reference is a {type(reference).__name__}, expected a torch.nn.Sequential of one layer after another")
    if not isinstance(loss, nn.Module) or not takes_labels(loss):
        raise TypeError(f"the loss is a {type(loss).__name__}, expected torch.nn.CrossEntropyLoss() or another loss module that takes labels")
    layers = dict(reference.named_children())
    if "loss" in layers:
        raise TypeError("a layer is called 'loss', which is what the loss itself is called; rename it")
    for name, layer in layers.items():
        own = [parameter.rpartition(".")[2] for parameter, _ in layer.named_parameters()]
        if len(set(own)) < len(own):
            raise TypeError(f"the layer {name} holds several parameters of the same name; make each of its modules a layer of the chain")
    return layers


def parameter_shapes(layer: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a layer's parameters by their own names."""
    return {name.rpartition(".")[2]: tuple(value.shape) for name, value in layer.named_parameters()}


def architecture(modules: Mapping[str, nn.Module], loss: nn.Module, settings: SgdSettings, frozen: frozenset[str] = frozenset()) -> Architecture:
    """Return the oracles of named modules, of their loss and of their optimizer.

    Raises
    ------
    TypeError
        If no error theory is known for one of them.
    """
    oracles = {name: oracle(module) for name, module in modules.items()}
    names = {name: tuple(parameter_shapes(module)) for name, module in modules.items()}
    return Architecture(oracles, oracle(loss), TorchSgd(settings), names, frozen)


def make_training(modules: Mapping[str, nn.Module], loss: nn.Module, settings: SgdSettings, frozen: frozenset[str] = frozenset()) -> MakeTraining:
    """Return a maker of references that train on their own."""

    def make(dtype: npt.DTypeLike, noise: Mapping[tuple[str, str], float] | None, seed: int) -> TorchTraining:
        return TorchTraining(modules, loss, settings, frozen, dtype, noise, seed)

    return make


@dataclass(frozen=True)
class TorchSgd:
    """torch.optim.SGD as a pure function, in the precision of the arrays that it is given."""

    settings: SgdSettings

    def update(self, params: Arrays, grads: Arrays, state: Arrays) -> tuple[dict[str, Array], dict[str, Array]]:
        """Return the parameters and momentum buffers after one step."""
        s = self.settings
        names = list(params)
        values, slopes = [tensor(params[name]) for name in names], [tensor(grads[name]) for name in names]
        buffers: list[torch.Tensor | None] = [tensor(state[name]) if name in state else None for name in names]
        functional_sgd(
            values,
            slopes,
            buffers,
            foreach=False,
            lr=s.lr,
            momentum=s.momentum,
            dampening=s.dampening,
            nesterov=s.nesterov,
            weight_decay=s.weight_decay,
            maximize=False,
        )
        updated = {name: array(value) for name, value in zip(names, values, strict=True)}
        return updated, {name: array(buffer) for name, buffer in zip(names, buffers, strict=True) if buffer is not None}


class Jitter(torch.autograd.Function):
    """Multiply by (1 + scale * xi), xi random, and the gradient by another such factor: rounding, done at random and enlarged as one likes."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor, scale: float, scale_grad: float, generator: torch.Generator) -> torch.Tensor:
        """Return the perturbed value."""
        ctx.scale_grad, ctx.generator = scale_grad, generator
        return perturbed(value, scale, generator)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        """Return the perturbed gradient."""
        return perturbed(grads[0], ctx.scale_grad, ctx.generator), None, None, None


def perturbed(value: torch.Tensor, scale: float, generator: torch.Generator) -> torch.Tensor:
    """Return ``value * (1 + scale * xi)`` with xi of mean 0 and variance 1, uniform as rounding errors are, independent for each element."""
    # Single precision is plenty for a random factor, and much faster to draw.
    uniform = torch.rand(value.shape, generator=generator, dtype=torch.float32)
    return value * (uniform.to(value.dtype).sub_(0.5).mul_(scale * math.sqrt(12)).add_(1))


class TorchTraining:
    """A chain of named modules with its loss and optimizer.

    Parameters
    ----------
    modules : mapping of str to torch.nn.Module
        The layers in order; they are copied.
    loss : torch.nn.Module
        Called with the last output and the labels.
    settings : SgdSettings
    frozen : set of str
        Layers whose parameters do not train.
    dtype : dtype
        The precision of everything.
    noise : mapping of (str, str) to float, optional
        Relative size of a random perturbation for each (layer, quantity) that is computed: a reference with perturbed rounding.
    seed : int
        Of the perturbation.
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        loss: nn.Module,
        settings: SgdSettings,
        frozen: frozenset[str] = frozenset(),
        dtype: npt.DTypeLike = np.float64,
        noise: Mapping[tuple[str, str], float] | None = None,
        seed: int = 0,
    ) -> None:
        self.dtype = np.dtype(dtype)
        precision = tensor(np.zeros(0, self.dtype)).dtype
        self.modules = {name: copy.deepcopy(module).to(precision) for name, module in modules.items()}
        self.loss, self.settings, self.noise = loss, settings, noise
        self._generator = torch.Generator().manual_seed(seed)
        for name in frozen:
            self.modules[name].requires_grad_(False)
        self._tensors = {
            f"{layer}.{name.rpartition('.')[2]}": value for layer, module in self.modules.items() for name, value in module.named_parameters()
        }
        trained = [value for value in self._tensors.values() if value.requires_grad]
        self._first = next((name for name, m in self.modules.items() if any(p.requires_grad for p in m.parameters())), None)
        self._optimizer = torch.optim.SGD(trained, **asdict(settings)) if trained else None

    @property
    def params(self) -> dict[str, Array]:
        """The parameters, named ``layer.parameter``."""
        return {name: array(value) for name, value in self._tensors.items()}

    @property
    def state(self) -> dict[str, Array]:
        """The momentum buffers, named like the parameters; empty before the first step."""
        if self._optimizer is None:
            return {}
        buffers = {name: self._optimizer.state[value].get("momentum_buffer") for name, value in self._tensors.items() if value.requires_grad}
        return {name: array(value) for name, value in buffers.items() if value is not None}

    def load(self, params: Arrays, state: Arrays) -> None:
        """Take over parameters and momentum buffers; buffers that are not given are forgotten."""
        with torch.no_grad():
            for name, value in self._tensors.items():
                value.copy_(tensor(params[name]))
        for name, value in self._tensors.items():
            if self._optimizer is not None and value.requires_grad:
                self._optimizer.state[value]["momentum_buffer"] = tensor(state[name].astype(self.dtype)) if name in state else None

    def snapshot(self) -> Snapshot:
        """Return parameters, buffers, the optimizer's state, and the state of the generator of the noise."""
        return pytorch_snapshot.taken(self._kept(), self._optimizer, self._generator)

    def restore(self, snapshot: Snapshot) -> None:
        """Take over a snapshot of a training of the same modules, optimizer and noise."""
        pytorch_snapshot.given(snapshot, self._kept(), self._optimizer, self._generator)

    def _kept(self) -> dict[str, torch.Tensor]:
        """Return the tensors themselves of all parameters and buffers."""
        buffers = {f"{layer}.{name}": value for layer, module in self.modules.items() for name, value in module.named_buffers()}
        return {**self._tensors, **buffers}

    def predict(self, x: Array) -> Array:
        """Return the last layer's output for a batch."""
        with torch.no_grad():
            value = tensor(x.astype(self.dtype))
            for module in self.modules.values():
                value = module(value)
        return array(value)

    def step(self, x: Array, labels: Labels, trace: Trace | None = None) -> Outcome:
        """Do one training step.

        Parameters
        ----------
        x : array of shape (batch, channels, height, width)
        labels : integer array of shape (batch,)
        trace : Trace, optional
            Gets every layer's input, output, cotangent and gradients, in execution order.
        """
        inputs, outputs = self._forward(tensor(x.astype(self.dtype)), traced=trace is not None)
        last = next(reversed(outputs.values()))
        loss: torch.Tensor = self.loss(last, torch.from_numpy(np.array(labels)))
        if self._optimizer is not None:
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self._jitter_gradients()
        if trace is not None:
            self._record(trace, inputs, outputs, loss)
        if self._optimizer is not None:
            self._optimizer.step()
            self._jitter_parameters()
        return Outcome(float(loss.detach()), array(last))

    def _forward(self, value: torch.Tensor, traced: bool) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Return each layer's input and output; traced ones keep their gradients."""
        inputs: dict[str, torch.Tensor] = {}
        outputs: dict[str, torch.Tensor] = {}
        for name, module in self.modules.items():
            if traced and name == self._first:
                value = value.detach().requires_grad_()
            inputs[name] = value
            value = self._jitter(name, module(value))
            outputs[name] = value
            if traced and value.requires_grad:
                value.retain_grad()
        return inputs, outputs

    def _jitter(self, layer: str, value: torch.Tensor) -> torch.Tensor:
        """Perturb a layer's output, and on the way back the gradient that the next layer returned for it."""
        if self.noise is None:
            return value
        names = [*self.modules, "loss"]
        following = names[names.index(layer) + 1]
        scale, scale_grad = self.noise.get((layer, "output"), 0.0), self.noise.get((following, "grad_input"), 0.0)
        if not scale and not scale_grad:
            return value
        return cast("torch.Tensor", Jitter.apply(value, scale, scale_grad, self._generator))

    def _jitter_gradients(self) -> None:
        """Perturb the gradients of the parameters."""
        if self.noise is None:
            return
        for name, value in self._tensors.items():
            layer, _, quantity = name.partition(".")
            if value.grad is not None:
                value.grad = perturbed(value.grad, self.noise.get((layer, f"{quantity}.grad"), 0.0), self._generator)

    def _jitter_parameters(self) -> None:
        """Perturb the parameters after an update."""
        if self.noise is None:
            return
        with torch.no_grad():
            for name, value in self._tensors.items():
                layer, _, quantity = name.partition(".")
                if value.requires_grad:
                    value.copy_(perturbed(value, self.noise.get((layer, quantity), 0.0), self._generator))

    def _record(self, trace: Trace, inputs: dict[str, torch.Tensor], outputs: dict[str, torch.Tensor], loss: torch.Tensor) -> None:
        for name in self.modules:
            trace.record(name, "input", array(inputs[name]))
            trace.record(name, "output", array(outputs[name]))
        last = next(reversed(outputs.values()))
        trace.record("loss", "input", array(last))
        trace.record("loss", "output", array(loss))
        if last.grad is not None:
            trace.record("loss", "grad_input", array(last.grad))
        for name in reversed(self.modules):
            if outputs[name].grad is None:
                break
            trace.record(name, "grad_output", array(outputs[name].grad))
            grad_input = inputs[name].grad
            if grad_input is not None:
                trace.record(name, "grad_input", array(grad_input))
            for key, value in self._tensors.items():
                layer, _, quantity = key.partition(".")
                if layer == name and value.grad is not None:
                    trace.record(name, f"{quantity}.grad", array(value.grad))
