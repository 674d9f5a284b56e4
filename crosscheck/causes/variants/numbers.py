"""Changes of a number in a formula: one that people mistake for another, and what such a number means."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from crosscheck.causes.variants.change import Change, Rewrite, made
from crosscheck.causes.variants.formulas import shown
from crosscheck.oracles.graph.graph import INPUT, At, Graph, Step

EPSILONS = tuple(10.0**-power for power in range(3, 17))
_SMALL = 1e-2
_COMPARISONS = ("greater", "greater_equal", "less", "less_equal", "equal")
FORMULAS = (
    "add",
    "subtract",
    "multiply",
    "divide",
    "power",
    "maximum",
    "minimum",
    "where",
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "equal",
)


@dataclass(frozen=True)
class Meaning:
    """A number and where it comes from; ``key`` names this also where sizes are others."""

    key: tuple[Hashable, ...]
    value: float
    words: str = ""


def sizes(graph: Graph) -> list[Meaning]:
    """Return the lengths of the axes of the operation's arguments and of its outputs, each length once for each axis."""
    found = []
    arrays = {name: at for name, at in graph.inputs.items() if not name.startswith("grad_")} | {
        name: at for name, at in graph.outputs.items() if at < graph.forward
    }
    for name, at in arrays.items():
        for axis, length in enumerate(graph.shape(at)):
            if length > 1:
                found.append(Meaning((name, axis), float(length), f"the length of axis {axis} of {shown(name)}"))
        if len(graph.shape(at)) > 1 and graph.steps[at].operation == INPUT:
            found.append(Meaning((name, "size"), float(graph.values[at].size), f"the number of elements of {shown(name)}"))
    return found


def meanings(graph: Graph) -> list[Meaning]:
    """Return numbers made of lengths: n, 1/n, their roots, n - 1."""
    result = []
    for one in sizes(graph):
        n, key = one.value, one.key
        result += [
            Meaning((*key, "n"), n, f"{n:g}"),
            Meaning((*key, "1/n"), 1 / n, f"1/{n:g}"),
            Meaning((*key, "root"), math.sqrt(n), f"sqrt({n:g})"),
            Meaning((*key, "1/root"), 1 / math.sqrt(n), f"1/sqrt({n:g})"),
            Meaning((*key, "n-1"), n - 1, f"{n:g} - 1"),
        ]
    return result


def same(one: float, other: float) -> bool:
    """Return whether two numbers are the same in twelve digits, as a root that is rounded in two ways is."""
    return f"{one:.12g}" == f"{other:.12g}"


def apart(one: float, other: float) -> tuple[str, str]:
    """Return two numbers as text, with at least six digits and as many as make them look different."""
    digits = next((digits for digits in range(6, 17) if f"{one:.{digits}g}" != f"{other:.{digits}g}"), 17)
    return f"{one:.{digits}g}", f"{other:.{digits}g}"


def _root_of_length(number: float, graph: Graph) -> str:
    """Return a number as the root of a length; empty if it is not one."""
    for one in sizes(graph):
        for value, words in ((math.sqrt(one.value), f"sqrt({one.value:g})"), (1 / math.sqrt(one.value), f"1/sqrt({one.value:g})")):
            if same(number, value) and not float(value).is_integer():
                return words
    return ""


def changes(graph: Graph, at: At) -> Iterator[Change]:
    """Yield the changes of a step's numbers."""
    step = graph.steps[at]
    if step.operation in FORMULAS:
        for number, arg in enumerate(step.args):
            if isinstance(arg, int | float) and not isinstance(arg, At | bool):
                yield from _of_number(graph, step, number, float(arg))
    if step.operation in ("tril", "triu"):
        for shift in (-1, 1):
            k = step.settings["k"] + shift
            words = f"the {'lower' if step.operation == 'tril' else 'upper'} triangle starts one diagonal {'above' if shift > 0 else 'below'}"
            yield Change(("diagonal", shift), 0, words, made(step.operation, step.args[0], k=k))
    if step.operation == "mean":
        yield from _of_mean(graph, step)
    if step.operation in ("log", "sqrt", "reciprocal") or (step.operation == "divide" and isinstance(step.args[1], At)):
        yield from _guards(step)


def _replaced(step: Step, number: int, value: float) -> Rewrite:
    args = (*step.args[:number], value, *step.args[number + 1 :])
    return made(step.operation, *args, **step.settings)


def _of_number(graph: Graph, step: Step, number: int, value: float) -> Iterator[Change]:
    root = _root_of_length(value, graph)
    seen = {value}
    for stage, one in others(graph, step, value):
        if not math.isfinite(one.value) or (stage < 9 and one.value in seen and one.key[0] == "number"):
            continue
        if same(one.value, value) or (one.value == 1 and step.operation in ("multiply", "divide")):
            continue
        seen.add(one.value)
        told = one.words if one.words and one.words != f"{one.value:g}" else ""
        new, now = apart(one.value, value)
        given, now = f"{told} = {new}" if told else new, f"{root} = {now}" if root else now
        words = f"the constant is {given}, not {now}"
        if step.operation == "divide" and number == 1:
            words = f"{{0}} is divided by {given}, not by {now}"
        elif step.operation == "add" and 0 < abs(value) < _SMALL:
            words = f"epsilon is {given}, not {now}"
        elif step.operation in _COMPARISONS:
            words = f"{{{1 - number}}} is compared with {given}, not with {now}"
        elif step.operation == "multiply":
            words = f"the factor is {given}, not {now}"
        elif step.operation == "power":
            words = f"the exponent is {given}, not {now}"
        yield Change(("number", number, *one.key), stage, words, _replaced(step, number, one.value))


def others(graph: Graph, step: Step, c: float) -> Iterator[tuple[int, Meaning]]:
    """Yield the numbers that may stand for a number by mistake, with their stages."""
    if step.operation == "power":
        for exponent in (c + 1, c - 1, c / 2, -c, 2 * c):
            yield 0, Meaning(("number", exponent), exponent)
        return
    for name, value in _made_of(c, step.operation not in ("multiply", "divide")).items():
        yield 0, Meaning(("number", name), value)
    if step.operation in _COMPARISONS:
        return  # a threshold may be anywhere between two numbers, so that a length would explain too much
    if 0 < abs(c) < _SMALL:
        yield from ((0, Meaning(("number", epsilon), math.copysign(epsilon, c), f"{epsilon:g}")) for epsilon in EPSILONS)
    if abs(c) > 1e6 or math.isinf(c):
        yield from ((1, Meaning(("number", "mask", size), size)) for size in (-1e9, -1e4, 0.0, -1e3, -1e5, -1e10))
    if not float(c).is_integer():
        yield from ((1, Meaning(("number", "digits", place), value)) for place, value in _digits_exchanged(c))
    yield from ((0, one) for one in meanings(graph))
    yield from ((0, Meaning(("c*", *one.key), c * one.value)) for one in meanings(graph) if one.key[-1] in ("n", "1/n"))


def _made_of(c: float, signed: bool) -> dict[str, float]:
    """Return numbers that are made of a number, by the way in which they are; with ``signed``, also its negative."""
    plain = {"2c": 2 * c, "c/2": c / 2, "0": 0.0, "1": 1.0, "c*c": c * c}
    if signed:  # a product with the other sign is a change of its own
        plain["-c"] = -c
    if c > 0:
        plain |= {"root": math.sqrt(c), "1/c": 1 / c}
    if float(c).is_integer():
        plain |= {"c+1": c + 1, "c-1": c - 1}
    if 0 < abs(c) < 1:
        plain["1-c"] = 1 - c
    return plain


def _digits_exchanged(c: float) -> Iterator[tuple[int, float]]:
    """Yield the numbers in which two neighbouring digits are exchanged, or one digit is missing."""
    text = repr(abs(c))
    if not math.isfinite(c) or "e" in text:
        return
    for place in range(len(text) - 1):
        one, other = text[place], text[place + 1]
        if one != other and "." not in (one, other):
            yield place, math.copysign(float(text[:place] + other + one + text[place + 2 :]), c)
    for place in range(len(text)):
        if text[place] != "." and len(text) > 3:
            yield 100 + place, math.copysign(float(text[:place] + text[place + 1 :]), c)


def _of_mean(graph: Graph, step: Step) -> Iterator[Change]:
    x = step.source()
    axes, keepdims = step.settings["axes"], step.settings.get("keepdims", False)
    count = math.prod(graph.shape(x)[axis] for axis in axes)
    role = step.role or "mean"
    if count > 1:
        words = f"the {role} is divided by n - 1 = {count - 1}, not by n = {count}"
        yield Change(("less", 1), 0, words, made("mean", x, axes=axes, keepdims=keepdims, less=1))
        words = f"the {role} is divided by n + 1 = {count + 1}, not by n = {count}"
        yield Change(("less", -1), 2, words, made("mean", x, axes=axes, keepdims=keepdims, less=-1))
    for one in sizes(graph):
        if one.value != count:
            words = f"the sum is divided by {one.value:g}, {one.words}, not by n = {count}"
            divided = made("divide", made("sum", x, axes=axes, keepdims=keepdims), one.value)
            yield Change(("count", *one.key), 1, words, divided)


def _guards(step: Step) -> Iterator[Change]:
    """Yield the changes that keep an argument away from 0."""
    number = 1 if step.operation == "divide" else 0
    what = {"divide": "divisor", "log": "argument of the logarithm", "sqrt": "argument of the root", "reciprocal": "divisor"}[step.operation]
    args = step.args
    for epsilon in EPSILONS:
        for operation, words in (("add", f"{epsilon:g} is added to the {what}"), ("maximum", f"the {what} is at least {epsilon:g}")):
            guarded = made(step.operation, *args[:number], made(operation, args[number], epsilon), *args[number + 1 :])
            yield Change(("guard", operation, epsilon), 2, words, guarded)
