"""The rows of convolutions: square and other images and kernels, with stride, padding, dilation and groups."""

from __future__ import annotations

from torch import nn

from crosscheck import Functions, Pair
from tests.support.functions import convolutions as of
from tests.support.functions.convolutions import convolution, depthwise, separable_convolution, transposed_convolution
from tests.support.functions.row import SAME, Fault, Row

DILATED_IN_GROUPS = nn.ConvTranspose2d(4, 6, (3, 5), (2, 3), 1, groups=2, dilation=2)
LONGER_IN_GROUPS = nn.ConvTranspose3d(4, 6, (3, 5, 2), 2, (1, 2, 0), 1, 2)
SEPARABLE = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.Conv2d(4, 5, 1))
TWO_LAYERS = {"each": "0.weight", "each_bias": "0.bias", "mix": "1.weight", "mix_bias": "1.bias"}

ROWS = {
    "convolution 1-D": Row(Pair(convolution(), nn.Conv1d(3, 4, 3), [(2, 3, 11)], SAME), Fault("bias.grad", backward=of.bias_averaged)),
    "convolution 1-D, dilated, strided": Row(
        Pair(convolution(stride=2, dilation=3), nn.Conv1d(3, 4, 3, 2, 0, 3), [(2, 3, 15)], SAME), Fault("grad_input", backward=of.not_dilated)
    ),
    "convolution 2-D, square image, square kernel": Row(
        Pair(convolution(), nn.Conv2d(3, 4, 3), [(2, 3, 7, 7)], SAME), Fault("output", forward=of.flipped_kernel)
    ),
    "convolution 2-D, square, strided, padded": Row(
        Pair(convolution(stride=4, padding=2), nn.Conv2d(3, 4, 5, 4, 2), [(2, 3, 13, 13)], SAME), Fault("output", forward=of.edge_padded)
    ),
    "convolution 2-D, other image, square kernel": Row(
        Pair(convolution(), nn.Conv2d(3, 4, 3), [(2, 3, 5, 8)], SAME), Fault("weight.grad", backward=of.mean_over_batch)
    ),
    "convolution 2-D, other image, other kernel": Row(
        Pair(convolution(), nn.Conv2d(3, 4, (3, 2)), [(2, 3, 5, 8)], SAME), Fault("output", forward=of.kernel_by_columns)
    ),
    "convolution 2-D, square image, other kernel": Row(
        Pair(convolution(), nn.Conv2d(3, 4, (2, 5)), [(2, 3, 7, 7)], SAME), Fault("grad_input", backward=of.first_filter_alone)
    ),
    "convolution 2-D, square image, other kernel, dilated, padded": Row(
        Pair(convolution(padding=(2, 4), dilation=(2, 3)), nn.Conv2d(3, 4, (3, 2), 1, (2, 4), (2, 3)), [(2, 3, 8, 8)], SAME),
        Fault("output", forward=of.columns_counted_by_rows),
    ),
    "convolution 3-D, square image, square kernel": Row(
        Pair(convolution(), nn.Conv3d(2, 3, 3), [(2, 2, 5, 5, 5)], SAME), Fault("grad_input", backward=of.kernel_not_turned)
    ),
    "convolution 3-D, other image, square kernel": Row(
        Pair(convolution(), nn.Conv3d(2, 3, (3, 3, 1)), [(2, 2, 4, 5, 6)], SAME), Fault("output", forward=of.last_position_lost)
    ),
    "convolution 3-D, square image, other kernel": Row(
        Pair(convolution(), nn.Conv3d(2, 3, (2, 3, 4)), [(2, 2, 5, 5, 5)], SAME), Fault("bias.grad", backward=of.bias_of_first_position)
    ),
    "convolution 3-D, other image, other kernel": Row(Pair(convolution(), nn.Conv3d(2, 3, (1, 3, 2)), [(2, 2, 4, 5, 3)], SAME)),
    "transposed convolution 1-D": Row(
        Pair(transposed_convolution(), nn.ConvTranspose1d(3, 4, 3), [(2, 3, 8)], SAME), Fault("output", forward=of.windows_not_added)
    ),
    "transposed convolution 1-D, dilated": Row(
        Pair(transposed_convolution(dilation=3), nn.ConvTranspose1d(3, 4, 3, dilation=3), [(2, 3, 8)], SAME),
        Fault("grad_input", backward=of.transposed_not_dilated),
    ),
    "transposed convolution 1-D, padded, strided, dilated": Row(
        Pair(transposed_convolution(stride=2, padding=1, dilation=2), nn.ConvTranspose1d(3, 4, 3, 2, 1, dilation=2), [(2, 3, 8)], SAME),
        Fault("grad_input", backward=of.not_strided),
    ),
    "transposed convolution 2-D, square image, square kernel": Row(
        Pair(transposed_convolution(), nn.ConvTranspose2d(3, 4, 3), [(2, 3, 5, 5)], SAME), Fault("grad_input", backward=of.transposed_kernel_turned)
    ),
    "transposed convolution 2-D, other image, other kernel": Row(
        Pair(transposed_convolution(), nn.ConvTranspose2d(3, 4, (3, 2)), [(2, 3, 4, 6)], SAME), Fault("weight.grad", backward=of.weight_turned)
    ),
    "transposed convolution 2-D, square image, other kernel": Row(
        Pair(transposed_convolution(), nn.ConvTranspose2d(3, 4, (2, 4)), [(2, 3, 5, 5)], SAME)
    ),
    "transposed convolution 2-D, other image, square kernel": Row(Pair(transposed_convolution(), nn.ConvTranspose2d(3, 4, 3), [(2, 3, 4, 6)], SAME)),
    "transposed convolution 2-D, other image, other kernel, padded": Row(
        Pair(transposed_convolution(padding=(1, 2)), nn.ConvTranspose2d(3, 4, (3, 5), 1, (1, 2)), [(2, 3, 5, 4)], SAME)
    ),
    "transposed convolution 2-D, other image, square kernel, dilated, padded, strided": Row(
        Pair(transposed_convolution(stride=3, padding=1, dilation=2), nn.ConvTranspose2d(3, 4, 3, 3, 1, dilation=2), [(2, 3, 4, 3)], SAME),
        Fault("output", forward=of.bias_for_each_window),
    ),
    "transposed convolution 2-D, other image, other kernel, strided, grouped, padded, dilated": Row(
        Pair(transposed_convolution(stride=(2, 3), padding=1, dilation=2, groups=2), DILATED_IN_GROUPS, [(2, 4, 4, 3)], SAME),
        Fault("weight.grad", backward=of.weight_of_first_group),
    ),
    "transposed convolution 3-D, square image, square kernel": Row(
        Pair(transposed_convolution(), nn.ConvTranspose3d(3, 3, 2), [(2, 3, 3, 3, 3)], SAME), Fault("output", forward=of.channels_exchanged)
    ),
    "transposed convolution 3-D, other image, other kernel": Row(
        Pair(transposed_convolution(), nn.ConvTranspose3d(2, 3, (1, 3, 2)), [(2, 2, 2, 3, 4)], SAME)
    ),
    "transposed convolution 3-D, square image, other kernel": Row(
        Pair(transposed_convolution(), nn.ConvTranspose3d(2, 3, (2, 1, 3)), [(2, 2, 3, 3, 3)], SAME)
    ),
    "transposed convolution 3-D, other image, square kernel": Row(
        Pair(transposed_convolution(), nn.ConvTranspose3d(2, 3, 2), [(2, 2, 2, 4, 3)], SAME)
    ),
    "transposed convolution 3-D, other image, other kernel, strided, padded, grouped": Row(
        Pair(transposed_convolution(stride=2, padding=(1, 2, 0), more=1, groups=2), LONGER_IN_GROUPS, [(2, 4, 2, 3, 4)], SAME),
        Fault("output", forward=of.groups_interleaved),
    ),
    "transposed convolution 3-D, other image, square kernel, strided, padded, grouped": Row(
        Pair(transposed_convolution(stride=2, padding=1, groups=4), nn.ConvTranspose3d(4, 4, 3, 2, 1, 0, 4), [(2, 4, 3, 2, 4)], SAME)
    ),
    "transposed convolution 3-D, square, padded, dilated, strided": Row(
        Pair(transposed_convolution(stride=2, padding=1, dilation=2), nn.ConvTranspose3d(2, 3, 2, 2, 1, dilation=2), [(2, 2, 3, 3, 3)], SAME),
        Fault("output", forward=of.padding_at_the_start),
    ),
    "depthwise convolution, square image, square kernel": Row(
        Pair(depthwise(), nn.Conv2d(4, 4, 3, groups=4), [(2, 4, 6, 6)], SAME), Fault("output", forward=of.first_kernel_for_all)
    ),
    "depthwise convolution, square image, other kernel": Row(
        Pair(depthwise(), nn.Conv2d(4, 4, (3, 1), groups=4), [(2, 4, 6, 6)], SAME), Fault("weight.grad", backward=of.kernels_share_a_gradient)
    ),
    "depthwise convolution, other image, square kernel": Row(
        Pair(convolution(stride=2, groups=4), nn.Conv2d(4, 8, 3, 2, groups=4), [(2, 4, 5, 8)], SAME)
    ),
    "depthwise convolution, other image, other kernel": Row(
        Pair(depthwise(stride=2, padding=(1, 2), dilation=(1, 2)), nn.Conv2d(4, 4, (2, 3), 2, (1, 2), (1, 2), 4), [(2, 4, 5, 8)], SAME),
        Fault("grad_input", backward=of.windows_moved),
    ),
    "depthwise-separable convolution": Row(
        Pair(separable_convolution(padding=1), SEPARABLE, [(2, 4, 5, 6)], TWO_LAYERS),
        Fault("1.weight.grad", backward=of.separable_backward_from_input),
    ),
    "pointwise convolution": Row(
        Pair(Functions(of.mix_channels, of.mix_channels_backward), nn.Conv2d(4, 4, 1), [(2, 4, 5, 6)], SAME),
        Fault("grad_input", backward=of.mix_transposed),
    ),
}
