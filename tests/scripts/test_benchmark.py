"""The benchmark: a side that is wrong is named and not timed, what is missing is told, and the figures come to where they belong."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import benchmark
import numpy as np
import numpy.typing as npt
import pytest
from digits.batches import Labels
from study import workers
from study.benchmark import layers, sides
from study.benchmark.checked import measured as checked_steps
from study.benchmark.facts import facts_of
from study.benchmark.growth import exponent
from study.benchmark.judge import Judge, wrong
from study.benchmark.pages import measured, render
from study.benchmark.plan import PARTS, Choice, planned
from study.benchmark.rounds import Pace, alternated
from study.benchmark.sides import SIDES, MissingError, ScratchSide, Workload, digits, made
from study.benchmark.steps import measured as training_steps
from study.benchmark.targets import TARGETS, compared
from study.benchmark.tasks import Task, run

import scratch
from crosscheck.core.judge import Facts
from scratch import fast
from scratch.layer import Array
from scratch.networks import NETWORKS, Kernels, package
from tests.support import ROOT

SHORT = {"rounds": 1, "seconds": 0.0}
SMALL = [{"network": "tutorial", "batch": 1}]
WITH_DROPOUTS = Workload("with-dropouts", 2)


def with_dropouts(rng: np.random.Generator, dtype: npt.DTypeLike = np.float32, kernels: Kernels = "fast") -> scratch.Sequential:
    """Return a network with all that Keras' MNIST example has, in small."""
    nn = package(kernels)
    conv = nn.Conv2d(1, 3, 3, rng=rng, dtype=dtype)
    dense1, dense2 = (nn.Linear(*sizes, rng=rng, dtype=dtype) for sizes in ((3 * 13 * 13, 12), (12, 10)))
    drop1, drop2 = (nn.Dropout(p, rng=own) for p, own in zip((0.25, 0.5), rng.spawn(2), strict=True))
    return scratch.Sequential(
        conv=conv,
        relu=nn.ReLU(),
        pool=nn.MaxPool2d(2),
        drop1=drop1,
        flatten=scratch.Flatten(),
        dense1=dense1,
        relu2=nn.ReLU(),
        drop2=drop2,
        dense2=dense2,
    )


@pytest.fixture(autouse=True)
def _small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = replace(NETWORKS["keras-mnist-cnn"], make=with_dropouts)
    monkeypatch.setattr(sides, "NETWORKS", {**NETWORKS, "with-dropouts": recipe})


MEASURES_ALL = pytest.mark.xdist_group("benchmark")
"""For tests that all want what every part found: one worker measures it."""

EVERY_PART = pytest.mark.slow("every part is measured for it; test_missing_framework shows what is said of one")

SMALL_TASKS = [
    Task("steps", "study.benchmark.steps.measured", 1, {"workloads": SMALL, "sides": ["scratch", "torch"], "pace": SHORT}),
    Task("memory", "study.benchmark.memory.measured", 1, {"workload": SMALL[0], "side": "scratch", "steps": 2}),
    Task("memory", "study.benchmark.memory.measured_run", 1, {"folder": str(ROOT / "data" / "mnist"), "steps": 3}),
    Task("layers", "study.benchmark.layers.measured", 1, {"workloads": SMALL, "pace": SHORT}),
    Task("checked", "study.benchmark.checked.measured", 1, {"workloads": SMALL, "pace": SHORT}),
    Task("growth", "study.benchmark.growth.measured", 1, {"growths": {"batch": [1, 2]}, "pace": SHORT}),
    Task("full", "study.benchmark.full.measured", 1, {"folder": str(ROOT / "data" / "mnist"), "steps": 3}),
    Task("startup", "study.benchmark.startup.measured", 1, {"rounds": 1}),
]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure next to nothing, in this process."""
    monkeypatch.setattr(workers, "results", workers.here)
    monkeypatch.setattr(benchmark, "planned", lambda choice: [task for task in SMALL_TASKS if task.part in choice.parts])


@cache
def all_found() -> tuple[tuple[Task, Facts], ...]:
    """Return what every part found, measured once in each worker that asks."""
    return tuple(workers.here(run, SMALL_TASKS))


@pytest.fixture
def found() -> list[tuple[Task, Facts]]:
    """Return what every part found."""
    return copy.deepcopy(list(all_found()))


def facts_from(found: list[tuple[Task, Facts]], load: float = 0.0) -> Facts:
    """Return the facts of a run of all parts."""
    choice = Choice(list(PARTS), ["scratch", "torch"], [1], quick=True, folder=ROOT / "data" / "mnist", whole=False)
    return facts_of(found, choice, "python scripts/benchmark.py --quick", load)


RIGHT = [
    *(("tutorial", name) for name in ("scratch", "article", "torch")),
    *(("with-dropouts", name) for name in ("scratch", "torch", "jax", "keras")),
]
"""What is compiled takes seconds, and is judged on the network that has everything."""


@pytest.mark.slow(
    "JAX and Keras compile a training with dropouts; scratch's and PyTorch's are judged by the same judge",
    default=["tutorial-article", "with-dropouts-torch", "with-dropouts-scratch", "tutorial-torch", "tutorial-scratch"],
)
@pytest.mark.parametrize(("network", "name"), RIGHT)
def test_sides_are_right(network: str, name: str) -> None:
    """The second step starts from what the first one left; dropouts are judged by the masks that the side drew."""
    workload = Workload(network, 1 if name == "article" else 2)
    judge = Judge.of(made(name, workload), workload, 2)
    assert [wrong(judge.step(*batch)) for batch in digits(workload.batch, 2)] == ["", ""]


class Faster(ScratchSide):
    """Its learning rate is larger by a tenth of a per mille."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        self.training.optimizer.lr *= 1.0001


class Stale(ScratchSide):
    """It updates with the gradients of the step before, which shows in the second step."""

    kept: dict[str, Array] | None = None

    def step(self, images: Any, labels: Labels) -> float:
        before = {name: value.copy() for name, value in self.training.model.params.items()}
        loss = super().step(images, labels)
        change: dict[str, Array] = {name: value - before[name] for name, value in self.training.model.params.items()}
        if self.kept is not None:
            for name, value in self.training.model.params.items():
                value[...] = before[name] + self.kept[name]
        self.kept = change
        return loss


class Summed(ScratchSide):
    """Its loss is the sum over the batch, not the mean; its weights are right."""

    def step(self, images: Any, labels: Labels) -> float:
        return super().step(images, labels) * len(images)


class Undropped(ScratchSide):
    """Its dropouts drop what they say they keep."""

    def observed(self, images: Any, labels: Labels) -> tuple[float, Any]:
        loss, masks = super().observed(images, labels)
        return loss, {name: ~mask for name, mask in masks.items()}


PLANTED: dict[str, tuple[type[ScratchSide], Workload, str]] = {
    "learning rate": (Faster, Workload("tutorial", 2), r"step 1, linear\.weight: "),
    "gradients of the step before": (Stale, Workload("tutorial", 2), r"step 2, (conv|linear)\."),
    "sum for a mean": (Summed, Workload("tutorial", 2), r"step 1, loss\.output: "),
    "masks": (Undropped, WITH_DROPOUTS, r"step 1, loss\.output: "),
}


@pytest.mark.slow("each side trains; one mistake shows it", default=["masks"])
@pytest.mark.parametrize("name", PLANTED)
def test_wrong_side_is_named_and_not_timed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, workload, words = PLANTED[name]
    monkeypatch.setattr(sides, kind.__name__, kind, raising=False)
    monkeypatch.setitem(SIDES, "torch", ("study.benchmark.sides", kind.__name__, "planted"))
    facts = training_steps([{"network": workload.network, "batch": workload.batch}], ["scratch", "torch"], 1, SHORT)
    assert [row["side"] for row in facts["training_step"]] == ["scratch"]
    assert [row["side"] for row in facts["wrong"]] == ["torch"]
    assert re.match(words, facts["wrong"][0]["words"])
    assert facts_from([(SMALL_TASKS[0], facts)])["status"] == 1


@pytest.mark.slow("judges a network of all layers; test_wrong_side_is_named_and_not_timed shows that what is wrong is not timed")
def test_wrong_layer_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = fast.MaxPool2d.backward
    monkeypatch.setattr(fast.MaxPool2d, "backward", lambda self, grad_output: 2 * right(self, grad_output))
    facts = layers.measured(SMALL, 1, SHORT)
    assert [row["words"].partition(":")[0] for row in facts["wrong"]] == ["step 1, pool.grad_input"]
    assert {row["layer"] for row in facts["layers"]} == {"conv", "flatten", "linear"}


@pytest.mark.slow("judges a network; test_wrong_side_is_named_and_not_timed shows that what is wrong has no figure")
def test_checked_step_that_is_wrong_has_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    right = fast.MaxPool2d.backward
    monkeypatch.setattr(fast.MaxPool2d, "backward", lambda self, grad_output: 2 * right(self, grad_output))
    facts = checked_steps(SMALL, 1, SHORT)
    assert facts["checked_step"] == []
    assert re.fullmatch(r"mismatch in \d+ checked steps, first at step 1, pool.grad_input", facts["wrong"][0]["words"])


@EVERY_PART
@MEASURES_ALL
def test_run(found: list[tuple[Task, Facts]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(benchmark, "planned", lambda choice: SMALL_TASKS)
    monkeypatch.setattr(workers, "results", lambda function, tasks, **ways: iter(found))
    machine, page = tmp_path / "benchmark.json", tmp_path / "benchmark.html"
    assert benchmark.main(["--quick", "--data-dir", str(ROOT / "data" / "mnist"), "--json", str(machine), "--html", str(page)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("RIGHT: every side that was timed agrees with the oracle; ")
    assert "a quick look, not a measurement" in shown.partition("\n")[0]
    facts = json.loads(machine.read_text(encoding="utf-8"))
    assert [set(row) for row in facts["training_step"]] == [{"network", "batch", "threads", "side", "milliseconds", "times_scratch"}] * 2
    assert facts["training_step"][0]["times_scratch"] == 1
    assert facts["command"] == "python scripts/benchmark.py --quick"  # no folder of this machine
    assert {"batch", "times_sides", "quantities_per_second"} < set(facts["checked_step"][0])
    assert len(facts["targets"]) == len(TARGETS)
    assert all(facts[name] for name in ("memory", "memory_run", "layers", "growth", "full_run", "startup"))
    loaded = re.findall(r"<script|<link|<img|@import|(?:src|href)=\"(?!#|data:)[^>]*", page.read_text(encoding="utf-8"))
    assert loaded == []


@pytest.mark.usefixtures("small")
def test_missing_framework(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It is named, the others are measured, and the exit status says that not all was."""
    monkeypatch.setitem(SIDES, "torch", ("no_such_framework", "Side", "a framework"))
    assert benchmark.main(["--quick", "--only", "steps"]) == 2
    shown = capsys.readouterr().out
    assert shown.startswith("NOT ALL MEASURED: torch is missing; ")
    assert "missing: torch: it cannot be imported (No module named 'no_such_framework'); pip install" in shown
    assert re.search(r"│ scratch +│ +[\d.]+ │ +1 │", shown)


def test_no_compiler_is_told_and_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(workload: Workload) -> None:
        raise MissingError("torch.compile does not work here: no C++ compiler")

    monkeypatch.setattr(sides, "Refused", refused, raising=False)
    monkeypatch.setitem(SIDES, "torch.compile", ("study.benchmark.sides", "Refused", "compiled"))
    facts = facts_from([(SMALL_TASKS[0], training_steps(SMALL, ["scratch", "torch.compile"], 1, SHORT))])
    assert (facts["status"], [row["words"] for row in facts["missing"]]) == (0, ["torch.compile does not work here: no C++ compiler"])


def test_part_that_failed() -> None:
    facts = facts_from([(SMALL_TASKS[0], {"failed": "its process died"})])
    assert facts["status"] == 2
    assert facts["headline"].startswith("NOT ALL MEASURED: the training step of each side failed")


@pytest.mark.usefixtures("small")
def test_interrupted_run_continues(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It writes no report, and does not measure again what it has."""
    machine, state, ran = tmp_path / "benchmark.json", tmp_path / "state.json", list[str]()

    def counted(function: Callable[[Task], Facts], tasks: Sequence[Task], **ways: Any) -> Iterator[tuple[Task, Facts]]:
        for task in tasks[: 2 if not ran else None]:
            ran.append(task.key)
            yield task, {"startup": [{"command": task.key, "milliseconds": 1.0}]}

    monkeypatch.setattr(workers, "results", counted)
    arguments = ["--quick", "--only", "memory,startup", "--json", str(machine), "--state", str(state)]
    assert benchmark.main(arguments) == 130
    assert f"2 results are in {state}; continue with the same command and --resume" in capsys.readouterr().err
    assert not machine.exists()
    assert benchmark.main([*arguments, "--resume"]) == 0
    assert len(ran) == len(set(ran)) == len(json.loads(machine.read_text(encoding="utf-8"))["startup"]) == 3


def test_sides_take_turns() -> None:
    """Each round goes the other way round; a slow spell of one round moves no ratio."""
    now, order, costs = [0.0], list[str](), {"one": 1.0, "two": 4.0}

    def run(name: str) -> Callable[[int], None]:
        def timed(count: int) -> None:
            order.append(name)
            now[0] += count * costs[name] * (100 if len(order) in range(9, 11) else 1)

        return timed

    times = alternated({name: run(name) for name in costs}, Pace(rounds=5, seconds=0.0), lambda: now[0])
    assert order[4:] == ["two", "one", "one", "two"] * 2 + ["two", "one"]
    assert (times.milliseconds("one"), times.times("two", "one")) == (1000, 4)


def test_exponent_of_a_power() -> None:
    assert round(exponent([1, 2, 4, 8], [3.0, 12.0, 48.0, 192.0]), 6) == 2


@EVERY_PART
@MEASURES_ALL
def test_target_is_reached_by_the_worst_of_its_figures(found: list[tuple[Task, Facts]]) -> None:
    facts = facts_from(found)
    step = {"network": "tutorial", "batch": 1, "side": "torch", "milliseconds": 1.0}
    facts["training_step"] = [{**step, "threads": 1, "times_scratch": 5.0}, {**step, "threads": 2, "times_scratch": 3.0}]
    first, second, *_ = compared(facts)
    assert (first["target"], first["measured"], first["reached"]) == ("at least 4 times", 3.0, False)
    assert (second["measured"], second["reached"]) == (None, None)


def test_every_part_has_tasks(tmp_path: Path) -> None:
    for quick in (True, False):
        tasks = planned(Choice(list(PARTS), list(SIDES), [1, 2], quick=quick, folder=tmp_path, whole=not quick))
        assert list(dict.fromkeys(task.part for task in tasks)) == list(PARTS)


@EVERY_PART
@MEASURES_ALL
def test_texts_are_escaped(found: list[tuple[Task, Facts]]) -> None:
    facts = facts_from([*found, (SMALL_TASKS[0], {"failed": "<script>alert(1)</script>"})])
    facts["sides"]["torch"] = "<b>$x$"
    page = render(facts)
    assert re.findall("<script>|<b>", page) == []
    assert "&lt;script&gt;alert(1)" in page


@EVERY_PART
@MEASURES_ALL
def test_busy_machine_is_told(found: list[tuple[Task, Facts]]) -> None:
    lines = [measured(facts_from(found, load)) for load in (0.1, 1.7)]
    assert ["the machine was busy" in line for line in lines] == [False, True]


REFUSED: dict[str, tuple[list[str], str]] = {
    "without scratch": (["--sides", "torch"], "scratch is what the others are compared with"),
    "more threads than cores": (["--threads", "9999"], "cores here; lower it"),
    "whole run without images": (["--full"], "say --download"),
    "whole run on fewer images": (["--full", "--data-dir", str(ROOT / "data" / "mnist")], "1,000 training images, expected 60,000"),
    "whole run in a minute": (["--full", "--quick", "--data-dir", "."], "leave out the other"),
    "no such folder": (["--data-dir", "no-such-folder"], "no-such-folder: no such folder"),
    "other suffix": (["--json", "figures.txt"], "has to end in .json"),
    "no JSON": (["--page", "no-such-file.json"], "write it with scripts/benchmark.py --json"),
    "other JSON": (["--page", str(ROOT / "docs" / "detection.json")], "is not what scripts/benchmark.py --json writes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_measured(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, message = REFUSED[name]
    assert benchmark.main(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--only", "speed"], ["--sides", "tensorflow"], ["--threads", "0"]], ids=["part", "side", "threads"])
def test_unknown_values(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        benchmark.main(arguments)
    assert arguments[0] in capsys.readouterr().err


@EVERY_PART
@MEASURES_ALL
def test_figures_in_markdown(found: list[tuple[Task, Facts]]) -> None:
    assert "| PyTorch's step over scratch's, tutorial, batch 1 | at least 4 times |" in measured(facts_from(found))
