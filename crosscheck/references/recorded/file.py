"""The format of a trace file: named arrays, and a JSON description of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from crosscheck.core import __version__
from crosscheck.core.files import atomic_write
from crosscheck.core.operation import INPUT, OUTPUT, Call

SCHEMA_VERSION = 2
KEY = "crosscheck"
"""The key of the JSON description in the file's metadata."""

STORABLE = frozenset({"float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"})
"""The dtypes that a trace file can hold; an array of another dtype is recorded as a mistake of the subject."""

Side = Literal["subject", "reference"]
AnyArray = npt.NDArray[Any]


class TraceFileError(ValueError):
    """A file is not a trace that this version can read; the message names the file, what was found, and what to do."""


@dataclass
class Case:
    """One recorded call of a pair."""

    check: str  # id of the check that made the call, such as ``values-float64-digits``
    # dtype, shape: the subject's precision, and the shape of the input
    dtype: str
    shape: list[int]
    digest: str  # hash of all inputs; if the digests of subject and reference differ, so did their inputs
    inputs: str = field(default="", kw_only=True)  # in words: the shapes of several inputs, and what is special about their values
    special: str = field(default="", kw_only=True)  # in words: what is special about the values, such as "all labels ignored"
    skipped: str = field(default="", kw_only=True)  # the reason why the check does not apply to the subject; there are then no results
    reason: str = ""  # the reason why some or all results are missing
    absent: dict[str, str] = field(default_factory=dict)  # for each quantity that the subject does not provide, the reason


@dataclass
class Recording:
    """The recorded data of one pair, without its arrays."""

    name: str
    title: str = ""  # the subject's class, or the reference and its version
    elements: int = 1  # N, how many numbers the checks of the pair compare; every tolerance depends on N
    params: dict[str, list[int]] = field(default_factory=dict)  # shapes of the parameters by the reference's names, in the order of execution
    # labels, modes: as in :class:`crosscheck.references.resolve.Reference`
    labels: bool = False
    modes: bool = False
    deterministic: bool = True  # whether the subject is expected to return bit-identical results for the same call
    settings: dict[str, list[int]] = field(default_factory=dict)  # whole-number settings of the operation, such as ``kernel``
    order: list[str] = field(default_factory=list)  # names of inputs and constants in the order of the arguments; empty for the usual order
    outputs: list[str] = field(default_factory=lambda: [OUTPUT])  # the outputs as quantities
    whole: list[str] = field(default_factory=list)  # those of them that hold whole numbers or booleans
    upstream: list[str] = field(default_factory=list)  # those of them that get an upstream gradient; all if ``declared`` is empty
    # declared, derived: what the reference takes, as in :mod:`.inputs`, and the lengths of the axes of the derived cases, which were recorded, too
    declared: list[dict[str, Any]] = field(default_factory=list)
    derived: list[dict[str, Any]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)  # the axes of which the reference accepts no other length
    reduction: str = ""  # how a loss combines the samples, if it says so
    cases: list[Case] = field(default_factory=list)
    contracts: list[dict[str, Any]] = field(default_factory=list)  # the results of the subject's contracts, as plain data
    error: str = ""  # the reason why nothing was recorded; empty if the recording succeeded


@dataclass
class TraceFile:
    """The contents of a trace file; its arrays are keyed by :func:`key`."""

    side: Side
    seed: int
    recordings: list[Recording] = field(default_factory=list)
    arrays: dict[str, AnyArray] = field(default_factory=dict)
    # the arrays by recording, case and role, and how many of them these are: a file may hold thousands
    _by_role: dict[str, dict[str, AnyArray]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _indexed: int = field(default=0, init=False, repr=False, compare=False)

    def put(self, recording: int, case: int, role: str, quantity: str, value: AnyArray) -> None:
        """Add an array of a case."""
        self.arrays[key(recording, case, role, quantity)] = np.array(value, order="C")

    def role(self, recording: int, case: int, role: str) -> dict[str, AnyArray]:
        """Return a case's arrays in one role, such as ``expected``, as a dict keyed by quantity."""
        if self._indexed != len(self.arrays):
            self._by_role.clear()
            for name, value in self.arrays.items():
                *begin, quantity = name.split("/", 3)
                self._by_role.setdefault("/".join([*begin, ""]), {})[quantity] = value
            self._indexed = len(self.arrays)
        return dict(self._by_role.get(key(recording, case, role, ""), {}))

    def find(self, name: str) -> int | None:
        """Return the index of a pair's recording; None if there is none."""
        return next((at for at, recording in enumerate(self.recordings) if recording.name == name), None)


def key(recording: int, case: int, role: str, quantity: str) -> str:
    """Return the name of an array in the file, such as ``0/3/expected/weight.grad``."""
    return f"{recording}/{case}/{role}/{quantity}"


def digest(call: Call) -> str:
    """Return a hash of the values, shapes and dtypes of all inputs of a call."""
    result = hashlib.sha256()
    for name, value in _given(call):
        result.update(f"{name} {value.dtype} {value.shape};".encode())
        result.update(np.array(value, order="C").tobytes())
    return result.hexdigest()


def _given(call: Call) -> Iterator[tuple[str, AnyArray]]:
    # The only input and the only upstream gradient keep their short names.
    yield from ((("x" if name == INPUT else f"inputs.{name}"), value) for name, value in call.inputs.items())
    yield from ((f"params.{name}", call.params[name]) for name in sorted(call.params))
    yield from ((f"constants.{name}", call.constants[name]) for name in sorted(call.constants))
    yield from ((("grad_output" if name == OUTPUT else f"grad_output.{name}"), value) for name, value in call.cotangents.items())


def put_call(trace: TraceFile, recording: int, case: int, call: Call) -> None:
    """Add the inputs of a call to a trace."""
    for name, value in _given(call):
        trace.put(recording, case, "given", name, value)


def write(trace: TraceFile, path: Path) -> None:
    """Write a trace file; if writing fails, no partial file is left."""
    header = {
        "schema_version": SCHEMA_VERSION,
        "crosscheck_version": __version__,
        "side": trace.side,
        "seed": trace.seed,
        "recordings": [asdict(recording) for recording in trace.recordings],
    }
    with atomic_write(path) as temporary:
        save_file(trace.arrays, temporary, metadata={KEY: json.dumps(header, allow_nan=False)})
