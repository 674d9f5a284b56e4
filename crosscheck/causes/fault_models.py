"""The list of all fault models, the most specific first.

If several explain a mismatch equally well, the first one is reported. To add a fault model, write a function in the module of its topic and give it a
place in this list.
"""

from __future__ import annotations

from crosscheck.causes.activations import derivative_at_the_wrong_value, derivative_left_out
from crosscheck.causes.cancellation import digits_cancel, nothing_left
from crosscheck.causes.candidate import FaultModel
from crosscheck.causes.dropout import changed_in_evaluation, wrong_dropout_mask, wrong_dropout_scale
from crosscheck.causes.losses import constant_in_logarithm, label_off_by_one, labels_smoothed, onehot_left_out, softmax_twice, wrong_axis
from crosscheck.causes.misplaced import axes_exchanged, border_lost, channels_permuted, flatten_order, one_sample_only, shifted
from crosscheck.causes.normalization import wrong_normalization, wrong_normalization_gradient, wrong_running_statistics
from crosscheck.causes.parameters import (
    bias_along_another_axis,
    bias_left_out,
    channels_of_input_permuted,
    kernel_flipped,
    updated_weight,
    weight_transposed,
)
from crosscheck.causes.precision import digits_cut_off, inputs_rounded, lower_precision
from crosscheck.causes.scale import constant_factor, not_computed, weight_decay
from crosscheck.causes.tie_rules import tie_rule
from crosscheck.causes.windows import image_misplaced, overwritten, padded_with_zero, padding_counted, windows_misplaced

FIRST_FAULTS: tuple[FaultModel, ...] = (
    not_computed,
    constant_factor,
    tie_rule,
    derivative_left_out,
    derivative_at_the_wrong_value,
    bias_left_out,
    bias_along_another_axis,
    weight_transposed,
    kernel_flipped,
    label_off_by_one,
    onehot_left_out,
    softmax_twice,
    wrong_axis,
    border_lost,
    shifted,
    padded_with_zero,
    padding_counted,
    windows_misplaced,
    image_misplaced,
    overwritten,
    one_sample_only,
    flatten_order,
    axes_exchanged,
    channels_of_input_permuted,
    wrong_normalization,
    wrong_running_statistics,
    wrong_normalization_gradient,
    wrong_dropout_scale,
    wrong_dropout_mask,
    changed_in_evaluation,
)
"""Those that may be the first of two faults, if no single fault explains a mismatch."""

FAULT_MODELS: tuple[FaultModel, ...] = (
    nothing_left,
    *FIRST_FAULTS,
    channels_permuted,
    weight_decay,
    labels_smoothed,
    constant_in_logarithm,
    digits_cut_off,
    inputs_rounded,
    lower_precision,
    updated_weight,
    digits_cancel,
)
"""All fault models."""

SECOND_FAULTS: tuple[FaultModel, ...] = (
    constant_factor,
    derivative_left_out,
    bias_left_out,
    weight_transposed,
    kernel_flipped,
    label_off_by_one,
    one_sample_only,
    border_lost,
    shifted,
    flatten_order,
    axes_exchanged,
    lower_precision,
)
"""Those that may be the second of two faults: quick to test, and common in many operations."""
