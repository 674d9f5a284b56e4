"""Gradients that are changed before the optimizer uses them: clipped, left out above or below a limit, or rounded.

Such a mistake is tested on any reference, which gets the changed gradients. Its limit is fitted to the numbers found.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from crosscheck.causes.optimizers.trials import Trial
from crosscheck.core.formats import BRAIN, BRAIN_CUT, HALF, INPUTS, Format
from crosscheck.core.operation import Arrays, RefusedError
from crosscheck.core.precision import Array
from crosscheck.oracles.optimizers.programs import saturated
from crosscheck.oracles.optimizers.runs import OptimizerOracle, expected_of

_DIGITS = 15
"""Limits are numbers that somebody wrote, so the one with the fewest digits that explains all numbers is reported; a float64 has this many."""

_ADDED = (0.0, 1e-6)
"""What is added to a norm before the limit is divided by it; PyTorch's ``clip_grad_norm_`` adds 1e-6."""

_SMALLEST = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class GradientFault:
    """A change of the gradients of a step, and the mistake in words."""

    name: str
    words: str
    change: Callable[[Arrays], Arrays]
    fitted: bool = False

    def on(self, grads: Sequence[Arrays]) -> list[Arrays]:
        """Return the changed gradients of all steps."""
        with np.errstate(all="ignore"):
            return [self.change(given) for given in grads]


@dataclass(frozen=True)
class Limited:
    """A change that depends on a limit: it affects elements whose ``size``, compared with the limit, is ``above`` it or below it."""

    name: str
    words: str  # with {limit}
    size: Callable[[Arrays], Arrays]
    change: Callable[[Arrays, float], Arrays]
    above: bool = True
    clips: bool = False  # whether the limit determines the result, not only what is affected

    def at(self, limit: float, words: str = "") -> GradientFault:
        """Return the change with a limit; in words, the number itself unless other ``words`` are given."""
        return GradientFault(self.name, self.words.format(limit=words or f"{limit:.{_DIGITS}g}"), lambda given: self.change(given, limit), True)


def _each(change: Callable[[Array], Array]) -> Callable[[Arrays], Arrays]:
    return lambda given: {name: np.asarray(change(value)) for name, value in given.items()}


def _largest(given: Arrays) -> float:
    return max(float(np.abs(value).max(initial=0.0)) for value in given.values())


def _norm(given: Arrays) -> float:
    return math.sqrt(sum(float(np.square(value).sum()) for value in given.values()))


def _kept(size: Callable[[Arrays], Arrays], above: bool) -> Callable[[Arrays, float], Arrays]:
    """Return the change that sets gradients to 0 whose size is above, or below, the limit."""

    def change(given: Arrays, limit: float) -> Arrays:
        sizes = size(given)
        return {name: np.where(sizes[name] > limit if above else sizes[name] < limit, 0.0, value) for name, value in given.items()}

    return change


def _shortened(size: Callable[[Arrays], Arrays], added: float = 0.0) -> Callable[[Arrays, float], Arrays]:
    """Return the change that scales gradients so that their norm, to which a number is ``added``, is at most the limit."""

    def change(given: Arrays, limit: float) -> Arrays:
        sizes = size(given)
        return {name: value * np.minimum(1.0, limit / np.maximum(sizes[name] + added, _SMALLEST)) for name, value in given.items()}

    return change


SIZE = _each(np.abs)
_LARGEST_EACH = _each(lambda value: np.full_like(value, np.abs(value).max(initial=0.0)))
_NORM_EACH = _each(lambda value: np.full_like(value, np.sqrt(np.square(value).sum())))
_SHARE_EACH = _each(lambda value: np.abs(value) / (np.abs(value).max(initial=0.0) or 1.0))


def _over_all(reduced: Callable[[Arrays], float]) -> Callable[[Arrays], Arrays]:
    return lambda given: {name: np.full_like(value, reduced(given)) for name, value in given.items()}


_LARGEST_ALL, _NORM_ALL = _over_all(_largest), _over_all(_norm)


def _share_all(given: Arrays) -> Arrays:
    largest = _largest(given) or 1.0
    return {name: np.abs(value) / largest for name, value in given.items()}


_NOT_EXPECTED = "the reference uses the whole gradient: remove this"

LIMITED = (
    Limited(
        "gradient clipped",
        "each gradient is clipped to between -{limit} and {limit}; " + _NOT_EXPECTED,
        SIZE,
        lambda given, limit: {name: np.clip(value, -limit, limit) for name, value in given.items()},
        clips=True,
    ),
    *(
        Limited(
            "gradient clipped",
            f"the gradients {whose} are scaled to a norm of at most {{limit}}; {_NOT_EXPECTED}",
            size,
            _shortened(size, added),
            clips=True,
        )
        for whose, size in (("of each parameter", _NORM_EACH), ("of all parameters together", _NORM_ALL))
        for added in _ADDED
    ),
    Limited(
        "steps left out",
        "in a step with any gradient larger than {limit}, all gradients are set to 0; " + _NOT_EXPECTED,
        _LARGEST_ALL,
        _kept(_LARGEST_ALL, above=True),
    ),
    Limited(
        "steps left out",
        "if a parameter has a gradient larger than {limit}, all of its gradients are set to 0; " + _NOT_EXPECTED,
        _LARGEST_EACH,
        _kept(_LARGEST_EACH, above=True),
    ),
    Limited("elements left out", "gradients larger than {limit} are set to 0; " + _NOT_EXPECTED, SIZE, _kept(SIZE, above=True)),
    Limited("elements left out", "gradients smaller than {limit} are set to 0; " + _NOT_EXPECTED, SIZE, _kept(SIZE, above=False), above=False),
    Limited(
        "elements left out",
        "gradients smaller than {limit} times the largest one of their parameter are set to 0; " + _NOT_EXPECTED,
        _SHARE_EACH,
        _kept(_SHARE_EACH, above=False),
        above=False,
    ),
    Limited(
        "elements left out",
        "gradients smaller than {limit} times the largest one of all parameters are set to 0; " + _NOT_EXPECTED,
        _share_all,
        _kept(_share_all, above=False),
        above=False,
    ),
)
"""Changes with a limit."""


def gradient_faults(oracle: OptimizerOracle, trials: Sequence[Trial]) -> Iterator[GradientFault]:
    """Yield the changes of gradients that may explain several runs; limits are fitted to all of them."""
    for stored in _formats(trials[0]):
        words = f"gradients are {stored.in_words} on their way, expected {trials[0].precision.dtype}: keep the dtype in which they were computed"
        yield GradientFault("lower precision", words, _through(stored))
    yield GradientFault(
        "gradient's sign alone", "each step uses the sign of the gradient alone; the reference uses the gradient itself", _each(np.sign)
    )
    for words, size in (("of its parameter", _NORM_EACH), ("of all parameters together", _NORM_ALL)):
        told = f"each gradient is divided by the norm {words}; the reference uses the gradient itself: remove the division"
        yield GradientFault("gradient normalised", told, _divided(size))
    for limited in LIMITED:
        with suppress(RefusedError):
            yield from _fitted(limited, oracle, trials)


def _divided(size: Callable[[Arrays], Arrays]) -> Callable[[Arrays], Arrays]:
    return lambda given: {name: value / np.where(size(given)[name] == 0, 1.0, size(given)[name]) for name, value in given.items()}


def _formats(trial: Trial) -> Iterator[Format]:
    yield from dict.fromkeys((*INPUTS.get(trial.precision.dtype, ()), HALF, BRAIN, BRAIN_CUT))


def _through(stored: Format) -> Callable[[Arrays], Arrays]:
    return _each(lambda value: saturated(stored, value))


def _fitted(limited: Limited, oracle: OptimizerOracle, trials: Sequence[Trial]) -> Iterator[GradientFault]:
    """Yield a change with the limits that explain which elements are wrong."""
    affected, others = [], []
    for trial in trials:
        wrong, right = _first_wrong(trial, limited)
        affected += wrong
        others += right
    if not affected:
        return
    if limited.above:
        high = min(affected)
        low = max((size for size in others if size < high), default=0.0)
    else:
        low = max(affected)
        high = min((size for size in others if size > low), default=math.inf)
    if limited.clips:
        if (limit := _clipped_at(limited, oracle, trials[0], high)) is not None:
            yield limited.at(limit)
        return
    limit = plain_number(low, high)
    yield limited.at(limit, _interval(low, high))


def _interval(low: float, high: float) -> str:
    """Return an interval of limits in words; empty if a number says as much."""
    if not math.isfinite(high):
        return f"a limit above {low:.3g}"
    if not low:
        return f"a limit below {high:.3g}"
    return "" if high < 10 * low else f"a limit between {low:.3g} and {high:.3g}"


def _first_wrong(trial: Trial, limited: Limited) -> tuple[list[float], list[float]]:
    """Return the sizes of gradients in the first step in which their element is wrong, and of those in the steps before."""
    affected, others = [], []
    errors = trial.errors(trial.expected.steps, [("", name) for name in trial.start])
    for name in trial.start:
        still = np.ones(trial.start[name].shape, bool)
        for number, given in enumerate(trial.wide):
            wrong = errors[number]["", name] > 1
            sizes = limited.size(given)[name]
            affected += sizes[still & wrong].tolist()
            others += sizes[still & ~wrong].tolist()
            still &= ~wrong
    return affected, others


def _clipped_at(limited: Limited, oracle: OptimizerOracle, trial: Trial, high: float) -> float | None:
    """Return the limit with the fewest digits at which the first wrong element has the value found; None if none or every small one does."""
    errors = trial.errors(trial.expected.steps, [("", name) for name in trial.start])
    first = next((number for number, step in enumerate(errors) if any((value > 1).any() for value in step.values())), None)
    if first is None:
        return None
    place = max(errors[first], key=lambda one: errors[first][one].max(initial=0.0))
    index = np.unravel_index(int(errors[first][place].argmax()), errors[first][place].shape)
    found = float(trial.found[first].params[place[1]][index])

    def beyond(limit: float) -> float:
        """Return by how much the reference's element is larger than the one found."""
        changed = limited.at(limit).on(trial.wide[: first + 1])
        return float(oracle.run(trial.start, changed)[first].params[place[1]][index]) - found

    at_low = beyond(0.0)
    if at_low * beyond(high) > 0:
        return None
    # Bisection among the numbers of float64, whose bits are in the order of their size, so that a limit far below ``high`` has all digits, too.
    below, above = 0, int(np.float64(high).view(np.int64))
    while above - below > 1:
        middle = (below + above) // 2
        if beyond(float(np.int64(middle).view(np.float64))) * at_low > 0:
            below = middle
        else:
            above = middle
    high = float(np.int64(above).view(np.float64))
    # The right rule's tolerance may be far larger: it takes larger steps.
    bounds = expected_of(oracle, trial.start, limited.at(high).on(trial.wide[: first + 1]), trial.precision).bounds
    tolerance = float(trial.precision.tolerance(bounds[first][place])[index])
    if abs(at_low) <= tolerance:  # as if there were no gradient: the limit is not known
        return None
    rounded = (float(f"{high:.{digits}g}") for digits in range(1, _DIGITS + 1))
    return next((limit for limit in rounded if abs(beyond(limit)) <= tolerance), high)


def plain_number(low: float, high: float) -> float:
    """Return a number between two others with as few digits as possible; a power of ten close to their middle if there is one."""
    if not low or not math.isfinite(high):
        return 10.0 ** math.floor(math.log10(high)) if math.isfinite(high) else 10.0 ** math.ceil(math.log10(low))
    middle = math.sqrt(low) * math.sqrt(high)
    power = 10.0 ** round(math.log10(middle))
    if low < power < high:
        return power
    rounded = (float(f"{middle:.{digits}g}") for digits in range(1, _DIGITS + 1))
    return next((number for number in rounded if low < number < high), middle)
