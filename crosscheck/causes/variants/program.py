"""A graph made ready for a search: which steps repeat in a loop, what each step reaches, and runs in which some steps are changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, cast

import numpy as np

from crosscheck.causes.variants.change import Rewrite, evaluate
from crosscheck.core.operation import Call
from crosscheck.oracles.graph.graph import INPUT, At, Graph, Step, members, reachable, union
from crosscheck.oracles.graph.operations import OPERATIONS, Value
from crosscheck.oracles.graph.passes import wanted_of

Group = tuple[Hashable, ...]
"""What steps have in common that do the same in the turns of a loop."""

_ENTRY = "entry"
"""Part of the signature of a step that reads one entry along an axis. Such steps follow one another where a sequence is taken apart."""

_HOISTED = 3
"""How many steps in a row may be in the first turn of a loop alone."""

_MOVING = ("transpose", "reshape")
"""Operations that only move numbers."""

_SHORTEST = 3
"""The fewest steps that a loop's turn is made of."""


class Overlay(dict[int, Value]):
    """Values of which some differ from those of an earlier run; ``roots`` says which step each step has its value from."""

    def __init__(self, base: Sequence[Value], roots: Sequence[int] | None = None) -> None:
        super().__init__()
        self._base, self._roots = base, roots

    def __missing__(self, at: int) -> Value:
        root = at if self._roots is None else self._roots[at]
        return self._base[at] if root == at else self[root]


Computed = Callable[[Mapping[int, Value]], Any]
"""Computes a step from the values of earlier ones."""


def compiled(step: Step, roots: Sequence[int]) -> Computed:
    """Return a function that computes a step; it reads the root of each argument."""
    function = OPERATIONS.get(step.operation, OPERATIONS["same"])
    if step.settings:
        function = partial(function, **step.settings)
    sources = [roots[source] for source in step.sources]
    if len(sources) < len(step.args):
        args = [At(roots[arg]) if isinstance(arg, At) else arg for arg in step.args]
        return lambda values: function(*[values[arg] if isinstance(arg, At) else arg for arg in args])
    if len(sources) == 1:
        (one,) = sources
        return lambda values: function(values[one])
    if len(sources) == 2:
        first, second = sources
        return lambda values: function(values[first], values[second])
    return lambda values: function(*[values[source] for source in sources])


class Program:
    """A graph with both passes, and what a search needs to know of it.

    Parameters
    ----------
    graph : Graph
    call : Call
        The call that it was made for.
    form : str
        One of :data:`~crosscheck.causes.variants.programs.FORMS`.
    """

    def __init__(self, graph: Graph, call: Call, form: str = "") -> None:
        self.graph, self.call, self.form = graph, call, form
        self.wanted = wanted_of(graph, call) if call.cotangents else {}
        self.forward_outputs = {name: at for name, at in graph.outputs.items() if name not in self.wanted}
        self.gradients = {name: graph.outputs.get(name) for name in self.wanted}
        self.turn, self.group = _turns(graph)

    @cached_property
    def users(self) -> list[list[int]]:
        """For each step, the steps that read it."""
        return self.graph.users()

    @cached_property
    def reach(self) -> list[int]:
        """For each step, the steps that its value reaches, as bits."""
        return reachable(self.users)

    @cached_property
    def backward_reach(self) -> list[int]:
        """For each step, the steps that a changed value reaches if only backward steps read it."""
        return reachable(self.users, lambda at: at >= self.graph.forward)

    @cached_property
    def outputs_at(self) -> dict[int, list[str]]:
        """The quantities by the step that computes them."""
        found: dict[int, list[str]] = {}
        for name, at in self.graph.outputs.items():
            found.setdefault(at, []).append(name)
        return found

    @cached_property
    def _output_bits(self) -> dict[str, int]:
        return {name: 1 << at for name, at in self.graph.outputs.items()}

    def reached(self, bits: int) -> frozenset[str]:
        """Return the quantities that a set of steps holds."""
        return frozenset(name for name, bit in self._output_bits.items() if bits & bit)

    @cached_property
    def groups(self) -> dict[Group, list[At]]:
        """The steps of each group, in their order; steps outside of loops are alone."""
        found: dict[Group, list[At]] = {}
        for at, group in enumerate(self.group):
            found.setdefault(group, []).append(At(at))
        return found

    @cached_property
    def outline(self) -> list[tuple[Group, str]]:
        """The groups of the forward pass with their operations. Programs with the same outline have the same edits, whatever their shapes are."""
        forward = ((group, found[0]) for group, found in self.groups.items() if found[0] < self.graph.forward)
        return [(group, self.graph.steps[at].operation) for group, at in forward]

    def run(
        self,
        rewrites: Mapping[At, Rewrite],
        base: Sequence[Value],
        reach: Sequence[int],
        stop: Callable[[str, Value], bool] = lambda name, value: False,
    ) -> Overlay | None:
        """Return the values with some steps changed; None if ``stop`` says so of a quantity.

        Only what the changed steps reach is computed again.
        """
        handed_on = self._handed_on
        values, functions, outputs = Overlay(base, self._roots), self._computed, self.outputs_at
        if handed_on & union(1 << at for at in rewrites):
            values, functions, handed_on = Overlay(base), self._computed_plainly, 0
        for at in members(union(reach[one] for one in rewrites) & ~handed_on):
            rewrite = rewrites.get(at)  # type: ignore[call-overload]  # places are whole numbers
            value = functions[at](values) if rewrite is None else np.asarray(evaluate(rewrite, values))
            values[at] = value
            if at in outputs and any(stop(name, value) for name in outputs[at]):
                return None
        return values

    @cached_property
    def _roots(self) -> list[int]:
        """For each step, the step whose value it hands on unchanged; outputs count as steps of their own."""
        found = list(range(len(self.graph.steps)))
        for number, step in enumerate(self.graph.steps):
            if step.operation == "same" and number not in self.outputs_at and isinstance(step.args[0], At):
                found[number] = found[step.args[0]]
        return found

    @cached_property
    def _handed_on(self) -> int:
        """The steps that hand a value on unchanged, as bits."""
        return union(1 << number for number, root in enumerate(self._roots) if root != number)

    @cached_property
    def _computed(self) -> list[Computed]:
        return [compiled(step, self._roots) for step in self.graph.steps]

    @cached_property
    def _computed_plainly(self) -> list[Computed]:
        return [compiled(step, range(len(self.graph.steps))) for step in self.graph.steps]


def _turns(graph: Graph) -> tuple[list[int], list[Group]]:
    """Return the turn of each step in its loop, and its group. A backward step is in the turn of the forward step that it belongs to."""
    turn, place = [0] * graph.forward, list(range(graph.forward))
    shared = _shared(graph)
    repeated = [at for at in place if at not in shared]
    turns, firsts = _repeats([_signature(graph, graph.steps[at], graph.values[at]) for at in repeated])
    for at, one, first in zip(repeated, turns, firsts, strict=True):
        turn[at], place[at] = one, repeated[first]
    order: dict[int, int] = {}
    numbers = [order.setdefault(one, len(order)) for one in place]
    groups: list[Group] = [("forward", number) for number in numbers]
    for step in graph.steps[graph.forward :]:
        if (origin := step.origin) is None:
            turn.append(0)
            groups.append(("upstream", step.name))
        else:
            turn.append(turn[origin.step])
            groups.append(("backward", numbers[origin.step], origin.argument, origin.number, step.operation))
    return turn, groups


def _shared(graph: Graph) -> set[int]:
    """Return the steps that several others share and that only move the numbers of an argument, such as a transposed weight.

    They come up in the first turn of a loop alone, because equal steps are one.
    """
    counts = Counter[int](source for step in graph.steps[: graph.forward] for source in step.sources)
    found: set[int] = set()
    for at, step in enumerate(graph.steps[: graph.forward]):
        moved = step.operation in _MOVING or (step.operation == "index" and not _is_entry(step))
        if counts[at] > 1 and moved and (graph.steps[step.sources[0]].operation == INPUT or step.sources[0] in found):
            found.add(at)
    return found


def _signature(graph: Graph, step: Step, value: Value) -> Hashable:
    """Return what two steps have in common that do the same in two turns of a loop."""
    where = repr(step.settings)
    if step.operation in ("index", "replace_at"):
        where = _ENTRY if _is_entry(step) else ""
    constants = tuple(arg for arg in step.args if not isinstance(arg, At))
    read = step if step.operation == INPUT else graph.steps[step.sources[0]] if step.operation == "index" else None
    return (step.operation, value.shape, where, constants, read.name if read is not None and read.operation == INPUT else "")


def _is_entry(step: Step) -> bool:
    """Return whether a step reads or writes one entry along an axis."""
    return any(isinstance(one, int) for one in step.settings["key"])


def _repeats(signatures: Sequence[Hashable]) -> tuple[list[int], list[int]]:
    """Return, for each element, the turn that it is in, and the first element of its kind, where a sequence repeats itself at once."""
    count = len(signatures)
    turn, first, at = [0] * count, list(range(count)), 0
    following: dict[Hashable, list[int]] = {}
    for number, signature in enumerate(signatures):
        following.setdefault(signature, []).append(number)
    while at < count:
        best = (0, 0)
        for other in following[signatures[at]]:
            period = other - at
            if (period < _SHORTEST and not (period == 1 and _ENTRY in cast("tuple[Any, ...]", signatures[at]))) or at + 2 * period > count:
                continue
            same = 0
            while at + period + same < count and signatures[at + same] == signatures[at + period + same]:
                same += 1
            if same >= period and sum(best) < same + period:
                best = (period, same)
        period, same = best
        if not period:
            at += 1
            continue
        turns = same // period + 1
        for number in range(at, at + period * turns):
            turn[number], first[number] = 1 + (number - at) // period, at + (number - at) % period
        _extend_back(signatures, at, period, first)
        at = _extend_on(signatures, at, period, turns, turn, first)
    return turn, first


def _extend_back(signatures: Sequence[Hashable], start: int, period: int, first: list[int]) -> None:
    """Add to a loop the end of a turn before ``start``, among which are steps that later turns need not repeat, such as a transposed weight."""
    place, skipped = start + period - 1, 0
    for number in range(start - 1, -1, -1):
        if place < start or skipped > _HOISTED or first[number] != number:
            return
        if signatures[number] == signatures[place]:
            first[number], place, skipped = place, place - 1, 0
        else:
            skipped += 1


def _extend_on(signatures: Sequence[Hashable], start: int, period: int, turns: int, turn: list[int], first: list[int]) -> int:
    """Add to a loop the beginning of a turn after its last whole one, and return where it ends."""
    number = start + period * turns
    for place in range(start, start + period):
        if number == len(signatures) or signatures[number] != signatures[place]:
            break
        turn[number], first[number] = turns + 1, place
        number += 1
    return number


def values_of(program: Program, values: Any) -> dict[str, Value]:
    """Return the quantities of a run; a gradient that nothing leads to is 0."""
    found = {name: values[at] for name, at in program.graph.outputs.items()}
    for name, at in program.wanted.items():
        if name not in found:
            found[name] = np.zeros_like(values[at])
    return found
