"""The subject's own training step: what it is given, and what it must return."""

from __future__ import annotations

import numpy as np
import pytest

from crosscheck.adapters.layout import Layout
from crosscheck.adapters.train_step import TrainingStep, one_number, same_parameters
from crosscheck.core.guard import SubjectError


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
