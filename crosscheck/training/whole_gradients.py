"""Judge the gradients that a network shows after a step: as the loss has them, or as clipping leaves them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from crosscheck.core.judge import Judgement, Verdict
from crosscheck.core.operation import Arrays
from crosscheck.core.precision import Array, Bound

Expected = Mapping[str, tuple[Array, Bound]]
"""The expected value of each array by name, with its bound."""


@dataclass(frozen=True)
class Judged:
    """A judgement on one array, and how far the array is from the expected one; None if it was not compared."""

    judgement: Judgement
    name: str = ""  # the parameter that it belongs to
    error: Array | None = None

    @property
    def wrong(self) -> bool:
        """Whether it is a mismatch."""
        return self.judgement.verdict is Verdict.MISMATCH

    @property
    def matches(self) -> bool:
        """Whether it is a match."""
        return self.judgement.verdict is Verdict.MATCH

    def left_out(self, verdict: Verdict, reason: str) -> Judged:
        """Return the judgement without a decision."""
        return replace(self, judgement=replace(self.judgement, verdict=verdict, reason=reason))


@dataclass(frozen=True)
class ShownGradients:
    """The judgements on the gradients of a step.

    Attributes
    ----------
    judged : list of Judged
        One for each parameter that trains.
    clipped : bool
        Whether they are right, and shown after clipping.
    alone : Judgement or None
        The worst judgement, if each of them is right but clipped by its own norm.
    """

    judged: list[Judged]
    clipped: bool = False
    alone: Judgement | None = None

    @property
    def right(self) -> bool:
        """Whether all gradients are shown and right."""
        return all(one.matches for one in self.judged)


Judge = Callable[[str, Array, Bound, bool], Judged]
"""Function that judges the gradient of a parameter by an expected value and its bound; the last argument is whether it is the loss's own gradient."""


def judged_gradients(shown: Arrays, expected: Expected, clip: Callable[[Arrays], Mapping[str, Array]], judge: Judge) -> ShownGradients:
    """Return the judgements on the gradients that are shown, in the form that fits best."""
    plain = [judge(name, *own, True) for name, own in expected.items()]
    if not any(one.wrong for one in plain):
        return ShownGradients(plain)

    def scaled_to(values: Mapping[str, Array]) -> list[Judged]:
        return [judge(name, values[name], _in_proportion(values[name], *own), False) for name, own in expected.items()]

    values = {name: value for name, (value, _) in expected.items()}
    after = clip(values)
    if all(np.array_equal(after[name], value) for name, value in values.items()):
        return ShownGradients(plain)
    clipped = scaled_to(after)
    if all(one.matches for one in clipped):
        return ShownGradients(clipped, clipped=True)
    alone = scaled_to({name: clip({name: value})[name] for name, value in values.items()})
    worst = max((one.judgement for one in alone), key=lambda judgement: judgement.fraction) if all(one.matches for one in alone) else None
    # One wrong gradient changes the norm, and so the factor of all: those that are right differ by the same factor.
    factor = _common_factor(shown, values)
    scaled = scaled_to({name: factor * value for name, value in values.items()})
    ways = [plain, clipped, *([scaled] if any(one.wrong for one in scaled) else [])]
    return ShownGradients(min(ways, key=lambda judged: sum(one.wrong for one in judged)), alone=worst)


def _common_factor(found: Arrays, expected: Arrays) -> float:
    """Return the factor by which most gradients differ from what is expected."""
    alike = {name: value for name, value in expected.items() if name in found and found[name].shape == value.shape and value.any()}
    factors = [float(np.vdot(found[name], value)) / float(np.vdot(value, value)) for name, value in alike.items()]
    return float(np.median(factors)) if factors else 1.0


def _in_proportion(scaled: Array, value: Array, bound: Bound) -> Bound:
    """Return the bound of a gradient after clipping: its own error and that of the norm, scaled as the gradient is."""
    norm = float(np.linalg.norm(value))
    error = np.broadcast_to(bound.abs_sum * bound.n_roundings, value.shape)
    factor, relative = (float(np.linalg.norm(scaled)) / norm, float(np.linalg.norm(error)) / norm) if norm else (1.0, 0.0)
    return Bound(factor * error + np.abs(scaled) * (relative + 4), 1.0)
