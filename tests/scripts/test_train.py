"""The command that trains a scratch network alone: what it refuses, what it leaves behind, and that killing it changes nothing."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import train
from safetensors.numpy import load_file, save_file
from training.scratch_training import Training

from tests.support.killed import killed

SCRIPT = Path(train.__file__)
SMALL = ("--train-size", "40", "--test-size", "20", "--epochs", "3", "--dtype", "float64")
CHECKPOINT = ("--checkpoint", "run.safetensors", "--checkpoint-every", "7", "--resume")


def files(folder: Path) -> tuple[str, ...]:
    """Return the options that write the results into a folder."""
    return "--weights-out", str(folder / "weights.safetensors"), "--json", str(folder / "run.json")


def results(folder: Path) -> tuple[bytes, dict[str, Any]]:
    """Return the weights file, and the facts of the run but for the time that it took."""
    facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return (folder / "weights.safetensors").read_bytes(), {name: value for name, value in facts.items() if name != "seconds"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run that was not killed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert train.main([*SMALL, *files(folder)]) == 0
    return folder


def test_trains_without_a_framework(tmp_path: Path) -> None:
    """Nothing that it imports is a framework, whatever is installed."""
    code = f"import sys, train; assert train.main({[*SMALL, *files(tmp_path)]!r}) == 0; print(sorted({{'torch', 'jax', 'keras'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=SCRIPT.parent, check=True, capture_output=True, text=True)  # noqa: S603
    assert done.stdout.splitlines()[-1] == "[]"


def test_epochs_are_reported(undisturbed: Path) -> None:
    _, facts = results(undisturbed)
    assert [epoch["epoch"] for epoch in facts["epochs"]] == [1, 2, 3]
    assert facts["steps"] == 120
    assert [epoch["test_accuracy"] * 20 in range(21) for epoch in facts["epochs"]] == [True] * 3


def test_same_seed_same_weights(undisturbed: Path, tmp_path: Path) -> None:
    assert train.main([*SMALL, *files(tmp_path)]) == 0
    assert results(tmp_path) == results(undisturbed)


def test_another_seed_has_other_weights(undisturbed: Path, tmp_path: Path) -> None:
    assert train.main([*SMALL, "--seed", "1", *files(tmp_path)]) == 0
    assert results(tmp_path)[0] != results(undisturbed)[0]


@pytest.mark.slow("each starts processes; the rows show a kill before a checkpoint and after one", default=["6-before", "12-after"])
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("writes", [1, 6, 12])
def test_killed_and_resumed(undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int, moment: str) -> None:
    """Killed between two checkpoints, while one is being written, in the middle of an epoch: the weights are the same bits."""
    monkeypatch.chdir(tmp_path)
    arguments = [*SMALL, *CHECKPOINT, *files(tmp_path)]
    killed("train", arguments, tmp_path, writes, moment)
    assert (tmp_path / "run.safetensors").exists() == (writes > 1 or moment == "after")
    assert not (tmp_path / "weights.safetensors").exists()
    assert train.main(arguments) == 0
    assert results(tmp_path) == results(undisturbed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.json", "run.safetensors", "weights.safetensors"]


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the checkpoint of a run of one epoch."""
    monkeypatch.chdir(tmp_path)
    assert train.main([*SMALL, "--epochs", "1", *CHECKPOINT]) == 0
    return tmp_path / "run.safetensors"


@pytest.mark.usefixtures("stopped")
def test_may_go_on_for_more_epochs(undisturbed: Path, tmp_path: Path) -> None:
    assert train.main([*SMALL, *CHECKPOINT, *files(tmp_path)]) == 0
    assert results(tmp_path) == results(undisturbed)


@pytest.mark.usefixtures("stopped")
def test_may_go_on_with_the_other_kernels(undisturbed: Path, tmp_path: Path) -> None:
    """The bits of the weights are others: plain layers have computed them."""
    assert train.main([*SMALL, *CHECKPOINT, *files(tmp_path), "--kernels", "plain"]) == 0
    (weights, facts), (others, expected) = results(tmp_path), results(undisturbed)
    assert weights != others
    assert [epoch["test_accuracy"] for epoch in facts["epochs"]] == [epoch["test_accuracy"] for epoch in expected["epochs"]]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        pytest.param(["--lr", "0.01"], "of another run (lr: 0.005 there, 0.01 here)", id="lr"),
        pytest.param(["--seed", "3"], "of another run (seed: 0 there, 3 here)", id="seed"),
        pytest.param(["--dtype", "float32"], "of another run (dtype: 'float64' there, 'float32' here)", id="dtype"),
        pytest.param(["--augment"], "of another run (augment: False there, True here)", id="augment"),
        pytest.param(["--train-size", "41"], "of another run (train_size: 40 there, 41 here)", id="other-images"),
    ],
)
def test_checkpoint_of_another_run(stopped: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str) -> None:
    before = stopped.read_bytes()
    assert train.main([*SMALL, *CHECKPOINT, *arguments]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("train: run.safetensors: ")
    assert complaint in errors
    assert errors.count("\n") == 1
    assert stopped.read_bytes() == before


def test_checkpoint_is_not_overwritten_unasked(stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = stopped.read_bytes()
    assert train.main([*SMALL, "--checkpoint", "run.safetensors"]) == 2
    assert "it exists; add --resume to continue from it, or delete it" in capsys.readouterr().err
    assert stopped.read_bytes() == before


@pytest.mark.usefixtures("stopped")
def test_fewer_epochs_than_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main([*SMALL, *CHECKPOINT, "--epochs", "2"]) == 0
    assert train.main([*SMALL, *CHECKPOINT, "--epochs", "1"]) == 2
    assert "--epochs 1: run.safetensors has 2 already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        pytest.param(["--resume"], "--resume: from which file? say --checkpoint FILE", id="resume-alone"),
        pytest.param(["--weights", "nowhere.safetensors"], "nowhere.safetensors: cannot be read", id="no-weights"),
        pytest.param(["--weights-out", "weights.npz"], "weights.npz: the name has to end in .safetensors", id="another-format"),
        pytest.param(["--checkpoint", "nowhere/run.safetensors"], "there is no folder nowhere", id="no-folder"),
        pytest.param(["--train-size", "5000"], "--train-size 5,000", id="too-many-images"),
        pytest.param(["--lr", "1e300", "--dtype", "float32"], "--lr 1e+300: beyond what float32 can hold", id="lr-beyond-float32"),
    ],
)
def test_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert train.main(arguments) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("train: ")
    assert complaint in errors
    assert errors.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", ["0", "-5", "soon", "1.5", "infs", "nans"])
def test_interval_that_is_none(capsys: pytest.CaptureFixture[str], value: str) -> None:
    with pytest.raises(SystemExit):
        train.main([f"--checkpoint-every={value}"])
    assert "expected a number of steps, such as 500, or of seconds, such as 90s" in capsys.readouterr().err


def test_training_that_diverges(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its weights are not worth a file; its facts are."""
    assert train.main([*SMALL, "--lr", "1e300", *files(tmp_path)]) == 1
    assert "the training diverged, lower --lr" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_weights_are_taken_over(undisturbed: Path, tmp_path: Path) -> None:
    """Weights of a rate of 0 stay what they were."""
    given = undisturbed / "weights.safetensors"
    assert train.main([*SMALL, "--weights", str(given), "--lr", "0", "--epochs", "1", "--seed", "5", *files(tmp_path)]) == 0
    assert results(tmp_path)[0] == given.read_bytes()


def test_weights_of_another_network(undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All that does not fit is listed, and nothing is transposed in silence."""
    arrays = load_file(undisturbed / "weights.safetensors")
    arrays["linear.weight"] = arrays["linear.weight"].T.copy()
    arrays["dense.bias"] = arrays.pop("linear.bias")
    save_file(arrays, tmp_path / "other.safetensors")
    assert train.main([*SMALL, "--weights", str(tmp_path / "other.safetensors")]) == 2
    errors = capsys.readouterr().err
    wanted = ("missing: linear.bias", "unexpected: dense.bias", "linear.weight is float64 (10, 1352), expected float64 (1352, 10)")
    assert [piece for piece in wanted if piece not in errors] == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to a single process")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "shutdown"])
def test_interrupted(undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int) -> None:
    """A last checkpoint is written after the step, though none was due, and the message says how to go on."""
    monkeypatch.chdir(tmp_path)
    arguments = [*SMALL, "--checkpoint", "run.safetensors", *files(tmp_path)]
    real = Training.step

    def step(self: Training, batch: Any) -> tuple[float, float]:
        if self.progressed.steps == 50:
            signal.raise_signal(number)
        return real(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "step", step)
        assert train.main(arguments) == 2
    assert capsys.readouterr().err == "train: interrupted; continue from run.safetensors with the same command and --resume\n"
    assert train.main([*arguments, "--resume"]) == 0
    assert "going on after step 51" in capsys.readouterr().out
    assert results(tmp_path) == results(undisturbed)


def test_copy_of_a_checkpoint_is_one(stopped: Path, undisturbed: Path, tmp_path: Path) -> None:
    shutil.copy(stopped, tmp_path / "copy.safetensors")
    assert train.main([*SMALL, "--checkpoint", str(tmp_path / "copy.safetensors"), "--resume", *files(tmp_path)]) == 0
    assert results(tmp_path) == results(undisturbed)
