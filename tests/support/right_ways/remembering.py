"""An oracle that is asked but once for the same numbers."""

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
"""Calls whose results are kept: as many as there are of one trial, the input's, those for its bounds and for the shape of its output."""


@dataclass(frozen=True)
class Remembering(WrappedOracle):
    """An oracle whose last results and bounds are kept, so that many implementations can be judged on one call at little cost."""

    _kept: OrderedDict[Hashable, Any] = field(default_factory=OrderedDict, repr=False)

    def vjp(self, call: Call) -> dict[str, Array]:
        return dict(self.once(_key(call), lambda: self.oracle.vjp(call)))

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        key = (_key(call), precision.dtype.str, precision.elements)
        return dict(self.once(key, lambda: WrappedOracle.bounds(self, oracle, call, result, precision)))

    def once(self, key: Hashable, make: Any) -> Any:
        """Return what was made under a key, made now if it is not kept."""
        if key not in self._kept:
            self._kept[key] = make()
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return self._kept[key]


def _key(call: Call) -> Hashable:
    grad_output = {} if call.grad_output is None else {"": call.grad_output}
    arrays = ({"": call.x}, call.params, grad_output, call.constants, call.buffers)
    return tuple((name, value.dtype.str, value.shape, np.ascontiguousarray(value).tobytes()) for group in arrays for name, value in group.items())
