"""Common mistakes, each an edit of the source of a right layer, or a layer of its own, with what the report has to say of it."""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from crosscheck import Functions, LossFunction, Pair
from crosscheck.core.precision import Array
from tests.support.edited.table import LAYERS

WEIGHT = np.array([0.5, 1.0, 2.0, 0.25, 1.5])


@dataclass(frozen=True)
class Mistake:
    """A mistake and the sentence that explains it.

    Parameters
    ----------
    name : str
    words : str
        The likely cause in the report.
    at : str
        The first wrong quantity.
    layer : str
        The right layer, a key of the table.
    edits : tuple of (str, str)
        What is replaced in its source by what.
    made : callable, optional
        Returns the pair, if it is no edit of a layer of the table.
    """

    name: str
    words: str
    at: str
    layer: str = ""
    edits: tuple[tuple[str, str], ...] = ()
    made: Callable[[], Pair] | None = None

    def pair(self) -> Pair:
        """Return the wrong layer beside its reference."""
        if self.made is not None:
            return self.made()
        row = LAYERS[self.layer]
        return row.pair(edited(row.layer, self.edits))


def edited(layer: type, edits: tuple[tuple[str, str], ...]) -> type:
    """Return a layer with parts of its source replaced; each part has to be there."""
    source = inspect.getsource(layer)
    for before, after in edits:
        if before not in source:
            raise ValueError(f"{layer.__name__} has no {before!r}")
        source = source.replace(before, after)
    names: dict[str, Any] = dict(vars(sys.modules[layer.__module__]))
    exec(compile(textwrap.dedent(source), f"<{layer.__name__}>", "exec"), names)  # noqa: S102 - the project's own source
    made: type = names[layer.__name__]
    return made


def _weighted_cross_entropy(x: Array, y: Array) -> tuple[Array, Array]:
    weight = WEIGHT.astype(x.dtype)[y]
    shifted = x - x.max(axis=1, keepdims=True)
    logarithms = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    rows = np.arange(len(y))
    loss = -(weight * logarithms[rows, y]).mean()
    gradient = np.exp(logarithms)
    gradient[rows, y] -= 1
    return loss, gradient * (weight / len(y))[:, None]


def _weighted() -> Pair:
    return Pair(LossFunction(_weighted_cross_entropy), nn.CrossEntropyLoss(weight=torch.tensor(WEIGHT)), shapes=[(6, 5)], name="weighted")


def _softplus() -> Pair:
    functions = Functions(lambda x: (np.log(1 + np.exp(x)), x), lambda dout, x: dout * (0.5 * (1 + np.tanh(0.5 * x))))
    return Pair(functions, lambda x: torch.logaddexp(torch.zeros_like(x), x), shapes=[(4, 7)], framework="torch", name="softplus")


MISTAKES = (
    Mistake(
        "scores divided by d",
        "in forward, scores: q @ k.T is divided by 3, not by sqrt(3) = 1.73205; yours: q @ k.T / 3; right: q @ k.T / 1.73205",
        at="output",
        layer="causal attention",
        edits=(("/ math.sqrt(q.shape[-1])\n        ahead", "/ q.shape[-1]\n        ahead"),),
    ),
    Mistake(
        "heads split without a transposition",
        "in forward: q is reshaped where its axes have to be transposed (in 4 places alike); yours: v; right: transpose(v, (0, 2, 1, 3))",
        at="output",
        layer="attention in heads",
        edits=(
            ("x.reshape(n, length, self.heads, dim // self.heads).transpose(0, 2, 1, 3)", "x.reshape(n, self.heads, length, dim // self.heads)"),
            ("x.transpose(0, 2, 1, 3).reshape(n, length, heads * size)", "x.reshape(n, length, heads * size)"),
        ),
    ),
    Mistake(
        "unbiased variance",
        "in forward, variance: the variance is divided by n - 1 = 5, not by n = 6; yours: sum((x - mean)**2, axis=2) / (n - 1); right: mean((x - mean)**2, axis=2)",
        at="output",
        layer="layer norm",
        edits=(("((x - mean) ** 2).mean(axis=-1, keepdims=True)", "x.var(axis=-1, keepdims=True, ddof=1)"),),
    ),
    Mistake(
        "gain left out of the input gradient",
        "in backward, the gradient of normalised x through normalised x * weight: the factor weight is left out; yours: grad(normalised x * weight); right: grad(normalised x * weight) * weight",
        at="grad_input",
        layer="layer norm",
        edits=(("d = dout * self.gamma", "d = dout"),),
    ),
    Mistake(
        "epsilon added to the root",
        "in forward, standard deviation: 1e-05 is added after the sqrt, not before it; yours: sqrt(variance) + 1e-05; right: sqrt(variance + 1e-05)",
        at="output",
        layer="layer norm",
        edits=(("np.sqrt(var + eps)", "np.sqrt(var) + eps"),),
    ),
    Mistake(
        "another epsilon",
        "in forward: epsilon is 1e-08, not 1e-05; yours: variance + 1e-08; right: variance + 1e-05",
        at="output",
        layer="layer norm",
        edits=(("eps = 1e-5", "eps = 1e-8"),),
    ),
    Mistake(
        "a tiny epsilon",
        "in forward: epsilon is 1e-12, not 1e-05; yours: variance + 1e-12; right: variance + 1e-05",
        at="output",
        layer="layer norm",
        edits=(("eps = 1e-5", "eps = 1e-12"),),
    ),
    Mistake(
        "mean of the gradient not subtracted",
        "in backward of the normalisation: mean(grad(normalised x), axis=2) is not subtracted; yours: grad(normalised x); right: grad(normalised x) - mean(grad(normalised x), axis=2)",
        at="grad_input",
        layer="layer norm",
        edits=(("d - d.mean(axis=-1, keepdims=True) - normal", "d - normal"),),
    ),
    Mistake(
        "mean square over the batch",
        "in forward, mean square: the mean square is taken over axis 0, not over axis 2; yours: mean(x**2, axis=0); right: mean(x**2, axis=2)",
        at="output",
        layer="RMS norm",
        edits=(("x**2, axis=-1", "x**2, axis=0"),),
    ),
    Mistake(
        "groups interleaved",
        "in forward, variance: the normalisation is taken over axes 1, 3 and 4, not over axes 2, 3 and 4",
        at="output",
        layer="group norm",
        edits=(
            (
                "grouped = x.reshape(n, self.groups, -1)",
                "grouped = x.reshape(n, c // self.groups, self.groups, h * w).transpose(0, 2, 1, 3).reshape(n, self.groups, -1)",
            ),
            (
                "out = self.normal.reshape(n, c, h, w)",
                "out = self.normal.reshape(n, self.groups, c // self.groups, h * w).transpose(0, 2, 1, 3).reshape(n, c, h, w)",
            ),
            (
                "normal = self.normal\n        self.dgamma = (dout * normal.reshape(n, c, h, w))",
                "g = self.groups\n        turned = lambda a: a.reshape(n, c // g, g, h * w).transpose(0, 2, 1, 3).reshape(n, g, -1)\n        back = lambda a: a.reshape(n, g, c // g, h * w).transpose(0, 2, 1, 3).reshape(n, c, h, w)\n        normal = self.normal\n        self.dgamma = (dout * back(normal))",
            ),
            ("d = (dout * self.gamma.reshape(1, c, 1, 1)).reshape(n, self.groups, -1)", "d = turned(dout * self.gamma.reshape(1, c, 1, 1))"),
            ("return dx.reshape(n, c, h, w)", "return back(dx)"),
        ),
    ),
    Mistake(
        "repeated ids overwrite each other",
        "in backward, the gradient of weight through weight[ids]: repeated indices overwrite each other; their gradients have to be added up; yours: zeros[ids] = grad_output; right: zeros[ids] += grad_output",
        at="weight.grad",
        layer="embedding",
        edits=(("+= dout[i, t]", "= dout[i, t]"),),
    ),
    Mistake(
        "digits of a constant exchanged",
        "in forward: the factor is 0.044175, not 0.044715; yours: 0.044175 * x**3; right: 0.044715 * x**3",
        at="output",
        layer="GELU",
        edits=(("0.044715", "0.044175"),),
    ),
    Mistake(
        "reset gate's gradient from the state",
        "in backward, the gradient of reset gate through reset gate * h part of the new gate: hidden state of the step before stands for h part of the new gate",
        at="grad_input",
        layer="GRU",
        edits=(("dr = dc * g * r", "dr = dc * h * r"),),
    ),
    Mistake(
        "path through the update gate left out",
        "in backward, the gradient of hidden state through update gate * hidden state: this part of the gradient is left out",
        at="grad_input",
        layer="GRU",
        edits=(("dh_next += dh * z", "pass"),),
    ),
    Mistake(
        "forget gate without a gradient",
        "in backward, the gradient of forget gate through forget gate * cell state: this part of the gradient is left out",
        at="grad_input",
        layer="LSTM",
        edits=(("df = dc * c * f * (1 - f)", "df = 0 * c"),),
    ),
    Mistake(
        "cell's gradient not multiplied by the forget gate",
        "in backward, the gradient of cell state through forget gate * cell state: the factor forget gate is left out; yours: grad(forget gate * cell state); right: grad(forget gate * cell state) * forget gate",
        at="grad_input",
        layer="LSTM",
        edits=(("dc = dc * f", "dc = dc"),),
    ),
    Mistake(
        "gates in another order",
        "in forward, pre-activation of the forget gate: the pieces of pre-activations are taken in the order input gate, cell candidate, output gate, forget gate; the order is input gate, forget gate, cell candidate, output gate",
        at="output",
        layer="LSTM",
        edits=(
            ("f = self.sigmoid(a[:, m : 2 * m])", "o = self.sigmoid(a[:, m : 2 * m])"),
            ("g = np.tanh(a[:, 2 * m : 3 * m])", "f = self.sigmoid(a[:, 2 * m : 3 * m])"),
            ("o = self.sigmoid(a[:, 3 * m :])", "g = np.tanh(a[:, 3 * m :])"),
            ("[di, df, dg, do]", "[di, do, df, dg]"),
        ),
    ),
    Mistake(
        "gradient of the next step not added",
        "in backward of tanh(... + bias_ih_l0 + ... + bias_hh_l0): one part of the gradient replaces the other; they have to be added up; yours: grad_output[:, 1]; right: grad_output[:, 1] + grad(hidden state @ weight_hh_l0.T) @ weight_hh_l0",
        at="grad_input",
        layer="RNN",
        edits=(("dh += dh_next", "pass"),),
    ),
    Mistake(
        "weight gradient from the state after",
        "in backward, the gradient of weight_hh_l0.T through hidden state @ weight_hh_l0.T: hidden state of the step after stands for hidden state",
        at="weight_hh_l0.grad",
        layer="RNN",
        edits=(("da.T @ self.h[t]", "da.T @ self.h[t + 1]"),),
    ),
    Mistake(
        "weight gradient overwritten in each step",
        "in backward of weight_ih_l0.T: the gradient of weight_ih_l0.T holds the part of the first step alone; the parts of all 4 steps have to be added up",
        at="weight_ih_l0.grad",
        layer="RNN",
        edits=(("self.dW_x += da.T", "self.dW_x = da.T"),),
    ),
    Mistake(
        "diagonal of the Jacobian alone",
        "in backward of the softmax: the sum over axis 1 is left out; yours: grad_output * probabilities; right: sum(grad_output * probabilities, axis=1)",
        at="grad_input",
        layer="softmax",
        edits=(("self.p * (dout - inner)", "dout * self.p * (1 - self.p)"),),
    ),
    Mistake(
        "sum over the batch",
        "in forward, sum of exponentials: the sum of exponentials is taken over axis 0, not over axis 1; yours: sum(exponentials, axis=0); right: sum(exponentials, axis=1)",
        at="output",
        layer="softmax",
        edits=(("e.sum(axis=1, keepdims=True)", "e.sum(axis=0, keepdims=True)"),),
    ),
    Mistake(
        "sum of the gradient left out",
        "in backward of the log-softmax: the factor sum(grad_output, axis=1) is left out; yours: probabilities; right: probabilities * sum(grad_output, axis=1)",
        at="grad_input",
        layer="log-softmax",
        edits=(("p * dout.sum(axis=1, keepdims=True)", "p"),),
    ),
    Mistake(
        "upstream gradient ignored",
        "the upstream gradient is ignored, as if it were 1: multiply the input gradient by grad_output, the gradient that backward is given",
        at="grad_input",
        layer="cross-entropy",
        edits=(("return dx * dout", "return dx"),),
    ),
    Mistake(
        "not divided by the batch size",
        "in backward of the cross-entropy: probabilities - target is not divided by 4; yours: probabilities - target; right: (probabilities - target) / 4",
        at="grad_input",
        layer="cross-entropy",
        edits=(("dx /= n", "pass"),),
    ),
    Mistake(
        "two forgotten",
        "in backward, the gradient of prediction - target through (prediction - target)**2: the factor 2 is left out; yours: prediction - target; right: 2 * (prediction - target)",
        at="grad_input",
        layer="MSE",
        edits=(("dout * 2 * self.error", "dout * self.error"),),
    ),
    Mistake(
        "sigmoid differentiated twice",
        "in backward, the gradient of x through the binary-cross-entropy: the derivative of sigmoid is multiplied in once too often",
        at="grad_input",
        layer="BCE with logits",
        edits=(("(p - t)", "(p - t) * p * (1 - p)"),),
    ),
    Mistake(
        "statistics taken for constants",
        "mean and variance are treated as constants, as if they did not depend on the input",
        at="grad_input",
        layer="batch norm",
        edits=(("d = d - d.mean(axis=(0, 2, 3), keepdims=True) - normal * (d * normal).mean(axis=(0, 2, 3), keepdims=True)", "pass"),),
    ),
    Mistake(
        "means over the batch alone",
        "in backward of the normalisation: the means are taken over axis 0, not over axes 0, 2 and 3",
        at="grad_input",
        layer="batch norm",
        edits=(
            (
                "d.mean(axis=(0, 2, 3), keepdims=True) - normal * (d * normal).mean(axis=(0, 2, 3)",
                "d.mean(axis=0, keepdims=True) - normal * (d * normal).mean(axis=0",
            ),
        ),
    ),
    Mistake(
        "height and width exchanged",
        "in forward: columns @ weight.T + bias is reshaped to (2, 3, 1, 4), not to (2, 1, 3, 4)",
        at="output",
        layer="conv2d",
        edits=(("out.reshape(n, out_h, out_w, f)", "out.reshape(n, out_w, out_h, f)"),),
    ),
    Mistake(
        "kernel flipped",
        "the kernel is rotated by 180 degrees (convolution instead of cross-correlation)",
        at="output",
        layer="conv2d",
        edits=(("self.W.reshape(f, -1).T + self.b", "self.W[:, :, ::-1, ::-1].reshape(f, -1).T + self.b"),),
    ),
    Mistake(
        "derivative of the output left out",
        "in backward, the gradient of x through sigmoid(x): the factor sigmoid(x) is left out",
        at="grad_input",
        layer="sigmoid",
        edits=(("dout * self.out * (1 - self.out)", "dout * (1 - self.out)"),),
    ),
    Mistake(
        "another slope",
        "in forward: the constant is 0.3, not 0.1; yours: 0.3 * x; right: 0.1 * x",
        at="output",
        layer="leaky ReLU",
        edits=(("x * 0.1)", "x * 0.3)"),),
    ),
    Mistake(
        "weight gradient divided by the batch size",
        "in backward, the gradient of weight.T through x @ weight.T: this part of the gradient is divided by 3, the length of axis 0 of x, once too often",
        at="weight.grad",
        layer="dense",
        edits=(("self.dW = self.x.T @ dout", "self.dW = self.x.T @ dout / len(dout)"),),
    ),
    Mistake(
        "bias gradient averaged",
        "in backward, the gradient of bias through x @ weight.T + bias: the mean is taken, not the sum; yours: mean(grad_output, axis=0); right: sum(grad_output, axis=0)",
        at="bias.grad",
        layer="dense",
        edits=(("dout.sum(axis=0)", "dout.mean(axis=0)"),),
    ),
    Mistake(
        "second term of the product rule left out",
        "in backward of the silu: x * (1 - sigmoid(x)) is left out",
        at="grad_input",
        layer="SiLU",
        edits=(("(p + self.x * p * (1 - p))", "p"),),
    ),
    Mistake(
        "not divided by the window",
        "in backward, the gradient of windows(x) through mean(windows(x), axis=(4, 5)): grad_output is not divided by 9; yours: grad_output; right: grad_output / 9",
        at="grad_input",
        layer="average pool",
        edits=((" / (k * k)", ""),),
    ),
    Mistake(
        "divided by the number of samples, not by the sum of weights",
        "in forward: the number of terms, 6, is taken, not their sum; yours: 6; right: sum(weight[labels], axis=0)",
        at="output",
        made=_weighted,
    ),
    Mistake(
        "softplus by its formula",
        "log(1 + exp(x)) overflows for x above 710: use max(x, 0) + log1p(exp(-abs(x))), which cannot",
        at="output",
        made=_softplus,
    ),
)
"""The common mistakes."""
