"""What a layer received instead of the array that it should have received: another array, or the right one with its numbers in other places."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from crosscheck.core.operation import Labels
from crosscheck.core.precision import Array

Wrong = tuple[str, str]
"""The name of a mistake, and a sentence that says what arrives."""


ORDERS: dict[str, Callable[[Labels], Labels]] = {
    f"the labels are {wrong}: each label has to stay with its sample": order
    for wrong, order in (
        ("moved by one place against the samples", lambda labels: np.roll(labels, 1, axis=0)),
        ("moved back by one place against the samples", lambda labels: np.roll(labels, -1, axis=0)),
        ("in reverse order", lambda labels: labels[::-1].copy()),
    )
}
"""Wrong orders of the labels of a batch, by a sentence."""


def same(received: Array, other: Array) -> bool:
    """Return whether two arrays are equal; arrays of a single value tell nothing."""
    return received.shape == other.shape and received.size > 1 and np.array_equal(received, other) and bool((received != received.flat[0]).any())


def among(received: Array, others: Mapping[str, Array]) -> Iterator[str]:
    """Yield the names of the arrays that a received array is equal to."""
    yield from (name for name, other in others.items() if same(received, other))


def rearranged(received: Array, sent: Array) -> Iterator[Wrong]:
    """Yield what was done to an array on its way: samples left out or reordered, or numbers moved within each sample."""
    if received.ndim != sent.ndim or not received.ndim or received.shape[1:] != sent.shape[1:] or not received.size:
        return
    if left_out := len(sent) - len(received):
        samples = "sample is" if left_out == 1 else f"{left_out} samples are"
        ends = {"last": sent[: len(received)], "first": sent[left_out:]} if left_out > 0 else {}
        yield from (("sample left out", f"the {end} {samples} left out") for end in among(received, ends))
        return
    if same(received, sent) or (received == received.flat[0]).all():
        return
    if _multiset(received) == _multiset(sent):
        yield "samples in another order", "the samples are in another order"
        return
    for axis in range(1, sent.ndim):
        turned = np.flip(sent, axis)
        flipped = [np.array_equal(one, other) for one, other in zip(received, turned, strict=True)]
        kept = [np.array_equal(one, other) for one, other in zip(received, sent, strict=True)]
        if all(one or other for one, other in zip(flipped, kept, strict=True)):
            which = "the samples are" if all(flipped) else "some samples are"
            yield "samples turned round", f"{which} turned round along axis {axis}"
            return
    if all(np.array_equal(np.sort(one, axis=None), np.sort(other, axis=None)) for one, other in zip(received, sent, strict=True)):
        yield "numbers in other places", "the numbers of each sample are in other places"


def _multiset(array: Array) -> list[bytes]:
    return sorted(np.ascontiguousarray(sample).tobytes() for sample in array)
