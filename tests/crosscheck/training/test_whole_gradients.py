"""Gradients that are shown after a step: as the loss has them, clipped, clipped one by one, and one wrong among clipped ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from crosscheck.core.judge import Kind, judge
from crosscheck.core.operation import Arrays
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.core.trace import Place
from crosscheck.training.whole_gradients import Judged, ShownGradients, judged_gradients

DOUBLE = Precision(np.dtype(np.float64), 100)
GRADS = {"w": np.linspace(1, 2, 6).reshape(2, 3), "v": np.array([4.0, -3.0]), "b": np.array([0.25, 0.5])}


def to_norm(grads: Arrays) -> Mapping[str, Array]:
    """Clip to the norm 2."""
    norm = np.sqrt(sum(float((grad**2).sum()) for grad in grads.values()))
    return {name: grad * min(1.0, 2 / norm) for name, grad in grads.items()}


def as_they_are(grads: Arrays) -> Mapping[str, Array]:
    return grads


def found(shown: Mapping[str, Array], clips: bool = True) -> ShownGradients:
    expected = {name: (value, Bound(np.abs(value), 1.0)) for name, value in GRADS.items()}

    def judged(name: str, value: Array, bound: Bound, own: bool) -> Judged:
        return Judged(judge(Place(1, name, "grad"), Kind.WHOLE, shown[name], value, bound, DOUBLE), name)

    return judged_gradients(shown, expected, to_norm if clips else as_they_are, judged)


def wrong(gradients: ShownGradients) -> set[str]:
    return {one.name for one in gradients.judged if one.wrong}


def test_plain_and_clipped_gradients_are_right() -> None:
    plain, clipped = found(GRADS), found(to_norm(GRADS))
    assert (plain.right, plain.clipped) == (True, False)
    assert (clipped.right, clipped.clipped) == (True, True)


def test_one_wrong_gradient_is_told_from_those_that_its_norm_scales() -> None:
    gradients = found(to_norm(GRADS | {"v": GRADS["v"] + 1}))
    assert (gradients.right, wrong(gradients)) == (False, {"v"})


def test_each_clipped_alone() -> None:
    gradients = found({name: to_norm({name: value})[name] for name, value in GRADS.items()})
    assert not gradients.right
    assert gradients.alone is not None


@pytest.mark.parametrize("clips", [True, False])
def test_common_factor_is_no_excuse(clips: bool) -> None:
    """All gradients of another size are wrong, with clipping and without."""
    gradients = found({name: 0.5 * value for name, value in GRADS.items()}, clips)
    assert wrong(gradients) == set(GRADS)
    assert gradients.alone is None


def test_shape_that_is_wrong() -> None:
    assert wrong(found(GRADS | {"b": np.zeros(3)})) == {"b"}
