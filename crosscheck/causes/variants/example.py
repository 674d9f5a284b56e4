"""A call on which an explanation is tested: what your code returned, what is right, and the tolerances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from crosscheck.core.check_layer import LayerCheck
from crosscheck.core.judge import Verdict
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array, Precision

_ROOM = 64
"""In the first look a result may be off by this multiple of what rounding explains for the right result; an edited formula may round more."""


@dataclass(frozen=True)
class Example:
    """A judged call.

    Attributes
    ----------
    call : Call
        In float64.
    found, expected : mapping of str to array
        The quantities in float64.
    tolerance : mapping of str to array
        What rounding explains of the right results.
    wrong : frozenset of str
        The quantities that differ by more.
    precision : Precision
        That of the subject.
    """

    call: Call
    found: Mapping[str, Array]
    expected: Mapping[str, Array]
    tolerance: Mapping[str, Array]
    wrong: frozenset[str]
    precision: Precision

    @staticmethod
    def of(check: LayerCheck) -> Example | None:
        """Return a judged call as an example; None if a result is not finite, or was measured and not read, so that its numbers are not exact."""
        judged = {judgement.place.quantity: judgement for judgement in check.judgements if judgement.verdict in (Verdict.MATCH, Verdict.MISMATCH)}
        # A quantity that cannot be judged takes no part; one of another shape does.
        names = [name for name in judged if name in check.found and name in check.expected]
        found = {name: np.asarray(check.found[name], np.float64) for name in names}
        if not names or not all(np.isfinite(value).all() for value in found.values()):
            return None
        tolerance = {name: np.asarray(check.precision.tolerance(check.judged_by.get(name, check.bounds[name]))) for name in names}
        wrong = frozenset(name for name in names if judged[name].verdict is Verdict.MISMATCH)
        return Example(check.wide, found, {name: check.expected[name] for name in names}, tolerance, wrong, check.precision)

    @cached_property
    def near(self) -> Mapping[str, float]:
        """For each quantity, the distance within which a result is close enough for a second look."""
        result = {}
        for name, found in self.found.items():
            finite = self.tolerance[name][np.isfinite(self.tolerance[name])]
            size, right = np.abs(found).max(initial=0.0), np.abs(self.expected[name]).max(initial=0.0)
            relative = finite.max(initial=0.0) / right if right else 0.0
            least = _ROOM * self.precision.unit * max(size, right)
            result[name] = max(_ROOM * max(finite.max(initial=0.0), relative * size), least)
        return result

    def nearer(self, results: Mapping[str, Array]) -> bool:
        """Return whether results are much closer to the wrong numbers found than the right ones are."""
        for name in self.wrong:
            found, right = self.found[name], self.expected[name]
            if found.shape == right.shape and np.abs(found - results[name]).sum() * _CLOSER > np.abs(found - right).sum():
                return False
        return True


_CLOSER = 16
"""An explanation must be this many times closer to the numbers found than the right results are."""
