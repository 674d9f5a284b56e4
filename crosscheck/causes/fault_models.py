"""The list of all fault models, the most specific first.

If several fault models explain a mismatch equally well, the first in the list is reported. To add a fault model, write a function in the module of
its topic and add the function to this list.
"""

from __future__ import annotations

from crosscheck.causes import (
    activations,
    cancellation,
    dropout,
    exponentials,
    losses,
    misplaced,
    normalization,
    parameters,
    precision,
    scale,
    tie_rules,
    upstream,
    windows,
)
from crosscheck.causes.candidate import FaultModel

FIRST_FAULTS: tuple[FaultModel, ...] = (
    scale.not_computed,
    scale.constant_factor,
    tie_rules.tie_rule,
    activations.derivative_left_out,
    activations.derivative_at_the_wrong_value,
    parameters.bias_left_out,
    parameters.bias_along_another_axis,
    parameters.weight_transposed,
    parameters.kernel_flipped,
    losses.label_off_by_one,
    losses.onehot_left_out,
    losses.softmax_twice,
    losses.wrong_axis,
    misplaced.border_lost,
    misplaced.shifted,
    windows.padded_with_zero,
    windows.padding_counted,
    windows.windows_misplaced,
    windows.image_misplaced,
    windows.overwritten,
    misplaced.one_sample_only,
    misplaced.flatten_order,
    misplaced.axes_exchanged,
    parameters.channels_of_input_permuted,
    normalization.wrong_normalization,
    normalization.wrong_running_statistics,
    normalization.wrong_normalization_gradient,
    dropout.wrong_dropout_scale,
    dropout.wrong_dropout_mask,
    dropout.changed_in_evaluation,
)
"""Fault models that may be the first of two faults, if no single fault explains a mismatch."""

FAULT_MODELS: tuple[FaultModel, ...] = (
    cancellation.nothing_left,
    upstream.upstream_ignored,
    upstream.upstream_twice,
    scale.size_in_the_code,
    *FIRST_FAULTS,
    misplaced.channels_permuted,
    scale.weight_decay,
    losses.labels_smoothed,
    losses.constant_in_logarithm,
    precision.digits_cut_off,
    precision.inputs_rounded,
    precision.lower_precision,
    parameters.updated_weight,
    cancellation.digits_cancel,
)
"""All fault models, in the order in which they are reported."""

GENERAL_FAULTS: tuple[FaultModel, ...] = (
    cancellation.nothing_left,
    scale.not_computed,
    upstream.upstream_ignored,
    upstream.upstream_twice,
    scale.size_in_the_code,
    scale.constant_factor,
    misplaced.axes_exchanged,
    precision.digits_cut_off,
    precision.inputs_rounded,
    precision.lower_precision,
)
"""Fault models for operations with several inputs or outputs: they assume nothing about what an operation computes."""

NOT_FINITE: tuple[FaultModel, ...] = (
    exponentials.logarithm_of_underflow,
    exponentials.exponential_overflows,
    exponentials.logarithm_of_sigmoid,
)
"""Fault models of results that are not finite where the right ones are. The first assumes that the largest number is subtracted, as it should be."""

OTHER_DTYPES: tuple[FaultModel, ...] = (precision.wider_array,)
"""Fault models of results that are in a wider precision than expected."""

SECOND_FAULTS: tuple[FaultModel, ...] = (
    scale.constant_factor,
    activations.derivative_left_out,
    parameters.bias_left_out,
    parameters.weight_transposed,
    parameters.kernel_flipped,
    losses.label_off_by_one,
    misplaced.one_sample_only,
    misplaced.border_lost,
    misplaced.shifted,
    misplaced.flatten_order,
    misplaced.axes_exchanged,
    precision.lower_precision,
)
"""Fault models that may be the second of two faults: quick to test, and common in many operations."""

SAY_LITTLE: tuple[FaultModel, ...] = (scale.constant_factor,)
"""Fault models that say by how much a result is wrong, and not what was done."""
