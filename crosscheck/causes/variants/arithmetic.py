"""Changes of a formula: a term or a factor left out, another sign, another operation, two steps in the other order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from crosscheck.causes.variants.change import Change, Rewrite, made
from crosscheck.oracles.graph.graph import CONSTANT, Argument, At, Graph, Step
from crosscheck.oracles.graph.operations import EXACT, FORMATS

_UNSIGNED = ("negative", "same", "stop", "reshape", "expand", "transpose", "index", "place", "as_number", "pad", "concatenate", "stack", "flip")
_SUMS = ("add", "subtract")
"""Operations whose arguments have changes of sign of their own."""

_SAME_KIND = (
    ("tanh", "sigmoid", "relu", "softplus", "sin", "cos", "erf", "exp", "abs", "square", "sqrt", "log", "log1p", "expm1"),
    ("floor", "ceil", "trunc", "rint"),
)
"""Functions that stand for one another by mistake."""

_OPPOSITE = {
    "greater": "greater_equal",
    "greater_equal": "greater",
    "less": "less_equal",
    "less_equal": "less",
    "maximum": "minimum",
    "minimum": "maximum",
    "logical_and": "logical_or",
    "logical_or": "logical_and",
    "tril": "triu",
    "triu": "tril",
    "amax": "amin",
    "amin": "amax",
}


def changes(graph: Graph, at: At) -> Iterator[Change]:
    """Yield the changes of one step's formula."""
    step = graph.steps[at]
    if graph.values[at].dtype.kind == "f":
        yield from _of_result(step)
    if step.operation in _OF_TWO:
        yield from _of_two(graph, at, step)
    elif step.operation in _OF_ONE:
        yield from _of_one(graph, at, step)
    elif step.operation == "where":
        yield from _of_choice(graph, at, step)
    if (other := _OPPOSITE.get(step.operation)) is not None:
        yield Change(("operation", other), 0, f"{_spoken(other)} stands for {_spoken(step.operation)}", _other(step, other))
    if step.operation in ("greater", "greater_equal", "less", "less_equal"):
        yield Change(("condition", "inverted"), 0, "the condition is inverted", made("logical_not", made(step.operation, *step.args)))


def _of_result(step: Step) -> Iterator[Change]:
    """Yield the changes of a result: another sign, a lower precision."""
    right = made(step.operation, *step.args, **step.settings)
    if step.operation not in (*_UNSIGNED, *_SUMS):
        yield Change(("sign",), 0, "the sign is wrong", made("negative", right))
    if step.operation not in EXACT:
        for name, format_ in FORMATS.items():
            yield Change(("format", name), 2, f"it is kept in {format_.name}", made(name, right))


_OF_TWO = ("add", "subtract", "multiply", "divide", "power", "maximum", "minimum")
_OF_ONE = (*itertools.chain(*_SAME_KIND), "negative", "reciprocal", "sign", "cosh", "sinh", "tan", "arctan")


def _spoken(operation: str) -> str:
    signs = {"greater": ">", "greater_equal": ">=", "less": "<", "less_equal": "<=", "amax": "max", "amin": "min"}
    return signs.get(operation, operation)


def _other(step: Step, operation: str) -> Rewrite:
    return made(operation, *step.args, **step.settings)


def like(graph: Graph, arg: Argument, shape: tuple[int, ...]) -> Rewrite | None:
    """Return the rewrite that gives an argument alone, repeated to a shape; None if it does not fit."""
    if not isinstance(arg, At):
        return made("expand", made("same", arg), shape=shape)
    own = graph.shape(arg)
    if own == shape:
        return arg
    if len(own) > len(shape) or any(size not in (1, full) for size, full in zip(reversed(own), reversed(shape), strict=False)):
        return None
    return made("expand", arg, shape=shape)


def _of_two(graph: Graph, at: At, step: Step) -> Iterator[Change]:
    (x, y), name, shape = step.args, step.operation, graph.shape(at)
    left_out = {
        "add": ("{1} is left out", "{0} is left out"),
        "subtract": ("{1} is not subtracted", ""),
        "multiply": ("the factor {1} is left out", "the factor {0} is left out"),
        "divide": ("{0} is not divided by {1}", ""),
        "power": ("the power {1} is left out", ""),
        "maximum": ("the limit {1} is left out", "the limit {0} is left out"),
        "minimum": ("the limit {1} is left out", "the limit {0} is left out"),
    }[name]
    if step.role == "total":
        left_out = ("one part of the gradient replaces the other; they have to be added up",) * 2
    for number, words in enumerate(left_out):
        keep = like(graph, (x, y)[number], shape)
        if words and keep is not None and not _is_neutral((x, y)[1 - number], name):
            # What is left of 1 - y is 1: then it is rather the whole factor that is left out.
            stage = int(name == "subtract" and not isinstance(x, At))
            yield Change(("left out", 1 - number), stage, words, keep)
    yield from _of_nested(graph, step)
    yield from _along_another_axis(graph, step, shape)
    if name == "add":
        yield from _of_weights(graph, step)
        yield Change(("sign", 1), 0, "{1} is subtracted, not added", made("subtract", x, y))
        yield Change(("sign", 0), 0, "{0} is subtracted, not added", made("subtract", y, x))
        yield Change(("operation", "multiply"), 2, "{0} and {1} are multiplied, not added", made("multiply", x, y))
    elif name == "subtract":
        yield Change(("sign", 1), 0, "{1} is added, not subtracted", made("add", x, y))
        yield Change(("reversed",), 0, "{0} and {1} are exchanged", made("subtract", y, x))
        if isinstance(y, At):
            yield Change(("left out", 0), 0, "{0} is left out", made("expand", made("negative", y), shape=shape))
            yield Change(("alone", 1), 1, "{0} is left out, and so is the sign", made("expand", made("same", y), shape=shape))
    elif name == "multiply":
        yield from _of_product(step, x, y)
    elif name == "divide":
        yield Change(("operation", "multiply"), 0, "{0} is multiplied by {1}, not divided", made("multiply", x, y))
        yield Change(("reversed",), 1, "{0} and {1} are exchanged", made("divide", y, x))
        yield Change(("root", 1), 1, "{0} is divided by the root of {1}", made("divide", x, made("sqrt", y)))
        yield Change(("square", 1), 1, "{0} is divided by the square of {1}", made("divide", x, made("square", y)))
        yield Change(("root", 0), 2, "the root of {0} is divided", made("divide", made("sqrt", x), y))
        yield Change(("left out", 0), 1, "{0} is left out: 1 is divided", made("expand", made("divide", 1.0, y), shape=shape))
        yield from _within_divisor(graph, step, x, y)
    elif name == "power":
        yield Change(("reversed",), 1, "base and exponent are exchanged", made("power", y, x))


def _of_nested(graph: Graph, step: Step) -> Iterator[Change]:
    """Yield the change of ``x - y - z`` to ``x``: two terms, or two factors, left out at once."""
    first, second = step.args
    inner = graph.steps[first] if isinstance(first, At) else None
    alike = ("add", "subtract") if step.operation in ("add", "subtract") else ("multiply", "divide")
    if inner is None or inner.operation not in alike or step.operation not in alike or not isinstance(inner.args[0], At):
        return
    x, y = inner.args
    if isinstance(x, At) and isinstance(y, At) and isinstance(second, At) and isinstance(first, At) and graph.shape(x) == graph.shape(first):
        yield Change(("left out", "both"), 1, "{1} and {2} are left out", x, (x, y, second))


def _along_another_axis(graph: Graph, step: Step, shape: tuple[int, ...]) -> Iterator[Change]:
    """Yield the changes in which a vector is repeated along another axis than it belongs to."""
    for number, arg in enumerate(step.args):
        if not isinstance(arg, At):
            continue
        own = (1,) * (len(shape) - len(graph.shape(arg))) + graph.shape(arg)
        long = [axis for axis, size in enumerate(own) if size > 1]
        if len(long) != 1 or own == shape:
            continue
        for axis in range(len(shape)):
            if axis != long[0] and shape[axis] == own[long[0]]:
                turned = made("reshape", arg, shape=tuple(own[long[0]] if place == axis else 1 for place in range(len(shape))))
                args = (turned, step.args[1]) if number == 0 else (step.args[0], turned)
                words = f"{{0}} is used along axis {axis}; it belongs to axis {long[0]}"
                yield Change(("along", number, axis), 1, words, made(step.operation, *args), (arg,))


def _of_weights(graph: Graph, step: Step) -> Iterator[Change]:
    """Yield the change in which the two weights of an average are exchanged: 0.1 a + 0.9 b for 0.9 a + 0.1 b."""
    parts = [graph.steps[arg] for arg in step.args if isinstance(arg, At) and graph.steps[arg].operation == "multiply"]
    numbers = [arg for part in parts for arg in part.args if not isinstance(arg, At)]
    values = [arg for part in parts for arg in part.sources]
    if len(parts) == len(numbers) == len(values) == 2:
        (p, q), (a, b) = numbers, values
        words = f"the weights {p:.6g} and {q:.6g} are exchanged"
        yield Change(("weights",), 0, words, made("add", made("multiply", q, a), made("multiply", p, b)))


def _is_neutral(arg: Argument, operation: str) -> bool:
    return not isinstance(arg, At) and arg == {"add": 0, "subtract": 0, "multiply": 1, "divide": 1, "power": 1}.get(operation)


def _of_product(step: Step, x: Argument, y: Argument) -> Iterator[Change]:
    for number, (one, other) in enumerate(((x, y), (y, x))):
        if isinstance(other, At):
            yield Change(("divided", number), 0, f"{{{number}}} is divided by {{{1 - number}}}, not multiplied", made("divide", one, other))
            yield Change(("square", 1 - number), 1, f"{{{1 - number}}} is squared", made("multiply", one, made("square", other)))
            yield Change(
                ("complement", 1 - number),
                1,
                f"1 - {{{1 - number}}} stands for {{{1 - number}}}",
                made("multiply", one, made("subtract", 1.0, other)),
            )
    yield Change(("operation", "add"), 1, "{0} and {1} are added, not multiplied", made("add", x, y))


def _within_divisor(graph: Graph, step: Step, x: Argument, y: Argument) -> Iterator[Change]:
    """Yield changes of ``x / sqrt(v + eps)``: other places of epsilon."""
    root = graph.steps[y] if isinstance(y, At) else None
    if root is None or root.operation != "sqrt" or not isinstance(root.args[0], At):
        return
    inner = graph.steps[root.args[0]]
    if inner.operation == "add" and not isinstance(inner.args[1], At):
        v, eps = inner.args

        yield Change(("epsilon", "outside"), 0, "epsilon is added to the root, not under it", made("divide", x, made("add", made("sqrt", v), eps)))


def _of_one(graph: Graph, at: At, step: Step) -> Iterator[Change]:
    x, name, shape = step.args[0], step.operation, graph.shape(at)
    keep = like(graph, x, shape)
    if keep is not None:
        yield Change(("left out",), 0, f"{_spoken(name)} is left out", keep)
    if name == "negative":
        return
    yield Change(("twice",), 1, f"{name} is taken twice", made(name, made(name, x)))
    for names in _SAME_KIND:
        for other in names if name in names else ():
            if other != name:
                yield Change(("operation", other), 1, f"{other} stands for {name}", made(other, x))
    if name == "square":
        yield Change(("reversed",), 2, "base and exponent are exchanged", made("power", 2.0, x))
        yield Change(("cube",), 2, "the cube stands for the square", made("multiply", x, made("square", x)))
    if name in ("sqrt", "log", "reciprocal", "exp", "sigmoid", "softplus", "relu"):
        yield Change(("of negative",), 1, "the sign of {0} is wrong", made(name, made("negative", x)))
    yield from _order(graph, step, x, name)


def _order(graph: Graph, step: Step, x: Argument, name: str) -> Iterator[Change]:
    """Yield the changes in which a function comes before the operation on its argument, not after it: f(x) + y for f(x + y)."""
    inner = graph.steps[x] if isinstance(x, At) else None
    if inner is None or inner.operation not in ("add", "subtract", "multiply", "divide", "sum", "mean", "amax", "where", "matmul"):
        return
    first, *others = inner.args
    if inner.operation == "where":
        c, one, other = inner.args

        yield Change(("order", "where"), 1, f"{name} is taken before the choice, not after it", made("where", c, made(name, one), other))
        return
    if inner.operation == "matmul":
        return

    before = made(inner.operation, made(name, first), *others, **inner.settings)

    if inner.operation in ("sum", "mean", "amax"):
        yield Change(("order", 0), 1, f"{name} is taken of each term, not of the {_spoken(inner.operation)}", before)
        return
    told = {"add": "{1} is added", "subtract": "{1} is subtracted", "multiply": "{0} is multiplied by {1}", "divide": "{0} is divided by {1}"}
    yield Change(("order", 0), 0, f"{told[inner.operation]} after the {name}, not before it", before, inner.args)
    if others and isinstance(others[0], At):
        after = made(inner.operation, first, made(name, others[0]), **inner.settings)
        yield Change(("order", 1), 1, f"{name} is taken of one part alone", after)


def _of_choice(graph: Graph, at: At, step: Step) -> Iterator[Change]:
    condition, x, y = step.args
    shape = graph.shape(at)
    yield from _of_mask(graph, step)
    yield from _of_kink(graph, step)
    for number, arg in ((1, x), (2, y)):
        if (keep := like(graph, arg, shape)) is not None:
            yield Change(("always", number), 0, "the condition {0} is left out: " + f"it is always {{{number}}}", keep)
    yield Change(("condition", "inverted"), 0, "the condition {0} is inverted", made("where", condition, y, x))
    for fill in (0.0, 1.0, -1.0):
        for number, arg in ((1, x), (2, y)):
            if isinstance(arg, At) or arg != fill:
                args = (condition, fill, y) if number == 1 else (condition, x, fill)
                yield Change(("fill", number, fill), 1, f"{fill:g} is taken in place of {{{number}}}", made("where", *args))


def _of_kink(graph: Graph, step: Step) -> Iterator[Change]:
    """Yield the change of ``where(a > b, g, 0)`` in which equal numbers get a half, as with a mask of (1 + sign(a - b)) / 2."""
    condition, x, y = step.args
    inner = graph.steps[condition] if isinstance(condition, At) else None
    if inner is not None and inner.operation in ("greater", "greater_equal") and y == 0 and isinstance(x, At):
        share = made("multiply", 0.5, made("add", 1.0, made("sign", made("subtract", *inner.args))))
        yield Change(("half",), 1, "where the two sides are equal, half of the gradient is passed on", made("multiply", x, share))


def _of_mask(graph: Graph, step: Step) -> Iterator[Change]:
    """Yield the changes of a mask: it is shifted, or a large number is added where a value has to be replaced."""
    condition, x, y = step.args
    if isinstance(condition, At) and graph.steps[condition].operation == CONSTANT:
        for shift in (-1, 1):
            moved = made("where", made("roll", condition, shift=shift, axis=-1), x, y)
            yield Change(("mask moved", shift), 1, "the mask is shifted by one", moved)
    for number, arg in ((1, x), (2, y)):
        if not isinstance(arg, At) and abs(arg) > 1e3:
            kept = y if number == 1 else x
            for size in (-1e9, -1e4, -1e5, -1e6, -1e3, -1e10, -1e8, -1e2):
                added = made("add", kept, made("multiply", size, made("as_number", condition)))
                yield Change(("added mask", number, size), 1, f"{size:g} is added where {{0}}, the value is not replaced", added)
