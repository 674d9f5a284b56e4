"""Wrong use of a scratch layer is one error, which names the layer, what was found and what was expected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import scratch

rng = np.random.default_rng


def conv(**options: Any) -> scratch.Conv2d:
    """Return a convolution of three channels into two."""
    return scratch.Conv2d(3, 2, 3, rng=rng(0), **options)


def linear(**options: Any) -> scratch.Linear:
    """Return a linear layer of five features into two."""
    return scratch.Linear(5, 2, rng=rng(0), **options)


def loss(logits: Any, labels: Any) -> Any:
    """Return a loss."""
    return scratch.SoftmaxCrossEntropy().forward(logits, np.asarray(labels))


def after(layer: Any, x: Any, grad_output: Any) -> Any:
    """Run a layer forward, and back with this cotangent."""
    layer.forward(x)
    return layer.backward(grad_output)


def stepped(params: dict[str, Any], grads: dict[str, Any]) -> None:
    """Do one step of gradient descent."""
    scratch.SGD(params, 0.1).step(grads)


@dataclass(frozen=True)
class Misuse:
    """Something that must be refused: the kind of error, and what its message must have in it."""

    name: str
    action: Callable[[], Any]
    error: type[Exception]
    pieces: tuple[str, ...]


IMAGES = np.zeros((2, 3, 5, 5))
MISUSES = [
    Misuse("conv-integers", lambda: conv().forward(IMAGES.astype(int)), TypeError, ("Conv2d", "int64", "floats", "astype")),
    Misuse("conv-other-dtype", lambda: conv().forward(IMAGES.astype(np.float32)), TypeError, ("Conv2d", "float32", "float64", "dtype=")),
    Misuse("conv-three-axes", lambda: conv().forward(IMAGES[0]), ValueError, ("Conv2d", "(3, 5, 5)", "batch, channels, height, width")),
    Misuse("conv-channels", lambda: conv().forward(IMAGES[:, :2]), ValueError, ("Conv2d", "2", "3")),
    Misuse("conv-small-image", lambda: conv().forward(IMAGES[..., :2]), ValueError, ("(5, 2)", "(3, 3)")),
    Misuse("conv-kernel-0", lambda: scratch.Conv2d(1, 1, 0, rng=rng(0)), ValueError, ("kernel_size=0", "at least 1")),
    Misuse("conv-stride-0", lambda: conv(stride=(1, 0)), ValueError, ("stride=(1, 0)", "at least 1")),
    Misuse("conv-padding-negative", lambda: conv(padding=-1), ValueError, ("padding=-1", "at least 0")),
    Misuse("conv-backward-first", lambda: conv().backward(np.zeros((2, 2, 3, 3))), RuntimeError, ("Conv2d", "before forward")),
    Misuse("conv-cotangent", lambda: after(conv(), IMAGES, np.zeros((2, 2, 5, 5))), ValueError, ("Conv2d", "(2, 2, 5, 5)", "(2, 2, 3, 3)")),
    Misuse("conv-in-channels-0", lambda: scratch.Conv2d(0, 1, 3, rng=rng(0)), ValueError, ("in_channels=0", "at least 1")),
    Misuse("conv-out-channels", lambda: scratch.Conv2d(1, 2.5, 3, rng=rng(0)), ValueError, ("out_channels=2.5", "whole number")),  # type: ignore[arg-type]
    Misuse("conv-kernel-triple", lambda: scratch.Conv2d(1, 1, (3, 3, 3), rng=rng(0)), ValueError, ("kernel_size=(3, 3, 3)", "pair")),  # type: ignore[arg-type]
    Misuse("conv-stride-float", lambda: conv(stride=1.5), ValueError, ("stride=1.5", "whole numbers")),
    Misuse("conv-padding-word", lambda: conv(padding="valid"), ValueError, ("padding='valid'", '"same"', "at least 0")),
    Misuse("conv-padding-none", lambda: conv(padding=None), ValueError, ("padding=None", "whole numbers", "pair")),
    Misuse("conv-dilation-0", lambda: conv(dilation=(0, 1)), ValueError, ("dilation=(0, 1)", "at least 1")),
    Misuse("conv-groups-0", lambda: conv(groups=0), ValueError, ("groups=0", "at least 1")),
    Misuse("conv-groups-pair", lambda: conv(groups=(1, 1)), ValueError, ("groups=(1, 1)", "whole number")),
    Misuse("conv-groups-in", lambda: scratch.Conv2d(3, 4, 3, groups=2, rng=rng(0)), ValueError, ("groups=2", "in_channels=3", "divisor")),
    Misuse("conv-groups-out", lambda: conv(groups=3), ValueError, ("groups=3", "out_channels=2", "divisor")),
    Misuse("conv-group-channels", lambda: scratch.Conv2d(4, 2, 3, groups=2, rng=rng(0)).forward(IMAGES), ValueError, ("3 channels", "2 groups")),
    Misuse("conv-dilated-small", lambda: conv(dilation=3).forward(IMAGES), ValueError, ("(5, 5)", "(3, 3)", "dilation (3, 3)", "(7, 7)")),
    Misuse("conv-same-empty", lambda: conv(padding="same").forward(IMAGES[..., :0]), ValueError, ("(5, 0)", "smaller")),
    Misuse("conv-init-shape", lambda: conv(init=lambda *_: np.zeros(3)), ValueError, ("init", "(3,)", "(2, 3, 3, 3)")),
    Misuse("conv-init-dtype", lambda: conv(init=lambda shape, *_: np.zeros(shape, int)), ValueError, ("init", "int64", "float64")),
    Misuse("conv-init-list", lambda: conv(init=lambda *_: [1.0]), ValueError, ("init", "(1,)", "(2, 3, 3, 3)")),
    Misuse("average-padding", lambda: scratch.AvgPool2d(2, padding=2), ValueError, ("padding=2", "half of kernel_size=2")),
    Misuse("average-integers", lambda: scratch.AvgPool2d(2).forward(IMAGES.astype(int)), TypeError, ("AvgPool2d", "int64", "floats")),
    Misuse("average-small-image", lambda: scratch.AvgPool2d(6).forward(IMAGES), ValueError, ("(5, 5)", "(6, 6)")),
    Misuse("average-backward-first", lambda: scratch.AvgPool2d(2).backward(IMAGES), RuntimeError, ("AvgPool2d", "before forward")),
    Misuse("average-cotangent", lambda: after(scratch.AvgPool2d(2), IMAGES, IMAGES), ValueError, ("AvgPool2d", "(2, 3, 5, 5)", "(2, 3, 2, 2)")),
    Misuse("global-rows", lambda: scratch.GlobalAveragePool2d().forward(IMAGES[0, 0]), ValueError, ("GlobalAveragePool2d", "(5, 5)", "channels")),
    Misuse("global-empty", lambda: scratch.GlobalAveragePool2d().forward(IMAGES[..., :0]), ValueError, ("(2, 3, 5, 0)", "no mean")),
    Misuse("global-backward-first", lambda: scratch.GlobalAveragePool2d().backward(IMAGES), RuntimeError, ("GlobalAveragePool2d", "before forward")),
    Misuse("global-cotangent", lambda: after(scratch.GlobalAveragePool2d(), IMAGES, IMAGES), ValueError, ("(2, 3, 5, 5)", "(2, 3)")),
    Misuse("pad-triple", lambda: scratch.ZeroPad2d((1, 2, 3)), ValueError, ("padding=(1, 2, 3)", "(top, bottom, left, right)")),  # type: ignore[arg-type]
    Misuse("pad-negative", lambda: scratch.ZeroPad2d((1, -1)), ValueError, ("padding=-1", "at least 0")),
    Misuse("pad-float", lambda: scratch.ZeroPad2d(0.5), ValueError, ("padding=0.5", "whole number")),  # type: ignore[arg-type]
    Misuse("pad-backward-first", lambda: scratch.ZeroPad2d(1).backward(IMAGES), RuntimeError, ("ZeroPad2d", "before forward")),
    Misuse("pad-cotangent", lambda: after(scratch.ZeroPad2d(1), IMAGES, IMAGES), ValueError, ("ZeroPad2d", "(2, 3, 5, 5)", "(2, 3, 7, 7)")),
    Misuse("pool-integers", lambda: scratch.MaxPool2d(2).forward(IMAGES.astype(int)), TypeError, ("MaxPool2d", "int64", "floats")),
    Misuse("pool-small-image", lambda: scratch.MaxPool2d(6).forward(IMAGES), ValueError, ("(5, 5)", "(6, 6)")),
    Misuse("pool-padding", lambda: scratch.MaxPool2d(3, padding=2), ValueError, ("padding=2", "half of kernel_size=3")),
    Misuse("pool-tie-rule", lambda: scratch.MaxPool2d(2, ties="best"), ValueError, ("ties='best'", "first", "last", "all", "split")),  # type: ignore[arg-type]
    Misuse("pool-backward-first", lambda: scratch.MaxPool2d(2).backward(IMAGES), RuntimeError, ("MaxPool2d", "before forward")),
    Misuse("pool-cotangent", lambda: after(scratch.MaxPool2d(2), IMAGES, IMAGES), ValueError, ("MaxPool2d", "(2, 3, 5, 5)", "(2, 3, 2, 2)")),
    Misuse("relu-integers", lambda: scratch.ReLU().forward(IMAGES.astype(int)), TypeError, ("ReLU", "int64", "floats")),
    Misuse("relu-backward-first", lambda: scratch.ReLU().backward(IMAGES), RuntimeError, ("ReLU", "before forward")),
    Misuse("relu-cotangent", lambda: after(scratch.ReLU(), IMAGES, IMAGES[:1]), ValueError, ("ReLU", "(1, 3, 5, 5)", "(2, 3, 5, 5)")),
    Misuse("flatten-one-axis", lambda: scratch.Flatten().forward(np.zeros(3)), ValueError, ("Flatten", "(3,)", "batch")),
    Misuse("flatten-backward-first", lambda: scratch.Flatten().backward(np.zeros((2, 75))), RuntimeError, ("Flatten", "before forward")),
    Misuse("flatten-cotangent", lambda: after(scratch.Flatten(), IMAGES, IMAGES), ValueError, ("Flatten", "(2, 3, 5, 5)", "(2, 75)")),
    Misuse("linear-features", lambda: linear().forward(np.zeros((2, 4))), ValueError, ("Linear", "4", "5")),
    Misuse("linear-images", lambda: linear().forward(IMAGES), ValueError, ("Linear", "(2, 3, 5, 5)")),
    Misuse("linear-other-dtype", lambda: linear().forward(np.zeros((2, 5), np.float32)), TypeError, ("Linear", "float32", "float64")),
    Misuse("linear-backward-first", lambda: linear().backward(np.zeros((2, 2))), RuntimeError, ("Linear", "before forward")),
    Misuse("linear-cotangent", lambda: after(linear(), np.zeros((2, 5)), np.zeros((2, 3))), ValueError, ("Linear", "(2, 3)", "(2, 2)")),
    Misuse("loss-images", lambda: loss(IMAGES, [0, 1]), ValueError, ("SoftmaxCrossEntropy", "(2, 3, 5, 5)", "(batch, classes)")),
    Misuse("loss-integers", lambda: loss(np.zeros((2, 3), int), [0, 1]), ValueError, ("SoftmaxCrossEntropy", "int64", "floats")),
    Misuse("loss-labels-short", lambda: loss(np.zeros((2, 3)), [0]), ValueError, ("SoftmaxCrossEntropy", "(1,)", "(2,)")),
    Misuse("loss-labels-float", lambda: loss(np.zeros((2, 3)), [0.0, 1.0]), ValueError, ("SoftmaxCrossEntropy", "float64", "integers")),
    Misuse("loss-label-large", lambda: loss(np.zeros((2, 3)), [0, 3]), ValueError, ("0 to 3", "0 to 2")),
    Misuse("loss-label-negative", lambda: loss(np.zeros((2, 3)), [-1, 0]), ValueError, ("-1 to 0", "0 to 2")),
    Misuse("loss-backward-first", lambda: scratch.SoftmaxCrossEntropy().backward(), RuntimeError, ("SoftmaxCrossEntropy", "before forward")),
    Misuse("sequential-empty", scratch.Sequential, ValueError, ("Sequential", "at least one layer")),
    Misuse("sequential-freeze", lambda: scratch.Sequential(conv=conv()).freeze("softmax"), ValueError, ("'softmax'", "conv")),
    Misuse("sgd-lr", lambda: scratch.SGD({}, float("nan")), ValueError, ("lr=nan", "at least 0")),
    Misuse("sgd-momentum", lambda: scratch.SGD({}, 0.1, momentum=-0.5), ValueError, ("momentum=-0.5", "at least 0")),
    Misuse("sgd-weight-decay", lambda: scratch.SGD({}, 0.1, weight_decay=-1.0), ValueError, ("weight_decay=-1.0", "at least 0")),
    Misuse("sgd-dampening", lambda: scratch.SGD({}, 0.1, dampening=float("inf")), ValueError, ("dampening=inf", "finite")),
    Misuse("sgd-nesterov", lambda: scratch.SGD({}, 0.1, nesterov=True), ValueError, ("nesterov", "momentum=0.0")),
    Misuse("sgd-no-gradient", lambda: stepped({"w": np.zeros(3)}, {}), KeyError, ("SGD", "no gradient for w", "backward")),
    Misuse("sgd-gradient-shape", lambda: stepped({"w": np.zeros(3)}, {"w": np.zeros(1)}), ValueError, ("SGD", "w", "(1,)", "(3,)")),
]


@pytest.mark.parametrize("misuse", [pytest.param(misuse, id=misuse.name) for misuse in MISUSES])
def test_misuse(misuse: Misuse) -> None:
    with pytest.raises(misuse.error) as caught:
        misuse.action()
    message = str(caught.value)
    assert [piece for piece in misuse.pieces if piece not in message] == []


def test_refused_step_changes_nothing() -> None:
    params = {"a": np.ones(3), "b": np.ones(3)}
    with pytest.raises(ValueError, match="gradient for b"):
        stepped(params, {"a": np.ones(3), "b": np.ones(1)})
    assert params["a"].tolist() == [1, 1, 1]
