"""An oracle that keeps its last results."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crosscheck.core.operation import Arrays, Call, Oracle
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.oracles.wrapped import WrappedOracle

_KEPT = 8
"""Calls whose results are kept: those of one trial, for the results, the bounds and the shape of the output."""


@dataclass(frozen=True)
class Remembering(WrappedOracle):
    """An oracle that keeps its last results and bounds, so that judging many implementations on one call costs little."""

    _kept: OrderedDict[Hashable, Any] = field(default_factory=OrderedDict, repr=False)

    def vjp(self, call: Call) -> dict[str, Array]:
        return dict(self.once(_key(call), lambda: self.oracle.vjp(call)))

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        key = (_key(call), precision.dtype.str, precision.elements)
        return dict(self.once(key, lambda: WrappedOracle.bounds(self, oracle, call, result, precision)))

    def once(self, key: Hashable, make: Any) -> Any:
        """Return the value of a key; make and keep it if there is none."""
        if key not in self._kept:
            self._kept[key] = make()
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return self._kept[key]


def _key(call: Call) -> Hashable:
    grad_output = {} if call.grad_output is None else {"": call.grad_output}
    arrays = ({"": call.x}, call.params, grad_output, call.constants, call.buffers)
    return tuple((name, value.dtype.str, value.shape, np.ascontiguousarray(value).tobytes()) for group in arrays for name, value in group.items())
