"""The search for a smaller failing call: it decides which faults count as the same, keeps the smallest call so far, and ends in time."""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import time
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import numpy as np

from crosscheck.checks.check import FailingCall
from crosscheck.checks.values import judged
from crosscheck.core.guard import SubjectError, TimeLimitError, contained, time_limit
from crosscheck.core.judge import Judgement, Verdict
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array
from crosscheck.pairs.prepared import Prepared
from crosscheck.shrinking.smaller import complexity, copied, memory_orders, numbers_of, taken

EVALUATIONS = 1000
"""The most times that the search calls the subject."""

DRAWN = 60_000
"""The most booleans that are drawn, in about two seconds. A fast subject reaches these two limits first, so the clock does not affect its result."""

Bits = tuple[bool, ...]


class Enough(BaseException):
    """The search has used up its time or its calls. Not an ``Exception``, because Hypothesis treats exceptions as findings."""


class Search:
    """A search in progress; ``best`` is the smallest call so far that shows the fault, ``evaluations`` the number of calls of the subject."""

    def __init__(self, prepared: Prepared, given: FailingCall, fault: Judgement, seed: int, seconds: float) -> None:
        self.prepared = prepared
        self.best = given.call
        self._given, self._seed = given, seed
        self.what = taken(next((case.inputs for case in prepared.cases if len(case.shape) == given.call.x.ndim), {}), given.call)
        self._manner = _manner(fault)
        self._wrong: set[str] = set()
        self._memory: dict[str, str] = {}
        self._stored = _stored_lengths(prepared)
        self._kinks = bool(_untied(given.call.x) and prepared.references[0].oracle.decisions(given.call.x) is not None)
        self._ends, self._slowest = time.monotonic() + seconds, seconds
        self.evaluations = self._drawn = 0
        self._known: dict[Any, bool] = {}

    def starts(self) -> bool:
        """Return whether repeating the call shows the fault; afterwards all arrays have C order, unless the fault needs another order."""
        original = self._given.call
        as_found = memory_orders(original)
        began = time.monotonic()
        judgements = self._judgements(copied(original, as_found))
        # A smaller call that takes ten times as long is taken to be an endless loop.
        self._slowest = 1.0 + 10 * (time.monotonic() - began)
        self._wrong = {quantity for quantity, judgement in judgements.items() if judgement.verdict is Verdict.MISMATCH}
        if self._given.quantity not in self._wrong:
            return False
        for inputs, cotangents in itertools.product(("C", ""), repeat=2):
            self._memory = {name: (inputs if name in original.inputs else cotangents) or memory for name, memory in as_found.items()}
            if self._shows(original):
                self.best = copied(original, self._memory)
                return True
        return False

    def fixed(self, length: int) -> bool:
        """Return whether parameters' axes of this length must not be cut, because the subject stores the length or the fault is not numerical."""
        return self._manner != "" or length in self._stored

    def run(self, bits: int, make: Callable[[Bits], Call], examples: int) -> bool:
        """Try calls that ``make`` creates from tuples of ``bits`` booleans. Return whether a smaller call that shows the fault was found."""
        if not bits:
            return False
        from hypothesis import HealthCheck, Phase, Verbosity, find, settings  # noqa: PLC0415 - needed for wrong code only
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
        # Only booleans: for numbers, Hypothesis would search the source of all imported modules and write constants from it to a folder.
        drawn = st.tuples(*[st.booleans()] * bits)
        start = self.best

        # try_one keeps the smallest call; Hypothesis' own exception means that it found nothing.
        with contextlib.suppress(HypothesisException):
            find(drawn, lambda chosen: self.smaller(start, make, chosen), settings=options, random=Random(self._seed))  # noqa: S311 - no secrets
        return self.best is not start

    def smaller(self, start: Call, make: Callable[[Bits], Call], chosen: Bits) -> bool:
        """Return whether the call for a tuple of booleans is smaller than ``start`` and shows the fault."""
        self._drawn += len(chosen)
        if self._drawn > DRAWN or time.monotonic() > self._ends:
            raise Enough
        try:
            with contained("cutting"):
                call = make(chosen)
        except SubjectError:
            return False
        return complexity(call) < complexity(start) and self.try_one(call)

    def try_one(self, call: Call) -> bool:
        """Return whether a call shows the fault; keep it if it is the smallest so far."""
        call = copied(call, self._memory)
        key = (
            call.shapes(),
            tuple(value.tobytes() for value in call.buffers.values()),
            numbers_of(call).tobytes(),
            tuple(value.tobytes() for value in call.constants.values()),
        )
        if key not in self._known:
            self._known[key] = self._allowed(call) and self._shows(call)
        if self._known[key] and complexity(call) < complexity(self.best):
            self.best = call
        return self._known[key]

    def _allowed(self, call: Call) -> bool:
        """Return whether a fault on this call can be the same fault.

        If the operation has kinks and the fault was found away from them, calls with ties or zeros are excluded. If the fault needs an order in
        memory other than C order, arrays that are too small for another order are excluded.
        """
        return not (self._kinks and not _untied(call.x)) and memory_orders(call) == self._memory

    def _shows(self, call: Call) -> bool:
        found = self._judgements(copied(call, self._memory))
        judgement = found.get(self._given.quantity)
        if judgement is None or judgement.verdict is not Verdict.MISMATCH or _manner(judgement) != self._manner:
            return False
        return all(quantity in self._wrong for quantity, each in found.items() if each.verdict is Verdict.MISMATCH)

    def _judgements(self, call: Call, counted: bool = True) -> Mapping[str, Judgement]:
        """Return the judgements on a call by quantity; empty if it cannot be judged."""
        if counted and (self.evaluations >= EVALUATIONS or time.monotonic() > self._ends):
            raise Enough
        self.evaluations += counted
        left = max(0.01, self._ends - time.monotonic())
        try:
            # What the subject prints was noted when the fault was found.
            with contained("the layer"), time_limit(min(left, self._slowest)), contextlib.redirect_stdout(io.StringIO()):
                judgements = judged(self.prepared, call, self._given.dtype)[1]
        except (SubjectError, TimeLimitError):
            return {}
        return {judgement.place.quantity: judgement for judgement in judgements}

    def repeated(self) -> Judgement | None:
        """Judge the smallest call once more; return the judgement, or None if it is not a mismatch this time."""
        self._ends = time.monotonic() + self._slowest
        judgement = self._judgements(copied(self.best, self._memory), counted=False).get(self._given.quantity)
        return judgement if judgement is not None and judgement.verdict is Verdict.MISMATCH else None


def _manner(judgement: Judgement) -> str:
    """Return how a quantity is wrong: an exception's class and line, or the reason without its numbers; empty if only numbers differ."""
    if raised := re.match(r"(.*? raised \w+)", judgement.reason):
        line = re.search(r"\([^()]*:\d+, [^()]*\)$", judgement.reason)
        return raised[1] + (line[0] if line else "")
    return re.sub(r"[\d(),. ]+(e-?\d+)?", " ", judgement.reason)


def _untied(x: Array) -> bool:
    return bool(np.unique(x).size == x.size and x.all())


def _stored_lengths(prepared: Prepared) -> set[int]:
    """Return the integers in the subject's attributes, such as a kernel size. Parameters' axes of these lengths are not cut."""
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
