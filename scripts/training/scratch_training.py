"""A scratch network in training: steps, a test after each epoch, and a snapshot at any time between two steps."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from digits.batches import Batch, scaled
from digits.files import Digits

import scratch
from crosscheck.core.training import Snapshot
from training.checkpoints import Checkpoint
from training.evaluation import negative_log_likelihood, outputs
from training.scratch_state import evaluation, restore, snapshot


@dataclass
class Progressed:
    """The progress of a training."""

    steps: int = 0
    # images, hits: images seen since the epoch began, and how many of them were classified right
    images: int = 0
    hits: int = 0
    loss: float = 0.0  # the sum of the losses of these images
    epochs: list[dict[str, float]] = field(default_factory=list)  # for each epoch, its number, and loss and accuracy in training and test
    seconds: float = 0.0  # time spent so far, by interrupted processes as well
    diverged: bool = False  # whether the last loss was not finite


@dataclass
class Training:
    """A network in training, with its optimizer, loss and progress."""

    model: scratch.Sequential
    optimizer: scratch.Optimizer
    loss: scratch.SoftmaxCrossEntropy = field(default_factory=scratch.SoftmaxCrossEntropy)
    progressed: Progressed = field(default_factory=Progressed)

    def step(self, batch: Batch) -> tuple[float, float]:
        """Do one step and return loss and accuracy on its batch."""
        output = self.model.forward(batch.x)
        loss = float(self.loss.forward(output, batch.labels))
        self.model.backward_params(self.loss.backward())
        self.optimizer.step(self.model.grads)
        images, hits, p = len(batch.labels), int(np.count_nonzero(output.argmax(axis=1) == batch.labels)), self.progressed
        p.steps, p.images, p.hits, p.loss = p.steps + 1, p.images + images, p.hits + hits, p.loss + loss * images
        p.diverged = not math.isfinite(loss)
        return loss, hits / images

    def end_epoch(self, epoch: int, digits: Digits, dtype: np.dtype[Any]) -> dict[str, float]:
        """Test the network; add the epoch to the progress and return it."""
        p = self.progressed
        with evaluation(self.model):
            last = outputs(self.model.forward, scaled(digits.test_images, dtype))
        losses, right = negative_log_likelihood(last, digits.test_labels, probabilities=False), last.argmax(axis=1) == digits.test_labels
        p.epochs.append(
            {
                "epoch": epoch,
                "train_loss": p.loss / p.images,
                "train_accuracy": p.hits / p.images,
                "test_loss": float(losses.mean()),
                "test_accuracy": float(right.mean()),
            }
        )
        p.images, p.hits, p.loss = 0, 0, 0.0
        return p.epochs[-1]

    def checkpoint(self, identity: dict[str, Any]) -> Checkpoint:
        """Return all that is needed to continue."""
        arrays, facts = snapshot(self.model, self.optimizer)
        return Checkpoint(identity, arrays, {"network": facts, "progressed": asdict(self.progressed)})

    def go_on_from(self, checkpoint: Checkpoint) -> None:
        """Restore the state from a checkpoint."""
        restore(self.model, self.optimizer, Snapshot(checkpoint.arrays, checkpoint.facts["network"]))
        self.progressed = Progressed(**checkpoint.facts["progressed"])
