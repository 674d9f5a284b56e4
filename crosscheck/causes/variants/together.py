"""Edits of several steps at once: pieces in another order, a mask after the softmax, one axis in all steps of a unit, a split and its merge."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator

from crosscheck.causes.variants.axes import in_words as axes_in_words
from crosscheck.causes.variants.change import Edit, Rewrite, made
from crosscheck.causes.variants.formulas import unit_name
from crosscheck.causes.variants.program import Group, Program
from crosscheck.oracles.graph.graph import At

_MOST_PIECES = 4
"""The most pieces of an array that are tried in all their orders."""


def edits_of(program: Program) -> Iterator[Edit]:
    """Yield all edits of several steps."""
    yield from _pieces(program)
    yield from _masks(program)
    yield from _unit_axes(program)
    yield from _splits(program)
    yield from _only_one_turn(program)


def _pieces(program: Program) -> Iterator[Edit]:
    """Yield the orders of the equal pieces that an array is cut into, such as the gates of an LSTM."""
    graph = program.graph
    for groups, lists in _cut(program).items():
        usual = tuple(range(len(groups)))
        names = [graph.steps[piece].name or graph.steps[piece].role for piece in lists[0]]
        names = _told_apart(names) if all(names) else [str(one + 1) for one in usual]
        source = graph.steps[lists[0][0]].source()
        for order in itertools.permutations(usual):
            if order == usual:
                continue
            rewrites: dict[At, Rewrite] = {}
            for pieces in lists:
                for piece, other in zip(pieces, order, strict=True):
                    if pieces[other] != piece:
                        rewrites[piece] = made("index", *graph.steps[pieces[other]].args, **graph.steps[pieces[other]].settings)
            words = f"the pieces of {{0}} are taken in the order {', '.join(names[one] for one in order)}; the order is {', '.join(names)}"
            yield Edit(("pieces", *groups, order), "pieces", 1, words, (source,), rewrites)


def _told_apart(names: list[str]) -> list[str]:
    """Return names without the words with which all of them begin."""
    words = [name.split() for name in names]
    same = next((at for at, column in enumerate(zip(*words, strict=False)) if len(set(column)) > 1), 0)
    return [" ".join(one[same:]) for one in words]


def _cut(program: Program) -> dict[tuple[Group, ...], list[list[At]]]:
    """Return the lists of equal pieces that arrays are cut into, by their groups: one list for each turn of a loop."""
    graph, by_source = program.graph, dict[Hashable, list[At]]()
    for number, step in enumerate(graph.steps):
        if step.operation == "index":
            by_source.setdefault((step.args[0], graph.shape(At(number)), number >= graph.forward), []).append(At(number))
    found: dict[tuple[Group, ...], list[list[At]]] = {}
    for pieces in by_source.values():
        if 2 <= len(pieces) <= _MOST_PIECES:
            found.setdefault(tuple(program.group[piece] for piece in pieces), []).append(pieces)
    return found


def _masks(program: Program) -> Iterator[Edit]:
    """Yield the edits in which a mask sets weights to 0 after a softmax, where it has to set scores to minus infinity before it."""
    graph = program.graph
    for number, step in enumerate(graph.steps[: graph.forward]):
        if step.operation != "where":
            continue
        condition, *arms = step.args
        shape = graph.shape(At(number))
        softmaxes = [unit.output for unit in graph.units if unit.kind == "softmax" and program.reach[number] >> unit.output & 1]
        output = next((one for one in softmaxes if graph.shape(one) == shape), None)
        kept = [place for place, arm in enumerate(arms) if isinstance(arm, At) and graph.shape(arm) == shape]
        if output is None or len(kept) != 1:
            continue
        late = made(graph.steps[output].operation, *graph.steps[output].args)
        masked = made("where", condition, late, 0.0) if kept == [0] else made("where", condition, 0.0, late)
        words = "the mask is applied after the softmax (0 there); the scores have to be -inf there before it"
        yield Edit(("mask late", program.group[number]), "mask late", 0, words, (), {At(number): arms[kept[0]], output: masked})


def _unit_axes(program: Program) -> Iterator[Edit]:
    """Yield the edits in which all reductions of a unit run along other axes."""
    graph = program.graph
    for number, unit in enumerate(graph.units):
        steps = [At(at) for at in range(graph.forward) if graph.steps[at].unit == number]
        reductions = [at for at in steps if graph.steps[at].operation in ("sum", "mean", "amax") and graph.steps[at].settings.get("keepdims")]
        if len(reductions) < 2:
            continue
        n = len(graph.shape(graph.steps[reductions[0]].sources[0]))
        own = tuple(axis % n for axis in graph.steps[reductions[0]].settings["axes"])
        for size in range(1, n + 1):
            for axes in itertools.combinations(range(n), size):
                if set(axes) != set(own):
                    rewrites: dict[At, Rewrite] = {}
                    for at in reductions:
                        step = graph.steps[at]
                        rewrites[at] = made(step.operation, *step.args, **{**step.settings, "axes": axes})
                    words = f"the {unit_name(unit.kind)} is taken over {axes_in_words(axes)}, not over {axes_in_words(own)}"
                    yield Edit(("unit axes", number, axes), "unit axes", 1, words, (), rewrites)


def _splits(program: Program) -> Iterator[Edit]:
    """Yield the edits in which an array is split into groups, and merged again, with the axes of the split in the other order."""
    graph = program.graph
    reshapes = [At(number) for number, step in enumerate(graph.steps[: graph.forward]) if step.operation == "reshape"]
    for split, merge in itertools.combinations(reshapes, 2):
        source, inner, target = graph.steps[split].args[0], graph.steps[merge].args[0], graph.shape(split)
        if not isinstance(source, At) or not isinstance(inner, At) or not program.reach[split] >> merge & 1:
            continue
        shape = graph.shape(source)
        if graph.shape(merge) != shape or graph.shape(inner) != target or (found := _factors(shape, target)) is None:
            continue
        axis, outer, width = found
        mixed, unmixed = ((*shape[:axis], *sizes, *shape[axis + 1 :]) for sizes in ((width, outer), (outer, width)))
        order = (*range(axis), axis + 1, axis, *range(axis + 2, len(shape) + 1))
        apart = made("reshape", made("transpose", made("reshape", source, shape=mixed), axes=order), shape=target)
        back = made("reshape", made("transpose", made("reshape", inner, shape=unmixed), axes=order), shape=shape)
        words = (
            f"entry c of axis {axis} belongs to group c % {outer}; it has to belong to group c // {width}: "
            f"each of the {outer} groups gets {width} neighbours"
        )
        yield Edit(("dealt out", program.group[split], axis), "dealt out", 1, words, (), {split: apart, merge: back})


def _factors(shape: tuple[int, ...], target: tuple[int, ...]) -> tuple[int, int, int] | None:
    """Return the first axis of ``shape`` that ``target`` splits, and the number and size of its parts; None if it splits none."""
    for axis, (whole, outer) in enumerate(zip(shape, target, strict=False)):
        if whole != outer:
            return (axis, outer, whole // outer) if 1 < outer < whole and not whole % outer else None
    return None


def _only_one_turn(program: Program) -> Iterator[Edit]:
    """Yield the edits in which a gradient that is added up over the turns of a loop gets that of one turn alone."""
    graph = program.graph
    for of, at in graph.gradient_of.items():
        if graph.steps[at].role != "total":
            continue
        total, parts = at, list[At]()
        while graph.steps[total].role == "total":
            total, part = graph.steps[total].sources
            parts.append(part)
        parts.append(total)
        if len({program.turn[part] for part in parts}) < len(parts):
            continue
        for part, word in ((parts[0], "first"), (parts[-1], "last")):
            words = f"the gradient of {{0}} holds the part of the {word} step alone; the parts of all {len(parts)} steps have to be added up"
            yield Edit(("one turn", program.group[of], word), "one turn", 1, words, (At(of),), {at: made("same", part)})
