"""Time each layer alone, forward and backward, in scratch and PyTorch: on its input in a network that sees digits, and a random upstream gradient.

Both implementations of a layer are judged on the arrays that they are timed on. The first layer, which gets images, does not compute its input
gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from digits.batches import scaled
from torch import nn

import scratch
from crosscheck.adapters.layout import LayerLayout
from crosscheck.core.check_layer import context_of, quantities
from crosscheck.core.judge import Facts, Judgement, Kind, judge
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array, Precision
from crosscheck.core.trace import Place
from reference import pytorch
from reference.copying import layout_of
from study.benchmark.judge import wrong
from study.benchmark.rounds import Pace, Run, alternated, repeated
from study.benchmark.sides import DTYPE, Workload, digits
from study.workers import report


@dataclass(frozen=True)
class Alone:
    """A layer of scratch, its version in PyTorch, and the arrays to run both on."""

    layer: scratch.Layer
    module: nn.Module
    layout: LayerLayout
    x: Array
    grad_output: Array
    first: bool  # whether this is the first layer, which does not compute its input gradient

    def backward(self) -> Array | None:
        """Run scratch's backward pass and return the gradient of the input; None for the first layer."""
        if self.first:
            self.layer.backward_params(self.grad_output)
            return None
        return self.layer.backward(self.grad_output)

    def tensors(self) -> list[torch.Tensor]:
        """Return the input and the parameters as tensors; all require gradients, except the input of the first layer."""
        x = torch.from_numpy(self.x).requires_grad_(not self.first)
        return [x, *self.module.parameters()]


def measured(workloads: Sequence[dict[str, Any]], threads: int, pace: dict[str, Any]) -> Facts:
    """Return the times of each layer and direction, and which layers are wrong."""
    found: dict[str, list[Any]] = {"layers": [], "wrong": []}
    for given in workloads:
        workload = Workload(**given)
        which = {"network": workload.network, "batch": workload.batch, "threads": threads}
        for name, alone in _alone(workload).items():
            report(f"{workload.network}, batch {workload.batch}: {name} alone")
            complaints = {side: wrong(judgements) for side, judgements in _judged(name, alone).items()}
            for side, words in complaints.items():
                found["wrong"] += [{**which, "side": side, "words": words}] if words else []
            if any(complaints.values()):
                continue
            for direction, runs in _runs(alone).items():
                times = alternated(runs, Pace(**pace))
                milliseconds = {f"{side}_milliseconds": times.milliseconds(side) for side in runs}
                row = {**which, "layer": name, "direction": direction, **milliseconds, "times_scratch": times.times("torch", "scratch")}
                found["layers"].append(row)
    return found


def _alone(workload: Workload) -> dict[str, Alone]:
    """Return each layer with its input and an upstream gradient."""
    model, (images, _) = workload.training().model, digits(workload.batch, 1)[0]
    x, rng, found = scaled(images, DTYPE), np.random.default_rng(0), dict[str, Alone]()
    for name, layer in model.layers.items():
        output = layer.forward(x)
        module = nn.Dropout(layer.p) if isinstance(layer, scratch.Dropout) else pytorch.twin(layer).float()
        layout = layout_of(layer)
        with torch.no_grad():
            for ours, p in layout.params.items():
                module.get_parameter(p.name).copy_(torch.from_numpy(p.layout.to_reference(layer.params[ours])))
        found[name] = Alone(layer, module, layout, x, rng.standard_normal(output.shape).astype(DTYPE), first=not found)
        x = output
    return found


def _judged(name: str, alone: Alone) -> dict[str, list[Judgement]]:
    """Judge both sides by the oracle, in PyTorch's layout."""
    oracle = pytorch.network({name: alone.layer}, scratch.SoftmaxCrossEntropy(), Workload("tutorial", 1).settings()).architecture.layers[name]
    found: dict[str, dict[str, Array | None]] = {"scratch": {"output": alone.layer.forward(alone.x)}, "torch": {}}
    found["scratch"]["grad_input"] = alone.backward()
    found["scratch"] |= {f"{p.name}.grad": p.layout.to_reference(alone.layer.grads[ours]) for ours, p in alone.layout.params.items()}
    tensors = alone.tensors()
    output = alone.module(tensors[0])
    found["torch"]["output"] = output.detach().numpy()
    if output.requires_grad:
        output.backward(torch.from_numpy(alone.grad_output))
    grads = [None if tensor.grad is None else tensor.grad.numpy() for tensor in tensors]
    found["torch"] |= dict(zip(["grad_input", *(f"{own}.grad" for own, _ in alone.module.named_parameters())], grads, strict=True))
    params = {p.name: p.layout.to_reference(alone.layer.params[ours]) for ours, p in alone.layout.params.items()}
    return {side: _compared(name, oracle, Call(alone.x, params, alone.grad_output, _mask(alone, own)), own) for side, own in found.items()}


def _mask(alone: Alone, own: dict[str, Array | None]) -> dict[str, Any]:
    """Return a dropout layer's mask: it kept the elements with a nonzero input gradient, because the random upstream gradient is nowhere zero."""
    return {"mask": own["grad_input"] != 0} if isinstance(alone.layer, scratch.Dropout) else {}


def _compared(name: str, oracle: Any, call: Call, found: dict[str, Array | None]) -> list[Judgement]:
    asked = [quantity for quantity in quantities(call) if found.get(quantity) is not None]
    precision = Precision(DTYPE, sum(np.asarray(found[quantity]).size for quantity in asked))
    context = context_of(oracle, call, precision)
    values = ((quantity, np.asarray(found[quantity])) for quantity in asked)
    return [judge(Place(1, name, q), Kind.ISOLATED, value, context.expected[q], context.bounds[q], precision) for q, value in values]


def _runs(alone: Alone) -> dict[str, dict[str, Run]]:
    """Return the runs to time, by direction and side."""
    tensors, cotangent = alone.tensors(), torch.from_numpy(alone.grad_output)
    asked = [tensor for tensor in tensors if tensor.requires_grad]
    alone.layer.forward(alone.x)
    output = alone.module(tensors[0])
    forward = {"scratch": repeated(lambda: alone.layer.forward(alone.x)), "torch": repeated(lambda: alone.module(tensors[0]))}
    if not asked:
        return {"forward": forward}
    grad = {"scratch": repeated(alone.backward), "torch": repeated(lambda: torch.autograd.grad(output, asked, cotangent, retain_graph=True))}
    return {"forward": forward, "backward": grad}
