"""PyTorch: a reference network that trains independently of the subject, step by step."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from crosscheck.core.operation import Constants, Labels
from crosscheck.core.precision import Array
from crosscheck.core.subject import Outcome
from crosscheck.core.trace import Trace
from crosscheck.core.training import Snapshot, TrainState
from crosscheck.oracles.network import INPUT, LOSS, Architecture, consumers_in
from crosscheck.oracles.optimizers import AdadeltaSettings, AdamSettings, RmspropSettings, Settings, SgdSettings, Update
from crosscheck.oracles.optimizers.rules import COUNTERS
from crosscheck.references.networks import NetworkReference, in_order, kept_arrays, kept_state
from crosscheck.references.pytorch.device import computing, described, device_of
from crosscheck.references.pytorch.modules import SharedDropout
from crosscheck.references.pytorch.oracle import NAME, array, oracle, takes_labels, tensor
from crosscheck.references.pytorch.perturb_rounding import Perturbation

Key = tuple[str, str]


def layers_of(reference: object, loss: object) -> dict[str, nn.Module]:
    """Return the layers of a chain by name; ``TypeError`` if ``reference`` is not a chain, the loss takes no labels, or names repeat."""
    if not isinstance(reference, nn.Sequential) or not len(reference):
        raise TypeError(f"the reference is a {type(reference).__name__}, expected a torch.nn.Sequential of one layer after another")
    if not isinstance(loss, nn.Module) or not takes_labels(loss):
        raise TypeError(f"the loss is a {type(loss).__name__}, expected torch.nn.CrossEntropyLoss() or another loss module that takes labels")
    layers = dict(reference.named_children())
    if "loss" in layers:
        raise TypeError("a layer has the name 'loss', which is reserved for the loss; rename the layer")
    for name, layer in layers.items():
        own = [parameter.rpartition(".")[2] for parameter, _ in layer.named_parameters()]
        if len(set(own)) < len(own):
            raise TypeError(f"the layer {name} has several parameters of the same name, expected unique names; make each of its modules a layer")
    return layers


def parameter_shapes(layer: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a layer's parameters by the last part of their names, without the names of inner modules."""
    return {name.rpartition(".")[2]: tuple(value.shape) for name, value in layer.named_parameters()}


@dataclass(frozen=True)
class TorchNetwork(NetworkReference[nn.Module]):
    """A reference network of PyTorch modules."""

    name = NAME

    def __post_init__(self) -> None:
        device_of(self.device)

    @property
    def place(self) -> str:
        """The device and, for a GPU, its model, for reports."""
        return described(device_of(self.device))

    @property
    def architecture(self) -> Architecture:
        """The oracles of the layers, the loss and the optimizer, with their connections."""
        oracles = {name: oracle(module, self.device) for name, module in self.layers.items()}
        params = {name: tuple(parameter_shapes(module)) for name, module in self.layers.items()}
        buffers = {name: own for name, module in self.layers.items() if (own := tuple(running_statistics(module)))}
        masked = {name: float(module.p) for name, module in self.layers.items() if isinstance(module, SharedDropout)}
        return Architecture(oracles, oracle(self.loss, self.device), Update(self.settings), params, self.frozen, self.sources, buffers, masked)

    def training(self, dtype: npt.DTypeLike = np.float64, noise: Mapping[Key, float] | None = None, seed: int = 0) -> TorchTraining:
        """Return a reference that trains independently of the subject."""
        return TorchTraining(self, dtype, noise, seed)


def running_statistics(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return a module's running means and variances by the last part of their names, without its count of batches."""
    return {name.rpartition(".")[2]: value for name, value in module.named_buffers() if value.is_floating_point()}


class TorchTraining:
    """Copies of a network's modules, trained with autograd and torch.optim. For the arguments see :data:`crosscheck.core.training.MakeTraining`."""

    def __init__(self, network: TorchNetwork, dtype: npt.DTypeLike = np.float64, noise: Mapping[Key, float] | None = None, seed: int = 0) -> None:
        self.dtype = np.dtype(dtype)
        self.device, self.tf32 = device_of(network.device), network.tf32
        self.precision = tensor(np.zeros(0, self.dtype)).dtype
        self.modules = {name: copy.deepcopy(module).to(self.device, self.precision) for name, module in network.layers.items()}
        self.loss = copy.deepcopy(network.loss).to(self.device)
        self._generator = torch.Generator().manual_seed(seed)
        self._perturbation = None if noise is None else Perturbation(noise, self._generator)
        self._wiring, self._consumers = network.wiring, consumers_in(network.wiring)
        for name in network.frozen:
            self.modules[name].requires_grad_(False)
        self._tensors = {
            f"{layer}.{name.rpartition('.')[2]}": value for layer, module in self.modules.items() for name, value in module.named_parameters()
        }
        self._buffers = {f"{layer}.{name}": value for layer, module in self.modules.items() for name, value in running_statistics(module).items()}
        trained = [value for value in self._tensors.values() if value.requires_grad]
        self._first = next((name for name, m in self.modules.items() if any(p.requires_grad for p in m.parameters())), None)
        self._lr = network.settings.lr
        self._optimizer = optimizer(network.settings, trained) if trained else None

    @property
    def params(self) -> dict[str, Array]:
        """The parameters, named ``layer.parameter``."""
        return {name: array(value) for name, value in self._tensors.items()}

    @property
    def buffers(self) -> dict[str, Array]:
        """The running statistics, named ``layer.buffer``."""
        return {name: array(value) for name, value in self._buffers.items()}

    @property
    def state(self) -> dict[str, dict[str, Array]]:
        """The optimizer's states of each parameter, with the harness's names; empty before the first step."""
        if self._optimizer is None:
            return {}
        kept = {name: self._optimizer.state[value] for name, value in self._tensors.items() if value in self._optimizer.state}
        return {
            name: {_OURS.get(theirs, theirs): array(torch.as_tensor(value)) for theirs, value in own.items() if value is not None}
            for name, own in kept.items()
        }

    def load(self, start: TrainState) -> None:
        """Set the parameters, the buffers and the optimizer's state; states that are not given are cleared."""
        with torch.no_grad():
            for kept, given in ((self._tensors, start.params), (self._buffers, start.buffers)):
                for name, value in kept.items():
                    value.copy_(tensor(given[name]))
        if self._optimizer is None:
            return
        theirs = {ours: name for name, ours in _OURS.items()}
        # PyTorch's Adadelta and RMSprop need the number of steps as an entry, but do not use it; other implementations do not count steps.
        counts = isinstance(self._optimizer, torch.optim.Adadelta | torch.optim.RMSprop)
        self._optimizer.state.clear()
        for name, value in self._tensors.items():
            if value.requires_grad and start.state.get(name):
                state = {theirs.get(own, own): self._state_tensor(own, one) for own, one in start.state[name].items()}
                self._optimizer.state[value] = ({"step": torch.zeros(())} if counts else {}) | state

    def _state_tensor(self, name: str, value: Array) -> torch.Tensor:
        """Return an optimizer state as PyTorch stores it: a step counter in float32 on the CPU, other states on the parameter's device."""
        return tensor(value.astype(np.float32)) if name in COUNTERS else tensor(value.astype(self.dtype), self.device)

    def snapshot(self) -> Snapshot:
        """Return the parameters, the buffers, the optimizer's state, and the state of the random generator."""
        return Snapshot({"generator": array(self._generator.get_state()), **kept_arrays(self)}, {})

    def restore(self, snapshot: Snapshot) -> None:
        """Restore a snapshot of a training of the same modules, optimizer and noise."""
        self._generator.set_state(tensor(snapshot.arrays["generator"]))
        self.load(kept_state(snapshot.arrays))

    def predict(self, x: Array) -> Array:
        """Return the last layer's output for a batch, in evaluation mode."""
        for module in self.modules.values():
            module.eval()
        with self._computing(), torch.no_grad():
            outputs = self._forward(tensor(x.astype(self.dtype), self.device), {}, traced=False)[1]
        for module in self.modules.values():
            module.train()
        return array(next(reversed(outputs.values())))

    def step(
        self, x: Array, labels: Labels, trace: Trace | None = None, constants: Mapping[str, Constants] | None = None, lr_factor: float = 1.0
    ) -> Outcome:
        """Do a training step on ``(batch, channels, height, width)`` images and ``(batch,)`` labels; ``trace`` records all quantities in order."""
        with self._computing():
            for group in () if self._optimizer is None else self._optimizer.param_groups:
                group["lr"] = self._lr * lr_factor
            return self._step(tensor(x.astype(self.dtype), self.device), tensor(labels, self.device), trace, constants or {})

    def _computing(self) -> AbstractContextManager[None]:
        return computing(self.device, self.precision, self.tf32)

    def _step(self, x: torch.Tensor, labels: torch.Tensor, trace: Trace | None, constants: Mapping[str, Constants]) -> Outcome:
        inputs, outputs = self._forward(x, constants, traced=trace is not None)
        last = next(reversed(outputs.values()))
        loss: torch.Tensor = self.loss(last, labels)
        if self._optimizer is not None:
            for value in self._tensors.values():
                value.grad = None
            loss.backward()
        if self._perturbation is not None:
            self._perturbation.gradients(self._tensors)
            self._perturbation.values(self._buffers)
        if trace is not None:
            for layer, quantity, value in in_order(list(self.modules), self._computed(inputs, outputs), loss):
                trace.take(layer, quantity, array(value))
        if self._optimizer is not None:
            self._optimizer.step()
        if self._perturbation is not None:
            self._perturbation.values({name: value for name, value in self._tensors.items() if value.requires_grad})
        return Outcome(float(array(loss)), array(last))

    def _forward(self, x: torch.Tensor, constants: Mapping[str, Constants], traced: bool) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Return each layer's input and output by name; if ``traced``, these tensors keep their gradients."""
        inputs: dict[str, torch.Tensor] = {}
        outputs: dict[str, torch.Tensor] = {}
        for name, module in self.modules.items():
            value = reduce(add, (x if source == INPUT else outputs[source] for source in self._wiring[name]))
            if traced:
                # Each layer gets a separate view, so that layers with the same input have separate input gradients.
                value = value.detach().requires_grad_() if name == self._first else value.view_as(value)
            inputs[name] = value
            mask = constants.get(name, {}).get("mask")
            value = module(value) if mask is None else module(value, tensor(mask, self.device))
            outputs[name] = value if self._perturbation is None else self._perturbation.output(value, name, self._consumers[name])
            for kept in (inputs[name], outputs[name]):
                if traced and kept.requires_grad:
                    kept.retain_grad()
        return inputs, outputs

    def _computed(self, inputs: dict[str, torch.Tensor], outputs: dict[str, torch.Tensor]) -> dict[str, dict[str, Any]]:
        """Return the arrays of a step as :func:`crosscheck.references.networks.in_order` needs them."""
        grad_output = {name: value.grad for name, value in outputs.items() if value.grad is not None}
        grad_input = {name: value.grad for name, value in inputs.items() if name in grad_output and value.grad is not None}
        grads = {name: value.grad for name, value in self._tensors.items() if value.grad is not None}
        last = next(reversed(outputs))
        if last in grad_output:
            grad_input[LOSS] = grad_output[last]
        return {"input": inputs, "output": outputs, "grad_output": grad_output, "grad_input": grad_input, "grads": grads, "buffers": self._buffers}


def optimizer(settings: Settings, tensors: list[torch.Tensor]) -> torch.optim.Optimizer:
    """Return PyTorch's optimizer with these settings."""
    options = asdict(settings)
    if isinstance(settings, AdamSettings):
        # The default weight decay of AdamW differs from Adam's, but here the decay is always given.
        kind = torch.optim.AdamW if options.pop("decoupled") else torch.optim.Adam
        return kind(tensors, **options)
    kinds = {SgdSettings: torch.optim.SGD, AdadeltaSettings: torch.optim.Adadelta, RmspropSettings: torch.optim.RMSprop}
    return kinds[type(settings)](tensors, **options)


_OURS = {"momentum_buffer": "momentum"}
"""For PyTorch's names of optimizer states, the harness's names if they differ."""

Network = TorchNetwork
"""The network class for :func:`crosscheck.references.resolve.resolved_training`."""
