"""Wrong use of a scratch layer is one error, which names the layer, what was found and what was expected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import scratch
from scratch import fast

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


def dropout(p: float = 0.5, training: bool = True) -> scratch.Dropout:
    """Return a dropout in a mode."""
    layer = scratch.Dropout(p, rng=rng(0))
    layer.training = training
    return layer


def batchnorm(training: bool = True, **options: Any) -> scratch.BatchNorm2d:
    """Return a normalisation of three channels in a mode."""
    layer = scratch.BatchNorm2d(3, **options)
    layer.training = training
    return layer


def after(layer: Any, x: Any, grad_output: Any) -> Any:
    """Run a layer forward, and back with this cotangent."""
    layer.forward(x)
    return layer.backward(grad_output)


def stepped(params: dict[str, Any], grads: dict[str, Any], kind: Callable[..., scratch.Optimizer] = scratch.SGD) -> None:
    """Do one step of an optimizer."""
    kind(params, lr=0.1).step(grads)


@dataclass(frozen=True)
class Misuse:
    """Something that must be refused: the kind of error, and what its message must have in it."""

    name: str
    action: Callable[[], Any]
    error: type[Exception]
    pieces: tuple[str, ...]


IMAGES, ROWS, LABELS = np.zeros((2, 3, 5, 5)), np.zeros((2, 3)), np.array([0, 1])
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
    Misuse("dropout-p", lambda: dropout(1.0), ValueError, ("Dropout", "p=1.0", "at least 0 and below 1")),
    Misuse("dropout-p-nan", lambda: dropout(float("nan")), ValueError, ("Dropout", "p=nan")),
    Misuse("dropout-integers", lambda: dropout().forward(IMAGES.astype(int)), TypeError, ("Dropout", "int64", "floats")),
    Misuse("dropout-mask-floats", lambda: dropout().forward(IMAGES, IMAGES), ValueError, ("Dropout", "float64", "expected bool", "(2, 3, 5, 5)")),  # type: ignore[arg-type]
    Misuse("dropout-mask-shape", lambda: dropout().forward(IMAGES, IMAGES[0] > 0), ValueError, ("Dropout", "(3, 5, 5)", "(2, 3, 5, 5)")),
    Misuse(
        "dropout-mask-evaluation", lambda: dropout(training=False).forward(IMAGES, IMAGES > 0), ValueError, ("Dropout", "evaluation", "training=")
    ),
    Misuse("dropout-backward-first", lambda: dropout().backward(IMAGES), RuntimeError, ("Dropout", "before forward")),
    Misuse("dropout-cotangent", lambda: after(dropout(), IMAGES, IMAGES[:1]), ValueError, ("Dropout", "(1, 3, 5, 5)", "(2, 3, 5, 5)")),
    Misuse("batchnorm-features", lambda: scratch.BatchNorm1d(0), ValueError, ("BatchNorm1d", "num_features=0", "at least 1")),
    Misuse("batchnorm-eps", lambda: batchnorm(eps=0), ValueError, ("BatchNorm2d", "eps=0", "above 0")),
    Misuse("batchnorm-momentum", lambda: batchnorm(momentum=1.5), ValueError, ("BatchNorm2d", "momentum=1.5", "0 to 1")),
    Misuse("batchnorm-variance", lambda: batchnorm(running_variance="n"), ValueError, ("BatchNorm2d", "'n'", "unbiased", "biased")),
    Misuse("batchnorm-rows", lambda: batchnorm().forward(np.zeros((2, 3))), ValueError, ("BatchNorm2d", "(2, 3)", "height")),
    Misuse("batchnorm-images", lambda: scratch.BatchNorm1d(3).forward(IMAGES), ValueError, ("BatchNorm1d", "(2, 3, 5, 5)", "features")),
    Misuse("batchnorm-channels", lambda: batchnorm().forward(IMAGES[:, :2]), ValueError, ("BatchNorm2d", "2 channels", "num_features=3")),
    Misuse("batchnorm-one-value", lambda: batchnorm().forward(IMAGES[:1, :, :1, :1]), ValueError, ("(1, 3, 1, 1)", "more than one", "evaluation")),
    Misuse("batchnorm-no-value", lambda: batchnorm().forward(IMAGES[:0]), ValueError, ("(0, 3, 5, 5)", "0 value", "more than one")),
    Misuse("batchnorm-other-dtype", lambda: batchnorm().forward(IMAGES.astype("f4")), TypeError, ("BatchNorm2d", "float32", "float64", "weight")),
    Misuse(
        "batchnorm-other-statistics",
        lambda: batchnorm(False, affine=False).forward(IMAGES.astype("f4")),
        TypeError,
        ("BatchNorm2d", "float32", "running_mean", "float64", "dtype="),
    ),
    Misuse("batchnorm-backward-first", lambda: batchnorm().backward(IMAGES), RuntimeError, ("BatchNorm2d", "before forward")),
    Misuse("batchnorm-cotangent", lambda: after(batchnorm(), IMAGES, IMAGES[:1]), ValueError, ("BatchNorm2d", "(1, 3, 5, 5)", "(2, 3, 5, 5)")),
    Misuse("leakyrelu-slope", lambda: scratch.LeakyReLU(float("inf")), ValueError, ("LeakyReLU", "negative_slope=inf", "finite")),
    Misuse("gelu-approximation", lambda: scratch.GELU("erf"), ValueError, ("GELU", "'erf'", "none", "tanh")),  # type: ignore[arg-type]
    Misuse("leakyrelu-integers", lambda: scratch.LeakyReLU().forward(IMAGES.astype(int)), TypeError, ("LeakyReLU", "int64", "floats")),
    Misuse("leakyrelu-backward-first", lambda: scratch.LeakyReLU().backward(IMAGES), RuntimeError, ("LeakyReLU", "before forward")),
    Misuse("leakyrelu-cotangent", lambda: after(scratch.LeakyReLU(), IMAGES, IMAGES[:1]), ValueError, ("LeakyReLU", "(1, 3, 5, 5)", "(2, 3, 5, 5)")),
    Misuse("sigmoid-integers", lambda: scratch.Sigmoid().forward(IMAGES.astype(int)), TypeError, ("Sigmoid", "int64", "floats")),
    Misuse("sigmoid-backward-first", lambda: scratch.Sigmoid().backward(IMAGES), RuntimeError, ("Sigmoid", "before forward")),
    Misuse("sigmoid-cotangent", lambda: after(scratch.Sigmoid(), IMAGES, IMAGES[:1]), ValueError, ("Sigmoid", "(1, 3, 5, 5)", "(2, 3, 5, 5)")),
    Misuse("tanh-integers", lambda: scratch.Tanh().forward(IMAGES.astype(int)), TypeError, ("Tanh", "int64", "floats")),
    Misuse("tanh-backward-first", lambda: scratch.Tanh().backward(IMAGES), RuntimeError, ("Tanh", "before forward")),
    Misuse("tanh-cotangent", lambda: after(scratch.Tanh(), IMAGES, IMAGES[:1]), ValueError, ("Tanh", "(1, 3, 5, 5)", "(2, 3, 5, 5)")),
    Misuse("gelu-integers", lambda: scratch.GELU().forward(IMAGES.astype(int)), TypeError, ("GELU", "int64", "floats")),
    Misuse("gelu-backward-first", lambda: scratch.GELU().backward(IMAGES), RuntimeError, ("GELU", "before forward")),
    Misuse("gelu-cotangent", lambda: after(scratch.GELU(), IMAGES, IMAGES[:1]), ValueError, ("GELU", "(1, 3, 5, 5)", "(2, 3, 5, 5)")),
    Misuse("logsoftmax-images", lambda: scratch.LogSoftmax().forward(IMAGES), ValueError, ("LogSoftmax", "(2, 3, 5, 5)", "batch, classes")),
    Misuse("logsoftmax-backward-first", lambda: scratch.LogSoftmax().backward(ROWS), RuntimeError, ("LogSoftmax", "before forward")),
    Misuse("logsoftmax-cotangent", lambda: after(scratch.LogSoftmax(), ROWS, ROWS[:1]), ValueError, ("LogSoftmax", "(1, 3)", "(2, 3)")),
    Misuse("nll-images", lambda: scratch.NLLLoss().forward(IMAGES, LABELS), ValueError, ("NLLLoss", "log-probabilities", "(2, 3, 5, 5)")),
    Misuse("nll-labels-short", lambda: scratch.NLLLoss().forward(ROWS, LABELS[:1]), ValueError, ("NLLLoss", "(1,)", "(2,)")),
    Misuse("nll-label-large", lambda: scratch.NLLLoss().forward(ROWS, LABELS + 2), ValueError, ("NLLLoss", "2 to 3", "0 to 2")),
    Misuse("nll-backward-first", lambda: scratch.NLLLoss().backward(), RuntimeError, ("NLLLoss", "before forward")),
    Misuse("mse-integers", lambda: scratch.MSELoss().forward(ROWS.astype(int), ROWS), ValueError, ("MSELoss", "int64", "floats")),
    Misuse("mse-empty", lambda: scratch.MSELoss().forward(ROWS[:0], ROWS[:0]), ValueError, ("MSELoss", "(0, 3)", "at least one")),
    Misuse("mse-target-shape", lambda: scratch.MSELoss().forward(ROWS, ROWS[:1]), ValueError, ("MSELoss", "(1, 3)", "(2, 3)")),
    Misuse("mse-target-dtype", lambda: scratch.MSELoss().forward(ROWS, ROWS.astype("f4")), ValueError, ("MSELoss", "float32", "float64")),
    Misuse("mse-backward-first", lambda: scratch.MSELoss().backward(), RuntimeError, ("MSELoss", "before forward")),
    Misuse("sequential-empty", scratch.Sequential, ValueError, ("Sequential", "at least one layer")),
    Misuse("sequential-freeze", lambda: scratch.Sequential(conv=conv()).freeze("softmax"), ValueError, ("'softmax'", "conv")),
    Misuse("sgd-lr", lambda: scratch.SGD({}, float("nan")), ValueError, ("lr=nan", "at least 0")),
    Misuse("sgd-momentum", lambda: scratch.SGD({}, 0.1, momentum=-0.5), ValueError, ("momentum=-0.5", "at least 0")),
    Misuse("sgd-weight-decay", lambda: scratch.SGD({}, 0.1, weight_decay=-1.0), ValueError, ("weight_decay=-1.0", "at least 0")),
    Misuse("sgd-dampening", lambda: scratch.SGD({}, 0.1, dampening=float("inf")), ValueError, ("dampening=inf", "finite")),
    Misuse("sgd-nesterov", lambda: scratch.SGD({}, 0.1, nesterov=True), ValueError, ("nesterov", "momentum=0.0")),
    Misuse("sgd-no-gradient", lambda: stepped({"w": np.zeros(3)}, {}), KeyError, ("SGD", "no gradient for w", "backward")),
    Misuse("sgd-gradient-shape", lambda: stepped({"w": np.zeros(3)}, {"w": np.zeros(1)}), ValueError, ("SGD", "w", "(1,)", "(3,)")),
    Misuse("adadelta-rho", lambda: scratch.Adadelta({}, rho=1.0), ValueError, ("Adadelta", "rho=1.0", "below 1")),
    Misuse("adadelta-eps", lambda: scratch.Adadelta({}, eps=-1.0), ValueError, ("Adadelta", "eps=-1.0", "at least 0")),
    Misuse("rmsprop-alpha", lambda: scratch.RMSprop({}, alpha=-0.1), ValueError, ("RMSprop", "alpha=-0.1", "below 1")),
    Misuse("rmsprop-momentum", lambda: scratch.RMSprop({}, momentum=-1.0), ValueError, ("RMSprop", "momentum=-1.0", "at least 0")),
    Misuse("adam-betas", lambda: scratch.Adam({}, betas=(0.9, 1.0)), ValueError, ("Adam", "beta2=1.0", "below 1")),
    Misuse("adam-eps", lambda: scratch.Adam({}, eps=float("nan")), ValueError, ("Adam", "eps=nan", "at least 0")),
    Misuse("adamw-weight-decay", lambda: scratch.AdamW({}, weight_decay=-1.0), ValueError, ("AdamW", "weight_decay=-1.0", "at least 0")),
    Misuse("adam-no-gradient", lambda: stepped({"w": ROWS}, {}, scratch.Adam), KeyError, ("Adam", "no gradient for w", "backward")),
    Misuse("adam-gradient-shape", lambda: stepped({"w": ROWS}, {"w": ROWS[0]}, scratch.Adam), ValueError, ("Adam", "w", "(3,)", "(2, 3)")),
]


OF_FAST_LAYERS = ("conv", "pool", "relu", "linear", "dropout", "adadelta")
"""What the names of their misuses begin with."""


@pytest.mark.parametrize("misuse", [pytest.param(misuse, id=misuse.name) for misuse in MISUSES])
def test_misuse(misuse: Misuse) -> None:
    with pytest.raises(misuse.error) as caught:
        misuse.action()
    message = str(caught.value)
    assert [piece for piece in misuse.pieces if piece not in message] == []


@pytest.mark.parametrize("misuse", [pytest.param(misuse, id=misuse.name) for misuse in MISUSES if misuse.name.partition("-")[0] in OF_FAST_LAYERS])
def test_misuse_of_fast_layers(misuse: Misuse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fast layers refuse what plain ones do, in the same words."""
    with pytest.raises(misuse.error) as plain:
        misuse.action()
    for name in fast.__all__:
        monkeypatch.setattr(scratch, name, getattr(fast, name))
    with pytest.raises(misuse.error) as caught:
        misuse.action()
    assert str(caught.value) == str(plain.value)


def test_refused_step_changes_nothing() -> None:
    params = {"a": np.ones(3), "b": np.ones(3)}
    with pytest.raises(ValueError, match="gradient for b"):
        stepped(params, {"a": np.ones(3), "b": np.ones(1)})
    assert params["a"].tolist() == [1, 1, 1]
