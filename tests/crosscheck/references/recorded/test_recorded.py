"""Files from outside: what is in them comes back as it was, and no file is believed unread."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import crosscheck
from crosscheck.core.operation import Call, PairError
from crosscheck.references.recorded.file import Case, Recording, TraceFile, TraceFileError, digest, put_call, write
from crosscheck.references.recorded.read import read
from crosscheck.run.cli import main
from tests.support.command import declare_pair, facts, judged, recorded_both
from tests.support.laws import law, shapes


@st.composite
def traces(draw: st.DrawFn) -> TraceFile:
    """Draw a trace of some pairs, each with a call whose numbers are of any kind that a file can hold."""
    trace = TraceFile(draw(st.sampled_from(["subject", "reference"])), draw(st.integers(0, 2**40)))
    for at in range(draw(st.integers(0, 3))):
        shape, rng = draw(shapes), np.random.default_rng(at)
        call = Call(rng.standard_normal(shape).astype(draw(st.sampled_from(["float32", "float64"]))), {"w": np.full(shape, np.nan)})
        case = Case("values-float64-normal", "float64", list(shape), digest(call), draw(st.text(max_size=5)))
        trace.recordings.append(Recording(f"pair {at}", elements=7, params={"w": list(shape)}, cases=[case]))
        put_call(trace, at, 0, call)
        for role in ("expected", "abs_sum", "n_roundings") if trace.side == "reference" else ("found",):
            trace.put(at, 0, role, "output", np.abs(rng.standard_normal(shape)))
    return trace


@settings(law, max_examples=10)
@given(traces())
def test_what_is_written_is_read_again(trace: TraceFile) -> None:
    """Bit for bit, not a number included."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.safetensors"
        write(trace, path)
        again = read(path)
    assert (again.side, again.seed, again.recordings) == (trace.side, trace.seed, trace.recordings)
    bits = [{name: (value.dtype, value.shape, value.tobytes()) for name, value in one.arrays.items()} for one in (trace, again)]
    assert bits[0] == bits[1]


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="numpy") as stream:
        read: dict[str, str] = stream.metadata()
    return read


def changed(path: Path, change: Any) -> None:
    """Change a trace's description."""
    header = change(json.loads(metadata(path)["crosscheck"]))
    save_file(load_file(path), path, metadata={"crosscheck": header if isinstance(header, str) else json.dumps(header)})


def without(name: str) -> Any:
    return lambda header: {key: value for key, value in header.items() if key != name}


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "not a trace"),
    "text": (lambda path: path.write_text("hello"), "not a trace"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-100]), "not a trace"),
    "other arrays": (lambda path: save_file({"a": np.zeros(2)}, path), "holds arrays, but no description of a trace"),
    "no json": (lambda path: changed(path, lambda header: "{"), "its description is not the JSON of a trace"),
    "later": (lambda path: changed(path, lambda header: header | {"schema_version": 99}), "its format has version 99, expected 2"),
    "no recordings": (lambda path: changed(path, without("recordings")), "its description is incomplete"),
    "recordings of another kind": (lambda path: changed(path, lambda header: header | {"recordings": [3]}), "its description is incomplete"),
    "a number that is text": (
        lambda path: changed(path, lambda header: header | {"recordings": [header["recordings"][0] | {"elements": "many"}]}),
        "its description is incomplete",
    ),
    "another side": (lambda path: changed(path, lambda header: header | {"side": "both"}), "its side is 'both'"),
    "missing": (lambda path: path.unlink(), "no such file; record one with 'crosscheck trace'"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_broken_file_is_refused_by_name(folder: Path, broken: str, capsys: pytest.CaptureFixture[str]) -> None:
    recorded_both(folder, "pair()", "--only", "values-float64-normal")
    change, error = BROKEN[broken]
    change(folder / "r.safetensors")
    capsys.readouterr()
    assert main(["compare", "s.safetensors", "r.safetensors"]) == 2
    err = capsys.readouterr().err
    assert "r.safetensors: " in err
    assert error in err
    with pytest.raises(PairError, match=r"r\.safetensors"):
        crosscheck.recorded("r.safetensors")


def test_array_that_is_missing_is_undecided(folder: Path) -> None:
    """A trace from which a result was taken out does not turn into a match."""
    recorded_both(folder, "pair()", "--only", "values-float64-normal")
    path = folder / "r.safetensors"
    taken_out = {f"0/1/{role}/output" for role in ("expected", "abs_sum", "n_roundings")}
    kept = {name: value for name, value in load_file(path).items() if name not in taken_out}
    save_file(kept, path, metadata=metadata(path))
    assert main(["compare", "s.safetensors", "r.safetensors", "--json", "r.json"]) == 2
    assert facts(folder)["verdict"] == "undecided"


def test_other_input_is_refused(folder: Path) -> None:
    """A recorded reference does not answer what it was not asked."""
    recorded_both(folder, "pair()", "--only", "values-float64-normal")
    shapes = "shapes=[(7, 3)]"
    declare_pair(folder, f"crosscheck.Pair(Scale(), crosscheck.recorded('r.safetensors'), {shapes})")
    assert main(["check", "pairs.py", "--only", "values-float64-normal", "--json", "r.json"]) == 2
    check = facts(folder)["pairs"][0]["checks"][0]
    assert check["verdict"] == "undecided"
    assert "not recorded for this input of shape (7, 3), only for the checks with seed 0" in check["reason"]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("('s.safetensors')", "this is the trace of your code, expected that of a reference"),
        ("('r.safetensors', 'Conv')", "has no pair 'Conv'; its pairs are Scale, other"),
        ("('r.safetensors')", "has 2 pairs; choose one, such as recorded('r.safetensors', 'Scale')"),
    ],
    ids=["side", "unknown", "several"],
)
def test_wrong_use_of_a_recorded_reference(folder: Path, call: str, error: str, capsys: pytest.CaptureFixture[str]) -> None:
    recorded_both(folder, "[pair(), pair(name='other')]", "--only", "values-float64-normal")
    declare_pair(folder, f"crosscheck.Pair(Scale(), crosscheck.recorded{call}, shapes=[(4, 3)])")
    capsys.readouterr()
    assert main(["check", "pairs.py"]) == 2
    assert error in capsys.readouterr().err


ROUGH = "crosscheck.Pair(Rough(), {}, shapes=[(4, 3), (1, 3)], dtypes=('float32',))"


@pytest.mark.parametrize("witness", ["recorded", "left out"])
def test_the_witness_is_the_one_that_was_recorded(folder: Path, witness: str) -> None:
    """What it says depends on the machine: a tolerance is as wide as where the reference was recorded, and theory's alone where nothing was."""
    only = ["--only", "values-*"]
    declare_pair(folder, ROUGH.format("RoughReference()"))
    assert main(["check", "pairs.py", *only, "--json", "beside.json"]) == 0
    assert ", 23 tolerances widened by the reference's own rounding error" in facts(folder, "beside.json")["headline"]
    assert main(["trace", "pairs.py", "--side", "reference", "--out", "r.safetensors"]) == 0
    if witness == "left out":
        path = folder / "r.safetensors"
        save_file({name: value for name, value in load_file(path).items() if "/witness/" not in name}, path, metadata(path))
    declare_pair(folder, ROUGH.format("crosscheck.recorded('r.safetensors')"))
    status = main(["check", "pairs.py", *only, "--no-shrink", "--json", "r.json"])
    if witness == "recorded":
        assert status == 0
        assert judged(facts(folder)) == judged(facts(folder, "beside.json"))
    else:
        assert status == 1


Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def traced(folder: Path) -> Path:
    """Return a folder with the traces of both sides of a right layer."""
    recorded_both(folder, "pair()", "--only", "values-float64-normal", "--only", "contract-dtype_is_kept")
    return folder


def changed_first(path: Path, change: Change) -> None:
    """Change the first recording of a trace."""
    changed(path, lambda header: (change(header["recordings"][0]), header)[1])


def with_arrays(path: Path, **arrays: Any) -> None:
    """Put arrays into a trace, None to take one out; their names with underscores in the place of slashes."""
    held = load_file(path) | {"/".join(name.split("__")): value for name, value in arrays.items()}
    save_file({name: value for name, value in held.items() if value is not None}, path, metadata=metadata(path))


ENTRIES: dict[str, tuple[str, Change, str]] = {
    "elements": ("reference", lambda one: one.update(elements=0), "recordings[0].elements is 0, expected a whole number of at least 1"),
    "params": ("reference", lambda one: one["params"].update(weight="3"), "recordings[0].params['weight'] is 3, expected a list"),
    "settings": ("reference", lambda one: one["settings"].update(kernel=[1.5]), "recordings[0].settings['kernel'] is [1.5]"),
    "dtype": ("reference", lambda one: one["cases"][0].update(dtype="float128"), "recordings[0].cases[0].dtype is float128"),
    "shape-of-text": ("reference", lambda one: one["cases"][1].update(shape=["a"]), "recordings[0].cases[1].shape is ['a']"),
    "shape-of-nothing": ("reference", lambda one: one["cases"][1].update(shape=[0, 3]), "recordings[0].cases[1].shape is [0, 3]"),
    "shape-of-truth": ("reference", lambda one: one["cases"][1].update(shape=[True]), "recordings[0].cases[1].shape is [True]"),
    "absent": ("subject", lambda one: one["cases"][0].update(absent={"output": 3}), "recordings[0].cases[0].absent"),
    "outputs": ("reference", lambda one: one.update(outputs=[3]), "recordings[0].outputs is [3], expected a list of names"),
    "inputs": ("reference", lambda one: one["declared"][0].update(inputs=[3]), "recordings[0].declared[0] is no description of inputs"),
    "sizes": ("reference", lambda one: one["declared"][0].update(sizes={}), "recordings[0].declared[0] is no description of inputs"),
    "derived": ("reference", lambda one: one["derived"][0].update(time=3), "recordings[0].derived[0] is {"),
    "derived-of-nothing": ("reference", lambda one: one["derived"][0].update(axis0=0), "recordings[0].derived[0] is {"),
    "derived-of-unknown-inputs": ("reference", lambda one: one.update(declared=[]), "recordings[0].derived[0] is {"),
    "contract": ("subject", lambda one: one.update(contracts=[3]), "recordings[0].contracts[0] is 3"),
    "contract-entry": ("subject", lambda one: one["contracts"][0].pop("notes"), "recordings[0].contracts[0]"),
    "contract-kind": ("subject", lambda one: one["contracts"][0].update(reason=None), "recordings[0].contracts[0].reason is None"),
    "contract-warning": ("subject", lambda one: one["contracts"][0].update(warning="no"), "recordings[0].contracts[0].warning is no"),
    "contract-verdict": ("subject", lambda one: one["contracts"][0].update(counts_as="right"), "recordings[0].contracts[0].counts_as is right"),
}


def _older(header: dict[str, Any]) -> dict[str, Any]:
    """Return a description as versions wrote it that did not say what a reference takes."""
    later = ("declared", "derived", "refused", "whole", "upstream", "reduction", "order", "outputs")
    recordings = [{name: value for name, value in one.items() if name not in later} for one in header["recordings"]]
    for one in recordings:
        one["cases"] = [{name: value for name, value in case.items() if name not in ("inputs", "special", "skipped")} for case in one["cases"]]
    return header | {"recordings": recordings}


def test_older_file_can_be_read(traced: Path) -> None:
    """It does not say what the reference takes, and is judged as before."""
    for name in ("s", "r"):
        changed(traced / f"{name}.safetensors", _older)
    assert main(["compare", "s.safetensors", "r.safetensors", "--json", "compared.json"]) == 0
    declare_pair(traced, "crosscheck.Pair(Scale(), crosscheck.recorded('r.safetensors'), shapes=[(4, 3), (1, 3)])")
    assert main(["check", "pairs.py", "--only", "values-float64-normal"]) == 0
    header = json.loads(metadata(traced / "r.safetensors")["crosscheck"])
    assert "declared" not in header["recordings"][0]


@pytest.mark.parametrize("entry", ENTRIES)
def test_entry_is_refused_by_name(traced: Path, entry: str) -> None:
    side, change, error = ENTRIES[entry]
    path = traced / f"{side[0]}.safetensors"
    changed_first(path, change)
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
def test_array_is_refused_by_name(traced: Path, array: str) -> None:
    side, arrays, error = ARRAYS[array]
    path = traced / f"{side[0]}.safetensors"
    with_arrays(path, **arrays)
    with pytest.raises(TraceFileError) as refused:
        read(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert error in str(refused.value)


def test_quantity_of_unlimited_tolerance_was_never_judged(traced: Path) -> None:
    """Where any error would be allowed, not even the same number is a match."""
    infinite = {f"0__{case}__abs_sum__output": np.full(shape, np.inf) for case, shape in enumerate([(4, 3), (1, 3), (3, 3), (2, 3)])}
    with_arrays(traced / "r.safetensors", **infinite)
    assert main(["compare", "s.safetensors", "r.safetensors", "--json", "r.json"]) == 2
    pair = facts(traced)["pairs"][0]
    assert pair["never_judged"] == ["float64 output"]
    assert {q["verdict"] for check in pair["checks"] for q in check["quantities"] if q["quantity"] == "output"} == {"skipped"}
