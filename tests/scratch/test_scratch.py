"""Wrong use of a scratch layer is one error, which names the layer, what was found and what was expected."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import scratch
from scratch import fast
from scratch.networks import Kernels
from tests.support.cases import CASES
from tests.support.layer_runs import made

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


def stepped(params: dict[str, Any], grads: dict[str, Any], kind: Callable[..., scratch.Optimizer] = scratch.SGD) -> None:
    """Do one step of an optimizer."""
    kind(params, lr=0.1).step(grads)


IMAGES, ROWS, LABELS = np.zeros((2, 3, 5, 5)), np.zeros((2, 3)), np.array([0, 1])
MISUSES: dict[str, tuple[Callable[[], Any], type[Exception], tuple[str, ...]]] = {
    "conv-other-dtype": (lambda: conv().forward(IMAGES.astype(np.float32)), TypeError, ("Conv2d", "float32", "float64", "dtype=")),
    "conv-three-axes": (lambda: conv().forward(IMAGES[0]), ValueError, ("Conv2d", "(3, 5, 5)", "batch, channels, height, width")),
    "conv-channels": (lambda: conv().forward(IMAGES[:, :2]), ValueError, ("Conv2d", "2", "3")),
    "conv-small-image": (lambda: conv().forward(IMAGES[..., :2]), ValueError, ("(5, 2)", "(3, 3)")),
    "conv-kernel-0": (lambda: scratch.Conv2d(1, 1, 0, rng=rng(0)), ValueError, ("kernel_size=0", "at least 1")),
    "conv-stride-0": (lambda: conv(stride=(1, 0)), ValueError, ("stride=(1, 0)", "at least 1")),
    "conv-padding-negative": (lambda: conv(padding=-1), ValueError, ("padding=-1", "at least 0")),
    "conv-in-channels-0": (lambda: scratch.Conv2d(0, 1, 3, rng=rng(0)), ValueError, ("in_channels=0", "at least 1")),
    "conv-out-channels": (lambda: scratch.Conv2d(1, 2.5, 3, rng=rng(0)), ValueError, ("out_channels=2.5", "whole number")),  # type: ignore[arg-type]
    "conv-kernel-triple": (lambda: scratch.Conv2d(1, 1, (3, 3, 3), rng=rng(0)), ValueError, ("kernel_size=(3, 3, 3)", "pair")),  # type: ignore[arg-type]
    "conv-stride-float": (lambda: conv(stride=1.5), ValueError, ("stride=1.5", "whole numbers")),
    "conv-padding-word": (lambda: conv(padding="valid"), ValueError, ("padding='valid'", '"same"', "at least 0")),
    "conv-padding-none": (lambda: conv(padding=None), ValueError, ("padding=None", "whole numbers", "pair")),
    "conv-dilation-0": (lambda: conv(dilation=(0, 1)), ValueError, ("dilation=(0, 1)", "at least 1")),
    "conv-groups-0": (lambda: conv(groups=0), ValueError, ("groups=0", "at least 1")),
    "conv-groups-pair": (lambda: conv(groups=(1, 1)), ValueError, ("groups=(1, 1)", "whole number")),
    "conv-groups-in": (lambda: scratch.Conv2d(3, 4, 3, groups=2, rng=rng(0)), ValueError, ("groups=2", "in_channels=3", "divisor")),
    "conv-groups-out": (lambda: conv(groups=3), ValueError, ("groups=3", "out_channels=2", "divisor")),
    "conv-group-channels": (lambda: scratch.Conv2d(4, 2, 3, groups=2, rng=rng(0)).forward(IMAGES), ValueError, ("3 channels", "2 groups")),
    "conv-dilated-small": (lambda: conv(dilation=3).forward(IMAGES), ValueError, ("(5, 5)", "(3, 3)", "dilation (3, 3)", "(7, 7)")),
    "conv-same-empty": (lambda: conv(padding="same").forward(IMAGES[..., :0]), ValueError, ("(5, 0)", "smaller")),
    "conv-init-shape": (lambda: conv(init=lambda *_: np.zeros(3)), ValueError, ("init", "(3,)", "(2, 3, 3, 3)")),
    "conv-init-dtype": (lambda: conv(init=lambda shape, *_: np.zeros(shape, int)), ValueError, ("init", "int64", "float64")),
    "conv-init-list": (lambda: conv(init=lambda *_: [1.0]), ValueError, ("init", "(1,)", "(2, 3, 3, 3)")),
    "average-padding": (lambda: scratch.AvgPool2d(2, padding=2), ValueError, ("padding=2", "half of kernel_size=2")),
    "average-small-image": (lambda: scratch.AvgPool2d(6).forward(IMAGES), ValueError, ("(5, 5)", "(6, 6)")),
    "global-rows": (lambda: scratch.GlobalAveragePool2d().forward(IMAGES[0, 0]), ValueError, ("GlobalAveragePool2d", "(5, 5)", "channels")),
    "global-empty": (lambda: scratch.GlobalAveragePool2d().forward(IMAGES[..., :0]), ValueError, ("(2, 3, 5, 0)", "no mean")),
    "pad-triple": (lambda: scratch.ZeroPad2d((1, 2, 3)), ValueError, ("padding=(1, 2, 3)", "(top, bottom, left, right)")),  # type: ignore[arg-type]
    "pad-negative": (lambda: scratch.ZeroPad2d((1, -1)), ValueError, ("padding=-1", "at least 0")),
    "pad-float": (lambda: scratch.ZeroPad2d(0.5), ValueError, ("padding=0.5", "whole number")),  # type: ignore[arg-type]
    "pool-small-image": (lambda: scratch.MaxPool2d(6).forward(IMAGES), ValueError, ("(5, 5)", "(6, 6)")),
    "pool-padding": (lambda: scratch.MaxPool2d(3, padding=2), ValueError, ("padding=2", "half of kernel_size=3")),
    "pool-tie-rule": (lambda: scratch.MaxPool2d(2, ties="best"), ValueError, ("ties='best'", "first", "last", "all", "split")),  # type: ignore[arg-type]
    "flatten-one-axis": (lambda: scratch.Flatten().forward(np.zeros(3)), ValueError, ("Flatten", "(3,)", "batch")),
    "linear-features": (lambda: linear().forward(np.zeros((2, 4))), ValueError, ("Linear", "4", "5")),
    "linear-images": (lambda: linear().forward(IMAGES), ValueError, ("Linear", "(2, 3, 5, 5)")),
    "linear-other-dtype": (lambda: linear().forward(np.zeros((2, 5), np.float32)), TypeError, ("Linear", "float32", "float64")),
    "loss-images": (lambda: loss(IMAGES, [0, 1]), ValueError, ("SoftmaxCrossEntropy", "(2, 3, 5, 5)", "(batch, classes)")),
    "loss-integers": (lambda: loss(np.zeros((2, 3), int), [0, 1]), ValueError, ("SoftmaxCrossEntropy", "int64", "floats")),
    "loss-labels-short": (lambda: loss(np.zeros((2, 3)), [0]), ValueError, ("SoftmaxCrossEntropy", "(1,)", "(2,)")),
    "loss-labels-float": (lambda: loss(np.zeros((2, 3)), [0.0, 1.0]), ValueError, ("SoftmaxCrossEntropy", "float64", "integers")),
    "loss-label-large": (lambda: loss(np.zeros((2, 3)), [0, 3]), ValueError, ("0 to 3", "0 to 2")),
    "loss-label-negative": (lambda: loss(np.zeros((2, 3)), [-1, 0]), ValueError, ("-1 to 0", "0 to 2")),
    "loss-backward-first": (lambda: scratch.SoftmaxCrossEntropy().backward(), RuntimeError, ("SoftmaxCrossEntropy", "before forward")),
    "dropout-p": (lambda: dropout(1.0), ValueError, ("Dropout", "p=1.0", "at least 0 and below 1")),
    "dropout-p-nan": (lambda: dropout(float("nan")), ValueError, ("Dropout", "p=nan")),
    "dropout-mask-floats": (lambda: dropout().forward(IMAGES, IMAGES), ValueError, ("Dropout", "float64", "expected bool", "(2, 3, 5, 5)")),  # type: ignore[arg-type]
    "dropout-mask-shape": (lambda: dropout().forward(IMAGES, IMAGES[0] > 0), ValueError, ("Dropout", "(3, 5, 5)", "(2, 3, 5, 5)")),
    "dropout-mask-evaluation": (lambda: dropout(training=False).forward(IMAGES, IMAGES > 0), ValueError, ("Dropout", "evaluation", "training=")),
    "batchnorm-features": (lambda: scratch.BatchNorm1d(0), ValueError, ("BatchNorm1d", "num_features=0", "at least 1")),
    "batchnorm-eps": (lambda: batchnorm(eps=0), ValueError, ("BatchNorm2d", "eps=0", "above 0")),
    "batchnorm-momentum": (lambda: batchnorm(momentum=1.5), ValueError, ("BatchNorm2d", "momentum=1.5", "0 to 1")),
    "batchnorm-variance": (lambda: batchnorm(running_variance="n"), ValueError, ("BatchNorm2d", "'n'", "unbiased", "biased")),
    "batchnorm-rows": (lambda: batchnorm().forward(np.zeros((2, 3))), ValueError, ("BatchNorm2d", "(2, 3)", "height")),
    "batchnorm-images": (lambda: scratch.BatchNorm1d(3).forward(IMAGES), ValueError, ("BatchNorm1d", "(2, 3, 5, 5)", "features")),
    "batchnorm-channels": (lambda: batchnorm().forward(IMAGES[:, :2]), ValueError, ("BatchNorm2d", "2 channels", "num_features=3")),
    "batchnorm-one-value": (lambda: batchnorm().forward(IMAGES[:1, :, :1, :1]), ValueError, ("(1, 3, 1, 1)", "more than one", "evaluation")),
    "batchnorm-no-value": (lambda: batchnorm().forward(IMAGES[:0]), ValueError, ("(0, 3, 5, 5)", "0 value", "more than one")),
    "batchnorm-other-dtype": (lambda: batchnorm().forward(IMAGES.astype("f4")), TypeError, ("BatchNorm2d", "float32", "float64", "weight")),
    "batchnorm-other-statistics": (
        lambda: batchnorm(False, affine=False).forward(IMAGES.astype("f4")),
        TypeError,
        ("BatchNorm2d", "float32", "running_mean", "float64", "dtype="),
    ),
    "leakyrelu-slope": (lambda: scratch.LeakyReLU(float("inf")), ValueError, ("LeakyReLU", "negative_slope=inf", "finite")),
    "gelu-approximation": (lambda: scratch.GELU("erf"), ValueError, ("GELU", "'erf'", "none", "tanh")),  # type: ignore[arg-type]
    "logsoftmax-images": (lambda: scratch.LogSoftmax().forward(IMAGES), ValueError, ("LogSoftmax", "(2, 3, 5, 5)", "batch, classes")),
    "nll-images": (lambda: scratch.NLLLoss().forward(IMAGES, LABELS), ValueError, ("NLLLoss", "log-probabilities", "(2, 3, 5, 5)")),
    "nll-labels-short": (lambda: scratch.NLLLoss().forward(ROWS, LABELS[:1]), ValueError, ("NLLLoss", "(1,)", "(2,)")),
    "nll-label-large": (lambda: scratch.NLLLoss().forward(ROWS, LABELS + 2), ValueError, ("NLLLoss", "2 to 3", "0 to 2")),
    "nll-backward-first": (lambda: scratch.NLLLoss().backward(), RuntimeError, ("NLLLoss", "before forward")),
    "mse-integers": (lambda: scratch.MSELoss().forward(ROWS.astype(int), ROWS), ValueError, ("MSELoss", "int64", "floats")),
    "mse-empty": (lambda: scratch.MSELoss().forward(ROWS[:0], ROWS[:0]), ValueError, ("MSELoss", "(0, 3)", "at least one")),
    "mse-target-shape": (lambda: scratch.MSELoss().forward(ROWS, ROWS[:1]), ValueError, ("MSELoss", "(1, 3)", "(2, 3)")),
    "mse-target-dtype": (lambda: scratch.MSELoss().forward(ROWS, ROWS.astype("f4")), ValueError, ("MSELoss", "float32", "float64")),
    "mse-backward-first": (lambda: scratch.MSELoss().backward(), RuntimeError, ("MSELoss", "before forward")),
    "sequential-empty": (scratch.Sequential, ValueError, ("Sequential", "at least one layer")),
    "sequential-freeze": (lambda: scratch.Sequential(conv=conv()).freeze("softmax"), ValueError, ("'softmax'", "conv")),
    "sgd-lr": (lambda: scratch.SGD({}, float("nan")), ValueError, ("lr=nan", "at least 0")),
    "sgd-momentum": (lambda: scratch.SGD({}, 0.1, momentum=-0.5), ValueError, ("momentum=-0.5", "at least 0")),
    "sgd-weight-decay": (lambda: scratch.SGD({}, 0.1, weight_decay=-1.0), ValueError, ("weight_decay=-1.0", "at least 0")),
    "sgd-dampening": (lambda: scratch.SGD({}, 0.1, dampening=float("inf")), ValueError, ("dampening=inf", "finite")),
    "sgd-nesterov": (lambda: scratch.SGD({}, 0.1, nesterov=True), ValueError, ("nesterov", "momentum=0.0")),
    "sgd-no-gradient": (lambda: stepped({"w": np.zeros(3)}, {}), KeyError, ("SGD", "no gradient for w", "backward")),
    "sgd-gradient-shape": (lambda: stepped({"w": np.zeros(3)}, {"w": np.zeros(1)}), ValueError, ("SGD", "w", "(1,)", "(3,)")),
    "adadelta-rho": (lambda: scratch.Adadelta({}, rho=1.0), ValueError, ("Adadelta", "rho=1.0", "below 1")),
    "adadelta-eps": (lambda: scratch.Adadelta({}, eps=-1.0), ValueError, ("Adadelta", "eps=-1.0", "at least 0")),
    "rmsprop-alpha": (lambda: scratch.RMSprop({}, alpha=-0.1), ValueError, ("RMSprop", "alpha=-0.1", "below 1")),
    "rmsprop-momentum": (lambda: scratch.RMSprop({}, momentum=-1.0), ValueError, ("RMSprop", "momentum=-1.0", "at least 0")),
    "adam-betas": (lambda: scratch.Adam({}, betas=(0.9, 1.0)), ValueError, ("Adam", "beta2=1.0", "below 1")),
    "adam-eps": (lambda: scratch.Adam({}, eps=float("nan")), ValueError, ("Adam", "eps=nan", "at least 0")),
    "adamw-weight-decay": (lambda: scratch.AdamW({}, weight_decay=-1.0), ValueError, ("AdamW", "weight_decay=-1.0", "at least 0")),
    "adam-no-gradient": (lambda: stepped({"w": ROWS}, {}, scratch.Adam), KeyError, ("Adam", "no gradient for w", "backward")),
    "adam-gradient-shape": (lambda: stepped({"w": ROWS}, {"w": ROWS[0]}, scratch.Adam), ValueError, ("Adam", "w", "(3,)", "(2, 3)")),
}
"""Wrong uses, each with the error and pieces of its message. What all layers refuse is below."""

OF_FAST_LAYERS = ("conv", "pool", "linear", "dropout", "adadelta")
"""How the names of their wrong uses begin."""


def refusal(name: str) -> str:
    """Return the message of the error that a wrong use raises."""
    action, error, _ = MISUSES[name]
    with pytest.raises(error) as caught:
        action()
    return str(caught.value)


@pytest.mark.parametrize("name", MISUSES)
def test_misuse(name: str) -> None:
    message = refusal(name)
    assert [piece for piece in MISUSES[name][2] if piece not in message] == []


@pytest.mark.parametrize("name", [name for name in MISUSES if name.partition("-")[0] in OF_FAST_LAYERS])
def test_misuse_of_fast_layers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fast layers refuse what plain ones do, in the same words."""
    plain = refusal(name)
    for kind in fast.__all__:
        monkeypatch.setattr(scratch, kind, getattr(fast, kind))
    assert refusal(name) == plain


LAYERS = {
    f"{kernels}-{type(made(case)).__name__}": (case, kernels)
    for case, row in CASES.items()
    for kernels in row.kernels
    if isinstance(made(case), scratch.Layer)
}
"""A row of the table of layers for each class."""

every_layer = pytest.mark.parametrize(("case", "kernels"), LAYERS.values(), ids=LAYERS)


@every_layer
def test_backward_before_forward(case: str, kernels: Kernels) -> None:
    layer = made(case, kernels)
    with pytest.raises(RuntimeError, match=f"{type(layer).__name__}: backward was called before forward"):
        layer.backward(np.ones((3, *CASES[case].sample)))


@every_layer
def test_gradient_of_another_shape(case: str, kernels: Kernels) -> None:
    layer = made(case, kernels)
    output = layer.forward(np.ones((3, *CASES[case].sample)))
    message = f"{type(layer).__name__}: grad_output has shape {output[:1].shape}, expected {output.shape}"
    with pytest.raises(ValueError, match=re.escape(message)):
        layer.backward(output[:1])


@every_layer
def test_whole_numbers(case: str, kernels: Kernels) -> None:
    layer, x = made(case, kernels), np.ones((3, *CASES[case].sample)).astype(int)
    if isinstance(layer, scratch.Flatten):
        assert layer.forward(x).dtype == np.int64
        return
    with pytest.raises(TypeError, match=f"{type(layer).__name__}: the input is int64, expected floats; convert it with x.astype"):
        layer.forward(x)


def test_refused_step_changes_nothing() -> None:
    params = {"a": np.ones(3), "b": np.ones(3)}
    with pytest.raises(ValueError, match="gradient for b"):
        stepped(params, {"a": np.ones(3), "b": np.ones(1)})
    assert params["a"].tolist() == [1, 1, 1]
