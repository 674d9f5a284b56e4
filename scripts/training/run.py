"""A run of compare_training.py: subject and reference do the same steps and are compared; a line every hundred steps, a test at the end."""

from __future__ import annotations

import math
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import threadpoolctl
from digits.batches import Batch, Schedule, scaled
from digits.files import Digits
from rich.console import Console

import crosscheck
from crosscheck.core.precision import Precision
from crosscheck.core.training import TrainState
from crosscheck.oracles.step import elements_per_step
from crosscheck.training.facts import RunFacts, SideTest
from crosscheck.training.jury import Jury
from crosscheck.training.listened import TrainingComparison
from training.comparison_checkpoint import Keeper
from training.evaluation import negative_log_likelihood, outputs
from training.interruption import between_steps
from training.learning_rates import SCHEDULES
from training.progress_bar import progress_bar
from training.progress_lines import Averages, line
from training.subjects import Twins

LINE_EVERY, LINES = 100, 500
"""Every hundred steps, a line is printed and the free runs are compared; in long runs less often, so that there are at most 500 lines."""
IMAGES_SHOWN = 8


@dataclass(frozen=True)
class Plan(Schedule):
    """How long to train, the batch size, and what to check."""

    check_every: int  # the first step is checked, and every N-th step after it
    perturbed: int  # the number of references with perturbed rounding
    seed: int
    schedule: str = "constant"  # how the learning rate changes, one of SCHEDULES

    @property
    def checks(self) -> int:
        """How many steps are checked."""
        return math.ceil(self.steps / self.check_every)

    @property
    def line_every(self) -> int:
        """The number of steps from one printed line to the next."""
        return LINE_EVERY * math.ceil(self.steps / (LINES * LINE_EVERY))


def compared(twins: Twins, plan: Plan, digits: Digits) -> TrainingComparison:
    """Return the comparison of a subject with its references, ready for the first step."""
    first = slice(plan.batch_size)
    sample, labels = scaled(digits.train_images[first], plan.dtype), digits.train_labels[first]
    elements = plan.checks * elements_per_step(twins.architecture, TrainState(twins.subject.params, buffers=twins.subject.buffers), sample, labels)
    looks = math.ceil(plan.steps / plan.line_every)
    precision = Precision(plan.dtype, elements)
    jury = Jury(twins.jurors, precision) if len(twins.jurors) > 1 else None
    return TrainingComparison(twins.architecture, twins.subject, twins.make, precision, looks, plan.perturbed, plan.seed, jury=jury)


def train(
    comparison: TrainingComparison,
    run: Iterator[Batch],
    plan: Plan,
    facts: RunFacts,
    console: Console,
    follow: Callable[[float], None],
    keeper: Keeper | None = None,
    averages: Averages | None = None,
) -> None:
    """Do all remaining steps; if the training diverges on both sides, note that and stop.

    ``follow`` is called before each step with the factor by which the subject multiplies its learning rate. ``averages`` come from a checkpoint.
    Ctrl-C raises KeyboardInterrupt between two steps, after a last checkpoint.
    """
    averages = averages or Averages()
    with between_steps() as interruption, progress_bar(console, "checking") as progress:
        task = progress.add_task("", total=plan.steps, completed=comparison.steps)
        for step, batch in enumerate(run, start=comparison.steps + 1):
            factor = SCHEDULES[plan.schedule](step - 1, plan.steps)
            follow(factor)
            outcomes = comparison.step(batch.x, batch.labels, (step - 1) % plan.check_every == 0, factor)
            facts.losses.add(outcomes.subject.loss, outcomes.reference.loss)
            averages.add(outcomes, batch.labels)
            progress.advance(task)
            if step % plan.line_every == 0 or step == plan.steps:
                comparison.look()
                facts.lines.append(averages.row(step, batch.epoch))
                console.print(line(facts.lines[-1], comparison.worst_fraction()), markup=False)
                averages = Averages()
            if keeper is not None and (keeper.clock.due() or interruption.wanted or step == plan.steps):
                keeper.keep(averages)
            if interruption.wanted:
                raise KeyboardInterrupt
            if not math.isfinite(outcomes.subject.loss) and not math.isfinite(outcomes.reference.loss):
                facts.failed = "the loss is not finite on either side; the training diverged, lower --lr"
                return


def test(comparison: TrainingComparison, digits: Digits, dtype: npt.DTypeLike, probabilities: bool, facts: RunFacts, console: Console) -> None:
    """Compare both sides on the test images; ``probabilities`` says that the networks return probabilities instead of logits."""
    assert comparison.free is not None
    images, labels = scaled(digits.test_images, dtype), digits.test_labels
    predictions = {}
    with console.status("testing"):
        for side, network in (("subject", comparison.subject), ("reference", comparison.free.reference)):
            last = outputs(network.predict, images)
            predictions[side] = last.argmax(axis=1)
            losses = negative_log_likelihood(last, labels, probabilities)
            facts.test[side] = SideTest(float(losses.mean()), float((predictions[side] == labels).mean()))
    differing = np.flatnonzero(predictions["subject"] != predictions["reference"])
    facts.predictions_differing = len(differing)
    facts.images = [
        {
            "pixels": digits.test_images[i].tolist(),
            "label": int(labels[i]),
            "subject": int(predictions["subject"][i]),
            "reference": int(predictions["reference"][i]),
        }
        for i in differing[:IMAGES_SHOWN]
    ]
    for side, result in facts.test.items():
        console.print(f"test  {side:<9}  loss {result.loss:.4f}  accuracy {100 * result.accuracy:.1f} %", markup=False)
    console.print(f"test  {len(differing):,} of {len(labels):,} predictions differ", markup=False)


COMPUTES_WITH = {"torch": ("torch",), "jax": ("jax",), "keras": ("jax", "keras")}
"""For each reference framework, the packages with which it computes."""


def limit_threads() -> None:
    """Let PyTorch compute with one thread: the arrays of a step are too small for more."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def environment(seed: int, sha256: dict[str, str], references: Sequence[str], device: str, tf32: bool) -> dict[str, Any]:
    """Return versions of the packages that compute, BLAS, threads, the references' device, seed and checksums."""
    pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    blas = [f"{pool['internal_api']} {pool.get('version')} ({pool.get('architecture', 'unknown kernel')})" for pool in pools]
    packages = dict.fromkeys(package for name in references for package in COMPUTES_WITH[name])
    frameworks = {name: str(sys.modules[name].__version__) for name in packages}
    threads = {"numpy": max((pool["num_threads"] for pool in pools), default=1)}
    if "torch" in frameworks:
        threads["torch"] = sys.modules["torch"].get_num_threads()
    return {
        "versions": {"crosscheck": crosscheck.__version__, "python": platform.python_version(), "numpy": np.__version__, **frameworks},
        "platform": platform.platform(),
        "blas": "; ".join(blas) or "unknown",
        "threads": threads,
        "device": device,
        "tf32": "on" if tf32 else "off",
        "seed": seed,
        "data_sha256": sha256,
    }
