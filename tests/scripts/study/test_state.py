"""Results that a study keeps in a file: continued from, or refused with the reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from study.state import StateError, kept_in_words, opened, versions

RUN = {"seed": 0}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    state = opened(tmp_path / "state.json", False, RUN)
    state.add("one", {"figure": 1})
    state.save()
    return tmp_path / "state.json"


def test_kept_results_are_read_again(written: Path) -> None:
    state = opened(written, True, RUN)
    assert state.results == {"one": {"figure": 1}}
    assert state.how_to_go_on().startswith(f"1 results are in {written}")


def refused(key: str, result: object) -> None:
    raise ValueError(f"{key} is not a task")


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "no file": (lambda path: opened(None, True, RUN), "say --state FILE"),
    "not resumed": (lambda path: opened(path, False, RUN), "add --resume"),
    "another run": (lambda path: opened(path, True, {"seed": 1}), "seed: 0 there, 1 here"),
    "another task": (lambda path: opened(path, True, RUN, refused), "one is not a task"),
    "cut off": (lambda path: (path.write_text(path.read_text()[:-9]), opened(path, True, RUN)), "cannot be read as JSON"),
}


@pytest.mark.parametrize("name", WRONG)
def test_state_that_cannot_be_continued_from(name: str, written: Path) -> None:
    with pytest.raises(StateError, match=WRONG[name][1]):
        WRONG[name][0](written)


def test_promises_in_words() -> None:
    assert [kept_in_words(*one)[0] for one in ((True, True), (False, True), (False, False), (True, False))] == [0, 1, 1, 2]


def test_versions_of_what_is_missing() -> None:
    assert versions("no-such-package", missing="absent")["no-such-package"] == "absent"
    assert list(versions("no-such-package")) == ["python"]
