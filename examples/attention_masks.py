"""In the style of a transformer written from scratch: attention with a causal mask, which hides the future, and with a padding mask.

Run it: ``crosscheck check examples/attention_masks.py``. A mask is an input without a gradient. The last mistake shows only in a sample of which
nothing is left: all of its keys are masked, and 0 / 0 is not a number.
"""

import math

import numpy as np


def softmax(scores):
    """Return weights that add up to 1 over the keys; all are 0 where every key is masked."""
    highest = scores.max(axis=-1, keepdims=True)
    weights = np.exp(scores - np.where(np.isneginf(highest), 0, highest))
    total = weights.sum(axis=-1, keepdims=True)
    return weights / np.where(total == 0, 1, total)


def attention_backward(dout, cache):
    """Return the gradients of q, k and v: where a key is masked, its weight is 0, and so is the gradient of its score."""
    q, k, v, weights = cache
    dweights = dout @ v.swapaxes(-1, -2)
    dscores = weights * (dweights - (dweights * weights).sum(axis=-1, keepdims=True)) / math.sqrt(q.shape[-1])
    return dscores @ k, dscores.swapaxes(-1, -2) @ q, weights.swapaxes(-1, -2) @ dout


def causal_forward(q, k, v):
    """Let each query see the keys up to its own position."""
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
    seen = np.tril(np.ones(scores.shape[-2:], bool))
    weights = softmax(np.where(seen, scores, -np.inf))
    return weights @ v, (q, k, v, weights)


def causal_forward_masked_late(q, k, v):
    """Mask the weights after the softmax: what is left no longer adds up to 1."""
    weights = softmax(q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1]))
    weights = np.tril(weights)
    return weights @ v, (q, k, v, weights)


def causal_forward_one_ahead(q, k, v):
    """Let each query see one key too many."""
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
    weights = softmax(np.where(np.tril(np.ones(scores.shape[-2:], bool), 1), scores, -np.inf))
    return weights @ v, (q, k, v, weights)


def masked_forward(q, k, v, mask):
    """Leave out the keys where ``mask`` is false, such as padding."""
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
    weights = softmax(np.where(mask, scores, -np.inf))
    return weights @ v, (q, k, v, weights)


def masked_forward_zero_score(q, k, v, mask):
    """Set the scores of padding to 0, which is a score like any other."""
    weights = softmax(q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1]) * mask)
    return weights @ v, (q, k, v, weights)


def masked_forward_not_a_number(q, k, v, mask):
    """Take the softmax as usual: where all keys are padding, it is 0 / 0."""
    scores = np.where(mask, q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1]), -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return weights @ v, (q, k, v, weights)


# --- adapting ---
from torch.nn.functional import scaled_dot_product_attention

from crosscheck import Functions, Mask, Pair

QKV = {"q": "batch heads q_len dim", "k": "batch heads k_len dim", "v": "batch heads k_len dim"}
SIZES = {"sizes": {"batch": 2, "heads": 3, "q_len": 5, "k_len": 7, "dim": 4}}
CAUSAL = {"reference": lambda q, k, v: scaled_dot_product_attention(q, k, v, is_causal=True), "inputs": QKV, **SIZES}
PADDED = {"reference": scaled_dot_product_attention, "inputs": {**QKV, "mask": Mask("batch 1 1 k_len")}, **SIZES}
PAIRS = [
    Pair(Functions(causal_forward, attention_backward), name="causal", **CAUSAL),
    Pair(Functions(causal_forward_masked_late, attention_backward), name="causal (wrong: masked after the softmax)", **CAUSAL),
    Pair(Functions(causal_forward_one_ahead, attention_backward), name="causal (wrong: one key of the future is seen)", **CAUSAL),
    Pair(Functions(masked_forward, attention_backward), name="padding", **PADDED),
    Pair(Functions(masked_forward_zero_score, attention_backward), name="padding (wrong: its score is 0)", **PADDED),
    Pair(Functions(masked_forward_not_a_number, attention_backward), name="padding (wrong: NaN where all is padding)", **PADDED),
]
# --- end ---
