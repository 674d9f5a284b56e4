"""A failing call made small: fewer samples, channels and pixels, and then numbers towards 0 and 1, as long as the fault stays.

The search is Hypothesis', whose shrinker is the well-kept one of its kind; what it draws are bits alone: where to cut each axis, which numbers stay.
A smaller call counts only where the same quantity is wrong in the same manner and nothing is wrong that was right before. What was found first is
the result wherever nothing smaller does.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np

from crosscheck.arithmetic import Array
from crosscheck.checks.check import Given
from crosscheck.checks.values import judged, shown
from crosscheck.containment import SubjectError, TimeLimitError, contained, time_limit
from crosscheck.divergence import Divergence
from crosscheck.families import memory_of
from crosscheck.judgement import Judgement, Verdict
from crosscheck.operation import Call
from crosscheck.pair import Prepared
from crosscheck.smaller import (
    PLAINER,
    Axis,
    Linked,
    complexity,
    copied,
    groups_of,
    input_axes,
    linked_axes,
    numbers_of,
    ranked,
    whole_arrays,
    window,
    with_numbers,
)

EVALUATIONS = 1000
"""How often the subject is called at most; what bounds the search for a fast one, so that it does not depend on the machine's speed."""

SECONDS = 20.0
"""After which the search ends for a slow subject."""

_ROUNDS = 8
"""How often the sizes are searched at most; each search starts from where the one before ended."""

Bits = tuple[bool, ...]


@dataclass(frozen=True)
class Small:
    """The smallest call found that shows a fault.

    Attributes
    ----------
    call : Call
        In the subject's precision.
    quantity : str
        The one that is wrong.
    divergence : Divergence
        The judgement on this call, with the cause and the source that were found on the one before, which has more numbers to tell causes apart by.
    shrunk : tuple of str
        In words, what became smaller; empty where nothing could.
    evaluations : int
        How often the subject was called.
    """

    call: Call
    quantity: str
    divergence: Divergence
    shrunk: tuple[str, ...]
    evaluations: int


def shrink(prepared: Prepared, given: Given, divergence: Divergence, seed: int = 0, seconds: float = SECONDS) -> Small:
    """Return the smallest call found that shows the fault of a given one; the given one where there is no smaller.

    Parameters
    ----------
    prepared : Prepared
    given : Given
        What the fault was found on; its arrays are left alone.
    divergence : Divergence
        The fault.
    seed : int
        Of the search.
    seconds : float
        After which it ends with what it has.
    """
    search = _Search(prepared, given, divergence.judgement, seed, seconds)
    with contextlib.suppress(_Enough):
        _search_all(search)
    return search.result(divergence)


def _search_all(search: _Search) -> None:
    """Try everything, the steps that save most first."""
    if not search.starts():
        return
    _all_sizes(search)
    search.try_one(replace(search.best, x=ranked(search.best.x)))
    for plainer in PLAINER:
        for few in (True, False):
            _numbers(search, plainer, few)
    _labels(search)
    _all_sizes(search)


def _all_sizes(search: _Search) -> None:
    """Cut the axes until nothing more comes off: those of equal length together, the input's all at once, and each of the input's by itself."""
    for _ in range(_ROUNDS):
        before = search.best
        _sizes(search, linked_axes(search.best, search.fixed))
        _sizes(search, input_axes(search.best))
        for axis in range(search.best.x.ndim):
            _sizes(search, [each for each in input_axes(search.best) if each.axes == ((None, axis),)])
        if search.best is before:
            break


def _sizes(search: _Search, linked: Sequence[Linked]) -> None:
    """Cut the axes: how much of each stays, and from where on."""
    if not linked:
        return
    start = search.best
    widths = [width for each in linked for width in (1, *[(each.length - 1).bit_length()] * 2)]

    def smaller(bits: Bits) -> Call:
        numbers = iter(_in_binary(bits, widths))
        cuts: dict[Axis, slice] = {}
        for each, (whole, less_one, first) in zip(linked, zip(numbers, numbers, numbers, strict=True), strict=True):
            size = less_one % each.length + 1
            begin = first % (each.length - size + 1)
            # Some axes have their least length already: half of the draws leave each one as it is.
            cuts |= {} if whole else dict.fromkeys(each.axes, slice(begin, begin + size))
        return window(start, cuts, search.prepared.output_shape)

    search.run(sum(widths), smaller, examples=60)


def _in_binary(bits: Bits, widths: Sequence[int]) -> list[int]:
    """Return the numbers that bits spell, the most significant one first."""
    ends = np.cumsum(widths)
    return [int("".join("01"[bit] for bit in bits[end - width : end]), 2) for width, end in zip(widths, ends, strict=True)]


def _numbers(search: _Search, plainer: Callable[[Array], Array], few: bool) -> None:
    """Replace numbers by plainer ones: whole arrays first, then each number that is not yet as plain."""
    start = search.best
    old = numbers_of(start)
    new = plainer(old)
    differ = (new != old) & ~np.isin(old, _plainer_than(plainer))
    arrays = [group[differ[group]] for group in whole_arrays(start)]
    groups = [group for group in arrays if len(group)] if few else groups_of(differ)

    def replaced(bits: Bits, draws: int = 1) -> Call:
        numbers = old.copy()
        for index, group in enumerate(groups):
            if not any(bits[index * draws : (index + 1) * draws]):
                numbers[group] = new[group]
        return with_numbers(start, numbers)

    # A number stays where any of its bits is set. With one bit, half of them stay; a fault that needs more of them gets more bits.
    for draws in (1,) if few else (1, 3, 6):
        if search.run(draws * len(groups), lambda bits, draws=draws: replaced(bits, draws), examples=25):  # type: ignore[misc]
            return


def _plainer_than(plainer: Callable[[Array], Array]) -> list[float]:
    """Return the numbers that are not replaced any more: they are plainer already."""
    return [float(each(np.zeros(1))[0]) for each in PLAINER[: PLAINER.index(plainer)]]


def _labels(search: _Search) -> None:
    """Replace labels by the first class."""
    start = search.best
    if "labels" not in start.constants:
        return
    labels = start.constants["labels"]

    def replaced(bits: Bits) -> Call:
        return replace(start, constants={**start.constants, "labels": np.where(bits, labels, 0)})

    search.run(len(labels), replaced, examples=25)


class _Enough(BaseException):
    """The search has had its share; no ``Exception``, because Hypothesis takes those for findings."""


class _Search:
    """Calls tried one after the other, the smallest that shows the fault kept.

    Attributes
    ----------
    best : Call
        The smallest so far.
    """

    def __init__(self, prepared: Prepared, given: Given, fault: Judgement, seed: int, seconds: float) -> None:
        self.prepared = prepared
        self.best = given.call
        self._given, self._seed = given, seed
        self._fault = fault
        self._manner = _manner(fault)
        self._wrong: set[str] = set()
        self._memory = ("C", "C")
        self._stored = _stored_lengths(prepared)
        self._kinks = bool(_untied(given.call.x) and prepared.references[0].oracle.decisions(given.call.x) is not None)
        self._ends, self._slowest, self._evaluations = time.monotonic() + seconds, seconds, 0
        self._known: dict[Any, bool] = {}

    def starts(self) -> bool:
        """Return whether the fault is there when the call is repeated; in plain memory, if it does not need another."""
        original = self._given.call
        as_found = _memory(original)
        began = time.monotonic()
        judgements = self._judgements(copied(original, as_found))
        # A smaller call that takes so much longer than this one is not going to end.
        self._slowest = 1.0 + 10 * (time.monotonic() - began)
        self._wrong = {quantity for quantity, judgement in judgements.items() if judgement.verdict is Verdict.MISMATCH}
        if self._given.quantity not in self._wrong:
            return False
        for self._memory in dict.fromkeys(itertools.product(("C", as_found[0]), ("C", as_found[1]))):
            if self._shows(original):
                self.best = copied(original, self._memory)
                return True
        return False

    def fixed(self, name: str, length: int) -> bool:
        """Return whether a length of a parameter has to stay: the subject has stored it, or it is what the fault is about."""
        return self._manner != "" or length in self._stored

    def run(self, bits: int, make: Callable[[Bits], Call], examples: int) -> bool:
        """Search among the calls that bits stand for, and return whether one of them shows the fault and is smaller than the smallest so far.

        Raises
        ------
        _Enough
            If the search has had its share.
        """
        if not bits:
            return False
        from hypothesis import HealthCheck, Phase, Verbosity, find, settings  # noqa: PLC0415 - needed by nobody whose code is right
        from hypothesis import strategies as st  # noqa: PLC0415
        from hypothesis.errors import HypothesisException  # noqa: PLC0415

        options = settings(
            database=None,
            deadline=None,
            derandomize=False,
            max_examples=examples,
            phases=(Phase.generate, Phase.shrink),
            print_blob=False,
            suppress_health_check=list(HealthCheck),
            verbosity=Verbosity.quiet,
        )
        # Bits alone: for numbers Hypothesis would look through the source code of everything that is imported, and write what it finds to a folder.
        drawn = st.tuples(*[st.booleans()] * bits)
        start = self.best

        # What it finds is kept as it goes; an exception of its own says that there was nothing.
        with contextlib.suppress(HypothesisException):
            find(drawn, lambda chosen: self.smaller(start, make, chosen), settings=options, random=Random(self._seed))  # noqa: S311 - no secrets
        return self.best is not start

    def smaller(self, start: Call, make: Callable[[Bits], Call], chosen: Bits) -> bool:
        """Return whether the call that bits stand for is smaller than another one and shows the fault."""
        if time.monotonic() > self._ends:
            raise _Enough
        try:
            with contained("cutting"):
                call = make(chosen)
        except SubjectError:
            return False
        return complexity(call) < complexity(start) and self.try_one(call)

    def try_one(self, call: Call) -> bool:
        """Return whether a call shows the fault, and keep it if it is the smallest."""
        call = copied(call, self._memory)
        key = (call.shapes(), numbers_of(call).tobytes(), tuple(value.tobytes() for value in call.constants.values()))
        if key not in self._known:
            self._known[key] = self._allowed(call) and self._shows(call)
        if self._known[key] and complexity(call) < complexity(self.best):
            self.best = call
        return self._known[key]

    def _allowed(self, call: Call) -> bool:
        """Return False where a fault would be another one.

        Ties and zeros are out where the operation has kinks and the fault was found away from them; arrays so small that they lie in memory like any
        other, where the fault needs a place in memory of its own.
        """
        return not (self._kinks and not _untied(call.x)) and _memory(call) == self._memory

    def _shows(self, call: Call) -> bool:
        found = self._judgements(copied(call, self._memory))
        judgement = found.get(self._given.quantity)
        if judgement is None or judgement.verdict is not Verdict.MISMATCH or _manner(judgement) != self._manner:
            return False
        return all(quantity in self._wrong for quantity, each in found.items() if each.verdict is Verdict.MISMATCH)

    def _judgements(self, call: Call) -> Mapping[str, Judgement]:
        """Return the judgements on a call; none where it cannot be judged."""
        if self._evaluations >= EVALUATIONS or time.monotonic() > self._ends:
            raise _Enough
        self._evaluations += 1
        left = max(0.01, self._ends - time.monotonic())
        try:
            # What the subject prints it has printed once already.
            with contained("the layer"), time_limit(min(left, self._slowest)), contextlib.redirect_stdout(io.StringIO()):
                judgements = judged(self.prepared, call, self._given.dtype)[1]
        except (SubjectError, TimeLimitError):
            return {}
        return {judgement.place.quantity: judgement for judgement in judgements}

    def result(self, divergence: Divergence) -> Small:
        """Return the smallest call, judged once more: a subject that gives another answer each time gets the call that it was caught on."""
        self._evaluations, tried, self._ends = 0, self._evaluations, time.monotonic() + self._slowest
        judgement = self._judgements(copied(self.best, self._memory)).get(self._given.quantity)
        if judgement is None or judgement.verdict is not Verdict.MISMATCH:
            return Small(self._given.call, self._given.quantity, divergence, (), tried)
        shrunk = _in_words(self._given.call, self.best)
        return Small(self.best, self._given.quantity, replace(divergence, judgement=judgement), shrunk, tried)


def _manner(judgement: Judgement) -> str:
    """Return in what manner something is wrong: empty for numbers that differ, else the reason without its numbers; an exception's kind and line."""
    if raised := re.match(r"(.*? raised \w+)", judgement.reason):
        line = re.search(r"\([^()]*:\d+, [^()]*\)$", judgement.reason)
        return raised[1] + (line[0] if line else "")
    return re.sub(r"[\d(),. ]+", " ", judgement.reason)


def _memory(call: Call) -> tuple[str, str]:
    """Return how input and cotangent lie in memory."""
    return memory_of(call.x), "C" if call.grad_output is None else memory_of(call.grad_output)


def _untied(x: Array) -> bool:
    return bool(np.unique(x).size == x.size and x.all())


def _stored_lengths(prepared: Prepared) -> set[int]:
    """Return the whole numbers that the subject holds as settings, such as a kernel's size: a parameter's axis of such a length has to keep it."""
    convention = prepared.layer.convention
    held = [*getattr(getattr(convention, "layer", None), "__dict__", {}).values(), *getattr(convention, "extra", ())]
    held += [size for layout in (prepared.layer.layout.input, prepared.layer.layout.output) for size in layout.sizes.values()]
    return {number for value in held for number in _whole_numbers(value)}


def _whole_numbers(value: Any) -> set[int]:
    if isinstance(value, int | np.integer):
        return {int(value)}
    if isinstance(value, Mapping):
        value = list(value.values())
    return {number for each in value for number in _whole_numbers(each)} if isinstance(value, tuple | list) else set()


def _in_words(before: Call, after: Call) -> tuple[str, ...]:
    """Return what became smaller."""
    arrays = [("input", before.x, after.x), *((name, before.params[name], value) for name, value in after.params.items())]
    sizes = [f"{name} {shown(old.shape)} to {shown(new.shape)}" for name, old, new in arrays if old.shape != new.shape]
    numbers = numbers_of(after)
    plain = int(np.isin(numbers, (0.0, 1.0)).sum())
    return (*sizes, f"{plain} of {numbers.size} numbers are 0 or 1")
