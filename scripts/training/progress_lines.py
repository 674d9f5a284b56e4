"""The lines that a comparison prints: loss and accuracy of both sides since the previous line."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from digits.batches import Labels

from crosscheck.report.words import fraction_in_words
from crosscheck.training.listened import BothOutcomes


@dataclass
class Averages:
    """Loss and accuracy of both sides since the previous line."""

    steps: int = 0
    images: int = 0
    losses: list[float] = field(default_factory=lambda: [0.0, 0.0])
    hits: list[int] = field(default_factory=lambda: [0, 0])

    def add(self, outcomes: BothOutcomes, labels: Labels) -> None:
        """Add one step."""
        sides = (outcomes.subject, outcomes.reference)
        self.steps += 1
        self.images += len(labels)
        self.losses = [total + side.loss for total, side in zip(self.losses, sides, strict=True)]
        self.hits = [total + int((side.output.argmax(axis=1) == labels).sum()) for total, side in zip(self.hits, sides, strict=True)]

    def row(self, step: int, epoch: int) -> dict[str, Any]:
        """Return the line's numbers."""
        return {
            "step": step,
            "epoch": epoch,
            "subject_loss": self.losses[0] / self.steps,
            "reference_loss": self.losses[1] / self.steps,
            "subject_accuracy": self.hits[0] / self.images,
            "reference_accuracy": self.hits[1] / self.images,
        }


def line(row: dict[str, Any], worst: float) -> str:
    """Return a line as text."""
    losses = f"loss {row['subject_loss']:.4f} / {row['reference_loss']:.4f}"
    accuracies = f"accuracy {100 * row['subject_accuracy']:5.1f} / {100 * row['reference_accuracy']:5.1f} %"
    return (
        f"step {row['step']:6,}  epoch {row['epoch']}  {losses}  {accuracies}  worst {'not equal' if math.isinf(worst) else fraction_in_words(worst)}"
    )
