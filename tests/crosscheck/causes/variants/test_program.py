"""A program: the turns of its loops whatever their number, and runs with changed steps that equal a full evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from crosscheck.causes.variants.candidates import edits
from crosscheck.causes.variants.change import Edit, Rewrite, evaluate
from crosscheck.causes.variants.program import Group, Program
from crosscheck.causes.variants.programs import FORMS
from crosscheck.core.operation import Call
from crosscheck.oracles.graph.derivatives import NoDerivativeError
from crosscheck.oracles.graph.graph import CONSTANT, INPUT, At, Graph, members, union
from crosscheck.oracles.graph.operations import Value
from crosscheck.oracles.graph.passes import arguments_of, differentiate
from crosscheck.oracles.graph.spelled import SPELLINGS, spelled
from crosscheck.references.pytorch.oracle import oracle
from tests.support.edited_programs import Loop, loop
from tests.support.graphs import call_of

INPUTS, HIDDEN = 3, 4


def by_hand(x: torch.Tensor, w: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """Return the last state of a loop that somebody wrote."""
    h = torch.zeros(x.shape[0], u.shape[0], dtype=x.dtype)
    for t in range(x.shape[1]):
        gate = torch.sigmoid(x[:, t] @ w + h @ u)
        h = gate * h + (1 - gate) * torch.tanh(x[:, t] @ w)
    return h


def recurrent(kind: type, steps: int) -> tuple[Any, Call]:
    """Return a recurrent layer of PyTorch and a call of that many steps."""
    rng, factor = np.random.default_rng(0), {nn.RNN: 1, nn.GRU: 3, nn.LSTM: 4}[kind]
    shapes: dict[str, tuple[int, ...]] = {"weight_ih_l0": (factor * HIDDEN, INPUTS), "weight_hh_l0": (factor * HIDDEN, HIDDEN)}
    shapes |= {"bias_ih_l0": (factor * HIDDEN,), "bias_hh_l0": (factor * HIDDEN,)}
    params = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    states = ("h_0", "c_0")[: 2 if kind is nn.LSTM else 1]
    inputs = {"input": rng.standard_normal((2, steps, INPUTS))} | {name: rng.standard_normal((1, 2, HIDDEN)) for name in states}
    outputs = ("output", *(f"output.{name[0]}_n" for name in states))
    layer = oracle(kind(INPUTS, HIDDEN, batch_first=True))
    return layer, call_of(layer, inputs, params=params, outputs=outputs)


def written(steps: int) -> tuple[Any, Call]:
    """Return the loop by hand and a call of that many steps."""
    rng = np.random.default_rng(0)
    shapes = {"x": (2, steps, INPUTS), "w": (INPUTS, HIDDEN), "u": (HIDDEN, HIDDEN)}
    layer = oracle(by_hand)
    return layer, call_of(layer, {name: rng.standard_normal(shape) for name, shape in shapes.items()})


LAYERS = {
    "RNN": lambda steps: recurrent(nn.RNN, steps),
    "GRU": lambda steps: recurrent(nn.GRU, steps),
    "LSTM": lambda steps: recurrent(nn.LSTM, steps),
    "by hand": written,
}


@cache
def program(name: str, steps: int, form: str = "units") -> Program:
    layer, call = LAYERS[name](steps)
    graph = layer.graph(call)
    if form in SPELLINGS:
        graph = spelled(graph, form)
    return Program(differentiate(graph, call, by_units=form != "steps"), call, form)


def in_loop(one: Program, steps: int) -> dict[Group, list[At]]:
    return {group: found for group, found in one.groups.items() if len(found) >= steps}


@pytest.mark.parametrize("steps", [2, 4, 5, 9])
@pytest.mark.parametrize(("name", "form"), [(name, form) for name in LAYERS for form in ("units", *SPELLINGS) if name != "RNN" or form == "units"])
def test_groups_do_not_depend_on_the_number_of_steps(name: str, form: str, steps: int) -> None:
    """In backward a loop of more steps has more parts to add up, and more outputs to take apart, and no other groups besides."""
    usual, other = program(name, 3, form), program(name, steps, form)
    assert other.outline == usual.outline
    more, fewer = (usual, other) if steps < 3 else (other, usual)
    assert {*fewer.groups} < {*more.groups}
    assert {kind(more, group) for group in more.groups.keys() - fewer.groups.keys()} <= {"sum of parts", "stack"}


@pytest.mark.parametrize(("name", "alike"), [("RNN", True), ("GRU", False), ("by hand", True)])
def test_single_turn_may_be_another_program(name: str, alike: bool) -> None:
    """Where a loop has one turn only, the gates of a cell may be what repeats itself, and its edits are others."""
    assert (program(name, 1).outline == program(name, 3).outline) == alike


def kind(one: Program, group: Group) -> str:
    """Return what a group of backward steps is for."""
    step = one.graph.steps[one.groups[group][0]]
    assert step.origin is not None
    return "sum of parts" if step.origin.argument < 0 else one.graph.steps[step.origin.step].operation


@pytest.mark.parametrize("steps", [2, 4, 5, 9])
@pytest.mark.parametrize("name", LAYERS)
def test_every_step_of_a_loop_is_in_its_turn(name: str, steps: int) -> None:
    """All steps of a cell are there once in each turn; those of the backward pass are in the turn of the step that they belong to."""
    one = program(name, steps)
    cell = {one.group[at] for at in range(one.graph.forward) if one.graph.steps[at].operation in ("matmul", "tanh", "sigmoid", "multiply")}
    assert cell
    assert {tuple(one.turn[at] for at in one.groups[group]) for group in cell} == {tuple(range(1, steps + 1))}
    wrong = [at for at, step in enumerate(one.graph.steps) if step.origin is not None and one.turn[at] != one.turn[step.origin.step]]
    assert wrong == []


def test_initial_states_are_no_turns_of_a_loop() -> None:
    one = program("LSTM", 4)
    initial = [
        at
        for at, step in enumerate(one.graph.steps)
        if step.operation == "index" and step.sources[0] in (one.graph.inputs["h_0"], one.graph.inputs["c_0"])
    ]
    assert len(initial) == 2
    assert [(one.turn[at], len(one.groups[one.group[at]])) for at in initial] == [(0, 1)] * 2


def projections(x: torch.Tensor, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Return a product of three projections of one input."""
    query, key, value = (torch.tanh((x @ weight) / 2) for weight in (q, k, v))
    return query @ key.T @ value


def test_projections_of_one_input_are_a_loop_whose_steps_are_edited_alone_too() -> None:
    rng = np.random.default_rng(0)
    layer: Any = oracle(projections)
    call = call_of(layer, {"x": rng.standard_normal((5, 4))} | {name: rng.standard_normal((4, 4)) for name in "qkv"})
    one = Program(differentiate(layer.graph(call), call, by_units=True), call)
    groups = [found for found in one.groups.values() if one.graph.steps[found[0]].operation == "tanh"]
    assert [[one.turn[at] for at in found] for found in groups] == [[1, 2, 3]]
    left_out = [edit for edit in edits(one, forward=True) if edit.kind == "left out" and edit.at in groups[0]]
    assert sorted(tuple(edit.rewrites) for edit in left_out) == sorted([tuple(groups[0]), *((at,) for at in groups[0])])
    assert [edit.stage for edit in left_out if len(edit.rewrites) > 1] < [edit.stage for edit in left_out if len(edit.rewrites) == 1]


@pytest.mark.parametrize("name", ["layer norm", "softmax", "cross-entropy", "conv2d"])
def test_layer_without_a_loop_has_no_turns(name: str) -> None:
    one = loop(name).program("units")
    assert one is not None
    assert {*one.turn} == {0}
    assert {group: found for group, found in one.groups.items() if len(found) > 1 and found[0] < one.graph.forward} == {}


@pytest.mark.parametrize("name", ["RNN", "LSTM"])
def test_edits_of_all_turns_and_of_one_alone(name: str) -> None:
    """A short loop is edited in one turn alone, too; a longer one only as a whole."""
    counts = {}
    for steps in (4, 9):
        one = program(name, steps)
        tanh = next(found for found in in_loop(one, steps).values() if one.graph.steps[found[0]].operation == "tanh")
        own = [edit for edit in edits(one, forward=True) if edit.key[0] == one.group[tanh[0]] and edit.kind == "left out"]
        counts[steps] = sorted(len(edit.rewrites) for edit in own)
    assert counts == {4: [1, 1, 1, 1, 4], 9: [9]}


@pytest.mark.parametrize("steps", [2, 4, 9])
def test_gradient_of_one_turn_alone(steps: int) -> None:
    """The gradient of a weight is a sum over turns; its edits give it the part of the first turn or of the last."""
    one = program("RNN", steps)
    base = one.graph.values
    found = {
        edit.key[-1]: edit
        for edit in edits(one, forward=False)
        if edit.kind == "one turn" and edit.rewrites.keys() == {one.gradients["bias_ih_l0.grad"]}
    }
    assert {*found} == {"first", "last"}
    parts = {word: results(one, edit)[one.gradients["bias_ih_l0.grad"]] for word, edit in found.items()}  # type: ignore[index]
    assert not np.array_equal(parts["first"], parts["last"])
    if steps == 2:
        both = base[one.gradients["bias_ih_l0.grad"]]  # type: ignore[index]
        assert np.array_equal(parts["first"] + parts["last"], both)


def results(one: Program, edit: Edit) -> dict[int, Value]:
    values = one.run(edit.rewrites, one.graph.values, one.reach)
    assert values is not None
    return {at: values[at] for at in range(len(one.graph.steps))}


def evaluated(graph: Graph, rewrites: dict[At, Rewrite]) -> list[Value]:
    """Return the values of all steps, each computed anew, with some steps changed."""
    values: list[Value] = []
    for number, step in enumerate(graph.steps):
        if (rewrite := rewrites.get(At(number))) is not None:
            values.append(np.asarray(evaluate(rewrite, dict(enumerate(values)))))
        else:
            values.append(graph.values[number] if step.operation in (INPUT, CONSTANT) else np.asarray(step.run(values)))
    return values


def drawn(one: Program, count: int) -> Iterator[Edit]:
    """Yield edits of both passes at random."""
    rng, known = np.random.default_rng(0), [edit for forward in (True, False) for edit in edits(one, forward) if not edit.only_backward]
    yield from (known[number] for number in rng.choice(len(known), size=count, replace=False))


def differing(one: Program, count: int) -> Iterator[tuple[str, list[int]]]:
    """Yield the edits with which a run differs from a full evaluation, and the steps that differ."""
    compared = 0
    for edit in drawn(one, count):
        try:
            values = evaluated(one.graph, dict(edit.rewrites))
        except (ValueError, IndexError, TypeError, NoDerivativeError):
            continue
        compared += 1
        run = one.run(edit.rewrites, one.graph.values, one.reach)
        assert run is not None
        wrong = [at for at, value in enumerate(values) if not np.array_equal(value, run[at], equal_nan=value.dtype.kind == "f")]
        if wrong:
            yield edit.words, wrong
    assert compared > count // 2


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["layer norm", "causal attention", "LSTM", "batch norm"])
def test_run_equals_a_full_evaluation(name: str, form: str) -> None:
    one = layer(name).program(form)
    assert one is None or [*differing(one, 60)] == []


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_run_that_reaches_too_little_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    one = loop("layer norm").program("units")
    assert one is not None
    monkeypatch.setattr(one, "reach", [bits & ~(1 << one.graph.outputs["output"]) for bits in one.reach])
    assert len([*differing(one, 60)]) > 10


@cache
def layer(name: str) -> Loop:
    return loop(name)


def test_run_without_a_change_computes_nothing() -> None:
    one = program("LSTM", 4)
    values = one.run({}, one.graph.values, one.reach)
    assert values == {}
    assert all(values[at] is value for at, value in enumerate(one.graph.values))


def test_run_computes_what_is_reached_and_no_step_that_hands_a_value_on() -> None:
    one = program("LSTM", 4)
    handed_on = {at for at, step in enumerate(one.graph.steps) if step.operation == "same" and at not in one.outputs_at}
    assert handed_on
    for edit in drawn(one, 20):
        if edit.rewrites.keys() & handed_on:
            continue
        values = one.run(edit.rewrites, one.graph.values, one.reach)
        assert {*(values or {})} == {*members(union(one.reach[at] for at in edit.rewrites))} - handed_on


def test_step_that_hands_a_value_on_can_be_edited() -> None:
    one = program("LSTM", 4)
    at = next(At(number) for number, step in enumerate(one.graph.steps) if step.operation == "same" and number not in one.outputs_at)
    expected = evaluated(one.graph, {at: np.zeros(one.graph.shape(at))})
    values = one.run({at: np.zeros(one.graph.shape(at))}, one.graph.values, one.reach)
    assert values is not None
    assert all(np.array_equal(values[number], value) for number, value in enumerate(expected))


def test_run_is_stopped_at_the_first_quantity() -> None:
    one = program("GRU", 4)
    edit = next(edit for edit in edits(one, forward=True) if edit.kind == "left out")
    seen: list[str] = []

    def stop(name: str, value: Value) -> bool:
        seen.append(name)
        return len(seen) == 2

    assert one.run(edit.rewrites, one.graph.values, one.reach, stop) is None
    assert len(seen) == 2
    asked: list[str] = []

    def ask(name: str, value: Value) -> bool:
        asked.append(name)
        return False

    assert one.run(edit.rewrites, one.graph.values, one.reach, ask) is not None
    assert sorted(asked) == sorted(one.reached(union(one.reach[at] for at in edit.rewrites)))


def test_program_is_run_for_other_arguments() -> None:
    _, other = recurrent(nn.GRU, 4)
    call = other.each(lambda array: array / 2)
    one = program("GRU", 4)
    base = one.graph.evaluated(arguments_of(call))
    edit = next(edit for edit in edits(one, forward=True) if edit.kind == "left out")
    values = one.run(edit.rewrites, base, one.reach)
    fresh, _ = recurrent(nn.GRU, 4)
    rebuilt = Program(differentiate(fresh.graph(call), call, by_units=True), call)
    expected = evaluated(rebuilt.graph, dict(edit.rewrites))
    assert values is not None
    assert all(np.array_equal(values[at], value) for at, value in enumerate(expected))
