"""The declaration of a training step."""

from __future__ import annotations

import pytest

from crosscheck.adapters.convention import ConventionError
from crosscheck.adapters.whole_step import WholeStep


def test_step_that_is_no_function() -> None:
    with pytest.raises(ConventionError, match="WholeStep's step is a int, expected a function of a batch and its labels"):
        WholeStep(3, {})  # type: ignore[arg-type]
