"""Each contract is broken by a subject made for it, and right layers of every convention keep them all."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from conventional import CONVENTIONS, fits, pair_of
from torch import nn

from crosscheck import Attributes, Dicts, Functions, Pair, Settings, Updating, Verdict, check
from crosscheck.arithmetic import Array, Bound
from crosscheck.checks import CheckResult
from crosscheck.checks.bench import bench_of
from crosscheck.checks.contracts import CONTRACTS
from crosscheck.operation import Call
from crosscheck.references import resolved
from crosscheck.rounding import Multilinear

DTYPES = ("float64", "float32")


@dataclass(frozen=True)
class ScaleReference:
    """Multiplication by a weight for each feature, as a reference by the protocol."""

    name: str = "scale"
    rounding: Multilinear = field(default_factory=Multilinear)
    settings: dict[str, Any] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=lambda: {"weight": (3,)})
    modes: bool = False

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return product and gradients."""
        weight = call.params["weight"]
        if call.grad_output is None:
            return {"output": call.x * weight}
        grads = {"grad_input": call.grad_output * weight, "weight.grad": (call.grad_output * call.x).sum(axis=0)}
        return {"output": call.x * weight, **grads}

    def decisions(self, x: Array) -> None:
        """Return None: there are no kinks."""


class Scale:
    """Multiply by a weight for each feature: a layer that keeps every contract."""

    def __init__(self) -> None:
        self.params: dict[str, Any] = {"weight": np.array([1.5, -0.5, 3.0])}
        self.grads: dict[str, Any] = {}
        self._x: Any = None

    def forward(self, x: Array) -> Array:
        """Return the product."""
        self._x = x
        output: Array = x * self.params["weight"]
        return output

    def backward(self, grad_output: Array) -> Array:
        """Return the gradient for the input."""
        self.grads = {"weight": (grad_output * self._x).sum(axis=0)}
        grad_input: Array = grad_output * self.params["weight"]
        return grad_input


class WritesToInput(Scale):
    """Computes in place, and returns a copy."""

    def forward(self, x: Array) -> Array:
        """Return the product, which the input now holds."""
        self._x = x.copy()
        x *= self.params["weight"]
        return x.copy()


class ReturnsInput(Scale):
    """Returns a view of what it was given."""

    def forward(self, x: Array) -> Array:
        """Return the input."""
        self._x = x
        return x[:]


class WritesToCotangent(Scale):
    """Computes in place on the way back."""

    def backward(self, grad_output: Array) -> Array:
        """Return the cotangent itself, changed."""
        grad_input = super().backward(grad_output)
        grad_output[...] = grad_input
        return grad_output


class WritesToWeight(Scale):
    """Normalises its weight as it goes."""

    def forward(self, x: Array) -> Array:
        """Return the product, the weight halved after it."""
        output = super().forward(x)
        self.params["weight"] *= 0.5
        return output


class Widens(Scale):
    """Always computes in double precision."""

    def backward(self, grad_output: Array) -> Array:
        """Return the gradient in double precision."""
        return super().backward(grad_output).astype(np.float64)


class Narrows(Scale):
    """Always computes in single precision."""

    def backward(self, grad_output: Array) -> Array:
        """Return the gradient in single precision."""
        return super().backward(grad_output).astype(np.float32)


class Accumulates(Scale):
    """Adds to the gradients that are there."""

    def backward(self, grad_output: Array) -> Array:
        """Return the gradient and add to those of the weight."""
        before = self.grads.get("weight", 0.0)
        grad_input = super().backward(grad_output)
        self.grads["weight"] = self.grads["weight"] + before
        return grad_input


class Counts(Scale):
    """Gives another answer each time."""

    calls = 0

    def forward(self, x: Array) -> Array:
        """Return the product, a little larger each time."""
        self.calls += 1
        return super().forward(x) * self.calls


class DropsOut(Scale):
    """Draws a mask from the global generator, in training and after."""

    def forward(self, x: Array) -> Array:
        """Return the product of some of the features."""
        return super().forward(x) * np.random.randint(0, 2, x.shape).astype(x.dtype)  # noqa: NPY002 - as beginners' code does


class KeepsTheFirst(Scale):
    """Remembers the first input only."""

    def forward(self, x: Array) -> Array:
        """Return the product and remember the input if there is none yet."""
        first = self._x
        output = super().forward(x)
        self._x = x if first is None or len(first) < len(x) else first[: len(x)]
        return output


class ReusesItsBuffer(Scale):
    """Returns one and the same array again and again."""

    def __init__(self) -> None:
        super().__init__()
        self._buffer: Any = None

    def forward(self, x: Array) -> Array:
        """Return a piece of the layer's own memory."""
        if self._buffer is None:
            self._buffer = np.zeros((100, 3), x.dtype)
        output: Array = self._buffer[: len(x)]
        output[...] = super().forward(x)
        return output


class LeavesTheRest(Scale):
    """Pads a smaller batch with the rest of the larger one before it."""

    _largest: Any = None

    def forward(self, x: Array) -> Array:
        """Return the product and remember as many samples as there ever were."""
        output = super().forward(x)
        if self._largest is None or len(self._largest) < len(x):
            self._largest = x
        self._rest = self._largest[len(x) :]
        return output

    def backward(self, grad_output: Array) -> Array:
        """Return the gradient, that of the weight with the rest added."""
        grad_input = super().backward(grad_output)
        self.grads["weight"] = self.grads["weight"] + self._rest.sum(axis=0)
        return grad_input


class ClearsGradients(Scale):
    """Sets the gradients to zero when it goes forward."""

    def forward(self, x: Array) -> Array:
        """Return the product and forget the gradients."""
        self.grads = {name: np.zeros_like(value) for name, value in self.grads.items()}
        return super().forward(x)


class Clips(Scale):
    """Limits the gradient."""

    def backward(self, grad_output: Array) -> Array:
        """Return the gradient cut off at 1."""
        return np.clip(super().backward(grad_output), -1, 1)


class HasMethods(Scale):
    """Is told its mode by methods, and computes something else in training."""

    _factor = 1

    def train(self) -> None:
        """Start training."""
        self._factor = 2

    def eval(self) -> None:
        """Stop training."""
        self._factor = 1

    def forward(self, x: Array) -> Array:
        """Return the product, or twice the product."""
        return super().forward(x) * self._factor


class HasAttribute(Scale):
    """Is told its mode by an attribute."""

    training = True

    def forward(self, x: Array) -> Array:
        """Return the product, or half the product."""
        return super().forward(x) * (1 if self.training else 0.5)


class HasArgument(Scale):
    """Is told its mode by an argument."""

    def forward(self, x: Array, train: bool = True) -> Array:
        """Return the product, or minus the product."""
        return super().forward(x) * (1 if train else -1)


class ModesAlike(HasArgument):
    """Has modes in every way, and is right in both."""

    training = True

    def train(self) -> None:
        """Start training."""

    def eval(self) -> None:
        """Stop training."""

    def forward(self, x: Array, train: bool = True) -> Array:
        """Return the product."""
        return Scale.forward(self, x)


OFFENDERS = [
    (WritesToInput, "inputs_are_left_alone", "written to: input"),
    (WritesToCotangent, "inputs_are_left_alone", "written to: cotangent"),
    (ReturnsInput, "output_is_its_own", "the output is a view of the input"),
    (WritesToCotangent, "grad_input_is_its_own", "the input's gradient is a view of the cotangent"),
    (WritesToWeight, "params_are_left_alone", "written to: weight"),
    (Widens, "dtype_is_kept", "grad_input is float64 for float32"),
    (Narrows, "dtype_is_kept", "grad_input is float32 for float64"),
    (Accumulates, "backward_twice_does_not_accumulate", "a second backward pass changes: weight.grad"),
    (Accumulates, "same_call_same_answer", "another answer the second time: weight.grad"),
    (Counts, "same_call_same_answer", "another answer the second time: output"),
    (DropsOut, "same_call_same_answer", "another answer the second time: output"),
    (LeavesTheRest, "smaller_batch_works", "a smaller batch after a larger one changes: weight.grad"),
    (KeepsTheFirst, "backward_uses_the_last_forward", "after two forward passes these are not the second one's: weight.grad"),
    (ReusesItsBuffer, "results_are_kept", "changed by a later call: output"),
    (ClearsGradients, "forward_leaves_gradients", "a forward pass changes: weight.grad"),
    (Clips, "backward_is_linear", "not doubled by a doubled cotangent: grad_input"),
    (HasMethods, "modes_differ_only_where_they_should", "training and evaluation mode give different outputs"),
    (HasAttribute, "modes_differ_only_where_they_should", "training and evaluation mode give different outputs"),
    (HasArgument, "modes_differ_only_where_they_should", "training and evaluation mode give different outputs"),
]


def pair(subject: Any, **given: Any) -> Pair:
    """Return a pair of a scale."""
    options: dict[str, Any] = {"reference": ScaleReference(), "shapes": [(5, 3), (2, 3)], **given}
    return Pair(subject, options.pop("reference"), options.pop("shapes"), **options)


def found(contract: str, subject: Any, **options: Any) -> CheckResult:
    """Return what the check of one contract finds."""
    result = check(pair(subject, **options), only=lambda name: name == f"contract-{contract}")
    assert not result.error, result.error
    return result.results[0]


@pytest.mark.parametrize(("offender", "contract", "broken"), OFFENDERS, ids=[f"{o.__name__}-{contract}" for o, contract, _ in OFFENDERS])
@pytest.mark.parametrize("dtype", DTYPES)
def test_offender_is_caught(offender: type[Scale], contract: str, broken: str, dtype: str) -> None:
    """In the precision in which it offends, the check is a mismatch that says what was broken."""
    result = found(contract, Dicts(offender()), dtypes=(dtype,))
    if broken.endswith(("for float32", "for float64")) and not broken.endswith(dtype):
        assert result.verdict is Verdict.MATCH
        return
    assert result.verdict is Verdict.MISMATCH
    assert result.reason == f"{dtype}: {broken}"


def test_every_contract_has_an_offender() -> None:
    assert {contract for _, contract, _ in OFFENDERS} == set(CONTRACTS)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("contract", CONTRACTS)
def test_right_layer_keeps_it(contract: str, dtype: str) -> None:
    assert found(contract, ModesAlike(), dtypes=(dtype,)).verdict is Verdict.MATCH


ROWS = [
    (convention, layer, samples)
    for convention, layer, samples in itertools.product(CONVENTIONS, ("linear", "conv-nhwc", "pool", "loss"), ("batch", "one"))
    if fits(convention, layer)
]


@pytest.mark.parametrize("contract", CONTRACTS)
@pytest.mark.parametrize("row", ROWS, ids=["-".join(row) for row in ROWS])
def test_right_layers_of_every_convention(row: tuple[str, str, str], contract: str) -> None:
    """They keep it, or it does not apply to the convention, with the reason."""
    result = check(pair_of(*row), only=lambda name: name == f"contract-{contract}").results[0]
    assert result.verdict in (Verdict.MATCH, Verdict.SKIPPED)
    assert result.reason.startswith("does not apply: ") if result.verdict is Verdict.SKIPPED else result.reason == ""


SKIPPED: list[tuple[str, Callable[[], Any], str]] = [
    ("smaller_batch_works", lambda: Dicts(Scale(), one_sample=True), "the subject takes one sample at a time"),
    ("modes_differ_only_where_they_should", Scale, "the subject has no modes"),
    ("backward_twice_does_not_accumulate", lambda: Dicts(Accumulates(), accumulates=True), "gradients are declared to accumulate"),
]


@pytest.mark.parametrize(("contract", "make", "reason"), SKIPPED, ids=["one-sample", "modes", "accumulates"])
def test_does_not_apply(contract: str, make: Callable[[], Any], reason: str) -> None:
    result = found(contract, make())
    assert (result.verdict, result.reason) == (Verdict.SKIPPED, f"does not apply: {reason}")


def test_single_sample_has_no_smaller_batch() -> None:
    result = found("smaller_batch_works", Scale(), shapes=[(1, 3)])
    assert (result.verdict, result.reason) == (Verdict.SKIPPED, "does not apply: no shape with more than one sample was given")


FUNCTION_REASONS = {
    "params_are_left_alone": "the parameters are arguments, or backward updates them by its convention",
    "backward_twice_does_not_accumulate": "gradients are returned, not stored",
    "backward_uses_the_last_forward": "backward gets what it needs as arguments",
    "forward_leaves_gradients": "gradients are not stored in the layer",
}


@pytest.mark.parametrize("contract", FUNCTION_REASONS)
def test_functions_keep_nothing(contract: str) -> None:
    subject = Functions(lambda x, weight: (x * weight, (x, weight)), lambda d, c: (d * c[1], (d * c[0]).sum(axis=0)))
    result = found(contract, subject, params={"weight": "weight"})
    assert (result.verdict, result.reason) == (Verdict.SKIPPED, f"does not apply: {FUNCTION_REASONS[contract]}")


class Updates(Scale):
    """Updates at once."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = self.params.pop("weight")

    def forward(self, x: Array) -> Array:
        """Return the product."""
        self._x = x
        return np.asarray(x * self.weight)

    def backprop(self, grad_output: Array, learn_rate: float) -> Array:
        """Return the input's gradient and update the weight."""
        grad_input = np.asarray(grad_output * self.weight)
        self.weight = self.weight - self.weight.dtype.type(learn_rate) * (grad_output * self._x).sum(axis=0)
        return grad_input


def test_gradient_that_is_read_off_an_update() -> None:
    """It is rounded on the way, so that twice the cotangent does not give exactly twice of it: no reason to call it non-linear."""
    assert found("backward_is_linear", Updating(Updates(), "weight", one_sample=False)).verdict is Verdict.MATCH


def test_operation_that_rearranges() -> None:
    """A flatten may return a view; a scale may not."""

    class Flatten:
        def forward(self, x: Array) -> Array:
            self._shape = x.shape
            return x.reshape(len(x), -1)

        def backward(self, grad_output: Array) -> Array:
            return grad_output.reshape(self._shape)

    result = check(Pair(Flatten(), nn.Flatten(), [(2, 3, 4)]))
    assert result.verdict is Verdict.MATCH
    reasons = {r.check: r.reason for r in result.results}
    assert reasons["contract-output_is_its_own"] == "does not apply: the operation only rearranges its input: a view of it is usual"


class TestModes:
    """Training and evaluation."""

    def test_reference_with_modes(self) -> None:
        """Where the operation itself knows modes, the subject may."""
        result = found("modes_differ_only_where_they_should", HasAttribute(), reference=ScaleReference(modes=True))
        assert result.reason == "does not apply: the reference's own output depends on the mode"

    def test_training_method_of_a_network(self) -> None:
        """A ``train`` that needs data is no switch."""

        class Trains(Scale):
            def train(self, x: Array, labels: Array) -> None:
                raise AssertionError

            def eval(self) -> None:
                raise AssertionError

        assert found("modes_differ_only_where_they_should", Trains()).verdict is Verdict.SKIPPED

    def test_switch_that_raises(self) -> None:
        class Raises(Scale):
            def train(self) -> None:
                raise OSError("no")

            def eval(self) -> None:
                """Stop training."""

        result = found("modes_differ_only_where_they_should", Raises())
        assert result.verdict is Verdict.MISMATCH
        assert result.reason.startswith("could not be tried: changing the mode raised OSError: no")

    @pytest.mark.parametrize(
        ("module", "modes"), [(nn.Linear(3, 3), False), (nn.ReLU(), False), (nn.Sequential(nn.Flatten(), nn.Linear(3, 3)), False)]
    )
    def test_of_modules(self, module: nn.Module, modes: bool) -> None:
        assert resolved(module).modes is modes

    def test_of_modules_with_modes(self) -> None:
        from crosscheck.frameworks.pytorch import has_modes  # noqa: PLC0415

        assert [has_modes(m) for m in (nn.Dropout(), nn.BatchNorm2d(2), nn.Sequential(nn.ReLU(), nn.Dropout()))] == [True, True, True]


def test_gradients_that_pile_up_in_attributes() -> None:
    """The contract does not depend on where gradients are kept."""

    class PilingUp:
        def __init__(self) -> None:
            self.weight, self.dweight = np.ones(3), np.zeros(3)

        def forward(self, x: Array) -> Any:
            self.x = x
            return x * self.weight

        def backward(self, grad_output: Array) -> Any:
            self.dweight = self.dweight + (grad_output * self.x).sum(axis=0)
            return grad_output * self.weight

    assert found("backward_twice_does_not_accumulate", PilingUp()).verdict is Verdict.MISMATCH
    assert found("backward_twice_does_not_accumulate", Attributes(PilingUp(), "weight", accumulates=True)).verdict is Verdict.SKIPPED


def test_bench_takes_the_largest_batch() -> None:
    """Calls are of the shape with most samples, and one with one sample less."""
    bench = bench_of(pair(Scale()).prepared, "float32", Settings().seed)
    assert bench.call.x.shape == (5, 3)
    assert bench.fewer.x.shape == (4, 3)
    assert bench.fewer.grad_output is not None
    assert bench.fewer.grad_output.shape == (4, 3)
    assert (bench.fewer.x != bench.call.x[:4]).all()
    assert np.array_equal(bench.fewer.params["weight"], bench.call.params["weight"])


def test_reading_of_a_stored_gradient_is_exact() -> None:
    one = np.ones(1)
    assert Dicts(Scale()).reading(one, one) is None
    assert isinstance(Updating(Updates(), "weight").reading(one, one), Bound)


@pytest.mark.parametrize(("offender", "contract"), [(KeepsTheFirst, "backward_uses_the_last_forward"), (ReusesItsBuffer, "results_are_kept")])
def test_single_sample_has_another_one(offender: type[Scale], contract: str) -> None:
    """Where there can be no smaller batch, another input of the same shape shows what is left over."""
    assert found(contract, offender(), shapes=[(1, 3)]).verdict is Verdict.MISMATCH
