"""Recorded traces: the same verdicts as beside the reference itself, and no file from outside that is believed unread."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import crosscheck
from crosscheck.core.operation import PairError
from crosscheck.run.cli import main
from tests.support import SUPPORT

RAISES = """
class Raises(Scale):
    def backward(self, grad_output):
        raise ValueError("not finished")
"""
REST = "from plain import *\nfrom plain import Scale\n"
PAIRS = {
    "right": "pair()",
    "wrong": "pair(Negated)",
    "writes": "pair(WritesToInput)",
    "raises": "pair(Raises)",
    "half": "pair(dtypes=('float32',))",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder to work in that holds the layers."""
    shutil.copy(SUPPORT / "plain.py", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def declare(folder: Path, expression: str, name: str = "pairs.py") -> None:
    """Write a file that declares pairs."""
    (folder / name).write_text(f"{REST}{RAISES}\nimport crosscheck\nPAIR = {expression}\n")


def facts(folder: Path, name: str = "r.json") -> dict[str, Any]:
    """Return a report's facts."""
    read: dict[str, Any] = json.loads((folder / name).read_text())
    return read


def judged(found: dict[str, Any]) -> list[Any]:
    """Return what a report says of each check: the verdict, and every quantity's."""
    return [(check["check"], check["verdict"], check["reason"], check["quantities"]) for pair in found["pairs"] for check in pair["checks"]]


def recorded_both(folder: Path, expression: str, *options: str) -> None:
    """Record both sides of a pair, as s.safetensors and r.safetensors."""
    declare(folder, expression)
    for side in ("subject", "reference"):
        assert main(["trace", "pairs.py", "--side", side, "--out", f"{side[0]}.safetensors", *options]) == 0


ASKED = ("contract-many_samples_work", "contract-handles_minus_infinity")
ASKED_NOTHING = "there is no reference that answers for new inputs"


@pytest.mark.slow("each is recorded and checked twice; the rows show a match, a mismatch and an error", default=["right-0", "wrong-3", "raises-0"])
@pytest.mark.parametrize("seed", ["0", "3"])
@pytest.mark.parametrize("name", PAIRS)
def test_recorded_reference_gives_the_same_verdicts(folder: Path, name: str, seed: str) -> None:
    """In the place of the reference, and from a trace of either side."""
    declare(folder, PAIRS[name])
    status = main(["check", "pairs.py", "--seed", seed, "--no-shrink", "--json", "r.json"])
    expected = judged(facts(folder))
    recorded_both(folder, PAIRS[name], "--seed", seed)
    declare(folder, PAIRS[name].replace("pair(", "beside('r.safetensors', ").replace(", )", ")"))
    source = (folder / "pairs.py").read_text()
    beside = "def beside(path, kind=Scale, **rest):\n    return crosscheck.Pair(kind(), crosscheck.recorded(path), shapes=[(4, 3), (1, 3)], **rest)\n"
    (folder / "pairs.py").write_text(source.replace("PAIR =", f"{beside}PAIR ="))
    assert main(["check", "pairs.py", "--seed", seed, "--no-shrink", "--json", "in_place.json"]) == status
    in_place = judged(facts(folder, "in_place.json"))
    assert [check for check in in_place if check[0] not in ASKED] == [check for check in expected if check[0] not in ASKED]
    assert {check[2] for check in in_place if check[0] in ASKED} == {f"does not apply: {ASKED_NOTHING}"}
    assert main(["compare", "s.safetensors", "r.safetensors", "--json", "compared.json"]) == status
    assert judged(facts(folder, "compared.json")) == [check for check in expected if check[1] != "skipped" or check[0].startswith("contract")]


@pytest.mark.parametrize(("options", "status"), [([], 0), (["--strict"], 1)], ids=["warned", "strict"])
def test_warning_is_recorded_as_one(folder: Path, options: list[str], status: int) -> None:
    recorded_both(folder, "pair(ReadsItsMode)", "--only", "values-float64-normal", "--only", "*mode_of_forward")
    assert main(["compare", "s.safetensors", "r.safetensors", "--json", "r.json", *options]) == status
    assert facts(folder)["warnings"] == 1 - status


def test_trace_says_what_is_not_repeatable(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded_both(folder, "pair(deterministic=False)", "--only", "values-float64-normal")
    assert main(["compare", "s.safetensors", "r.safetensors"]) == 0
    assert "; declared as not deterministic" in " ".join(capsys.readouterr().out.split())


def test_cause_is_found_in_a_trace(folder: Path) -> None:
    recorded_both(folder, "pair(Negated)")
    main(["compare", "s.safetensors", "r.safetensors", "--json", "r.json"])
    first = facts(folder)["pairs"][0]["checks"][0]["first_divergence"]
    assert (first["quantity"], first["cause"]) == ("weight.grad", "constant factor")


def test_gradients_read_off_an_update_are_judged_with_the_error_of_reading(folder: Path) -> None:
    """The tolerance of a subject that stores no gradient travels with its trace."""
    (folder / "pairs.py").write_text(
        """
import numpy as np
from crosscheck import Pair, Updating
from plain import ScaleReference

class Steps:
    def __init__(self):
        self.w = np.ones(3)
    def forward(self, x):
        self.x = x
        return x * self.w
    def backprop(self, grad_output, rate):
        result = grad_output * self.w
        self.w = self.w - rate * grad_output * self.x
        return result

PAIR = Pair(Updating(Steps(), "w"), ScaleReference(), shapes=[(4, 3), (1, 3)], params={"w": "weight"})
"""
    )
    assert main(["check", "pairs.py", "--json", "r.json"]) == 0
    for side in ("subject", "reference"):
        assert main(["trace", "pairs.py", "--side", side, "--out", f"{side[0]}.safetensors"]) == 0
    assert main(["compare", "s.safetensors", "r.safetensors", "--json", "compared.json"]) == 0
    expected = [check for check in judged(facts(folder)) if check[0].startswith("values")]
    assert [check for check in judged(facts(folder, "compared.json")) if check[0].startswith("values")] == expected


def test_trace_holds_what_it_takes_to_compute_elsewhere(folder: Path) -> None:
    """Inputs, results and tolerances are plain arrays with telling names."""
    recorded_both(folder, "pair()", "--only", "values-float64-normal")
    arrays = load_file(folder / "r.safetensors")
    x, weight = arrays["0/0/given/x"], arrays["0/0/given/params.weight"]
    assert x.shape == (4, 3)
    assert np.array_equal(arrays["0/0/expected/output"], x * weight)
    assert np.array_equal(arrays["0/0/abs_sum/output"], np.abs(x * weight))
    assert arrays["0/0/n_roundings/weight.grad"] == 4.0  # one number for all elements


def metadata(path: Path) -> dict[str, str]:
    """Return what a file says beside its arrays."""
    with safe_open(path, framework="numpy") as stream:
        read: dict[str, str] = stream.metadata()
    return read


def changed(path: Path, change: Any) -> None:
    """Change a trace's description."""
    header = change(json.loads(metadata(path)["crosscheck"]))
    save_file(load_file(path), path, metadata={"crosscheck": header if isinstance(header, str) else json.dumps(header)})


def without(name: str) -> Any:
    """Return a change that takes an entry out."""
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


def test_sides_exchanged(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded_both(folder, "pair()", "--only", "values-float64-normal")
    capsys.readouterr()
    assert main(["compare", "r.safetensors", "s.safetensors"]) == 2
    assert "r.safetensors: a reference's trace, expected a subject's" in capsys.readouterr().err


def test_other_seed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded_both(folder, "pair()", "--only", "values-float64-normal")
    main(["trace", "pairs.py", "--side", "subject", "--out", "s.safetensors", "--seed", "1", "--only", "values-float64-normal"])
    capsys.readouterr()
    assert main(["compare", "s.safetensors", "r.safetensors"]) == 2
    assert "s.safetensors was recorded with seed 1, r.safetensors with seed 0" in capsys.readouterr().err


def test_what_only_one_side_has_is_undecided(folder: Path) -> None:
    """A check that one trace lacks is not passed over."""
    recorded_both(folder, "pair()", "--only", "values-float64-normal")
    main(["trace", "pairs.py", "--side", "subject", "--out", "s.safetensors", "--only", "values-float64-ties"])
    assert main(["compare", "s.safetensors", "r.safetensors", "--json", "r.json"]) == 2
    found = {check["check"]: (check["verdict"], check["reason"]) for check in facts(folder)["pairs"][0]["checks"]}
    assert found["values-float64-normal"] == ("undecided", "this was not recorded of your code")
    assert found["values-float64-ties"][0] == "undecided"
    assert "NumPy was not recorded for this input of shape (4, 3)" in found["values-float64-ties"][1]


def test_pair_that_one_side_lacks_is_undecided(folder: Path) -> None:
    recorded_both(folder, "pair()", "--only", "values-float64-normal")
    declare(folder, "pair(name='other')")
    main(["trace", "pairs.py", "--side", "subject", "--out", "s.safetensors", "--only", "values-float64-normal"])
    assert main(["compare", "s.safetensors", "r.safetensors", "--json", "r.json"]) == 2
    assert [pair["error"] for pair in facts(folder)["pairs"]] == ["other: not in the reference's trace", "Scale: not in the subject's trace"]


def test_other_input_is_refused(folder: Path) -> None:
    """A recorded reference does not answer what it was not asked."""
    recorded_both(folder, "pair()", "--only", "values-float64-normal")
    shapes = "shapes=[(2, 3)]"
    declare(folder, f"crosscheck.Pair(Scale(), crosscheck.recorded('r.safetensors'), {shapes})")
    assert main(["check", "pairs.py", "--only", "values-float64-normal", "--json", "r.json"]) == 2
    check = facts(folder)["pairs"][0]["checks"][0]
    assert check["verdict"] == "undecided"
    assert "not recorded for this input of shape (2, 3), only for the checks with seed 0" in check["reason"]


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
    declare(folder, f"crosscheck.Pair(Scale(), crosscheck.recorded{call}, shapes=[(4, 3)])")
    capsys.readouterr()
    assert main(["check", "pairs.py"]) == 2
    assert error in capsys.readouterr().err


@pytest.mark.parametrize(
    ("out", "error"),
    [("t.npz", "t.npz: the name has to end in .safetensors"), ("nowhere/t.safetensors", "there is no folder nowhere")],
    ids=["suffix", "folder"],
)
def test_trace_that_cannot_be_written(folder: Path, out: str, error: str, capsys: pytest.CaptureFixture[str]) -> None:
    declare(folder, "pair()")
    assert main(["trace", "pairs.py", "--side", "subject", "--out", out]) == 2
    assert error in capsys.readouterr().err


@pytest.mark.parametrize("side", ["subject", "reference"])
def test_pair_without_a_reference_is_not_recorded(folder: Path, side: str, capsys: pytest.CaptureFixture[str]) -> None:
    declare(folder, "crosscheck.Pair(Scale(), None, shapes=[(4, 3)])")
    assert main(["trace", "pairs.py", "--side", side, "--out", "t.safetensors"]) == 2
    assert "reference" in capsys.readouterr().out


ROUGH = "crosscheck.Pair(Rough(), {}, shapes=[(4, 3), (1, 3)], dtypes=('float32',))"


@pytest.mark.parametrize("witness", ["recorded", "left out"])
def test_the_witness_is_the_one_that_was_recorded(folder: Path, witness: str) -> None:
    """What it says depends on the machine: a tolerance is as wide as where the reference was recorded, and theory's alone where nothing was."""
    only = ["--only", "values-*"]
    declare(folder, ROUGH.format("RoughReference()"))
    assert main(["check", "pairs.py", *only, "--json", "beside.json"]) == 0
    assert ", 22 tolerances widened by the reference's own rounding error" in facts(folder, "beside.json")["headline"]
    assert main(["trace", "pairs.py", "--side", "reference", "--out", "r.safetensors"]) == 0
    if witness == "left out":
        with safe_open("r.safetensors", framework="numpy") as stream:
            metadata = stream.metadata()
        save_file({name: value for name, value in load_file("r.safetensors").items() if "/witness/" not in name}, "r.safetensors", metadata)
    declare(folder, ROUGH.format("crosscheck.recorded('r.safetensors')"))
    status = main(["check", "pairs.py", *only, "--no-shrink", "--json", "r.json"])
    if witness == "recorded":
        assert status == 0
        assert judged(facts(folder)) == judged(facts(folder, "beside.json"))
    else:
        assert status == 1
