"""A closed loop: the subject computes what an edited program computes, and the search finds an edit that computes the same on every call."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest

from crosscheck.causes.variants.explanation import Explanation, Mode
from crosscheck.causes.variants.program import Program
from crosscheck.causes.variants.search import Search, judged
from crosscheck.causes.variants.trial import holds
from crosscheck.core.guard import silenced
from crosscheck.core.judge import Verdict
from tests.support.edited_programs import Edited, Loop, loop

FEW = {"layer norm": 2, "softmax": 3, "causal attention": 2, "conv2d": 3, "cross-entropy": 3, "batch norm": 2, "RNN": 1, "GRU": 1, "LSTM": 1}
"""How many edits that change a result are drawn for each mode."""

LONG = {"GRU": (Mode.DERIVED, Mode.BACKWARD), "LSTM": (Mode.CARRIED, Mode.RIGHT)}
"""Layers of so many edits that each mode is tried on one of them."""

MANY = {name: 30 if count > 1 else 4 for name, count in FEW.items()} | {"RNN": 6, "attention in heads": 10, "max pool": 10, "BCE with logits": 30}


@cache
def layer(name: str) -> Loop:
    return loop(name)


def explained(one: Loop, edited: Edited, explanation: Explanation) -> bool:
    """Return whether an explanation computes the same as an edit, on the failing call and on one that the search was not shown."""
    for call in (one.call, one.unseen):
        example = one.edited(call, edited)
        if example is None:
            continue
        base = one.programs.values(explanation.program, example)
        if not holds(explanation, example, base) or (example.wrong and judged(explanation, example, base).verdict is not Verdict.MATCH):
            return False
    return True


def missed(name: str, mode: Mode, count: int) -> Iterator[str]:
    """Yield the edits, of a sample, whose results no explanation computes."""
    one, judged_wrong = layer(name), 0
    for edited in one.drawn(mode, 20 * count):
        if judged_wrong < count and (subject := one.computed(edited)) is not None:
            judged_wrong += 1
            with silenced():
                found = one.search(subject.example, subject.again, subject.elsewhere).run()
                right = bool(found) and explained(one, edited, found[0])
            if not right:
                yield f"{edited.form}: {edited.words} {edited.key}"
    assert judged_wrong == count


@pytest.mark.parametrize(("name", "mode"), [(name, mode) for name in FEW for mode in LONG.get(name, tuple(Mode))])
def test_edit_is_found_by_its_results(name: str, mode: Mode) -> None:
    assert [*missed(name, mode, FEW[name])] == []


@pytest.mark.slow("takes two minutes; test_edit_is_found_by_its_results does the same with fewer edits")
@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("name", MANY)
def test_many_edits_are_found_by_their_results(name: str, mode: Mode) -> None:
    assert [*missed(name, mode, MANY[name])] == []


def test_edit_that_is_not_tried_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, search = [*layer("softmax").drawn(Mode.BACKWARD, 160)], Search._listed

    def of_few(self: Search, program: Program) -> Iterator[list[Explanation]]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.programs, "edits", lambda program, forward: [])
            yield from search(self, program)

    monkeypatch.setattr(Search, "_listed", of_few)
    monkeypatch.setattr(Loop, "drawn", lambda self, mode, most: drawn)
    assert len([*missed("softmax", Mode.BACKWARD, 8)]) > 4
