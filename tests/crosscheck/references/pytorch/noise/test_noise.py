"""Perturbed runs of PyTorch: at once they stray as far as one by one; right ways of every operation agree, and a small relative fault is seen."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from crosscheck.core.check_layer import context_of
from crosscheck.core.inputs import FAMILIES
from crosscheck.core.judge import Judgement, Kind, Verdict, judge
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array, Precision
from crosscheck.core.trace import Place
from crosscheck.oracles.theories import Measured
from crosscheck.oracles.theories.measured import _NONLINEAR, RUNS, SCALES, yardstick
from crosscheck.references.pytorch.noise.batched import runs_at_once
from crosscheck.references.pytorch.noise.fused import STEPS
from crosscheck.references.pytorch.noise.perturbed import Noise
from crosscheck.references.pytorch.noise.rules import RULES
from crosscheck.references.pytorch.noise.table import is_known
from crosscheck.references.pytorch.oracle import TorchOracle, oracle
from tests.support import ROOT, SUPPORT
from tests.support.operation_cases import CASES

HALF = RUNS // 2


class First(nn.Module):  # type: ignore[misc]
    """A module with several results, of which the first is taken."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.module(x)[0]


class SelfAttention(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.attention(x, x, x, need_weights=False)[0]


def of_its_own_numbers(x: torch.Tensor) -> torch.Tensor:
    """Two numbers that float32 does not hold, one of which cancels the other in part."""
    return x * 0.1 + (x * x) * 0.3 - 0.7


def of_nothing(x: torch.Tensor) -> torch.Tensor:
    """Return a product with a tensor that is made of nothing, and is therefore the same in all runs: positions, as in an encoding of them."""
    return x * torch.sin(torch.arange(x.shape[-1], dtype=x.dtype) * 0.3)


def with_a_choice(x: torch.Tensor) -> torch.Tensor:
    """Go a way that depends on a number, which no run of many can follow for all."""
    return x.exp() if float(x.detach().sum()) > 0 else x.tanh()


TOGETHER: dict[str, tuple[Any, tuple[int, ...]]] = {
    "LayerNorm": (nn.LayerNorm(6), (3, 4, 6)),
    "GroupNorm": (nn.GroupNorm(2, 6), (3, 6, 4)),
    "InstanceNorm2d": (nn.InstanceNorm2d(3, affine=True), (2, 3, 4, 4)),
    "BatchNorm1d without a theory": (lambda x: nn.functional.batch_norm(x, None, None, training=True), (6, 4)),
    "LSTM": (First(nn.LSTM(3, 4)), (5, 2, 3)),
    "GRU": (First(nn.GRU(3, 4)), (5, 2, 3)),
    "RNN": (First(nn.RNN(3, 4)), (5, 2, 3)),
    "RNN of ReLU": (First(nn.RNN(3, 4, nonlinearity="relu")), (5, 2, 3)),
    "attention": (SelfAttention(), (2, 5, 8)),
    "convolution without a theory": (lambda x: nn.functional.conv2d(x, torch.ones(2, 3, 2, 2, dtype=x.dtype)), (2, 3, 4, 5)),
    "softmax": (lambda x: x.softmax(-1), (4, 5)),
    "softplus": (nn.Softplus(), (4, 5)),
    "numbers of the code's own": (of_its_own_numbers, (4, 5)),
}
"""References whose runs are done at once, each with the shape of an input."""

ALONE: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "made of nothing": (of_nothing, (4, 5)),
    "a choice": (with_a_choice, (4, 5)),
}
"""References whose runs are done one by one."""


def given(name: str) -> tuple[TorchOracle, Call]:
    torch.manual_seed(0)
    reference, shape = (TOGETHER | ALONE)[name]
    module = reference.double() if isinstance(reference, nn.Module) else reference
    rng = np.random.default_rng(0)
    params = {own: rng.standard_normal(tuple(value.shape)) for own, value in module.named_parameters()} if isinstance(module, nn.Module) else {}
    asked = oracle(module)
    assert isinstance(asked, TorchOracle)
    call = Call(rng.standard_normal(shape), params)
    return asked, Call(call.x, params, rng.standard_normal(asked.vjp(call)["output"].shape))


def spread(value: Array, halves: list[Array]) -> Array:
    scales = [scale for scale, half in zip(SCALES, halves, strict=True) for _ in half]
    return yardstick(value, np.concatenate(halves), scales)


@pytest.mark.parametrize("name", TOGETHER)
def test_runs_at_once_stray_as_far_as_runs_one_by_one(name: str) -> None:
    reference, call = given(name)
    at_once = [reference.noisy_runs(call, scale, HALF, 1) for scale in SCALES]
    assert len(at_once[0]["output"]) == runs_at_once(call, HALF) > HALF  # one by one they would be as many as were asked for
    alone = [[reference.noisy(call, scale, seed) for seed in range(HALF)] for scale in SCALES]
    for quantity, value in reference.vjp(call).items():
        one = spread(value, [half[quantity] for half in at_once])
        other = spread(value, [np.stack([run[quantity] for run in half]) for half in alone])
        assert (one <= _NONLINEAR * other).all()
        assert (other <= _NONLINEAR * one).all()


@pytest.mark.parametrize("name", ALONE)
def test_what_cannot_be_done_at_once_is_done_one_by_one(name: str) -> None:
    reference, call = given(name)
    runs = reference.noisy_runs(call, SCALES[0], HALF, 1)["output"]
    assert len(runs) == HALF
    assert not any(np.array_equal(one, other) for one, other in itertools.combinations(runs, 2))


@pytest.mark.parametrize("name", TOGETHER)
def test_each_run_of_many_goes_its_own_way(name: str) -> None:
    reference, call = given(name)
    runs = reference.noisy_runs(call, SCALES[0], HALF, 1)["output"]
    assert not any(np.array_equal(one, other) for one, other in itertools.combinations(runs, 2))


def test_number_of_runs_divides_no_length() -> None:
    assert runs_at_once(Call(np.zeros((4, 5))), HALF) == 17
    assert runs_at_once(Call(np.zeros((4, 34))), HALF) == 19
    assert runs_at_once(Call(np.zeros((4, 5)), {"weight": np.zeros((17, 19))}), HALF) == 23
    assert runs_at_once(Call(np.zeros((1000, 1000))), HALF) == 0


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
    """Every operation is carried out, is known to the tables, and gives the same result when it is taken apart."""
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


@pytest.mark.filterwarnings("ignore:The reduce argument of torch.scatter:UserWarning")
@pytest.mark.parametrize("source", [0.1, X], ids=["a number", "a tensor"])
@pytest.mark.parametrize("reduce", ["add", "multiply"])
def test_scatter_that_combines_rounds(reduce: str, source: Any) -> None:
    places = torch.zeros(X.shape, dtype=torch.long)
    assert strayed(lambda x: x.scatter(0, places, source, reduce=reduce), X) > 0
    assert strayed(lambda x: x.scatter(0, places, source), X) == 0
