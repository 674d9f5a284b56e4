"""The tutorial's whole training, image by image: by scratch alone, by PyTorch alone, and by both with every hundredth step checked.

All three train in turns, a hundred steps each, on the same images in the same order, so that a part of the run is enough to compare them; the time of
the whole run is then extrapolated by its number of steps. PyTorch gets one thread, with which it is fastest on one image.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from digits.batches import Labels, scaled
from digits.files import Digits, load

from crosscheck.core.judge import Facts
from study.benchmark.comparison import beside_torch, comparison, complaint
from study.benchmark.plan import EPOCHS, IMAGES_OF_MNIST
from study.benchmark.sides import DTYPE, Images, Workload, digits
from study.benchmark.steps import JUDGED, judged
from study.workers import report

WHOLE = EPOCHS * IMAGES_OF_MNIST
CHECK_EVERY = 100


def measured(folder: str, steps: int, threads: int) -> Facts:
    """Return the seconds of scratch alone, PyTorch alone and the checked run: those measured, and those extrapolated to the whole of MNIST."""
    shown, workload = load(Path(folder)), Workload("tutorial", 1)
    sides = {}
    for name in ("scratch", "torch"):
        sides[name], words = judged(name, workload, digits(1, JUDGED))
        if words:
            return _wrong(name, threads, words)
    training = workload.training()
    twins = beside_torch(training.model, training.optimizer)
    checked = None
    seconds = dict.fromkeys((*sides, "checked"), 0.0)
    for done, chunk in _chunks(shown, steps):
        report(f"full run: step {done:,} of {steps:,}")
        if checked is None:
            images, labels = chunk[0]
            checked = comparison(twins, scaled(images, DTYPE), labels, -(-steps // CHECK_EVERY))
        for name, side in sides.items():
            started = time.perf_counter()
            side.run(chunk)
            seconds[name] += time.perf_counter() - started
        started = time.perf_counter()
        for number, (images, labels) in enumerate(chunk, start=done):
            checked.step(scaled(images, DTYPE), labels, number % CHECK_EVERY == 0)
        seconds["checked"] += time.perf_counter() - started
    assert checked is not None
    if words := complaint(checked):
        return _wrong("scratch", threads, words)
    whole = {name: value * WHOLE / steps for name, value in seconds.items()}
    times = seconds["checked"] / (1.5 * seconds["scratch"] + seconds["torch"])
    return {"full_run": {"steps": steps, "whole_steps": WHOLE, "seconds": seconds, "whole_seconds": whole, "of_allowed": times}}


def _chunks(shown: Digits, steps: int) -> Iterator[tuple[int, list[tuple[Images, Labels]]]]:
    """Yield the images of the next steps, with the number of steps done before; each epoch shuffles the images again."""
    rng, done = np.random.default_rng(0), 0
    while done < steps:
        order = rng.permutation(len(shown.train_labels))[: steps - done]
        for start in range(0, len(order), CHECK_EVERY):
            picked = order[start : start + CHECK_EVERY]
            yield done, [(shown.train_images[at : at + 1], shown.train_labels[at : at + 1]) for at in picked]
            done += len(picked)


def _wrong(side: str, threads: int, words: str) -> Facts:
    return {"wrong": [{"network": "tutorial", "batch": 1, "threads": threads, "side": side, "words": words}]}
