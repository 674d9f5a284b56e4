"""Learning rates that change over a run: every reference follows, a subject that does not is found, and a resumed run goes on at the right one."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import compare_training
import numpy as np
import pytest
import train
from digits.batches import batches, take
from digits.files import SHIPPED, load
from training.learning_rates import SCHEDULES
from training.run import Plan, compared
from training.scratch_training import Training
from training.subjects import ScratchNetwork, layered

import reference.jax
import scratch
from crosscheck.core.judge import Kind, Verdict
from crosscheck.references.jax.training import JaxTraining
from crosscheck.references.pytorch.training import TorchTraining
from crosscheck.report import html as pages
from crosscheck.training.listened import TrainingComparison
from reference.copying import settings_of

STEPS = 9
CHANGES = 4
"""The step at which the rate of ``step`` changes first, counted from 1."""
SMALL = ("--train-size", "20", "--test-size", "10", "--batch-size", "2")
CHANGING = [name for name in SCHEDULES if name != "constant"]


@pytest.mark.parametrize(
    ("name", "factors"),
    [
        pytest.param("constant", {0: 1.0, 29: 1.0}, id="constant"),
        pytest.param("step", {0: 1.0, 9: 1.0, 10: 0.1, 19: 0.1, 20: 0.1**2, 29: 0.1**2}, id="step"),
        pytest.param("cosine", {0: 1.0, 15: 0.5}, id="cosine"),
        pytest.param("warmup-cosine", {0: 0.5, 15: 0.5}, id="warmup-cosine"),
    ],
)
def test_factors_of_a_run_of_30_steps(name: str, factors: dict[int, float]) -> None:
    assert {step: SCHEDULES[name](step, 30) for step in factors} == factors


@pytest.mark.parametrize("steps", [1, 2, 3, 19, 20, 1000])
@pytest.mark.parametrize("name", SCHEDULES)
def test_every_step_does_something(name: str, steps: int) -> None:
    """Not a step is wasted on a rate of 0, however short the run."""
    factors = [SCHEDULES[name](step, steps) for step in range(steps)]
    assert 0 < min(factors) <= max(factors) <= 1


Follow = Callable[[ScratchNetwork, float], None]

MOMENTUM: Callable[[Any], scratch.Optimizer] = lambda params: scratch.SGD(params, lr=0.1, momentum=0.9)  # noqa: E731 - a row of the table
OPTIMIZERS: dict[str, Callable[[Any], scratch.Optimizer]] = {"plain": lambda params: scratch.SGD(params, lr=0.1), "momentum": MOMENTUM}


def compared_with(
    make: Callable[[Any], scratch.Optimizer],
    references: tuple[str, ...],
    follow: Follow = ScratchNetwork.follow,
    schedule: str = "step",
    dtype: str = "float64",
) -> TrainingComparison:
    """Train a small network beside references; ``follow`` is what its subject does with the factor of each step."""
    rng = np.random.default_rng(0)
    model = scratch.Sequential(
        conv=scratch.Conv2d(1, 2, 5, stride=3, rng=rng, dtype=dtype),
        flat=scratch.Flatten(),
        linear=scratch.Linear(128, 10, rng=rng, dtype=dtype),
    )
    twins = layered(model, make(model.trainable_params), references)
    digits = take(load(SHIPPED), 20, 10, SHIPPED)
    plan = Plan(np.dtype(dtype), 2, STEPS, 1, 2, 0)
    comparison = compared(twins, plan, digits)
    assert isinstance(twins.subject, ScratchNetwork)
    for step, batch in enumerate(batches(digits, plan, np.random.default_rng(0))):
        factor = SCHEDULES[schedule](step, STEPS)
        follow(twins.subject, factor)
        comparison.step(batch.x, batch.labels, lr_factor=factor)
    comparison.look()
    return comparison


@pytest.mark.slow("each framework compiles a training; that each follows is shown by test_rate_that_changes_leads_where_it_does_in_pytorch")
@pytest.mark.parametrize(
    ("optimizer", "references", "schedule", "dtype"),
    [
        pytest.param("plain", ("torch", "jax", "keras"), "step", "float64", id="plain-step-float64"),
        pytest.param("momentum", ("torch", "jax"), "warmup-cosine", "float32", id="momentum-warmup-cosine-float32"),
    ],
)
def test_every_side_follows(optimizer: str, references: tuple[str, ...], schedule: str, dtype: str) -> None:
    """Each reference's oracles judge the subject and all references that train; the free run stays together, too."""
    comparison = compared_with(OPTIMIZERS[optimizer], references, schedule=schedule, dtype=dtype)
    assert comparison.verdict is Verdict.MATCH
    assert comparison.jury is not None
    assert {pair: tally.first for pair, tally in comparison.jury.tallies.items() if tally.mismatches} == {}
    assert len(comparison.jury.tallies) == len(references) * (len(references) + 1)


def never(subject: ScratchNetwork, factor: float) -> None:
    """Forget the schedule."""


def one_step_late(subject: ScratchNetwork, factor: float) -> None:
    """Take this step at the rate of the one before."""
    subject.optimizer.lr, subject.late = getattr(subject, "late", subject.optimizer.lr), 0.1 * factor  # type: ignore[attr-defined]


@pytest.mark.slow("JAX and Keras compile a training; the rows show it beside PyTorch", default=["never", "one-step-late"])
@pytest.mark.parametrize(
    ("follow", "framework"),
    [
        pytest.param(never, "torch", id="never"),
        pytest.param(one_step_late, "torch", id="one-step-late"),
        pytest.param(never, "jax", id="never-jax"),
        pytest.param(never, "keras", id="never-keras"),
    ],
)
def test_subject_that_does_not_follow(follow: Follow, framework: str) -> None:
    """Its update is wrong in the first step where the rate changes, and everything before is right."""
    comparison = compared_with(MOMENTUM, (framework,), follow)
    assert comparison.verdict is Verdict.MISMATCH
    assert comparison.first is not None
    assert str(comparison.first.judgement.place) == f"step {CHANGES}, conv.weight"
    assert comparison.first.judgement.kind is Kind.UPDATE


@pytest.mark.slow("a training is compiled for every rate; PyTorch shows it", default=["TorchTraining"])
@pytest.mark.parametrize("kind", [TorchTraining, JaxTraining])
def test_reference_that_does_not_follow(monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    """It ends its steps elsewhere than the oracles do, and trains alone along another path than the subject."""
    step = kind.step
    monkeypatch.setattr(kind, "step", lambda self, x, labels, trace, constants, lr_factor: step(self, x, labels, trace, constants))
    comparison = compared_with(MOMENTUM, ("torch" if kind is TorchTraining else "jax",))
    assert max(comparison.reference_fractions.values()) > 1
    assert comparison.free is not None
    assert {look.verdict for look in comparison.free.history} == {Verdict.MISMATCH}


def test_jax_compiles_once_for_all_rates() -> None:
    model = scratch.Sequential(linear=scratch.Linear(4, 3, rng=np.random.default_rng(0)))
    network = reference.jax.network(model.layers, scratch.SoftmaxCrossEntropy(), settings_of(MOMENTUM(model.params)))
    training = network.training()
    for step in range(4):
        training.step(np.ones((2, 4)), np.array([0, 1]), lr_factor=1 / (1 + step))
    # The first step, without any momentum, is done layer by layer.
    assert training.network.compiled._cache_size() == 1


@pytest.mark.parametrize(
    "subject", [("--network", "lenet5"), ("--subject", "article", "--batch-size", "1", "--freeze", "conv")], ids=["scratch", "article"]
)
def test_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, subject: tuple[str, ...]) -> None:
    """The fault of the tutorial's code reaches nothing but the convolution, which is frozen here."""
    monkeypatch.setattr(pages, "render", lambda facts: "")
    assert compare_training.main([*SMALL, *subject, "--schedule", "step", "--steps", "6", "--perturbed", "2", "--out", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report["settings"]["schedule"] == "step"


@pytest.mark.parametrize("schedule", CHANGING)
def test_training_goes_on_to_the_last_bit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, schedule: str) -> None:
    """Interrupted in the middle of the second epoch."""
    monkeypatch.chdir(tmp_path)
    asked = [*SMALL, "--epochs", "3", "--schedule", schedule]
    assert train.main([*asked, "--weights-out", "straight.safetensors"]) == 0
    step = Training.step

    def interrupted(self: Training, batch: Any) -> Any:
        if self.progressed.steps == 14:
            signal.raise_signal(signal.SIGINT)
        return step(self, batch)

    kept = ["--checkpoint", "run.safetensors", "--resume", "--weights-out", "resumed.safetensors"]
    with monkeypatch.context() as patch:
        patch.setattr(Training, "step", interrupted)
        assert train.main([*asked, *kept]) == 2
    assert train.main([*asked, *kept]) == 0
    assert Path("resumed.safetensors").read_bytes() == Path("straight.safetensors").read_bytes()


def test_another_length_is_another_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The rates of a cosine depend on where it ends."""
    monkeypatch.chdir(tmp_path)
    kept = [*SMALL, "--schedule", "cosine", "--checkpoint", "run.safetensors", "--resume", "--epochs"]
    assert train.main([*kept, "1"]) == 0
    assert train.main([*kept, "2"]) == 2
    assert "of another run (epochs: 1 there, 2 here)" in capsys.readouterr().err
