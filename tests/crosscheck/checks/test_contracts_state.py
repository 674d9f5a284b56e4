"""A contract that fails because something stays in a layer on purpose says how that is declared; what is declared is no fault."""

from __future__ import annotations

import re
from typing import Any

import pytest
from torch import nn

from crosscheck import Dicts, Pair, PairResult, Verdict
from crosscheck.core.precision import Array
from tests.support.conventional import LAYERS, AddingLayer, Kernel, ObjectLayer
from tests.support.unshrunk import check

LINEAR = Kernel(LAYERS["linear"])


class Remembering(ObjectLayer):
    """Adds the last output to the next, until it is reset."""

    state: Any = 0.0

    def forward(self, x: Array, labels: Any = None) -> Any:
        before, self.state = self.state, super().forward(x)
        return self.state + (before if before is not None and getattr(before, "shape", ()) in ((), self.state.shape) else 0.0)

    def reset_state(self) -> None:
        self.state = 0.0


class Forgetful(Remembering):
    """Has a method with such a name that does something else."""

    def reset_state(self) -> None:
        self.labels = None


def result_of(subject: Any) -> PairResult:
    names = ("contract-same_call_same_answer", "contract-smaller_batch_works")
    return check(Pair(subject, nn.Linear(5, 3), [(3, 5)], fixed_sizes=True), only=lambda name: name in names)


@pytest.mark.parametrize(
    ("layer", "line"),
    [
        (AddingLayer(LINEAR), "Dicts(layer, params='parameters', grads='gradients', accumulates=True)"),
        (Remembering(LINEAR), "Dicts(layer, reset='reset_state')"),
    ],
    ids=["accumulates", "reset"],
)
def test_advice_can_be_followed(layer: Any, line: str) -> None:
    found = result_of(layer)
    assert found.verdict is Verdict.MISMATCH
    said = re.search(r", declare subject=(.*)$", found.results[0].reason)
    assert said is not None
    assert said[1] == line
    subject = eval(said[1], {"Dicts": Dicts, "layer": layer})  # noqa: S307 - the line that a user would paste
    assert result_of(subject).verdict is Verdict.MATCH


def test_no_advice_that_does_not_help() -> None:
    found = result_of(Forgetful(LINEAR))
    assert found.verdict is Verdict.MISMATCH
    assert "declare" not in found.results[0].reason
