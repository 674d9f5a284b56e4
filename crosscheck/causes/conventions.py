"""Conventions: questions that correct implementations answer differently. Each has one name, which verdicts and documents use.

``scripts/measure_conventions.py`` measures each framework's answers and writes them to ``docs/conventions.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crosscheck.causes import normalization, tie_rules
from crosscheck.causes.candidate import FaultModel
from crosscheck.causes.evidence import Evidence
from crosscheck.core.check_layer import Failure
from crosscheck.core.guard import silenced

CONVENTIONS: Mapping[str, str] = {
    "max-pool-ties": (
        "Which of several equal maxima of a pooling window gets its gradient. Ties are common: on images with a constant "
        "background most windows tie, and with another rule all gradients before the pooling layer are different."
    ),
    "max-reduction-ties": (
        "Which of several equal maxima gets the gradient of a maximum over an axis or over everything. Pooling written as a reshape "
        "and a `max` follows another rule than the framework's pooling, and often yet another one if `max` is written differently."
    ),
    "relu-at-zero": (
        "The derivative of ReLU where its input is exactly 0. Zeros are common: constant backgrounds, biases of zero, an earlier ReLU; "
        "a mask written as `x >= 0` lets gradients through that a framework stops."
    ),
    "maximum-at-zero": (
        "The derivative of `maximum(x, 0)`, or of a clip at 0, where x is exactly 0. Although it is the same function as ReLU, its "
        "gradient differs: a ReLU written by hand in a framework is not the framework's ReLU."
    ),
    "leaky-relu-at-zero": (
        "The derivative of leaky ReLU where its input is exactly 0: the slope on the left or on the right. Tests with random "
        "numbers never show the difference."
    ),
    "leaky-relu-slope": (
        "The default slope of leaky ReLU below 0. Weights that were trained with one slope and are used with another give other "
        "outputs, without any error."
    ),
    "abs-at-zero": "The derivative of the absolute value at 0, which decides what an L1 loss or penalty does to a weight that is exactly 0.",
    "image-layout": (
        "Which axis of a batch of images is the channel axis by default. Square images with as many channels as rows are accepted "
        "silently in the wrong layout."
    ),
    "flatten-order": (
        "In which order the numbers of an image become one row, with the channels slowest or fastest. The weights of the next linear layer fit "
        "one order only, and no shape shows it: ported weights have to be permuted. Some frameworks flatten channels fastest even for "
        "channels-first images."
    ),
    "linear-weight-shape": (
        "Whether a linear layer from 2 to 3 features stores its weight as (in, out) or as (out, in). A square weight that is not "
        "transposed fits, but is wrong."
    ),
    "conv-weight-shape": "The order of the axes of a convolution's filters. Ported filters are permuted; if two sizes are equal, a wrong order "
    "fits, too.",
    "convolution-flip": (
        "Whether a convolution flips its kernel, as mathematics does, or correlates, as deep learning does. Code that uses a "
        "signal-processing routine learns flipped filters, which works until weights are exchanged."
    ),
    "same-with-stride": 'What `padding="same"` means with a stride above 1. A model that uses it cannot be written in the same way everywhere.',
    "same-odd-padding": (
        "Which side gets the extra zero when the number of padding zeros is odd (stride 1, even kernel). The other side shifts every feature map "
        "by a pixel."
    ),
    "stride-padding-offset": (
        "Where the first window of a convolution of width 3 and stride 2 starts on an image of even width: one pixel before the image (padding "
        "1 on both sides), or at its first pixel (`same`, which adds one zero at the end only). The classic trap of ported residual networks."
    ),
    "average-pool-padding": "Whether the zeros of a padding count in the mean of an average pool's window. At the border outputs differ by a factor.",
    "batch-norm-epsilon": (
        "What is added to the variance before the root in batch normalisation by default. With channels of small variance "
        "ported weights give visibly different outputs."
    ),
    "batch-norm-momentum": (
        "Whether `momentum` is the weight of the past or of the new batch in the running statistics. With the meanings exchanged, "
        "the statistics hardly change, or follow only the last batch."
    ),
    "batch-norm-momentum-default": (
        "The default weight of a new batch in the running statistics: it determines after how many batches evaluation can be trusted."
    ),
    "batch-norm-running-variance": (
        "Whether the running variance uses the batch's variance with m - 1 (unbiased) or m (biased) in the denominator. Training "
        "agrees, evaluation does not; the smaller the batch, the more."
    ),
    "batch-norm-one-value": (
        "What batch normalisation does in training if a channel has a single value, so that its variance is 0: refuse, or return beta for "
        "every input. It happens when the last batch has one sample."
    ),
    "gelu-form": ("Whether GELU is computed exactly or by its tanh approximation by default. They differ by up to 5e-4 in each activation."),
    "cross-entropy-input": (
        "Whether cross-entropy takes logits or probabilities by default. Both are rows of numbers: a network with softmax applied twice, or "
        "not at all, still trains, but badly."
    ),
    "cross-entropy-reduction": "Whether the losses of a batch are averaged, summed or returned one by one. A factor of the batch size in every "
    "gradient.",
    "mse-reduction": (
        "Over which axes the squared error is averaged, and whether it is halved. Every gradient changes by a factor of 2, of the number of outputs "
        "or of the batch size."
    ),
    "probability-clip": (
        "The loss of a true class with probability 0. Without a clip it is infinite, and one such sample ruins the training. With a clip it is "
        "finite, "
        "and losses of confident, wrong networks cannot be compared between frameworks."
    ),
    "dropout-scaling": (
        "Whether dropout scales up the kept elements in training, so that evaluation is the identity. If not, evaluation has to scale."
    ),
    "dropout-argument": "Whether the number given to dropout is the probability of being dropped or of being kept. At 0.5 the difference does not "
    "show.",
    "sgd-momentum": (
        "Whether momentum sums gradients and multiplies them by the current learning rate (buffer), or sums steps, each with the rate of its own "
        "time (velocity). Both give the same until the rate changes; then a schedule takes effect at once or with a delay. The states "
        "are not interchangeable."
    ),
    "nesterov": "What Nesterov's momentum computes: whether the step is the gradient plus the momentum after this update.",
    "sgd-dampening": (
        "Whether dampening also acts on the first gradient that enters the buffer. An average that starts at zero dampens it as well, "
        "so that all steps differ."
    ),
    "weight-decay": (
        "Whether weight decay is added to the gradient (coupled, L2) or shrinks the parameter separately (decoupled). With momentum "
        "and in Adam these are different optimizers."
    ),
    "adamw-decay-default": ("The default weight decay of AdamW: a regularisation that differs in strength between frameworks."),
    "adam-epsilon": (
        "Whether Adam's epsilon is added to the root of the corrected mean square, or to that of the uncorrected one (the paper's "
        "epsilon hat), which makes it about thirty times as large in the first step."
    ),
    "adam-epsilon-default": "The default epsilon of Adam. It matters where gradients are not much larger.",
    "rmsprop-epsilon": "Whether RMSprop's epsilon is inside the root or outside. Inside, 1e-8 has the effect of 1e-4 outside.",
    "rmsprop-epsilon-default": "The default epsilon of RMSprop.",
    "rmsprop-rho-default": "The default weight of the past in RMSprop's mean square: 0.99 remembers ten times as many steps as 0.9.",
    "adadelta-epsilon": "Whether Adadelta's epsilon is inside both roots or outside. It determines the first steps: without it, nothing moves.",
    "adadelta-epsilon-default": "The default epsilon of Adadelta; the first step is proportional to its root.",
    "adadelta-rho-default": "The default weight of the past in Adadelta's averages.",
    "learning-rate-default": (
        "The default learning rate. It matters most for Adadelta: the paper has none, which means 1, and with 0.001 the network hardly trains."
    ),
    "linear-initialiser": (
        "The distribution of a linear layer's initial weights by default. From-scratch code that trains worse than a "
        "framework often differs in nothing else. The deviation is 1/√(3 fan_in), a uniform bound of 1/√fan_in, for Kaiming with a = √5; "
        "√(2/(fan_in + fan_out)) for Glorot; √(2/fan_in) for He."
    ),
    "conv-initialiser": (
        "The distribution of a convolution's initial weights by default; the formulas are those of linear-initialiser, and "
        "a fan is a number of channels times the pixels of the kernel."
    ),
    "bias-initialiser": (
        "The distribution of a linear layer's initial bias by default. Two networks that share only the weights start from different functions."
    ),
    "argmax-ties": "Which index argmax returns if several elements are equal: it is the predicted class of a network that is not sure.",
    "round-half": "To which side numbers halfway between two integers are rounded. Quantised weights differ by one step.",
    "default-dtype": "The precision of arrays made from Python floats.",
    "float64-input": "Whether a float64 array of NumPy keeps its precision or is converted to float32 silently. A gradient check meant for "
    "float64 may run in float32.",
    "matmul-precision": (
        "The default of the setting that allows float32 matrix products in fewer bits on accelerators, such as TF32. On a CPU it changes nothing. "
        "On accelerators, errors thousands of times larger appear without any change in the code."
    ),
    "conv-precision": "The default of the setting, separate in some frameworks, that allows float32 convolutions in fewer bits on accelerators.",
}
"""Maps the name of a convention to its question and when the answer causes trouble."""

OF_CAUSES: Mapping[str, str] = {
    "tie rule: all": "max-pool-ties",
    "tie rule: split": "max-pool-ties",
    "tie rule: last": "max-pool-ties",
    "biased variance": "batch-norm-running-variance",
    "unbiased running variance": "batch-norm-running-variance",
    "weight decay coupled": "weight-decay",
    "weight decay decoupled": "weight-decay",
    "nesterov": "nesterov",
    "nesterov left out": "nesterov",
    "dampening": "sgd-dampening",
    "dampening left out": "sgd-dampening",
}
"""Maps the name of a likely cause to the convention behind it."""


def named(cause: str) -> str:
    """Return the text that names the convention behind a cause, such as ``"; convention: max-pool-ties"``; empty if there is none."""
    return f"; convention: {OF_CAUSES[cause]}" if cause in OF_CAUSES else ""


@dataclass(frozen=True)
class Convention:
    """A convention that explains a difference between two implementations."""

    name: str  # a key of CONVENTIONS
    words: str  # what one does, and what the other does instead


_MODELS: tuple[FaultModel, ...] = (tie_rules.tie_rule, normalization.wrong_running_statistics)
"""The fault models of layers whose fault may be a convention."""


@silenced()  # a reference may warn of inputs that only this search shows it
def explaining(difference: Failure) -> Convention | None:
    """Return the convention that explains a whole difference between two implementations; None if none does, or if a fault explains it as well."""
    found = Evidence(difference).explanations(_MODELS)
    if not found or found[0].cause.name not in OF_CAUSES:
        return None
    return Convention(OF_CAUSES[found[0].cause.name], found[0].cause.words)
