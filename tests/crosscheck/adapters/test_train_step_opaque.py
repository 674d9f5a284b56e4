"""A training step that shows its loss and its parameters alone: they are set and read in the reference's layout."""

from __future__ import annotations

import numpy as np
import pytest

from crosscheck.adapters.layout import Layout
from crosscheck.adapters.train_step import TrainingStep, one_number, same_parameters
from crosscheck.adapters.train_step_opaque import SteppedNetwork, WholeStep
from crosscheck.core.guard import SubjectError
from tests.support.hand_written import PlainMLP

SHAPES = {"first": {"weight": (4, 5), "bias": (4,)}, "second": {"weight": (3, 4), "bias": (3,)}}


def bound(network: PlainMLP) -> SteppedNetwork:
    declared = WholeStep(network.train, network.params, {"W1": "first.weight: i o -> o i"}, predict=network.predict)
    layouts, inferred = declared.layouts(SHAPES)
    assert inferred == ["b1 is first.bias", "W2 is second.weight: a b -> b a", "b2 is second.bias"]
    return declared.bound(layouts, None)


def test_parameters_that_are_set_are_those_that_are_read() -> None:
    network, rng = PlainMLP("float64", 0.5), np.random.default_rng(0)
    subject = bound(network)
    start = {f"{layer}.{name}": rng.standard_normal(shape) for layer, own in SHAPES.items() for name, shape in own.items()}
    subject.load(start)
    assert all(np.array_equal(value, start[name]) for name, value in subject.params.items())
    assert np.array_equal(network.params["W1"], start["first.weight"].T)
    subject.params["first.bias"][...] = 7
    assert np.array_equal(network.params["b1"], start["first.bias"])


def test_step_returns_its_loss_and_leaves_the_batch_alone() -> None:
    """Of weights that are all zero the loss is that of three equal classes."""
    subject, x = bound(PlainMLP("float64", 0.5)), np.ones((4, 5))
    loss = subject.step(x, np.array([0, 1, 2, 0]))
    assert (loss.shape, loss) == ((), -np.log(np.float64(1) / 3))
    assert subject.predicts
    assert (subject.predict(x) == subject.params["second.bias"]).all()
    assert (x == 1).all()


def test_one_sample_at_a_time() -> None:
    """The loss here tells what it was given."""
    step = TrainingStep(lambda image, label: 100.0 * image.shape[0] + 10 * image.shape[1] + label, Layout("h w -> 1 1 h w"), one_sample=True)
    assert step(step.batch(np.ones((1, 1, 4, 6))), step.labels(np.array([2]))) == 462
    with pytest.raises(ValueError, match="a batch of 2 samples, expected 1: the subject trains on one sample at a time"):
        step.batch(np.ones((2, 1, 4, 6)))


def test_loss_of_several_numbers() -> None:
    with pytest.raises(SubjectError, match=r"the loss has the shape \(2,\), expected one number"):
        one_number(np.ones(2))


@pytest.mark.parametrize(
    ("values", "words"),
    [({"W": np.ones(3)}, "the net has the parameters W, expected V as at the start"), ({"V": np.ones(2)}, "the net's V has the shape")],
)
def test_parameters_that_are_others_now(values: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(SubjectError, match=words):
        same_parameters(values, {"V": (3,)}, "the net")
