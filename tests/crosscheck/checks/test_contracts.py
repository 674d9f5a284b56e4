"""Each contract is broken by a subject made for it, and right layers of every convention keep them all."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from crosscheck import Attributes, Dicts, Functions, Pair, Updating, Verdict
from crosscheck.checks.contracts import CONTRACTS
from crosscheck.core.precision import Array, Bound
from crosscheck.references.resolve import resolved
from tests.support.contract_checks import INFINITY, found, of_contract
from tests.support.conventional import CONVENTIONS, fits, pair_of
from tests.support.faults import CATALOGUE
from tests.support.faults.contracts import Adds, KeepsTheFirst, NegatesInEvaluation, ReusesItsBuffer
from tests.support.faults.layer_memory import SIZES
from tests.support.plain import Scale, ScaleReference
from tests.support.unshrunk import check

DTYPES = ("float64", "float32")
ADDING = "gradients_accumulate_as_declared"
ANOTHER_SIZE = "another_size_works"
NOT_ADDED = "changed by a backward pass with an upstream gradient of zeros: weight.grad"

ADD_UP = "; the gradients add up from call to call: if they are cleared elsewhere, declare subject=Dicts(layer, accumulates=True)"

OFFENDERS = [
    ("state-input-written", "inputs_are_left_alone", "changed in place: input"),
    ("state-cotangent-written", "inputs_are_left_alone", "changed in place: upstream gradient"),
    ("layer_memory-subsampled-as-a-view", "output_is_not_a_view", "the output is a view of the input"),
    ("layer_memory-cropped-as-a-view", "grad_input_is_not_a_view", "the input's gradient is a view of the upstream gradient"),
    ("state-weight-written", "params_are_left_alone", "changed in place: weight"),
    ("contracts-widens", "dtype_is_kept", "grad_input is float64 for float32 input"),
    ("contracts-narrows", "dtype_is_kept", "grad_input is float32 for float64 input"),
    ("state-gradients-added", "backward_twice_does_not_accumulate", f"a second backward pass changes: weight.grad, bias.grad{ADD_UP}"),
    ("state-gradients-added", "same_call_same_answer", f"different the second time: weight.grad, bias.grad{ADD_UP}"),
    ("contracts-counts", "same_call_same_answer", "different the second time: output"),
    ("contracts-drops-out", "same_call_same_answer", "different the second time: output"),
    ("state-rest-of-the-larger-batch", "smaller_batch_works", "a smaller batch after a larger one changes: bias.grad"),
    ("contracts-keeps-the-first", "backward_uses_the_last_forward", "these are not the gradients of the second forward pass: weight.grad"),
    ("state-first-input-kept", "backward_uses_the_last_forward", "these are not the gradients of the second forward pass: weight.grad"),
    ("state-output-reused", "results_stay_unchanged", "changed by a later call: output"),
    ("contracts-reuses-its-buffer", "results_stay_unchanged", "changed by a later call: output"),
    ("state-cache-of-the-class", "instances_share_nothing", "changed by another layer of the same class: weight.grad"),
    ("state-gradients-cleared", "forward_does_not_change_gradients", "a forward pass changes: weight.grad, bias.grad"),
    ("contracts-clips", "backward_is_linear", "not doubled by a doubled upstream gradient: grad_input"),
    ("contracts-doubles-in-training", "same_output_in_both_modes", "training and evaluation mode give different outputs"),
    ("state-other-output-in-evaluation", "same_output_in_both_modes", "training and evaluation mode give different outputs"),
    ("contracts-negates-in-evaluation", "same_output_in_both_modes", "training and evaluation mode give different outputs"),
    ("contracts-overwrites", "gradients_accumulate_as_declared", NOT_ADDED),
    ("contracts-adds-twice", "gradients_accumulate_as_declared", NOT_ADDED),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("fault", "contract", "broken"), OFFENDERS, ids=[f"{fault}-{contract}" for fault, contract, _ in OFFENDERS])
def test_offender_is_caught(fault: str, contract: str, broken: str, dtype: str) -> None:
    """In the precision in which it offends, the check is a mismatch that says what was broken."""
    pair = CATALOGUE[fault].pair()
    assert isinstance(pair, Pair)
    result = of_contract(contract, replace(pair, dtypes=(dtype,)))
    if broken.endswith(("for float32 input", "for float64 input")) and not broken.endswith(f"{dtype} input"):
        assert result.verdict is Verdict.MATCH
    else:
        assert (result.verdict, result.reason) == (Verdict.MISMATCH, f"{dtype}: {broken}")


class AddsHalf:
    """Scale and bias, of which only the scale's gradient adds up."""

    def __init__(self) -> None:
        self.params = {"weight": np.ones(3), "bias": np.zeros(3)}
        self.grads = {name: np.zeros_like(value) for name, value in self.params.items()}

    def forward(self, x: Array) -> Array:
        self._x = x
        return np.asarray(x * self.params["weight"] + self.params["bias"])

    def backward(self, grad_output: Array) -> Array:
        self.grads["weight"] = self.grads["weight"] + (grad_output * self._x).sum(axis=0)
        self.grads["bias"] = grad_output.sum(axis=0)
        return np.asarray(grad_output * self.params["weight"])


class Stores:
    """A scale that stores its gradient in an attribute, in place of the one before."""

    def __init__(self) -> None:
        self.weight, self.dweight = np.ones(3), np.zeros(3)

    def forward(self, x: Array) -> Array:
        self._x = x
        return np.asarray(x * self.weight)

    def backward(self, grad_output: Array) -> Array:
        self.dweight = (grad_output * self._x).sum(axis=0)
        return np.asarray(grad_output * self.weight)


def affine(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return x * weight + bias


def shift(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return x + weight


def test_gradients_in_attributes_that_do_not_add_up() -> None:
    assert found(ADDING, Attributes(Stores(), "weight", accumulates=True)).reason == f"float64: {NOT_ADDED}"


def test_one_gradient_of_two_that_does_not_add_up() -> None:
    subject = Pair(Dicts(AddsHalf(), accumulates=True), affine, [(5, 3)], {"weight": "weight", "bias": "bias"}, framework="torch")
    result = check(subject, only=lambda name: name == f"contract-{ADDING}")
    assert result.results[0].reason == f"float64: {NOT_ADDED.replace('weight', 'bias')}"


class AddsSampleBySample(Adds):
    """Adds to the gradients in a loop."""

    def backward(self, grad_output: Array) -> Array:
        gradient = self.grads.get("weight", np.zeros_like(self.params["weight"]))
        for d, x in zip(grad_output, self.x, strict=True):
            gradient = gradient + d * x
        self.grads = {"weight": gradient}
        return np.asarray(grad_output * self.params["weight"])


@pytest.mark.parametrize("layer", [Adds, AddsSampleBySample])
def test_gradients_that_add_up(layer: type[Scale]) -> None:
    """However the sum is rounded on the way."""
    assert found(ADDING, Dicts(layer(), accumulates=True)).verdict is Verdict.MATCH


def test_weight_that_is_looked_at_once() -> None:
    """What a layer makes of its weight at the first call must not outlive the weight."""

    class LooksOnce(Scale):
        kept: Array | None = None

        def forward(self, x: Array) -> Array:
            if self.kept is None:
                self.kept = self.params["weight"].copy()
            return np.asarray(super().forward(x) / self.params["weight"] * self.kept)

    result = found("uses_updated_parameters", LooksOnce(), dtypes=("float64",))
    assert (result.verdict, result.reason) == (Verdict.MISMATCH, "float64: not computed with the updated parameters: output")


def test_functions_that_share_their_memory() -> None:
    """A cache that is a buffer of the module's is another call's by the time that backward gets it."""
    buffer = np.zeros((5, 3))

    def forward(x: Array, weight: Array) -> Any:
        kept = buffer[: len(x)]
        kept[...] = x
        return x * weight, (kept, weight)

    subject = Functions(forward, lambda d, c: (d * c[1], (d * c[0]).sum(axis=0)))
    result = found("instances_share_nothing", subject, params={"weight": "weight"}, dtypes=("float64",))
    assert (result.verdict, result.reason) == (Verdict.MISMATCH, "float64: changed by another layer of the same class: weight.grad")


def test_cotangent_handed_on() -> None:
    """A bias layer may return the cotangent that it got: nothing else is its input's gradient."""

    class Bias:
        def __init__(self) -> None:
            self.params, self.grads = {"weight": np.zeros(3)}, dict[str, Array]()

        def forward(self, x: Array) -> Array:
            return np.asarray(x + self.params["weight"])

        def backward(self, grad_output: Array) -> Array:
            self.grads["weight"] = grad_output.sum(axis=0)
            return grad_output

    pair = Pair(Bias(), shift, [(5, 3)], {"weight": "weight"}, framework="torch")
    result = check(pair, only=lambda name: name == "values-float64-normal" or name.startswith("contract-"))
    assert result.verdict is Verdict.MATCH
    reasons = {r.check: r.reason for r in result.results}
    assert reasons["contract-grad_input_is_not_a_view"].endswith("equals the upstream gradient: a view of it is usual")


def test_every_contract_has_an_offender() -> None:
    assert {fault.at.removeprefix("contract-") for fault in CATALOGUE.values()} >= set(CONTRACTS)


class ModesAlike(Scale):
    """Has modes in every way, and is right in both."""

    training = True

    def train(self) -> None:
        """Start training."""

    def eval(self) -> None:
        """Stop training."""

    def forward(self, x: Array, train: bool = True) -> Array:
        return super().forward(x)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("contract", [name for name in CONTRACTS if name not in (ADDING, ANOTHER_SIZE, INFINITY)])
def test_right_layer_keeps_it(contract: str, dtype: str) -> None:
    assert found(contract, ModesAlike(), dtypes=(dtype,)).verdict is Verdict.MATCH


def test_right_layer_of_two_sizes() -> None:
    result = check(SIZES.pair(SIZES.right), only=lambda name: name == f"contract-{ANOTHER_SIZE}").results[0]
    assert (result.verdict, result.reason) == (Verdict.MATCH, "")


ROWS = [
    (convention, layer, samples)
    for convention, layer, samples in itertools.product(CONVENTIONS, ("linear", "conv-nhwc", "pool", "loss"), ("batch", "one"))
    if fits(convention, layer)
]


@pytest.mark.pairwise("row.0", "row.1", "row.2", "contract")
@pytest.mark.parametrize("contract", CONTRACTS)
@pytest.mark.parametrize("row", ROWS, ids=["-".join(row) for row in ROWS])
def test_right_layers_of_every_convention(row: tuple[str, str, str], contract: str) -> None:
    """They keep it, or it does not apply to the convention, with the reason."""
    result = check(pair_of(*row), only=lambda name: name == f"contract-{contract}").results[0]
    assert result.verdict in (Verdict.MATCH, Verdict.SKIPPED)
    assert result.reason.startswith("does not apply: ") if result.verdict is Verdict.SKIPPED else result.reason == ""


def work_for(seconds: float) -> None:
    """Keep the processor busy."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


class Slow(Scale):
    """Takes a millisecond for each sample, as loops do."""

    def forward(self, x: Array) -> Array:
        work_for(1e-3 * len(x))
        return super().forward(x)


class OfPairs(Scale):
    """Takes a time that grows with the square of the number of samples, as all distances do."""

    def forward(self, x: Array) -> Array:
        if len(x) > 100:
            work_for(2e-7 * len(x) ** 2)
        return super().forward(x)


SKIPPED: list[tuple[str, Callable[[], Any], str]] = [
    ("smaller_batch_works", lambda: Dicts(Scale(), one_sample=True), "your code takes one sample at a time"),
    (ANOTHER_SIZE, Scale, "the declared shapes differ only in the number of samples"),
    (ADDING, Scale, "gradients are not declared to accumulate"),
    ("same_output_in_both_modes", Scale, "your code has no training and evaluation mode"),
    ("backward_uses_the_mode_of_forward", Scale, "your code has no training and evaluation mode"),
    ("many_samples_work", lambda: Dicts(Scale(), one_sample=True), "your code does not take batches of any size"),
    ("many_samples_work", Slow, "your code is too slow for 21,846 samples: they would take over 2 s"),
    ("many_samples_work", OfPairs, "time grows faster than the number of samples, so that 21,846 would take too long"),
    (INFINITY, Scale, "the operation itself is not finite where its input is minus infinity"),
    ("backward_twice_does_not_accumulate", lambda: Dicts(Adds(), accumulates=True), "gradients are declared to accumulate"),
]


@pytest.mark.parametrize(("contract", "make", "reason"), SKIPPED, ids=[f"{contract}-{number}" for number, (contract, *_) in enumerate(SKIPPED)])
def test_does_not_apply(contract: str, make: Callable[[], Any], reason: str) -> None:
    result = found(contract, make())
    assert (result.verdict, result.reason) == (Verdict.SKIPPED, f"does not apply: {reason}")


def test_reference_that_fills_the_memory_is_not_asked() -> None:
    """Only the reference makes a matrix of n times n."""
    subject = Functions(lambda d, b: (d[:, None] * b, (d, b)), lambda g, c: ((g * c[1]).sum(axis=1), c[0][:, None] * g))
    declared: dict[str, Any] = {"inputs": {"d": "n", "b": "n columns"}, "sizes": {"n": 4, "columns": 3}}
    result = of_contract("many_samples_work", Pair(subject, lambda d, b: torch.diag(d) @ b, **declared))
    expected = "does not apply: time grows faster than the number of samples, so that 65,537 would take too long"
    assert (result.verdict, result.reason) == (Verdict.SKIPPED, expected)


def test_single_sample_has_no_smaller_batch() -> None:
    result = found("smaller_batch_works", Scale(), shapes=[(1, 3)])
    assert (result.verdict, result.reason) == (Verdict.SKIPPED, "does not apply: no shape with more than one sample was given")


FUNCTION_REASONS = {
    "params_are_left_alone": "the parameters are arguments, or backward is meant to update them",
    "backward_twice_does_not_accumulate": "gradients are returned, not stored",
    "backward_uses_the_last_forward": "backward gets what it needs as arguments",
    "forward_does_not_change_gradients": "gradients are not stored in the layer",
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
        self.x = x
        return np.asarray(x * self.weight)

    def backprop(self, grad_output: Array, learn_rate: float) -> Array:
        grad_input = np.asarray(grad_output * self.weight)
        self.weight = self.weight - self.weight.dtype.type(learn_rate) * (grad_output * self.x).sum(axis=0)
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
    assert reasons["contract-output_is_not_a_view"] == "does not apply: the operation only rearranges its input: a view of it is usual"


class TestModes:
    """Training and evaluation."""

    def test_reference_with_modes(self) -> None:
        """Where the operation itself knows modes, the subject may."""
        result = found("same_output_in_both_modes", NegatesInEvaluation(), reference=type("Moded", (ScaleReference,), {"modes": True})())
        assert result.reason == "does not apply: the reference's own output depends on the mode"

    def test_training_method_of_a_network(self) -> None:
        """A ``train`` that needs data is no switch."""

        class Trains(Scale):
            def train(self, x: Array, labels: Array) -> None:
                raise AssertionError

            def eval(self) -> None:
                raise AssertionError

        assert found("same_output_in_both_modes", Trains()).verdict is Verdict.SKIPPED

    def test_switch_that_raises(self) -> None:
        class Raises(Scale):
            def train(self) -> None:
                raise OSError("no")

            def eval(self) -> None:
                """Stop training."""

        result = found("same_output_in_both_modes", Raises())
        assert result.verdict is Verdict.MISMATCH
        assert result.reason.startswith("could not be tried: changing the mode raised OSError: no")

    @pytest.mark.parametrize(
        ("module", "modes"), [(nn.Linear(3, 3), False), (nn.ReLU(), False), (nn.Sequential(nn.Flatten(), nn.Linear(3, 3)), False)]
    )
    def test_of_modules(self, module: nn.Module, modes: bool) -> None:
        assert resolved(module).modes is modes

    def test_of_modules_with_modes(self) -> None:
        from crosscheck.references.pytorch.oracle import has_modes  # noqa: PLC0415

        assert [has_modes(m) for m in (nn.Dropout(), nn.BatchNorm2d(2), nn.Sequential(nn.ReLU(), nn.Dropout()))] == [True, True, True]


def test_gradients_that_pile_up_in_attributes() -> None:
    """The contract does not depend on where gradients are kept."""

    class PilingUp(Stores):
        def backward(self, grad_output: Array) -> Array:
            before, grad_input = self.dweight, super().backward(grad_output)
            self.dweight = before + self.dweight
            return grad_input

    assert found("backward_twice_does_not_accumulate", PilingUp()).verdict is Verdict.MISMATCH
    assert found("backward_twice_does_not_accumulate", Attributes(PilingUp(), "weight", accumulates=True)).verdict is Verdict.SKIPPED


def test_reading_of_a_stored_gradient_is_exact() -> None:
    one = np.ones(1)
    assert Dicts(Scale()).reading(one, one) is None
    assert isinstance(Updating(Updates(), "weight").reading(one, one), Bound)


@pytest.mark.parametrize(("offender", "contract"), [(KeepsTheFirst, "backward_uses_the_last_forward"), (ReusesItsBuffer, "results_stay_unchanged")])
def test_single_sample_has_another_one(offender: type[Scale], contract: str) -> None:
    """Where there can be no smaller batch, another input of the same shape shows what is left over."""
    assert found(contract, offender(), shapes=[(1, 3)]).verdict is Verdict.MISMATCH
