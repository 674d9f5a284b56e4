"""The command line of the main job: what it refuses, what it reports, and that its exit status says the same.

Whether the layers of ``scratch`` are right is judged elsewhere: here a run of them may end in any verdict, as long as status, report and text agree.
Only the tutorial's own code has a verdict to be asserted, for its fault is known.
"""

from __future__ import annotations

import itertools
import math
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import compare_training
import numpy as np
import pytest
from compare_training import main
from digits import batches as mnist_batches
from digits import files as mnist_files
from training import command_options
from training.run import Plan

from crosscheck.references.pytorch.training import TorchTraining
from tests.support.comparison_runs import TINY, Run, run, strict

pytestmark = pytest.mark.xdist_group("compare-training")  # one process with --dist loadgroup, which does each tiny run once

SCRIPT = Path(compare_training.__file__)
STATUS = {"match": 0, "mismatch": 1, "undecided": 2, "skipped": 2}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """Return a function that does each tiny run once, without the page, and remembers it."""
    known: dict[tuple[str, ...], Run] = {}

    def done(*arguments: str) -> Run:
        if arguments not in known:
            known[arguments] = run(arguments, tmp_path_factory.mktemp("report"))
        return known[arguments]

    return done


# What is refused.


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "Exit status: 0 subject and references agree, 1 they differ, 2 they could not be compared" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        pytest.param("--steps", "0", "0: expected a whole number of at least 1", id="steps-0"),
        pytest.param("--steps", "2.5", "'2.5'", id="steps-2.5"),
        pytest.param("--epochs", "-1", "-1: expected a whole number of at least 1", id="epochs-minus-1"),
        pytest.param("--batch-size", "0", "0: expected a whole number of at least 1", id="batch-size-0"),
        pytest.param("--check-every", "0", "0: expected a whole number of at least 1", id="check-every-0"),
        pytest.param("--train-size", "0", "0: expected a whole number of at least 1", id="train-size-0"),
        pytest.param("--seed", "-1", "-1: expected a whole number of at least 0", id="seed-minus-1"),
        pytest.param("--lr", "nan", "nan: expected a finite number of at least 0", id="lr-nan"),
        pytest.param("--lr", "inf", "inf: expected a finite number of at least 0", id="lr-inf"),
        pytest.param("--lr", "-1", "-1: expected a finite number of at least 0", id="lr-minus-1"),
        pytest.param("--lr", "fast", "'fast'", id="lr-fast"),
        pytest.param("--momentum", "-0.9", "-0.9: expected a finite number of at least 0", id="momentum-minus-0.9"),
        pytest.param("--perturbed", "3", "3: expected an even number", id="perturbed-3"),
        pytest.param("--perturbed", "-2", "-2: expected an even number", id="perturbed-minus-2"),
        pytest.param("--dtype", "float16", "'float16' (choose from", id="dtype-float16"),
        pytest.param("--subject", "keras", "'keras' (choose from", id="subject-keras"),
        pytest.param("--device", "meta", "'meta': expected cpu, cuda or one of several, such as cuda:1", id="device-meta"),
        pytest.param("--device", "cuda:x", "'cuda:x': expected cpu", id="device-cuda-x"),
    ],
)
def test_wrong_option(capsys: pytest.CaptureFixture[str], tmp_path: Path, option: str, value: str, complaint: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([f"{option}={value}", "--out", str(tmp_path / "report")])
    shown = capsys.readouterr()
    assert f"error: argument {option}: " in shown.err
    assert complaint in shown.err
    assert shown.out == ""
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize(
    ("arguments", "pieces"),
    [
        pytest.param("--data-dir nowhere", ("nowhere: no such folder", "--download"), id="no-data-folder"),
        pytest.param("--train-size 5000", ("--train-size 5,000", "has 1,000 images", "--download"), id="too-many-training-images"),
        pytest.param("--test-size 1001", ("--test-size 1,001", "has 1,000 images", "--download"), id="too-many-test-images"),
        pytest.param("--freeze nosuchlayer", ("--freeze nosuchlayer", "expected conv or linear"), id="no-such-layer"),
        pytest.param("--freeze pool", ("--freeze pool", "expected conv or linear"), id="layer-without-parameters"),
        pytest.param("--subject article --freeze softmax", ("--freeze softmax", "expected conv"), id="article-softmax-frozen"),
        pytest.param("--subject article --batch-size 2", ("--batch-size 2", "one image at a time", "--subject scratch"), id="article-in-batches"),
        pytest.param("--device cuda:99", ("--device: PyTorch cannot compute in float64 on device 'cuda:99'", "cpu"), id="no-such-device"),
        pytest.param("--tf32 --dtype float32", ("--tf32: TF32 is only for float32 on cuda", "not for float32 on cpu"), id="tf32-on-cpu"),
        pytest.param("--tf32 --device cuda", ("--tf32: TF32 is only for float32 on cuda", "not for float64 on cuda"), id="tf32-in-float64"),
        pytest.param("--subject article --kernels plain", ("--kernels plain", "loops of its own", "--subject scratch"), id="article-with-kernels"),
        pytest.param("--subject article --momentum 0.9", ("--momentum", "leave it at 0", "--subject scratch"), id="article-with-momentum"),
    ],
)
def test_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, pieces: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    status = main(["--steps", "1", *arguments.split(), "--out", "report"])
    errors = capsys.readouterr().err
    assert status == 2
    assert errors.startswith("compare_training: ")
    assert errors.count("\n") == 1
    assert [piece for piece in pieces if piece not in errors] == []
    assert not list(tmp_path.rglob("report.*"))


@pytest.mark.parametrize("below", ["", "report"], ids=["in-its-place", "above-it"])
def test_out_where_a_file_is(capsys: pytest.CaptureFixture[str], tmp_path: Path, below: str) -> None:
    (tmp_path / "taken").write_text("mine", encoding="utf-8")
    wanted = tmp_path / "taken" / below
    status = main(["--steps", "1", "--out", str(wanted)])
    errors = capsys.readouterr().err
    assert status == 2
    assert errors.startswith(f"compare_training: --out {wanted}: reports cannot be written there (")
    assert errors.endswith("; name another folder\n")
    assert errors.count("\n") == 1
    assert (tmp_path / "taken").read_text(encoding="utf-8") == "mine"


def interrupt(folder: Path, arrived: mnist_files.Arrived) -> NoReturn:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("download", "message"),
    [
        pytest.param(partial(mnist_files.download, mirrors=()), "train-images-idx3-ubyte.gz: no mirror delivered it", id="failed"),
        pytest.param(interrupt, "interrupted; no report was written\n", id="interrupted"),
    ],
)
def test_download_that_does_not_arrive(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, download: Callable[..., None], message: str
) -> None:
    monkeypatch.setattr(command_options, "download", download)
    status = main(["--steps", "1", "--download", "--data-dir", str(tmp_path / "mnist"), "--out", str(tmp_path / "report")])
    errors = capsys.readouterr().err
    assert status == 2
    assert errors.startswith(f"compare_training: {message}")
    assert errors.count("\n") == 1
    assert not (tmp_path / "report").exists()


# What is reported, whatever the verdict.


@dataclass(frozen=True)
class Case:
    """A tiny run of three steps: its options, how many of the steps are checked, and whether its page is looked at."""

    name: str
    options: str
    checked: int = 3
    drawn: bool = True

    @property
    def arguments(self) -> list[str]:
        """The command line."""
        return ["--steps", "3", *self.options.split()]


CASES = [
    Case("float64", "--dtype float64", drawn=False),
    Case("float32", "--dtype float32"),
    Case("momentum-batch4", "--momentum 0.9 --batch-size 4"),
    Case("every-second-step", "--check-every 2", checked=2, drawn=False),
    Case("conv-frozen", "--freeze conv"),
]
tiny = pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])


@tiny
def test_report_and_text_and_status_agree(runs: Callable[..., Run], case: Case) -> None:
    done = runs(*case.arguments)
    report = done.report
    assert done.status == report["exit_status"] == STATUS[report["verdict"]]
    assert report["headline"] in done.text.splitlines()
    assert f"{case.checked} of 3 steps checked, {report['quantities_compared']:,} quantities compared" in report["headline"]
    assert done.errors == ""
    diverged = report["first_divergence"] is not None or report["free_run"]["diverged_at_step"] is not None
    assert diverged == (report["verdict"] == "mismatch")


@tiny
def test_report_has_every_figure(runs: Callable[..., Run], case: Case) -> None:
    report = runs(*case.arguments).report
    counts = {"schema_version": 2, "steps_done": 3, "steps_requested": 3, "steps_checked": case.checked, "interrupted": False}
    assert {name: report[name] for name in counts} == counts
    assert report["quantities_compared"] > 0
    assert {"step", "layer", "quantity", "error_units", "fraction_of_tolerance", "worst_element"} <= report["worst"].keys()
    assert report["worst"]["step"] in range(1, 4)
    assert isinstance(report["free_run"]["max_weight_difference"], float)
    assert report["free_run"]["perturbed_runs"] == 2
    for side in ("subject", "reference"):
        assert isinstance(report["test"][side]["loss"], float)
        assert report["test"][side]["accuracy"] * 20 in range(21)


@tiny
def test_environment(runs: Callable[..., Run], case: Case) -> None:
    environment = runs(*case.arguments).report["environment"]
    assert {"python", "numpy", "torch"} <= environment["versions"].keys()
    assert environment["blas"]
    assert (environment["threads"]["torch"], environment["seed"]) == (1, 0)
    assert environment["data_sha256"] == mnist_files.load(mnist_files.SHIPPED).sha256


@pytest.mark.slow("each draws a page; test_article_page_shows_place_and_cause draws one")
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES if case.drawn])
def test_page_shows_the_verdict_and_needs_nothing_else(tmp_path: Path, case: Case) -> None:
    done = run(case.arguments, tmp_path, drawn=True)
    page = done.page
    assert page.headline == done.report["headline"]
    assert page.title == f"crosscheck: {done.report['verdict']}"
    assert page.pictures >= 3
    assert [pointer for pointer in page.pointers if not pointer.startswith(("#", "data:"))] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json"]


def test_line_of_progress_is_that_of_the_report(runs: Callable[..., Run]) -> None:
    done = runs(*CASES[0].arguments)
    (line,) = done.report["lines"]
    losses = f"loss {line['subject_loss']:.4f} / {line['reference_loss']:.4f}"
    assert re.search(rf"^step +3  epoch 1  {losses}  accuracy ", done.text, re.MULTILINE)


def test_settings_are_those_asked_for(runs: Callable[..., Run]) -> None:
    settings = runs(*CASES[2].arguments).report["settings"]
    assert (settings["steps"], settings["momentum"], settings["batch_size"], settings["perturbed"]) == (3, 0.9, 4, 2)


@pytest.mark.parametrize("steps", [("--steps", "3"), ("--steps=3",), ("--step", "3")])
def test_command_repeats_the_run(tmp_path: Path, steps: tuple[str, ...]) -> None:
    """Word for word, its number of steps included."""
    report = run(("--lr", "0.01", *steps), tmp_path).report
    assert shlex.split(report["command"])[:4] == ["python", "scripts/compare_training.py", "--lr", "0.01"]
    assert set(steps) <= set(shlex.split(report["command"]))
    again = run(shlex.split(report["command"])[2:], tmp_path).report
    assert again["lines"] == report["lines"]


@pytest.mark.parametrize(
    ("steps", "every"), [(1, 100), (3_000, 100), (50_000, 100), (50_001, 200), (180_000, 400), (10_000_000, 20_000)], ids=lambda value: f"{value}"
)
def test_lines_and_looks_are_few(steps: int, every: int) -> None:
    """A line each hundred steps, but never more than five hundred of them: a report does not grow with the run."""
    plan = Plan(np.dtype(np.float64), 1, steps, 1, 2, 0)
    assert plan.line_every == every
    assert math.ceil(steps / every) <= 500


# The tutorial's own code, whose fault is known.

ARTICLE = ("--subject", "article", "--steps", "2")


def test_article_differs_first_in_its_pooling(runs: Callable[..., Run]) -> None:
    """The report names the place, the cause, the line and what follows from it; the text says the same in words."""
    done = runs(*ARTICLE)
    report, first = done.report, done.report["first_divergence"]
    assert (done.status, report["verdict"]) == (1, "mismatch")
    assert report["headline"].startswith("MISMATCH: first divergence at step 1, pool.grad_input")
    assert (first["step"], first["layer"], first["quantity"], first["cause"]) == (1, "pool", "grad_input", "tie rule: all")
    assert re.search(r"scratch[/\\]article\.py:\d+", first["source"])
    assert ("conv", "weight.grad") in {(c["layer"], c["quantity"]) for c in report["consequences"]}
    assert [piece for piece in (first["source"], first["cause_in_words"], first["reproduce"]) if piece not in done.text] == []


def test_article_page_shows_place_and_cause(tmp_path: Path) -> None:
    done = run(ARTICLE, tmp_path, drawn=True)
    first = done.report["first_divergence"]
    assert done.page.headline == done.report["headline"]
    assert [piece for piece in (first["source"], first["cause_in_words"], first["reproduce"]) if piece not in done.page.text] == []


def test_article_can_be_reproduced(runs: Callable[..., Run], tmp_path: Path) -> None:
    original = runs(*ARTICLE).report["first_divergence"]
    python, script, *arguments = shlex.split(original["reproduce"])
    repeated = run(arguments, tmp_path).report
    assert (python, script) == ("python", "scripts/compare_training.py")
    assert repeated["steps_done"] == original["step"]
    assert repeated["first_divergence"]["worst_element"] == original["worst_element"]


def test_article_with_its_filters_frozen_agrees(runs: Callable[..., Run]) -> None:
    done = runs(*ARTICLE, "--freeze", "conv")
    assert done.status == 0
    assert done.report["verdict"] == "match"
    assert done.report["first_divergence"] is None
    assert done.report["headline"].startswith("MATCH: ")


# The seed.


def lasting(report: dict[str, Any]) -> dict[str, Any]:
    """Return a report without what two equal runs may differ in: the time that they took and the folder that they wrote to."""
    first = report["first_divergence"]
    settings = {name: value for name, value in report["settings"].items() if name != "out"}
    divergence = None if first is None else {name: value for name, value in first.items() if name != "reproduce"}
    kept = {name: value for name, value in report.items() if name not in {"seconds", "command"}}
    return kept | {"settings": settings, "first_divergence": divergence}


@pytest.mark.parametrize("arguments", [("--steps", "3", "--dtype", "float32"), ARTICLE], ids=["scratch", "article"])
def test_same_seed_same_report(runs: Callable[..., Run], tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert lasting(run(arguments, tmp_path).report) == lasting(runs(*arguments).report)


@pytest.fixture(scope="module")
def another_seed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return the article's run from another seed."""
    return run([*ARTICLE, "--seed", "1"], tmp_path_factory.mktemp("report"))


@pytest.mark.parametrize("name", ["losses", "weights", "free_run", "test"])
def test_another_seed_another_report(runs: Callable[..., Run], another_seed: Run, name: str) -> None:
    assert another_seed.report[name] != runs(*ARTICLE).report[name]


# Runs that end early.

FROZEN = ("--subject", "article", "--freeze", "conv", "--steps", "3")
"""A run that would end in a match."""


@pytest.mark.parametrize("steps", [0, 2])
def test_interrupted_while_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    whole = mnist_batches.batches

    def interrupted(*arguments: Any) -> Iterator[mnist_batches.Batch]:
        yield from itertools.islice(whole(*arguments), steps)
        raise KeyboardInterrupt

    monkeypatch.setattr(compare_training, "batches", interrupted)
    done = run(FROZEN, tmp_path)
    assert done.status == done.report["exit_status"] == 2
    assert done.report["interrupted"]
    assert done.report["verdict"] in {"undecided", "skipped"}
    assert done.report["steps_done"] == steps
    assert f"interrupted after step {steps} of 3" in done.report["headline"]


@pytest.mark.slow("draws a page; test_interrupted_while_training shows the report, and test_report.py an interruption in it")
def test_interrupted_while_testing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: TorchTraining, x: Any) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(TorchTraining, "predict", interrupted)
    done = run(FROZEN, tmp_path, drawn=True)
    assert done.status == done.report["exit_status"] == 2
    assert done.report["verdict"] == "undecided"
    assert done.page.headline == done.report["headline"]


@pytest.mark.slow("each trains until it diverges; one precision shows it", default=["float32-1e30"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the numbers run away, and NumPy says so
@pytest.mark.parametrize(("dtype", "rate"), [("float64", "1e300"), ("float32", "1e30")])
def test_training_that_diverges(tmp_path: Path, dtype: str, rate: str) -> None:
    done = run(["--steps", "20", "--lr", rate, "--dtype", dtype], tmp_path)
    assert done.status == done.report["exit_status"] == STATUS[done.report["verdict"]]
    assert done.report["verdict"] != "match"
    assert "the training diverged, lower --lr" in done.report["headline"]
    assert done.report["steps_done"] < 20


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let the processes started here hear of Ctrl-C, even where this one was told not to, as in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def process(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    """Start the command as a user does, from a folder of its own."""
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "COLUMNS": "500"}
    line = [sys.executable, str(SCRIPT), *arguments, *TINY, "--out", "report"]
    return subprocess.Popen(line, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # noqa: S603


@pytest.mark.slow("a process trains until it is interrupted; test_interrupted_while_training interrupts in this one")
@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to a single process")
@pytest.mark.usefixtures("interruptible")
def test_interrupted_half_way(tmp_path: Path) -> None:
    with process("--subject", "article", "--freeze", "conv", "--steps", "50000", "--check-every", "50", folder=tmp_path) as started:
        assert started.stdout is not None
        lines = iter(started.stdout.readline, "")
        progress = next((line for line in lines if line.startswith("step ")), "")
        started.send_signal(signal.SIGINT)
        text, errors = started.communicate(timeout=60)
    report = strict((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert re.match(r"step +[1-9][0-9]*00 ", progress)
    assert started.returncode == report["exit_status"] == 2
    assert report["interrupted"]
    assert report["verdict"] == "undecided"
    assert report["headline"] in text.splitlines()
    assert (tmp_path / "report" / "report.html").exists()
    assert errors == ""


@pytest.mark.slow("starts a process; its status is what main returns, which the tests above look at")
def test_exit_status_of_the_process(tmp_path: Path) -> None:
    with process("--subject", "article", "--steps", "1", folder=tmp_path) as started:
        text, errors = started.communicate(timeout=60)
    report = strict((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert started.returncode == report["exit_status"] == 1
    assert report["headline"] in text.splitlines()
    assert errors == ""
