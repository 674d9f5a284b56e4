"""An oracle that returns a reference's recorded results; it refuses calls that were not recorded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crosscheck.core.arguments import Case, Inputs, Signature
from crosscheck.core.operation import INPUT, OUTPUT, Arrays, Call, PairError, RefusedError, Rounding
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.references.functions import Output
from crosscheck.references.recorded.file import TraceFile, TraceFileError, digest
from crosscheck.references.recorded.inputs import case_of
from crosscheck.references.recorded.read import read


def recorded(path: str | Path, pair: str = "") -> Recorded:
    """Return a reference that was recorded with ``crosscheck trace FILE.py --side reference``.

    Parameters
    ----------
    path : path-like
        The trace file.
    pair : str
        The name of a pair in the file; not needed if there is only one.

    Raises
    ------
    PairError
        If the file is not a reference's trace, or has no such pair.
    """
    try:
        trace = read(Path(path))
    except TraceFileError as error:
        raise PairError(str(error)) from None
    names = [recording.name for recording in trace.recordings]
    if trace.side != "reference":
        raise PairError(f"{path}: this is the trace of your code, expected that of a reference; record it with --side reference")
    if not pair and len(names) != 1:
        raise PairError(f"{path}: has {len(names)} pairs; choose one, such as recorded({str(path)!r}, {names[0] if names else 'NAME'!r})")
    at = trace.find(pair or names[0])
    if at is None:
        raise PairError(f"{path}: has no pair {pair!r}; its pairs are {', '.join(names) or 'none'}")
    if trace.recordings[at].error:
        raise PairError(f"{path}: {names[at]} could not be recorded: {trace.recordings[at].error}")
    return Recorded(trace, at)


class Recorded:
    """A recording in a trace file as an oracle. Its tolerances hold for ``elements``, the number of values that its checks compare."""

    def __init__(self, trace: TraceFile, at: int) -> None:
        self._trace, self._at, self._recording = trace, at, trace.recordings[at]
        self.name = f"{self._recording.title}, recorded"
        self.elements, self.labels, self.modes = self._recording.elements, self._recording.labels, self._recording.modes
        self.shapes = {name: tuple(shape) for name, shape in self._recording.params.items()}
        self.settings = {name: tuple(value) for name, value in self._recording.settings.items()}
        self.reduction = self._recording.reduction or "mean"
        self._declared = [case_of(description) for description in self._recording.declared]

        # The indices of the cases, by the digest of their inputs with grad_output, and without it.
        self._cases: dict[str, list[int]] = {}
        self._forward: dict[str, int] = {}
        for place in range(len(self._recording.cases)):
            if (call := given(trace, at, place)) is not None:
                wide = call.astype(np.float64)
                self._cases.setdefault(digest(wide), []).append(place)
                self._forward.setdefault(digest(wide.forward), place)

    @property
    def signature(self) -> Signature | None:
        """What the reference takes and returns; None if that was not recorded."""
        if not self._declared:
            return None

        def inputs(count: int) -> Inputs:
            fitting = (case.inputs for case in self._declared if len(next(iter(case.inputs.values())).axes) == count)
            return next(fitting, self._declared[0].inputs)

        names = tuple(name.removeprefix(f"{OUTPUT}.") for name in self._recording.outputs)
        return Signature(inputs, names, sizes=tuple(case.sizes for case in self._declared), named=self._declared[0].named)

    @property
    def derived(self) -> tuple[Case, ...] | None:
        """The cases of other sizes that were recorded; None if the file does not say which."""
        return tuple(self._declared[0].resized(sizes) for sizes in self._recording.derived) if self._declared else None

    @property
    def refused(self) -> tuple[str, ...]:
        """The axes of which the reference accepts the declared length only."""
        return tuple(self._recording.refused)

    def describe(self, call: Call) -> list[Output]:
        """Return what is known of the outputs, in order."""
        upstream = self._recording.upstream if self._declared else self._recording.outputs
        return [Output((), name in self._recording.whole, name in upstream) for name in self._recording.outputs]

    @property
    def rounding(self) -> Rounding:
        """The object that bounds rounding errors: this oracle itself, which has the recorded bounds."""
        return self

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return the recorded results of a call; raise :class:`RefusedError` if the call was not recorded."""
        wanted = digest(call.astype(np.float64))
        if not call.cotangents and wanted in self._forward:
            found = self._trace.role(self._at, self._forward[wanted], "expected")
            if call.outputs[0] in found:
                return {name: found[name] for name in call.outputs if name in found}
        elif call.cotangents and wanted in self._cases:
            return self._trace.role(self._at, self._cases[wanted][0], "expected")
        raise RefusedError(
            f"{self._recording.title} was not recorded for this input of shape {call.x.shape}, only for the checks with seed {self._trace.seed}"
        )

    def role(self, call: Call, precision: Precision, role: str) -> dict[str, Array]:
        """Return the recorded arrays of a call in one role, such as ``witness``, for the subject's precision."""
        places = self._cases.get(digest(call.astype(np.float64)), [])
        place = next((place for place in places if self._recording.cases[place].dtype == precision.dtype), None)
        return {} if place is None else self._trace.role(self._at, place, role)

    def witness(self, call: Call, precision: Precision) -> Arrays:
        """Return the recorded errors of the witness, which is the reference in the subject's precision; empty if there was no witness."""
        return self.role(call, precision, "witness")

    def decisions(self, x: Array) -> npt.NDArray[Any] | None:
        """Return None: decisions at kinks are not recorded."""
        return None

    def bounds(self, oracle: Any, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        """Return the recorded bounds of a call in the subject's precision."""
        terms, roundings = (self.role(call, precision, role) for role in ("abs_sum", "n_roundings"))
        if not terms:
            raise RefusedError("no tolerance was recorded for this input; record the reference again")
        return {quantity: Bound(value, roundings[quantity]) for quantity, value in terms.items()}

    def propagated(self, oracle: Any, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        """Raise :class:`RefusedError`: the propagation of errors was not recorded."""
        raise RefusedError("a recorded reference cannot be part of a chain: how errors pass through it was not recorded")


def given(trace: TraceFile, recording: int, case: int) -> Call | None:
    """Return the call of a case; None if no inputs were recorded."""
    arrays = trace.role(recording, case, "given")
    if not arrays:
        return None
    of = trace.recordings[recording]
    params = {name: arrays[f"params.{name}"] for name in of.params if f"params.{name}" in arrays}
    inputs = {INPUT: arrays["x"]} if "x" in arrays else {}
    inputs |= _named(arrays, "inputs.")
    cotangents = {OUTPUT: arrays["grad_output"]} if "grad_output" in arrays else {}
    cotangents |= _named(arrays, "grad_output.")
    order, outputs = tuple(of.order), tuple(of.outputs)
    inputs = {name: inputs[name] for name in sorted(inputs, key=lambda name: order.index(name) if name in order else -1)}
    cotangents = {name: cotangents[name] for name in outputs if name in cotangents}
    return Call(inputs, params, cotangents, _named(arrays, "constants."), {}, order, outputs)


def _named(arrays: Mapping[str, npt.NDArray[Any]], begin: str) -> dict[str, npt.NDArray[Any]]:
    return {name.removeprefix(begin): value for name, value in arrays.items() if name.startswith(begin)}
