"""An oracle that answers the same question once, so that every subject of a call is judged by one expectation."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crosscheck.core.operation import Arrays, Call, Oracle, RefusedError, Rounding
from crosscheck.core.precision import Array, Bound, Precision


@dataclass
class Remembering:
    """An oracle that answers the same question once: every subject is judged by the same expectation.

    Attributes
    ----------
    oracle : Oracle
    """

    oracle: Oracle
    _answers: dict[tuple[str, bytes], Any] = field(default_factory=dict)

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return output and gradients."""
        return dict(self._remembered("vjp", call, lambda: self.oracle.vjp(call)))

    @property
    def rounding(self) -> Rounding:
        """The theory, which remembers its bounds."""
        return _RememberedRounding(self)

    @property
    def settings(self) -> Mapping[str, tuple[int, ...]]:
        """Those of the oracle."""
        return self.oracle.settings

    def decisions(self, x: Array) -> Any:
        """Return the decisions of the oracle."""
        return self.oracle.decisions(x)

    def _remembered(self, what: str, call: Call, answer: Any) -> Any:
        digest = hashlib.sha256()
        for value in (call.x, *call.params.values(), *([] if call.grad_output is None else [call.grad_output])):
            digest.update(f"{value.dtype}{value.shape}".encode() + value.tobytes())
        key = what, digest.digest()
        if key not in self._answers:
            try:
                self._answers[key] = answer()
            except RefusedError as error:
                self._answers[key] = error
        if isinstance(self._answers[key], RefusedError):
            raise self._answers[key]
        return self._answers[key]


@dataclass(frozen=True)
class _RememberedRounding:
    owner: Remembering

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        own = self.owner.oracle
        found: dict[str, Bound] = self.owner._remembered("bounds", call, lambda: own.rounding.bounds(own, call, result, precision))
        return found

    def propagated(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        own = self.owner.oracle
        return own.rounding.propagated(own, call, result, error_x, error_grad_output)
