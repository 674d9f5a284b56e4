"""What a network predicts: outputs, probabilities or classes."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any

import numpy as np
import pytest

from crosscheck import Verdict, WholeStep
from tests.support.regression import Regression, ready_of, run

PREDICTED: dict[str, tuple[Callable[..., Any], Verdict]] = {
    "outputs": (Regression.predict, Verdict.MATCH),
    "probabilities": (lambda net, x: (e := np.exp(Regression.predict(net, x))) / e.sum(axis=1, keepdims=True), Verdict.MATCH),
    "classes": (lambda net, x: Regression.predict(net, x).argmax(axis=1), Verdict.MATCH),
    "other classes": (lambda net, x: Regression.predict(net, x).argmin(axis=1), Verdict.MISMATCH),
    "classes of another number": (lambda net, x: Regression.predict(net, x).argmax(axis=1) + 2, Verdict.MISMATCH),
    "classes of another axis": (lambda net, x: np.zeros(3, int), Verdict.MISMATCH),
    "twice the outputs": (lambda net, x: 2 * Regression.predict(net, x), Verdict.MISMATCH),
    "logarithms": (lambda net, x: np.log(np.abs(Regression.predict(net, x))), Verdict.MISMATCH),
}


@pytest.mark.parametrize("case", PREDICTED)
def test_predictions(case: str) -> None:
    predict, verdict = PREDICTED[case]

    def make(dtype: str) -> WholeStep:
        net = Regression(dtype)
        return WholeStep(net.train_step, net.params, predict=MethodType(predict, net), grads=lambda: net.grads)

    ready = ready_of(make)
    assert run(ready).comparison.predict(ready.batches("float64", 7, 1)[0]).verdict is verdict
