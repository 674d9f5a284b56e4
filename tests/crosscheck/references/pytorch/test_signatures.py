"""What PyTorch's modules and functions take: each is called with the inputs that its signature says, and returns what it says."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from crosscheck.core.arguments import Case, Signature
from crosscheck.core.inputs import FAMILIES
from crosscheck.core.operation import Call
from crosscheck.oracles.theories import Measured
from crosscheck.pairs.cases import batch_axis
from crosscheck.references.pytorch import signatures
from crosscheck.references.pytorch.oracle import TorchOracle, signature

MODULES: dict[type[nn.Module], tuple[nn.Module, ...]] = {
    nn.Bilinear: (nn.Bilinear(3, 4, 5),),
    nn.Embedding: (nn.Embedding(6, 3), nn.Embedding(6, 3, padding_idx=-1)),
    nn.EmbeddingBag: (nn.EmbeddingBag(6, 3, padding_idx=2),),
    nn.RNNBase: (),
    nn.RNN: (nn.RNN(4, 3), nn.RNN(4, 3, num_layers=2, bidirectional=True, batch_first=True)),
    nn.GRU: (nn.GRU(4, 3, batch_first=True),),
    nn.LSTM: (nn.LSTM(4, 3), nn.LSTM(4, 3, proj_size=2, batch_first=True)),
    nn.RNNCell: (nn.RNNCell(4, 3),),
    nn.GRUCell: (nn.GRUCell(4, 3),),
    nn.LSTMCell: (nn.LSTMCell(4, 3),),
    nn.MultiheadAttention: (nn.MultiheadAttention(4, 2), nn.MultiheadAttention(4, 2, kdim=3, vdim=5, batch_first=True)),
    nn.TransformerDecoderLayer: (nn.TransformerDecoderLayer(4, 2, 6, dropout=0.0, batch_first=True),),
    nn.KLDivLoss: (nn.KLDivLoss(reduction="sum"), nn.KLDivLoss(reduction="batchmean", log_target=True)),
    nn.CrossEntropyLoss: (nn.CrossEntropyLoss(), nn.CrossEntropyLoss(ignore_index=1, label_smoothing=0.1, weight=torch.rand(3, dtype=torch.float64))),
}
"""Instances of the modules whose class cannot be created without arguments, or that have settings worth a row."""

FUNCTIONS = [
    *(function for function in signatures._FUNCTIONS if function is not functional.kl_div),
    functools.partial(functional.kl_div, log_target=True, reduction="batchmean"),
    functools.partial(functional.cross_entropy, ignore_index=2),
]
"""PyTorch's functions, and two with settings. The plain ``kl_div`` warns of its own default."""

AXES = {nn.Bilinear: 2, nn.RNNCell: 2, nn.GRUCell: 2, nn.LSTMCell: 2}


def references() -> list[Any]:
    made = [module for kind in signatures._MODULES for module in MODULES.get(kind, (kind(),) if kind not in MODULES else ())]
    return [*made, *FUNCTIONS]


def name_of(reference: Any) -> str:
    """Return a name that is the same in every process."""
    if isinstance(reference, functools.partial):
        return f"{reference.func.__name__}({', '.join(reference.keywords)})"
    return str(getattr(reference, "__name__", reference))[:60]


def called(reference: Any, known: Signature, count: int) -> int:
    """Return how many results a reference gives for the inputs that its signature says."""
    inputs = known.inputs(count)
    sizes = {
        axis: 2 + number for number, axis in enumerate(dict.fromkeys(axis for one in inputs.values() for axis in one.axes if isinstance(axis, str)))
    }
    rng = np.random.default_rng(0)
    drawn = {name: one.draw(rng, FAMILIES["normal"], sizes, np.float64) for name, one in inputs.items()}
    real = {name: value for name, value in drawn.items() if inputs[name].gradient}
    others = {name: value for name, value in drawn.items() if not inputs[name].gradient}
    params = {name: value.detach().numpy() for name, value in reference.double().named_parameters()} if isinstance(reference, nn.Module) else {}
    return len(TorchOracle(reference, Measured()).describe(Call(real, params, None, others, {}, tuple(drawn))))


@pytest.mark.parametrize("reference", references(), ids=name_of)
def test_reference_takes_what_its_signature_says(reference: Any) -> None:
    known = signature(reference)
    assert known is not None
    found = called(
        reference, known, AXES.get(type(reference), 2 if not isinstance(reference, nn.RNNBase | nn.MultiheadAttention | nn.Transformer) else 3)
    )
    assert found == len(known.outputs)


@pytest.mark.parametrize(("first", "place"), [(True, 0), (False, 1)])
def test_samples_of_a_recurrent_layer(first: bool, place: int) -> None:
    """By default the time comes first, whose length must not be taken for a number of samples."""
    known = signature(nn.RNN(4, 3, batch_first=first))
    assert known is not None
    inputs = known.inputs(3)
    case = Case(inputs, {"batch": 2, "time": 5})
    assert inputs["input"].axes[place] == batch_axis(case)


@pytest.mark.parametrize("module", [nn.LSTM(4, 3), nn.MultiheadAttention(4, 2), functional.scaled_dot_product_attention], ids=["LSTM", "MHA", "sdpa"])
def test_optional_inputs_may_be_left_out(module: Any) -> None:
    known = signature(module)
    assert known is not None
    required = Signature(lambda count: {name: one for name, one in known.inputs(count).items() if name not in known.optional}, known.outputs)
    assert called(module, required, 3) == len(known.outputs)


class Own(nn.CrossEntropyLoss):  # type: ignore[misc, unused-ignore]
    """A loss with a forward pass of its own, of which nothing is known."""

    def forward(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return x.sum() + target.sum()


@pytest.mark.parametrize("reference", [nn.Linear(3, 4), Own(), torch.tanh, lambda x: x], ids=["linear", "own", "tanh", "lambda"])
def test_nothing_is_known_of_others(reference: Any) -> None:
    assert signature(reference) is None
