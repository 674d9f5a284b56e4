"""Faults made small: the fault that was found stays, nothing else comes in its place, and the search ends whatever the subject does."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from torch import nn

import crosscheck
from crosscheck.checks import CheckResult, Settings, checks_of
from crosscheck.core.precision import Array
from crosscheck.pairs.prepare import prepare
from crosscheck.references.pytorch.oracle import oracle
from crosscheck.run.check import run_check
from crosscheck.shrinking.script import SmallCase
from crosscheck.shrinking.shrink import Small, shrink
from tests.support import ROOT
from tests.support.small_cases import caught


class Right:
    """The positive part, right but for what the tests make of it."""

    def forward(self, x: Array) -> Array:
        self.mask = x > 0
        return x * self.mask

    def backward(self, grad_output: Array) -> Array:
        return grad_output * self.mask


def found(subject: Any, settings: Settings | None = None, check: str = "values-float64-normal", **options: Any) -> CheckResult:
    """Run one check of a layer beside a module of PyTorch."""
    pair = crosscheck.Pair(subject, **{"reference": nn.ReLU(), "shapes": [(3, 2, 4, 5)], **options})
    return run_check(pair, next(each for each in checks_of(pair) if each.name == check), settings or Settings())


def small_of(result: CheckResult) -> Small:
    assert isinstance(result.reproduction, SmallCase)
    return result.reproduction.small


def shrunk(subject: Any, seconds: float) -> Small:
    """Find a fault and make it small within some seconds."""
    pair = crosscheck.Pair(subject, nn.ReLU(), [(3, 2, 4, 5)])
    result = run_check(pair, checks_of(pair)[0], Settings(shrink=False))
    assert result.given is not None
    assert result.divergence is not None
    return shrink(prepare(pair), result.given, result.divergence, seconds=seconds)


def test_ties_are_kept(tmp_path: Path) -> None:
    x = small_of(caught("pool-ties", tmp_path / "layers.py")).call.x
    assert np.unique(x).size < x.size


def test_zeros_at_kinks_are_kept(tmp_path: Path) -> None:
    assert (small_of(caught("relu-at-zero", tmp_path / "layers.py")).call.x == 0).any()


def test_large_logits_are_kept(tmp_path: Path) -> None:
    """Exponentials overflow from 710 on."""
    assert np.abs(small_of(caught("loss-no-shift", tmp_path / "layers.py")).call.x).max() > 700


@pytest.mark.slow("searches for long; test_ties_are_kept and test_zeros_at_kinks_are_kept show that what matters is kept")
def test_order_in_memory_is_kept(tmp_path: Path) -> None:
    x = small_of(caught("linear-fortran", tmp_path / "layers.py")).call.x
    assert x.flags.f_contiguous
    assert not x.flags.c_contiguous


@pytest.mark.slow("each fault is searched for long; one shows what becomes of numbers", default=["linear-row"])
@pytest.mark.parametrize("fault", ["conv-sign", "conv-1e-9", "linear-row"])
def test_most_numbers_become_plain(fault: str, tmp_path: Path) -> None:
    call = small_of(caught(fault, tmp_path / "layers.py")).call
    assert set(np.unique(call.x)) <= {0.0, 1.0}


class WrongWhereLarge(Right):
    """Wrong on inputs of one size only."""

    def forward(self, x: Array) -> Array:
        return super().forward(x) * (2 if x.size == 120 else 1)


@pytest.mark.slow("searches for long what is not there; test_length_that_is_stored_stays keeps a size, too")
def test_fault_that_needs_its_size_keeps_it() -> None:
    assert small_of(found(WrongWhereLarge())).call.x.shape == (3, 2, 4, 5)


class TwoFaults(Right):
    """Wrong at zero, and wrong where there are several numbers."""

    def backward(self, grad_output: Array) -> Array:
        self.mask = self.mask | (self.x == 0)
        return super().backward(grad_output) * (2 if self.x.size > 2 else 1)

    def forward(self, x: Array) -> Array:
        self.x = x
        return super().forward(x)


def test_no_fault_at_a_kink_in_place_of_one_away_from_it() -> None:
    """The derivative at zero may be a difference that is known and expected."""
    small = small_of(found(TwoFaults()))
    assert small.call.x.all()
    assert small.call.x.size == 3


class WrongForOne(Right):
    """Its gradient is wrong by a sign; given one sample, its output is wrong, too."""

    def forward(self, x: Array) -> Array:
        return super().forward(x) * (1 if len(x) > 1 else 3)

    def backward(self, grad_output: Array) -> Array:
        return -super().backward(grad_output)


def test_nothing_is_wrong_that_was_right() -> None:
    small = small_of(found(WrongForOne()))
    assert small.quantity == "grad_input"
    assert small.call.x.shape == (2, 1, 1, 1)


class RaisesForOne(Right):
    """Its gradient has a wrong sign; given one sample, it raises."""

    def backward(self, grad_output: Array) -> Array:
        if len(grad_output) == 1:
            raise ValueError("a batch of one")
        return -super().backward(grad_output)


def test_exception_is_no_substitute_for_wrong_numbers() -> None:
    small = small_of(found(RaisesForOne()))
    assert small.call.x.shape == (2, 1, 1, 1)
    assert small.divergence.judgement.worst is not None


class RaisesElsewhere(Right):
    """Raises the same exception in two places."""

    def backward(self, grad_output: Array) -> Array:
        if len(grad_output) == 1:
            raise ValueError("one")
        raise ValueError("several")


def test_exception_from_another_line_is_another_fault() -> None:
    small = small_of(found(RaisesElsewhere()))
    assert small.call.x.shape == (2, 1, 1, 1)
    assert "several" in small.divergence.judgement.reason


class KeepsItsSize:
    """A linear layer that has stored how many features it has, and divides by that number; its bias gradient is wrong."""

    def __init__(self) -> None:
        self.features = 6
        self.W, self.b = np.zeros((6, 4)), np.zeros(4)

    def forward(self, x: Array) -> Array:
        self.x = x
        return x @ (self.W * self.features) / self.features + self.b

    def backward(self, dout: Array) -> Array:
        self.dW, self.db = self.x.T @ dout, -dout.sum(axis=0)
        return dout @ self.W.T


def test_length_that_is_stored_stays() -> None:
    subject = crosscheck.Attributes(KeepsItsSize(), ("W", "b"))
    params = {"W": "weight: i o -> o i", "b": "bias"}
    small = small_of(found(subject, reference=nn.Linear(6, 4), shapes=[(3, 6)], params=params))
    assert small.call.x.shape == (1, 6)
    assert small.call.params["weight"].shape == (1, 6)


class EndlessForOne(Right):
    """Wrong by a sign; never ends on a single number."""

    def backward(self, grad_output: Array) -> Array:
        while grad_output.size == 1:
            time.sleep(0.01)
        return -super().backward(grad_output)


def test_call_that_does_not_end_is_no_reproduction() -> None:
    small = shrunk(EndlessForOne(), seconds=2)
    assert 1 < small.call.x.size < 120


class Slow(Right):
    """Wrong by a sign, and slow."""

    def backward(self, grad_output: Array) -> Array:
        time.sleep(0.2)
        return -super().backward(grad_output)


def test_slow_subject_is_given_up_in_time() -> None:
    """The search ends after its second, plus one last call."""
    began = time.monotonic()
    small = shrunk(Slow(), seconds=1)
    assert time.monotonic() - began < 5
    assert small.evaluations < 10
    assert small.call.x.size < 120


class Interrupted(Right):
    """Somebody presses Ctrl-C after a while."""

    calls: ClassVar[list[int]] = [0]

    def backward(self, grad_output: Array) -> Array:
        self.calls[0] += 1
        if self.calls[0] > 5:
            raise KeyboardInterrupt
        return -super().backward(grad_output)

    def __deepcopy__(self, memo: Any) -> Interrupted:
        return type(self)()


def test_interrupt_passes_through() -> None:
    with pytest.raises(KeyboardInterrupt):
        found(Interrupted())


class OnlyOnce(Right):
    """Wrong in the first call of all."""

    calls: ClassVar[list[int]] = [0]

    def backward(self, grad_output: Array) -> Array:
        self.calls[0] += 1
        return super().backward(grad_output) * (2 if self.calls[0] == 1 else 1)

    def __deepcopy__(self, memo: Any) -> OnlyOnce:
        return type(self)()


def test_fault_that_does_not_come_back_keeps_its_call() -> None:
    small = small_of(found(OnlyOnce()))
    assert small.call.x.shape == (3, 2, 4, 5)
    assert small.shrunk == ()


class Talks(Right):
    """Wrong by a sign, and prints."""

    def backward(self, grad_output: Array) -> Array:
        sys.stdout.write("backward\n")
        return -super().backward(grad_output)


def test_subject_that_prints_does_not_print_a_hundred_times(capsys: pytest.CaptureFixture[str]) -> None:
    small = small_of(found(Talks()))
    assert small.evaluations > 5
    assert capsys.readouterr().out.count("backward") < 5


class Sign(Right):
    """Wrong by a sign."""

    def backward(self, grad_output: Array) -> Array:
        return -super().backward(grad_output)


def test_mask_among_the_inputs_stays() -> None:
    """Only the mask that a dropout draws is left out of a failing call."""

    def masked(x: Any, mask: Any) -> Any:
        return x * mask

    subject = crosscheck.Functions(lambda x, mask: (x + mask, mask), lambda grad_output, mask: grad_output * mask)
    inputs = {"x": "batch n", "mask": crosscheck.Mask("batch n")}
    small = small_of(found(subject, reference=masked, framework="torch", shapes=(), inputs=inputs, sizes={"batch": 3, "n": 4}))
    assert small.call.constants["mask"].shape == small.call.x.shape


def test_several_references() -> None:
    small = small_of(found(Sign(), reference=[nn.ReLU(), oracle(nn.ReLU())]))
    assert small.call.x.size == 1


def test_given_call_is_left_alone() -> None:
    class Writes(Sign):
        def backward(self, grad_output: Array) -> Array:
            result = super().backward(grad_output)
            grad_output *= 0
            return result

    result = found(Writes())
    assert result.given is not None
    assert result.given.call.grad_output is not None
    assert result.given.call.grad_output.all()
    assert small_of(result).call.x.size == 1


def test_expected_difference_is_not_made_small() -> None:
    assert found(Sign(), expected={"values-*": "known"}).reproduction is None


def test_nothing_is_made_small_unasked() -> None:
    assert found(Sign(), Settings(shrink=False)).reproduction is None


def test_contract_has_no_numbers_to_make_small() -> None:
    class Widens(Right):
        def forward(self, x: Array) -> Array:
            x += 0
            x[0] = 0
            return super().forward(x)

    result = found(Widens(), check="contract-inputs_are_left_alone")
    assert result.verdict is crosscheck.Verdict.MISMATCH
    assert result.reproduction is None


@pytest.mark.slow("each fault is made small twice; test_pairs.py shows that seeds decide")
@pytest.mark.parametrize("fault", ["conv-overwritten", "pool-ties", "loss-sum"])
def test_same_seed_same_script(fault: str, tmp_path: Path) -> None:
    first, second = (caught(fault, tmp_path / "layers.py").reproduction for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.script == second.script


def test_search_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small_of(found(Sign()))
    assert list(tmp_path.iterdir()) == []


def test_hypothesis_is_imported_only_for_a_search() -> None:
    code = "import sys, crosscheck, crosscheck.shrinking.script; sys.exit('hypothesis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, timeout=60).returncode == 0  # noqa: S603
