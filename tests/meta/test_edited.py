"""The layers whose source a study edits: each is right, and its source alone makes the same layer."""

from __future__ import annotations

import pytest
from study.edits.drawing import source_of
from study.edits.outcome import EQUAL, outcome_of
from study.edits.work import class_of

from tests.support.edited import LAYERS


@pytest.mark.parametrize("name", LAYERS)
def test_unedited_layer_matches(name: str) -> None:
    row = LAYERS[name]
    source = source_of(name, row.layer).edited()
    found = outcome_of(lambda: row.pair(class_of(source, row.layer.__name__)), seed=0, limit=60)
    assert (found.outcome, found.check, found.words) == (EQUAL, "", "")
