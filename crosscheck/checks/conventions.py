"""Conventions: questions that right implementations answer differently, each with the one name by which verdicts and documents call it.

What each framework answers is measured by ``scripts/measure_conventions.py`` and stands in ``docs/conventions.md``.
"""

from __future__ import annotations

from collections.abc import Mapping

CONVENTIONS: Mapping[str, str] = {
    "max-pool-ties": (
        "Which of several equal maxima of a pooling window gets its gradient. Ties are no accident: on images with a constant "
        "background most windows tie, and a student whose rule is another one sees wrong gradients of everything before the pool."
    ),
    "max-reduction-ties": (
        "Which of several equal maxima gets the gradient of a maximum over an axis or over everything. Who writes pooling as a reshape "
        "and a `max` gets another rule than from the framework's pooling, and often another one from a differently spelled `max`."
    ),
    "relu-at-zero": (
        "The derivative of ReLU where its input is exactly 0. Zeros are common: constant backgrounds, biases of zero, the ReLU before; "
        "a mask written as `x >= 0` lets gradients through that a framework stops."
    ),
    "maximum-at-zero": (
        "The derivative of `maximum(x, 0)`, or of a clip at 0, where x is exactly 0. The same function as ReLU has another gradient: "
        "who writes ReLU by hand in a framework does not get the framework's ReLU."
    ),
    "leaky-relu-at-zero": (
        "The derivative of leaky ReLU where its input is exactly 0: that of the left side or that of the right one. A porter who tests "
        "on random numbers never sees the difference."
    ),
    "leaky-relu-slope": (
        "The slope of leaky ReLU below 0 if none is given. Weights that were trained with one and are run with another give other "
        "outputs, without any error."
    ),
    "abs-at-zero": "The derivative of the absolute value at 0, which decides what an L1 loss or penalty does to a weight that is exactly 0.",
    "image-layout": (
        "Which axis of a batch of images is taken for the channels if nothing is said. Square images with as many channels as pixels "
        "go through silently in the wrong layout."
    ),
    "flatten-order": (
        "In which order the numbers of an image become one row, channels slowest or fastest. The next linear layer's weights belong to "
        "one order: a porter has to permute their rows, and no shape tells. Some flatten channels fastest even where images are channels first."
    ),
    "linear-weight-shape": (
        "Whether a linear layer from 2 to 3 features stores its weight as (in, out) or as (out, in). A square weight that is not "
        "transposed fits, and is wrong."
    ),
    "conv-weight-shape": "The order of the axes of a convolution's filters. Porters permute them; where two sizes are equal, a wrong order fits.",
    "convolution-flip": (
        "Whether a convolution flips its kernel, as mathematics does, or correlates, as deep learning does. A student who uses a "
        "signal-processing routine learns flipped filters, which works until weights are exchanged."
    ),
    "same-with-stride": 'What `padding="same"` means with a stride above 1. A model that uses it cannot be spelled alike everywhere.',
    "same-odd-padding": (
        "On which side an odd number of zeros has one more: at stride 1 with an even kernel. The other side shifts every feature map by a pixel."
    ),
    "stride-padding-offset": (
        "Where the first window of a 3-wide, stride-2 convolution stands on an even image: half a kernel before the first pixel "
        "(padding 1 on both sides), or on it (`same`, whose one zero goes to the end). The classic trap of ported residual networks."
    ),
    "average-pool-padding": "Whether the zeros of a padding count in the mean of an average pool's window. At the border outputs differ by a factor.",
    "batch-norm-epsilon": (
        "What is added to the variance before the root in batch normalisation if nothing is said. With channels of small variance "
        "ported weights give visibly different outputs."
    ),
    "batch-norm-momentum": (
        "Whether `momentum` is the weight of the past or of the new batch in the running statistics. The same number the other way "
        "round makes statistics that hardly move, or only follow the last batch."
    ),
    "batch-norm-momentum-default": (
        "The weight that a new batch has in the running statistics if nothing is said: how many batches it takes until evaluation can be trusted."
    ),
    "batch-norm-running-variance": (
        "Whether the running variance takes up the batch's variance with m - 1 (unbiased) or m (biased) in the denominator. Training "
        "agrees, evaluation does not; the smaller the batch, the more."
    ),
    "batch-norm-one-value": (
        "What batch normalisation does in training where a channel has one value only, whose variance is 0: refuse, or put out beta, "
        "whatever the input. A last batch of one sample hits on it."
    ),
    "gelu-form": ("Whether GELU is computed exactly or by its tanh approximation if nothing is said. They differ by up to 5e-4 in each activation."),
    "cross-entropy-input": (
        "Whether cross-entropy takes logits or probabilities if nothing is said. Either is a row of numbers: softmax applied twice, or "
        "not at all, still trains, only badly."
    ),
    "cross-entropy-reduction": "Whether the losses of a batch are averaged, summed or left apart. A factor of the batch size in every gradient.",
    "mse-reduction": (
        "Over what the squared error is averaged, and whether it is halved. A factor in every gradient: of 2, of the number of outputs "
        "or of the batch size."
    ),
    "probability-clip": (
        "Which loss a true class of probability 0 has. Not clipped, it is infinite, and one such sample ends a training; clipped, it is finite, and "
        "losses of networks that are sure and wrong cannot be compared between frameworks."
    ),
    "dropout-scaling": (
        "Whether what dropout keeps is scaled up in training, so that evaluation is the identity, or not. Otherwise evaluation has to scale."
    ),
    "dropout-argument": "Whether the number given to dropout is the probability of being dropped or of being kept. At 0.5 nobody notices.",
    "sgd-momentum": (
        "Whether momentum collects gradients, which the learning rate of the moment multiplies (buffer), or steps, each with the rate "
        "of its own time (velocity). The same until the rate changes; then a schedule acts at once or with a delay. State is not "
        "exchangeable either."
    ),
    "nesterov": "What Nesterov's momentum computes: a step by the gradient plus the momentum that it will have, or none of it.",
    "sgd-dampening": (
        "Whether dampening also acts on the first gradient that enters the buffer. An average that starts at zero dampens it too, "
        "which makes all steps differ."
    ),
    "weight-decay": (
        "Whether weight decay is added to the gradient (coupled, L2) or shrinks the parameter by itself (decoupled). Under momentum "
        "and in Adam these are different optimizers."
    ),
    "adamw-decay-default": (
        "The weight decay of AdamW if none is given. It is regularisation that nobody asked for, of another strength in each framework."
    ),
    "adam-epsilon": (
        "Whether Adam's epsilon is added to the root of the corrected mean square, or to that of the uncorrected one (the paper's "
        "epsilon hat), which makes it about thirty times as large in the first step."
    ),
    "adam-epsilon-default": "Adam's epsilon if none is given. It matters where gradients are about as small.",
    "rmsprop-epsilon": "Whether RMSprop's epsilon stands inside the root or outside. Inside, 1e-8 acts like 1e-4 outside.",
    "rmsprop-epsilon-default": "RMSprop's epsilon if none is given.",
    "rmsprop-rho-default": "The weight of the past in RMSprop's mean square if none is given: 0.99 remembers ten times as many steps as 0.9.",
    "adadelta-epsilon": "Where Adadelta's epsilon stands: inside both roots, or outside. It makes the first steps: without it nothing moves.",
    "adadelta-epsilon-default": "Adadelta's epsilon if none is given; the first step is proportional to its root.",
    "adadelta-rho-default": "The weight of the past in Adadelta's averages if none is given.",
    "learning-rate-default": (
        "The learning rate if none is given. Adadelta's is the one that hurts: the paper has none, that is, 1, and with 0.001 nothing seems to train."
    ),
    "linear-initialiser": (
        "The distribution of a linear layer's initial weights if nothing is said. From-scratch code that trains worse than a "
        "framework often differs in nothing else. The deviation is 1/√(3 fan_in), a uniform bound of 1/√fan_in, for Kaiming with a = √5; "
        "√(2/(fan_in + fan_out)) for Glorot; √(2/fan_in) for He."
    ),
    "conv-initialiser": (
        "The distribution of a convolution's initial weights if nothing is said; the formulas are those of linear-initialiser, and "
        "a fan is a number of channels times the pixels of the kernel."
    ),
    "bias-initialiser": (
        "The distribution of a linear layer's initial bias if nothing is said. Trainings that share only the weights start from different functions."
    ),
    "argmax-ties": "Which index the position of the maximum has where several are equal: the predicted class of a network that is not sure.",
    "round-half": "Where numbers half way between two integers are rounded to. Quantised weights differ by one step.",
    "default-dtype": "The precision of numbers that come in as Python floats.",
    "float64-input": "What becomes of a float64 array of NumPy: kept, or narrowed in silence. A gradient check in double precision may be none.",
    "matmul-precision": (
        "What the setting says by which products of float32 matrices may be computed in fewer bits on accelerators, such as TF32. On a "
        "CPU it changes nothing; there, errors thousands of times larger appear without any change in the code."
    ),
    "conv-precision": "The same for convolutions, which may have a setting, and a default, of their own.",
}
"""What each convention is and whom it hurts, by its name."""

OF_CAUSES: Mapping[str, str] = {
    "tie rule: all": "max-pool-ties",
    "tie rule: split": "max-pool-ties",
    "tie rule: last": "max-pool-ties",
    "weight decay coupled": "weight-decay",
    "weight decay decoupled": "weight-decay",
    "nesterov": "nesterov",
    "nesterov left out": "nesterov",
    "dampening": "sgd-dampening",
    "dampening left out": "sgd-dampening",
}
"""The convention that a likely cause is a question of, by the cause's name."""


def named(cause: str) -> str:
    """Return how a verdict names the convention that a cause is a question of, such as ``"; convention: max-pool-ties"``; "" where it is of none."""
    return f"; convention: {OF_CAUSES[cause]}" if cause in OF_CAUSES else ""
