"""Entries of a trace that cannot be what was recorded: each is refused by the name of the file and of the entry, and none ends as a match."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from crosscheck.references.recorded.file import TraceFileError
from crosscheck.references.recorded.read import read
from crosscheck.run.cli import main
from tests.support import SUPPORT

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the traces of both sides of a right layer."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(SUPPORT)
    (tmp_path / "pairs.py").write_text("from plain import pair\nPAIR = pair()\n")
    only = ["--only", "values-float64-normal", "--only", "contract-dtype_is_kept"]
    for side in ("subject", "reference"):
        assert main(["trace", "pairs.py", "--side", side, "--out", f"{side}.safetensors", *only]) == 0
    return tmp_path


def described(path: Path) -> str:
    """Return a trace's description."""
    with safe_open(path, framework="numpy") as stream:
        text: str = stream.metadata()["crosscheck"]
    return text


def changed(path: Path, change: Change) -> None:
    """Change the first recording of a trace."""
    header = json.loads(described(path))
    change(header["recordings"][0])
    save_file(load_file(path), path, metadata={"crosscheck": json.dumps(header)})


def with_arrays(path: Path, **arrays: Any) -> None:
    """Put arrays into a trace, None to take one out; their names with underscores in the place of slashes."""
    held = load_file(path) | {"/".join(name.split("__")): value for name, value in arrays.items()}
    save_file({name: value for name, value in held.items() if value is not None}, path, metadata={"crosscheck": described(path)})


ENTRIES: dict[str, tuple[str, Change, str]] = {
    "elements": ("reference", lambda one: one.update(elements=0), "recordings[0].elements is 0, expected a whole number of at least 1"),
    "params": ("reference", lambda one: one["params"].update(weight="3"), "recordings[0].params['weight'] is 3, expected a list"),
    "settings": ("reference", lambda one: one["settings"].update(kernel=[1.5]), "recordings[0].settings['kernel'] is [1.5]"),
    "dtype": ("reference", lambda one: one["cases"][0].update(dtype="float128"), "recordings[0].cases[0].dtype is float128"),
    "shape-of-text": ("reference", lambda one: one["cases"][1].update(shape=["a"]), "recordings[0].cases[1].shape is ['a']"),
    "shape-of-nothing": ("reference", lambda one: one["cases"][1].update(shape=[0, 3]), "recordings[0].cases[1].shape is [0, 3]"),
    "shape-of-truth": ("reference", lambda one: one["cases"][1].update(shape=[True]), "recordings[0].cases[1].shape is [True]"),
    "absent": ("subject", lambda one: one["cases"][0].update(absent={"output": 3}), "recordings[0].cases[0].absent"),
    "contract": ("subject", lambda one: one.update(contracts=[3]), "recordings[0].contracts[0] is 3"),
    "contract-entry": ("subject", lambda one: one["contracts"][0].pop("notes"), "recordings[0].contracts[0]"),
    "contract-kind": ("subject", lambda one: one["contracts"][0].update(reason=None), "recordings[0].contracts[0].reason is None"),
    "contract-warning": ("subject", lambda one: one["contracts"][0].update(warning="no"), "recordings[0].contracts[0].warning is no"),
    "contract-verdict": ("subject", lambda one: one["contracts"][0].update(counts_as="right"), "recordings[0].contracts[0].counts_as is right"),
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_entry_is_refused_by_name(folder: Path, entry: str) -> None:
    side, change, error = ENTRIES[entry]
    path = folder / f"{side}.safetensors"
    changed(path, change)
    with pytest.raises(TraceFileError) as refused:
        read(path)
    assert str(refused.value).startswith(f"{path}: {error}")


ARRAYS: dict[str, tuple[str, dict[str, Any], str]] = {
    "without-sum": ("reference", {"0__0__abs_sum__output": None}, "output is without abs_sum"),
    "without-roundings": ("reference", {"0__1__n_roundings__weight.grad": None}, "weight.grad is without n_roundings"),
    "without-expected": ("reference", {"0__0__expected__output": None}, "output is without expected"),
    "float32": ("reference", {"0__0__abs_sum__output": np.ones((4, 3), np.float32)}, "0/0/abs_sum/output is float32, expected float64"),
    "negative": ("reference", {"0__0__abs_sum__output": -np.ones((4, 3))}, "0/0/abs_sum/output is negative or NaN"),
    "nan": ("reference", {"0__0__n_roundings__output": np.full((4, 3), np.nan)}, "0/0/n_roundings/output is negative or NaN"),
    "shape": ("reference", {"0__0__abs_sum__output": np.ones((2, 5))}, "0/0/abs_sum/output is of shape (2, 5), expected one that fits (4, 3)"),
    "larger": ("reference", {"0__0__abs_sum__output": np.ones((2, 4, 3))}, "0/0/abs_sum/output is of shape (2, 4, 3)"),
    "witness-float32": ("reference", {"0__0__witness__output": np.ones((4, 3), np.float32)}, "0/0/witness/output is float32, expected float64"),
    "witness-shape": ("reference", {"0__0__witness__output": np.ones((1, 3))}, "0/0/witness/output is of shape (1, 3), expected the shape of"),
    "witness-negative": ("reference", {"0__0__witness__output": -np.ones((4, 3))}, "0/0/witness/output is negative"),
    "truth": ("subject", {"0__0__found__output": np.ones((4, 3), bool)}, "0/0/found/output is bool"),
    "half-a-reading": ("subject", {"0__0__reading_abs_sum__output": np.ones((4, 3))}, "output is without reading_n_roundings"),
}


@pytest.mark.parametrize("array", ARRAYS)
def test_array_is_refused_by_name(folder: Path, array: str) -> None:
    side, arrays, error = ARRAYS[array]
    path = folder / f"{side}.safetensors"
    with_arrays(path, **arrays)
    with pytest.raises(TraceFileError) as refused:
        read(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert error in str(refused.value)


def test_quantity_of_unlimited_tolerance_was_never_judged(folder: Path) -> None:
    """Where any error would be allowed, not even the same number is a match."""
    infinite = {f"0__{case}__abs_sum__output": np.full(shape, np.inf) for case, shape in enumerate([(4, 3), (1, 3), (3, 3)])}
    with_arrays(folder / "reference.safetensors", **infinite)
    assert main(["compare", "subject.safetensors", "reference.safetensors", "--json", "r.json"]) == 2
    pair = json.loads((folder / "r.json").read_text())["pairs"][0]
    assert pair["never_judged"] == ["float64 output"]
    assert {q["verdict"] for check in pair["checks"] for q in check["quantities"] if q["quantity"] == "output"} == {"skipped"}
