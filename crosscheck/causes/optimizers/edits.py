"""Mistakes in the rule of an optimizer: its program with one edit, and a sentence made of the edit and the line that is edited."""

from __future__ import annotations

import ast
import copy
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from crosscheck.core.formats import BRAIN, BRAIN_CUT, HALF, INPUTS, SINGLE, Format
from crosscheck.oracles.optimizers.programs import Line, Program, in_text

_ADAPTIVE = {"v": "the running mean of the squares", "d": "the direction of the step"}
_ROLES = _ADAPTIVE | {
    "w": "the parameter",
    "g": "the gradient",
    "b": "the momentum buffer",
    "m": "the running mean of the gradients",
    "a": "the running mean of the squared steps",
    "x": "the largest mean of the squares",
    "s": "the step",
    "c1": "the bias correction of the first mean",
    "c2": "the bias correction of the second mean",
}
"""What the variables of programs are, in words."""

_SWAPPED: dict[type[ast.operator], type[ast.operator]] = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}


@dataclass(frozen=True)
class Edit:
    """A program with a mistake, and the mistake in words."""

    name: str
    words: str
    program: Program
    size: int = 1  # how many parts of a formula are left out, or 1


def edits(program: Program) -> Iterator[Edit]:
    """Yield all programs with one edit, each once."""
    formulas = (edit for index, line in enumerate(program.lines) for edit in _in_formula(program, index, line))
    seen: set[str] = set()
    for edit in itertools.chain(formulas, _moved(program), _left_out(program), _masked(program), _in_lower_precision(program)):
        if edit.words not in seen:
            seen.add(edit.words)
            yield edit


def role(name: str) -> str:
    """Return a variable of a program in words, with its name."""
    return f"{name} ({_ROLES[name]})" if name in _ROLES else name


def _in_formula(program: Program, index: int, line: Line) -> Iterator[Edit]:
    """Yield edits of one line: another variable or constant in place of one, a term or a factor left out, another operator."""

    def options(node: ast.expr) -> Iterator[tuple[str, ast.expr]]:
        if isinstance(node, ast.Name):
            alike = program.scalars - {"t"} if node.id in program.scalars else program.arrays
            value = program.constants.get(node.id)
            others = [other for other in sorted(alike) if other != node.id and (value is None or program.constants.get(other) != value)]
            yield from (("another quantity in the rule", ast.Name(other)) for other in others)
        elif isinstance(node, ast.BinOp):
            yield "left out of the rule", node.left
            yield "left out of the rule", node.right
            if type(node.op) in _SWAPPED:
                yield "another operator in the rule", ast.BinOp(node.left, _SWAPPED[type(node.op)](), node.right)
        elif isinstance(node, ast.Call):
            yield from (("left out of the rule", one) for one in node.args)

    for formula, old, (name, new) in _variants(line.formula, options):
        edited = replace(program, lines=_with(program.lines, index, Line(line.name, formula)))
        is_name = isinstance(old, ast.Name) and isinstance(new, ast.Name)
        right, wrong = (role(old.id), role(new.id)) if is_name else (in_text(old), in_text(new))  # type: ignore[attr-defined]
        size = abs(len(list(ast.walk(old))) - len(list(ast.walk(new)))) + 1
        advice = f"use {right} in place of {wrong}"
        if isinstance(old, ast.BinOp) and new in (old.left, old.right):
            advice = f"{in_text(old.right if new is old.left else old.left)} is left out"
        words = f"{role(line.name)} is {in_text(formula)}, expected {in_text(line.formula)}: {advice}"
        yield Edit(name, words, edited, size)


def _variants(
    node: ast.expr, options: Callable[[ast.expr], Iterator[tuple[str, ast.expr]]]
) -> Iterator[tuple[ast.expr, ast.expr, tuple[str, ast.expr]]]:
    """Yield a formula with one of its parts replaced, the part, and what replaces it."""
    for option in options(node):
        yield option[1], node, option
    for key in ("left", "right", "body", "orelse", "operand"):
        if isinstance(part := getattr(node, key, None), ast.expr):
            for changed, old, option in _variants(part, options):
                edited = copy.copy(node)
                setattr(edited, key, changed)
                yield edited, old, option
    if isinstance(node, ast.Call):
        for place, part in enumerate(node.args):
            for changed, old, option in _variants(part, options):
                yield ast.Call(node.func, [*node.args[:place], changed, *node.args[place + 1 :]], []), old, option


def _with(lines: Sequence[Line], index: int, line: Line) -> tuple[Line, ...]:
    return (*lines[:index], line, *lines[index + 1 :])


def _moved(program: Program) -> Iterator[Edit]:
    """Yield programs in which a line comes later than it should, behind a line that reads its result."""
    lines = program.lines
    for index, line in enumerate(lines):
        left = (*lines[:index], *lines[index + 1 :])
        readers: list[Line] = []
        for place in range(index + 1, len(lines)):
            passed = lines[place]
            if line.name in passed.names:
                readers.append(passed)
            elif passed.name not in line.names:
                continue
            order = replace(program, lines=(*left[:place], line, *left[place:]))
            if readers:
                reader, text = readers[0], f"{line.name} = {in_text(line.formula)}"
                words = f"{role(reader.name)} uses {line.name} of the step before, because {text} comes after it: compute {role(line.name)} first"
            else:
                words = f"{role(line.name)} is computed after {role(passed.name)} of the same step, which it has to precede: exchange the two lines"
            yield Edit("order in the rule", words, order)


def _left_out(program: Program) -> Iterator[Edit]:
    """Yield programs without a line that changes a variable which has a value already, such as a state."""
    for index, line in enumerate(program.lines):
        if line.name in line.names and line.formula is not program.lines[-1].formula:
            words = f"the line {line.name} = {in_text(line.formula)} is left out of the step: compute {role(line.name)} in every step"
            yield Edit("left out of the rule", words, replace(program, lines=_with(program.lines, index, Line(line.name, ast.Name(line.name)))))


def _masked(program: Program) -> Iterator[Edit]:
    """Yield programs that leave out elements whose gradient is 0."""
    updates = frozenset(index for index, line in enumerate(program.lines) if line.name == "w")
    states = frozenset(index for index, line in enumerate(program.lines) if line.name in program.states)
    if not states:
        return
    kept = " and ".join(f"{role(name)}" for name in program.states)
    words = f"elements with a gradient of exactly 0 are not updated, although {kept} still moves them: update every element"
    yield Edit("elements left out", words, replace(program, masked=updates))
    words = f"elements with a gradient of exactly 0 are left out of the step and keep {kept} of the step before: update every element"
    yield Edit("elements left out", words, replace(program, masked=updates | states))
    words = f"elements with a gradient of exactly 0 keep {kept} of the step before: update it for every element"
    yield Edit("elements left out", words, replace(program, masked=states))


def _in_lower_precision(program: Program) -> Iterator[Edit]:
    """Yield programs that keep states, the parameter or the bias corrections with fewer digits."""
    lines = program.lines
    formats = dict.fromkeys((*INPUTS[program.dtype], HALF, BRAIN, BRAIN_CUT)) if program.dtype in INPUTS else {}
    states = [index for index, line in enumerate(lines) if line.name in program.states]
    places = [[index] for index in states]
    places += [states] if len(states) > 1 else []
    places += [[index] for index, line in enumerate(lines) if line.name == "w"]
    for stored in formats:
        for indices in places:
            names = " and ".join(role(lines[index].name) for index in indices)
            verb = "are" if len(indices) > 1 else "is"
            words = f"{names} {verb} {stored.in_words} after each step, expected {program.dtype}: keep the dtype of the parameters"
            yield Edit("lower precision", words, _rounded(program, indices, stored))
    for stored in (SINGLE, HALF) if program.dtype == np.float64 else (HALF,):
        for indices in places[:-1]:
            names = " and ".join(role(lines[index].name) for index in indices)
            verb = "are" if len(indices) > 1 else "is"
            words = f"{names} {verb} kept in {stored.name}, and the step is computed in it, expected {program.dtype}: start with np.zeros_like(param)"
            yield Edit("lower precision", words, replace(program, narrow=dict.fromkeys(indices, stored.dtype)))
    scalars = [index for index, line in enumerate(lines) if line.name in program.scalars]
    for stored in (SINGLE, *formats):
        for indices in [scalars, *([index] for index in scalars)] if scalars else []:
            texts = " and ".join(in_text(lines[index].formula) for index in indices)
            verb, what = ("are", "them") if len(indices) > 1 else ("is", "it")
            words = (
                f"{texts} {verb} {stored.in_words} in every operation, where a beta close to 1 loses its digits: compute {what} with Python's floats"
            )
            yield Edit("lower precision", words, _rounded(program, indices, stored))


def _rounded(program: Program, indices: Sequence[int], stored: Format) -> Program:
    return replace(program, rounded=dict.fromkeys(indices, stored))
