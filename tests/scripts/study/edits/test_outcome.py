"""What the checks say about an edited layer: equal, crashed, or seen, with the first wrong quantity and its causes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from study.edits.drawing import source_of
from study.edits.outcome import CRASHED, EQUAL, SEEN, Outcome, outcome_of
from study.edits.results import result_of
from study.edits.tasks import TWO_EDITS, Task, planned, run
from study.edits.work import class_of

from crosscheck.core.guard import TimeLimitError
from tests.support.edited import LAYERS

EDITS = {
    "nothing": ("dense", "x @ self.W", "x @ self.W * 1", EQUAL, "", ""),
    "wrong number": ("dense", "axis=0)", "axis=0) * 2", SEEN, "bias.grad", "edit: multiplied"),
    "wrong output": ("MSE", "self.error**2)", "self.error**3)", SEEN, "output", "edit: cube"),
    "raises": ("dense", "dout @ self.W.T", "dout @ self.V.T", CRASHED, "", ""),
    "does not compile to a layer": ("dense", "def forward", "def forwards", CRASHED, "", ""),
    "shape": ("dense", "return x @ self.W + self.b", "return x @ self.W[:, :3] + self.b[:3]", CRASHED, "", ""),
    "not finite": ("tanh", "dout * (1 -", "np.inf * dout * (1 -", CRASHED, "", ""),
    "hangs": ("tanh", "return dout", "while True: pass\n        return dout", CRASHED, "", ""),
    "contract": ("ReLU", "dout.copy()", "dout", SEEN, "", ""),
}


def outcome(layer: str, old: str, new: str, search: bool = True) -> Outcome:
    row = LAYERS[layer]
    source = source_of(layer, row.layer).edited().replace(old.replace("**", " ** "), new)
    assert new in source
    return outcome_of(lambda: row.pair(class_of(source, row.layer.__name__)), 0, 2, search)


@pytest.mark.parametrize("name", EDITS)
def test_outcome(name: str) -> None:
    layer, old, new, expected, quantity, cause = EDITS[name]
    found = outcome(layer, old, new)
    assert (found.outcome, found.quantity) == (expected, quantity), found
    assert [name for _, name, _ in found.causes] == [cause] * bool(cause)


def test_search_is_measured_and_can_be_left_out() -> None:
    layer, old, new, *_ = EDITS["wrong number"]
    found, without = outcome(layer, old, new), outcome(layer, old, new, search=False)
    assert found.seconds > found.search_seconds > 0
    assert (without.causes, without.search_seconds) == ([], 0)
    assert without.worst == found.worst


def test_search_that_takes_too_long_leaves_the_cause_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The edit is seen all the same: it does not count as code that hangs."""

    def endless(failure: object, edits: object) -> None:
        raise TimeLimitError

    monkeypatch.setattr("study.edits.outcome.original", endless)
    layer, old, new, *_ = EDITS["wrong number"]
    found = outcome(layer, old, new)
    assert (found.outcome, found.causes, found.words) == (SEEN, [], "the search for causes exceeded the time limit")


def test_two_edits_show_in_one_quantity_and_none_hides_the_other() -> None:
    task = Task("noise", "n000", "SiLU", TWO_EDITS, seed=0, limit=20, number=0)
    found = result_of(task.key, run(task))
    assert found.outcome == SEEN
    assert found.fault.count(" AND ") == 1
    again = result_of(task.key, run(task))
    assert replace(again, seconds=0, search_seconds=0) == replace(found, seconds=0, search_seconds=0)


def test_plan_depends_on_the_seed_alone() -> None:
    sources = [source_of(name, LAYERS[name].layer) for name in ("ReLU", "softmax")]
    assert planned(sources, 5, 5, 1, 20) == planned(sources, 5, 5, 1, 20)
    assert [task.key for task in planned(sources, 5, 5, 1, 20)] != [task.key for task in planned(sources, 5, 5, 2, 20)]
