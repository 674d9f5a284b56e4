"""All edits of a program, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import replace

from crosscheck.causes.variants import arithmetic, axes, gradients, numbers, operands, places, together, units, uses
from crosscheck.causes.variants.change import Change, Edit, Rewrite
from crosscheck.causes.variants.program import Group, Program
from crosscheck.oracles.graph.graph import CONSTANT, INPUT, At, Graph

_ONE_BY_ONE = 6
"""In groups of at most this many steps an edit of one of them alone is tried, too: three projections of one input look like a loop."""

_PLACES_ALIKE = 40
"""The most places at which the same operation is edited at once."""


def edits(program: Program, forward: bool) -> list[Edit]:
    """Return all edits of the forward pass, or all of the backward pass, sorted by stage."""
    found = list(_forward(program) if forward else _backward(program))
    return sorted(found, key=lambda edit: edit.stage)


def _forward(program: Program) -> Iterator[Edit]:
    graph = program.graph
    groups = {group: members for group, members in program.groups.items() if members[0] < graph.forward and _computes(graph, members[0])}
    for group, members in groups.items():
        yield from _of_group(program, group, members, _of_step)
        yield from operands.edits_of(program, group, members)
    yield from (edit for edit in _of_several(program) if min(edit.rewrites) < graph.forward)
    yield from uses.edits_of(program, forward=True)
    yield from _alike(program, groups)


def _backward(program: Program) -> Iterator[Edit]:
    graph = program.graph
    for group, members in program.groups.items():
        if members[0] >= graph.forward:
            yield from _of_group(program, group, members, _of_backward_step)
            yield from operands.edits_of(program, group, members)
    yield from operands.edits_of_origins(program)
    yield from uses.edits_of(program, forward=False)
    yield from (edit for edit in _of_several(program) if min(edit.rewrites) >= graph.forward)
    for edit in _forward(program):
        yield replace(edit, key=("cached", *edit.key), stage=edit.stage + 1, only_backward=True)


def _of_several(program: Program) -> Iterator[Edit]:
    yield from together.edits_of(program)
    yield from units.edits_of(program)


def _computes(graph: Graph, at: At) -> bool:
    return graph.steps[at].operation not in (INPUT, CONSTANT, "stop")


def _of_step(graph: Graph, at: At) -> Iterator[Change]:
    for module in (arithmetic, numbers, axes, places):
        yield from module.changes(graph, at)


def _of_backward_step(graph: Graph, at: At) -> Iterator[Change]:
    yield from gradients.changes(graph, at)
    if _computes(graph, at):
        yield from _of_step(graph, at)


def _of_group(program: Program, group: Group, members: list[At], changes: Callable[[Graph, At], Iterator[Change]]) -> Iterator[Edit]:
    """Yield the edits that change all steps of a group alike, and, of a small group, each step alone."""
    for key, (change, rewrites) in _by_key(program.graph, members, changes).items():
        at = sorted(rewrites)[len(rewrites) // 2]
        about = change.about or program.graph.steps[at].args
        yield Edit((group, key), str(change.key[0]), change.stage, change.words, about, rewrites)
        if 2 <= len(members) <= _ONE_BY_ONE:
            for one, rewrite in rewrites.items():
                words = f"{change.words} (in step {program.turn[one]} alone)"
                yield Edit((group, key, program.turn[one]), str(change.key[0]), change.stage + 1, words, about, {one: rewrite})


def _by_key(graph: Graph, places: Iterable[At], changes: Callable[[Graph, At], Iterator[Change]]) -> dict[Hashable, tuple[Change, dict[At, Rewrite]]]:
    """Return the changes of several steps by their keys, each with what the steps give instead."""
    found: dict[Hashable, tuple[Change, dict[At, Rewrite]]] = {}
    for at in places:
        for change in changes(graph, at):
            found.setdefault(change.key, (change, {}))[1][at] = change.rewrite
    return found


def _alike(program: Program, groups: Mapping[Group, list[At]]) -> Iterator[Edit]:
    """Yield the edits that change the same operation in the same way wherever it is used with the same settings."""
    graph, same = program.graph, dict[Hashable, list[At]]()
    for at in (at for members in groups.values() for at in members):
        step = graph.steps[at]
        settings = repr({name: value for name, value in step.settings.items() if name != "shape"})
        same.setdefault((step.operation, settings, tuple(arg for arg in step.args if not isinstance(arg, At))), []).append(at)
    for number, alike in enumerate(same.values()):
        if 2 <= len(alike) <= _PLACES_ALIKE and len({program.group[at] for at in alike}) > 1:
            for key, (change, rewrites) in _by_key(graph, alike, _of_step).items():
                if len(rewrites) > 1:
                    words = f"{change.words} (in {len(rewrites)} places alike)"
                    about = change.about or graph.steps[alike[0]].args
                    yield Edit(("alike", number, key), str(change.key[0]), change.stage + 2, words, about, rewrites)
