"""The table of naming styles: what is found and mapped by itself, what needs a line that the error suggests, and what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from crosscheck import Functions, Pair
from tests.support.conventional import Layer
from tests.support.naming import of_functions as functions
from tests.support.naming import style
from tests.support.naming.of_attributes import (
    Aliases,
    Called,
    Constant,
    Frozen,
    GradsDict,
    GradsDictWithD,
    InPlace,
    LeavesResults,
    LeavesResultsOfRelu,
    Methods,
    MethodsOfDicts,
    Momentum,
    OtherMethods,
    Property,
    Returns,
    ReturnsDict,
    Slots,
    TwoGradients,
    TwoWays,
    named,
)
from tests.support.naming.of_collections import (
    DictAndAttributes,
    DictOfDicts,
    DictOfObjects,
    EmptyLists,
    GeneratedPairs,
    ListOfObjects,
    Lists,
    ListsOfKinds,
    Objects,
    Pairs,
    Tuples,
    dicts,
)
from tests.support.naming.of_parts import (
    BatchNorm,
    Block,
    BlockModule,
    Collected,
    Deep,
    DenseOfDicts,
    InAttributes,
    InDict,
    InList,
    Shared,
    SharedModule,
    Wrong,
)

MLP = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))


@dataclass(frozen=True)
class Row:
    """A right layer beside its module."""

    subject: Callable[[], Any]
    module: nn.Module
    shape: tuple[int, ...]

    def pair(self, **declared: Any) -> Pair:
        """Return the pair with further declarations."""
        return Pair(**({"subject": self.subject(), "reference": self.module, "shapes": [self.shape]} | declared))


def of(kind: type[style.Style], layer: Layer = style.LINEAR) -> Row:
    """Return the row of a style."""
    return Row(lambda: kind(layer), layer.module, layer.shape)


def attributes(names: str, grads: str, layer: Layer = style.LINEAR, first: str = "missing") -> Row:
    """Return the row of a style of attributes."""
    return of(named(names, grads, first), layer)


FOUR = "W_q W_k W_v W_o", "dW_q dW_k dW_v dW_o"
INFERRED = {
    "dicts params, grads": of(dicts("params", "grads", "W b")),
    "dicts params, grads of zeros": of(dicts("params", "grads", "weight bias", empty=False)),
    "dicts parameters, gradients": of(dicts("parameters", "gradients", "W b")),
    "dicts parameters, grads with dW1": of(dicts("parameters", "grads", "W1 b1", "dW1 db1")),
    "dicts weights, d_weights": of(dicts("weights", "d_weights", "W b")),
    "dict params, attributes dW": of(DictAndAttributes),
    "lists": of(Lists),
    "lists, gradients empty": of(EmptyLists),
    "tuples": of(Tuples),
    "lists weights, biases": of(ListsOfKinds),
    "W, dW": attributes("W b", "dW db"),
    "W, dW of zeros": attributes("W b", "dW db", first="zeros"),
    "W, dW of None": attributes("W b", "dW db", first="None"),
    "W, dW written in place": of(InPlace),
    "private": attributes("_W _b", "_dW _db"),
    "weights, dweights": attributes("weights biases", "dweights dbiases"),
    "weights, d_weights": attributes("weights biases", "d_weights d_biases", first="None"),
    "weights, weights_grad": attributes("weights bias", "weights_grad bias_grad"),
    "weight, weight_grad": attributes("weight bias", "weight_grad bias_grad", style.SQUARE_AS_PYTORCH),
    "grad_W": attributes("W b", "grad_W grad_b", first="zeros"),
    "W_grad": attributes("W b", "W_grad b_grad"),
    "gradWeight": attributes("weight bias", "gradWeight gradBias"),
    "gradW": attributes("W b", "gradW gradb"),
    "gW": attributes("W b", "gW gb"),
    "delta_W": attributes("W b", "delta_W delta_b"),
    "dL_dW": attributes("W b", "dL_dW dL_db"),
    "kernel_gradient": attributes("kernel bias", "kernel_gradient bias_gradient"),
    "names in no list": attributes("W b", "slope_of_W_here slope_of_b_here"),
    "attributes, dict grads": of(GradsDict),
    "attributes, dict grads with dW": of(GradsDictWithD),
    "velocities beside": of(Momentum),
    "a constant beside": of(Constant),
    "methods of lists": of(Methods),
    "methods of dicts": of(MethodsOfDicts),
    "properties": of(Property),
    "slots": of(Slots),
    "lists out of date": of(Aliases),
    "output and dinputs": of(LeavesResults),
    "output and dinputs of a ReLU": Row(LeavesResultsOfRelu, nn.ReLU(), (4, 5)),
    "return dx, db, dW": of(Returns),
    "return dx, {dW, db}": of(ReturnsDict),
    "parameter objects": of(Objects),
    "list of parameter objects": of(ListOfObjects),
    "dict of parameter objects": of(DictOfObjects),
    "dict of dicts": of(DictOfDicts),
    "pairs": of(Pairs),
    "generated pairs": of(GeneratedPairs),
    "one square weight": attributes("weight", "dweight", style.SQUARE_ALONE),
    "square x @ W": attributes("W b", "dW db", style.SQUARE),
    "square x @ W.T": attributes("W b", "dW db", style.SQUARE_AS_PYTORCH),
    "convolution": attributes("filters biases", "dfilters dbiases", style.CONV),
    "convolution, kernel first": attributes("K b", "dK db", style.CONV_KERNEL_FIRST),
    "convolution, as many inputs as outputs": attributes("W b", "dW db", style.CONV_SQUARE),
    "convolution of one channel": attributes("filters bias", "grad_filters grad_bias", style.ONE_CHANNEL),
    "convolution of one channel without its axis": attributes("filters bias", "grad_filters grad_bias", style.ONE_CHANNEL_WITHOUT_AXIS),
    "gamma, beta": attributes("gamma beta", "dgamma dbeta", style.LAYER_NORM),
    "scale, shift": attributes("scale shift", "scale_grad shift_grad", style.LAYER_NORM),
    "statistics in params": Row(lambda: BatchNorm(3), nn.BatchNorm1d(3), (4, 3)),
    "recurrent Wx, Wh": attributes("Wx Wh bx bh", "dWx dWh dbx dbh", style.RECURRENT),
    "recurrent W_ih, W_hh": attributes("W_ih W_hh b_ih b_hh", "dW_ih dW_hh db_ih db_hh", style.RECURRENT),
    "recurrent U, W": attributes("U W b", "dU dW db", style.ELMAN),
    "recurrent W, U": attributes("W U b", "dW dU db", style.ELMAN),
    "attention x @ W_q": attributes(*FOUR, style.ATTENTION),
    "attention x @ W_q.T": attributes(*FOUR, style.ATTENTION_AS_PYTORCH),
    "layers in a list": Row(InList, MLP, (2, 5)),
    "layers in a list, with dicts": Row(lambda: InList(DenseOfDicts), MLP, (2, 5)),
    "layers in a dict": Row(InDict, MLP, (2, 5)),
    "layers in attributes": Row(InAttributes, MLP, (2, 5)),
    "layers in an object in an object": Row(Deep, MLP, (2, 5)),
    "arrays of layers in dicts": Row(Collected, MLP, (2, 5)),
    "one layer used twice": Row(Shared, SharedModule(), (2, 4)),
    "attention.W_q": Row(Block, BlockModule(), (2, 3, 4)),
    "functions weights, b": Row(lambda: Functions(functions.linear_forward, functions.linear_backward), nn.Linear(5, 3), (4, 5)),
    "functions inp, kernel": Row(
        lambda: Functions(functions.as_pytorch_forward, functions.as_pytorch_backward, cache=False), nn.Linear(4, 4, bias=False), (3, 4)
    ),
    "functions p, q": Row(lambda: Functions(functions.unnamed_forward, functions.unnamed_backward), nn.Linear(5, 3), (4, 5)),
}
"""Styles that need no declaration."""

ASKED = {
    "name of PyTorch, other order": (attributes("weight", "dweight", style.ALONE_TRANSPOSED), 1),
    "names of PyTorch, other order": (attributes("weight bias", "weight_grad bias_grad", style.SQUARE), 1),
    "names that say nothing, added": (attributes("p q r s", "dp dq dr ds", style.RECURRENT), 0),
    "one gradient too many": (of(Frozen), 0),
    "returned, of one shape": (of(Returns, style.LAYER_NORM), 1),
    "two gradients": (of(TwoGradients), 0),
    "forward_pass, backward_pass": (of(OtherMethods), 0),
    "__call__, backpropagate": (of(Called), 0),
    "backward and backprop": (of(TwoWays), 1),
    "functions with a setting": (
        Row(lambda: Functions(functions.scaled_forward, functions.scaled_backward), functions.ScaledLinear(5, 3), (4, 5)),
        0,
    ),
}
"""Styles that leave a question, and which of the lines that the error suggests answers it."""


def wrong(kind: type[style.Style], fault: str, layer: Layer = style.LINEAR) -> Row:
    """Return the row of a wrong twin."""
    return of(style.twin(kind, fault), layer)


WRONG = {
    "dicts params, grads": (wrong(dicts("params", "grads", "W b"), "doubled"), "weight.grad"),
    "dicts, square": (wrong(dicts("params", "grads", "W b"), "transposed", style.SQUARE), "weight.grad"),
    "dicts, one missing": (wrong(dicts("params", "grads", "W b"), "missing"), "bias.grad"),
    "dicts with dW1": (wrong(dicts("parameters", "grads", "W1 b1", "dW1 db1"), "missing"), "bias.grad"),
    "lists": (wrong(EmptyLists, "doubled"), "weight.grad"),
    "lists, square": (wrong(Lists, "transposed", style.SQUARE_AS_PYTORCH), "weight.grad"),
    "tuples": (wrong(Tuples, "doubled"), "weight.grad"),
    "lists weights, biases": (wrong(ListsOfKinds, "missing"), "bias.grad"),
    "W, dW": (wrong(named("W b", "dW db"), "missing"), "bias.grad"),
    "grad_W, square": (wrong(named("W b", "grad_W grad_b"), "transposed", style.SQUARE), "weight.grad"),
    "one square weight": (wrong(named("weight", "dweight"), "transposed", style.SQUARE_ALONE), "weight.grad"),
    "weights_grad": (wrong(named("weights bias", "weights_grad bias_grad"), "missing"), "bias.grad"),
    "names in no list": (wrong(named("W b", "slope_of_W slope_of_b"), "doubled"), "weight.grad"),
    "attributes, dict grads": (wrong(GradsDict, "missing"), "bias.grad"),
    "methods of lists": (wrong(Methods, "doubled"), "weight.grad"),
    "parameter objects": (wrong(Objects, "missing"), "bias.grad"),
    "dict of dicts": (wrong(DictOfDicts, "transposed", style.SQUARE), "weight.grad"),
    "pairs": (wrong(Pairs, "doubled"), "weight.grad"),
    "return dx, db, dW": (wrong(Returns, "doubled"), "weight.grad"),
    "return dx, {dW, db}": (wrong(ReturnsDict, "missing"), "bias.grad"),
    "output and dinputs": (wrong(LeavesResults, "doubled"), "weight.grad"),
    "lists out of date": (wrong(Aliases, "doubled"), "weight.grad"),
    "convolution of one channel": (wrong(named("filters b", "dfilters db"), "doubled", style.ONE_CHANNEL), "weight.grad"),
    "attention": (wrong(named(*FOUR), "transposed", style.ATTENTION), "q_proj.weight.grad"),
    "recurrent": (wrong(named("Wx Wh bx bh", "dWx dWh dbx dbh"), "missing", style.RECURRENT), "rnn.bias_hh_l0.grad"),
    "layers in attributes": (Row(lambda: InAttributes(Wrong), MLP, (2, 5)), "2.weight.grad"),
    "layers in a list": (Row(lambda: InList(Wrong, DenseOfDicts), MLP, (2, 5)), "0.weight.grad"),
    "attention.W_o": (Row(lambda: Block(Wrong), BlockModule(), (2, 3, 4)), "out_proj.weight.grad"),
    "functions": (Row(lambda: Functions(functions.linear_forward, functions.doubled_backward), nn.Linear(5, 3), (4, 5)), "weight.grad"),
}
"""Wrong twins, and the quantity that is wrong."""
