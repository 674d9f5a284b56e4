"""An explanation as a sentence: what your code does, at which step, and the two formulas, yours and the right one."""

from __future__ import annotations

from crosscheck.causes.variants.explanation import Explanation, Mode
from crosscheck.causes.variants.formulas import Formulas, unit_name
from crosscheck.oracles.graph.graph import At, Step

_LONGEST = 240
"""Two lines of a terminal."""


def sentence(explanation: Explanation) -> str:
    """Return an explanation in words, with both formulas if they fit into two lines."""
    edit, formulas = explanation.edit, Formulas(explanation.program.graph)
    gradients = "; the gradients are right" if explanation.mode is Mode.RIGHT and explanation.program.wanted else ""
    found = ""
    for depth in (3, 2, 1):
        about = [formulas.name(at, depth) for at in edit.about]
        found = f"{place(explanation, formulas, depth)}{edit.words.format(*about) if edit.about else edit.words}"
        room = _LONGEST - len(found) - len(gradients)
        both = [one for inner in (3, 2, 1) if (one := _formulas(explanation, formulas, inner)) and len(one) <= room]
        complete = [one for one in both if "..." not in one]
        if complete or (both and "{" not in edit.words):  # a sentence that names no part of the formula needs it, even a shortened one
            return found + (complete or both)[0] + gradients
        if room >= 0:
            break
    return found + gradients


def place(explanation: Explanation, formulas: Formulas, depth: int) -> str:
    """Return the beginning of a sentence that says which step it is about."""
    graph, edit = explanation.program.graph, explanation.edit
    step = graph.steps[edit.at]
    called = step.name or step.role
    if edit.only_backward:
        return f"backward reads another value than forward computed, {called}: " if called else "backward reads another value than forward computed: "
    if edit.at < graph.forward:
        return f"in forward, {called}: " if called else "in forward: "
    if step.origin is None:
        return "in backward: "
    origin = graph.steps[step.origin.step]
    unit = graph.units[origin.unit] if origin.unit >= 0 and graph.units[origin.unit].output == step.origin.step else None
    through = f"the {unit_name(unit.kind)}" if unit is not None and explanation.program.form != "steps" else formulas.of(step.origin.step, depth)
    target = step.path[0] if step.path is not None else _argument(origin, step.origin.argument) if unit is None else None
    of = "" if target is None else f"the gradient of {formulas.name(target, depth)} "
    return f"in backward, {of}through {through}: " if of else f"in backward of {through}: "


def _argument(step: Step, number: int) -> At | None:
    arg = step.args[number] if 0 <= number < len(step.args) else None
    return arg if isinstance(arg, At) else None


def _formulas(explanation: Explanation, formulas: Formulas, depth: int) -> str:
    """Return both formulas of the step; empty if they are the same in words, or hold arrays that have no name."""
    edit, graph = explanation.edit, explanation.program.graph
    if len({explanation.program.group[at] for at in edit.rewrites}) > 1 and "alike" not in edit.words:
        return ""
    yours, right = formulas.rewritten(edit.rewrites[edit.at], depth), formulas.of(edit.at, depth)
    if yours == right or graph.steps[edit.at].path is not None or "constant of shape" in yours + right:
        return ""
    return f"; yours: {yours}; right: {right}"
