r"""JAX with enlarged random rounding errors: a traced program is run primitive by primitive, and every rounded result is perturbed.

As in :mod:`~crosscheck.references.pytorch.noise.perturbed`, the perturbation of each result is

.. math:: \epsilon \, \xi \, \sqrt{n} \, T, \qquad \xi \text{ random, with mean 0 and variance 1},

where T is the sum of the absolute terms and n is the number of roundings, according to :mod:`~crosscheck.references.jax.noise.table`. This
interpreter is itself traced and compiled, so the perturbed program is a JAX program with two more arguments, the random numbers and epsilon. The
random numbers are one vector, drawn by NumPy and used in the order of the primitives, so that a seed gives the same numbers in every version of JAX.

Only float64 is perturbed: integers and other precisions are counters, not results. A constant in the code that float32 cannot represent is perturbed,
too, because a subject rounds it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core

from crosscheck.core.operation import RefusedError
from crosscheck.core.precision import ELEMENTARY
from crosscheck.references.jax.noise.rules import COMPLEX, MODULI, RULES, bound
from crosscheck.references.jax.noise.table import ADDITIONS, CALLS, EXACT, FUNCTIONS, OF_POWERS, PRODUCTS, ROOTS, STEPS, SUMS, is_random
from crosscheck.references.noise import rounds_products

ROUNDS = 64
"""The number of iterations of a loop of unknown length that have separate random numbers; after these iterations the numbers repeat."""


@dataclass(frozen=True)
class Rounding:
    """The sizes of enlarged rounding errors."""

    scale: Any = 0.0  # the relative size of one rounding error, epsilon
    underflow: Any = 0.0  # an absolute error of every rounded result, added to its relative error
    flushed: Any = 0.0  # an absolute error of elementary functions: many return 0 if the exact result is subnormal


def perturbed(program: core.ClosedJaxpr, values: Sequence[Any], rounding: Rounding, numbers: Any, infinite: bool = False) -> tuple[list[Any], Any]:
    """Return a program's results after every intermediate result was perturbed, and the largest absolute intermediate result.

    ``numbers``, ``(n,)``, are random, with mean 0 and variance 1; :func:`count` returns n. ``infinite`` says whether arguments may be infinite, as
    masked scores are. A primitive that draws random numbers, or is in no table, is refused.
    """
    run = _Run(rounding, Numbers(numbers), infinite or _holds_infinity(program))
    results = run.closed(program, values)
    return results, run.largest()


def count(program: core.ClosedJaxpr) -> int:
    """Return how many random numbers :func:`perturbed` needs for a program."""
    run = _Run(Rounding(), Numbers())
    jax.eval_shape(lambda *values: run.closed(program, values), *(jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in program.in_avals))
    return run.numbers.dealt


@dataclass
class Numbers:
    """Hands out random numbers in order; if ``numbers`` is None, only counts how many are needed."""

    numbers: Any = None
    dealt: int = 0

    def deal(self, shape: tuple[int, ...]) -> Any:
        """Return an array of the given shape with the next random numbers; zeros if they are only counted."""
        start, self.dealt = self.dealt, self.dealt + math.prod(shape)
        if self.numbers is None:
            return jnp.zeros(shape, np.float64)
        return lax.slice(self.numbers, (start,), (self.dealt,)).reshape(shape)


@dataclass
class _Run:
    rounding: Rounding
    numbers: Numbers
    infinite: bool = False
    seen: list[Any] = field(default_factory=list)
    operands: Sequence[Any] = ()
    repeated: dict[int, Any] = field(default_factory=dict)  # arrays that were broadcast, such as a mean, keyed by id

    def largest(self) -> Any:
        # One reduction over all results, because one for each result would take twice as long to compile as the perturbed program itself.
        everything = jnp.concatenate([jnp.zeros(1, np.float64), *self.seen])
        return jnp.nan_to_num(jnp.abs(everything), nan=0.0, posinf=np.finfo(np.float64).max).max()

    def closed(self, program: Any, values: Sequence[Any], own: Sequence[bool] = ()) -> list[Any]:
        """Run a ``Jaxpr`` or ``ClosedJaxpr`` and return its results; ``own`` says which of the values depend only on constants."""
        program, consts = (program.jaxpr, program.consts) if isinstance(program, core.ClosedJaxpr) else (program, [])
        given = list(zip(program.invars, values, own or [False] * len(values), strict=True))
        # A value that depends only on constants is not perturbed until it is combined with other values, so that indices stay integers.
        fixed = dict(zip(program.constvars, consts, strict=True)) | {variable: value for variable, value, is_own in given if is_own}
        known = {variable: value for variable, value, is_own in given if not is_own}

        def is_fixed(atom: Any) -> bool:
            return isinstance(atom, core.Literal) or atom in fixed

        def as_it_stands(atom: Any) -> Any:
            return np.asarray(atom.val, atom.aval.dtype) if isinstance(atom, core.Literal) else fixed[atom]

        def read(atom: Any) -> Any:
            if isinstance(atom, core.Literal):
                return self._number(atom.val)
            if atom not in known:
                known[atom] = self._number(fixed[atom])
            return known[atom]

        for equation in program.eqns:
            atoms, name = equation.invars, _name(equation)
            if all(map(is_fixed, atoms)) and not _draws(equation):
                fixed.update(zip(equation.outvars, bound(equation, [as_it_stands(atom) for atom in atoms]), strict=True))
                continue
            if name in CALLS:
                own = [is_fixed(atom) for atom in atoms]
                passed = [as_it_stands(atom) if is_own else read(atom) for atom, is_own in zip(atoms, own, strict=True)]
                results = self.closed(equation.params[CALLS[name]], passed, own)
            else:
                results = self._equation(equation, name, [read(atom) for atom in atoms])
            known.update(zip(equation.outvars, results, strict=True))
        return [read(atom) for atom in program.outvars]

    def _equation(self, equation: Any, name: str, values: list[Any]) -> list[Any]:
        if is_random(name):
            raise RefusedError(f"it draws random numbers ({name}), so that no two runs agree; give both sides the same mask, as an argument")
        control = {"scan": self._scan, "cond": self._cond, "while": self._while, "custom_linear_solve": self._solve}
        if name in control:
            return control[name](equation.params, values)
        if name in STEPS and _is_result(equation.outvars[0].aval):
            return self.closed(jax.make_jaxpr(STEPS[name])(*values), values)
        self.operands = [value for value in values if _is_result(value)]
        if name in RULES and any(_is_result(value) for value in values):
            return RULES[name](self, equation, name, values)
        results = [self._rounded(equation, name, values, result) for result in bound(equation, values)]
        if name == "broadcast_in_dim" and values[0].ndim and results[0].size > values[0].size:
            self.repeated[id(results[0])] = results[0]
        return results

    def _rounded(self, equation: Any, name: str, values: list[Any], result: Any) -> Any:
        """Return the result of a primitive, perturbed according to the tables."""
        modulus = name in MODULI and values[0].dtype == COMPLEX
        if not _is_result(result) or (name in EXACT and not modulus):
            return result
        if name in SUMS or name in PRODUCTS:
            return self._summed(equation, name, values, result)
        return self._by_itself(equation, name, values, result, 2 if modulus else 1 if name in ROOTS else 0)

    def _by_itself(self, equation: Any, name: str, values: list[Any], result: Any, roundings: int) -> Any:
        """Return a result perturbed relative to itself, with the primitive's number of roundings."""
        if result.dtype == COMPLEX and name in ADDITIONS:
            return lax.complex(self._scaled(result.real, 1, underflow=False), self._scaled(result.imag, 1, underflow=False))
        if roundings:
            return self._scaled(result, roundings)
        if name in ADDITIONS:
            rounded = self._scaled(result, (values[0] != 0) & (values[1] != 0), underflow=False)
            # A number that is subtracted from several others, such as their mean, may be subtracted after a scaling, x * s - mean * s, or within a
            # larger sum. Then its rounding error is relative to itself, and differs for each of the other numbers.
            spread = not isinstance(equation.invars[1], core.Literal) and values[1].size < result.size
            repeated = spread or id(values[1]) in self.repeated
            return self.by_terms(rounded, values[1], 1) if name == "sub" and repeated else rounded
        if name in ("mul", "div"):
            factors = list(zip(equation.invars, values, strict=True))
            return self._multiplied(result, factors if name == "mul" else factors[1:])
        if name == "integer_pow":
            return self._scaled(result, OF_POWERS.get(equation.params["y"], ELEMENTARY))
        if name in FUNCTIONS:
            return self._moved_from_zero(self._scaled(result, ELEMENTARY), values[0])
        raise RefusedError(
            f"JAX's primitive {name} in {result.dtype} has no known rounding error; write it out in elementary operations, "
            "or declare crosscheck.references.jax.oracle.JaxOracle(function, theory) with an error theory"
        )

    def _scan(self, params: dict[str, Any], values: list[Any]) -> list[Any]:
        """Run a loop; each iteration has separate random numbers."""
        consts, carried = params["num_consts"], params["num_carry"]
        fixed, start, rows = values[:consts], values[consts : consts + carried], values[consts + carried :]
        numbers = self.numbers.deal((params["length"], count(params["jaxpr"])))

        def step(carry: Any, given: Any) -> Any:
            own, row = given
            results, largest = perturbed(params["jaxpr"], [*fixed, *carry, *row], self.rounding, own, self.infinite)
            return results[:carried], (results[carried:], largest)

        carry, (stacked, largest) = lax.scan(step, start, (numbers, rows), length=params["length"], reverse=params["reverse"])
        self.seen.append(largest)
        return [*carry, *stacked]

    def _while(self, params: dict[str, Any], values: list[Any]) -> list[Any]:
        """Run a loop for as many iterations as the same loop takes without perturbations, because a perturbed loop might never converge."""
        of_condition, of_body = params["cond_nconsts"], params["body_nconsts"]
        tested, fixed, start = values[:of_condition], values[of_condition : of_condition + of_body], values[of_condition + of_body :]
        numbers = self.numbers.deal((ROUNDS, count(params["body_jaxpr"])))

        def goes_on(exact: Any) -> Any:
            return core.jaxpr_as_fun(params["cond_jaxpr"])(*tested, *exact)[0]

        def body(state: Any) -> Any:
            exact, carry, number, largest = state
            # In a batch of loops, loops that have ended no longer change.
            going = goes_on(exact)
            after = core.jaxpr_as_fun(params["body_jaxpr"])(*fixed, *exact)
            results, own = perturbed(params["body_jaxpr"], [*fixed, *carry], self.rounding, numbers[number % ROUNDS], self.infinite)
            return _where(going, after, exact), _where(going, results, carry), number + 1, jnp.maximum(largest, own)

        beginning = (start, start, 0, jnp.zeros((), np.float64))
        _, carry, _, largest = lax.while_loop(lambda state: goes_on(state[0]).any(), body, beginning)
        self.seen.append(largest[None])
        return list(carry)

    def _solve(self, params: dict[str, Any], values: list[Any]) -> list[Any]:
        """Run the program that solves a system of linear equations."""
        lengths, programs = params["const_lengths"], params["jaxprs"]
        start = lengths.matvec + lengths.vecmat
        consts, sides = values[start : start + lengths.solve], values[sum(lengths) :]
        return self.closed(programs.solve, [*consts, *sides])

    def _cond(self, params: dict[str, Any], values: list[Any]) -> list[Any]:
        """Run the selected branch."""
        branches = params["branches"]
        numbers = [self.numbers.deal((count(branch),)) for branch in branches]

        def way(branch: core.ClosedJaxpr, own: Any) -> Any:
            return lambda *given: perturbed(branch, given, self.rounding, own, self.infinite)

        results, largest = lax.switch(values[0], [way(branch, own) for branch, own in zip(branches, numbers, strict=True)], *values[1:])
        self.seen.append(largest[None])
        return list(results)

    def _summed(self, equation: Any, name: str, values: list[Any], result: Any) -> Any:
        """Perturb a sum by its absolute terms. The primitive adds these up if applied to absolute values, and counts them if applied to ones."""

        def with_terms(change: Any) -> Any:
            # In the gradient of max pooling, the second operand only decides where numbers are added.
            fixed = values[1:] if name == "select_and_scatter_add" else []
            terms = [change(value) if _is_result(value) else value for value in values[: len(values) - len(fixed)]]
            return equation.primitive.bind(*terms, *fixed, **equation.params)

        counts = with_terms(lambda value: (value != 0).astype(value.dtype)).real
        terms = with_terms(lambda value: jnp.abs(value).astype(value.dtype))
        return self.by_terms(result, terms, jnp.maximum(counts - (1 if name in SUMS else 0), 0))

    def by_terms(self, value: Any, terms: Any, roundings: Any) -> Any:
        """Return a result perturbed by ``roundings`` rounding errors relative to its absolute terms; only float64 and complex128 are changed."""
        if not _is_result(value):
            return value
        size = jnp.sqrt(roundings) * (jnp.abs(terms) * self.rounding.scale + self.rounding.underflow)
        noise = jnp.nan_to_num(self._random(value) * size, nan=0.0, posinf=0.0, neginf=0.0)
        if value.dtype == COMPLEX:
            noise = lax.complex(noise, jnp.nan_to_num(self._random(value) * size, nan=0.0, posinf=0.0, neginf=0.0))
        return self._recorded(noise + value)

    def relatively(self, value: Any, roundings: Any) -> Any:
        """Return a result perturbed by ``roundings`` rounding errors relative to itself."""
        return self._scaled(value, roundings**0.5) if _is_result(value) else value

    def _multiplied(self, result: Any, factors: Sequence[tuple[Any, Any]]) -> Any:
        """Perturb a product or a quotient; multiplying by 1 or by a constant power of two is exact."""
        rounds: Any = True
        for atom, value in factors:
            rounds &= rounds_products(np.asarray(atom.val).item()) if isinstance(atom, core.Literal) else jnp.abs(value) != 1
        return self._scaled(result, rounds)

    def _scaled(self, value: Any, roundings: Any, underflow: bool = True) -> Any:
        """Return a value perturbed by ``roundings`` times a relative rounding error; zeros, signs and infinities do not change."""
        if isinstance(roundings, bool | int) and not roundings:
            return self._recorded(value)
        if value.dtype == COMPLEX:
            return self.by_terms(value, value, roundings**2)
        size = jnp.abs(value) * self.rounding.scale + (self.rounding.underflow if underflow else 0.0)
        moved = jnp.abs(self._random(value) * size * roundings + value) * jnp.sign(value)
        return self._recorded(jnp.where(jnp.isfinite(value), moved, value))

    def _moved_from_zero(self, value: Any, of: Any) -> Any:
        """Perturb results of an elementary function by ``flushed``, because they may have underflowed; results of infinities stay."""
        if value.dtype == COMPLEX:
            return value
        moved = value + jnp.copysign(jnp.abs(self._random(value)) * self.rounding.flushed, value)
        return jnp.where(jnp.isinf(of), value, moved) if self.infinite and of.shape == value.shape else moved

    def _number(self, value: Any) -> Any:
        """Return a constant; its elements are perturbed if float32 cannot represent them."""
        given = np.asarray(value) if isinstance(value, int | float | np.ndarray | np.generic) else value
        if not _is_result(given):
            return value
        narrow = given.astype(np.complex64 if given.dtype == COMPLEX else np.float32).astype(given.dtype)
        rounds = (narrow != given) & (np if isinstance(given, np.ndarray | np.generic) else jnp).isfinite(given)
        if isinstance(rounds, np.ndarray | np.generic) and not rounds.any():
            return given
        return given * (1 + self.rounding.scale * self._random(given) * rounds)

    def _random(self, value: Any) -> Any:
        return self.numbers.deal(value.shape)

    def _recorded(self, value: Any) -> Any:
        counted = jnp.abs(value)
        if self.infinite:
            of_infinity = jnp.any(jnp.stack([jnp.zeros((), bool), *(jnp.isinf(operand).any() for operand in self.operands)]))
            counted = jnp.where(of_infinity & jnp.isinf(value), 0.0, counted)
        self.seen.append(counted.ravel())
        return value


def _where(condition: Any, values: Sequence[Any], others: Sequence[Any]) -> list[Any]:
    """Apply ``jnp.where`` to two lists of arrays, with a condition that may have fewer axes."""
    axes = [tuple(range(condition.ndim, value.ndim)) for value in values]
    return [jnp.where(jnp.expand_dims(condition, own), value, other) for own, value, other in zip(axes, values, others, strict=True)]


def _name(equation: Any) -> str:
    return str(equation.primitive.name.replace("-", "_"))


def _inside(equation: Any) -> list[Any]:
    """Return the programs that are parameters of a primitive, such as the body of a loop."""
    parts = [part for value in equation.params.values() for part in (value if isinstance(value, list | tuple) else [value])]
    return [part for part in parts if isinstance(part, core.ClosedJaxpr | core.Jaxpr)]


def _draws(equation: Any) -> bool:
    """Return whether a primitive, or a primitive inside it, draws random numbers."""
    programs = [getattr(program, "jaxpr", program) for program in _inside(equation)]
    return is_random(_name(equation)) or any(_draws(own) for program in programs for own in program.eqns)


def _holds_infinity(program: Any) -> bool:
    """Return whether a program, or a program inside it, has an infinite constant."""
    closed = isinstance(program, core.ClosedJaxpr)
    numbers = list(program.consts) if closed else []
    inside = []
    for equation in (program.jaxpr if closed else program).eqns:
        numbers += [atom.val for atom in equation.invars if isinstance(atom, core.Literal)]
        inside += _inside(equation)
    known = [number for number in numbers if not isinstance(number, jax.core.Tracer) and np.asarray(number).dtype.kind == "f"]
    return any(bool(np.isinf(number).any()) for number in known) or any(map(_holds_infinity, inside))


def _is_result(value: Any) -> bool:
    return value.dtype in (np.dtype(np.float64), np.dtype(np.complex128)) if hasattr(value, "dtype") else False
