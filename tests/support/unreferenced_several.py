"""Hand-written functions of several inputs or outputs that have no reference, with right gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crosscheck.adapters.convention import Convention
from crosscheck.adapters.functions import Functions, LossFunction
from crosscheck.core.arguments import Argument, Integers, Labels, Mask, Target
from crosscheck.pairs.pair import Pair

Array = Any
Change = Callable[..., Any]


@dataclass(frozen=True)
class Function:
    """A function of several inputs: its two passes, or a loss that returns the gradients beside its value."""

    forward: Callable[..., Any]
    backward: Callable[..., Any] | None
    inputs: Mapping[str, str | tuple[int, ...] | Argument]
    sizes: Mapping[str, int]
    params: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    outputs: Sequence[str] = ()

    def pair(self, change: Change = lambda *gradients: gradients) -> Pair:
        """Return the pair without a reference; ``change`` gets all gradients and returns those of a faulty function."""
        convention: Convention
        if (backward := self.backward) is None:
            convention = LossFunction(lambda *arguments: _with_changed_gradients(self.forward(*arguments), change))
        elif self.outputs:
            convention = Functions(self.forward, lambda one, other, cache: change(*backward(one, other, cache)))
        else:
            convention = Functions(self.forward, lambda grad, cache: change(*backward(grad, cache)))
        return Pair(
            convention,
            None,
            inputs=self.inputs,
            sizes=self.sizes,
            param_shapes=self.params,
            outputs=self.outputs,
            dtypes=["float64"],
            name="function",
        )


def _with_changed_gradients(result: Any, change: Change) -> Any:
    loss, gradients = result
    changed = change(*gradients)
    return loss, changed[0] if len(changed) == 1 else changed


def matmul(a: Array, b: Array) -> Any:
    return a @ b, (a, b)


def matmul_backward(grad: Array, cache: Any) -> Any:
    a, b = cache
    return grad @ b.swapaxes(-1, -2), a.swapaxes(-1, -2) @ grad


def bilinear(a: Array, b: Array, weight: Array, bias: Array) -> Any:
    return np.einsum("ni,oij,nj->no", a, weight, b) + bias, (a, b, weight)


def bilinear_backward(grad: Array, cache: Any) -> Any:
    a, b, weight = cache
    da, db = np.einsum("no,oij,nj->ni", grad, weight, b), np.einsum("no,oij,ni->nj", grad, weight, a)
    return da, db, np.einsum("no,ni,nj->oij", grad, a, b), grad.sum(axis=0)


def mse(prediction: Array, target: Array) -> Any:
    off = prediction - target
    return np.mean(off**2), (2 * off / off.size,)


def cross_entropy(scores: Array, labels: Array) -> Any:
    shifted = scores - scores.max(axis=1, keepdims=True)
    powers = np.exp(shifted)
    total = powers.sum(axis=1, keepdims=True)
    rows = np.arange(len(scores))
    loss = np.mean(np.log(total[:, 0]) - shifted[rows, labels])
    grad = powers / total
    grad[rows, labels] -= 1
    return loss, (grad / len(scores),)


def soft_cross_entropy(scores: Array, target: Array) -> Any:
    shifted = scores - scores.max(axis=1, keepdims=True)
    log_share = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -np.mean((target * log_share).sum(axis=1)), ((np.exp(log_share) * target.sum(axis=1, keepdims=True) - target) / len(scores),)


def triplet(anchor: Array, near: Array, far: Array) -> Any:
    """Return a hinge of squared distances, and its gradients."""
    to_near, to_far = anchor - near, anchor - far
    margin = (to_near**2).sum(axis=1) - (to_far**2).sum(axis=1) + 1
    on = (margin > 0)[:, None] * (2 / len(anchor))
    return np.mean(np.maximum(margin, 0)), (on * (to_near - to_far), -on * to_near, on * to_far)


def embedding(ids: Array, weight: Array) -> Any:
    return weight[ids], (ids, weight)


def embedding_backward(grad: Array, cache: Any) -> Any:
    ids, weight = cache
    grad_weight = np.zeros_like(weight)
    np.add.at(grad_weight, ids, grad)
    return None, grad_weight


def embedding_backward_overwrites(grad: Array, cache: Any) -> Any:
    ids, weight = cache
    grad_weight = np.zeros_like(weight)
    grad_weight[ids] = grad
    return None, grad_weight


def bag(ids: Array, shares: Array, weight: Array) -> Any:
    """Return weighted sums of an embedding's rows."""
    return np.einsum("nt,ntd->nd", shares, weight[ids]), (ids, shares, weight)


def bag_backward(grad: Array, cache: Any) -> Any:
    ids, shares, weight = cache
    grad_weight = np.zeros_like(weight)
    np.add.at(grad_weight, ids, shares[..., None] * grad[:, None])
    return np.einsum("nd,ntd->nt", grad, weight[ids]), grad_weight


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1 + np.tanh(0.5 * x))


def lstm_cell(x: Array, h: Array, c: Array, w: Array, u: Array, b: Array) -> Any:
    i, f, g, o = np.split(x @ w + h @ u + b, 4, axis=1)
    i, f, g, o = _sigmoid(i), _sigmoid(f), np.tanh(g), _sigmoid(o)
    after = f * c + i * g
    bent = np.tanh(after)
    return o * bent, after, (x, h, c, w, u, i, f, g, o, bent)


def lstm_cell_backward(grad_h: Array, grad_c: Array, cache: Any) -> Any:
    x, h, c, w, u, i, f, g, o, bent = cache
    total = grad_c + grad_h * o * (1 - bent) * (1 + bent)
    gates = [total * g * i * (1 - i), total * c * f * (1 - f), total * i * (1 - g) * (1 + g), grad_h * bent * o * (1 - o)]
    grad = np.concatenate(gates, axis=1)
    return grad @ w.T, grad @ u.T, total * f, x.T @ grad, h.T @ grad, grad.sum(axis=0)


def softmax(scores: Array) -> Array:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def attention(query: Array, key: Array, value: Array) -> Any:
    scale = 1 / np.sqrt(query.shape[-1])
    shares = softmax(query @ key.swapaxes(-1, -2) * scale)
    return shares @ value, (query, key, value, shares, scale)


def masked_attention(query: Array, key: Array, value: Array, mask: Array) -> Any:
    scale = 1 / np.sqrt(query.shape[-1])
    shares = softmax(np.where(mask, query @ key.swapaxes(-1, -2) * scale, -np.inf))
    return shares @ value, (query, key, value, shares, scale)


def attention_backward(grad: Array, cache: Any) -> Any:
    query, key, value, shares, scale = cache
    grad_shares = grad @ value.swapaxes(-1, -2)
    scores = shares * (grad_shares - (grad_shares * shares).sum(axis=-1, keepdims=True)) * scale
    return scores @ key, scores.swapaxes(-1, -2) @ query, shares.swapaxes(-1, -2) @ grad


LEAST = 1e-8
"""The smallest length by which the cosine similarity divides."""


def cosine(a: Array, b: Array) -> Any:
    long_a, long_b = (np.sqrt((x * x).sum(axis=1, keepdims=True)) for x in (a, b))
    along_a, along_b = a / np.maximum(long_a, LEAST), b / np.maximum(long_b, LEAST)
    return (along_a * along_b).sum(axis=1), (along_a, along_b, long_a, long_b)


def cosine_backward(grad: Array, cache: Any) -> Any:
    along_a, along_b, long_a, long_b = cache
    both, grad = (along_a * along_b).sum(axis=1, keepdims=True), grad[:, None]
    da = grad * (along_b - (long_a > LEAST) * both * along_a) / np.maximum(long_a, LEAST)
    db = grad * (along_a - (long_b > LEAST) * both * along_b) / np.maximum(long_b, LEAST)
    return da, db


def layer_norm(x: Array, weight: Array, bias: Array) -> Any:
    centred = x - x.mean(axis=1, keepdims=True)
    root = np.sqrt((centred * centred).mean(axis=1, keepdims=True) + 1e-5)
    plain = centred / root
    return plain * weight + bias, (plain, root, weight)


def layer_norm_backward(grad: Array, cache: Any) -> Any:
    plain, root, weight = cache
    scaled = grad * weight
    dx = (scaled - scaled.mean(axis=1, keepdims=True) - plain * (scaled * plain).mean(axis=1, keepdims=True)) / root
    return dx, (grad * plain).sum(axis=0), grad.sum(axis=0)


def largest_sum(a: Array, b: Array) -> Any:
    """Return the largest sum of two arrays along the last axis; of equal sums, the first has the gradient."""
    total = a + b
    places = total.argmax(axis=1)[:, None]
    return np.take_along_axis(total, places, axis=1)[:, 0], (total.shape, places)


def largest_sum_backward(grad: Array, cache: Any) -> Any:
    shape, places = cache
    given = np.zeros(shape)
    np.put_along_axis(given, places, grad[:, None], axis=1)
    return given, given.copy()


def gaussian(x: Array, centre: Array) -> Any:
    off = x[:, None] - centre[None]
    kernel = np.exp(-0.5 * (off * off).sum(axis=2))
    return kernel, (off, kernel)


def gaussian_backward(grad: Array, cache: Any) -> Any:
    off, kernel = cache
    parts = -(grad * kernel)[..., None] * off
    return parts.sum(axis=1), -parts.sum(axis=0)


def log_sum_exp(a: Array, b: Array) -> Any:
    scores = a @ b.T
    top = scores.max(axis=1, keepdims=True)
    powers = np.exp(scores - top)
    total = powers.sum(axis=1, keepdims=True)
    return (top + np.log(total))[:, 0], (a, b, powers / total)


def log_sum_exp_backward(grad: Array, cache: Any) -> Any:
    a, b, shares = cache
    scores = grad[:, None] * shares
    return scores @ b, scores.T @ a


def damped(a: Array, power: Array) -> Any:
    """Return numbers that are almost 0 where the power is large, and what backward needs."""
    bent = np.sqrt(power * power + 1)
    factor = np.exp(-0.64 * bent)
    return a * factor, (a, factor, power / bent)


def damped_backward(grad: Array, cache: Any) -> Any:
    a, factor, slope = cache
    return grad * factor, -0.64 * grad * a * factor * slope


def difference_and_product(a: Array, b: Array) -> Any:
    return a - b, (a * b).sum(axis=1), (a, b)


def difference_and_product_backward(grad_difference: Array, grad_product: Array, cache: Any) -> Any:
    a, b = cache
    return grad_difference + grad_product[:, None] * b, -grad_difference + grad_product[:, None] * a


def shifted_softmax(x: Array, shift: Array) -> Any:
    shares = softmax(x + shift)
    return shares, shares


def shifted_softmax_backward(grad: Array, shares: Array) -> Any:
    """Return the gradients; that of the shift, which changes nothing, is what remains of terms that cancel."""
    dx = shares * (grad - (grad * shares).sum(axis=1, keepdims=True))
    return dx, dx.sum(axis=1, keepdims=True)


ATTENTION = {"query": "batch q_len dim", "key": "batch k_len dim", "value": "batch k_len width"}
ATTENTION_SIZES = {"batch": 2, "q_len": 2, "k_len": 3, "dim": 4, "width": 2}

FUNCTIONS: dict[str, Function] = {
    "matmul": Function(matmul, matmul_backward, {"a": (2, 3, 4), "b": (2, 4, 2)}, {}),
    "bilinear": Function(bilinear, bilinear_backward, {"a": "n i", "b": "n j"}, {"n": 3, "i": 4, "j": 2}, {"weight": (3, 4, 2), "bias": (3,)}),
    "mse": Function(mse, None, {"input": "batch n", "target": Target("batch n")}, {"batch": 3, "n": 4}),
    "cross-entropy": Function(
        cross_entropy, None, {"input": "batch classes", "labels": Labels("batch", below="classes")}, {"batch": 3, "classes": 4}
    ),
    "soft-cross-entropy": Function(
        soft_cross_entropy, None, {"input": "batch classes", "target": Target("batch classes", of="distribution")}, {"batch": 3, "classes": 4}
    ),
    "triplet": Function(triplet, None, {"anchor": "batch n", "positive": "batch n", "negative": "batch n"}, {"batch": 3, "n": 4}),
    "embedding": Function(embedding, embedding_backward, {"ids": Integers("batch time", below=5)}, {"batch": 2, "time": 4}, {"weight": (5, 3)}),
    "bag": Function(bag, bag_backward, {"ids": Integers("batch time", below=5), "shares": "batch time"}, {"batch": 2, "time": 4}, {"weight": (5, 3)}),
    "lstm-cell": Function(
        lstm_cell,
        lstm_cell_backward,
        {"x": "batch features", "h_0": "batch hidden", "c_0": "batch hidden"},
        {"batch": 2, "features": 3, "hidden": 2},
        {"w": (3, 8), "u": (2, 8), "b": (8,)},
        ("h", "c"),
    ),
    "attention": Function(attention, attention_backward, ATTENTION, ATTENTION_SIZES),
    "masked-attention": Function(masked_attention, attention_backward, ATTENTION | {"mask": Mask("batch q_len k_len")}, ATTENTION_SIZES),
    "cosine": Function(cosine, cosine_backward, {"a": "batch n", "b": "batch n"}, {"batch": 3, "n": 4}),
    "layer-norm": Function(layer_norm, layer_norm_backward, {"input": "batch n", "weight": "n", "bias": "n"}, {"batch": 3, "n": 5}),
    "largest-sum": Function(largest_sum, largest_sum_backward, {"a": "batch n", "b": "batch n"}, {"batch": 3, "n": 5}),
    "gaussian": Function(gaussian, gaussian_backward, {"x": "batch n", "centre": "centres n"}, {"batch": 3, "centres": 2, "n": 3}),
    "log-sum-exp": Function(log_sum_exp, log_sum_exp_backward, {"a": "batch n", "b": "terms n"}, {"batch": 3, "terms": 4, "n": 3}),
    "damped": Function(damped, damped_backward, {"a": "batch n", "power": "batch n"}, {"batch": 2, "n": 3}),
    "shifted-softmax": Function(shifted_softmax, shifted_softmax_backward, {"x": "batch n", "shift": "batch 1"}, {"batch": 3, "n": 4}),
    "difference-and-product": Function(
        difference_and_product, difference_and_product_backward, {"a": "batch n", "b": "batch n"}, {"batch": 3, "n": 4}, {}, ("difference", "product")
    ),
}
