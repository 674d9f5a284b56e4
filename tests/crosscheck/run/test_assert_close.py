"""One comparison inside an existing test: right results pass, wrong ones do not, and nothing passes that was not compared."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from crosscheck import CannotJudgeError, assert_close, tolerance
from crosscheck.core.operation import DTYPES, Call
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.oracles.theories import Multilinear

RNG = np.random.default_rng(0)


def real(*shape: int) -> Array:
    return RNG.standard_normal(shape)


X, W, BIAS = real(2, 3, 7, 6), real(4, 3, 3, 2), real(4)
A, B = real(5, 4), real(4, 3)
QUERY, KEY, VALUE = real(2, 5, 4), real(2, 7, 4), real(2, 7, 3)
IDS, LABELS = RNG.integers(0, 9, (3, 4)), np.array([0, 2, 2, 1, 3])
MASK = np.where(RNG.random((5, 7)) < 0.5, -np.inf, 0.0)
MASK[:, 0] = 0
LINEAR, EMBEDDING, LSTM = nn.Linear(4, 3), nn.Embedding(9, 5), nn.LSTM(4, 6, batch_first=True)
NORM = nn.BatchNorm1d(4).eval()
NORM.running_mean += 0.5
CHAIN = nn.Sequential(nn.Linear(4, 3), nn.Tanh())


def conv(x: Array, w: Array, b: Array | None = None, stride: int = 1) -> Array:
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], axis=(2, 3))[:, :, ::stride, ::stride]
    out: Array = np.einsum("nchwij,ocij->nohw", windows, w)
    return out if b is None else out + b[:, None, None]


def group_norm(x: Array) -> Array:
    """Return the normalisation of each sample, with the weight that the reference's partial holds."""
    axes = (1, 2, 3)
    far = x - x.mean(axis=axes, keepdims=True)
    return np.asarray(far / np.sqrt((far * far).mean(axis=axes, keepdims=True) + x.dtype.type(1e-5)) * BIAS[:3, None, None].astype(x.dtype))


def batch_norm(x: Array, mean: Array, var: Array) -> Array:
    return np.asarray((x - mean[:, None, None]) / np.sqrt(var[:, None, None] + x.dtype.type(1e-5)))


def softmax(x: Array, axis: int) -> Array:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.asarray(e / e.sum(axis=axis, keepdims=True))


def attention(query: Array, key: Array, value: Array, mask: Array | float = 0.0) -> Array:
    scale = query.dtype.type(1 / np.sqrt(query.shape[-1]))
    return np.asarray(softmax(query @ key.swapaxes(1, 2) * scale + mask, -1) @ value)


def cross_entropy(x: Array, labels: Array) -> Array:
    return np.asarray(-np.log(softmax(x, 1))[np.arange(len(x)), labels].mean(dtype=x.dtype))


def parameters(module: nn.Module, like: Array) -> list[Array]:
    return [value.detach().numpy().astype(like.dtype) for value in module.parameters()]


def linear(x: Array) -> Array:
    w, b = parameters(LINEAR, x)
    return x @ w.T + b


def chain(x: Array) -> Array:
    w, b = parameters(CHAIN, x)
    return np.asarray(np.tanh(x @ w.T + b))


def norm(x: Array) -> Array:
    return np.asarray((x - x.dtype.type(0.5)) / np.sqrt(x.dtype.type(1 + NORM.eps)))


def lstm(x: Array) -> Any:
    """Return what PyTorch itself computes in the precision of the input: nested outputs."""
    own = nn.LSTM(4, 6, batch_first=True, dtype=torch.from_numpy(x).dtype)
    own.load_state_dict(LSTM.state_dict())
    return own(torch.from_numpy(x))


@dataclass(frozen=True)
class Row:
    """Code that is right; ``inputs`` are the reference's arguments, which the code gets, too, unless it has some of its own."""

    own: Callable[..., Any]
    reference: Any
    inputs: tuple[Any, ...]
    arguments: tuple[Any, ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def given(self, dtype: str) -> tuple[Any, ...]:
        return tuple(cast_all(self.inputs, dtype))

    def computed(self, dtype: str) -> Any:
        with np.errstate(all="ignore"):
            return self.own(*cast_all(self.inputs if self.arguments is None else self.arguments, dtype))


def cast_all(values: Any, dtype: str) -> Any:
    """Return values with every array of real numbers in a precision."""
    if isinstance(values, tuple | list):
        return type(values)(cast_all(value, dtype) for value in values)
    if isinstance(values, np.ndarray) and values.dtype.kind == "f":
        return values.astype(dtype)
    return values


CURRENT = ["float32"]
"""The precision of a row whose inputs have none."""

ROWS = {
    "function": Row(conv, functional.conv2d, (X, W, BIAS)),
    "settings by position": Row(conv, functional.conv2d, (X, W, None, 2)),
    "settings by partial": Row(lambda x, w: conv(x, w, stride=2), functools.partial(functional.conv2d, stride=2), (X, W)),
    "arrays in a partial": Row(group_norm, functools.partial(functional.group_norm, num_groups=1, weight=torch.from_numpy(BIAS[:3])), (X,)),
    "input that must not have a gradient": Row(batch_norm, functional.batch_norm, (X, BIAS[:3], BIAS[:3] ** 2)),
    "function of Python": Row(softmax, functional.softmax, (A, 1)),
    "lambda": Row(lambda a, b: np.tanh(a @ b), lambda a, b: torch.tanh(a @ b), (A, B)),
    "list of arrays": Row(np.concatenate, torch.cat, ([A, A[:, :1]], 1)),
    "several inputs": Row(attention, functional.scaled_dot_product_attention, (QUERY, KEY, VALUE)),
    "masked by infinity": Row(attention, functional.scaled_dot_product_attention, (QUERY, KEY, VALUE, MASK)),
    "module beside infinity": Row(lambda x: softmax(x, -1), nn.Softmax(-1), (MASK,)),
    "module": Row(linear, LINEAR, (A,)),
    "module without theory": Row(chain, CHAIN, (A,)),
    "module in evaluation": Row(norm, NORM, (A,)),
    "own parameters": Row(lambda a: a @ B.astype(a.dtype) + a[0, 0], LINEAR, (A,), options={"params": {"weight": B.T, "bias": A[0, 0].repeat(3)}}),
    "parameters of a function": Row(lambda a: a @ B.astype(a.dtype), lambda x, w: x @ w, (A,), options={"params": {"w": B}, "framework": "torch"}),
    "nested outputs": Row(lstm, LSTM, (QUERY,)),
    "integer output": Row(lambda x, axis: (x.max(axis), x.argmax(axis)), torch.max, (A, 1)),
    "output left out": Row(lambda x, axis: (None, x.argmax(axis)), torch.max, (A, 1)),
    "integer input": Row(lambda ids: EMBEDDING.weight.detach().numpy()[ids].astype(CURRENT[0]), EMBEDDING, (IDS,)),
    "labels": Row(cross_entropy, functional.cross_entropy, (real(5, 4), LABELS)),
    "booleans": Row(lambda x, m: np.where(m, x, x.dtype.type(0.125)), lambda x, m: torch.where(m, x, 0.125), (A, A > 0)),
    "number": Row(np.exp, torch.exp, (np.asarray(1.5),)),
    "plain number": Row(lambda x: np.exp(np.asarray(x, CURRENT[0])), torch.exp, (1.5,)),
    "number as setting": Row(lambda x, p: x * x * x, torch.pow, (A, 3)),
    "not contiguous": Row(lambda x: np.tanh(x).T[::-1, ::2], lambda x: torch.tanh(x).T.flip(0)[:, ::2], (A,), options={"framework": "torch"}),
    "broadcast": Row(lambda a, b: a * b, torch.mul, (X, real(3, 1, 6))),
    "empty": Row(np.exp, torch.exp, (real(0, 3),)),
    "nothing is rounded": Row(lambda x: np.maximum(x, 0), functional.relu, (A,)),
    "JAX, several inputs": Row(lambda a, b, axis: np.concatenate([a, b], axis), lambda a, b, axis: jnp.concatenate([a, b], axis), (A, A, 1)),
    "JAX": Row(np.tanh, jnp.tanh, (A,)),
}
ALL = [pytest.param(row, dtype, id=f"{name}-{dtype}") for name, row in ROWS.items() for dtype in DTYPES]


def compare(row: Row, dtype: str, actual: Any) -> None:
    assert_close(actual, row.reference, *row.given(dtype), **row.options)


@pytest.fixture
def precision(dtype: str) -> str:
    """Return the precision of a row after it is made known to code that has no input to know it from."""
    CURRENT[0] = dtype
    return dtype


@pytest.mark.parametrize(("row", "dtype"), ALL)
def test_right_code(row: Row, dtype: str, precision: str) -> None:
    compare(row, dtype, row.computed(precision))


def changed(actual: Any, change: Callable[[Array], Array]) -> Any:
    """Return results of which the first one that is there is changed."""
    if isinstance(actual, tuple):
        first = next(number for number, one in enumerate(actual) if one is not None)
        return tuple(changed(one, change) if number == first else one for number, one in enumerate(actual))
    return change(actual.detach().numpy() if isinstance(actual, torch.Tensor) else np.array(actual))


def one_element(by: float) -> Callable[[Array], Array]:
    def change(array: Array) -> Array:
        place = np.unravel_index(np.abs(array).argmax(), array.shape)
        array[place] = array[place] * (1 + by) if array.dtype.kind == "f" else array[place] + 1
        return array

    return change


FAULTS: dict[str, Callable[[Array], Array]] = {
    "one part in a thousand": lambda array: np.asarray(array * 1.001, array.dtype) if array.dtype.kind == "f" else array + 1,
    "one part in ten thousand, once": one_element(1e-4),
    "NaN, once": one_element(np.nan),
    "another shape": lambda array: array[None],
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", [name for name in ROWS if name != "empty"])
def test_wrong_code(name: str, fault: str) -> None:
    """The same results with one fault each."""
    row = ROWS[name]
    CURRENT[0] = "float32"
    actual = changed(row.computed("float32"), FAULTS[fault])
    with pytest.raises(AssertionError, match="MISMATCH"):
        compare(row, "float32", actual)


def test_transposed_output() -> None:
    symmetric = A[:4]
    with pytest.raises(AssertionError, match="rows and columns are exchanged"):
        assert_close((symmetric @ symmetric).T, torch.matmul, symmetric, symmetric)


GRAD = real(5, 3)


def gradients(x: Array, w: Array, dout: Array) -> tuple[Array, Array]:
    return dout @ w.T, x.T @ dout


def with_gradients(dtype: str, change: Mapping[str, float] | None = None) -> None:
    """Compare a linear layer, with its gradients multiplied by ``change``."""
    x, dout = A.astype(dtype), GRAD.astype(dtype)
    w, _ = parameters(LINEAR, x)
    grads = {"x": dout @ w, "weight": dout.T @ x, "bias": dout.sum(axis=0)}
    grads |= {name: np.asarray(grads[name] * by, dtype) for name, by in (change or {}).items()}
    assert_close(linear(x), LINEAR, x, grad_output=dout, grads=(grads.pop("x"), grads))


@pytest.mark.parametrize("dtype", DTYPES)
def test_right_gradients(dtype: str) -> None:
    with_gradients(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "quantity"), [("x", "grad_input"), ("weight", "weight.grad"), ("bias", "bias.grad")])
def test_wrong_gradient(name: str, quantity: str, dtype: str) -> None:
    with pytest.raises(AssertionError, match=f"MISMATCH: {quantity} is not what Linear computes"):
        with_gradients(dtype, {name: 1.0001})


WAYS: dict[str, Callable[[Array, Array], Any]] = {
    "in order": lambda da, db: (da, db),
    "the first": lambda da, db: da,
    "the second": lambda da, db: (None, db),
    "by name": lambda da, db: {"other": db},
    "tensors": lambda da, db: (torch.from_numpy(da), torch.from_numpy(db)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("right", [True, False])
def test_gradients_of_several_inputs(way: str, right: bool) -> None:
    da, db = gradients(A, B, GRAD)
    grads = WAYS[way](da, db) if right else WAYS[way](da * 1.0001, db * 1.0001)
    if right:
        assert_close(A @ B, torch.matmul, A, B, grad_output=GRAD, grads=grads)
    else:
        with pytest.raises(AssertionError, match="MISMATCH: grad_input"):
            assert_close(A @ B, torch.matmul, A, B, grad_output=GRAD, grads=grads)


def torch_gradients(reference: Callable[..., Any], *inputs: Array) -> tuple[Any, ...]:
    """Return an output and its gradients by autograd; the upstream gradient is the output itself."""
    leaves = [torch.from_numpy(value).requires_grad_() for value in inputs]
    output = reference(*leaves)
    output.backward(output.detach())
    return output, tuple(leaf.grad for leaf in leaves)


SOME: dict[str, tuple[Any, tuple[Array, ...], tuple[int, ...]]] = {
    "target": (functional.mse_loss, (A, A[::-1].copy()), (0,)),
    "prediction and target": (functional.mse_loss, (A, A[::-1].copy()), (0, 1)),
    "only the target": (functional.mse_loss, (A, A[::-1].copy()), (1,)),
    "module": (nn.MSELoss(), (A, A[::-1].copy()), (0, 1)),
    "before others without": (functional.margin_ranking_loss, (A, A[::-1].copy(), np.sign(A)), (0, 1)),
}


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("name", SOME)
def test_gradients_of_some_inputs(name: str, right: bool) -> None:
    """A target has a gradient only if one is compared."""
    reference, inputs, compared = SOME[name]
    output, grads = torch_gradients(reference, *inputs)
    factor = 1.0 if right else 1.0001
    given = tuple(grad * factor if place in compared else None for place, grad in enumerate(grads))
    with nullcontext() if right else pytest.raises(AssertionError, match="MISMATCH: grad_input"):
        assert_close(output, reference, *inputs, grad_output=output, grads=given)


@pytest.mark.parametrize("right", [True, False])
def test_gradients_beside_running_statistics(right: bool) -> None:
    """PyTorch refuses gradients with respect to these; those of the other inputs are compared."""
    mean, var, weight = (torch.from_numpy(value) for value in (BIAS[:3], BIAS[:3] ** 2, BIAS[1:]))
    x = torch.from_numpy(X).requires_grad_()
    output = functional.batch_norm(x, mean, var, weight.requires_grad_())
    output.backward(x.detach())
    assert weight.grad is not None
    grads = (x.grad, None, None, weight.grad * (1.0 if right else 1.0001))
    with nullcontext() if right else pytest.raises(AssertionError, match=r"MISMATCH: grad_input\.weight"):
        assert_close(output, functional.batch_norm, x, mean, var, weight, grad_output=x, grads=grads)


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_gradient_of_a_loss(factor: float) -> None:
    """The upstream gradient of a single number is 1, as in ``loss.backward()``; tensors may need a gradient."""
    logits = torch.from_numpy(A).requires_grad_()
    labels = torch.from_numpy(LABELS)
    loss = functional.cross_entropy(logits, labels)
    (loss * factor).backward()
    if factor == 1:
        assert_close(loss, functional.cross_entropy, logits, labels, grads=logits.grad)
    else:
        with pytest.raises(AssertionError, match="the input gradient is twice as large"):
            assert_close(loss, functional.cross_entropy, logits, labels, grads=logits.grad)


@pytest.mark.parametrize(("upstream", "right"), [((GRAD, None), True), ((None, GRAD), False)])
def test_upstream_gradients_of_several_outputs(upstream: tuple[Any, ...], right: bool) -> None:
    """The first output does not depend on the second input."""
    outputs = (np.tanh(A), A @ B)
    grads = ((1 - np.tanh(A) ** 2) * A, None)

    def both(a: Any, b: Any) -> Any:
        return torch.tanh(a), a @ b

    given = tuple(None if one is None else np.ones((5, 4)) * A if number == 0 else one for number, one in enumerate(upstream))
    if right:
        assert_close(outputs, both, A, B, grad_output=given, grads=grads)
    else:
        with pytest.raises(AssertionError, match=r"MISMATCH: grad_input\.a"):
            assert_close(outputs, both, A, B, grad_output=given, grads=grads)


def test_name_of_an_input_after_a_setting() -> None:
    """Inputs have the names of their arguments, whatever stands between them."""
    ids = np.zeros((1, 4), int)
    with pytest.raises(AssertionError, match=r"gather\(input \(5, 4\), index \(1, 4\)\)"):
        assert_close(A[1:2], torch.gather, A, 0, ids)


def message(actual: Any, reference: Any, *inputs: Any, **options: Any) -> str:
    with pytest.raises(AssertionError) as caught:
        assert_close(actual, reference, *inputs, **options)
    return str(caught.value)


def test_message() -> None:
    """It says what is wrong, by how much, how much rounding explains, why, and where the worst of it is."""
    wrong = np.asarray(1.5 * (A @ B), np.float32)
    lines = message(wrong, torch.matmul, A, B).splitlines()
    headings = [line[:16].strip() for line in lines if line[:16].strip()]
    assert headings == ["MISMATCH: output", "where", "error", "likely cause", "worst element"]
    assert lines[1].startswith("  where         output (float32), beside PyTorch ")
    assert lines[1].endswith("'s matmul(input (5, 4), other (4, 3))")
    assert "15 of 15 elements wrong" in lines[2]
    assert "rounding explains at most" in lines[2]
    assert "the output is 1.5 times the right value throughout" in lines[3]
    worst = np.unravel_index(int(np.abs(A @ B).argmax()), (5, 3))
    assert lines[-1].startswith("  worst element [")
    assert f"your code {float(wrong[worst]):.6g}, expected {(A @ B)[worst]:.6g}" in message(np.where(wrong == wrong[worst], wrong, A @ B), *BESIDE)


BESIDE = (torch.matmul, A, B)


def test_message_of_several() -> None:
    """All that is wrong is named, the first at length."""
    text = message(2 * (A @ B), *BESIDE, grad_output=GRAD, grads=[2 * one for one in gradients(A, B, GRAD)])
    assert text.startswith("MISMATCH: output is not what matmul computes")
    assert [line.split()[2] for line in text.splitlines() if line.startswith("  also wrong")] == ["grad_input:", "grad_input.other:"]


LOGARITHM = (torch.log, np.array([-1.0, 2.0]))

MISMATCHES = {
    "shape": (A, (functional.relu, A[0]), "the shape is (5, 4), expected (4,)"),
    "precision": ((A, A.astype(np.float32)), (lambda x: (torch.relu(x) - torch.relu(-x), x), A), "the dtype is float32, expected float64"),
    "whole numbers": ((A.max(1), A.argmax(1) + 0.0), (torch.max, A, 1), "the dtype is float64, expected whole numbers"),
    "wrong whole number": ((A.max(1), A.argmin(1)), (torch.max, A, 1), "so it must be equal; 5 of 5 elements wrong"),
    "too few": (A.max(1), (torch.max, A, 1), "your code returned 1 array, max returns 2: output, output.1"),
    "NaN": (
        np.array([np.nan, np.log(2.0)]),
        (torch.log, np.array([-1.0, 2.0])),
        "it is NaN at [0], as in the reference; if that is right, say equal_nan=True",
    ),
    "no NaN": (np.array([0.0, np.log(2.0)]), LOGARITHM, "at [0] it is 0, in the reference nan"),
    "infinite": (np.array([np.inf, 1.0]), (torch.tanh, np.ones(2)), "infinite where a finite number is expected"),
}


@pytest.mark.parametrize("name", MISMATCHES)
def test_message_of_a_kind(name: str) -> None:
    actual, beside, expected = MISMATCHES[name]
    assert expected in message(actual, *beside)


def test_equal_nan() -> None:
    assert_close(np.array([np.nan, np.log(2.0)]), *LOGARITHM, equal_nan=True)
    with pytest.raises(AssertionError, match="in the reference nan"):
        assert_close(np.array([0.0, np.log(2.0)]), *LOGARITHM, equal_nan=True)


def test_wrong_shape_beside_gradients() -> None:
    """The upstream gradient has the shape of the right output."""
    assert "the shape is (3, 5), expected (5, 3)" in message((A @ B).T, *BESIDE, grad_output=GRAD, grads=gradients(A, B, GRAD))


@pytest.mark.filterwarnings("error")
def test_warnings_of_the_reference() -> None:
    """They are not those of the code under test; PyTorch warns that the shapes differ."""
    difference = A - A[:1]
    assert_close((difference * difference).mean(), functional.mse_loss, A, A[:1])


def draws(x: Any) -> Any:
    return x + torch.rand(())


WEIGHTS = real(5, 7)

NOT_JUDGED: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any], str]] = {
    "random function": (A, (functional.dropout, A), {}, "draws random numbers"),
    "random number": (A, (draws, A), {}, "random"),
    "random module": (A, (nn.Dropout(0.5), A), {}, "draws random numbers; call eval() on it"),
    "random part": (A, (nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)), A), {}, "draws its own mask"),
    "refused": (A, (torch.matmul, A, A), {}, "refuses input (5, 4), other (5, 4)"),
    "no framework": (A, (lambda x: x + 1, A), {}, "declare framework='torch'"),
    "no tensor": (A[0, 0], (lambda x: torch.sum(x).item(), A), {}, "returned a float, expected tensors"),
    "class": (A, (nn.ReLU, A), {}, "ReLU is a class, expected one of its instances"),
    "large whole numbers": (np.array([2**62 + 8]), (lambda i: i + 0, np.array([2**62])), {"framework": "torch"}, "whole numbers beyond 2**53"),
    "no limit": (np.array([-np.inf, np.log(2)]), (torch.log, np.array([0.0, 2.0])), {}, "no limit to its error: rounding alone"),
    "coarse": (np.zeros(2, np.float32), (lambda x: torch.var(x, 1), np.full((2, 5), 1e3)), {}, "theory sets no limit to its error"),
    "gradient beside infinity": (
        softmax(MASK, 1),
        (torch.softmax, MASK, 1),
        {"grad_output": real(5, 7), "grads": real(5, 7)},
        "received is not finite",
    ),
    "upstream gradient not finite": (np.tanh(A), (torch.tanh, A), {"grad_output": A * np.nan, "grads": A}, "its upstream gradient is not finite"),
}


@pytest.mark.parametrize("name", NOT_JUDGED)
def test_not_judged(name: str) -> None:
    """What cannot be compared is an error, but no AssertionError, which a test that expects a mismatch would take for one."""
    actual, beside, options, expected = NOT_JUDGED[name]
    with pytest.raises(CannotJudgeError) as caught:
        assert_close(actual, *beside, **options)
    assert expected in " ".join(str(caught.value).split())
    assert not isinstance(caught.value, AssertionError)


MISUSED: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any], type[Exception], str]] = {
    "float16": (A.astype(np.float16), (torch.tanh, A), {}, TypeError, "actual has the dtype float16, expected float64 or float32; float16 and"),
    "bfloat16": (torch.zeros(2).bfloat16(), (torch.tanh, A), {}, TypeError, "actual has the dtype bfloat16, expected float64 or float32"),
    "complex": (A + 0j, (torch.tanh, A), {}, TypeError, "actual has the dtype complex128"),
    "complex input": (A, (torch.tanh, A + 0j), {}, TypeError, "the input input has the dtype complex128, expected real numbers"),
    "gradients that are a number": (A, (torch.tanh, A), {"grad_output": A, "grads": 5}, TypeError, "grads is a int, expected an array, a tuple"),
    "parameters in a list": (A, (LINEAR, A), {"params": [1]}, TypeError, "params is a list, expected a dict of names and arrays"),
    "text": ("a", (torch.tanh, A), {}, TypeError, "actual is a str, expected an array"),
    "as before": (A, (A,), {}, TypeError, "the reference is an array, expected what computes it"),
    "no inputs": (A, (torch.tanh,), {}, TypeError, "tanh gets no array"),
    "setting of a module": (A, (LINEAR, A, 3), {}, TypeError, "expected arrays only"),
    "nothing": (None, (torch.tanh, A), {}, ValueError, "nothing is to be compared"),
    "no gradients": (A, (torch.tanh, A), {"grad_output": A}, ValueError, "grad_output is given without grads"),
    "only None": (A, (torch.tanh, A), {"grad_output": A, "grads": (None,)}, ValueError, "grads has no array"),
    "no upstream": (A, (torch.tanh, A), {"grads": A}, ValueError, "grads are given without grad_output"),
    "upstream of another shape": (A, (torch.tanh, A), {"grads": A, "grad_output": A[0]}, ValueError, "grad_output of output has the shape (4,)"),
    "too many upstream": (A, (torch.tanh, A), {"grads": A, "grad_output": (A, A)}, ValueError, "grad_output has 2 arrays, expected one for each of"),
    "too many gradients": (
        A,
        (torch.tanh, A),
        {"grads": (A, A), "grad_output": A},
        ValueError,
        "grads has 2 gradients of inputs, expected those of",
    ),
    "unknown gradient": (A, (torch.tanh, A), {"grads": {"w": A}, "grad_output": A}, ValueError, "grads has 'w', expected parameters or inputs"),
    "unknown parameter": (A, (LINEAR, A), {"params": {"w": B}}, ValueError, "params has 'w', expected parameters of Linear: weight, bias"),
    "transposed parameter": (A, (LINEAR, A), {"params": {"weight": B}}, ValueError, "params['weight'] has the shape (4, 3), expected (3, 4)"),
}


@pytest.mark.parametrize("name", MISUSED)
def test_misused(name: str) -> None:
    actual, beside, options, kind, expected = MISUSED[name]
    with pytest.raises(kind) as caught:
        assert_close(actual, *beside, **options)
    assert expected in str(caught.value)


@dataclass(frozen=True)
class Scaled:
    """Twice the input, beside a witness with errors of ``own`` times what theory allows."""

    own: float
    rounding: Any = field(default_factory=Multilinear)
    settings: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def decisions(self, x: Array) -> None:
        return None

    def vjp(self, call: Call) -> dict[str, Array]:
        return {"output": np.asarray(2 * call.x)}

    def witness(self, call: Call, precision: Precision) -> dict[str, Array]:
        wide = call.astype(np.float64)
        bound: Bound = self.rounding.bounds(self, wide, self.vjp(wide), precision)["output"]
        return {"output": np.asarray(self.own * precision.error(bound))}


BOUNDS = {
    "theory": (Scaled(0.1), (A,)),
    "widened by the witness": (Scaled(3.0), (A,)),
    "as wide as allowed": (Scaled(1e3), (A,)),
    "measured": (torch.matmul, (A, B)),
    "several formulas": (functional.layer_norm, (A, (4,))),
    "loss": (functional.cross_entropy, (A, LABELS)),
}


@pytest.mark.parametrize("share", [0.0, 0.9, 1.1, 3.0])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BOUNDS)
def test_tolerance_is_what_decides(name: str, dtype: str, share: float) -> None:
    """A result passes if every element is within the tolerance, and only then."""
    reference, inputs = BOUNDS[name]
    given = cast_all(inputs, dtype)
    limit = tolerance(reference, *given, dtype=dtype)
    wide = cast_all(given, "float64")
    tensors = [torch.from_numpy(value) if isinstance(value, np.ndarray) else value for value in wide]
    exact = 2 * wide[0] if isinstance(reference, Scaled) else reference(*tensors).numpy()
    found = np.asarray(exact + share * limit, dtype)
    assert limit.shape == exact.shape
    assert (limit > 0).all()
    within = bool((np.abs(found - exact) <= limit).all())
    # Near the limit, storing the result decides on which side it is.
    if share in (0.0, 3.0):
        assert within == (share <= 1)
    if within:
        assert_close(found, reference, *given)
    else:
        with pytest.raises(AssertionError, match="MISMATCH"):
            assert_close(found, reference, *given)


def test_witness_widens_tolerance() -> None:
    """By the rule of the witness: twice its error, at most 64 times what theory allows."""
    alone, widened, most = (tolerance(Scaled(own), np.ones((5, 4))) for own in (0.1, 3.0, 1e3))
    assert np.array_equal(widened, 6 * alone)
    assert np.array_equal(most, 64 * alone)


def test_tolerance_of_several() -> None:
    largest, place = tolerance(torch.max, A, 1)
    assert (largest.shape, place.shape, largest.max(), place.max()) == ((5,), (5,), 0, 0)
    every = tolerance(LINEAR, A, grad_output=GRAD)
    assert {name: limit.shape for name, limit in every.items()} == {"output": (5, 3), "grad_input": (5, 4), "weight.grad": (3, 4), "bias.grad": (3,)}


def test_tolerance_without_limit() -> None:
    assert np.isinf(tolerance(torch.log, np.array([0.0, 2.0]))).all()


def test_tolerance_of_another_precision() -> None:
    with pytest.raises(TypeError, match="dtype is float16, expected float64 or float32; float16 and bfloat16 are not supported yet"):
        tolerance(torch.tanh, A, dtype="float16")


def test_arguments_stay_as_they_are() -> None:
    x, w = A.copy(), torch.from_numpy(B).requires_grad_()
    assert_close(A @ B, torch.matmul, x, w, grad_output=GRAD, grads=gradients(A, B, GRAD))
    assert np.array_equal(x, A)
    assert w.grad is None
    assert w.requires_grad


def test_traceback_is_short(pytester: pytest.Pytester) -> None:
    """A failing test shows its own line and the message, no line of the harness."""
    pytester.makepyfile(
        """
        import torch
        import crosscheck

        def test_relu():
            crosscheck.assert_close(torch.ones(2), torch.tanh, torch.ones(2))
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:randomly")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E * MISMATCH: output is not what tanh computes"])
    assert "_error(" not in result.stdout.str()
    assert "run/assert_close.py" not in result.stdout.str()
