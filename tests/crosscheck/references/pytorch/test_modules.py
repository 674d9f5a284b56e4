"""Every differentiable module of ``torch.nn``: none is left out in silence, and its own kernels, and versions in NumPy, are right."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from crosscheck import Pair
from crosscheck.checks import Settings
from crosscheck.core.judge import Verdict
from crosscheck.core.operation import Call
from crosscheck.run.check import PairResult, check_pair
from tests.support.right_ways.modules.kernels import Kernel, own_pair, pair_of
from tests.support.right_ways.modules.row import Row
from tests.support.right_ways.modules.table import IN_EVALUATION, LEFT_OUT, REFUSED, ROWS
from tests.support.right_ways.modules.tasks import channels_last, task
from tests.support.right_ways.modules.written import WRITTEN
from tests.support.right_ways.task import LayerTask, Results, Trial
from tests.textbook.curves import CELU, Hardsigmoid

EXPORTED = [name for name in dir(nn) if isinstance(getattr(nn, name), type) and issubclass(getattr(nn, name), nn.Module)]


def checked(pair: Pair, *checks: str) -> PairResult:
    with warnings.catch_warnings(action="ignore"):
        return check_pair(pair, Settings(shrink=False), only=(lambda name: name in checks) if checks else None)


def wrong(result: PairResult) -> list[str]:
    found = [one for one in result.results if one.counted in (Verdict.MISMATCH, Verdict.UNDECIDED)]
    return [*([result.error] if result.error else []), *(f"{one.check}: {one.counted} {one.reason}" for one in found), *result.unjudged]


def test_every_module_has_a_row_or_a_reason() -> None:
    assert [name for name in EXPORTED if (name in {row.of for row in ROWS.values()}) == (name in LEFT_OUT)] == []


def test_table_names_modules_that_are_there() -> None:
    assert {row.of for row in ROWS.values()} | set(LEFT_OUT) | set(IN_EVALUATION) <= set(EXPORTED)
    assert set(WRITTEN) | set(REFUSED) <= set(ROWS)
    assert len({ROWS[name].of for name in WRITTEN}) >= 30


def test_modules_in_evaluation_alone() -> None:
    assert [row.name for row in ROWS.values() if row.of in IN_EVALUATION and row.make().training] == []


def test_lazy_modules_become_some_with_rows() -> None:
    become = {name: getattr(nn, name).cls_to_become.__name__ for name in LEFT_OUT if name.startswith("Lazy")}
    assert set(become.values()) - {row.of for row in ROWS.values()} == set()


JUDGED = [name for name in ROWS if name not in REFUSED]
FAR = ("wide", "offset")


def wrong_ways(own: LayerTask, inputs: str) -> list[str]:
    """Return what is wrong in any way to compute a module, in either precision."""
    found = []
    for dtype in ("float64", "float32"):
        with warnings.catch_warnings(action="ignore"):
            judged = [(way, one) for way in own.ways for one in own.judged(way, Trial(inputs, dtype, 3))]
        wrong = [(way, one) for way, one in judged if one.verdict is Verdict.MISMATCH]
        found += [f"{way}, {dtype}, {one.place.quantity}: {one.fraction:.3g} of the tolerance {one.reason}" for way, one in wrong]
        # Exponentials of large numbers leave the range of both precisions: there may be nothing to judge.
        if inputs not in FAR and all(one.verdict is not Verdict.MATCH for _, one in judged):
            found.append(f"{dtype}: nothing matches")
    return found


@pytest.mark.each_choice("name", "inputs")
@pytest.mark.parametrize("inputs", ["normal", "digits", "wide", "offset"])
@pytest.mark.parametrize("name", JUDGED)
def test_every_way_is_right(name: str, inputs: str) -> None:
    """The module's own kernels in several ways, and its version in NumPy where there is one, in both precisions."""
    with warnings.catch_warnings(action="ignore"):
        own = task(ROWS[name])
    assert wrong_ways(own, inputs) == []


def test_every_wrong_quantity_is_named() -> None:
    right = task(ROWS["LayerNorm"])
    way = right.written[right.ways[0]]

    def spoiled(call: Call) -> Results:
        results = way(call)
        return results | {name: 2 * results[name] for name in ("output", "bias.grad")}

    task_of_two = replace(right, written={"right": way, "spoiled": spoiled})
    found = [place.partition(":")[0] for place in wrong_ways(task_of_two, "normal")]
    assert found == [f"spoiled, {dtype}, {quantity}" for dtype in ("float64", "float32") for quantity in ("output", "bias.grad")]


FEW = ("LayerNorm", "Conv1d", "GLU", "AvgPool1d")


@pytest.mark.slow("a pair goes through every check; test_every_way_is_right shows each module on one family of inputs", default=FEW)
@pytest.mark.parametrize("name", JUDGED)
def test_own_kernels_match(name: str) -> None:
    result = checked(own_pair(ROWS[name]))
    assert (wrong(result), result.verdict) == ([], Verdict.MATCH)


@pytest.mark.slow("as test_own_kernels_match", default=("LayerNorm", "PReLU", "HuberLoss"))
@pytest.mark.parametrize("name", WRITTEN)
def test_version_in_numpy_matches(name: str) -> None:
    row = ROWS[name]
    result = checked(pair_of(row, row.make(), WRITTEN[name]()))
    assert (wrong(result), result.verdict) == ([], Verdict.MATCH)


@pytest.mark.parametrize("name", REFUSED)
def test_module_that_cannot_be_judged_yet(name: str) -> None:
    result = checked(own_pair(ROWS[name]), "values-float64-normal")
    assert any(REFUSED[name] in judgement.reason for one in result.results for _, judgement in one.judgements)
    assert result.verdict is Verdict.UNDECIDED


class Spoiled(Kernel):
    """A module's own kernels, the first number of its input's gradient off by a part of a hundred thousand."""

    def backward(self, grad_output):  # type: ignore[no-untyped-def]
        right = super().backward(grad_output)
        right.flat[np.abs(right).argmax()] *= 1 + 1e-5
        return right


@pytest.mark.parametrize("name", ["LSTM", "LayerNorm", "KLDivLoss", "ConvTranspose3d", "AvgPool1d"])
def test_spoiled_kernels_do_not_match(name: str) -> None:
    row, module = ROWS[name], ROWS[name].make()
    pair = Pair(Spoiled(module), module.double(), shapes=[row.shape], params={name: name for name, _ in module.named_parameters()})
    result = checked(pair, "values-float32-normal")
    assert {judgement.place.quantity for one in result.results for _, judgement in one.judgements if judgement.verdict is Verdict.MISMATCH} == {
        "grad_input"
    }


def _group_norm_channels_last() -> Pair:
    """PyTorch's kernel for groups of channels that lie side by side takes the mean of squares less the square of the mean."""
    row, module = ROWS["GroupNorm"], ROWS["GroupNorm"].make()
    params = {name: name for name, _ in module.named_parameters()}
    return Pair(Kernel(module, channels_last), module.double(), shapes=[row.shape], params=params)


def _instance_norm_of_one_image() -> Pair:
    """PyTorch's gradient of an instance normalisation is wrong for one image whose cotangent has its channels side by side."""
    return Pair(Kernel(nn.InstanceNorm2d(4), channels_last), nn.InstanceNorm2d(4).double(), shapes=[(1, 4, 7, 6)])


def _celu() -> Pair:
    """PyTorch's gradient of CELU has 1 / alpha in single precision, in double precision, too."""
    return pair_of(Row("CELU", lambda: nn.CELU(0.7), (4, 9)), nn.CELU(0.7), CELU(0.7))


def _hardsigmoid() -> Pair:
    """PyTorch's gradient of Hardsigmoid has 1 / 6 in single precision, in double precision, too."""
    return pair_of(ROWS["Hardsigmoid"], nn.Hardsigmoid(), Hardsigmoid())


INACCURATE: dict[str, tuple[Callable[[], Pair], str, set[str]]] = {
    "GroupNorm, channels last": (_group_norm_channels_last, "values-float32-offset", {"output", "grad_input"}),
    "InstanceNorm2d, one image, channels last": (_instance_norm_of_one_image, "values-float64-normal", {"grad_input"}),
    "CELU": (_celu, "values-float64-normal", {"grad_input"}),
}


def test_where_theory_knows_no_limit_float64_is_undecided() -> None:
    """Float32 alone has a witness of its own precision, by which half of the digits can be asked for."""
    result = checked(_hardsigmoid(), "values-float64-normal")
    assert {judgement.place.quantity: judgement.verdict for one in result.results for _, judgement in one.judgements} == {
        "output": Verdict.MATCH,
        "grad_input": Verdict.SKIPPED,
    }
    assert result.verdict is Verdict.UNDECIDED


@pytest.mark.parametrize("name", INACCURATE)
def test_pytorch_itself_is_not_right(name: str) -> None:
    """What is no false alarm: each of these differs because PyTorch's own kernel is inaccurate, or wrong."""
    make, check, quantities = INACCURATE[name]
    result = checked(make(), check)
    found = {judgement.place.quantity for one in result.results for _, judgement in one.judgements if judgement.verdict is Verdict.MISMATCH}
    assert found >= quantities


def test_epsilon_of_rms_norm_depends_on_the_precision() -> None:
    """Without one PyTorch takes the machine epsilon of its input, another function in each precision: float32 is not judged where that shows."""
    x = torch.full((1, 4), 1e-5)
    norm = nn.RMSNorm(4)
    assert float(norm(x)[0, 0].detach()) < 0.1 < float(norm.double()(x.double())[0, 0].detach())
    reasons = [judgement.reason for one in checked(own_pair(ROWS["RMSNorm"]), "values-float32-tiny").results for _, judgement in one.judgements]
    assert any("lost half of its digits" in reason for reason in reasons)
