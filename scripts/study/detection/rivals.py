"""The rules by which people compare networks, with their tools' tolerances; in no other module are tolerances numbers that people chose.

A rule gets the subject's result and the framework's result in the same precision, and says whether they agree. It sees one forward and one backward
pass, or the values after each step of an optimizer or a model. So it notices a broken contract, such as an input that is written to, only if these
values differ.

Sources of the numbers: the defaults of ``numpy.testing.assert_allclose``, ``torch.testing.assert_close`` and ``torch.autograd.gradcheck``, which are
called with them; 1e-6 / 1e-6, Keras' ``run_layer_test``; 1e-3 / 1e-4, tinygrad's gradients; twice the reference's own error, the rule by which
TorchDynamo's accuracy checks compare a compiled model; the relative root mean square at 1e-5, Polygraphy's default; a cosine of 0.999, usual for
converted and quantised models. Single operations are compared by KernelBench's 1e-4 and 1e-2 and by the tolerances of PyTorch's own tests as well.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from crosscheck.adapters.adapted_layer import AdaptedLayer
from crosscheck.core.guard import SubjectError
from crosscheck.core.inputs import arranged, memory_of
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array


@dataclass(frozen=True)
class Compared:
    """One quantity for a rule to judge."""

    quantity: str
    found: Array | None  # the subject's result; None if the subject raised before it computed this
    reference: Array  # the framework's result, in the subject's precision
    exact: Array  # the framework's result in float64


@dataclass(frozen=True)
class Rule:
    """A way of comparing two arrays."""

    words: str
    agrees: Callable[[Array, Compared], bool]  # whether the rule accepts an array, which has the reference's shape
    applies: Callable[[Compared], bool] = lambda compared: True  # whether people use the rule for this kind of quantity

    def takes_for_right(self, compared: Compared) -> bool:
        """Return whether the rule accepts a quantity; it never accepts one that is missing or has another shape."""
        found = compared.found
        return found is not None and found.shape == compared.reference.shape and self.agrees(found, compared)


def _asserts(check: Callable[[Array, Array], None]) -> Callable[[Array, Compared], bool]:
    """Return a rule that accepts what an assertion lets pass."""

    def agrees(found: Array, compared: Compared) -> bool:
        try:
            check(found, compared.reference)
        except AssertionError:
            return False
        return True

    return agrees


def _assert_close(found: Array, reference: Array, **tolerances: float) -> None:
    torch.testing.assert_close(torch.from_numpy(np.array(found)), torch.from_numpy(np.array(reference)), **tolerances)


def _within(rtol: float, atol: float) -> Callable[[Array, Compared], bool]:
    return _asserts(lambda found, reference: np.testing.assert_allclose(found, reference, rtol=rtol, atol=atol))


def _rmse(one: Array, other: Array) -> float:
    return float(np.sqrt(np.mean(np.square(one.astype(np.float64) - other.astype(np.float64)))))


def _cosine(found: Array, compared: Compared) -> bool:
    one, other = (value.astype(np.float64).ravel() for value in (found, compared.reference))
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    # Two arrays of zeros have no angle between them, but are equal.
    return float(one @ other) >= 0.999 * lengths if lengths else np.array_equal(one, other)


RULES: dict[str, Rule] = {
    "assert_allclose": Rule("numpy.testing.assert_allclose, its defaults: 1e-7 relative", _asserts(np.testing.assert_allclose)),
    "assert_close": Rule(
        "torch.testing.assert_close, its defaults: 1.3e-6 relative + 1e-5 in float32, 1e-7 + 1e-7 in float64", _asserts(_assert_close)
    ),
    "1e-6 / 1e-6": Rule("1e-6 relative + 1e-6 absolute", _within(1e-6, 1e-6)),
    "1e-3 / 1e-4": Rule("1e-3 relative + 1e-4 absolute", _within(1e-3, 1e-4)),
    "twice the reference's error": Rule(
        "root mean square error against float64 at most twice the reference's own; in float32, for in float64 the reference has none",
        lambda found, compared: _rmse(found, compared.exact) <= 2 * _rmse(compared.reference, compared.exact),
        lambda compared: compared.reference.dtype == np.float32,
    ),
    "relative rmse 1e-5": Rule(
        "root mean square of the difference at most 1e-5 of the reference's",
        lambda found, compared: _rmse(found, compared.reference) <= 1e-5 * _rmse(compared.reference, np.zeros(())),
    ),
    "cosine 0.999": Rule("cosine of the angle between the two at least 0.999", _cosine),
}

DATABASE = "OpInfo's own tolerances"

OPERATION_RULES: dict[str, Rule] = {
    "assert_close": RULES["assert_close"],
    "KernelBench 1e-4": Rule("allclose, 1e-4 relative + 1e-4 absolute: KernelBench in float32", _within(1e-4, 1e-4)),
    "KernelBench 1e-2": Rule("allclose, 1e-2 relative + 1e-2 absolute: KernelBench before its version 0.2, and BackendBench", _within(1e-2, 1e-2)),
    "twice the reference's error": RULES["twice the reference's error"],
}
"""The rules by which people compare single operations."""

CLOSENESS_RULES: dict[str, Rule] = {
    "torch.testing.assert_close": RULES["assert_close"],
    "allclose 1e-5": Rule("allclose, 1e-5 relative + 1e-5 absolute", _within(1e-5, 1e-5)),
    "allclose 1e-3": Rule("allclose, 1e-3 relative + 1e-3 absolute", _within(1e-3, 1e-3)),
    "allclose 1e-2": Rule("allclose, 1e-2 relative + 1e-2 absolute", _within(1e-2, 1e-2)),
}
"""The rules of test suites that compare in float32."""

DATABASE_WORDS = (
    "the largest tolerances that PyTorch's test database gives an operation on the CPU in float32, assert_close's defaults if it gives none"
)


def rule_of_database(tolerances: Mapping[str, float]) -> Rule:
    """Return the rule of PyTorch's own tests, with their tolerances for an operation."""
    return Rule(DATABASE_WORDS, _asserts(lambda found, reference: _assert_close(found, reference, **tolerances)))


GRADCHECK = "gradcheck"
GRADCHECK_WORDS = (
    "torch.autograd.gradcheck of the subject as an autograd Function, its defaults, in float64; with all-ones of its output's sum; "
    "on other inputs than normal ones its fast_mode"
)


class _Subject(torch.autograd.Function):  # type: ignore[misc]
    """A subject as a function that PyTorch can differentiate."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, layer: AdaptedLayer, call: Call, x: torch.Tensor, *params: torch.Tensor) -> torch.Tensor:
        ctx.layer, ctx.call = layer, _with(call, x, params)
        return torch.from_numpy(np.array(_seeded(layer, ctx.call)["output"], order="C"))

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad_output: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        call: Call = ctx.call
        found = _seeded(ctx.layer, call.with_grad_output(grad_output.numpy().copy()))
        names = ("grad_input", *(f"{name}.grad" for name in call.params))
        return None, None, *(torch.from_numpy(np.array(found[name], order="C")) if name in found else None for name in names)


def _seeded(layer: AdaptedLayer, call: Call) -> Mapping[str, Array]:
    """Return a subject's results, with random generators seeded so that each call draws the same numbers."""
    np.random.seed(0)  # noqa: NPY002 - a subject may draw from this generator
    random.seed(0)
    return layer.vjp(call)


def _with(call: Call, x: torch.Tensor, params: tuple[torch.Tensor, ...]) -> Call:
    given = {name: np.array(value.detach().numpy()) for name, value in zip(call.params, params, strict=True)}
    return replace(call, params=given).with_x(arranged(x.detach().numpy(), memory_of(call.x))).forward


def right_gradients(layer: AdaptedLayer, call: Call, summed: bool, fast: bool = False) -> bool:
    """Return whether PyTorch's gradcheck accepts a subject on a call in float64.

    ``summed`` checks the sum of the output (an upstream gradient of all ones) instead of each element; ``fast`` checks random projections instead of
    whole Jacobians.
    """
    names = ("grad_input", *(f"{name}.grad" for name in call.params))
    arrays = (call.x, *call.params.values())
    try:
        inputs = [
            torch.from_numpy(np.array(value, order="C")).requires_grad_(name not in layer.absent) for name, value in zip(names, arrays, strict=True)
        ]

        def function(x: torch.Tensor, *params: torch.Tensor) -> torch.Tensor:
            output = _Subject.apply(layer, call, x, *params)
            return output.sum() if summed else output

        return bool(torch.autograd.gradcheck(function, inputs, raise_exception=False, fast_mode=fast))
    except (SubjectError, RuntimeError, ValueError):
        # gradcheck passes on the subject's errors, and raises its own about gradients of wrong shapes.
        return False
