"""Training on augmented images: what a step sees follows from the seed and the step alone, and all sides see the same."""

from __future__ import annotations

import json
from pathlib import Path

import compare_training
import numpy as np
import pytest
import train
from digits.batches import Batch, Schedule, batches, generators, take
from digits.files import SHIPPED, load

from crosscheck.report import html as pages

STEPS = 12
SMALL = ("--train-size", "30", "--test-size", "10", "--batch-size", "4", "--augment")


def batches_of(seed: int, done: int = 0, augment: bool = True, dtype: str = "float64") -> list[Batch]:
    """Return the batches of a run, all of them or those after some steps."""
    digits = take(load(SHIPPED), 30, 10, SHIPPED)
    schedule = Schedule(np.dtype(dtype), 4, STEPS)
    return list(batches(digits, schedule, generators(seed)[1], done, seed if augment else None))


def same(one: list[Batch], other: list[Batch]) -> list[bool]:
    """Return for each batch whether it holds the same bits on both sides."""
    return [a.x.tobytes() == b.x.tobytes() and a.labels.tobytes() == b.labels.tobytes() for a, b in zip(one, other, strict=True)]


@pytest.mark.parametrize("done", [0, 1, 5, STEPS - 1])
def test_batches_follow_from_seed_and_step(done: int) -> None:
    """However many steps another process has done before."""
    assert same(batches_of(3)[done:], batches_of(3, done)) == [True] * (STEPS - done)


def test_another_seed_augments_otherwise() -> None:
    assert same(batches_of(3), batches_of(4)) == [False] * STEPS


def test_every_step_augments_otherwise() -> None:
    """The same image moves to another place each time that it is seen: what moved it is no function of the image."""
    moved = [np.abs(a.x - b.x).sum(axis=(1, 2, 3)) for a, b in zip(batches_of(3), batches_of(3, augment=False), strict=True)]
    assert len(np.unique(np.concatenate(moved))) == sum(len(batch.labels) for batch in batches_of(3))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_augmented_images_are_images(dtype: str) -> None:
    """Of the same precision, on the same background, within the same range."""
    found = batches_of(3, dtype=dtype)
    assert {batch.x.dtype for batch in found} == {np.dtype(dtype)}
    assert min(batch.x.min() for batch in found) == -0.5
    assert max(batch.x.max() for batch in found) <= 0.5
    assert {float(np.median(batch.x)) for batch in found} == {-0.5}


@pytest.mark.slow("each trains anew; with both references one is included", default=["torch,jax"])
@pytest.mark.parametrize("references", ["torch", "torch,jax"])
def test_all_sides_see_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, references: str) -> None:
    monkeypatch.setattr(pages, "render", lambda facts: "")
    assert compare_training.main([*SMALL, "--steps", "6", "--perturbed", "2", "--reference", references, "--out", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert (report["settings"]["augment"], report["steps_checked"]) == (True, 6)


def test_training_goes_on_to_the_last_bit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    kept = ("--checkpoint", "run.safetensors", "--resume")
    assert train.main([*SMALL, "--epochs", "3", "--weights-out", "straight.safetensors"]) == 0
    for epochs in ("1", "3"):
        assert train.main([*SMALL, *kept, "--epochs", epochs, "--weights-out", "resumed.safetensors"]) == 0
    assert Path("resumed.safetensors").read_bytes() == Path("straight.safetensors").read_bytes()
