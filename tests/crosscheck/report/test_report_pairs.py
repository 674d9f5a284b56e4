"""The report on pairs: its verdicts, its words, its matrix, and that no name, reason or script escapes into markup or into a path."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from crosscheck.checks import CheckResult, checks_of
from crosscheck.checks.facts import check_facts, pair_facts
from crosscheck.core.files import NotWritableError
from crosscheck.core.inputs import FAMILIES
from crosscheck.core.judge import Facts, Judgement, Kind, Verdict, Worst
from crosscheck.core.trace import Place
from crosscheck.report.html import environment, render
from crosscheck.report.matrix import Cell, matrix
from crosscheck.report.terminal import show
from crosscheck.report.words import also_wrong, message, pair_line, summary_line, witness_in_words
from crosscheck.report.write import expect_reports_writable, write
from crosscheck.run.check import run_check
from tests.support import plain
from tests.support.pages import HOSTILE, NO_SHRINKING, Tags, checked, made, report, strict

MATCH, MISMATCH, UNDECIDED, SKIPPED = Verdict.MATCH, Verdict.MISMATCH, Verdict.UNDECIDED, Verdict.SKIPPED


def printed(facts: Facts) -> str:
    """Return what the terminal shows, unwrapped."""
    console = Console(file=io.StringIO(), width=500)
    show(facts, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_facts_are_json(tmp_path: Path) -> None:
    facts = report(checked(plain.pair(plain.Negated)), checked(plain.pair()))
    write(facts, [tmp_path / "r.json"])
    assert strict((tmp_path / "r.json").read_text()) == facts
    assert (facts["verdict"], facts["exit_status"]) == ("mismatch", 1)


def test_numbers_that_json_does_not_know_become_null(tmp_path: Path) -> None:
    """An infinite fraction and a NaN of the subject are told apart from a number, and the file stays JSON."""
    worst = Worst((0,), math.nan, 1.0)
    wrong = Judgement(Place(0, "Scale", "output"), Kind.ISOLATED, MISMATCH, 3, 1, math.inf, math.inf, worst, "NaN where a finite number is expected")
    pair = plain.pair()
    check = checks_of(pair)[0]
    facts = pair_facts(pair) | {"checks": [check_facts(check, CheckResult(check.name, MISMATCH, judgements=[("4x3", wrong)]), "again", 0.0)]}
    write(report(facts), [tmp_path / "r.json"])
    quantity = strict((tmp_path / "r.json").read_text())["pairs"][0]["checks"][0]["quantities"][0]
    assert quantity["fraction_of_tolerance"] is None
    assert quantity["worst_element"] == {"index": [0], "found": None, "expected": 1.0, "error": None, "tolerance": None}
    assert matrix(facts)[0].rows[0][1][0].text == "∞"


def hostile() -> Facts:
    facts = report(checked(plain.pair(plain.Negated)), made(verdict="undecided", counts_as="undecided"))
    facts["headline"] = facts["command"] = HOSTILE
    facts["environment"] = {HOSTILE: HOSTILE}
    for pair in facts["pairs"]:
        pair["name"], pair["inferred"], pair["references"] = HOSTILE, [HOSTILE], [HOSTILE]
        for check in pair["checks"]:
            check["reason"] = check["about"] = check["reproduce"] = check["expected_difference"] = HOSTILE
            check["notes"] = [HOSTILE]
            check["small_case"] = {"input_elements": 1, "script": HOSTILE, "file": HOSTILE}
            for quantity in check["quantities"]:
                quantity["layer"] = quantity["quantity"] = quantity["reason"] = HOSTILE
            if check["first_divergence"]:
                check["first_divergence"] |= {"layer": HOSTILE, "quantity": HOSTILE, "source": HOSTILE, "cause_in_words": HOSTILE, "reason": HOSTILE}
    facts["pairs"].append(facts["pairs"][1] | {"error": HOSTILE, "checks": []})
    return facts


def test_texts_are_escaped() -> None:
    page = Tags(render(hostile()))
    assert not {"script", "b"} & page.tags
    assert not [name for name in page.attributes if name.startswith("on")]
    assert page.text.count(HOSTILE) > 20


def test_page_without_escaping_would_be_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    careless = environment().overlay(autoescape=False)
    monkeypatch.setattr("crosscheck.report.html.environment", lambda: careless)
    page = Tags(render(hostile()))
    assert {"script", "b"} <= page.tags


def test_markup_of_the_terminal_is_not_obeyed() -> None:
    facts = report(made(verdict="undecided", counts_as="undecided", reason="[bold]x[/bold] [/nothing]"))
    assert "[bold]x[/bold] [/nothing]" in printed(facts)


def test_page_needs_nothing_from_elsewhere() -> None:
    page = render(report(checked(plain.pair(plain.Negated))))
    assert "http" not in page
    assert not {"link", "script", "img", "iframe"} & Tags(page).tags


BAD_NAMES = {
    "above": "../../escape",
    "absolute": "/etc/passwd",
    "separators": "a/b\\c",
    "newline": "a b\n",
    "dots": "..",
    "empty": "",
    "device": "con",
    "unicode": "ü/ß \N{GREEK SMALL LETTER ETA}",
    "long": "x" * 500,
    "nul": "a\x00b",
    "surrogate": "\ud800",
}


@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES)
def test_small_case_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    """Whatever a pair is called, its script lies beside the report."""
    facts = report(made(small_case={"input_elements": 1, "script": "print()\n", "file": ""}) | {"name": name})
    (tmp_path / "deep").mkdir()
    write(facts, [tmp_path / "deep" / "r.json"])
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(path.parent.name for path in written) == ["deep", "r-small-cases"]
    script = Path(facts["pairs"][0]["checks"][0]["small_case"]["file"])
    assert script.read_text() == "print()\n"


def test_two_names_are_two_files(tmp_path: Path) -> None:
    case = {"input_elements": 1, "script": "print()\n"}
    pairs = [made(small_case=case | {"file": ""}) | {"name": name} for name in ("a/b", "a-b")]
    write(report(*pairs), [tmp_path / "r.json"])
    assert len(list((tmp_path / "r-small-cases").iterdir())) == 2


def test_matrix_has_a_row_a_quantity_and_a_column_a_family() -> None:
    double, single = matrix(checked(plain.pair(plain.Negated)))
    assert (double.name, single.name) == ("values-float64", "values-float32")
    assert double.columns[:3] == ["normal", "digits", "ties"]
    assert [name for name, _ in double.rows] == ["output", "grad_input", "weight.grad"]
    assert {cell.verdict for cell in double.rows[0][1]} == {"match"}
    assert {cell.verdict for cell in double.rows[2][1]} == {"mismatch"}


def test_matrix_shows_what_was_not_compared() -> None:
    """A precision that the subject does not compute in is there, with its reason, not missing."""
    single = matrix(checked(plain.pair(dtypes=("float64",))))[1]
    cells = [cell for _, row in single.rows for cell in row]
    assert {cell.verdict for cell in cells} == {"skipped"}
    assert {cell.reason for cell in cells} == {"your code is declared to compute in float64"}


def test_check_that_matched_without_a_quantity_is_an_empty_cell() -> None:
    assert matrix(made())[0].rows == [("", [Cell()])]


def test_message_reads_from_the_top_down() -> None:
    pair = plain.pair(plain.Negated)
    check = checks_of(pair)[0]
    lines = message(check_facts(check, run_check(pair, check, NO_SHRINKING), "do it again", 0.0), "the test").split("\n")
    assert lines[0] == "MISMATCH: the test"
    headings = [line[2:16].strip() for line in lines[1:] if line[2:16].strip()]
    assert headings == ["where", "computed in", "error", "likely cause", "worst element", "reproduce"]


def test_contract_is_told_in_its_own_words() -> None:
    pair = plain.pair(plain.WritesToInput)
    check = next(check for check in checks_of(pair) if check.name == "contract-inputs_are_left_alone")
    text = message(check_facts(check, run_check(pair, check, NO_SHRINKING), "again", 0.0), "the test")
    assert "changed in place: input" in text
    assert "looks for     Forward or backward changes the input, the upstream gradient or the labels." in text


def test_other_mismatches_are_told_once_for_each_quantity() -> None:
    facts = checked(plain.pair(plain.Negated))
    assert list(also_wrong(facts, facts["checks"][0])) == [
        f"weight.grad in {2 * len(FAMILIES) - 1} other checks: values-float64-digits, values-float64-ties, values-float64-kinks, ..."
    ]


def test_expected_difference_is_told() -> None:
    facts = report(checked(plain.pair(plain.WritesToInput, expected={"contract-*alone": "saves memory"}), "contract-inputs"), made())
    assert "1 check is expected to differ" in facts["headline"]

    assert "contract-inputs_are_left_alone: saves memory" in printed(facts)
    assert "saves memory" in Tags(render(facts)).text


def narrow(facts: Facts) -> list[str]:
    console = Console(file=io.StringIO(), width=40)
    show(facts, console)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_what_is_to_be_copied_is_not_broken() -> None:
    line = f"crosscheck check {'long' * 20}/mine.py --only 'a  pair/values-float64-normal'"
    case = {"input_elements": 1, "script": "", "file": f"{'long ' * 20}.py"}
    lines = narrow(report(made(verdict="mismatch", counts_as="mismatch", reproduce=line, small_case=case)))
    assert any(shown.endswith(f" {line}") for shown in lines)
    assert any(shown.endswith(f" python '{case['file']}'  (1 input element)") for shown in lines)


def alike(verdict: str, *, reproduce: str = "again", **changes: Any) -> Facts:
    pair = made(verdict=verdict, counts_as=verdict, **changes)
    return pair | {"checks": [pair["checks"][0] | {"check": f"contract-{name}", "reproduce": f"{reproduce} {name}"} for name in "abcde"]}


def test_undecided_checks_of_one_reason_are_one_row() -> None:
    text = printed(report(alike("undecided", reason="who knows", about="the claim")))
    assert text.count("who knows") == 1
    assert "5 checks, contract-a, contract-b, contract-c, ...: who knows" in text
    assert "the claim" not in text, "what was not found is not said"
    assert "again a" in text
    assert "again b" not in text


def test_contracts_broken_for_one_reason_are_one_row() -> None:
    pair = alike("mismatch", reason="raised")
    assert list(also_wrong(pair, pair["checks"][0])) == ["4 checks, contract-b, contract-c, contract-d, ...: raised"]


def test_message_names_the_small_case_and_does_not_print_it() -> None:
    case = {"input_elements": 4, "script": "print('the script')\n", "file": ""}
    text = message(made(verdict="mismatch", small_case=case)["checks"][0], "the test")
    assert "small case    4 input elements; --crosscheck-report saves it as a script" in text
    assert "the script'" not in text


def test_two_reports_in_one_file_are_refused(folder: Path) -> None:
    (folder / "link.html").symlink_to(folder / "a.json")
    with pytest.raises(NotWritableError, match=r"link\.html: is named twice"):
        expect_reports_writable([Path("a.json"), Path("link.html")])


def test_pair_in_one_line() -> None:
    right, wrong = checked(plain.pair(), "values-"), checked(plain.pair(plain.Negated), "values-")
    assert summary_line(right) == pair_line(right)
    assert summary_line(wrong).startswith("weight.grad in values-float64-normal: ")


def test_witness_that_widened_a_tolerance() -> None:
    text = witness_in_words({"same_precision_reference": {"reference_fraction_of_theory": None, "subject_fraction_of_theory": 2.0}})
    assert ("infinitely" in text, "2 times" in text) == (True, True)
