r"""JAX with rounding done at random and enlarged: a traced program carried out primitive by primitive, every one that rounds perturbed.

What :mod:`~crosscheck.references.pytorch.noise.perturbed` does to PyTorch: to the result of each primitive is added

.. math:: \epsilon \, \xi \, \sqrt{n} \, T, \qquad \xi \text{ random, of mean 0 and variance 1},

with T the sum of the absolute terms and n the number of roundings, by the tables of :mod:`~crosscheck.references.jax.noise.table`. The interpreter is
itself traced and compiled: what it does to the program is a program again, of the random numbers and of epsilon. The random numbers are one vector,
drawn by NumPy and dealt out in the order of the primitives, so that a seed means the same in every version of JAX.

Only float64 is perturbed: a counter in integers or in another precision is no result. A number in the code that float32 cannot represent is rounded
by a subject, and is perturbed, too.
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
"""How many rounds of a loop of unknown length have random numbers of their own; after that the numbers repeat."""


@dataclass(frozen=True)
class Rounding:
    """How rounding is enlarged.

    Attributes
    ----------
    scale : float
        The relative size of one rounding, epsilon.
    underflow : float
        What a result may lose besides, however small it is.
    flushed : float
        What an elementary function may lose: many give 0 where the right result is subnormal.
    """

    scale: Any = 0.0
    underflow: Any = 0.0
    flushed: Any = 0.0


def perturbed(program: core.ClosedJaxpr, values: Sequence[Any], rounding: Rounding, numbers: Any, infinite: bool = False) -> tuple[list[Any], Any]:
    """Return a program's results, every elementary one on the way perturbed, and the largest absolute number on the way.

    Parameters
    ----------
    values : sequence of array
        Its arguments.
    numbers : array of shape (n,)
        Random, of mean 0 and variance 1; n is what :func:`count` says.
    infinite : bool
        Whether its arguments may be infinite, as a masked score is.

    Raises
    ------
    RefusedError
        If a primitive draws random numbers itself, or nothing is known of how it rounds.
    """
    run = _Run(rounding, Numbers(numbers), infinite or _holds_infinity(program))
    results = run.closed(program, values)
    return results, run.largest()


def count(program: core.ClosedJaxpr) -> int:
    """Return how many random numbers it takes to perturb a program."""
    run = _Run(Rounding(), Numbers())
    jax.eval_shape(lambda *values: run.closed(program, values), *(jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in program.in_avals))
    return run.numbers.dealt


@dataclass
class Numbers:
    """Random numbers that are dealt out in order; without any, a count of how many are needed."""

    numbers: Any = None
    dealt: int = 0

    def deal(self, shape: tuple[int, ...]) -> Any:
        """Return as many as an array of this shape holds."""
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
    repeated: dict[int, Any] = field(default_factory=dict)  # by identity: arrays that were broadcast, such as a mean

    def largest(self) -> Any:
        # One reduction of everything: one for each result takes twice as long to compile as the perturbed program itself.
        everything = jnp.concatenate([jnp.zeros(1, np.float64), *self.seen])
        return jnp.nan_to_num(jnp.abs(everything), nan=0.0, posinf=np.finfo(np.float64).max).max()

    def closed(self, program: Any, values: Sequence[Any], own: Sequence[bool] = ()) -> list[Any]:
        """Carry out a program, with its constants where it holds any; ``own`` says which values follow from constants alone."""
        program, consts = (program.jaxpr, program.consts) if isinstance(program, core.ClosedJaxpr) else (program, [])
        given = list(zip(program.invars, values, own or [False] * len(values), strict=True))
        # What follows from constants alone is computed exactly, and rounded once, where it meets something else: an index stays whole.
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
            raise RefusedError(f"it is random itself ({name}), so that no two runs agree; give both sides the same mask, as an argument")
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
        """Perturb the result of one primitive in the way of its kind."""
        modulus = name in MODULI and values[0].dtype == COMPLEX
        if not _is_result(result) or (name in EXACT and not modulus):
            return result
        if name in SUMS or name in PRODUCTS:
            return self._summed(equation, name, values, result)
        return self._by_itself(equation, name, values, result, 2 if modulus else 1 if name in ROOTS else 0)

    def _by_itself(self, equation: Any, name: str, values: list[Any], result: Any, roundings: int) -> Any:
        """Perturb a result relative to itself."""
        if result.dtype == COMPLEX and name in ADDITIONS:
            return lax.complex(self._scaled(result.real, 1, underflow=False), self._scaled(result.imag, 1, underflow=False))
        if roundings:
            return self._scaled(result, roundings)
        if name in ADDITIONS:
            rounded = self._scaled(result, (values[0] != 0) & (values[1] != 0), underflow=False)
            # What is taken from several numbers, such as their mean, may also be taken from each after a scaling, x * s - mean * s, or within a
            # larger sum: its error then is of its own size, and another one beside each number.
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
            f"nothing is known of how JAX's {name} rounds in {result.dtype}; write it out in elementary operations, "
            "or give crosscheck.references.jax.oracle.JaxOracle a rounding that is known"
        )

    def _scan(self, params: dict[str, Any], values: list[Any]) -> list[Any]:
        """Carry out a loop; each round has random numbers of its own."""
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
        """Carry out a loop until its condition fails for the same loop without perturbations: a perturbed one might never converge."""
        of_condition, of_body = params["cond_nconsts"], params["body_nconsts"]
        asked, fixed, start = values[:of_condition], values[of_condition : of_condition + of_body], values[of_condition + of_body :]
        numbers = self.numbers.deal((ROUNDS, count(params["body_jaxpr"])))

        def goes_on(exact: Any) -> Any:
            return core.jaxpr_as_fun(params["cond_jaxpr"])(*asked, *exact)[0]

        def body(state: Any) -> Any:
            exact, carry, number, largest = state
            # Of many loops at once those that have ended stay as they are.
            going = goes_on(exact)
            after = core.jaxpr_as_fun(params["body_jaxpr"])(*fixed, *exact)
            results, own = perturbed(params["body_jaxpr"], [*fixed, *carry], self.rounding, numbers[number % ROUNDS], self.infinite)
            return _where(going, after, exact), _where(going, results, carry), number + 1, jnp.maximum(largest, own)

        beginning = (start, start, 0, jnp.zeros((), np.float64))
        _, carry, _, largest = lax.while_loop(lambda state: goes_on(state[0]).any(), body, beginning)
        self.seen.append(largest[None])
        return list(carry)

    def _solve(self, params: dict[str, Any], values: list[Any]) -> list[Any]:
        """Carry out the program that solves a system of linear equations."""
        lengths, programs = params["const_lengths"], params["jaxprs"]
        start = lengths.matvec + lengths.vecmat
        consts, sides = values[start : start + lengths.solve], values[sum(lengths) :]
        return self.closed(programs.solve, [*consts, *sides])

    def _cond(self, params: dict[str, Any], values: list[Any]) -> list[Any]:
        """Carry out the branch that is taken."""
        branches = params["branches"]
        numbers = [self.numbers.deal((count(branch),)) for branch in branches]

        def way(branch: core.ClosedJaxpr, own: Any) -> Any:
            return lambda *given: perturbed(branch, given, self.rounding, own, self.infinite)

        results, largest = lax.switch(values[0], [way(branch, own) for branch, own in zip(branches, numbers, strict=True)], *values[1:])
        self.seen.append(largest[None])
        return list(results)

    def _summed(self, equation: Any, name: str, values: list[Any], result: Any) -> Any:
        """Perturb a sum by its absolute terms; it computes them itself, from absolute values, and their number from ones."""

        def with_terms(change: Any) -> Any:
            # The second operand of a pool's gradient decides which places numbers are added to.
            fixed = values[1:] if name == "select_and_scatter_add" else []
            terms = [change(value) if _is_result(value) else value for value in values[: len(values) - len(fixed)]]
            return equation.primitive.bind(*terms, *fixed, **equation.params)

        counts = with_terms(lambda value: (value != 0).astype(value.dtype)).real
        terms = with_terms(lambda value: jnp.abs(value).astype(value.dtype))
        return self.by_terms(result, terms, jnp.maximum(counts - (1 if name in SUMS else 0), 0))

    def by_terms(self, value: Any, terms: Any, roundings: Any) -> Any:
        """Perturb a result by so many roundings of the absolute terms given; what is no result stays as it is."""
        if not _is_result(value):
            return value
        size = jnp.sqrt(roundings) * (jnp.abs(terms) * self.rounding.scale + self.rounding.underflow)
        noise = jnp.nan_to_num(self._random(value) * size, nan=0.0, posinf=0.0, neginf=0.0)
        if value.dtype == COMPLEX:
            noise = lax.complex(noise, jnp.nan_to_num(self._random(value) * size, nan=0.0, posinf=0.0, neginf=0.0))
        return self._noted(noise + value)

    def relatively(self, value: Any, roundings: Any) -> Any:
        """Perturb a result by so many roundings relative to itself."""
        return self._scaled(value, roundings**0.5) if _is_result(value) else value

    def _multiplied(self, result: Any, factors: Sequence[tuple[Any, Any]]) -> Any:
        """Perturb a product or a quotient; multiplying by a power of two that stands in the code, or by one, rounds nothing."""
        rounds: Any = True
        for atom, value in factors:
            rounds &= rounds_products(np.asarray(atom.val).item()) if isinstance(atom, core.Literal) else jnp.abs(value) != 1
        return self._scaled(result, rounds)

    def _scaled(self, value: Any, roundings: Any, underflow: bool = True) -> Any:
        """Perturb relative to the result; as in rounding, zero stays zero, a sign a sign, and an infinity what it is."""
        if isinstance(roundings, bool | int) and not roundings:
            return self._noted(value)
        if value.dtype == COMPLEX:
            return self.by_terms(value, value, roundings**2)
        size = jnp.abs(value) * self.rounding.scale + (self.rounding.underflow if underflow else 0.0)
        moved = jnp.abs(self._random(value) * size * roundings + value) * jnp.sign(value)
        return self._noted(jnp.where(jnp.isfinite(value), moved, value))

    def _moved_from_zero(self, value: Any, of: Any) -> Any:
        """Perturb what an elementary function made of numbers at which it may underflow, 0 included; of an infinity it makes exactly 0."""
        if value.dtype == COMPLEX:
            return value
        moved = value + jnp.copysign(jnp.abs(self._random(value)) * self.rounding.flushed, value)
        return jnp.where(jnp.isinf(of), value, moved) if self.infinite and of.shape == value.shape else moved

    def _number(self, value: Any) -> Any:
        """Return a constant, rounded where float32 cannot represent it."""
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

    def _noted(self, value: Any) -> Any:
        counted = jnp.abs(value)
        if self.infinite:
            of_infinity = jnp.any(jnp.stack([jnp.zeros((), bool), *(jnp.isinf(operand).any() for operand in self.operands)]))
            counted = jnp.where(of_infinity & jnp.isinf(value), 0.0, counted)
        self.seen.append(counted.ravel())
        return value


def _where(condition: Any, values: Sequence[Any], others: Sequence[Any]) -> list[Any]:
    """Return elements of the one or the other list of arrays, by a condition that may have fewer axes."""
    axes = [tuple(range(condition.ndim, value.ndim)) for value in values]
    return [jnp.where(jnp.expand_dims(condition, own), value, other) for own, value, other in zip(axes, values, others, strict=True)]


def _name(equation: Any) -> str:
    return str(equation.primitive.name.replace("-", "_"))


def _inside(equation: Any) -> list[Any]:
    """Return the programs that a primitive carries out."""
    parts = [part for value in equation.params.values() for part in (value if isinstance(value, list | tuple) else [value])]
    return [part for part in parts if isinstance(part, core.ClosedJaxpr | core.Jaxpr)]


def _draws(equation: Any) -> bool:
    """Return whether a primitive draws random numbers, or another one inside it does."""
    programs = [getattr(program, "jaxpr", program) for program in _inside(equation)]
    return is_random(_name(equation)) or any(_draws(own) for program in programs for own in program.eqns)


def _holds_infinity(program: Any) -> bool:
    """Return whether a program, or one inside it, has an infinite constant."""
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
