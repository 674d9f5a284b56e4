"""The operations of PyTorch's own test database as graphs: which of them have one, and that it computes the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from crosscheck.references.noise import names
from tests.support import ROOT, SUPPORT

pytestmark = pytest.mark.slow("writes PyTorch's whole test database as graphs; test_graph.py judges the operations that layers use")

WITHOUT = names(
    """
    _segment_reduce.lengths _segment_reduce.offsets angle as_strided as_strided.partial_views as_strided_copy as_strided_scatter atan2 bernoulli
    bfloat16 cholesky cholesky_inverse cholesky_solve combinations copysign corrcoef cov diagonal_scatter digamma erfinv fft.hfft fft.hfft2
    fft.hfftn fft.irfft fft.irfft2 fft.irfftn float frexp half i0 index_reduce.amax index_reduce.amin index_reduce.mean index_reduce.prod lgamma
    linalg.cholesky linalg.cholesky_ex linalg.cond linalg.det linalg.eigh linalg.eigvalsh linalg.householder_product linalg.inv linalg.inv_ex
    linalg.lstsq.grad_oriented linalg.lu_factor linalg.lu_factor_ex linalg.lu_solve linalg.pinv linalg.pinv.hermitian linalg.pinv.singular
    linalg.qr linalg.slogdet linalg.solve linalg.solve_ex linalg.solve_triangular linalg.svd linalg.svdvals linalg.tensorinv linalg.tensorsolve
    logdet lu lu_solve masked.median masked_scatter masked_select matrix_exp mode mvlgamma.mvlgamma_p_1 mvlgamma.mvlgamma_p_3
    mvlgamma.mvlgamma_p_5 nanmedian nextafter nn.functional.fractional_max_pool2d nn.functional.fractional_max_pool3d
    nn.functional.gaussian_nll_loss nn.functional.multi_head_attention_forward norm.nuc normal normal.number_mean ormqr pca_lowrank pinverse
    polygamma.polygamma_n_0 polygamma.polygamma_n_1 polygamma.polygamma_n_2 polygamma.polygamma_n_3 polygamma.polygamma_n_4 put qr
    round.decimals_3 round.decimals_neg_3 scatter_reduce.amax scatter_reduce.amin scatter_reduce.mean scatter_reduce.prod special.erfcx
    special.i0e special.i1 special.i1e special.log_ndtr special.ndtri special.polygamma.special_polygamma_n_0 stft svd svd_lowrank
    triangular_solve
    """
)
"""Operations of which no sample has a graph; none may be added."""


@pytest.fixture(scope="module")
def database() -> dict[str, Any]:
    """Return what became of the operations."""
    # Importing the database changes settings of the whole process.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])}
    command = [sys.executable, str(SUPPORT / "graphs_of_database.py")]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)  # noqa: S603 - this repository's own program
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("finding", ["other", "raised"])
def test_every_graph_computes_what_pytorch_computes(database: dict[str, Any], finding: str) -> None:
    assert database[finding] == {}


def test_no_further_operation_is_without_a_graph(database: dict[str, Any]) -> None:
    assert database["without"].keys() - database["right"].keys() == WITHOUT
