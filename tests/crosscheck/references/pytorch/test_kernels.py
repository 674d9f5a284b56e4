"""PyTorch's kernels called without a tape give what autograd gives with one, and write to nothing that they are given."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from crosscheck.core.operation import Call, RefusedError
from crosscheck.core.precision import Array
from crosscheck.references.pytorch import kernels as pytorch_kernels
from crosscheck.references.pytorch.kernels import kernels_of
from crosscheck.references.pytorch.oracle import oracle, parameter_shapes, takes_labels

MODULES: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "conv": (nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 0)), (2, 2, 7, 6)),
    "conv without a bias": (nn.Conv2d(4, 6, 3, dilation=2, groups=2, bias=False), (2, 4, 9, 8)),
    "conv of one image": (nn.Conv2d(2, 3, 3, padding=1), (2, 6, 6)),
    "linear": (nn.Linear(5, 4), (3, 5)),
    "linear of several axes": (nn.Linear(5, 4, bias=False), (2, 3, 5)),
    "max pool": (nn.MaxPool2d(2), (2, 3, 7, 6)),
    "max pool of overlapping windows": (nn.MaxPool2d((3, 2), stride=1, padding=(1, 0), ceil_mode=True), (2, 3, 7, 6)),
    "flatten": (nn.Flatten(), (2, 3, 4)),
    "relu": (nn.ReLU(), (2, 3, 4)),
    "cross-entropy": (nn.CrossEntropyLoss(), (4, 3)),
    "sum of cross-entropies": (nn.CrossEntropyLoss(reduction="sum"), (4, 3)),
    "cross-entropy of pixels": (nn.CrossEntropyLoss(), (2, 3, 4, 4)),
}


def replaced(module: nn.Module) -> nn.Module:
    """Return a module with a forward of its own in place of that of its kind."""
    module.forward = lambda x: 2 * x
    return module


class Own(nn.Linear):  # type: ignore[misc]
    """A layer that a user wrote."""


def call_of(module: nn.Module, shape: tuple[int, ...], dtype: str) -> Call:
    """Return a call of digits, some of which are equal and some zero."""
    rng = np.random.default_rng(0)

    def drawn(shape: tuple[int, ...]) -> Array:
        return np.asarray(np.round(rng.standard_normal(shape), 1), dtype)

    x, params = drawn(shape), {name: drawn(own) for name, own in (parameter_shapes(module) or {}).items()}
    labels = {"labels": rng.integers(shape[1], size=(shape[0], *shape[2:]))} if takes_labels(module) else {}
    return Call(x, params, drawn(oracle(module).vjp(Call(x, params, constants=labels))["output"].shape), labels)


def hooked(module: nn.Module) -> nn.Module:
    """Return a module of the same kind that must be called as it is, because a hook observes it."""
    result = copy.deepcopy(module)
    result.register_forward_hook(lambda *given: None)
    return result


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", MODULES)
def test_same_bits(name: str, dtype: str) -> None:
    module, shape = MODULES[name]
    call = call_of(module, shape, dtype)
    assert kernels_of(module) is not None
    assert kernels_of(hooked(module)) is None
    found, taped = oracle(module).vjp(call), oracle(hooked(module)).vjp(call)
    assert list(found) == list(taped)
    assert [
        quantity for quantity in found if found[quantity].dtype != taped[quantity].dtype or not np.array_equal(found[quantity], taped[quantity])
    ] == []


@pytest.mark.parametrize("name", ["max pool", "max pool of overlapping windows", "relu", "cross-entropy"])
def test_what_is_no_number_goes_the_same_way(name: str) -> None:
    module, shape = MODULES[name]
    call = call_of(module, shape, "float64")
    call.x.flat[[3, 7, 8]] = [np.nan, np.inf, -np.inf]
    found, taped = oracle(module).vjp(call), oracle(hooked(module)).vjp(call)
    assert [quantity for quantity, value in found.items() if not np.array_equal(value, taped[quantity], equal_nan=True)] == []


@pytest.mark.parametrize("name", MODULES)
def test_results_are_their_own(name: str) -> None:
    """Who writes to a result, or to what was given, changes nothing on the other side."""
    module, shape = MODULES[name]
    call = call_of(module, shape, "float64")
    before, found = call.copied(), oracle(module).vjp(call)
    given, kept = ([c.x, *c.params.values(), *c.constants.values(), np.asarray(c.grad_output)] for c in (call, before))
    assert all(np.array_equal(one, other) for one, other in zip(given, kept, strict=True))
    assert not any(np.shares_memory(one, other) for one in given for other in found.values())


@pytest.mark.parametrize("name", ["linear", "max pool"])
def test_arrays_that_cannot_be_lent(name: str) -> None:
    """One that is read only, and one that lies otherwise in memory, are copied."""
    module, shape = MODULES[name]
    call = call_of(module, shape, "float64")
    expected = oracle(module).vjp(call)
    assert call.grad_output is not None
    fixed, turned = call.x.copy(), np.asfortranarray(call.grad_output)
    fixed.flags.writeable = False
    found = oracle(module).vjp(Call(fixed, call.params, turned))
    assert [quantity for quantity in expected if not np.array_equal(expected[quantity], found[quantity])] == []


@pytest.mark.parametrize("lies", ["input", "cotangent"])
def test_one_row_that_lies_backwards_is_copied(lies: str) -> None:
    """NumPy calls it contiguous, its batch axis having but one row; PyTorch refuses negative strides."""
    module, call = nn.Linear(5, 4), call_of(nn.Linear(5, 4), (1, 5), "float64")
    assert call.grad_output is not None
    x, grad_output = (np.concatenate([value, value])[::-1][:1] for value in (call.x, call.grad_output))
    backwards = Call(x, call.params, call.grad_output) if lies == "input" else Call(call.x, call.params, grad_output)
    assert (x if lies == "input" else grad_output).flags.c_contiguous
    expected, found = oracle(module).vjp(call), oracle(module).vjp(backwards)
    assert [quantity for quantity in expected if not np.array_equal(expected[quantity], found[quantity])] == []


def test_kernels_that_give_something_else_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def twice(module: nn.Linear, x: torch.Tensor, *rest: torch.Tensor) -> dict[str, torch.Tensor]:
        results = pytorch_kernels._linear(module, x, *rest)
        return results | {"grad_input": 2 * results["grad_input"]} if "grad_input" in results else results

    monkeypatch.setitem(pytorch_kernels._KERNELS, nn.Linear, twice)
    with pytest.raises(AssertionError):
        test_same_bits("linear", "float64")


@pytest.mark.parametrize(
    "module",
    [
        pytest.param(nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"), id="circular"),
        pytest.param(nn.Conv2d(1, 1, 3, padding="same"), id="same"),
        pytest.param(nn.MaxPool2d(2, return_indices=True), id="two results"),
        pytest.param(replaced(nn.ReLU()), id="replaced"),
        pytest.param(nn.Sequential(nn.ReLU()), id="chain"),
        pytest.param(Own(2, 2), id="subclass"),
        pytest.param(nn.CrossEntropyLoss(label_smoothing=0.1), id="smoothed"),
        pytest.param(nn.CrossEntropyLoss(reduction="none"), id="not reduced"),
        pytest.param(torch.relu, id="function"),
    ],
)
def test_others_are_called_as_they_are(module: object) -> None:
    assert kernels_of(module) is None


def test_what_does_not_fit_is_refused_in_words() -> None:
    with pytest.raises(RefusedError, match=r"PyTorch .*'s Linear refuses an input of shape \(2, 6\)"):
        oracle(nn.Linear(5, 4)).vjp(Call(np.zeros((2, 6)), {"weight": np.zeros((4, 5)), "bias": np.zeros(4)}, np.zeros((2, 4))))
