r"""PyTorch with enlarged random rounding errors: the results of every operation that rounds are perturbed, forward and backward.

A dispatch mode intercepts every PyTorch operation, also in autograd's backward pass, and adds to its result

.. math:: \epsilon \, \xi \, \sqrt{n} \, T, \qquad \xi \text{ random, with mean 0 and variance 1},

where T is the sum of the absolute terms and n is the number of roundings. The tables of :mod:`~crosscheck.references.pytorch.noise.table` give the
kind of an operation, which determines T and n:

- an exact operation (a view, a copy, a comparison, a maximum, a selection) is not perturbed;
- for a sum of products, the same operation on absolute values gives T; on ones (and zeros in place of zeros) it gives n;
- an elementary function has T = \|result\| and :data:`~crosscheck.core.precision.ELEMENTARY` roundings;
- a fused operation (a normalisation, a softmax, a loss) is replaced by elementary steps, so that cancellation inside it counts; the steps come from
  :mod:`~crosscheck.references.pytorch.noise.fused`, or from PyTorch's decompositions;
- for some operations (Fourier transforms, interpolation, linear algebra), :mod:`~crosscheck.references.pytorch.noise.rules` has a rule that finds T;
- an operation that is written in Python, or that PyTorch composes of other operations, is replaced by these operations;
- any other operation is perturbed by one rounding relative to its result. This is right for a product, a quotient or a root, but too little for an
  unknown operation in which numbers cancel.

The real and the imaginary part of a complex number are perturbed separately, but both have the T of the complex number.

Only float64 is perturbed: integers and other precisions are counters, not results. A constant in the code that float32 cannot represent, such as a
learning rate of 0.005, is perturbed, too, because a subject rounds it.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias

import torch
from torch._decomp import decomposition_table
from torch._library.custom_ops import _maybe_get_opdef
from torch.utils._python_dispatch import TorchDispatchMode

from crosscheck.core.operation import RefusedError
from crosscheck.core.precision import ELEMENTARY
from crosscheck.references.noise import rounds_products
from crosscheck.references.pytorch.noise.batched import NotBatchedError
from crosscheck.references.pytorch.noise.fused import STEPS
from crosscheck.references.pytorch.noise.rules import RULES
from crosscheck.references.pytorch.noise.table import AVERAGES, EXACT, FILLS, FUNCTIONS, OF_POWERS, PRODUCTS, SUMS, is_known
from crosscheck.references.pytorch.perturb_rounding import STEP, random_like

_ENDLESS = torch.finfo(torch.float64).max / 2
"""Larger numbers count as infinite: PyTorch uses the most negative float64 for the logarithm of 0."""

_OF_LISTS = "_foreach_"
"""What the names of operations on lists of tensors begin with."""

Terms: TypeAlias = dict[tuple[Any, ...], tuple[Any, Any]]


class Mode(TorchDispatchMode):
    """A base class for dispatch modes that are never used with compiled code."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False. Nothing is compiled here, and True would load the compiler, which takes a second."""
        return False


class Noise(Mode):
    """A mode that perturbs every result that PyTorch computes in float64 while it is active.

    An operation that draws random numbers is refused, because two runs would differ. A result without the axis of runs, which cannot be perturbed
    separately for each run of a batch, raises :class:`NotBatchedError`.

    Parameters
    ----------
    scale : float
        The relative size of one rounding error, epsilon.
    underflow : float
        An absolute error of every rounded result, added to its relative error.
    flushed : float
        An absolute error of elementary functions: many return 0 if the exact result is subnormal.
    batch : int
        The number of runs in a batch, which have different perturbations; 0 for a single run.
    terms : dict, optional
        A cache for the absolute terms of each sum, in order. The first of several runs on a call fills the cache; later runs reuse it, because
        perturbations are too small to change these terms noticeably.
    """

    def __init__(self, scale: float, seed: int, underflow: float = 0.0, flushed: float = 0.0, batch: int = 0, terms: Terms | None = None) -> None:
        super().__init__()
        self._scale, self._underflow, self._flushed, self._batch = scale, underflow, flushed, batch
        self._generator = torch.Generator().manual_seed(seed)
        self._within: list[Any] = []
        self._sums, self._terms = 0, {} if terms is None else terms

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        """Run one operation and return its perturbed result."""
        name, inplace = _name(func)
        kwargs = kwargs or {}
        if _is_random(func) and not _is_evaluated(name, args):
            raise RefusedError(f"it draws random numbers ({name}), so that no two runs agree; share the mask, set p=0, or call eval() on the module")
        if name.startswith(_OF_LISTS):
            return self._of_lists(name, inplace, args, kwargs)
        exact = _is_exact(func, name, args)
        if exact and name not in FILLS:
            return func(*args, **kwargs)
        if "out" in kwargs:
            target = kwargs.pop("out")
            with self:
                result = func.overloadpacket(*args, **kwargs)
            return target.resize_(result.shape).copy_(result)
        if inplace and not exact:
            functional = _out_of_place(func, name)
            if functional is not None:
                return args[0].copy_(self._functional(functional, name, args, kwargs))
        return self._functional(func, name, args, kwargs)

    def _functional(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if name in RULES:
            return RULES[name](self, func, name, args, kwargs)
        # A decomposition may contain the operation that it decomposes.
        if (name in STEPS or (func in decomposition_table and not is_known(name))) and func not in self._within:
            return self._decomposed(func, name, args, kwargs)
        if name in SUMS or name in PRODUCTS or name in AVERAGES:
            return self._summed(func, name, args, kwargs)
        if not is_known(name) and func not in self._within and (result := self._taken_apart(func, args, kwargs)) is not NotImplemented:
            return result
        return self._pointwise(func, name, args, kwargs)

    def _taken_apart(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the parts of an operation that is written in Python, or that PyTorch composes of other operations."""
        written = _maybe_get_opdef(func)
        with self:
            return func.decompose(*args, **kwargs) if written is None else written._init_fn(*args, **kwargs)

    def _of_lists(self, name: str, inplace: bool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any] | None:
        """Run an operation on lists of tensors for each tensor of the lists."""
        own = name.removeprefix(_OF_LISTS)
        single = torch.linalg.vector_norm if own == "norm" else getattr(torch.ops.aten, f"{own}_" if inplace else own)
        with self:
            results = [single(*(value[at] if isinstance(value, list | tuple) else value for value in args), **kwargs) for at in range(len(args[0]))]
        return None if inplace else results

    def _pointwise(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Perturb each result of an elementwise operation relative to the result."""
        result = self._of_rounded_numbers(func, args, kwargs)
        if name in ("add", "sub", "rsub"):
            return self._added(result, name, args, kwargs)
        if name in ("mul", "div", "true_divide"):
            return self._multiplied(result, args if name == "mul" else args[1:2])
        roundings = 0 if _is_exact(func, name, args) else ELEMENTARY if name in FUNCTIONS else 2 if _is_complex(args[0]) else 1
        if name == "pow" and not isinstance(args[1], torch.Tensor):
            roundings = OF_POWERS.get(float(args[1]), roundings)
        if not roundings:
            return result
        result = _mapped(lambda value: self.relatively(value, roundings), result)
        return _mapped(lambda value: self._moved_from_zero(value, args[0]), result) if name in FUNCTIONS and not _is_complex(result) else result

    def _decomposed(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self._within.append(func)
        try:
            with self:
                result = (STEPS.get(name) or decomposition_table[func])(*args, **kwargs)
        finally:
            self._within.pop()
        # Some decompositions support only certain arguments.
        return self._pointwise(func, name, args, kwargs) if result is NotImplemented else result

    def _summed(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return sums, each perturbed relative to the sum of its absolute terms."""
        result = func(*args, **kwargs)
        self._sums += 1
        # If a run takes a different branch from the first run, its sums differ.
        key = (self._sums, func, tuple(value.shape for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)))
        if key not in self._terms:
            self._terms[key] = self._terms_of(result, func, name, args, kwargs)
        terms, counts = self._terms[key]
        return _mapped(lambda value, own, count: value if value is None else self.by_terms(value, own, count**0.5), result, terms, counts)

    def _terms_of(self, result: Any, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        """Return the sums of the absolute terms, and the numbers of roundings."""
        terms = func(*_sizes(args), **_sizes(kwargs))
        if name in AVERAGES:
            return terms, _mapped(lambda value: float(AVERAGES[name](*args)), result)
        return terms, _mapped(lambda value: _number_of(value, 1 if name in SUMS else 0), func(*_present(args), **_present(kwargs)))

    def _added(self, result: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Perturb a sum of two numbers, and the product of the second number with alpha; adding zero does not round."""
        if _is_complex(result):
            return torch.view_as_complex(self.relatively(torch.view_as_real(result.resolve_conj()), 1))
        alpha = kwargs.get("alpha", args[2] if len(args) > 2 else 1)
        rounding = self.relatively(result, (args[0] != 0) * (args[1] != 0), underflow=False)
        if name == "sub" and _is_repeated(args[1], result):
            # A number that is subtracted from several others, such as their mean, may be subtracted after a scaling, x * s - mean * s, or within a
            # larger sum. Then its rounding error is relative to itself, and differs for each of the other numbers.
            rounding = self.by_terms(rounding, args[1].expand_as(result), 1)
        if not rounds_products(alpha):
            return rounding
        product = args[0 if name == "rsub" else 1] * alpha
        return self.by_terms(rounding, torch.as_tensor(product, device=result.device).expand_as(result), 1)

    def _multiplied(self, result: Any, factors: tuple[Any, ...]) -> Any:
        """Perturb a product or a quotient; multiplying by 1 or by a constant power of two is exact."""
        rounds: Any = 1
        for factor in factors:
            if not isinstance(factor, torch.Tensor):
                rounds = rounds * rounds_products(factor)
            elif factor.dtype == torch.bool:
                return result
            else:
                rounds = rounds * (factor.abs() != 1)
        return self.relatively(result, rounds)

    def by_terms(self, value: Any, terms: Any, roundings: Any) -> Any:
        """Return a value perturbed relative to its absolute terms. Unlike in the protocol, ``roundings`` is the root of the number of roundings."""
        if not _is_result(value):
            return value
        if _is_complex(value):
            return self._in_both_parts(value, terms, roundings)
        noise = self._random(value).mul_(roundings)
        return noise.mul_(terms.abs().mul_(self._scale).add_(self._underflow)).nan_to_num_(0.0, 0.0, 0.0).add(value)

    def relatively(self, value: Any, roundings: Any, underflow: bool = True) -> Any:
        """Return a value perturbed by ``roundings`` times a relative rounding error; as in rounding, zeros and signs do not change."""
        if not _is_result(value):
            return value
        if _is_complex(value):
            return self._in_both_parts(value, value, roundings)
        noise = self._random(value)
        if underflow and value.numel() and not float(value.abs().min()) * self._scale > self._underflow:
            # Elements that may underflow are rounded to multiples of the smallest number.
            noise = noise.mul_(value.abs().mul_(self._scale).add_(self._underflow)).mul_(roundings).add_(value)
            return torch.where(value.isfinite(), noise.abs().mul_(value.sgn()), value)
        # An infinity, such as the logit of a masked position, does not change.
        return noise.mul_(roundings).mul_(self._scale).add_(1).mul(value)

    def _in_both_parts(self, value: Any, terms: Any, roundings: Any) -> Any:
        """Perturb the real and the imaginary part separately, with the same terms."""
        terms = torch.as_tensor(terms).abs().unsqueeze(-1)
        roundings = roundings.unsqueeze(-1) if isinstance(roundings, torch.Tensor) else roundings
        return torch.view_as_complex(self.by_terms(torch.view_as_real(value.resolve_conj()), terms, roundings))

    def _moved_from_zero(self, value: Any, of: Any) -> Any:
        """Add random multiples of ``flushed`` to an elementary function's results if they may have underflowed, but not to results of infinities."""
        if not _is_result(value) or not value.numel() or float(value.abs().min()) * self._scale > self._flushed or not self._flushed:
            return value
        moved = value + self._random(value).abs_().mul_(self._flushed).copysign_(value)
        return torch.where(of.isinf(), value, moved) if isinstance(of, torch.Tensor) and of.shape == value.shape else moved

    def _random(self, value: torch.Tensor) -> torch.Tensor:
        if self._batch and value.numel() % self._batch:
            raise NotBatchedError(f"a tensor of shape {tuple(value.shape)} is the same in all {self._batch} runs")
        return random_like(value, self._generator).mul_(STEP)

    def _of_rounded_numbers(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return an operation's result for randomly perturbed constants; only constants that float32 cannot represent are perturbed."""
        own = [value for value in (*args, *kwargs.values()) if is_rounded(value)]
        result = func(*args, **kwargs)
        for number in own:
            # Not the constant is changed at random, but the result, so that each run of a batch can have a different constant.
            other = number * (1 + self._scale)
            moved = func(*(other if value is number else value for value in args), **{k: other if v is number else v for k, v in kwargs.items()})
            result = _mapped(self._towards, result, moved)
        return result

    def _towards(self, value: Any, moved: Any) -> Any:
        """Return ``value`` plus a random multiple of ``moved - value``; ``moved`` is the result if a constant has one rounding error."""
        if not _is_result(value):
            return value
        runs = [axis for axis, length in enumerate(value.shape) if length == self._batch]
        if not self._batch or len(runs) == 1:
            xi = torch.randn([self._batch if axis in runs else 1 for axis in range(value.dim())], generator=self._generator, dtype=torch.float64)
        else:
            # Which axis has the runs is unknown, so all runs are changed by one standard deviation, up or down.
            xi = torch.randint(0, 2, (), generator=self._generator, dtype=torch.float64).mul_(2).sub_(1)
        return (moved - value).nan_to_num_(0.0, 0.0, 0.0).mul_(xi.to(value.device)).add_(value)


class Largest(Noise):
    """A mode that records the largest absolute number that PyTorch computes in float64; it does not perturb results.

    An infinite result of an infinite operand, such as a masked score, is correct and is ignored. The most negative float64 counts as infinite, too.
    """

    def __init__(self) -> None:
        super().__init__(0.0, 0)
        self.value = self.forward = 0.0
        self._of_infinity = False

    def mark(self) -> None:
        """Record the largest number of the forward pass; called when the forward pass is complete."""
        self.forward = self.value

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        """Run one operation and record its result."""
        self._of_infinity = any(_is_result(value) and bool((value.abs() > _ENDLESS).any()) for value in (*args, *(kwargs or {}).values()))
        return super().__torch_dispatch__(func, types, args, kwargs)

    def _of_rounded_numbers(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return func(*args, **kwargs)

    def by_terms(self, value: Any, *terms: Any, **options: Any) -> Any:
        """Record the largest absolute element of a value, and return the value."""
        if _is_result(value) and value.numel():
            infinite = 0.0 if self._of_infinity else math.inf
            sizes = value.abs().nan_to_num(0.0, math.inf)
            self.value = max(self.value, float(sizes.where(sizes <= _ENDLESS, infinite).max()))
        return value

    relatively = by_terms


@cache
def _name(func: Any) -> tuple[str, bool]:
    """Return an operation's name without a trailing ``_``, and whether the operation works in place."""
    name = func._schema.name.partition("::")[2]
    inplace = name.endswith("_") and not name.endswith("__")
    return name.removesuffix("_") if inplace else name, inplace


@cache
def _out_of_place(func: Any, name: str) -> Any:
    """Return the variant of an in-place operation that returns a new tensor and has arguments of the same types; None if there is none."""
    packet = getattr(torch.ops.aten, name, None)
    kinds = [str(argument.type) for argument in func._schema.arguments]
    overloads = [getattr(packet, overload) for overload in packet.overloads()] if packet is not None else []
    return next((one for one in overloads if [str(argument.type) for argument in one._schema.arguments] == kinds), None)


@cache
def _is_random(func: Any) -> bool:
    return torch.Tag.nondeterministic_seeded in func.tags


def _is_evaluated(name: str, args: tuple[Any, ...]) -> bool:
    """Return whether a random operation is in evaluation mode, so that it draws no numbers; its fifth argument is the mode."""
    return name == "rrelu_with_noise" and not any(args[4:5])


def _is_result(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype in (torch.float64, torch.complex128)


def _is_complex(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_complex()


def _is_exact(func: Any, name: str, args: tuple[Any, ...]) -> bool:
    """Return whether an operation is exact. The modulus of a complex number, rounding to decimals and adding to what is there are not exact."""
    if func._overloadname.startswith("decimals") or func._overloadname.endswith("reduce") or (name in ("abs", "sgn") and _is_complex(args[0])):
        return False
    return name in EXACT or bool(func.is_view)


def _number_of(counts: Any, fewer: int) -> Any:
    """Return the number of roundings of sums: the number of terms minus ``fewer``, at least 0."""
    return counts if counts is None else ((counts.real if _is_complex(counts) else counts) - fewer).clamp(min=0)


def _is_repeated(operand: Any, result: torch.Tensor) -> bool:
    """Return whether an operand is broadcast, so that each of its numbers is used several times."""
    if not isinstance(operand, torch.Tensor):
        return False
    spread = any(not step and length > 1 for step, length in zip(operand.stride(), operand.shape, strict=True))
    return operand.is_floating_point() and (spread or operand.numel() < result.numel())


def is_rounded(value: Any) -> bool:
    """Return whether a value is a constant that float32 cannot represent."""
    return isinstance(value, float) and math.isfinite(value) and ctypes.c_float(value).value != value


def _mapped(function: Callable[..., Any], *results: Any) -> Any:
    """Apply a function to a result, or to each element of a tuple of results."""
    return tuple(map(function, *results)) if isinstance(results[0], tuple) else function(*results)


def _replaced(given: Any, tensor: Callable[[torch.Tensor], torch.Tensor], number: Callable[[float], float]) -> Any:
    """Return an operation's arguments after replacing floating-point tensors and the factors alpha and beta, but not dimensions and sizes."""

    def one(value: Any, factor: bool) -> Any:
        if isinstance(value, torch.Tensor):
            return tensor(value) if value.is_floating_point() or value.is_complex() else value
        return number(value) if factor else value

    if isinstance(given, dict):
        return {key: one(value, key in ("alpha", "beta")) for key, value in given.items()}
    return tuple(one(value, False) for value in given)


def _sizes(given: Any) -> Any:
    return _replaced(given, lambda value: value.abs().to(value.dtype), abs)


def _present(given: Any) -> Any:
    """Return the arguments with every number except 0 replaced by 1; zeros stay because they add no rounding."""
    return _replaced(given, lambda value: (value != 0).to(value.dtype), lambda factor: float(factor != 0))
