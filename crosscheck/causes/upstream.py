"""Mistakes with the upstream gradient that every gradient is multiplied by: it is ignored, or multiplied in twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from crosscheck.causes.candidate import Candidate, in_words, recomputed
from crosscheck.core.check_layer import Failure
from crosscheck.core.precision import Array


def upstream_ignored(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: the backward pass does not use the upstream gradient, as if it were 1."""
    words = "the upstream gradient is ignored, as if it were 1: multiply {} by grad_output, the gradient that backward is given"
    yield from _with_cotangents(failure, "upstream gradient ignored", words, {name: np.ones_like(g) for name, g in failure.call.cotangents.items()})


def upstream_twice(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: the gradient is multiplied by the upstream gradient twice."""
    words = "the upstream gradient is multiplied in twice: {} needs grad_output as a factor once"
    with np.errstate(over="ignore"):
        squares = {name: np.square(value) for name, value in failure.call.cotangents.items()}
    yield from _with_cotangents(failure, "upstream gradient twice", words, squares)


def _with_cotangents(failure: Failure, name: str, words: str, cotangents: dict[str, Array]) -> Iterator[Candidate]:
    """Yield a gradient as it is with other upstream gradients."""
    if failure.quantity in failure.call.variables() and cotangents:
        yield recomputed(failure, name, words.format(in_words(failure.quantity)), replace(failure.call, cotangents=cotangents))
