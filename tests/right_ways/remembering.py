"""An oracle that is asked but once for the same numbers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crosscheck.core.operation import Arrays, Call, Oracle, Rounding
from crosscheck.core.precision import Array, Bound, Precision

_KEPT = 8
"""Calls whose results are kept: as many as there are of one trial, the input's, those for its bounds and for the shape of its output."""


@dataclass(frozen=True)
class Remembering:
    """An oracle whose last results and bounds are kept, so that many implementations can be judged on one call at little cost.

    Attributes
    ----------
    oracle : Oracle
    """

    oracle: Oracle
    _kept: OrderedDict[Hashable, Any] = field(default_factory=OrderedDict, repr=False)

    @property
    def settings(self) -> Any:
        """The oracle's."""
        return self.oracle.settings

    @property
    def rounding(self) -> Rounding:
        """The oracle's error theory, its bounds kept as well."""
        return _RememberingRounding(self)

    def decisions(self, x: Array) -> Any:
        """Return the oracle's decisions."""
        return self.oracle.decisions(x)

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return what the oracle does."""
        return dict(self.once(_key(call), lambda: self.oracle.vjp(call)))

    def once(self, key: Hashable, make: Any) -> Any:
        """Return what was made under a key, made now if it is not kept."""
        if key not in self._kept:
            self._kept[key] = make()
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return self._kept[key]


@dataclass(frozen=True)
class _RememberingRounding:
    owner: Remembering

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        own = self.owner.oracle
        key = (_key(call), precision.dtype.str, precision.elements)
        return dict(self.owner.once(key, lambda: own.rounding.bounds(own, call, result, precision)))

    def propagated(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        own = self.owner.oracle
        return own.rounding.propagated(own, call, result, error_x, error_grad_output)


def _key(call: Call) -> Hashable:
    grad_output = {} if call.grad_output is None else {"": call.grad_output}
    arrays = ({"": call.x}, call.params, grad_output, call.constants, call.buffers)
    return tuple((name, value.dtype.str, value.shape, np.ascontiguousarray(value).tobytes()) for group in arrays for name, value in group.items())
