"""Layers in every convention of other people's code that compute with PyTorch, in their own layout: right, but for a fault that a test plants.

A row of the table of layers is a module, how its subject orders the axes, and the shape of one input. A row of the table of conventions turns such a
layer into a subject.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import nn

from crosscheck.adapters.functions import Functions, LossFunction
from crosscheck.adapters.layout import Layout
from crosscheck.adapters.match_params import parse
from crosscheck.adapters.objects import Attributes, Dicts, Updating
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array
from crosscheck.pairs.pair import Pair
from crosscheck.references.pytorch.oracle import oracle

Factors = Mapping[str, float]
"""What quantities are multiplied by, by the subject's names: the fault."""

LOSS = "loss"


@dataclass(frozen=True)
class Layer:
    """A row: a module and how its subject is written.

    Attributes
    ----------
    module : torch.nn.Module
    shape : tuple of int
        Of the input, in the reference's layout.
    params : mapping
        As declared in a pair.
    input, output : str
        Patterns of a subject that takes a batch.
    """

    module: nn.Module
    shape: tuple[int, ...]
    params: Mapping[str, str] = field(default_factory=dict)
    input: str = ""
    output: str = ""

    @property
    def labelled(self) -> bool:
        """Whether it is a loss."""
        return isinstance(self.module, nn.CrossEntropyLoss)

    def own(self) -> dict[str, Array]:
        values = {name: np.ones(tuple(value.shape)) for name, value in self.module.named_parameters()}
        declared = {name: parse(name, text, {}) for name, text in self.params.items()}
        return {name: np.array(p.layout.to_subject(values[p.name]), order="C") for name, p in declared.items()}


LINEAR = {"W": "weight: i o -> o i", "b": "bias"}
LAYERS = {
    "linear": Layer(nn.Linear(5, 3), (3, 5), LINEAR),
    "conv-nchw": Layer(nn.Conv2d(2, 3, (3, 2), padding=1), (2, 2, 5, 4), {"W": "weight", "b": "bias"}),
    "conv-nhwc": Layer(
        nn.Conv2d(2, 3, 3, stride=2), (2, 2, 6, 5), {"W": "weight: kh kw i o -> o i kh kw", "b": "bias"}, "n h w c -> n c h w", "n h w c -> n c h w"
    ),
    "relu": Layer(nn.ReLU(), (2, 3, 4)),
    "pool": Layer(nn.MaxPool2d(2), (2, 2, 5, 4)),
    LOSS: Layer(nn.CrossEntropyLoss(), (4, 6)),
    "loss-sum": Layer(nn.CrossEntropyLoss(reduction="sum"), (4, 6)),
}


@dataclass(frozen=True)
class Kernel:
    """What all conventions compute with.

    Attributes
    ----------
    layer : Layer
    factors : mapping
    one_sample : bool
        Whether inputs and outputs have no batch axis.
    """

    layer: Layer
    factors: Factors = field(default_factory=dict)
    one_sample: bool = False

    def vjp(self, x: Array, params: Mapping[str, Array], grad_output: Array | None = None, labels: Any = None) -> dict[str, Any]:
        """Return output and gradients in the subject's layout, each times its factor; the parameters' under the subject's names."""
        declared = {name: parse(name, text, {}) for name, text in self.layer.params.items()}
        given = {p.name: p.layout.to_reference(params[name]) for name, p in declared.items()}
        constants = {} if labels is None else {"labels": np.atleast_1d(labels)}
        cotangent = None if grad_output is None else self._there(grad_output, self.layer.output)
        result = oracle(self.layer.module).vjp(Call(self._there(x, self.layer.input), given, cotangent, constants))
        own = {"output": self._back(result["output"], self.layer.output)}
        if grad_output is not None:
            own["grad_input"] = self._back(result["grad_input"], self.layer.input)
            own |= {f"{name}.grad": np.array(p.layout.to_subject(result[f"{p.name}.grad"])) for name, p in declared.items()}
        return {name: value * value.dtype.type(self.factors.get(name, 1)) for name, value in own.items()}

    def _there(self, array: Array, pattern: str) -> Array:
        array = np.asarray(array)
        return Layout(pattern).to_reference(array[None] if self.one_sample and array.ndim else array)

    def _back(self, array: Array, pattern: str) -> Array:
        if not array.ndim:
            return array
        own = Layout(pattern).to_subject(array)
        return np.array(own[0] if self.one_sample else own)


class ObjectLayer:
    """``params`` and ``grads`` in two dicts."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel, self.params = kernel, kernel.layer.own()
        self.grads: dict[str, Array] = {}
        self.x: Any = None
        self.labels: Any = None

    def forward(self, x: Array, labels: Any = None) -> Any:
        self.x, self.labels = x.copy(), labels
        return self.kernel.vjp(x, self.params, None, labels)["output"]

    def backward(self, grad_output: Array) -> Any:
        """Return the input's gradient and replace those of the parameters."""
        result = self.kernel.vjp(self.x, self.params, grad_output, self.labels)
        self.grads = {name: result[f"{name}.grad"] for name in self.params}
        return result["grad_input"]


class AddingLayer:
    """``parameters``, and ``gradients`` that are added to."""

    def __init__(self, kernel: Kernel) -> None:
        self._inner = ObjectLayer(kernel)
        self.parameters = self._inner.params
        self.gradients = {name: np.zeros_like(value) for name, value in self.parameters.items()}

    def forward(self, x: Array, labels: Any = None) -> Any:
        """Return the output; the parameters are those of the layer inside, under a name of its own."""
        return self._inner.forward(x, labels)

    def backward(self, grad_output: Array) -> Any:
        """Return the input's gradient and add to those of the parameters."""
        grad_input = self._inner.backward(grad_output)
        for name, value in self._inner.grads.items():
            self.gradients[name] += value
        return grad_input


class AttributeLayer:
    """``W``, ``b``, ``dW``, ``db``."""

    W: Array
    b: Array

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        vars(self).update(kernel.layer.own())

    def _params(self) -> dict[str, Array]:
        return {name: getattr(self, name) for name in self.kernel.layer.params}

    def forward(self, x: Array, labels: Any = None) -> Any:
        self._x, self._labels = x.copy(), labels
        return self.kernel.vjp(x, self._params(), None, labels)["output"]

    def backward(self, grad_output: Array) -> Any:
        """Return the input's gradient and store those of the parameters."""
        result = self.kernel.vjp(self._x, self._params(), grad_output, self._labels)
        vars(self).update({f"d{name}": result[f"{name}.grad"] for name in self.kernel.layer.params})
        return result["grad_input"]


class UpdatingLayer(AttributeLayer):
    """Updates at once."""

    def backprop(self, grad_output: Array, learn_rate: float = 0.0) -> Any:
        result = self.kernel.vjp(self._x, self._params(), grad_output, self._labels)
        for name, value in self._params().items():
            setattr(self, name, value - value.dtype.type(learn_rate) * result[f"{name}.grad"])
        return result["grad_input"]


def functions(kernel: Kernel, cache: bool) -> Functions:
    """Return two functions, with a cache or without."""
    names = tuple(kernel.layer.params)

    def forward_one(x: Array) -> Any:
        output = kernel.vjp(x, {})["output"]
        return (output, (x,)) if cache else output

    def forward_three(x: Array, W: Array, b: Array) -> Any:  # noqa: N803
        output = kernel.vjp(x, {"W": W, "b": b})["output"]
        return (output, (x, W, b)) if cache else output

    def results(grad_output: Array, x: Array, *params: Array) -> Any:
        result = kernel.vjp(x, dict(zip(names, params, strict=True)), grad_output)
        return (result["grad_input"], *(result[f"{name}.grad"] for name in names))

    def backward_cache(dout: Array, cache: Any) -> Any:
        return results(dout, *cache)

    def backward_one(dout: Array, x: Array) -> Any:
        return results(dout, x)

    def backward_three(dout: Array, x: Array, W: Array, b: Array) -> Any:  # noqa: N803
        return results(dout, x, W, b)

    again = backward_three if names else backward_one
    return Functions(forward_three if names else forward_one, backward_cache if cache else again, cache=cache, one_sample=kernel.one_sample)


def loss_function(kernel: Kernel) -> LossFunction:

    def loss(scores: Array, labels: Any) -> Any:
        result = kernel.vjp(scores, {}, np.ones((), scores.dtype), labels)
        return result["output"], result["grad_input"]

    return LossFunction(loss, one_sample=kernel.one_sample)


Convention = Callable[[Kernel], Any]

CONVENTIONS: dict[str, Convention] = {
    "dicts": lambda kernel: Dicts(ObjectLayer(kernel), one_sample=kernel.one_sample),
    "accumulating": lambda kernel: Dicts(AddingLayer(kernel), "parameters", "gradients", accumulates=True, one_sample=kernel.one_sample),
    "attributes": lambda kernel: Attributes(AttributeLayer(kernel), tuple(kernel.layer.params), one_sample=kernel.one_sample),
    "updating": lambda kernel: Updating(UpdatingLayer(kernel), tuple(kernel.layer.params), one_sample=kernel.one_sample),
    "functions-cache": lambda kernel: functions(kernel, cache=True),
    "functions-again": lambda kernel: functions(kernel, cache=False),
    "loss-function": loss_function,
}


def fits(convention: str, layer: str) -> bool:
    if convention == "loss-function":
        return LAYERS[layer].labelled
    return not (LAYERS[layer].labelled and convention.startswith("functions"))


def pair_of(convention: str, layer: str, samples: str = "batch", factors: Factors | None = None, **options: Any) -> Pair:
    """Return a pair of the tables; a subject of one sample at a time declares patterns for a batch of one."""
    row = LAYERS[layer]
    one = samples == "one"
    subject = CONVENTIONS[convention](Kernel(row, factors or {}, one))
    patterns = {
        name: pattern.replace("n h w c -> n c h w", "h w c -> 1 c h w") if one else pattern
        for name, pattern in (("input", row.input), ("output", row.output))
    }
    reduction = "sum" if layer == "loss-sum" else "mean"
    return Pair(subject, row.module, [row.shape], row.params, **patterns, reduction=reduction, name=f"{convention}-{layer}", **options)  # type: ignore[arg-type]
