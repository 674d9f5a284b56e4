"""A pair in both modes: running statistics found and compared, evaluation judged, a dropout judged by the mask that it drew."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from crosscheck import Attributes, Pair, PairResult, Settings, Verdict
from crosscheck.checks import checks_of
from crosscheck.core.operation import PairError
from crosscheck.core.precision import Array
from crosscheck.pairs.prepare import prepare
from tests.support import ROOT, plain
from tests.support.unshrunk import check
from tests.textbook.dropout import Dropout
from tests.textbook.normalisation import BatchNorm

NORMALISED = nn.BatchNorm1d(4)
ROWS = [(6, 4)]
IMAGES = [(5, 3, 4, 5)]


class BookNorm:
    """Batch normalisation as a well-known book has it: the mode is an argument, running statistics are made by the first forward pass."""

    def __init__(self) -> None:
        self.gamma, self.beta = np.ones((1, 4)), np.zeros((1, 4))
        self.running_mean: Any = None
        self.running_var: Any = None

    def forward(self, x: Array, train_flg: bool = True) -> Array:
        if self.running_mean is None:
            self.running_mean, self.running_var = np.zeros(x.shape[1]), np.zeros(x.shape[1])
        self._inner = BatchNorm(4)
        self._inner.params = {"weight": self.gamma[0], "bias": self.beta[0]}
        self._inner.running_mean, self._inner.running_var = self.running_mean, self.running_var
        self._inner.training = train_flg
        output = self._inner.forward(x)
        self.running_mean, self.running_var = self._inner.running_mean, self._inner.running_var
        return output

    def backward(self, grad_output: Array) -> Array:
        grad_input = self._inner.backward(grad_output)
        self.dgamma, self.dbeta = self._inner.grads["weight"][None], self._inner.grads["bias"][None]
        return grad_input


class OtherNames(BatchNorm):
    """Statistics as columns, under unusual names."""

    def __init__(self) -> None:
        super().__init__(4)
        self.mu, self.sigma2 = np.zeros((4, 1)), np.ones((4, 1))
        del self.running_mean, self.running_var

    def forward(self, x: Array) -> Array:
        self.running_mean, self.running_var = self.mu[:, 0], self.sigma2[:, 0]
        output = super().forward(x)
        self.mu, self.sigma2 = self.running_mean[:, None], self.running_var[:, None]
        del self.running_mean, self.running_var
        return output


class ShowsNothing(BatchNorm):
    """Statistics are kept in a hidden place."""

    def __init__(self) -> None:
        super().__init__(4)
        self._kept = {"mean": self.running_mean, "var": self.running_var}
        del self.running_mean, self.running_var

    def forward(self, x: Array) -> Array:
        self.running_mean, self.running_var = self._kept["mean"], self._kept["var"]
        output = super().forward(x)
        self._kept = {"mean": self.running_mean, "var": self.running_var}
        del self.running_mean, self.running_var
        return output


class NoModes(BatchNorm):
    """Trains for ever."""

    def __init__(self) -> None:
        super().__init__(4)
        del self.training

    def forward(self, x: Array) -> Array:
        self.training = True
        output = super().forward(x)
        del self.training
        return output


def normalised(subject: Any, reference: Any = NORMALISED, only: Callable[[str], bool] | None = None, **settings: Any) -> PairResult:
    """Check a batch normalisation of rows."""
    return check(Pair(subject, reference, shapes=ROWS, **settings), only=only)


def normal(name: str) -> bool:
    """Return whether a check is of the values on normal numbers, in either mode."""
    return name.endswith("-normal")


def judged(result: PairResult) -> set[tuple[str, str]]:
    """Return the quantities that were compared, each with the kind of check."""
    found = [(one.check.partition("-")[0], j) for one in result.results for _, j in one.judgements]
    return {(kind, j.place.quantity) for kind, j in found if j.verdict is Verdict.MATCH}


BOTH_MODES = {(kind, quantity) for kind in ("values", "evaluation") for quantity in ("output", "running_mean", "running_var", "grad_input")}

FOUND: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "by name": (lambda: BatchNorm(4), {}),
    "no array yet": (lambda: Attributes(BookNorm(), ("gamma", "beta")), {}),
    "recognised": (BookNorm, {}),
    "declared": (OtherNames, {"buffers": {"mu": "running_mean: c 1 -> c", "sigma2": "running_var: c 1 -> c"}}),
}


@pytest.mark.slow("each is checked as a whole; the rows show what is found and what is declared", default=["recognised", "declared"])
@pytest.mark.parametrize("name", FOUND)
def test_statistics_are_found_and_both_modes_judged(name: str) -> None:
    make, settings = FOUND[name]
    result = normalised(make(), **settings)
    assert result.verdict is Verdict.MATCH, result.first
    assert judged(result) >= BOTH_MODES


def test_what_is_inferred_is_said() -> None:
    assert "running_mean is running_mean" in normalised(BatchNorm(4), only=normal).inferred


@pytest.mark.parametrize(
    ("subject", "reason"), [(ShowsNothing, "your code has no array with the name and shape of running_mean (4,)"), (NoModes, "no evaluation mode")]
)
def test_what_cannot_be_evaluated_is_skipped_with_its_reason(subject: Callable[..., Any], reason: str) -> None:
    result = normalised(subject(), only=normal)
    skipped = [one for one in result.results if one.check.startswith("evaluation-")]
    assert {one.verdict for one in skipped} == {Verdict.SKIPPED}
    assert all(reason in one.reason for one in skipped)
    assert ("values", "output") in judged(result)


class TwoNorms(nn.Module):  # type: ignore[misc]
    """Two normalisations in a row, without parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.BatchNorm1d(4, affine=False), nn.BatchNorm1d(4, affine=False)

    def forward(self, x: Any) -> Any:
        return self.second(self.first(x))


def test_a_statistic_that_could_be_either_is_neither() -> None:
    """The subject's one running mean is not taken for that of the first normalisation."""
    subject = BatchNorm(4)
    subject.params = {}
    assert prepare(Pair(subject, TwoNorms(), shapes=ROWS)).layer.layout.buffers == {}


def test_statistics_that_are_not_shown_are_skipped_one_by_one() -> None:
    judgements = [j for one in normalised(ShowsNothing(), only=normal).results for _, j in one.judgements if j.place.quantity == "running_var"]
    assert judgements
    assert {j.verdict for j in judgements} == {Verdict.SKIPPED}


ERRORS: dict[str, tuple[Callable[[], Pair], str]] = {
    "subject's name": (
        lambda: Pair(BatchNorm(4), NORMALISED, shapes=ROWS, buffers={"mu": "running_mean"}),
        "buffers has the key 'mu', expected an attribute or buffer of your code: .*running_mean",
    ),
    "reference's name": (
        lambda: Pair(BatchNorm(4), NORMALISED, shapes=ROWS, buffers={"running_mean": "mean"}),
        r"buffers\['running_mean'\] is 'mean', expected a statistic of the reference: running_mean, running_var",
    ),
    "no state": (
        lambda: Pair(BatchNorm(4), NORMALISED.eval(), shapes=ROWS, buffers={"running_mean": "running_mean"}),
        "expected a statistic of the reference: none",
    ),
    "no dropout": (lambda: Pair(BatchNorm(4), nn.BatchNorm1d(4), shapes=ROWS, mask="mask"), "is not a dropout in training that draws one"),
    "inside a chain": (lambda: Pair(Dropout(0.5), nn.Sequential(nn.Dropout(0.5)), shapes=ROWS), "draws its own mask in training"),
    "another state": (
        lambda: Pair(BatchNorm(4), [nn.BatchNorm1d(4), nn.BatchNorm1d(4, track_running_stats=False)], shapes=ROWS),
        "the references keep different statistics",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_error(name: str) -> None:
    make, message = ERRORS[name]
    try:
        with pytest.raises(PairError, match=message):
            _ = prepare(make())
    finally:
        NORMALISED.train()


def test_a_reference_in_evaluation_has_one_mode() -> None:
    """Whoever hands over a module in evaluation compares evaluation, and gets no further checks."""
    pair = Pair(BatchNorm(4), nn.BatchNorm1d(4).eval(), shapes=ROWS)
    assert not [one for one in checks_of(pair) if one.name.startswith("evaluation-")]


PLANTED = """
import numpy as np
from tests.textbook.normalisation import BatchNorm
from torch import nn
from crosscheck import Pair

class Fault(BatchNorm):
    def statistics(self, x):
        return self.batch_statistics(x)

pair = Pair(Fault(4), nn.BatchNorm1d(4), shapes=[(6, 4)], name="fault")
"""


@pytest.mark.slow("the fault is made small for long; test_script shows scripts, and the tests above both modes")
def test_a_fault_in_evaluation_is_reproduced_by_its_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the statistics that it starts from, and in that mode."""
    from crosscheck.pairs.load import find  # noqa: PLC0415 - what the script itself does

    (tmp_path / "declared.py").write_text(PLANTED)
    monkeypatch.chdir(tmp_path)
    pair = find(Path("declared.py"), "fault")
    import crosscheck  # noqa: PLC0415

    first = crosscheck.check(pair, Settings(), lambda name: name == "evaluation-float64-normal").first
    assert first is not None
    assert first.reproduction is not None
    (tmp_path / "small.py").write_text(first.reproduction.script)
    paths = [str(Path(crosscheck.__file__).parents[1]), str(ROOT)]
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {paths}; exec(open('small.py').read())"]
    ran = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - written above
    assert (ran.returncode, ran.stderr) == (1, "")


def told(layer: Any, x: Array, training: bool) -> Array:
    """Keep the mode that a forward pass was told, for the backward pass."""
    layer.training = training
    return plain.Scale.forward(layer, x)


ARGUMENTS: dict[str, Callable[..., Array]] = {
    "training": lambda layer, x, training=True: told(layer, x, training),
    "train": lambda layer, x, train=True: told(layer, x, train),
    "is_training": lambda layer, x, is_training=True: told(layer, x, is_training),
    "train_flg": lambda layer, x, train_flg=True: told(layer, x, train_flg),
    "mode": lambda layer, x, mode="train": told(layer, x, mode == "train"),
    "training=None": lambda layer, x, training=None: told(layer, x, layer.training if training is None else training),
}


def mode_of_backward(subject: Any) -> tuple[Verdict, bool]:
    """Return what the contract finds, and whether that is a warning."""
    result = check(plain.pair(subject), only=lambda name: name == "contract-backward_uses_the_mode_of_forward").results[0]
    return result.verdict, result.warning


@pytest.mark.parametrize("initial", [{}, {"training": True}], ids=["by forward alone", "from the beginning"])
@pytest.mark.parametrize("argument", [name for name in ARGUMENTS if name != "training=None"])
def test_a_mode_that_is_an_argument_cannot_change_before_backward(argument: str, initial: dict[str, bool]) -> None:
    """However the layer keeps it for the backward pass."""
    backward = plain.ReadsItsMode.backward
    told_by_argument = type("Told", (plain.Scale,), {"forward": ARGUMENTS[argument], "backward": backward, **initial})
    assert mode_of_backward(told_by_argument) == (Verdict.SKIPPED, False)


class Switched(plain.ReadsItsMode):
    """Has methods for its mode."""

    def train(self) -> None:
        self.training = True

    def eval(self) -> None:
        self.training = False


STATES = {
    "attribute": plain.ReadsItsMode,
    "methods": Switched,
    "methods beside an argument": type("Both", (Switched,), {"forward": ARGUMENTS["train_flg"]}),
    "attribute beside an argument left open": type("Open", (plain.ReadsItsMode,), {"forward": ARGUMENTS["training=None"]}),
}


@pytest.mark.parametrize("state", STATES)
def test_a_mode_that_is_state_is_warned_of(state: str) -> None:
    assert mode_of_backward(STATES[state]) == (Verdict.MISMATCH, True)
