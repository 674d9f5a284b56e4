"""An oracle around another one: it answers as that one does, and what a subclass changes is what the error theory runs."""

from __future__ import annotations

import numpy as np
from torch import nn

from crosscheck.core.operation import Call
from crosscheck.core.precision import Array, Precision
from crosscheck.oracles.wrapped import WrappedOracle
from crosscheck.references.pytorch.oracle import oracle

CALL = Call(np.random.default_rng(0).standard_normal((2, 1, 4, 4)), {}, np.ones((2, 1, 2, 2)))
PRECISION = Precision(np.dtype(np.float32), 10)


def test_answers_are_the_wrapped_oracles() -> None:
    inner = oracle(nn.AvgPool2d(2))
    outer = WrappedOracle(inner)
    result = inner.vjp(CALL)
    assert all(np.array_equal(value, result[name]) for name, value in outer.vjp(CALL).items())
    assert (outer.settings, outer.rounding) == (inner.settings, outer)
    bounds, theirs = outer.bounds(outer, CALL, result, PRECISION), inner.rounding.bounds(inner, CALL, result, PRECISION)
    assert all(np.array_equal(bound.abs_sum, theirs[name].abs_sum) for name, bound in bounds.items())
    errors = outer.propagated(outer, CALL, result, np.ones_like(CALL.x), None)
    assert np.array_equal(errors["output"], inner.rounding.propagated(inner, CALL, result, np.ones_like(CALL.x), None)["output"])


def test_decisions_are_the_wrapped_oracles() -> None:
    pool = oracle(nn.MaxPool2d(2))
    assert np.array_equal(np.asarray(WrappedOracle(pool).decisions(CALL.x)), np.asarray(pool.decisions(CALL.x)))


def test_subclass_changes_one_thing() -> None:
    class Doubled(WrappedOracle):
        def vjp(self, call: Call) -> dict[str, Array]:
            return {name: 2 * value for name, value in super().vjp(call).items()}

    inner = oracle(nn.ReLU())
    assert np.array_equal(Doubled(inner).vjp(Call(CALL.x))["output"], 2 * inner.vjp(Call(CALL.x))["output"])
