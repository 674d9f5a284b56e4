"""Measure how the time of plain and checked steps grows with the batch, the image, the channels and the depth: seconds ~ size ** exponent.

The exponent is the slope of a straight line through the logarithms. The fixed cost of each step makes it smaller than the exponent of the work alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import scratch
from crosscheck.core.judge import Facts
from scratch import fast
from scratch.composite import Part
from scratch.networks import CLASSES
from study.benchmark.comparison import beside_torch, comparison, complaint, endless, stepping
from study.benchmark.rounds import Pace, alternated
from study.benchmark.sides import DTYPE
from study.workers import report

LR = 0.001
STEPS = 1_000


@dataclass(frozen=True)
class Size:
    """A network of 3x3 convolutions that keep the size of the image, each followed by a ReLU, then a pool and a linear layer."""

    # batch: images in a step; side: height and width of an image; channels: filters of each convolution; depth: number of convolutions
    batch: int = 8
    side: int = 28
    channels: int = 8
    depth: int = 1

    def model(self) -> scratch.Sequential:
        """Return the network with fresh weights."""
        rng, parts, channels = np.random.default_rng(0), dict[str, Part](), 1
        for number in range(1, self.depth + 1):
            parts[f"conv{number}"] = fast.Conv2d(channels, self.channels, 3, padding=1, rng=rng, dtype=DTYPE)
            parts[f"relu{number}"] = fast.ReLU()
            channels = self.channels
        features = channels * (self.side // 2) ** 2
        linear = fast.Linear(features, CLASSES, rng=rng, dtype=DTYPE)
        return scratch.Sequential(**parts, pool=fast.MaxPool2d(2), flatten=scratch.Flatten(), linear=linear)


GROWTHS: dict[str, Callable[[Size, int], Size]] = {
    "batch": lambda size, n: replace(size, batch=n),
    "image": lambda size, n: replace(size, side=n),
    "channels": lambda size, n: replace(size, channels=n),
    "depth": lambda size, n: replace(size, depth=n),
}
"""For each quantity that grows, a function that returns a size with the given value of it."""


def measured(growths: dict[str, Sequence[int]], threads: int, pace: dict[str, Any]) -> Facts:
    """Return the milliseconds of a plain and a checked step at each size, and the exponents of their growth."""
    rows, wrong = [], []
    for growth, sizes in growths.items():
        points = []
        for number in sizes:
            report(f"growth with {growth}: {number}")
            point, words = _at(GROWTHS[growth](Size(), number), Pace(**pace))
            points.append({"size": number, **point})
            if words:
                wrong.append(
                    {"network": f"growth with {growth}, {number}", "batch": Size().batch, "threads": threads, "side": "scratch", "words": words}
                )
        exponents = {kind: exponent([p["size"] for p in points], [p[f"{kind}_milliseconds"] for p in points]) for kind in ("plain", "checked")}
        rows.append({"growth": growth, "points": points, "exponents": exponents})
    return {"growth": rows, "wrong": wrong}


def _at(size: Size, pace: Pace) -> tuple[dict[str, float], str]:
    batches = endless(size.batch, size.side, count=2)
    models = [size.model(), size.model()]
    alone, own = (beside_torch(model, scratch.SGD(model.params, lr=LR)) for model in models)
    checked = comparison(own, *next(batches), STEPS)
    times = alternated({"plain": stepping(alone.subject.step, batches), "checked": stepping(checked.step, batches)}, pace)
    return {f"{kind}_milliseconds": times.milliseconds(kind) for kind in ("plain", "checked")}, complaint(checked)


def exponent(sizes: Sequence[float], times: Sequence[float]) -> float:
    """Return the slope of the straight line that fits the logarithms of times against those of sizes."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])
