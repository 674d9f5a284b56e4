"""Read a trace file and check every entry, because the file may come from another machine."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from safetensors import SafetensorError, safe_open

from crosscheck.core.judge import Verdict
from crosscheck.core.operation import DTYPES
from crosscheck.references.recorded.file import KEY, SCHEMA_VERSION, STORABLE, AnyArray, Case, Recording, TraceFile, TraceFileError, key
from crosscheck.references.recorded.inputs import case_of, lengths

_TOGETHER = (("expected", "abs_sum", "n_roundings"), ("reading_abs_sum", "reading_n_roundings"))
"""Groups of roles. A quantity must have arrays in all roles of a group, or in none of them."""

_BOUNDS = {"abs_sum": "expected", "n_roundings": "expected", "reading_abs_sum": "found", "reading_n_roundings": "found"}
"""For each role of a tolerance's part, the role of the array to which the tolerance applies."""

_CONTRACT: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("check", "about", "dtype", "verdict", "counts_as", "reason", "expected_difference", "reproduce"), str),
    **dict.fromkeys(("notes", "quantities"), list),
    **dict.fromkeys(("first_divergence", "small_case"), (dict, type(None))),
    "warning": bool,
    "seconds": (int, float),
}
"""The names and types of the entries in a check's result as plain data."""


class _EntryError(Exception):
    """An entry of a trace file is wrong; the message names the entry, what was found and what was expected."""


def read(path: Path) -> TraceFile:
    """Read a trace file; raise :class:`TraceFileError` if it does not exist, has another version, or has a wrong entry."""
    if not path.is_file():
        raise TraceFileError(f"{path}: no such file; record one with 'crosscheck trace'")
    try:
        with safe_open(path, framework="numpy") as stream:
            metadata = stream.metadata() or {}
            if KEY not in metadata:
                raise TraceFileError(f"{path}: holds arrays, but no description of a trace; record a trace with 'crosscheck trace'")
            return _read(path, metadata[KEY], {name: stream.get_tensor(name) for name in stream.keys()})  # noqa: SIM118 - no mapping
    except OSError as error:
        raise TraceFileError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (SafetensorError, TypeError, AttributeError) as error:
        raise TraceFileError(f"{path}: not a trace ({str(error).splitlines()[0]}); record a trace with 'crosscheck trace'") from None


def _read(path: Path, text: str, arrays: dict[str, AnyArray]) -> TraceFile:
    try:
        header = json.loads(text)
        version = header["schema_version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise TraceFileError(f"{path}: its description is not the JSON of a trace; record it again") from None
    if version != SCHEMA_VERSION:
        raise TraceFileError(f"{path}: its format has version {version!r}, expected {SCHEMA_VERSION}; record it again")
    try:
        recordings = [_typed(Recording(**{**one, "cases": [_typed(Case(**case)) for case in one["cases"]]})) for one in header["recordings"]]
        trace = _typed(TraceFile(header["side"], header["seed"], recordings, arrays))
    except (KeyError, TypeError) as error:
        raise TraceFileError(f"{path}: its description is incomplete ({error}); record it again") from None
    if trace.side not in ("subject", "reference"):
        raise TraceFileError(f"{path}: its side is {trace.side!r}, expected 'subject' or 'reference'; record it again")
    try:
        for at, recording in enumerate(recordings):
            _expect_recording(recording, f"recordings[{at}]")
            for place in range(len(recording.cases)):
                _expect_arrays(trace, at, place)
    except _EntryError as error:
        raise TraceFileError(f"{path}: {error}; record it again") from None
    return trace


_Described = TypeVar("_Described", Case, Recording, TraceFile)


def _typed(described: _Described) -> _Described:
    """Return ``described``, a part of the description; raise ``TypeError`` if one of its entries has the wrong type."""
    for entry in fields(described):
        value, kind = getattr(described, entry.name), str(entry.type).partition("[")[0]
        if kind in _KINDS and not (isinstance(value, _KINDS[kind]) and isinstance(value, bool) == (kind == "bool")):
            raise TypeError(f"{entry.name} is {value!r}, expected a value of type {kind}")
    return described


_KINDS: dict[str, type] = {kind.__name__: kind for kind in (str, int, bool, list, dict)}


def _expect_recording(recording: Recording, name: str) -> None:
    """Check a pair's recording: its description, its cases and its contracts."""
    _expect(recording.elements >= 1, f"{name}.elements", recording.elements, "a whole number of at least 1")
    for entry in ("params", "settings"):
        for own, numbers in getattr(recording, entry).items():
            _expect(_whole_numbers(numbers, 0), f"{name}.{entry}[{own!r}]", numbers, "a list of whole numbers")
    for entry in ("order", "outputs", "whole", "upstream", "refused"):
        words = getattr(recording, entry)
        _expect(all(isinstance(word, str) for word in words), f"{name}.{entry}", words, "a list of names")
    _expect_inputs(recording, name)
    for place, case in enumerate(recording.cases):
        where = f"{name}.cases[{place}]"
        _expect(case.dtype in DTYPES, f"{where}.dtype", case.dtype, " or ".join(DTYPES))
        _expect(_whole_numbers(case.shape, 1), f"{where}.shape", case.shape, "a list of whole numbers of at least 1")
        _expect(all(isinstance(reason, str) for reason in case.absent.values()), f"{where}.absent", case.absent, "reasons in words")
    for place, contract in enumerate(recording.contracts):
        _expect_contract(contract, f"{name}.contracts[{place}]")


def _expect_inputs(recording: Recording, name: str) -> None:
    """Check the description of what the reference takes, and the lengths of the axes of the derived cases."""
    for place, description in enumerate(recording.declared):
        try:
            case_of(description)
        except ValueError as error:
            raise _EntryError(f"{name}.declared[{place}] is no description of inputs: {error}") from None
    for place, sizes in enumerate(recording.derived):
        try:
            known = recording.declared and set(lengths(sizes)) == set(recording.declared[0]["sizes"])
        except ValueError:
            known = False
        _expect(bool(known), f"{name}.derived[{place}]", sizes, "the lengths of the axes of the first declared case")


def _expect_contract(contract: Any, name: str) -> None:
    """Check that a recorded contract has all entries of a check's result, with the right types."""
    _expect(isinstance(contract, dict), name, contract, "the result of a check")
    for entry, kind in _CONTRACT.items():
        _expect(entry in contract, name, sorted(contract), f"an entry {entry!r}")
        _expect(isinstance(contract[entry], kind), f"{name}.{entry}", contract[entry], f"a value of type {kind}")
    for entry in ("verdict", "counts_as"):
        _expect(contract[entry] in set(Verdict), f"{name}.{entry}", contract[entry], f"one of {', '.join(Verdict)}")


def _expect_arrays(trace: TraceFile, at: int, place: int) -> None:
    """Check that the arrays of a case are complete, and that the tolerances are valid."""
    roles = {role: trace.role(at, place, role) for role in ("expected", "found", "witness", *_BOUNDS)}
    for together in _TOGETHER:
        for quantity in dict.fromkeys(name for role in together for name in roles[role]):
            missing = [role for role in together if quantity not in roles[role]]
            _expect(not missing, key(at, place, ", ".join(together), quantity), f"without {', '.join(missing)}", "all of them")
    for role, of in _BOUNDS.items():
        for quantity, value in roles[role].items():
            name = key(at, place, role, quantity)
            _expect(quantity in roles[of], name, f"without {of}", "the array that the tolerance is for")
            _expect_bound(value, name, roles[of][quantity].shape)
    for quantity, value in roles["witness"].items():
        name = key(at, place, "witness", quantity)
        _expect(value.dtype == np.float64, name, value.dtype.name, "float64")
        right = roles["expected"].get(quantity)
        _expect(right is None or value.shape == right.shape, name, f"of shape {value.shape}", "the shape of the expected array")
        _expect(not bool((value < 0).any()), name, "negative", "numbers of at least 0, or NaN")
    for quantity, value in roles["expected"].items():
        _expect(value.dtype.kind == "f", key(at, place, "expected", quantity), value.dtype.name, "real numbers")
    for quantity, value in roles["found"].items():
        _expect(value.dtype.name in STORABLE, key(at, place, "found", quantity), value.dtype.name, f"one of {', '.join(sorted(STORABLE))}")


def _expect_bound(value: AnyArray, name: str, shape: tuple[int, ...]) -> None:
    """Check that a part of a tolerance has no negative numbers, and that its shape broadcasts to ``shape``."""
    _expect(value.dtype == np.float64, name, value.dtype.name, "float64")
    _expect(bool((value >= 0).all()), name, "negative or NaN", "numbers of at least 0")
    try:
        fits = np.broadcast_shapes(value.shape, shape) == shape
    except ValueError:
        fits = False
    _expect(fits, name, f"of shape {value.shape}", f"one that fits {shape}")


def _whole_numbers(value: Any, least: int) -> bool:
    return isinstance(value, list) and all(isinstance(one, int) and not isinstance(one, bool) and one >= least for one in value)


def _expect(holds: bool, name: str, found: object, expected: str) -> None:
    if not holds:
        raise _EntryError(f"{name} is {found}, expected {expected}")
