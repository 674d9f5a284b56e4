"""Rules for PyTorch operations that no table covers: transforms, interpolation, linear algebra, cumulative log-sum-exp.

Each rule gets the object that perturbs results, the operation, its name and its arguments; it returns the perturbed results.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from crosscheck.core.precision import ELEMENTARY
from crosscheck.references.noise import Perturbing
from crosscheck.references.pytorch.noise.interpolation import INTERPOLATIONS, interpolated
from crosscheck.references.pytorch.noise.linear_algebra import STABLE, of_perturbed, reflected

Rule: TypeAlias = Callable[[Perturbing, Any, str, tuple[Any, ...], Mapping[str, Any]], Any]


def _transformed(noise: Perturbing, func: Any, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Perturb a Fourier transform of n numbers: each result is a sum of all n numbers, in log2(n) steps (Higham, 2002, chapter 24).

    The transform of the absolute values is largest at frequency 0, where it is the sum of the absolute values, times the normalisation factor.
    """
    x, axes = args[0], args[1]
    result = func(*args, **kwargs)
    if not axes:
        return result
    terms = func(x.abs().to(x.dtype), *args[1:], **kwargs).abs().amax(axes, keepdim=True)
    count = math.prod(max(x.shape[axis], result.shape[axis]) for axis in axes)
    return noise.by_terms(result, terms, math.sqrt(math.ceil(math.log2(max(count, 2)))))


def _running_logarithm(noise: Perturbing, func: Any, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    r"""Perturb :math:`y_k = \log \sum_{i \le k} e^{x_i}`.

    An error of :math:`x_i` is multiplied by the share :math:`e^{x_i - y_k}` of this term in the sum. To add up :math:`|x_i|` times these shares, the
    operation is applied to :math:`x_i + \log |x_i|`.
    """
    x, dim = args
    result = func(x, dim)
    shares = (func(x + x.abs().log(), dim) - result).exp().nan_to_num(0.0, 0.0, 0.0)
    return noise.by_terms(result, shares + result.abs().nan_to_num(0.0, 0.0, 0.0) + 1, math.sqrt(x.shape[dim]) if x.dim() else 1.0)


def _remainder(noise: Perturbing, func: Any, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Perturb a remainder like a difference; a remainder from which nothing is subtracted is exact."""
    result = func(*args, **kwargs)
    return noise.by_terms(result, (abs(args[0]) + result.abs()) * (result != args[0]), math.sqrt(2))


def _alignments(noise: Perturbing, func: Any, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Perturb a loss over alignments (CTC): each step adds a log probability and rounds the sum."""
    place = 1 if name.endswith("_backward") else 0
    log_probs, steps = args[place], args[place].shape[0]
    sizes = log_probs.abs().nan_to_num(0.0, 0.0, 0.0).amax(-1, keepdim=True).cumsum(0)
    given = [*args[:place], noise.by_terms(log_probs, sizes, 2), *args[place + 1 :]]
    if place:
        # If no alignment leads to a state, the state's log probability is minus infinity.
        possible = args[6].isfinite()
        given[6] = noise.relatively(args[6].where(possible, 0.0), math.sqrt(steps)).where(possible, args[6])
        return noise.relatively(func(*given, **kwargs), 1)
    loss, logarithms = func(*given, **kwargs)
    return noise.relatively(loss, 1), logarithms


def _of_rounded_arguments(noise: Perturbing, func: Any, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Perturb the arguments and the result of a function: near a root, formulas with recurrence, reflection or 1 - x^2 have such errors."""
    # The first argument of a polygamma function is its order, an integer.
    given = [*args[:-1], noise.relatively(args[-1], 2)] if name == "polygamma" else [noise.relatively(value, 2) for value in args]
    return noise.relatively(func(*given, **kwargs), ELEMENTARY)


RULES: dict[str, Rule] = {
    **dict.fromkeys(("_fft_c2c", "_fft_c2r", "_fft_r2c"), _transformed),
    **dict.fromkeys(INTERPOLATIONS, interpolated),
    **dict.fromkeys(STABLE, of_perturbed),
    **dict.fromkeys(("linalg_householder_product", "ormqr"), reflected),
    **dict.fromkeys(("fmod", "remainder"), _remainder),
    **dict.fromkeys(("_ctc_loss", "_ctc_loss_backward"), _alignments),
    **dict.fromkeys(("digamma", "erfinv", "lgamma", "polygamma", "special_zeta"), _of_rounded_arguments),
    "logcumsumexp": _running_logarithm,
}
"""The rule for each operation, by the operation's name in ATen."""
