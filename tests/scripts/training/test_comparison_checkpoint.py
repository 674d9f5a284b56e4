"""A comparison that is killed and resumed: its last checkpoint, the whole of both sides, and its report are the same to the last bit."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import compare_training
import numpy as np
import pytest
from training.checkpoints import KEY, AnyArrays, read_arrays, write_arrays

from crosscheck.report import html as pages
from crosscheck.training.listened import TrainingComparison
from tests.support.killed import killed

pytestmark = pytest.mark.xdist_group("resumed-comparison")  # one process with --dist loadgroup, in which each undisturbed run is done once

STEPS = 14
RUNS = {
    "momentum": ("--momentum", "0.9", "--batch-size", "3"),
    "float32-every-third": ("--dtype", "float32", "--check-every", "3"),
    "article": ("--subject", "article"),
    "augmented": ("--augment", "--batch-size", "3"),
    "warmup-cosine": ("--schedule", "warmup-cosine", "--momentum", "0.9", "--batch-size", "3"),
}
ALWAYS = ("--steps", str(STEPS), "--train-size", "30", "--test-size", "10", "--perturbed", "2", "--out", "report")
KEPT = ("--checkpoint", "run.safetensors", "--checkpoint-every", "4", "--resume")


def compared(folder: Path, arguments: Sequence[str]) -> int:
    """Call the command in a folder, without the page, which takes most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(pages, "render", lambda facts: "")
        return compare_training.main([*arguments, *ALWAYS])


def results(folder: Path) -> tuple[bytes, dict[str, Any]]:
    """Return the last checkpoint, and the report but for the time that the run took."""
    facts = json.loads((folder / "report" / "report.json").read_text(encoding="utf-8"))
    return (folder / "run.safetensors").read_bytes(), {name: value for name, value in facts.items() if name != "seconds"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that does each run once, at one go, and returns its folder."""
    known: dict[str, Path] = {}

    def folder_of(name: str) -> Path:
        if name not in known:
            known[name] = tmp_path_factory.mktemp(name)
            compared(known[name], [*RUNS[name], *KEPT])
        return known[name]

    return folder_of


@pytest.mark.slow("each starts a process; test_interrupted shows every moment, and test_train kills")
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize(
    ("name", "write", "moment"),
    [
        pytest.param("momentum", 1, "before", id="before-the-first-checkpoint"),
        pytest.param("momentum", 2, "after", id="momentum"),
        pytest.param("article", 3, "before", id="article-while-writing"),
    ],
)
def test_killed(undisturbed: Callable[[str], Path], tmp_path: Path, name: str, write: int, moment: str) -> None:
    killed("compare_training", [*RUNS[name], *KEPT, *ALWAYS], tmp_path, write, moment)
    assert (tmp_path / "run.safetensors").exists() == (write > 1)
    assert not (tmp_path / "report" / "report.json").exists()
    compared(tmp_path, [*RUNS[name], *KEPT])
    assert results(tmp_path) == results(undisturbed(name))


def interrupted(folder: Path, name: str, steps: int) -> int:
    """Do some steps and interrupt the last one with Ctrl-C."""
    real = TrainingComparison.step

    def step(self: TrainingComparison, *given: Any, **named: Any) -> Any:
        if self.steps == steps - 1:
            signal.raise_signal(signal.SIGINT)
        return real(self, *given, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingComparison, "step", step)
        return compared(folder, [*RUNS[name], "--checkpoint", "run.safetensors"])


@pytest.mark.slow(
    "each trains twice; the rows show three runs, and the first, the last and a moment between",
    default=["momentum-1", "float32-every-third-13", "warmup-cosine-14"],
)
@pytest.mark.parametrize("steps", [1, 7, STEPS - 1, STEPS])
@pytest.mark.parametrize("name", list(RUNS))
def test_interrupted(undisturbed: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, steps: int) -> None:
    """Ctrl-C, then twice more: the checkpoint after that very step is enough, at the first one and at the last."""
    status = interrupted(tmp_path, name, steps)
    assert status == (1 if name == "article" else 2)
    assert capsys.readouterr().out.endswith("continue from run.safetensors with the same command and --resume\n")
    compared(tmp_path, [*RUNS[name], *KEPT])
    assert f"going on after step {steps} of run.safetensors" in capsys.readouterr().out
    assert results(tmp_path) == results(undisturbed(name))


def test_goes_on_with_the_other_kernels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    interrupted(tmp_path, "momentum", 7)
    assert compared(tmp_path, [*RUNS["momentum"], *KEPT, "--kernels", "plain"]) == 0
    assert "going on after step 7 of run.safetensors" in capsys.readouterr().out


def test_keeping_makes_no_difference_to_the_report(undisturbed: Callable[[str], Path], tmp_path: Path) -> None:
    """Not even to the command that it says repeats the run: that one starts afresh."""
    compared(tmp_path, RUNS["momentum"])
    report = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert report["command"].split()[2:] == [*RUNS["momentum"], *ALWAYS]
    assert {name: value for name, value in report.items() if name != "seconds"} == results(undisturbed("momentum"))[1]


Change = Callable[[AnyArrays, Any], object]


def rewritten(source: Path, folder: Path, change: Change) -> None:
    """Write a checkpoint into a folder after changing its arrays and its description."""
    arrays, metadata = read_arrays(source / "run.safetensors", "a checkpoint")
    description = json.loads(metadata[KEY])
    change(arrays, description)
    write_arrays(folder / "run.safetensors", arrays, {KEY: json.dumps(description)})


def without(arrays: AnyArrays, part: str) -> None:
    """Leave out the arrays with this in their names."""
    for name in [name for name in arrays if part in name]:
        del arrays[name]


def exchanged(arrays: AnyArrays, part: str, other: str) -> None:
    """Give the arrays with this in their names the content of others."""
    arrays.update({name: arrays[name.replace(part, other)] for name in arrays if part in name})


FORGOTTEN: dict[str, tuple[str, Change]] = {
    "noise_generator": ("momentum", lambda arrays, run: exchanged(arrays, "free/2/generator", "free/1/generator")),
    "momentum_of_the_reference": ("momentum", lambda arrays, run: without(arrays, "free/0/optimizer/")),
    "momentum_of_the_subject": ("momentum", lambda arrays, run: without(arrays, "subject/optimizer/")),
    "parameters_of_a_perturbed_one": ("momentum", lambda arrays, run: exchanged(arrays, "free/1/params/", "free/0/params/")),
    "what_the_step_before_left": ("momentum", lambda arrays, run: run["comparison"].update(left=None)),
    "points_of_a_curve": ("momentum", lambda arrays, run: arrays.update({"curves/values": np.zeros_like(arrays["curves/values"])})),
    "averages": ("momentum", lambda arrays, run: run.update(averages={"steps": 0, "images": 0, "losses": [0.0, 0.0], "hits": [0, 0]})),
    "losses": ("momentum", lambda arrays, run: run.update(losses={"sums": [], "each": 1, "filled": 0})),
    "noise": ("momentum", lambda arrays, run: run["comparison"].update(noise=[[place, 2 * size] for place, size in run["comparison"]["noise"]])),
    "worst": ("momentum", lambda arrays, run: [series.update(worst=None) for _, series in run["comparison"]["series"]]),
    "reference_fractions": ("float32-every-third", lambda arrays, run: run["comparison"].update(reference_fractions=[])),
    "divergences": ("article", lambda arrays, run: run["comparison"].update(first=None, divergences=[])),
    "consequences": ("article", lambda arrays, run: run["comparison"].update(consequences=[])),
}
"""Pieces of the state, each with a run to which it makes a difference, and what the checkpoint is without it."""


@pytest.mark.slow("each piece is left out of a run of its own; one shows that what is left out shows", default=["noise_generator"])
@pytest.mark.parametrize(("name", "forget"), FORGOTTEN.values(), ids=FORGOTTEN)
def test_what_is_left_out_shows(undisturbed: Callable[[str], Path], tmp_path: Path, name: str, forget: Change) -> None:
    """Each piece of the state is needed: without it the end is another one, and the tests above would fail."""
    interrupted(tmp_path, name, 7)
    rewritten(tmp_path, tmp_path, lambda arrays, description: forget(arrays, description["facts"]["run"]))
    compared(tmp_path, [*RUNS[name], *KEPT])
    assert results(tmp_path)[0] != results(undisturbed(name))[0]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        pytest.param(("--lr", "0.01"), "lr: 0.005 there, 0.01 here", id="lr"),
        pytest.param(("--steps", "15"), f"steps: {STEPS} there, 15 here", id="steps"),
        pytest.param(("--schedule", "cosine"), "schedule: 'constant' there, 'cosine' here", id="schedule"),
        pytest.param(("--augment",), "augment: False there, True here", id="augment"),
        pytest.param(("--perturbed", "4"), "perturbed: 2 there, 4 here", id="perturbed"),
        pytest.param(("--freeze", "conv"), "freeze: [] there, ['conv'] here", id="freeze"),
    ],
)
def test_of_another_run(
    undisturbed: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    complaint: str,
) -> None:
    folder = undisturbed("momentum")
    before = results(folder)
    monkeypatch.chdir(folder)
    assert compare_training.main([*RUNS["momentum"], *ALWAYS, *KEPT, *arguments]) == 2
    assert capsys.readouterr().err == (
        f"compare_training: run.safetensors: of another run ({complaint}); repeat its options, or name another file with --checkpoint\n"
    )
    assert results(folder) == before


def test_checkpoint_of_another_version_of_the_framework(
    undisturbed: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other kernels round in another way: what goes on with them is not what would have been."""
    rewritten(undisturbed("momentum"), tmp_path, lambda arrays, description: description["options"].update(torch="1.0"))
    assert compared(tmp_path, [*RUNS["momentum"], *KEPT]) == 2
    assert "of another run (torch: '1.0' there, " in capsys.readouterr().err


def test_checkpoint_that_says_something_else(undisturbed: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:

    def spoil(arrays: AnyArrays, description: Any) -> None:
        del description["facts"]["run"]["averages"]["hits"]
        description["facts"]["run"]["comparison"]["steps"] = "many"

    rewritten(undisturbed("momentum"), tmp_path, spoil)
    assert compared(tmp_path, [*RUNS["momentum"], *KEPT]) == 2
    errors = capsys.readouterr().err
    assert "run.safetensors: not what this release writes (" in errors
    assert errors.count("\n") == 1
