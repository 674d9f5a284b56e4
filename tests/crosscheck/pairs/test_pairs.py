"""Pairs of every convention: a right layer matches, a wrong one differs at its place and for its cause; what is declared wrong is refused."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from crosscheck import Functions, Pair, PairError, PairResult, Verdict
from crosscheck.core.inputs import FAMILIES
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array
from crosscheck.pairs.prepare import prepare
from crosscheck.references.pytorch.oracle import oracle
from tests.support import plain
from tests.support.conventional import CONVENTIONS, LAYERS, Kernel, ObjectLayer, fits, pair_of
from tests.support.right_pairs import error_of, linear, linear_with, pool_with_rule
from tests.support.unshrunk import check
from tests.textbook.normalisation import BatchNorm

DTYPES = ("float64", "float32")
SAMPLES = ("batch", "one")
ROWS = [(c, layer, samples) for c, layer, samples in itertools.product(CONVENTIONS, LAYERS, SAMPLES) if fits(c, layer)]
IDS = ["-".join(row) for row in ROWS]

FAULTS = [
    pytest.param(row, quantity, id=f"{'-'.join(row)}-{quantity}")
    for row in ROWS
    for quantity in ("output", "grad_input", *(f"{name}.grad" for name in LAYERS[row[1]].params))
]


@pytest.mark.each_choice("row.0", "row.1", "row.2")
@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_right_layer(row: tuple[str, str, str]) -> None:
    result = check(pair_of(*row))
    assert result.verdict is Verdict.MATCH, [(r.check, r.verdict, r.reason) for r in result.results]
    assert {r.check for r in result.results if r.verdict is Verdict.MATCH} >= {f"values-{d}-{f}" for d in DTYPES for f in ("normal", "digits")}


@pytest.mark.pairwise("row.0", "row.1", "row.2", "quantity", "dtype")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("row", "quantity"), FAULTS)
def test_doubled_quantity(row: tuple[str, str, str], quantity: str, dtype: str) -> None:
    """The first mismatch is the quantity that is wrong, and its cause is named."""
    pair = pair_of(*row, factors={quantity: 2.0}, dtypes=(dtype,))
    first = check(pair, only=lambda name: name.endswith("-normal")).first
    assert first is not None
    assert first.check == f"values-{dtype}-normal"
    assert first.divergence is not None
    name, _, grad = quantity.rpartition(".")
    theirs = f"{LAYERS[row[1]].params[name].partition(':')[0]}.{grad}" if name else quantity
    assert first.divergence.judgement.place.quantity == theirs
    # The loss function returns value and gradient at once: a single number has no factor but those with a name.
    assert first.divergence.cause is not None
    assert re.search(r"\b(2|twice)\b", first.divergence.cause.words)


@pytest.mark.parametrize(
    ("options", "found", "what_to_do"),
    [
        ({"shapes": ()}, "shapes is ()", "such as [(3, 12), (1, 12)]"),
        ({"shapes": 5}, "shapes is 5", "with the batch axis"),
        ({"shapes": [(3, 0)]}, "shapes is [(3, 0)]", "with the batch axis"),
        ({"shapes": [()]}, "shapes is [()]", "with the batch axis"),
        ({"shapes": [(3, "5")]}, "shapes is [(3, '5')]", "with the batch axis"),
        ({"shapes": [(3, 5.0)]}, "shapes is [(3, 5.0)]", "with the batch axis"),
        ({"shapes": lambda rng: 1 / 0}, "shapes raised ZeroDivisionError", "test_pairs.py"),
        ({"shapes": lambda rng: (0, 5)}, "shapes is drawn as [(0, 5)", "with the batch axis"),
        ({"shapes": [(3, 4)]}, "refuses an input of shape (3, 4)", "weight (3, 5)"),
        ({"input": "n i -> i n q"}, "input: the pattern", "does not fit an array of shape (3, 5)"),
        ({"output": "n h w -> n h w"}, "output: the pattern", "does not fit an array of shape (3, 3)"),
        ({"sizes": {"h": 3}}, "sizes names the axis 'h'", "which is in no pattern"),
        ({"param_shapes": {"wait": (3, 5)}}, "param_shapes names 'wait'", "the reference's parameters are: weight, bias"),
        ({"reference": nn.Linear}, "Linear is a class", "reference=Linear(...)"),
        ({"reference": 3}, "the reference has the type int", "expected a framework's module or function"),
        ({"reference": [nn.Linear(5, 3), nn.Linear(5, 3, bias=False)]}, "the references have different parameters", "weight (3, 5)"),
        ({"labels": True, "shapes": [(5,)], "reference": nn.Linear(5, 3)}, "takes inputs of shape (batch, classes, ...)", "found (5,)"),
        ({"expected": {"values-float46-*": "a slip"}}, "expected names 'values-float46-*', which is not a check", "values-float64-normal"),
    ],
)
def test_pair_that_cannot_be_checked(options: dict[str, Any], found: str, what_to_do: str) -> None:
    """One error names the pair, what was found, and what was expected."""
    error = error_of(linear(name="mine", **options))
    assert error.startswith("mine: ")
    assert found in error
    assert what_to_do in error


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"dtypes": ("float16",)}, r"dtypes is \('float16',\), expected at least one of float64, float32 and nothing else"),
        ({"dtypes": ()}, r"dtypes is \(\), expected at least one of float64, float32 and nothing else"),
        ({"ties": "second"}, "ties is 'second', expected 'first', 'last', 'all' or 'split'"),
        ({"reduction": "median"}, "reduction is 'median', expected 'mean' or 'sum'"),
        ({"expected": {"values-*": " "}}, r"expected\['values-\*'\] has no reason; say why the difference is right"),
    ],
)
def test_declaration_that_is_wrong_by_itself(options: dict[str, Any], text: str) -> None:
    with pytest.raises(PairError, match=f"^mine: {text}$"):
        linear(name="mine", **options)


def test_shapes_from_a_generator() -> None:
    """Four shapes are drawn, the same ones each time."""
    drawn = [prepare(linear(shapes=lambda rng: (int(rng.integers(1, 9)), 5))).shapes for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert 1 < len(drawn[0]) <= 4
    assert check(linear(shapes=lambda rng: (int(rng.integers(1, 9)), 5))).verdict is Verdict.MATCH


def test_single_shape() -> None:
    assert prepare(linear(shapes=(3, 5))).shapes == [(3, 5)]


def test_same_seed_same_call() -> None:
    """What a check gives the subject depends on name, shape, family, precision and seed."""
    calls = [prepare(linear(name=name)).call((3, 5), FAMILIES["normal"], "float64", seed) for name, seed in (("a", 0), ("a", 0), ("b", 0), ("a", 1))]
    same, same_again, other_name, other_seed = (call.x.tobytes() for call in calls)
    assert same == same_again
    assert len({same, other_name, other_seed}) == 3


def test_only_one_precision() -> None:
    """The other one is skipped with the reason, and the pair still matches."""
    result = check(linear(dtypes=("float32",)))
    assert result.verdict is Verdict.MATCH
    skipped = {r.check: r.reason for r in result.results if r.check.startswith("values-float64")}
    assert set(skipped.values()) == {"your code is declared to compute in float32"}


def test_subject_and_reference_are_left_alone() -> None:
    """Every check works on copies."""
    subject, reference = ObjectLayer(Kernel(LAYERS["linear"])), nn.Linear(5, 3)
    before = [value.detach().numpy().copy() for value in reference.parameters()]
    check(Pair(subject, reference, [(3, 5)], LAYERS["linear"].params))
    assert all(np.array_equal(value, np.ones_like(value)) for value in subject.params.values())
    assert subject.grads == {}
    assert subject.x is None
    assert all(np.array_equal(a, b.detach().numpy()) for a, b in zip(before, reference.parameters(), strict=True))
    assert all(value.grad is None for value in reference.parameters())


def test_mistake_in_one_precision() -> None:
    """float32 is checked whatever float64 was like."""
    result = check(linear_with({"output": 2.0}), only=lambda name: name.startswith("values-"))
    assert {r.check: r.verdict for r in result.results} == {f"values-{d}-{f}": Verdict.MISMATCH for d in DTYPES for f in FAMILIES}


def test_function_of_other_argument_names() -> None:
    """Parameters are not handed to it in some order in silence."""
    error = error_of(linear(reference=lambda x, scale, shift: x * scale + shift, framework="torch", params={"W": "weight", "b": "bias"}))
    assert "has the arguments scale, shift, expected the declared parameters weight, bias; declare the parameters by the names" in error


@pytest.mark.parametrize("rule", ["last", "all", "split"])
class TestTies:
    """A tie rule that differs."""

    def test_declared(self, rule: str) -> None:
        """It is undecided, with the reason; where nothing ties it matches."""
        result = check(pool_with_rule(rule, rule))
        assert result.verdict is Verdict.UNDECIDED
        verdicts = {r.check: r.verdict for r in result.results}
        assert verdicts["values-float64-normal"] is Verdict.MATCH
        assert verdicts["values-float32-ties"] is Verdict.UNDECIDED
        reason = next(r.reason for r in result.results if r.check == "values-float64-ties")
        assert f"declared to differ: ties={rule!r}, while" in reason
        assert reason.endswith("; convention: max-pool-ties")

    def test_not_declared(self, rule: str) -> None:
        first = check(pool_with_rule(rule)).first
        assert first is not None
        assert first.divergence is not None
        assert first.divergence.cause is not None
        assert first.divergence.cause.name == f"tie rule: {rule}"

    def test_another_one_declared(self, rule: str) -> None:
        other: dict[str, Any] = {"last": "all", "all": "split", "split": "last"}
        assert check(pool_with_rule(rule, other[rule])).verdict is Verdict.MISMATCH


class Doubled:
    """A reference by the protocol whose output is another one's doubled."""

    name = "doubled"

    def __init__(self) -> None:
        self._oracle = oracle(nn.ReLU())
        self.rounding, self.settings = self._oracle.rounding, self._oracle.settings

    def vjp(self, call: Call) -> dict[str, Array]:
        result = self._oracle.vjp(call)
        return result | {"output": 2 * result["output"]}

    def decisions(self, x: Array) -> Any:
        return self._oracle.decisions(x)


def relu(reference: Any) -> PairResult:
    return check(pair_with_references("relu", reference))


def pair_with_references(layer: str, reference: Any) -> Pair:
    return replace(pair_of("dicts", layer), reference=reference)


def splitting(x: Any) -> Any:
    """Return the maximum of each 2 x 2 window of a tensor, by a reduction, which splits the gradient of a tie."""
    rows, columns = x.shape[2] // 2, x.shape[3] // 2
    return x[..., : 2 * rows, : 2 * columns].unflatten(2, (rows, 2)).unflatten(4, (columns, 2)).amax((3, 5))


class TestReferences:
    """Several references."""

    def test_that_agree(self) -> None:
        assert relu([nn.ReLU(), oracle(nn.ReLU())]).verdict is Verdict.MATCH

    def test_that_disagree(self) -> None:
        """Nobody can say; each one's value is named, and the subject's; what they agree on is judged."""
        result = relu([nn.ReLU(), Doubled()])
        assert result.verdict is Verdict.UNDECIDED
        first = result.results[0]
        assert {j.place.quantity: j.verdict for _, j in first.judgements} == {"output": Verdict.UNDECIDED, "grad_input": Verdict.MATCH}
        assert first.reason.startswith("the references disagree at [")
        assert "PyTorch" in first.reason
        assert "doubled" in first.reason
        assert "your code has" in first.reason

    def test_that_answer_a_convention_differently(self) -> None:
        """Where they split a tie and where they do not: it is called by its name; where nothing ties they agree."""
        results = {r.check: r for r in check(pair_with_references("pool", [nn.MaxPool2d(2), oracle(splitting)])).results}
        assert results["values-float64-normal"].verdict is Verdict.MATCH
        assert results["values-float64-ties"].verdict is Verdict.UNDECIDED
        assert results["values-float64-ties"].reason.endswith("; convention: max-pool-ties")

    def test_that_the_subject_differs_from(self) -> None:
        """Where they agree, a wrong subject is wrong."""
        pair = replace(pair_of("dicts", "relu", factors={"grad_input": -1.0}), reference=[nn.ReLU(), Doubled()])
        assert check(pair).verdict is Verdict.MISMATCH

    def test_one_refuses(self) -> None:
        """A reference that cannot be asked is a disagreement with its reason."""
        result = check(pair_with_references("pool", [nn.MaxPool2d(2), nn.MaxPool2d(7)]))
        assert result.verdict is Verdict.UNDECIDED
        assert "the references disagree: " in result.results[0].reason
        assert "refuses an input of shape (2, 2, 5, 4)" in result.results[0].reason

    def test_second_of_no_known_kind(self) -> None:
        error = error_of(pair_with_references("relu", [nn.ReLU(), object()]))
        assert "the reference has the type object, expected a framework's module or function, or an object with a method vjp" in error


def test_title_is_one_printable_line() -> None:
    assert plain.pair(name=plain.NASTY).title == plain.SHOWN


def test_expected_differences_may_name_a_quantity() -> None:
    pair = plain.pair(expected={"values-float64-*:output": "known", "contract-*": "known"})
    asked = [
        ("values-float64-ties", "output"),
        ("values-float64-ties", "grad_input"),
        ("values-float32-ties", "output"),
        ("contract-dtype_is_kept", ""),
    ]
    assert [pair.expects(*one) for one in asked] == [True, False, False, True]


def test_pair_in_evaluation_and_without_its_state() -> None:
    ready = prepare(Pair(BatchNorm(4), nn.BatchNorm1d(4), shapes=[(6, 4)]))
    assert (ready.evaluates, ready.evaluating.evaluates, ready.evaluating.layer.training) == (False, True, False)
    assert (list(ready.layer.layout.buffers), list(ready.stateless.layer.layout.buffers)) == (["running_mean", "running_var"], [])


def test_square_matrix_has_no_axis_of_samples() -> None:
    """Its product with another one has other rows and columns if it is larger: that is no reason to try one size alone."""
    square = {"a": "size size", "b": "size size"}
    pair = Pair(Functions(lambda a, b: (a @ b, None), lambda grad, _: (grad, grad)), torch.matmul, inputs=square, sizes={"size": 6})
    assert [str(case) for case in prepare(pair).derived] == ["size 1", "size 7", "size 8", "size 13"]


def test_size_that_the_reference_warns_of_is_not_tried() -> None:
    """Instance normalisation warns of another number of channels than it was made for; where warnings are errors, nothing could be checked."""
    pair = Pair(Functions(lambda x: (x, None), lambda grad, _: grad), nn.InstanceNorm2d(3), [(4, 3, 5, 6)])
    assert {case.shape[1] for case in prepare(pair).derived} == {3}
