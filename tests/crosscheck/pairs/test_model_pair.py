"""Declarations of models that do not fit: one error each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from crosscheck.adapters.network import Network, Part
from crosscheck.adapters.whole_step import WholeStep
from crosscheck.core.arguments import Target
from crosscheck.core.operation import PairError
from crosscheck.pairs.model_pair import ModelPair
from crosscheck.pairs.prepare import prepare
from crosscheck.pairs.prepare_whole import PreparedWhole
from crosscheck.run.check import check_pair
from tests.support.hand_written import AttributesMLP
from tests.support.model_pairs import (
    LR,
    SETTINGS,
    mlp,
    model_pair,
    updating_pair,
    whole_pair,
)
from tests.support.regression import Regression


def raising(rng: Any) -> Any:
    raise IndexError("list index out of range")


def listed(layers: Callable[[AttributesMLP], Any], **settings: Any) -> Callable[[], ModelPair]:

    def make(dtype: str) -> Network:
        network = AttributesMLP(dtype, LR)
        return Network(layers(network), network.train)

    return lambda: model_pair(make, mlp(), (4, 5), **settings)


def ordered(network: AttributesMLP) -> list[Any]:
    return [network.first, network.relu, network.second]


DECLARATIONS: dict[str, tuple[Callable[[], ModelPair], str]] = {
    "several-samples": (lambda: updating_pair(shape=(4, 5)), "takes one sample at a time"),
    "no-loss": (lambda: whole_pair(loss=nn.MSELoss()), "the loss is a MSELoss"),
    "classes": (lambda: whole_pair(classes=7), "into (4, 3), expected (batch, classes), (4, 7)"),
    "learning-rate": (lambda: whole_pair(lr=float("nan")), "expected numbers that float32 can hold"),
    "frozen": (lambda: whole_pair(frozen=("third",)), "frozen has the layer 'third'"),
    "momentum-without-state": (listed(ordered, momentum=0.9), "does not say where its momentum buffers are"),
    "too-few-layers": (
        listed(lambda n: [n.first, n.second]),
        "the network's layers are 2 without names, expected the reference's, in order: first, relu, second",
    ),
    "other-names": (listed(lambda n: dict(zip("abc", ordered(n), strict=True))), "the network's layers are a, b, c"),
    "one-object-twice": (listed(lambda n: [n.first, n.relu, n.first]), "the layers first and second are the same object"),
    "no-layer": (listed(lambda n: [n.first, np.tanh, n.second]), "layer relu: ufunc has no method 'forward'"),
    "parameter-names": (listed(lambda n: [Part(n.first, {"V": "weight"}), n.relu, n.second]), "layer first"),
    "batches-shape": (
        lambda: whole_pair(batches=lambda rng: (np.ones((3, 5)), np.zeros(3, int))),
        "returned arrays of the shapes [(3, 5), (3,)]",
    ),
    "batches-labels": (lambda: whole_pair(batches=lambda rng: (np.ones((4, 5)), np.full(4, 3))), "labels from 3 to 3, expected 0 to 2"),
    "batches-raise": (lambda: whole_pair(batches=raising), "batches raised IndexError"),
    "input-pattern": (lambda: whole_pair(input="n a b -> n (a b)"), "input: the pattern"),
    "factory-result": (lambda: model_pair(lambda dtype: None, mlp(), (4, 5)), "subject returned None, expected a new network"),
    "whole-step-params": (
        lambda: model_pair(lambda dtype: WholeStep(print, [1]), mlp(), (4, 5)),
        "do not correspond (your code: none",
    ),
}


def error_of(declared: Callable[[], ModelPair]) -> str:
    """Return the error of a declaration, whether it shows at once or once the pair is made ready."""
    try:
        return check_pair(declared(), SETTINGS).error
    except PairError as error:
        return str(error)


@pytest.mark.parametrize("case", DECLARATIONS)
def test_declaration_that_does_not_fit(case: str) -> None:
    declared, reason = DECLARATIONS[case]
    error = error_of(declared)
    assert error.startswith("model: ")
    assert reason in error


SGD = "lambda params: torch.optim.SGD(params, lr=0.1)"
BESIDE_ANY_MODULE: dict[str, tuple[dict[str, Any], str]] = {
    "a loss that raises": ({"loss": lambda output, y: output @ y}, "the loss raised RuntimeError: "),
    "a loss that is a class": ({"loss": nn.MSELoss}, "the loss is the class MSELoss, expected an object: MSELoss()"),
    "a loss that is no tensor": ({"loss": lambda output, y: 3.0}, "the loss returned a float, expected a tensor of one number"),
    "a loss of each sample": ({"loss": nn.MSELoss(reduction="none")}, "the loss has the shape (5, 2), expected one number; take the mean"),
    "a loss without a gradient": ({"loss": lambda output, y: (output.detach() - y).sum()}, "the loss has no gradient"),
    "a batch of another width": ({"inputs": {"x": (5, 4), "y": (5, 2)}}, "PyTorch"),
    "inputs without names": ({"inputs": [(5, 3), (5, 2)]}, "inputs is a list, expected the arrays of a batch by name"),
    "frozen is a text": ({"frozen": "bias"}, "frozen is 'bias', expected a list: frozen=['bias']"),
    "an optimizer is no function": ({"optimizer": torch.optim.SGD([torch.zeros(1)])}, f"expected a function such as {SGD}"),
    "an optimizer of other tensors": ({"optimizer": lambda params: torch.optim.SGD([torch.zeros(1)])}, f"make it of these: {SGD}"),
    "an optimizer that needs a closure": ({"optimizer": torch.optim.LBFGS}, "the reference cannot do a training step"),
    "clipping that raises": ({"clip": nn.utils.clip_grad_norm_}, "the reference cannot do a training step, clip: "),
    "a schedule without an optimizer": ({"schedule": print, "optimizer": None}, "schedule is given without an optimizer; declare"),
    "a reference without parameters": ({"reference": nn.Tanh()}, "the reference has no parameters, so that nothing trains"),
    "steps that are no number": ({"steps": 2.5}, "steps is 2.5, expected a whole number, at least 1"),
}


@pytest.mark.parametrize("case", BESIDE_ANY_MODULE)
def test_declaration_beside_any_module_that_does_not_fit(case: str) -> None:
    changed, reason = BESIDE_ANY_MODULE[case]
    given: dict[str, Any] = {"loss": nn.MSELoss(), "inputs": {"x": (5, 3), "y": Target((5, 2))}}
    given |= {"optimizer": lambda params: torch.optim.SGD(params, lr=0.1), **changed}
    error = error_of(lambda: ModelPair(Regression, given.pop("reference", nn.Linear(3, 2)), name="model", **given))
    assert error.startswith("model: ")
    assert reason in error
    assert "WithLoss" not in error


def test_start_and_batches_depend_on_name_and_seed_alone() -> None:
    ready, again, other = prepare(whole_pair()), prepare(whole_pair()), prepare(whole_pair(name="other"))
    assert ready.start("float64", 0)["first.weight"].tolist() == again.start("float64", 0)["first.weight"].tolist()
    starts = {model.start("float64", seed)["first.weight"].tobytes() for model, seed in ((ready, 0), (ready, 1), (other, 0))}
    batches = {model.batches("float64", seed, 1)[0]["input"].tobytes() for model, seed in ((ready, 0), (again, 0), (ready, 1), (other, 0))}
    assert (len(starts), len(batches)) == (3, 3)


def test_fresh_network_starts_where_it_is_told() -> None:
    ready = prepare(whole_pair())
    params, start = ready.fresh("float32", 0).params, ready.start("float32", 0)
    assert all(np.array_equal(params[name], value) and params[name].dtype == np.float32 for name, value in start.items())
    assert ready.reference_names[0].startswith("PyTorch")


class Columns:
    """Two matrices of the same lengths, of which the one that is used last is kept first."""

    def __init__(self) -> None:
        self.readout, self.U = np.ones((3, 4)), np.ones((4, 3))

    def train_step(self, x: Any, y: Any) -> float:
        loss = (x @ self.U.T @ self.readout.T - y) ** 2
        return float(loss.mean())


def test_the_loss_tells_which_of_two_parameters_is_which() -> None:
    reference = nn.Sequential(nn.Linear(3, 4, bias=False), nn.Linear(4, 3, bias=False))
    ready = prepare(ModelPair(Columns, reference, nn.MSELoss(), inputs={"x": (5, 3), "y": Target((5, 3))}))
    assert isinstance(ready, PreparedWhole)
    assert ready.subject is not None
    assert {name: one.name for name, one in ready.subject.params.items()} == {"readout": "1.weight", "U": "0.weight"}
    assert ready.inferred[-1] == "which is which of the parameters of equal length was found by the loss of a first step"


class Squares:
    """Two square matrices, of which the first is transposed; the step can keep its loss to itself."""

    def __init__(self, dtype: str, shows: bool, wrong: bool) -> None:
        self.first, self.second = np.ones((3, 3), dtype), np.ones((3, 3), dtype)
        self.shows, self.wrong = shows, wrong

    def train_step(self, x: Any, y: Any) -> Any:
        hidden = np.tanh(x @ self.first)
        error = hidden @ self.second.T - y
        grad = 2 * error / error.size
        self.first -= x.T @ (grad @ self.second * (1 - hidden ** (3 if self.wrong else 2)))
        self.second -= grad.T @ hidden
        return (error**2).mean() if self.shows else None


class TanhBetween(nn.Module):  # type: ignore[misc]
    """Two layers without biases."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x).tanh())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("shows", "wrong"), [(True, False), (False, False), (False, True)], ids=["loss", "updates", "one right update"])
def test_a_first_step_tells_the_order_of_axes(shows: bool, wrong: bool, dtype: str) -> None:
    settings: dict[str, Any] = {"inputs": {"x": (5, 3), "y": Target((5, 3))}, "optimizer": lambda params: torch.optim.SGD(params, lr=1.0)}
    ready = prepare(ModelPair(lambda dtype: Squares(dtype, shows, wrong), TanhBetween(), nn.MSELoss(), dtypes=[dtype], **settings))
    assert isinstance(ready, PreparedWhole)
    assert ready.subject is not None
    assert {name: one.layout.pattern for name, one in ready.subject.params.items()} == {"first": "a b -> b a", "second": ""}
    assert ready.inferred[-1] == f"the order of axes of equal length was found by the {'loss' if shows else 'updates'} of a first step"


class InTwoPrecisions:
    """Gradients are kept in the precision of the first parameters, whatever the parameters are set to later."""

    def __init__(self) -> None:
        self.W = np.ones((2, 3))
        self.dW = np.zeros((2, 3))

    def train_step(self, x: Any, y: Any) -> Any:
        error = x @ self.W.T - y
        self.dW[...] = 2 * error.T @ x / error.size
        self.W = self.W - self.W.dtype.type(0.1) * self.dW.astype(self.W.dtype)
        return (error**2).mean()


def test_precision_that_the_gradients_do_not_keep_is_left_out() -> None:
    settings: dict[str, Any] = {"inputs": {"x": (5, 3), "y": Target((5, 2))}, "optimizer": lambda params: torch.optim.SGD(params, lr=0.1)}
    ready = prepare(ModelPair(InTwoPrecisions, nn.Linear(3, 2, bias=False), nn.MSELoss(), **settings))
    assert isinstance(ready, PreparedWhole)
    assert ready.dtypes == ["float64"]
