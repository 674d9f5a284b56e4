"""Batch normalisation: compact, step by step, fused, and with its means taken in many orders."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from crosscheck.core.operation import Call
from crosscheck.core.precision import Array
from tests.support import theory_cases as cases
from tests.support.right_ways.summation import SUMS, Sum
from tests.support.right_ways.task import Results, Way, cotangent


def in_order(total: Sum, call: Call, eps: float = cases.EPS, momentum: float = cases.MOMENTUM) -> Results:
    """Return the normalisation of rows, one a channel, whose sums are all taken in one order."""
    dtype = call.dtype.type
    x, g = (np.moveaxis(a, 1, 0).reshape(a.shape[1], -1) for a in (call.x, cotangent(call)))
    weight, bias, count = call.params["weight"], call.params["bias"], dtype(x.shape[1])

    def mean(rows: Array) -> Array:
        return np.asarray(total(rows) / count)[:, None]

    mu = mean(x)
    var = mean((x - mu) * (x - mu))
    inverse = 1 / np.sqrt(var + dtype(eps))
    hat = (x - mu) * inverse
    grad = weight[:, None] * inverse * (g - mean(g) - hat * mean(g * hat))
    unbiased = var[:, 0] * count / (count - 1)
    share = dtype(momentum)
    running = {name: (1 - share) * call.buffers[name] + share * new for name, new in (("running_mean", mu[:, 0]), ("running_var", unbiased))}
    output, grad = (
        np.moveaxis(a.reshape(call.x.shape[1], len(call.x), *call.x.shape[2:]), 0, 1) for a in (weight[:, None] * hat + bias[:, None], grad)
    )
    return {"output": output, **running, "grad_input": grad, "weight.grad": total(g * hat), "bias.grad": total(g)}


WAYS: Mapping[str, Way] = {
    **{way: cases.batch_norm(way) for way in ("compact", "step by step", "fused")},
    **{name: partial(in_order, total) for name, total in SUMS.items()},
}
EVALUATION: Mapping[str, Way] = {way: cases.batch_norm(way, training=False) for way in ("compact", "fused")}
