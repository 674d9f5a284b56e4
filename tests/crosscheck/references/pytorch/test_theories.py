"""Which error theory a module follows; None where there is none, so that its rounding is measured."""

from __future__ import annotations

import pytest
from torch import nn

from crosscheck.oracles import theories
from crosscheck.references.pytorch.oracle import oracle
from crosscheck.references.pytorch.theories import is_own, theory_of


class Doubled(nn.Linear):  # type: ignore[misc]  # the type checker does not read PyTorch
    """Computes something else than its kind."""

    def forward(self, x: object) -> object:
        return 2 * super().forward(x)


THEORIES: list[tuple[nn.Module, type | None]] = [
    (nn.Conv2d(1, 1, 3), theories.Multilinear),
    (nn.Linear(2, 2), theories.Multilinear),
    (Doubled(2, 2), None),
    (nn.ReLU(), theories.Selection),
    (nn.MaxPool2d(2), theories.Selection),
    (nn.AvgPool2d(2), theories.Average),
    (nn.AdaptiveAvgPool2d(1), theories.Average),
    (nn.AdaptiveAvgPool2d(2), None),
    (nn.BatchNorm2d(2), theories.Normalization),
    (nn.BatchNorm2d(2, momentum=None), None),
    (nn.LeakyReLU(), theories.LeakyReLU),
    (nn.Sigmoid(), theories.Elementwise),
    (nn.Softmax(1), theories.Softmax),
    (nn.Softmax(0), None),
    (nn.CrossEntropyLoss(), theories.CrossEntropy),
    (nn.CrossEntropyLoss(label_smoothing=0.1), None),
    (nn.NLLLoss(), theories.NegativeLogLikelihood),
    (nn.MSELoss(), theories.SquaredError),
    (nn.MSELoss(reduction="sum"), None),
    (nn.LSTM(2, 2), None),
]


@pytest.mark.parametrize(("module", "kind"), THEORIES, ids=[str(module) for module, _ in THEORIES])
def test_theory_of_a_module(module: nn.Module, kind: type | None) -> None:
    found = theory_of(module, oracle)
    assert found is None if kind is None else isinstance(getattr(found, "theory", found), kind)


@pytest.mark.parametrize(("size", "stride", "overlapping"), [(2, 2, False), (3, 2, True), (2, (2, 1), True)])
def test_windows_that_overlap(size: int, stride: int, overlapping: bool) -> None:
    theory = theory_of(nn.MaxPool2d(size, stride), oracle)
    assert isinstance(theory, theories.Selection)
    assert theory.overlapping is overlapping


def test_module_that_is_its_own_kind() -> None:
    assert (is_own(nn.Linear(2, 2), nn.Linear), is_own(Doubled(2, 2), nn.Linear)) == (True, False)
