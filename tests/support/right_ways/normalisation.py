"""Batch normalisation: compact, step by step, fused, and with its means taken in many orders."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from crosscheck.core.operation import Call
from crosscheck.core.precision import Array
from tests.support import theory_cases as cases
from tests.support.right_ways.summation import SUMS, Sum
from tests.support.right_ways.task import Results, Way


def in_order(total: Sum, eps: float = cases.EPS, momentum: float = cases.MOMENTUM) -> Way:
    """Return the normalisation of rows, one a channel, whose sums are all taken in one order."""

    def way(call: Call) -> Results:
        assert call.grad_output is not None
        dtype = call.x.dtype.type
        x, g = (np.moveaxis(a, 1, 0).reshape(a.shape[1], -1) for a in (call.x, call.grad_output))
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
        running = {
            "running_mean": (1 - share) * call.buffers["running_mean"] + share * mu[:, 0],
            "running_var": (1 - share) * call.buffers["running_var"] + share * unbiased,
        }
        output, grad = (
            np.moveaxis(a.reshape(call.x.shape[1], len(call.x), *call.x.shape[2:]), 0, 1) for a in (weight[:, None] * hat + bias[:, None], grad)
        )
        return {"output": output, **running, "grad_input": grad, "weight.grad": total(g * hat), "bias.grad": total(g)}

    return way


WAYS: Mapping[str, Way] = {
    **{way: cases.batch_norm(way) for way in ("compact", "step by step", "fused")},
    **{name: in_order(total) for name, total in SUMS.items()},
}
EVALUATION: Mapping[str, Way] = {way: cases.batch_norm(way, training=False) for way in ("compact", "fused")}
