"""PyTorch's operations one by one: each is in a table, right ways agree, a small relative fault is seen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812 - its usual name

from crosscheck.core.check_layer import context_of
from crosscheck.core.inputs import FAMILIES
from crosscheck.core.judge import Judgement, Kind, Verdict, judge
from crosscheck.core.operation import Call
from crosscheck.core.precision import Precision
from crosscheck.core.trace import Place
from crosscheck.oracles.theories import Measured
from crosscheck.oracles.theories.measured import SCALES
from crosscheck.references.pytorch.noise.fused import STEPS
from crosscheck.references.pytorch.noise.perturbed import Noise
from crosscheck.references.pytorch.noise.rules import RULES
from crosscheck.references.pytorch.noise.table import is_known
from crosscheck.references.pytorch.oracle import TorchOracle
from tests.support import ROOT, SUPPORT
from tests.support.operation_cases import CASES

SINGLE = Precision(np.dtype(np.float32), 100_000)
OWN = "own kernel"
FAULT = 1e-3


def judged(reference: Any, way: Any, shape: tuple[int, ...], family: str, fault: float = 0.0) -> list[Judgement]:
    """Return the verdicts of the theory alone on a way to compute a reference in single precision."""
    rng = np.random.default_rng(zlib.crc32(family.encode()))
    oracle = TorchOracle(reference, Measured())
    call = Call(FAMILIES[family].input(rng, shape, np.float32))
    output = oracle.vjp(call.astype(np.float64))["output"]
    call = Call(call.x, {}, FAMILIES[family].grad_output(rng, output.shape, np.float32))
    context = context_of(oracle, call, SINGLE)
    assert context.expected, context.undecided
    found = {name: value * np.float32(1 + fault) for name, value in TorchOracle(way, Measured()).vjp(call).items()}
    return [judge(Place(0, "operation", name), Kind.ISOLATED, found[name], context.expected[name], context.bounds[name], SINGLE) for name in found]


ROWS = [(name, way, family) for name, case in CASES.items() for way in (OWN, *case.ways) for family in case.families]


@pytest.mark.slow(
    "every rule on every family; the rows show each kind of rule",
    default=[
        "fft-by a matrix-normal",
        "interpolate linear-written out-offset",
        "interpolate bicubic-own kernel-normal",
        "solve-by qr-normal",
        "cholesky-by columns-normal",
        "singular values-transposed-normal",
        "running logarithm-sum by sum-normal",
        "product-backwards-wide",
        "distances-written out-offset",
        "batched product-sum by sum-wide",
        "softplus-by logaddexp-large",
        "group norm-own kernel-offset",
        "bag-own kernel-normal",
    ],
)
@pytest.mark.parametrize(("name", "way", "family"), ROWS, ids=["-".join(row) for row in ROWS])
def test_right_way_agrees(name: str, way: str, family: str) -> None:
    case = CASES[name]
    judgements = judged(case.reference, case.ways.get(way, case.reference), case.shape, family)
    assert [
        (judgement.place.quantity, judgement.verdict, judgement.fraction) for judgement in judgements if judgement.verdict is not Verdict.MATCH
    ] == []


@pytest.mark.slow("every rule; the rows show a transform, an interpolation, an equation", default=["fft", "interpolate bicubic", "solve"])
@pytest.mark.parametrize("name", [name for name in CASES if name != "running maximum"])
def test_relative_fault_is_seen(name: str) -> None:
    case = CASES[name]
    judgements = judged(case.reference, case.reference, case.shape, "normal", FAULT)
    assert {judgement.verdict for judgement in judgements} == {Verdict.MISMATCH}


OF_ONE: dict[str, Any] = {
    "layer norm": (lambda x: F.layer_norm(x, (1,)), (4, 1)),
    "layer norm with weight and bias": (lambda x: F.layer_norm(x, (1,), x.new_tensor([1.5]), x.new_tensor([0.3])), (4, 1)),
    "group norm": (lambda x: F.group_norm(x, 3), (2, 3, 1)),
    "group norm with weight and bias": (lambda x: F.group_norm(x, 3, x.new_tensor([1.5, -1, 0.7]), x.new_tensor([1, 2, 0.3])), (2, 3, 1)),
}


@pytest.mark.parametrize("family", ["normal", "large", "offset"])
@pytest.mark.parametrize("name", OF_ONE)
def test_normalisation_of_one_number(name: str, family: str) -> None:
    """The number less its mean is exactly 0, and its gradient, too; PyTorch's own kernels leave some rounding there, multiplied by 1 / sqrt(eps)."""
    reference, shape = OF_ONE[name]
    exactly = {
        verdict for way in (reference, lambda x: reference(x * 0) + 0 * x) for verdict in (j.verdict for j in judged(reference, way, shape, family))
    }
    assert exactly == {Verdict.MATCH}


FOUND = """
    _adaptive_avg_pool3d _adaptive_avg_pool3d_backward _cdist_backward _cdist_forward _conj_physical _ctc_loss _ctc_loss_backward _embedding_bag
    _embedding_bag_backward _embedding_bag_per_sample_weights_backward _fft_c2c _fft_c2r _fft_r2c _linalg_det _linalg_eigh _linalg_slogdet
    _linalg_solve_ex _linalg_svd _pdist_backward _pdist_forward _segment_reduce_backward _upsample_bilinear2d_aa _upsample_bilinear2d_aa_backward
    _upsample_nearest_exact1d_backward adaptive_max_pool2d_backward adaptive_max_pool3d_backward addbmm angle as_strided_scatter bessel_i0 bessel_i0e
    bessel_i1e cholesky cholesky_inverse cholesky_solve cummax cummin fmod frexp grid_sampler_2d_backward grid_sampler_3d grid_sampler_3d_backward
    hardshrink_backward index_reduce kthvalue linalg_cholesky_ex linalg_eig linalg_householder_product linalg_inv_ex linalg_lstsq linalg_lu
    linalg_lu_factor_ex linalg_lu_solve linalg_matrix_exp linalg_pinv linalg_qr linalg_solve_triangular logcumsumexp lu_unpack masked_scatter
    masked_scatter_backward mode multi_margin_loss_backward multilabel_margin_loss_backward nanmedian ormqr polygamma prod put reflection_pad3d
    reflection_pad3d_backward remainder replication_pad3d_backward scatter_reduce segment_reduce softshrink_backward triangular_solve
    upsample_bicubic2d_backward upsample_trilinear3d_backward
"""
"""What the database's operations consist of and PyTorch's decompositions do not cover."""


@pytest.mark.parametrize("name", FOUND.split())
def test_operation_is_in_a_table(name: str) -> None:
    assert is_known(name) or name in RULES or name in STEPS


@pytest.fixture(scope="module")
def database() -> dict[str, Any]:
    """Return what the operations of PyTorch's own test database come to."""
    # Importing it changes settings of the whole process.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])}
    command = [sys.executable, str(SUPPORT / "operations_of_database.py")]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)  # noqa: S603 - this repository's own program
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


@pytest.mark.slow("carries out PyTorch's whole test database; test_operation_is_in_a_table names what was found there")
@pytest.mark.parametrize("finding", ["unknown", "other", "raised"])
def test_no_operation_of_the_database_is_left_out(database: dict[str, Any], finding: str) -> None:
    """No operation is perturbed as if nobody had heard of it, taken apart into something else, or not carried out at all."""
    assert (database[finding], database["operations"] > 400) == ({}, True)


def perturbed(function: Any, *tensors: Any) -> Any:
    with Noise(SCALES[0], 1):
        return function(*tensors)


def strayed(function: Any, *tensors: Any) -> float:
    """Return how far the first result strays, relative to the largest of its numbers, in multiples of the perturbation."""
    exact, moved = function(*tensors), perturbed(function, *tensors)
    return float((moved - exact).abs().max() / exact.abs().max() / SCALES[0])


X = torch.tensor([[1.0, 2.5, -3.0], [0.5, 4.0, 7.0], [2.0, -1.0, 0.3]], dtype=torch.float64)


def test_indices_are_not_perturbed() -> None:
    """PyTorch finds them with square roots, in double precision."""
    assert torch.equal(perturbed(lambda: torch.triu_indices(40, 40, 1)), torch.triu_indices(40, 40, 1))


def test_gradient_of_a_sign_is_carried_out() -> None:
    """Autograd has a tensor of zeros without memory there."""
    x = X.clone().requires_grad_()
    perturbed(lambda: (x.sgn() * x).sum().backward())
    assert x.grad is not None
    assert float((x.grad - X.sgn()).abs().max()) < 100 * SCALES[0]


def test_in_place_operation_finds_the_one_that_is_not() -> None:
    assert 0 < strayed(lambda x: x.clone().pow_(3.0), X) < 100


def test_result_in_a_tensor_that_is_given() -> None:
    assert perturbed(lambda: torch.mul(X, X, out=X.new_empty(0))).shape == X.shape


def less_mean(x: torch.Tensor) -> torch.Tensor:
    return x - x.mean()


less_its_mean: Any = torch.library.custom_op("crosscheck_tests::less_its_mean", less_mean, mutates_args=())


def test_operation_written_in_python_is_seen_inside() -> None:
    """The mean of large numbers is as far off as they are, and not as what is left of them."""
    assert strayed(lambda x: less_its_mean(x + 2.0**20), X) > 1e4


def test_complex_numbers_stray_in_both_parts() -> None:
    moved = perturbed(torch.fft.fft, X) - torch.fft.fft(X)
    assert (bool(moved.real.any()), bool(moved.imag.any())) == (True, True)


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_steps_of_sampling_compute_what_the_kernel_does(mode: str, padding: str, aligned: bool) -> None:
    """Far outside, too: PyTorch's own decomposition reflects otherwise there."""
    rng = np.random.default_rng(0)
    x, grid = torch.from_numpy(rng.standard_normal((2, 3, 5, 4))), torch.from_numpy(2 * rng.standard_normal((2, 6, 7, 2)))
    numbers = torch.from_numpy(rng.standard_normal((2, 3, 6, 7)))

    def results() -> list[Any]:
        given = (x.clone().requires_grad_(), grid.clone().requires_grad_())
        output = F.grid_sample(given[0], given[1], mode=mode, padding_mode=padding, align_corners=aligned)
        output.backward(numbers)
        return [output.detach(), *(value.grad for value in given)]

    with Noise(0.0, 0):
        taken_apart = results()
    assert max(float((one - other).abs().max()) for one, other in zip(results(), taken_apart, strict=True)) < SCALES[1]


def test_modulus_rounds() -> None:
    assert 0 < strayed(lambda x: torch.complex(x, x).abs(), X) < 20


def test_condition_of_a_matrix_shows() -> None:
    """Nearly equal rows: what goes in is off by one rounding, what comes out by a million."""
    nearly = torch.tensor([[1.0, 1.0], [1.0, 1.0 + 2.0**-20]], dtype=torch.float64)
    assert strayed(torch.linalg.inv, nearly) > 1e5 > strayed(torch.linalg.inv, X) * 1e3
