"""Judge what a network predicts: its outputs, the probabilities that follow from them, or the likeliest classes."""

from __future__ import annotations

import numpy as np

from crosscheck.adapters.network_listened import Traced
from crosscheck.core.check_layer import LayerContext, judge_one
from crosscheck.core.judge import Judgement, Kind, Verdict
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.core.trace import Place
from crosscheck.oracles.whole import PREDICTION, PREDICTIONS


def judged_prediction(place: Place, found: Array, context: LayerContext, precision: Precision) -> Judgement:
    """Return the judgement on a prediction; ``context`` has the expected values of all that may be predicted."""
    output = context.expected[PREDICTION]
    if found.dtype.kind in "iu":
        return _of_classes(place, found, output, context.bounds[PREDICTION], precision)
    if found.shape != output.shape and np.squeeze(found).shape == np.squeeze(output).shape:
        found = found.reshape(output.shape)
    judged = [judge_one(place, Kind.WHOLE, one, found, context, Traced(), precision)[0] for one in PREDICTIONS]
    return next((one for one in judged if one.verdict is Verdict.MATCH), judged[0])


def _of_classes(place: Place, found: Array, output: Array, bound: Bound, precision: Precision) -> Judgement:
    """Judge predicted classes: the largest output of each sample, except where rounding decides which is the largest."""
    axis = next((axis for axis in range(1, output.ndim) if (*output.shape[:axis], *output.shape[axis + 1 :]) == found.shape), None)
    if axis is None:
        reason = f"the predicted classes have the shape {found.shape}, expected the largest of outputs of shape {output.shape}"
        return Judgement(place, Kind.WHOLE, Verdict.MISMATCH, reason=reason)
    tolerance = np.broadcast_to(precision.tolerance(bound), output.shape)
    at = np.expand_dims(found.astype(np.int64), axis)
    if found.min(initial=0) < 0 or found.max(initial=0) >= output.shape[axis]:
        reason = f"predicted classes from {found.min()} to {found.max()}, expected 0 to {output.shape[axis] - 1}"
        return Judgement(place, Kind.WHOLE, Verdict.MISMATCH, found.size, reason=reason)
    behind = output.max(axis=axis, keepdims=True) - np.take_along_axis(output, at, axis)
    wrong = int(np.count_nonzero(behind > 2 * tolerance.max(axis=axis, keepdims=True)))
    reason = f"{wrong:,} of {found.size:,} predicted classes are not the largest output" if wrong else ""
    return Judgement(place, Kind.WHOLE, Verdict.MISMATCH if wrong else Verdict.MATCH, found.size, wrong, reason=reason)
