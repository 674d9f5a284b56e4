"""Edits in which a step reads another array than it should."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

from crosscheck.causes.variants.change import Edit, Rewrite, made
from crosscheck.causes.variants.program import Group, Program
from crosscheck.oracles.graph.graph import CONSTANT, At, Step

_STAGE = 3
_UNCHANGED = ("same", "reshape", "expand", "as_number", "stop")
"""Operations whose result is the array that they get."""

_BROAD = ("add", "subtract", "multiply", "divide")
"""Operations that repeat the smaller of two arrays, so that an array of the result's shape may stand for it."""

_MOVED = (*_UNCHANGED, "index", "place", "transpose")


def edits_of(program: Program, group: Group, members: Sequence[At]) -> Iterator[Edit]:
    """Yield the edits of a group of steps in which each reads another array of the same shape, from its own turn of a loop or from one beside it."""
    graph = program.graph
    at = members[len(members) // 2]
    step = graph.steps[at]
    turned = at >= program.graph.forward and step.operation in ("transpose", "reshape")
    if (step.operation in _MOVED and not turned) or step.role == "total":
        return
    for number, arg in enumerate(step.args):
        if isinstance(arg, At) and graph.values[arg].dtype.kind == "f" and graph.steps[arg].operation != CONSTANT:
            broad = step.operation in _BROAD and graph.shape(arg) != graph.shape(at)
            for other in _near(program, at, arg, graph.shape(at) if broad else graph.shape(arg)):
                yield from _reading(program, group, members, number, at, other)
            if broad:
                for other in _near(program, at, arg, graph.shape(arg)):
                    yield from _reading(program, group, members, number, at, other)


def edits_of_origins(program: Program) -> Iterator[Edit]:
    """Yield the edits in which all backward steps of one forward step read another array in place of one."""
    graph = program.graph
    for group, turns in _by_origin(program).items():
        sample = turns[sorted(turns)[len(turns) // 2]]
        sources = [source for at in sample for source in graph.steps[at].sources if source < graph.forward and graph.values[source].dtype.kind == "f"]
        for source in dict.fromkeys(sources):
            if sources.count(source) > 1 and graph.steps[source].operation != CONSTANT:
                for other in _near(program, sample[0], source, graph.shape(source)):
                    if other < graph.forward:
                        yield from _reading_everywhere(program, group, turns, source, other, program.turn[sample[0]])


def _by_origin(program: Program) -> dict[Group, dict[int, list[At]]]:
    """Return the backward steps of each group of forward steps, by their turn."""
    graph, found = program.graph, dict[Group, dict[int, list[At]]]()
    for number in range(graph.forward, len(graph.steps)):
        if (origin := graph.steps[number].origin) is not None and graph.steps[number].operation != "same":
            found.setdefault(program.group[origin.step], {}).setdefault(program.turn[number], []).append(At(number))
    return found


def _reading(program: Program, group: Group, members: Sequence[At], number: int, sample: At, other: At) -> Iterator[Edit]:
    """Yield the edit in which each member reads, as an argument, what ``other`` is for the sample."""
    graph, shift = program.graph, program.turn[other] - program.turn[sample]
    rewrites: dict[At, Rewrite] = {}
    for one in members:
        step = graph.steps[one]
        there = _in_turn(program, other, program.turn[one] + shift) if len(members) > 1 else other
        own = step.args[number] if number < len(step.args) else None
        if there is not None and isinstance(own, At) and there < one:
            rewrites[one] = _with(step, own, there)
    if rewrites:
        own = graph.steps[sample].args[number]
        assert isinstance(own, At)
        key = (group, "operand", number, program.group[other], shift)
        when = _when(program.turn[other] - program.turn[own])
        yield Edit(key, "operand", _STAGE, f"{{1}}{when} stands for {{0}}", (own, other), rewrites)


def _reading_everywhere(program: Program, group: Group, turns: dict[int, list[At]], source: At, other: At, at: int) -> Iterator[Edit]:
    graph, rewrites = program.graph, dict[At, Rewrite]()
    for turn, steps in turns.items():
        own, there = (_in_turn(program, one, turn + program.turn[one] - at) for one in (source, other))
        if own is not None and there is not None and graph.shape(own) == graph.shape(there):
            rewrites |= {one: _with(graph.steps[one], own, there) for one in steps if own in graph.steps[one].sources}
    if rewrites:
        shift = program.turn[other] - at
        key: tuple[Hashable, ...] = (group, "read", program.group[source], program.group[other], shift)
        when = _when(program.turn[other] - program.turn[source])
        yield Edit(key, "operand", _STAGE, f"{{1}}{when} stands for {{0}}", (source, other), rewrites)


def _with(step: Step, own: At, other: At) -> Rewrite:
    return made(step.operation, *(other if isinstance(arg, At) and arg == own else arg for arg in step.args), **step.settings)


def _when(shift: int) -> str:
    return "" if not shift else " of the step before" if shift < 0 else " of the step after"


def _in_turn(program: Program, at: At, turn: int) -> At | None:
    """Return the step that does in another turn what a step does in its own; a step outside of loops is the same for all turns.

    Before the first turn there is what the first turn reads where later turns read the result of the turn before, such as an initial state.
    """
    members = program.groups[program.group[at]]
    if len(members) == 1:
        return at
    found = next((one for one in members if program.turn[one] == turn), None)
    return found if found is not None or turn >= min(program.turn[one] for one in members) else _before_the_first(program, at)


def _before_the_first(program: Program, at: At) -> At | None:
    """Return what the first turn of a loop reads where the other turns read the result of this step, one turn before."""
    graph = program.graph
    for user in program.users[at]:
        others = program.groups[program.group[user]]
        if program.turn[user] == program.turn[at] + 1 and user < graph.forward:
            place = graph.steps[user].args.index(at)
            first = graph.steps[min(others, key=lambda one: program.turn[one])].args[place]
            return first if isinstance(first, At) else None
    return None


def _near(program: Program, at: At, arg: At, shape: tuple[int, ...]) -> Iterator[At]:
    """Yield what may stand for an argument by mistake: arrays of a shape that are there already, in the same turn of a loop or beside it."""
    graph, own = program.graph, _root(program, arg)
    for number in range(at if at >= graph.forward else min(at, graph.forward)):
        other = At(number)
        step = graph.steps[other]
        if graph.shape(other) != shape or graph.values[other].dtype.kind != "f" or step.operation in (*_UNCHANGED, CONSTANT, "place"):
            continue
        beside = len(program.groups[program.group[other]]) == 1 or program.turn[at] - program.turn[other] in (0, 1)
        if beside and _root(program, other) != own:
            yield other


def _root(program: Program, at: At) -> At:
    """Return the step whose numbers a step hands on."""
    step = program.graph.steps[at]
    while step.operation in _UNCHANGED and isinstance(step.args[0], At):
        at = step.args[0]
        step = program.graph.steps[at]
    return at
