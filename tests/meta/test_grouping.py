"""The workers of pytest-xdist keep to the groups that tests are put into: what one test of a group has compiled or trained, the others find there."""

from __future__ import annotations

import pytest


def test_tests_of_one_group_share_a_process(pytester: pytest.Pytester) -> None:
    """Some versions of pytest and pytest-xdist do not go together: groups are then ignored, without a word."""
    pytester.makepyfile(
        """
        import os
        import pytest

        @pytest.mark.xdist_group("together")
        @pytest.mark.parametrize("number", range(12))
        def test_process(number, tmp_path_factory):
            shared = tmp_path_factory.getbasetemp().parent / "process"
            if not shared.exists():
                shared.write_text(str(os.getpid()))
            assert shared.read_text() == str(os.getpid())
        """
    )
    result = pytester.runpytest_subprocess("-n", "2", "--dist", "loadgroup", "-p", "no:randomly")
    result.assert_outcomes(passed=12)
