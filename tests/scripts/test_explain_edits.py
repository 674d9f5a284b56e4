"""The command that measures explanations: its exit status follows the verdicts, and verdicts by hand make the figures reproducible."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import explain_edits
import pytest
from study import workers
from study.edits import study
from study.edits.tasks import EDIT, HALF, Task

from crosscheck.core.judge import Facts

Says = Callable[[Task], str]
"""Returns the sentence of a report; empty if no cause is named."""

TWELVE = ["--edits", "12", "--noise", "4", "--layers", "dense"]


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "results", workers.here)


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> Callable[[Says], None]:
    """Replace the checks: every task is seen in the output, and the report says what a function returns."""

    def replace(says: Says) -> None:
        def run(task: Task) -> Facts:
            causes = [("output", "a cause", says(task))] if says(task) else []
            return {
                "outcome": "seen",
                "check": "values-float64-normal",
                "quantity": "output",
                "causes": causes,
                "seconds": 2.0,
                "search_seconds": 0.5,
            }

        monkeypatch.setattr(study, "run", run)

    return replace


def of_edits(task: Task) -> str:
    return "in words" if task.group == EDIT else ""


def verdicts(path: Path, verdict: Callable[[int], str]) -> None:
    """Enter verdicts by hand into the file that the command has written."""
    entries = json.loads(path.read_text())
    path.write_text(json.dumps([entry | {"verdict": verdict(number)} for number, entry in enumerate(entries)]))


def judged(folder: Path, verdict: Callable[[int], str], status: int) -> Facts:
    """Run without verdicts, enter them, run with them; return what is written then."""
    entered, results = folder / "verdicts.json", folder / "edits.json"
    assert explain_edits.main([*TWELVE, "--to-judge", str(entered)]) == 2
    verdicts(entered, verdict)
    assert explain_edits.main([*TWELVE, "--judged", str(entered), "--json", str(results)]) == status
    facts: Facts = json.loads(results.read_text())
    return facts


def test_right_explanations(reports: Callable[[Says], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reports(of_edits)
    facts = judged(tmp_path, lambda number: "right" if number < 9 else "half", 0)
    assert (facts["edits"]["right"], facts["edits"]["half"], facts["judged_by"]) == (9, 3, {"rule": 0, "hand": 12})
    assert facts["edits"]["seconds"] == {"median": 2.0, "worst": 2.0}
    assert facts["edits"]["seconds_without_search"]["median"] == 1.5
    shown = capsys.readouterr().out
    assert "COULD NOT BE CHECKED: 0 of 12 edits explained rightly" in shown
    assert "KEPT: 9 of 12 edits explained rightly (75 %), 3 half, 0 wrong, 0 unknown; 0 of 4 faults" in shown
    assert "judged by rule: 0; by hand: 12; still to be judged: 0" in shown


def test_wrong_explanation(reports: Callable[[Says], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence of twelve that is not true is more than one in a hundred."""
    reports(of_edits)
    facts = judged(tmp_path, lambda number: "right" if number else "wrong", 1)
    assert (facts["edits"]["right"], facts["edits"]["wrong"]) == (11, 1)
    assert "explained wrongly: e0" in capsys.readouterr().out


def test_too_few_right_explanations(reports: Callable[[Says], None], tmp_path: Path) -> None:
    reports(of_edits)
    assert judged(tmp_path, lambda number: "right" if number < 8 else "half", 1)["edits"]["half"] == 4


def test_silence_is_not_right(reports: Callable[[Says], None]) -> None:
    reports(lambda task: "")
    assert explain_edits.main(TWELVE) == 1


def test_false_explanation(reports: Callable[[Says], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A cause that is named for half of the elements scaled is false by rule, unless a verdict by hand says that it is true."""
    reports(lambda task: "in words" if task.group == EDIT or task.kind == HALF else "")
    wanted = [*TWELVE[:3], "30", *TWELVE[4:]]
    results = tmp_path / "edits.json"
    assert explain_edits.main([*wanted, "--json", str(results)]) == 1
    facts = json.loads(results.read_text())
    assert facts["false"] == facts["noise"][HALF]["seen"] > 0
    assert "explained falsely: n0" in capsys.readouterr().out
    rows = [row for row in facts["rows"] if row["sentence"]]
    by_hand = [{**row, "verdict": "right" if row["group"] == EDIT else "true"} for row in rows]
    (tmp_path / "judged.json").write_text(json.dumps(by_hand))
    assert explain_edits.main([*wanted, "--judged", str(tmp_path / "judged.json")]) == 0


def test_verdict_on_another_sentence_is_void(reports: Callable[[Says], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reports(of_edits)
    judged(tmp_path, lambda number: "right", 0)
    reports(lambda task: of_edits(task) and "in other words")
    assert explain_edits.main([*TWELVE, "--judged", str(tmp_path / "verdicts.json")]) == 2
    assert "a verdict by hand belongs to no row of this run: e000" in capsys.readouterr().out


def test_verdicts_are_not_overwritten(reports: Callable[[Says], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reports(of_edits)
    judged(tmp_path, lambda number: "right" if number else "", 2)
    path = str(tmp_path / "verdicts.json")
    assert explain_edits.main([*TWELVE, "--to-judge", path]) == 2
    assert "it exists, and may hold verdicts" in capsys.readouterr().err
    assert explain_edits.main([*TWELVE, "--to-judge", path, "--judged", path]) == 2
    entries = json.loads(Path(path).read_text())
    assert sorted(entry["verdict"] for entry in entries) == ["", *["right"] * 11]


def test_failed_task_leaves_the_promise_open(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(study, "run", lambda task: {"failed": "its process died"})
    assert explain_edits.main(TWELVE) == 2
    assert "could not be checked: e000" in capsys.readouterr().out


def test_same_seed_gives_the_same_results(tmp_path: Path) -> None:
    """Real checks: some edits of two small layers, twice, the second time from the state of the first."""
    wanted = ["--edits", "6", "--noise", "2", "--layers", "*ReLU", "--seed", "5"]
    written = []
    for name, further in (("one", ["--state", "state.json"]), ("two", []), ("three", ["--state", "state.json", "--resume"])):
        file = tmp_path / f"{name}.json"
        state = [str(tmp_path / one) if one.endswith(".json") else one for one in further]
        explain_edits.main([*wanted, *state, "--json", str(file), "--table", str(tmp_path / f"{name}.md")])
        written.append(json.loads(file.read_text()))
    one, two, three = ([{what: row[what] for what in row if "seconds" not in what} for row in facts["rows"]] for facts in written)
    assert one == two == three
    assert written[0]["rows"] == written[2]["rows"]
    assert {row["outcome"] for row in one} <= {"equal", "crashed", "undecided", "seen"}
    table = (tmp_path / "one.md").read_text().splitlines()
    assert sum(line.startswith("| e00") for line in table) == 6
    assert (tmp_path / "one.md").read_text().count("\n| n00") == 2


def test_unknown_layer(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain_edits.main(["--layers", "nothing"]) == 2
    assert "no layer of tests/support/edited has such a name; there are dense, ReLU" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "name", "words"), [("--table", "edits.txt", "has to end in .md"), ("--to-judge", "edits.md", "has to end in .json")]
)
def test_file_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, name: str, words: str) -> None:
    assert explain_edits.main([option, str(tmp_path / name)]) == 2
    assert words in capsys.readouterr().err
