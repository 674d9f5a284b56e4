"""An explanation is judged by the rounding of what it computes: by that of every step, the edited one included, and by nothing that is exact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest

from crosscheck.causes.variants.change import Rewrite, evaluate
from crosscheck.causes.variants.explanation import Explanation, Mode, Noise, agree, close
from crosscheck.causes.variants.search import judged
from crosscheck.core.guard import silenced
from crosscheck.core.judge import Judgement, Verdict
from crosscheck.oracles.graph.graph import At, Graph
from crosscheck.oracles.graph.operations import OPERATIONS, Value
from tests.support.edited_programs import Edited, Loop, formula, loop


@cache
def layer(name: str, dtype: str = "float64") -> Loop:
    return loop(name, dtype)


def judgement(one: Loop, edited: Edited) -> Judgement:
    """Return the judgement of what an edited program computes by its own bounds."""
    example, explanation = one.edited(one.call, edited), one.explanation(one.call, edited)
    assert example is not None
    assert example.wrong
    assert explanation is not None
    with silenced():
        return judged(explanation, example, one.programs.values(explanation.program, example))


def spread(explanation: Explanation, one: Loop) -> float:
    """Return how far perturbed runs are from one another, in units of their noise."""
    scale = 2.0**-40
    noise, base = Noise(scale, np.random.default_rng(0)), one.programs.values(explanation.program, one.right(one.call))
    runs = np.stack([explanation.noisy(base, noise)["output"] for _ in range(64)])
    return float(runs.std(axis=0).max() / scale)


@pytest.mark.parametrize("mode", [Mode.CARRIED, Mode.DERIVED], ids=lambda mode: mode.name)
def test_bound_grows_with_the_condition_number(mode: Mode) -> None:
    """A number is added and subtracted again: what is lost grows with the number, whether the edited step comes before or after."""

    def spread_at(size: float) -> float:
        def build(graph: Graph, x: At) -> At:
            return graph.add("tanh", graph.add("subtract", graph.add("add", graph.add("sin", x), size), size))

        one = formula(build, "float64", (5,))
        explanation = one.explanation(one.call, one.having("units", mode, "operation", 1, "cos stands for sin"))
        assert explanation is not None
        return spread(explanation, one)

    small, large, larger = map(spread_at, (2.0**10, 2.0**20, 2.0**30))
    assert 2.0**9 * small < large < 2.0**11 * small
    assert 2.0**9 * large < larger < 2.0**11 * large


def exact(graph: Graph, x: At) -> At:
    return graph.add("negative", graph.add("reshape", x, shape=graph.shape(x)))


def unperturbed(self: Noise, rewrite: Rewrite, values: Mapping[int, Value] | Sequence[Value]) -> Value:
    """Return the value of an expression as if nothing were rounded in it."""
    return np.asarray(evaluate(rewrite, values))  # type: ignore[arg-type]


def test_rounding_of_the_edited_step_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference's steps are exact, and the edited one is not: without its rounding the right explanation is refused."""
    one = formula(exact, "float32", (40,))
    program, edited = one.program("units"), one.having("units", Mode.RIGHT, "extra", 2, "exp is taken of the result")
    assert program is not None
    explanation = one.explanation(one.call, edited)
    assert explanation is not None
    right = one.right(one.call).expected
    example = one.example(one.call, lambda call: dict(right) | {"output": np.exp(-call.x)})  # the exponential of float32 numbers
    assert example is not None
    tight = {name: np.zeros_like(value) for name, value in example.tolerance.items()}
    strict = type(example)(example.call, example.found, example.expected, tight, example.wrong, example.precision)
    base = one.programs.values(program, example)
    assert judged(explanation, strict, base).verdict is Verdict.MATCH
    monkeypatch.setattr(Noise, "of_rewrite", unperturbed)
    assert judged(explanation, strict, base).verdict is Verdict.MISMATCH


MASKED = [("sum of exponentials", "CARRIED"), ("exponentials", "CARRIED"), ("exponentials", "DERIVED"), ("attention weights", "CARRIED")]


def root_of(role: str, mode: Mode) -> Edited:
    """Return the edit of attention with a mask in which the root is taken of a quantity."""
    one = layer("causal attention")
    program = one.program("units")
    assert program is not None
    edits = (edit for edit in one.programs.edits(program, forward=True) if edit.kind == "extra" and edit.key[-1] == "sqrt")
    return next(Edited("units", mode, edit.key) for edit in edits if program.graph.steps[edit.at].role == role)


@pytest.mark.parametrize(("role", "mode"), MASKED)
def test_mask_of_infinite_scores_does_not_spoil_the_bound(role: str, mode: str) -> None:
    """What is masked is minus infinity, and its exponential is exactly 0, of which a root may be taken."""
    assert judgement(layer("causal attention"), root_of(role, Mode[mode])).verdict is Verdict.MATCH


def perturbed_everywhere(self: Noise, operation: str, given: Sequence[Any], settings: Mapping[str, Any]) -> Value:
    """Return a value perturbed also where it is infinite or 0."""
    value = np.asarray(OPERATIONS[operation](*given, **settings))
    return (
        value if value.dtype.kind != "f" else np.asarray(value + (np.abs(value) * self.scale + self.underflow) * (self.rng.random(value.shape) - 0.5))
    )


def test_noise_of_what_is_exact_would_spoil_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Noise, "_computed", perturbed_everywhere)
    assert judgement(layer("causal attention"), root_of("exponentials", Mode.CARRIED)).verdict is not Verdict.MATCH


@pytest.mark.parametrize("mode", [Mode.CARRIED, Mode.DERIVED, Mode.RIGHT], ids=lambda mode: mode.name)
@pytest.mark.parametrize("name", ["layer norm", "causal attention", "cross-entropy"])
def test_results_in_float32_are_judged_right(name: str, mode: Mode) -> None:
    """A drawn edit whose results are rounded to single precision matches its own bounds."""
    one = layer(name, "float32")
    drawn = (edited for edited in one.drawn(mode, 100) if (example := one.edited(one.call, edited)) is not None and example.wrong)
    assert [edited.words for edited in (next(drawn) for _ in range(5)) if judgement(one, edited).verdict is not Verdict.MATCH] == []


def test_gradients_of_each_mode() -> None:
    """The output of y = 3 x is edited to -y, and the square of it follows."""

    def build(graph: Graph, x: At) -> At:
        return graph.add("square", graph.add("multiply", graph.add("exp", x), 3.0))

    one = formula(build, "float64", (4,))
    exp, grad = np.exp(one.call.x), one.call.cotangents["output"]
    sign = {
        mode: one.explanation(one.call, one.having("units", mode, "extra", 2, "exp is taken of the result"))
        for mode in Mode
        if mode is not Mode.BACKWARD
    }
    base = one.programs.values(sign[Mode.RIGHT].program, one.right(one.call))  # type: ignore[union-attr]
    results = {mode: explanation.results(base) for mode, explanation in sign.items() if explanation is not None}
    right = grad * 2 * 9 * exp * exp
    expected = {Mode.CARRIED: right, Mode.RIGHT: right, Mode.DERIVED: right * np.exp(9 * exp * exp)}
    bound = {mode: 64 * one.precision.unit * np.abs(value) for mode, value in expected.items()}
    assert {mode for mode, found in results.items() if not close(found["grad_input"], expected[mode], bound[mode])} == set()
    assert all(
        agree({"output": np.exp(9 * exp * exp)}, found, {"output": 64 * one.precision.unit * np.exp(9 * exp * exp).max()})
        for found in results.values()
    )


@pytest.mark.parametrize(
    ("value", "agrees"),
    [([1.0, 2.0], True), ([1.0, 2.5], False), ([1.0, np.nan], False), ([1.0, np.inf], False), ([1.0], False), ([[1.0, 2.0]], False)],
)
def test_close_arrays_have_one_shape_and_no_other_numbers(value: list[float], agrees: bool) -> None:
    assert close(np.array([1.0, 2.0]), np.array(value), 0.25) == agrees
    assert agree({"output": np.array([1.0, 2.0]), "extra": np.ones(3)}, {"output": np.array(value)}, {"output": 0.25}) == agrees
