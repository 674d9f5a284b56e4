"""Steps as formulas that a reader can compare with code: the names of variables and roles where they are known, else what they are computed from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from crosscheck.causes.variants.change import Made, Rewrite
from crosscheck.oracles.graph.graph import CONSTANT, INPUT, Argument, At, Graph, Step
from crosscheck.oracles.graph.operations import swapped_axes

_SUM, _PRODUCT, _POWER, _ATOM = 1, 2, 3, 4
"""How tightly the parts of a formula are bound together."""

_INFIX = {
    "add": ("+", _SUM),
    "subtract": ("-", _SUM),
    "multiply": ("*", _PRODUCT),
    "divide": ("/", _PRODUCT),
    "floor_divide": ("//", _PRODUCT),
    "remainder": ("%", _PRODUCT),
    "matmul": ("@", _PRODUCT),
    "greater": (">", 0),
    "greater_equal": (">=", 0),
    "less": ("<", 0),
    "less_equal": ("<=", 0),
    "equal": ("==", 0),
    "not_equal": ("!=", 0),
    "logical_and": ("&", 0),
    "logical_or": ("|", 0),
}
_SPOKEN = {"amax": "max", "amin": "min", "take_along": "pick", "first_largest": "argmax mask", "as_whole_number": "int"}
_LIGHT = ("transpose", "negative", "index")
"""Operations that make a formula hardly longer; they do not count for its depth."""

_TRANSPARENT = ("same", "stop", "as_number", "as_condition", "expand", "reshape")

Text: TypeAlias = tuple[str, int]
"""A formula, and how tightly its parts are bound together."""


class Formulas:
    """Formulas of the steps of a graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._gradients = {at: of for of, at in graph.gradient_of.items()}

    def of(self, at: At, depth: int = 2) -> str:
        """Return the formula of a step: what it is computed from, down to ``depth`` operations."""
        step = self.graph.steps[at]
        if step.is_leaf:
            return self.name(at)
        return self._made(step.operation, step.args, step.settings, depth)[0]

    def rewritten(self, rewrite: Rewrite, depth: int = 2) -> str:
        """Return the formula of an expression that stands in place of a step."""
        return self._text(rewrite, depth + 1 if isinstance(rewrite, Made) else 1)[0]

    def name(self, at: Argument, depth: int = 1) -> str:
        """Return what an argument is called: its variable or role, the gradient of what it is, or else its formula or number."""
        return self._text(at, depth)[0]

    def _text(self, arg: Any, depth: int) -> Text:
        if isinstance(arg, Made):
            return self._made(arg.operation, arg.args, arg.settings, depth)
        if not isinstance(arg, At):
            return _number(arg)
        step = self.graph.steps[arg]
        if (known := self._known(arg, step)) is not None:
            return known
        if step.operation in _TRANSPARENT or step.path is not None:
            return self._text(step.args[0], depth)
        shown = depth > 0 or step.operation in _LIGHT
        return self._made(step.operation, step.args, step.settings, depth) if shown else ("...", _ATOM)

    def _known(self, at: At, step: Step) -> Text | None:
        """Return what a step is called without a look at what it computes; None if it has no name."""
        if step.operation == INPUT:
            return shown(step.name), _ATOM
        if step.operation == CONSTANT:
            value = self.graph.values[at]
            return _number(value.item()) if value.size == 1 else (step.name or f"constant of shape {value.shape}", _ATOM)
        if at in self._gradients and at >= self.graph.forward:
            return f"grad({self.name(At(self._gradients[at]))})", _ATOM
        known = step.name or ("" if step.role in ("total", "count") else step.role)
        return (known, _SUM if " - " in known else _POWER if " " in known else _ATOM) if known else None

    def _made(self, operation: str, args: Sequence[Any], settings: Mapping[str, Any], depth: int) -> Text:
        if operation in _TRANSPARENT and args:
            return self._text(args[0], depth)
        parts = [self._text(arg, depth - (operation not in _LIGHT)) for arg in args]
        if "axes" in settings and args and isinstance(args[0], At):
            settings = {**settings, "axes": tuple(axis % len(self.graph.shape(args[0])) for axis in settings["axes"])}
        if operation in _INFIX and len(parts) == 2:
            sign, rank = _INFIX[operation]
            right = _bound(parts[1], rank + (operation in ("subtract", "divide", "matmul", "multiply")))
            return f"{_bound(parts[0], rank)} {sign} {right}", rank
        if operation in _WRITTEN:
            return _WRITTEN[operation](parts, settings)
        given = ", ".join(text for text, _ in parts)
        return f"{_SPOKEN.get(operation, operation)}({given}{_axes(settings)})", _ATOM


Written: TypeAlias = Callable[[Sequence[Text], Mapping[str, Any]], Text]
"""Gets the arguments of an operation as text, and its settings; returns the formula."""


def _mean(parts: Sequence[Text], settings: Mapping[str, Any]) -> Text:
    text, less = f"{parts[0][0]}{_axes(settings)}", settings.get("less", 0)
    return (f"sum({text}) / (n {'-' if less > 0 else '+'} {abs(less)})", _PRODUCT) if less else (f"mean({text})", _ATOM)


def _negative(parts: Sequence[Text], settings: Mapping[str, Any]) -> Text:
    text = _bound(parts[0], _PRODUCT)
    return (text.removeprefix("-") if text.startswith("-") else f"-{text}"), _PRODUCT


def _transposed(parts: Sequence[Text], settings: Mapping[str, Any]) -> Text:
    axes = tuple(settings["axes"])
    n = len(axes)
    if n >= 2 and axes == swapped_axes(n):
        return (f"{_bound(parts[0], _ATOM)}.T", _ATOM) if not parts[0][0].endswith(".T") else (parts[0][0].removesuffix(".T"), _ATOM)
    return f"transpose({parts[0][0]}, {axes})", _ATOM


_WRITTEN: Mapping[str, Written] = {
    "square": lambda parts, settings: (f"{_bound(parts[0], _ATOM)}**2", _POWER),
    "power": lambda parts, settings: (f"{_bound(parts[0], _ATOM)}**{_bound(parts[1], _ATOM)}", _POWER),
    "negative": _negative,
    "logical_not": lambda parts, settings: (f"~{_bound(parts[0], _ATOM)}", _ATOM),
    "reciprocal": lambda parts, settings: (f"1 / {_bound(parts[0], _POWER)}", _PRODUCT),
    "transpose": _transposed,
    "index": lambda parts, settings: (f"{_bound(parts[0], _ATOM)}[{_key(settings['key'])}]", _ATOM),
    "place": lambda parts, settings: parts[0],
    "mean": _mean,
    "take": lambda parts, settings: (f"{_bound(parts[0], _ATOM)}[{parts[1][0]}]", _ATOM),
    "add_rows": lambda parts, settings: (f"zeros[{parts[1][0]}] += {parts[0][0]}", 0),
    "set_rows": lambda parts, settings: (f"zeros[{parts[1][0]}] = {parts[0][0]}", 0),
}
"""The operations that are not written as a function of their arguments."""


def _bound(part: Text, rank: int) -> str:
    text, own = part
    return text if own >= rank else f"({text})"


def _number(value: Any) -> Text:
    if isinstance(value, np.ndarray):
        return ("1" if value.size and (value == 1).all() else "0" if not value.any() else f"constant of shape {value.shape}"), _ATOM
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text, _ATOM if not text.startswith("-") else _PRODUCT


def unit_name(kind: str) -> str:
    """Return what a unit is called."""
    special = {"normalised": "normalisation", "rms_normalised": "RMS normalisation", "log_sum_exp": "log-sum-exp"}
    return special.get(kind, kind.replace("_", "-"))


def shown(name: str) -> str:
    """Return what an argument of the operation is called in a formula: ``x`` for the only input."""
    return "x" if name == "input" else name


def _axes(settings: Mapping[str, Any]) -> str:
    if "axes" in settings:
        axes = settings["axes"]
        return f", axis={axes[0]}" if len(axes) == 1 else f", axis={tuple(axes)}"
    return f", axis={settings['axis']}" if "axis" in settings else ""


def _key(key: tuple[Any, ...]) -> str:
    def part(one: Any) -> str:
        if not isinstance(one, slice):
            return str(one)
        ends = ["" if end is None else str(end) for end in (one.start, one.stop)]
        return ":".join(ends) + (f":{one.step}" if one.step not in (None, 1) else "")

    return ", ".join(part(one) for one in key)
