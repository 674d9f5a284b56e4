"""Functions of several inputs (labels, ids, targets, masks, two arrays): right ones match, and mistakes that their further inputs show are seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name

import crosscheck
from crosscheck import Forward, Functions, Integers, Mask, Pair, Settings, Target, Verdict
from crosscheck.core.operation import PairError
from crosscheck.core.precision import Array
from tests.support.faults.outcome import as_outcome, up_to_the_first
from tests.support.several_inputs import CASES, Wrong
from tests.support.unshrunk import check

WRONG = [(name, wrong) for name, case in CASES.items() for wrong in case.wrong]


@pytest.mark.parametrize("name", CASES)
def test_right_code_matches(name: str) -> None:
    """On normal inputs, which are tried in all sizes and with labels that are ignored, and in all contracts."""
    case = CASES[name]
    outcome = as_outcome(check(case.pair(case.right), only=lambda check: check.endswith("-normal") or check.startswith("contract-")))
    assert outcome.verdict is Verdict.MATCH, outcome.words


@pytest.mark.slow("the test above tries labels, ids, targets and masks; other families change the real numbers alone", default=("ranking",))
@pytest.mark.parametrize("name", CASES)
def test_right_code_matches_on_every_family(name: str) -> None:
    case = CASES[name]
    outcome = as_outcome(check(case.pair(case.right), only=lambda check: check.startswith("values-")))
    assert outcome.verdict is Verdict.MATCH, outcome.words


@pytest.mark.parametrize(("name", "wrong"), WRONG, ids=[f"{name}-{wrong.kind.__name__}" for name, wrong in WRONG])
def test_mistake_is_seen(name: str, wrong: Wrong) -> None:
    outcome = up_to_the_first(CASES[name].pair(wrong.kind), Settings(shrink=False))
    assert outcome.verdict is Verdict.MISMATCH, outcome.words
    assert outcome.place in wrong.at, outcome.words


class Doubled:
    """Two outputs, and a backward pass with a setting that has a default value."""

    def forward(self, x: Array) -> tuple[Array, Array]:
        return 2 * x, 3 * x

    def backward(self, grad: Array, clip: bool = False) -> Array:
        return 2 * np.clip(grad, -1, 1) if clip else 2 * grad


def linear(x: Array, weight: Array, bias: Array) -> tuple[Any, Array]:
    return x @ weight.T + bias, x


def of_embedding(ids: Array, table: Array) -> tuple[Array, Any]:
    return np.asarray(table[ids]), (ids, table)


def of_embedding_backward(grad: Array, cache: Any) -> Array:
    ids, table = cache
    result: Array = np.zeros_like(table)
    np.add.at(result, ids, grad)
    return result


def squares(x: Array, y: Array) -> tuple[Array, Any]:
    return np.asarray(((x - y) ** 2).mean()), x - y


def squares_backward(grad: Array, difference: Array) -> tuple[Array, Array]:
    one = grad * difference * difference.dtype.type(2 / difference.size)
    return one, -one


def kept(x: Array, mask: Array) -> tuple[Array, Any]:
    return np.where(mask, x, np.zeros_like(x)), mask


def shifted(x: Array, offset: Array) -> tuple[Array, Any]:
    return x * offset, (x, offset)


def half(x: Array, labels: Array) -> tuple[Array, Any]:
    return x * labels, labels


def by_frequency(grad: Array, cache: Any) -> Array:
    ids, table = cache
    counts = np.bincount(ids.ravel(), minlength=len(table))
    return np.asarray(of_embedding_backward(grad, cache) / np.maximum(counts, 1)[:, None].astype(grad.dtype))


def entropy(p: Array, target: Array) -> tuple[Array, Any]:
    log, other = (np.maximum(np.log(value), value.dtype.type(-100)) for value in (p, 1 - p))
    return np.asarray(-(target * log + (1 - target) * other).mean()), (p, target)


def entropy_backward(grad: Array, cache: Any) -> Array:
    p, target = cache
    return np.asarray(grad * (p - target) / (p * (1 - p)) / p.dtype.type(p.size))


RIGHT = {
    "pattern of declared axes": Pair(
        Functions(lambda a, b: (a.swapaxes(0, 1) * b, (a, b)), lambda grad, c: ((grad * c[1]).swapaxes(0, 1), grad * c[0].swapaxes(0, 1))),
        lambda a, b: torch.mul(a.swapaxes(0, 1), b),
        inputs={"a": "time batch 3", "b": "batch time 3"},
        sizes={"time": 5, "batch": 2},
        input={"b": "batch time c -> batch time c"},
        output="batch time c -> batch time c",
    ),
    "average by frequency": Pair(
        Functions(of_embedding, by_frequency),
        nn.Embedding(10, 4, scale_grad_by_freq=True),
        inputs={"ids": Integers("batch time", below=10)},
        sizes={"batch": 3, "time": 5},
        params={"table": "weight"},
    ),
    "loss that refuses infinity": Pair(Functions(entropy, entropy_backward), nn.BCELoss(), [(4, 3)]),
    "input without a gradient": Pair(
        Functions(linear, lambda grad, x: (grad.T @ x, grad.sum(axis=0))),
        nn.Linear(64, 32),
        inputs={"x": Target("batch features")},
        sizes={"batch": 6, "features": 64},
        params={"weight": "weight", "bias": "bias"},
    ),
    "ids that are called input": Pair(
        Functions(of_embedding, of_embedding_backward),
        F.embedding,
        inputs={"input": Integers("batch", below="words"), "weight": "words features"},
        sizes={"batch": 5, "words": 7, "features": 3},
    ),
    "real numbers that are called labels": Pair(
        Functions(half, lambda grad, labels: grad * labels),
        torch.mul,
        framework="torch",
        inputs={"x": "batch features", "labels": Target("batch features")},
        sizes={"batch": 4, "features": 3},
    ),
    "loss of two predictions": Pair(
        Functions(squares, squares_backward), nn.MSELoss(), inputs={"a": "batch n", "b": "batch n"}, sizes={"batch": 4, "n": 3}
    ),
    "mask that all samples share": Pair(
        Functions(kept, lambda grad, mask: np.where(mask, grad, np.zeros_like(grad)), one_sample=True),
        lambda x, mask: torch.where(mask, x, 0),
        inputs={"x": "batch n", "mask": Mask("n")},
        sizes={"batch": 4, "n": 3},
    ),
    "factors that all samples share": Pair(
        Functions(shifted, lambda grad, cache: (grad * cache[1], grad * cache[0]), one_sample=True),
        torch.mul,
        framework="torch",
        inputs={"x": "batch n", "offset": "n"},
        sizes={"batch": 4, "n": 3},
    ),
    "setting of the backward pass": Pair(Doubled(), lambda x: (torch.mul(x, 2), torch.mul(x, 3)), [(4, 3)], outputs=["double", "triple"]),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_declaration_matches(name: str) -> None:
    outcome = as_outcome(check(RIGHT[name], only=lambda check: check.endswith(("-normal", "-digits")) or check.startswith("contract-")))
    assert outcome.verdict is Verdict.MATCH, outcome.words


def test_misspelt_axis_is_named() -> None:
    pair = Pair(Functions(shifted, squares_backward), torch.mul, inputs={"x": "bacth n"}, sizes={"batch": 4, "n": 3}, framework="torch")
    assert "the length of the axis 'bacth' is not known; sizes has 'batch': is it the same axis?" in check(pair).error


def test_inputs_in_a_list() -> None:
    with pytest.raises(PairError, match="inputs is a list, expected a dict of names and shapes"):
        Pair(Functions(shifted, squares_backward), torch.mul, inputs=["a", "b"])  # type: ignore[arg-type]


def test_name_with_a_meaning_of_its_own() -> None:
    pair = Pair(Functions(shifted, squares_backward), torch.mul, inputs={"decisions": "n"}, sizes={"n": 3}, framework="torch")
    assert "inputs has an input named 'decisions', which has a meaning of its own" in check(pair).error


def test_wrong_function_of_ids_alone_has_a_small_case() -> None:
    """There are no real numbers to be made plainer."""
    pair = Pair(
        Forward(lambda ids: np.eye(6, dtype=int)[(ids + 1) % 6]),
        lambda ids: F.one_hot(ids, 6),
        inputs={"ids": Integers("batch time", below=6)},
        sizes={"batch": 3, "time": 4},
    )
    result = crosscheck.check(pair)
    assert result.verdict is Verdict.MISMATCH
    assert any(one.reproduction for one in result.results)


def test_both_masks_of_attention_leave_something_to_compare() -> None:
    """A wrong scale is seen in the output for the declared size."""
    pair = Pair(
        Functions(attention, lambda grad, cache: (grad, grad, grad)),
        lambda query, key, value, padding, mask: F.scaled_dot_product_attention(query, key, value, padding & mask),
        inputs={
            "query": "batch q_len n",
            "key": "batch k_len n",
            "value": "batch k_len n",
            "padding": Mask("batch 1 k_len"),
            "mask": Mask("q_len k_len"),
        },
        sizes={"batch": 2, "q_len": 5, "k_len": 7, "n": 4},
    )
    result = check(pair, only=lambda check: check in {f"values-float64-{family}" for family in ("normal", "fortran", "strided")})
    first = [one.judgements[0][1] for one in result.results]
    assert [(judgement.place.quantity, judgement.verdict) for judgement in first] == 3 * [("output", Verdict.MISMATCH)]


def attention(query: Array, key: Array, value: Array, padding: Any, mask: Any) -> tuple[Array, None]:
    scores = np.where(padding & mask, query @ key.swapaxes(1, 2) * np.asarray(0.6, query.dtype), -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True) @ value, None
