"""The coverage matrix: a fault shows in its cell, a hole is an empty cell, and both make the exit status 1."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import coverage
import numpy as np
import pytest
from study.coverage import rows as coverage_rows
from study.coverage.matrix import Cell, Matrix, matrix
from study.coverage.pages import facts_of, render
from study.coverage.rows import plain, quantities, table

import scratch
from crosscheck.core.inputs import FAMILIES
from crosscheck.core.judge import Facts, Judgement, Kind, Verdict
from crosscheck.core.trace import Place
from tests.support import layer_runs, optimizer_runs
from tests.support.findings import Declared, Finding

COLUMNS = [("torch", "float64"), ("jax", "float64")]
TABLES = (layer_runs.twin_of, optimizer_runs.twin_of)


@pytest.fixture
def afresh() -> Iterator[None]:
    """Run the tables as they are now, and let no other test see what was found."""
    _ = layer_runs.elements(), optimizer_runs.elements()
    for cached in TABLES:
        cached.cache_clear()
    yield
    for cached in TABLES:
        cached.cache_clear()


def of(matrix: Matrix) -> dict[tuple[str, str, str, str], str]:
    """Return the verdict of each cell of a matrix."""
    return {(row.subject, row.quantity, *column): cell.verdict for row in matrix.rows for column, cell in row.cells.items()}


def measured(pattern: str, *options: str) -> Matrix:
    """Return the matrix of the rows that a pattern names."""
    return coverage_rows.measured(coverage.options_of(["--only", pattern, *options]))


def lines(verdict: str, quantities: tuple[str, ...], references: tuple[str, ...] = ("torch", "jax", "keras"), subject: str = "Tanh") -> Any:
    """Return the cells of a layer in both precisions, all with one verdict."""
    return {(subject, quantity, name, dtype): verdict for quantity in quantities for name in references for dtype in layer_runs.DTYPES}


@pytest.mark.usefixtures("afresh")
def test_right_layer(capsys: pytest.CaptureFixture[str]) -> None:
    assert coverage.main(["--only", "tanh"]) == 0
    assert capsys.readouterr().out.startswith(f"MATCH: 12 cells, {16 * len(FAMILIES)} quantities compared\n")


@pytest.mark.usefixtures("afresh")
def test_fault_shows_in_its_cells(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(scratch.Tanh, "backward", lambda self, grad: 2 * right(self, grad))
    found = measured("tanh")
    assert of(found) == lines("match", ("output",)) | lines("mismatch", ("grad_input",))
    assert found.status == 1
    assert found.faults[0].startswith("Tanh grad_input, torch float64: tanh-plain-n1-normal-float64-seed0-torch: ")


right = scratch.Tanh.backward


def no_entry(layer: object) -> Any:
    raise TypeError(f"no JAX twin for {type(layer).__name__}; add an entry to reference/jax.py")


@pytest.mark.usefixtures("afresh")
def test_reference_without_an_entry_is_a_hole(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(layer_runs.REFERENCES, "jax", layer_runs.Reference(no_entry))
    assert coverage.main(["--only", "Tanh"]) == 1
    shown = capsys.readouterr().out
    assert shown.startswith(f"MISMATCH: 12 cells, {12 * len(FAMILIES)} quantities compared; 4 cells empty without a reason\n")
    assert "Tanh output, jax float64: no JAX twin for Tanh; add an entry to reference/jax.py" in shown


@pytest.mark.usefixtures("afresh")
def test_optimizer_that_a_reference_has_not_is_a_hole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(optimizer_runs.REFERENCES, "jax", no_entry)
    found = measured("sgd-momentum")
    expected = lines("match", ("param", "momentum"), ("torch", "keras"), "SGD") | lines("empty", ("param", "momentum"), ("jax",), "SGD")
    assert of(found) == expected
    assert found.status == 1


def test_layer_without_a_row_is_a_hole(monkeypatch: pytest.MonkeyPatch) -> None:
    """What scratch exports and no table has stands in the matrix all the same."""
    monkeypatch.setattr(scratch, "__all__", [*scratch.__all__, "Softplus"])
    found = matrix(COLUMNS, quantities(table(), everything=True), [])
    assert ("Softplus", "output") in [(row.subject, row.quantity) for row in found.rows]


def finding(verdict: Verdict, declared: Declared | None = None, fraction: float = 0.0, reference: str = "torch") -> Finding:
    """Return a finding about the output of a layer."""
    judgement = Judgement(Place(0, "layer", "output"), Kind.ISOLATED, verdict, 1, fraction=fraction, reason="in words")
    return Finding("Layer", "output", reference, "float64", "run", judgement, declared)


def known(verdict: Verdict) -> Declared:
    return Declared("*", verdict, "a reason")


CELLS: dict[str, tuple[list[Finding], str, str, int]] = {
    "largest fraction": ([finding(Verdict.MATCH, fraction=0.25), finding(Verdict.MATCH, fraction=0.5)], "match", "0.5", 0),
    "equal": ([finding(Verdict.MATCH)], "match", "equal", 0),
    "undecided": ([finding(Verdict.MATCH), finding(Verdict.UNDECIDED)], "undecided", "undecided", 2),
    "undecided as declared": ([finding(Verdict.MATCH), finding(Verdict.UNDECIDED, known(Verdict.UNDECIDED))], "match", "equal", 0),
    "declared alone": ([finding(Verdict.MISMATCH, known(Verdict.MISMATCH))], "skipped", "-", 2),
    "declared and not so": ([finding(Verdict.MATCH, known(Verdict.MISMATCH))], "mismatch", "wrong", 1),
    "mismatch": ([finding(Verdict.UNDECIDED), finding(Verdict.MISMATCH)], "mismatch", "wrong", 1),
    "nothing": ([], "empty", "EMPTY", 1),
}


@pytest.mark.parametrize("name", CELLS)
def test_cell(name: str) -> None:
    """A cell is the worst of its runs; what was declared is a footnote."""
    findings, verdict, text, status = CELLS[name]
    found = matrix(COLUMNS[:1], [("Layer", "output")], map(plain, findings))
    cell: Cell = found.cells[0]
    assert (cell.verdict, cell.text, found.status) == (verdict, text, status)
    assert found.footnotes == ["a reason"] * ("declared" in name and verdict != "mismatch")


def page(findings: list[Finding]) -> str:
    found = matrix(COLUMNS, [("Layer", "output")], map(plain, findings))
    return render(facts_of(found, {"torch": "PyTorch <1>"}, {"Residual": "elsewhere"}, "command", 1.0))


def test_page_is_escaped() -> None:
    shown = page([finding(Verdict.MISMATCH, Declared("*", Verdict.MISMATCH, "<script>alert(1)</script>")), finding(Verdict.MATCH, fraction=0.25)])
    assert "<script>" not in shown
    assert "&lt;script&gt;alert(1)" in shown
    assert "PyTorch &lt;1&gt;" in shown


def test_page_is_self_contained() -> None:
    shown = page([finding(Verdict.MATCH)])
    assert "http" not in shown
    assert "EMPTY" in shown


@pytest.mark.usefixtures("afresh")
def test_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    html, machine = tmp_path / "m.html", tmp_path / "m.json"
    assert coverage.main(["--only", "flatten", "--html", str(html), "--json", str(machine)]) == 0
    facts = json.loads(machine.read_text(encoding="utf-8"))
    assert [row["quantity"] for row in facts["rows"]] == ["output", "grad_input"]
    assert {cell["text"] for row in facts["rows"] for cell in row["cells"]} == {"equal"}
    assert facts["command"] in html.read_text(encoding="utf-8")


@pytest.mark.usefixtures("afresh")
def test_every_pattern_counts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A fault in the layer that the first pattern names is in the matrix, whatever the last one names."""
    monkeypatch.setattr(scratch.Tanh, "backward", lambda self, grad: 2 * right(self, grad))
    assert coverage.main(["--only", "Tanh", "--only", "flatten"]) == 1
    shown = capsys.readouterr().out
    assert "\n  Tanh grad_input, torch float64: " in shown
    assert "│ Flatten " in shown


@pytest.mark.usefixtures("afresh")
def test_interrupted_run_continues(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It does not run again what it has, and fills the same matrix."""
    state, real, ran = tmp_path / "state.json", coverage_rows.run, list[str]()
    arguments = ["--only", "flatten", "--only", "tanh", "--state", str(state)]

    def run(row: coverage_rows.TableRow) -> Facts:
        ran.append(row.name)
        if len(ran) == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return real(row)

    monkeypatch.setattr(coverage_rows, "run", run)
    assert coverage.main(arguments) == 130
    assert f"1 results are in {state}; continue with the same command and --resume" in capsys.readouterr().err
    assert coverage.main([*arguments, "--resume"]) == 0
    assert sorted(ran) == ["flatten", "tanh"]
    resumed = capsys.readouterr().out
    assert coverage.main(arguments[:4]) == 0
    assert capsys.readouterr().out == resumed


@pytest.mark.slow("each process imports three frameworks and compiles its rows; what one process finds is shown by the tests above")
def test_processes_find_what_one_does() -> None:
    """Every row's findings come back, in order."""
    assert measured("relu*", "--jobs", "2") == measured("relu*")


REFUSED: dict[str, tuple[Callable[[Path], list[str]], str]] = {
    "unknown name": (lambda folder: ["--only", "conf2d"], "--only conf2d: no layer, optimizer or row"),
    "one unknown name of several": (lambda folder: ["--only", "conf2d", "--only", "tanh"], "--only conf2d: no layer, optimizer or row"),
    "other suffix": (lambda folder: ["--html", str(folder / "matrix.txt")], "has to end in .html"),
    "no folder": (lambda folder: ["--json", str(folder / "none" / "matrix.json")], "there is no folder"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_run(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, message = REFUSED[name]
    assert coverage.main(arguments(tmp_path)) == 2
    assert message in capsys.readouterr().err


def test_largest_fraction_of_each_column() -> None:
    findings = [finding(Verdict.MATCH, fraction=0.25), finding(Verdict.MATCH, fraction=0.5, reference="jax")]
    found = matrix(COLUMNS, [("Layer", "output")], map(plain, findings))
    assert np.array_equal(list(found.largest().values()), [0.25, 0.5])
