"""A recorded reference in the place of the reference itself: it answers the questions that were recorded, and refuses all others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crosscheck.core.operation import Arrays, Call, PairError, RefusedError
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.references.recorded.file import TraceFile, TraceFileError, digest
from crosscheck.references.recorded.read import read


def recorded(path: str | Path, pair: str = "") -> Recorded:
    """Return a reference that was recorded with ``crosscheck trace FILE.py --side reference``.

    Parameters
    ----------
    path : path-like
        The file.
    pair : str
        The name of the pair in it; may be left out where there is only one.

    Raises
    ------
    PairError
        If the file is no reference's trace or has no such pair.
    """
    try:
        trace = read(Path(path))
    except TraceFileError as error:
        raise PairError(str(error)) from None
    names = [recording.name for recording in trace.recordings]
    if trace.side != "reference":
        raise PairError(f"{path}: a subject's trace, expected a reference's; record it with --side reference")
    if not pair and len(names) != 1:
        raise PairError(f"{path}: has {len(names)} pairs; say which one, such as recorded({str(path)!r}, {names[0] if names else 'NAME'!r})")
    at = trace.find(pair or names[0])
    if at is None:
        raise PairError(f"{path}: has no pair {pair!r}; it has {', '.join(names) or 'none'}")
    if trace.recordings[at].error:
        raise PairError(f"{path}: nothing was recorded of {names[at]}: {trace.recordings[at].error}")
    return Recorded(trace, at)


class Recorded:
    """A recorded reference as an oracle.

    Parameters
    ----------
    at : int
        Where the pair stands in it.
    """

    def __init__(self, trace: TraceFile, at: int) -> None:
        self._recording = trace.recordings[at]
        self._answers = _Answers(trace, at)
        self.rounding = RecordedRounding(self._answers)

    @property
    def name(self) -> str:
        """The reference that was recorded."""
        return f"{self._recording.title}, recorded"

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shapes of its parameters."""
        return {name: tuple(shape) for name, shape in self._recording.params.items()}

    @property
    def labels(self) -> bool:
        """Whether it is a loss that takes labels."""
        return self._recording.labels

    @property
    def modes(self) -> bool:
        """Whether it is another operation in training than in evaluation."""
        return self._recording.modes

    @property
    def elements(self) -> int:
        """How many numbers the checks compared when it was recorded: tolerances are those of then."""
        return self._recording.elements

    @property
    def settings(self) -> Mapping[str, tuple[int, ...]]:
        """Whole-number settings of the operation."""
        return {name: tuple(value) for name, value in self._recording.settings.items()}

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return what was recorded for a call.

        Raises
        ------
        RefusedError
            If it was not recorded.
        """
        return self._answers.expected(call)

    def testimony(self, call: Call, precision: Precision) -> Arrays:
        """Return how far the witness strayed when it was recorded; nothing where it was not asked."""
        return self._answers.role(call, precision, "witness")

    def decisions(self, x: Array) -> npt.NDArray[Any] | None:
        """Return None: decisions are not recorded."""
        return None


@dataclass
class _Answers:
    """The cases of a recording, found by what was given."""

    trace: TraceFile
    at: int
    _cases: dict[str, list[int]] = field(default_factory=dict)
    _forward: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for place in range(len(self.trace.recordings[self.at].cases)):
            call = given(self.trace, self.at, place)
            if call is not None:
                wide = call.astype(np.float64)
                self._cases.setdefault(digest(wide), []).append(place)
                self._forward.setdefault(digest(replace(wide, grad_output=None)), place)

    def expected(self, call: Call) -> dict[str, Array]:
        wide = call.astype(np.float64)
        if call.grad_output is None:
            place = self._forward.get(digest(wide))
            if place is not None and "output" in (found := self.trace.role(self.at, place, "expected")):
                return {"output": found["output"]}
        elif digest(wide) in self._cases:
            return self.trace.role(self.at, self._cases[digest(wide)][0], "expected")
        recording = self.trace.recordings[self.at]
        raise RefusedError(
            f"{recording.title} was not recorded for this input of shape {call.x.shape}; recorded are the checks with seed {self.trace.seed}"
        )

    def bounds(self, call: Call, precision: Precision) -> dict[str, Bound]:
        """Return the bounds of a call in the subject's precision."""
        terms, roundings = (self.role(call, precision, role) for role in ("terms", "roundings"))
        if not terms:
            raise RefusedError("no tolerance was recorded for this input")
        return {quantity: Bound(value, roundings[quantity]) for quantity, value in terms.items()}

    def role(self, call: Call, precision: Precision, role: str) -> dict[str, Array]:
        """Return the arrays of one role that were recorded for a call in the subject's precision."""
        cases = self.trace.recordings[self.at].cases
        places = (place for place in self._cases.get(digest(call.astype(np.float64)), []) if cases[place].dtype == precision.dtype)
        place = next(places, None)
        return {} if place is None else self.trace.role(self.at, place, role)


@dataclass(frozen=True)
class RecordedRounding:
    """The error theory of a recorded reference: the bounds that were recorded."""

    answers: _Answers

    def bounds(self, oracle: Any, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        """Return the recorded bounds."""
        return self.answers.bounds(call, precision)

    def propagated(self, oracle: Any, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        """Refuse: how errors pass through was not recorded."""
        raise RefusedError("a recorded reference cannot be part of a larger one")


def given(trace: TraceFile, recording: int, case: int) -> Call | None:
    """Return the call of a case; None where there was none."""
    arrays = trace.role(recording, case, "given")
    if "x" not in arrays:
        return None
    params = {name: arrays[f"params.{name}"] for name in trace.recordings[recording].params if f"params.{name}" in arrays}
    constants = {name.removeprefix("constants."): value for name, value in arrays.items() if name.startswith("constants.")}
    return Call(arrays["x"], params, arrays.get("grad_output"), constants)
