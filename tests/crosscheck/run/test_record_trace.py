"""What one side computes, as a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from crosscheck.run.cli import main
from tests.support.command import declare_pair, recorded_both


def test_trace_holds_what_it_takes_to_compute_elsewhere(folder: Path) -> None:
    """Inputs, results and tolerances are plain arrays with telling names."""
    recorded_both(folder, "pair()", "--only", "values-float64-normal")
    arrays = load_file(folder / "r.safetensors")
    x, weight = arrays["0/0/given/x"], arrays["0/0/given/params.weight"]
    assert x.shape == (4, 3)
    assert np.array_equal(arrays["0/0/expected/output"], x * weight)
    assert np.array_equal(arrays["0/0/abs_sum/output"], np.abs(x * weight))
    assert arrays["0/0/n_roundings/weight.grad"] == 4.0  # one number for all elements


@pytest.mark.parametrize("side", ["subject", "reference"])
def test_pair_without_a_reference_is_not_recorded(folder: Path, side: str, capsys: pytest.CaptureFixture[str]) -> None:
    declare_pair(folder, "crosscheck.Pair(Scale(), None, shapes=[(4, 3)])")
    assert main(["trace", "pairs.py", "--side", side, "--out", "t.safetensors"]) == 2
    out = capsys.readouterr().out
    assert "reference" in out
    assert out.count("Scale: ") == 1, "the pair is named once"
