"""The count of judgements: each is counted once, in the file that made it, in one process or in two."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

JUDGING = """
import numpy as np
import pytest
from crosscheck.core.judge import Kind, judge
from crosscheck.core.precision import Bound, Precision
from crosscheck.core.trace import Place

@pytest.mark.parametrize("count", [1, 2])
def test_judges(count):
    one = np.ones(1)
    for _ in range(count):
        judge(Place(0, "layer", "output"), Kind.ISOLATED, one, one, Bound.exact(one), Precision(one.dtype, 1))
"""


@pytest.mark.parametrize("workers", ["0", "2"])
def test_judgements_are_counted(workers: str, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(JUDGING)
    options = ["-p", "tests.support.judged", "-p", "no:cacheprovider", "-n", workers, "--judged", "counts.json", "test_it.py"]
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import pytest; sys.exit(pytest.main({options!r}))"
    environment = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stdout
    assert json.loads((tmp_path / "counts.json").read_text()) == {"total": 3, "test_it.py": 3}
