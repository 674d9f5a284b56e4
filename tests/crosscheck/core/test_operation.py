"""A call: other precisions, copies and magnitudes of everything that it gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosscheck.core.operation import Call
from tests.support.laws import law, shapes


@st.composite
def calls(draw: st.DrawFn) -> Call:
    """Draw a call of float32 numbers that lie in memory in either order."""
    rng, shape = np.random.default_rng(draw(st.integers(0, 99))), draw(shapes)
    x = np.asarray(rng.standard_normal(shape), np.float32, order=draw(st.sampled_from("CF")))
    cotangent = rng.standard_normal(shape).astype(np.float32) if draw(st.booleans()) else None
    return Call(x, {"w": -x}, cotangent, {"labels": np.arange(3)}, {"mean": x + 1})


def arrays(call: Call) -> list[np.ndarray]:
    return [call.x, *call.params.values(), *call.buffers.values(), *([] if call.grad_output is None else [call.grad_output])]


@law
@given(calls())
def test_wider_and_back_is_the_same(call: Call) -> None:
    back = call.astype(np.float64).astype(np.float32)
    assert all(one.tobytes() == other.tobytes() and one.dtype == other.dtype for one, other in zip(arrays(call), arrays(back), strict=True))
    assert back.shapes() == call.shapes()


@law
@given(calls())
def test_copy_is_alike_and_shares_nothing(call: Call) -> None:
    copy = call.copied()
    assert all(np.array_equal(one, other) and one.strides == other.strides for one, other in zip(arrays(call), arrays(copy), strict=True))
    assert not any(np.shares_memory(one, other) for one, other in zip(arrays(call), arrays(copy), strict=True))


@law
@given(calls())
def test_magnitudes_and_ones_have_no_signs(call: Call) -> None:
    assert all((value >= 0).all() for value in arrays(call.magnitudes()))
    assert all((value == 1).all() for value in arrays(call.ones()))
    assert call.magnitudes().shapes() == call.ones().shapes() == call.shapes()


@pytest.mark.parametrize("place", ["x", "params", "buffers", "grad_output"])
def test_one_infinity_anywhere_is_seen(place: str) -> None:
    call = Call(np.ones(2), {"w": np.ones(2)}, np.ones(2), {}, {"mean": np.ones(2)})
    assert call.finite()
    held = getattr(call, place)
    (held if isinstance(held, np.ndarray) else next(iter(held.values())))[1] = np.inf
    assert not call.finite()


def test_decisions_are_taken_elsewhere() -> None:
    call = Call(np.ones(2), constants={"labels": np.zeros(2)})
    assert call.decided(None) is call
    assert list(call.decided(np.array([1, 0])).constants) == ["labels", "decisions"]
