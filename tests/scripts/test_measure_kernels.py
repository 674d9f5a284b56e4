"""The script that compares kernels and checkouts: its interval, and what it refuses."""

from __future__ import annotations

import json
import math
from pathlib import Path

import measure_kernels
import numpy as np
import pytest

from tests.support import ROOT


@pytest.mark.parametrize("count", [6, 9, 15, 40])
def test_interval_holds_the_median_in_95_of_100_and_none_within_it_does(count: int) -> None:
    """Of ranks instead of ratios, the probability can be counted: heads of as many coins."""
    _, low, high = measure_kernels.interval(range(1, count + 1))

    def holds(low: float, high: float) -> float:
        return float(sum(math.comb(count, below) for below in range(int(low), int(high))) / 2**count)

    assert holds(low, high) >= measure_kernels.CONFIDENCE > holds(low + 1, high - 1)
    assert low + high == count + 1


def test_interval_does_not_depend_on_the_order() -> None:
    ratios = np.random.default_rng(0).standard_normal(11).tolist()
    assert measure_kernels.interval(ratios) == measure_kernels.interval(sorted(ratios))


def test_measures_a_layer_and_a_step(tmp_path: Path) -> None:
    options = ["--rounds", "6", "--seconds", "0", "--beside", str(ROOT), "--json", str(tmp_path / "kernels.json")]
    assert measure_kernels.main([*options, "--only", "one image"]) == 0
    (row,) = json.loads((tmp_path / "kernels.json").read_text(encoding="utf-8"))
    assert row["name"] == "Linear(1352, 10), one image"
    assert 0 < row["ratio"][1] <= row["ratio"][0] <= row["ratio"][2]
    assert measure_kernels.main(["--rounds", "6", "--seconds", "0", "--only", "tutorial"]) == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [(["--rounds", "5"], "at least 6"), (["--beside", "nowhere"], "no folder scratch"), (["--only", "step"], "there are Conv2d(1, 32, 3)")],
)
def test_refused(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        measure_kernels.main(arguments)
    assert complaint in capsys.readouterr().err
