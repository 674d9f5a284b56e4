"""Recurrent layers as loops over time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from crosscheck.oracles.graph.graph import At
from crosscheck.oracles.graph.passes import NoGraphError
from crosscheck.references.pytorch.graph.products import linear
from crosscheck.references.pytorch.graph.steps import Rule, Steps

State: TypeAlias = "tuple[At, ...]"
"""The hidden state; of an LSTM, the hidden state and the cell state."""

Weights: TypeAlias = "Sequence[At | None]"
"""Weight of the input, weight of the state, and their biases; of an LSTM also the weight of a projection."""

Cell = Callable[[Steps, At, State, Weights], State]
"""Returns the state after one step in time."""


def _sums(t: Steps, x: At, hidden: At, weights: Weights) -> tuple[At, At]:
    of_input, of_state, bias, bias_of_state = weights[:4]
    assert of_input is not None and of_state is not None  # noqa: PT018 - one condition
    return linear(t, x, of_input, bias), linear(t, hidden, of_state, bias_of_state)


def _parts(t: Steps, x: At, roles: Sequence[str]) -> list[At]:
    axis = len(t.shape(x)) - 1
    size = t.shape(x)[axis] // len(roles)
    keys = [(*[slice(None)] * axis, slice(number * size, (number + 1) * size)) for number in range(len(roles))]
    return [t.add("index", x, key=key, role=role) for key, role in zip(keys, roles, strict=True)]


def _lstm(t: Steps, x: At, state: State, weights: Weights) -> State:
    hidden, cell = state
    roles = [f"pre-activation of the {gate}" for gate in ("input gate", "forget gate", "cell candidate", "output gate")]
    inputs, forgets, new, outputs = _parts(t, t.add("add", *_sums(t, x, hidden, weights), role="pre-activations"), roles)
    gate = t.add("sigmoid", inputs, role="input gate")
    kept = t.add("multiply", t.add("sigmoid", forgets, role="forget gate"), cell)
    cell = t.add("add", kept, t.add("multiply", gate, t.add("tanh", new, role="cell candidate")), role="cell state")
    hidden = t.add("multiply", t.add("sigmoid", outputs, role="output gate"), t.add("tanh", cell), role="hidden state")
    if len(weights) > 4 and weights[4] is not None:
        hidden = linear(t, hidden, weights[4])
    return hidden, cell


def _gru(t: Steps, x: At, state: State, weights: Weights) -> State:
    (hidden,) = state
    gates = ("reset gate", "update gate", "new gate")
    sums = zip(("x", "h"), _sums(t, x, hidden, weights), strict=True)
    of_input, of_state = (_parts(t, one, [f"{source} part of the {gate}" for gate in gates]) for source, one in sums)
    reset = t.add("sigmoid", t.add("add", of_input[0], of_state[0]), role="reset gate")
    update = t.add("sigmoid", t.add("add", of_input[1], of_state[1]), role="update gate")
    new = t.add("tanh", t.add("add", of_input[2], t.add("multiply", reset, of_state[2])), role="new gate")
    changed = t.add("multiply", t.add("subtract", 1.0, update), new)
    return (t.add("add", changed, t.add("multiply", update, hidden), role="hidden state"),)


def _plain(function: str) -> Cell:
    def cell(t: Steps, x: At, state: State, weights: Weights) -> State:
        return (t.add(function, t.add("add", *_sums(t, x, state[0], weights)), role="hidden state"),)

    return cell


def _layer(t: Steps, cell: Cell, steps: Sequence[At], state: State, weights: Weights, backwards: bool) -> tuple[list[At], State]:
    """Add one layer in one direction; return its hidden states in the order of time, and its last state."""
    found = []
    for x in reversed(steps) if backwards else steps:
        state = cell(t, x, state, weights)
        found.append(state[0])
    return (found[::-1] if backwards else found), state


def _recurrent(cell: Cell) -> Rule:
    def rule(  # noqa: PLR0913, PLR0917 - PyTorch's own signature
        t: Steps,
        x: At,
        state: Any,
        params: Sequence[At],
        has_biases: Any,
        num_layers: Any,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: Any = None,
    ) -> tuple[At, ...]:
        if not isinstance(has_biases, bool) or batch_first is None:
            raise NoGraphError("a recurrent layer of packed sequences")
        if dropout and train and num_layers > 1:
            raise NoGraphError("dropout draws its mask in training")
        start = [state] if isinstance(state, At) else list(state)
        axis = 1 if batch_first else 0
        steps = [t.add("index", x, key=(*[slice(None)] * axis, number)) for number in range(t.shape(x)[axis])]
        directions = 2 if bidirectional else 1
        each = len(params) // (num_layers * directions)
        last: list[State] = []
        for layer in range(num_layers):
            of_directions = []
            for direction in range(directions):
                number = layer * directions + direction
                own = tuple(t.add("index", one, key=(number,)) for one in start)
                given = _weights(params[number * each : (number + 1) * each], has_biases)
                found, end = _layer(t, cell, steps, own, given, backwards=bool(direction))
                of_directions.append(found)
                last.append(end)
            wide = len(t.shape(steps[0])) - 1
            steps = [t.add("concatenate", *both, axis=wide) if directions == 2 else both[0] for both in zip(*of_directions, strict=True)]
        ends = [t.add("stack", *parts, axis=0) for parts in zip(*last, strict=True)]
        return (t.add("stack", *steps, axis=axis), *ends)

    return rule


def _weights(params: Sequence[At], biases: bool) -> Weights:
    if biases:
        return params
    return [*params[:2], None, None, *params[2:]]


def _cell(cell: Cell) -> Rule:
    def rule(t: Steps, x: At, state: Any, w_ih: At, w_hh: At, b_ih: At | None = None, b_hh: At | None = None) -> Any:
        found = cell(t, x, (state,) if isinstance(state, At) else tuple(state), (w_ih, w_hh, b_ih, b_hh))
        return found if len(found) > 1 else found[0]

    return rule


RULES: Mapping[str, Rule] = {
    "lstm": _recurrent(_lstm),
    "gru": _recurrent(_gru),
    "rnn_tanh": _recurrent(_plain("tanh")),
    "rnn_relu": _recurrent(_plain("relu")),
    "lstm_cell": _cell(_lstm),
    "gru_cell": _cell(_gru),
    "rnn_tanh_cell": _cell(_plain("tanh")),
    "rnn_relu_cell": _cell(_plain("relu")),
}
"""The rules by the names of PyTorch's operations."""
