"""An oracle that computes each call only once, so that all subjects are judged by the same expected values."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from crosscheck.core.operation import Arrays, Call, Oracle, RefusedError
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.oracles.wrapped import WrappedOracle


@dataclass(frozen=True)
class Remembering(WrappedOracle):
    """An oracle that remembers its results, so that it computes each call only once."""

    _answers: dict[tuple[str, bytes], Any] = field(default_factory=dict)

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return output and gradients."""
        return dict(self._remembered("vjp", call, lambda: self.oracle.vjp(call)))

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        """Return the bounds of the oracle."""
        found: dict[str, Bound] = self._remembered("bounds", call, lambda: WrappedOracle.bounds(self, oracle, call, result, precision))
        return found

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
