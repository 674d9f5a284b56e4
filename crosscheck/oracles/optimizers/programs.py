"""Each optimizer's rule as a short program of named lines, which can be edited one at a time to see what a mistake would return.

A line is an assignment, such as ``m = beta1 * m + (1 - beta1) * g``. Variables keep their values from step to step and start at zero; ``g`` is the
gradient, ``w`` the parameter, and ``t`` the number of the step, from 1.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crosscheck.core.formats import Format
from crosscheck.core.operation import Arrays, RefusedError
from crosscheck.core.precision import Array
from crosscheck.oracles.optimizers.runs import AS_IT_IS, Noise, OptimizerMutant, Step

_OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}

_FUNCTIONS: Mapping[str, Callable[..., Any]] = {"sqrt": np.sqrt, "square": np.square, "maximum": np.maximum}


@dataclass(frozen=True)
class Line:
    """An assignment to a variable."""

    name: str
    formula: ast.expr

    @staticmethod
    def of(text: str) -> Line:
        """Return the line that a text such as ``w = w - lr * d`` describes."""
        name, _, formula = text.partition(" = ")
        return Line(name, ast.parse(formula, mode="eval").body)

    @property
    def names(self) -> frozenset[str]:
        """The variables and constants that the formula reads."""
        functions = {id(node.func) for node in ast.walk(self.formula) if isinstance(node, ast.Call)}
        return frozenset(node.id for node in ast.walk(self.formula) if isinstance(node, ast.Name) and id(node) not in functions)


def in_text(formula: ast.expr) -> str:
    """Return a formula as it is written on paper: ``g²`` for a square, ``beta^t`` for a power."""
    text = re.sub(r"square\((\w+)\)", r"\1²", ast.unparse(formula))
    text = re.sub(r"(.+) if t == 1 else (.+)", r"\2 (in the first step \1)", text)
    return text.replace(" ** ", "^")


@dataclass(frozen=True)
class Program:
    """An optimizer's rule with its constants; an oracle of the optimizer that it describes, on which variants have no effect.

    Attributes
    ----------
    states : mapping of str to str
        The reference's names of the states that variables correspond to.
    masked : frozenset of int
        Lines that leave elements unchanged whose gradient is 0.
    rounded : mapping of int to Format
        Lines whose results are rounded to a format. If such a line has no arrays, each of its operations is.
    narrow : mapping of int to numpy.dtype
        Lines whose results are arrays of a narrower dtype, in which NumPy goes on computing.
    dtype : numpy.dtype
        The precision in which the code under test computes. It decides where a result close to the middle of two numbers is rounded to.
    """

    lines: tuple[Line, ...]
    constants: Mapping[str, float]
    states: Mapping[str, str] = field(default_factory=dict)
    masked: frozenset[int] = frozenset()
    rounded: Mapping[int, Format] = field(default_factory=dict)
    narrow: Mapping[int, np.dtype[Any]] = field(default_factory=dict)
    dtype: np.dtype[Any] = np.dtype(np.float64)  # noqa: RUF009 - a dtype is immutable
    _offsets: list[Any] = field(default_factory=list, compare=False, repr=False)  # of the last run, and its start and gradients

    @property
    def settings(self) -> Mapping[str, Any]:
        """The constants."""
        return self.constants

    @property
    def scalars(self) -> frozenset[str]:
        """The names of all numbers that are the same for every element."""
        known = {*self.constants, "t"}
        for line in self.lines:
            if line.names <= known:
                known.add(line.name)
        return frozenset(known)

    @property
    def arrays(self) -> tuple[str, ...]:
        """The names of all variables with a number for each element, without repetition."""
        return tuple(dict.fromkeys(["g", "w", *(line.name for line in self.lines if line.name not in self.scalars)]))

    def run(self, start: Arrays, grads: Sequence[Arrays], variant: OptimizerMutant = AS_IT_IS, noise: Noise | None = None) -> list[Step]:
        """Return the parameters and the states after each step; raise ``RefusedError`` if a constant is divided by zero."""
        del variant
        try:
            with np.errstate(all="ignore"):
                offsets = self._rounding(start, grads) if self.rounded or self.narrow else {}
                run = _Run(self, offsets=offsets, noise=noise)
                run.steps(start, grads)
                return run.done
        except (ZeroDivisionError, OverflowError) as error:
            raise RefusedError(f"the edited rule has no result: {error}") from error

    def _rounding(self, start: Arrays, grads: Sequence[Arrays]) -> Mapping[tuple[int, int], Any]:
        """Return how far rounding moves results, by step and line; it is the same in each run with noise, so that no run rounds the other way."""
        if not self._offsets or self._offsets[0] is not start or self._offsets[1] is not grads:
            stored = _Run(self, self.dtype).steps(start, grads) if self.narrow or self.dtype != np.float64 else {}
            self._offsets[:] = start, grads, _Run(self, stored=stored).steps(start, grads)
        return self._offsets[2]  # type: ignore[no-any-return]


class _Run:
    """A run of a program in a precision, with rounding.

    Rounded results are taken from ``stored`` if this is given; with ``offsets``, these are added instead of rounding.
    """

    def __init__(
        self,
        program: Program,
        dtype: np.dtype[Any] | None = None,
        stored: Mapping[tuple[int, int], Any] | None = None,
        offsets: Mapping[tuple[int, int], Any] | None = None,
        noise: Noise | None = None,
    ) -> None:
        self._own, dtype = dtype is not None, dtype or np.dtype(np.float64)  # whether it runs in the subject's precision
        self.done: list[Step] = []
        self._program, self._dtype, self._stored, self._offsets, self._noise = program, dtype, stored or {}, offsets, noise
        self._rng = np.random.default_rng(None if noise is None else noise.seed)
        self._values: dict[str, Any] = {name: self._setting(value) for name, value in program.constants.items()}

    def steps(self, start: Arrays, grads: Sequence[Arrays]) -> dict[tuple[int, int], Any]:
        """Do all steps. Return each rounded result (in float64: how far rounding moved it), by step and line."""
        values, scalars, result = self._values, self._program.scalars, {}
        values["w"] = self._flat(start)
        for name in self._program.arrays:
            values.setdefault(name, np.zeros_like(values["w"]))
        for number, given in enumerate(grads, start=1):
            values["g"], values["t"] = self._flat(given), number
            moved = values["g"] != 0
            for index, line in enumerate(self._program.lines):
                value = self._value(line.formula)
                if index in self._program.rounded or (self._program.narrow and line.name not in scalars):
                    rounded = self._rounded(line, value, number, index)
                    result[number, index] = rounded if self._own else rounded - value
                    value = rounded
                values[line.name] = np.where(moved, value, values[line.name]) if index in self._program.masked else value
            states = {theirs: self._split(values[mine], start) for mine, theirs in self._program.states.items()}
            self.done.append(Step(self._split(values["w"], start), states))
        return result

    def _flat(self, arrays: Arrays) -> Array:
        return np.concatenate([value.astype(self._dtype).ravel() for value in arrays.values()])

    def _split(self, flat: Array, like: Arrays) -> dict[str, Array]:
        parts = np.split(flat.astype(np.float64), np.cumsum([value.size for value in like.values()])[:-1])
        return {name: part.reshape(value.shape) for part, (name, value) in zip(parts, like.items(), strict=True)}

    def _setting(self, value: float) -> float:
        """Return a setting, with noise perturbed if float32 does not hold it exactly."""
        if self._noise is None or float(np.float32(value)) == value:
            return value
        return value * (1 + self._noise.scale * float(self._rng.standard_normal()))

    def _rounded(self, line: Line, value: Any, number: int, index: int) -> Any:
        if self._offsets is not None:
            return value + self._offsets[number, index]
        if (number, index) in self._stored:
            return np.asarray(self._stored[number, index], np.float64)
        if index in self._program.narrow:
            return value.astype(self._program.narrow[index])
        if index not in self._program.rounded:
            return value
        stored = self._program.rounded[index]
        return self._value(line.formula, stored) if not isinstance(value, np.ndarray) else saturated(stored, value)

    def _value(self, node: ast.expr, stored: Format | None = None) -> Any:
        """Return the value of a formula, with each operation on numbers rounded to a format if this is given."""
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name):
            value = self._values.get(node.id, 0.0)
        elif isinstance(node, ast.IfExp):
            return self._value(node.body if self._values["t"] == 1 else node.orelse, stored)
        elif isinstance(node, ast.BinOp):
            value = self._perturbed(_OPERATORS[type(node.op)](self._value(node.left, stored), self._value(node.right, stored)))
        elif isinstance(node, ast.UnaryOp):
            return -self._value(node.operand, stored)
        else:
            assert isinstance(node, ast.Call)
            assert isinstance(node.func, ast.Name)
            value = self._perturbed(_FUNCTIONS[node.func.id](*(self._value(one, stored) for one in node.args)))
        return value if stored is None else float(stored.rounded(np.asarray(value, np.float64)))

    def _perturbed(self, value: Any) -> Any:
        """Return the result of an operation with noise; numbers that are the same for every element have none, as in PyTorch."""
        if self._noise is None or not isinstance(value, np.ndarray):
            return value
        noise = self._rng.standard_normal((2, *value.shape))
        return value + self._noise.scale * np.abs(value) * noise[0] + self._noise.underflow * noise[1]


def saturated(stored: Format, array: Array) -> Array:
    """Return an array as a format holds it; numbers beyond its range become its largest."""
    largest = float(np.finfo(stored.dtype).max)
    return stored.rounded(np.clip(array, -largest, largest))


def program_of(settings: Mapping[str, Any], dtype: np.dtype[Any]) -> Program | None:
    """Return the program of the optimizer whose settings have these names, which are PyTorch's; None if there is none.

    Optimizers with other names of settings have no program. Whether a program describes the reference has to be tested: optimizers may share names.
    """
    numbers = {name: float(settings[name]) for name in _CONSTANTS if isinstance(settings.get(name), int | float)}
    constants = {_CONSTANTS[name]: value for name, value in numbers.items()}
    if "lr" not in constants:
        return None
    constants |= {f"beta{place}": float(beta) for place, beta in enumerate(settings.get("betas", ()), start=1)}
    lines = [line for line in _lines(settings) if line]
    states = {mine: theirs for mine, theirs in _states(settings).items() if any(line.startswith(f"{mine} = ") for line in lines)}
    parsed = tuple(map(Line.of, lines))
    used = frozenset().union(*(line.names for line in parsed))
    return Program(parsed, {name: value for name, value in constants.items() if name in used}, states, dtype=dtype)


_CONSTANTS = {name: name for name in ("lr", "momentum", "dampening", "rho", "alpha", "eps")} | {"weight_decay": "decay"}
"""The names in programs of PyTorch's settings."""


def _states(settings: Mapping[str, Any]) -> dict[str, str]:
    if "betas" in settings:
        return {"m": "exp_avg", "v": "exp_avg_sq", "x": "max_exp_avg_sq"}
    return {"b": "momentum_buffer", "v": "square_avg", "a": "acc_delta", "m": "grad_avg"}


def _lines(settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of an optimizer's rule, empty ones among them."""
    get: Callable[[str], Any] = settings.get
    yield "g = -g" if get("maximize") else ""
    if get("weight_decay"):
        yield "w = w * (1 - lr * decay)" if get("decoupled_weight_decay") else "g = g + decay * w"
    if "betas" in settings:
        yield "m = beta1 * m + (1 - beta1) * g"
        yield "v = beta2 * v + (1 - beta2) * square(g)"
        yield "x = maximum(x, v)" if get("amsgrad") else ""
        yield "c1 = 1 - beta1 ** t"
        yield "c2 = 1 - beta2 ** t"
        yield f"d = m / c1 / (sqrt({'x' if get('amsgrad') else 'v'} / c2) + eps)"
        yield "w = w - lr * d"
    elif "rho" in settings:
        yield "v = rho * v + (1 - rho) * square(g)"
        yield "d = sqrt(a + eps) / sqrt(v + eps) * g"
        yield "s = lr * d"
        yield "a = rho * a + (1 - rho) * square(d)"
        yield "w = w - s"
    elif "alpha" in settings:
        yield "v = alpha * v + (1 - alpha) * square(g)"
        yield "m = alpha * m + (1 - alpha) * g" if get("centered") else ""
        yield f"d = g / (sqrt({'v - square(m)' if get('centered') else 'v'}) + eps)"
        yield "b = momentum * b + d" if get("momentum") else ""
        yield f"w = w - lr * {'b' if get('momentum') else 'd'}"
    else:
        yield from _descent(settings)


def _descent(settings: Mapping[str, Any]) -> Iterator[str]:
    if not settings.get("momentum"):
        yield "w = w - lr * g"
        return
    yield "b = g if t == 1 else momentum * b + (1 - dampening) * g" if settings.get("dampening") else "b = momentum * b + g"
    yield "d = g + momentum * b" if settings.get("nesterov") else ""
    yield f"w = w - lr * {'d' if settings.get('nesterov') else 'b'}"
