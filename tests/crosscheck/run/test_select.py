"""Patterns that select pairs and checks."""

from __future__ import annotations

import pytest

from crosscheck.run.select import selected
from tests.support import plain


@pytest.mark.parametrize("pattern", ["two  words", "two words", " two\nwords/values-*"], ids=["two-spaces", "one-space", "line"])
def test_white_space_does_not_matter(pattern: str) -> None:
    assert selected([plain.pair(name="two   words")], [pattern], [])
