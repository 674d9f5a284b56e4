"""What ends a study: its own exit status, an error in one line, or Ctrl-C."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from study import workers
from study.command import CANNOT, INTERRUPTED, StoppedError, carry_out, run
from study.state import State, StateError

from crosscheck.core.judge import Facts


def raises(error: BaseException) -> Callable[[], int]:
    def measure() -> int:
        raise error

    return measure


ENDS: dict[str, tuple[Callable[[], int], int, str]] = {
    "its own status": (lambda: 1, 1, ""),
    "wrong state": (raises(StateError("state.json: damaged")), CANNOT, "study: state.json: damaged\n"),
    "missing package": (raises(ModuleNotFoundError(name="keras")), CANNOT, "study: keras is not installed, and the study needs it: pip install"),
    "stopped": (raises(StoppedError("2 results are kept")), INTERRUPTED, "study: interrupted; 2 results are kept\n"),
    "Ctrl-C": (raises(KeyboardInterrupt()), INTERRUPTED, "study: interrupted; with --state FILE and --resume"),
}


@pytest.mark.parametrize("name", ENDS)
def test_end_of_a_study(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    measure, status, words = ENDS[name]
    assert run("study", measure) == status
    assert capsys.readouterr().err.startswith(words)


class Number(int):
    key = property(str)


def squared(task: Number) -> Facts:
    return {"square": task**2}


def test_only_what_is_left_is_carried_out(tmp_path: Path) -> None:
    state = State(tmp_path / "state.json", results={"2": {"square": "kept"}})
    assert carry_out(squared, [Number(2), Number(3)], state, here=True) == [{"square": "kept"}, {"square": 9}]
    assert json.loads((tmp_path / "state.json").read_text())["results"]["3"] == {"square": 9}


def test_run_that_was_stopped_says_how_to_continue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "here", lambda *given, **ways: ())
    with pytest.raises(StoppedError, match="with --state FILE"):
        carry_out(squared, [Number(2)], State(), here=True)
