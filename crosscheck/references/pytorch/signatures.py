"""What PyTorch's own modules and functions take and return: their further inputs, the numbers that these hold, and the names of the results.

A module that is not listed here takes one input and returns one output, unless the declaration of a pair says more.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from crosscheck.core.arguments import DEFAULT_IGNORED, GivenSettings, Input, Inputs, Integers, Labels, Mask, Of, Signature, Target, axes_of

Make = Callable[[Any], Signature]
"""A function of a module, or of the keyword arguments of a function as attributes, that returns its signature."""


def signature_of(reference: object) -> Signature | None:
    """Return the signature of a module or function of PyTorch; None if it is not known."""
    if isinstance(reference, nn.Module):
        known = (make for kind, make in _MODULES.items() if isinstance(reference, kind) and type(reference).forward is kind.forward)
        return next((make(reference) for make in known), None)
    given: Mapping[str, Any] = {}
    if isinstance(reference, functools.partial) and not reference.args:
        given, reference = reference.keywords, reference.func
    make = _FUNCTIONS.get(reference) if callable(reference) else None
    return None if make is None else make(GivenSettings(given))


def passed(reference: object, arguments: Mapping[str, torch.Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the positional and the keyword arguments with which a reference gets inputs that are given by name, in order."""
    if isinstance(reference, nn.LSTM | nn.LSTMCell) and len(arguments) == _WITH_STATES:
        sequence, *states = arguments.values()
        return (sequence, tuple(states)), {}
    if isinstance(reference, nn.MultiheadAttention):
        # Between the two masks PyTorch's order has a setting; a mask of another name than PyTorch's is one of attention, unless it is called padding.
        three, masks = list(arguments.items())[:3], list(arguments.items())[3:]
        return tuple(value for _, value in three), {"key_padding_mask" if "pad" in name else "attn_mask": value for name, value in masks}
    by_name = {"per_sample_weights"} if isinstance(reference, nn.EmbeddingBag) else set()
    given = {name: value for name, value in arguments.items() if name not in by_name}
    return tuple(given.values()), {name: value for name, value in arguments.items() if name in by_name}


_WITH_STATES = 3
"""The number of inputs of an LSTM that gets its first states, which PyTorch takes as a tuple."""


def _classes(module: Any) -> Signature:
    """Return the signature of a loss of logits or log-probabilities, ``(batch, classes, ...)``, and labels, ``(batch, ...)``."""
    ignored = getattr(module, "ignore_index", None)

    def inputs(count: int) -> Inputs:
        axes = axes_of(count)
        classes, others = (axes[1], [axes[0], *axes[2:]]) if count > 1 else (axes[0], [])
        ignores = DEFAULT_IGNORED if ignored is None and not isinstance(module, nn.MultiMarginLoss) else ignored
        return {"input": Input(axes), "labels": Labels(others, below=classes, ignored=ignores)}

    return Signature(inputs)


def _alike(targets: Of | type[Input], of: Of = "real", name: str = "target") -> Make:
    """Return the signature of a loss of an input and of targets with the same shape; or of two inputs, if ``targets`` is :class:`Input`."""

    def inputs(count: int) -> Inputs:
        axes = axes_of(count)
        return {"input": Input(axes, of), name: Input(axes) if isinstance(targets, type) else Target(axes, targets)}

    return lambda module: Signature(inputs)


def _divergence(module: Any) -> Signature:
    targets: Of = "log-distribution" if module.log_target else "distribution"
    return _alike(targets, "log-distribution")(module)


def _gaussian(module: Any) -> Signature:
    return Signature(lambda count: {"input": Input(axes_of(count)), "target": Target(axes_of(count)), "var": Input(axes_of(count), "positive")})


def _triplet(module: Any) -> Signature:
    return Signature(lambda count: {name: Input(axes_of(count)) for name in ("anchor", "positive", "negative")})


def _ranking(module: Any) -> Signature:
    return Signature(lambda count: {"input1": Input(axes_of(count)), "input2": Input(axes_of(count)), "target": Target(axes_of(count), "sign")})


def _cosine(module: Any) -> Signature:
    return Signature(lambda count: {"input1": Input(axes_of(count)), "input2": Input(axes_of(count)), "target": Target(axes_of(count)[:-1], "sign")})


def _pair(module: Any) -> Signature:
    return Signature(lambda count: {"x1": Input(axes_of(count)), "x2": Input(axes_of(count))})


def _bilinear(module: nn.Bilinear) -> Signature:
    return Signature(
        lambda count: {
            "input1": Input([*axes_of(count)[:-1], module.in1_features]),
            "input2": Input([*axes_of(count)[:-1], module.in2_features]),
        }
    )


def _embedding(module: nn.Embedding | nn.EmbeddingBag) -> Signature:
    padding = [] if module.padding_idx is None else [module.padding_idx % module.num_embeddings]
    return Signature(lambda count: {"ids": Integers(axes_of(count), below=module.num_embeddings, also=padding)})


def _recurrent(module: nn.RNNBase) -> Signature:
    """Return the signature of a recurrent layer: a sequence and its first states, ``(layers, batch, features)``, which may be left out."""
    directions = 2 if module.bidirectional else 1
    states = ("h_0", "c_0") if isinstance(module, nn.LSTM) else ("h_0",)

    def inputs(count: int) -> Inputs:
        batch = [] if count == 2 else ["batch"]
        axes = [*batch, "time", module.input_size] if module.batch_first else ["time", *batch, module.input_size]
        if count != len(axes):
            raise IndexError
        sizes = dict.fromkeys(states, module.hidden_size) | ({"h_0": module.proj_size} if module.proj_size else {})
        return {"input": Input(axes)} | {name: Input([directions * module.num_layers, *batch, sizes[name]]) for name in states}

    return Signature(inputs, ("output", *(f"{name[0]}_n" for name in states)), states)


def _cell(module: nn.RNNCellBase) -> Signature:
    states = ("h_0", "c_0") if isinstance(module, nn.LSTMCell) else ("h_0",)

    def inputs(count: int) -> Inputs:
        batch = axes_of(count)[:-1]
        return {"input": Input([*batch, module.input_size])} | {name: Input([*batch, module.hidden_size]) for name in states}

    return Signature(inputs, ("h_1", "c_1") if len(states) > 1 else ("output",), states)


def _attention(module: nn.MultiheadAttention) -> Signature:
    """Return the signature of multi-head attention: query, key and value, and two masks, true for what is left out."""

    def inputs(count: int) -> Inputs:
        batch = [] if count == 2 else ["batch"]

        def sequence(length: str, features: int) -> Input:
            return Input([*batch, length, features] if module.batch_first else [length, *batch, features])

        key_dim, value_dim = module.kdim or module.embed_dim, module.vdim or module.embed_dim
        masks = {"key_padding_mask": Mask([*batch, "source"], hidden=True), "attn_mask": Mask(["target", "source"], hidden=True)}
        return {
            "query": sequence("target", module.embed_dim),
            "key": sequence("source", key_dim),
            "value": sequence("source", value_dim),
            **masks,
        }

    return Signature(inputs, ("output", "weights"), ("key_padding_mask", "attn_mask"))


def _product_attention(settings: Any) -> Signature:
    def inputs(count: int) -> Inputs:
        batch = [f"batch{number}" for number in range(count - 2)]
        return {
            "query": Input([*batch, "target", "features"]),
            "key": Input([*batch, "source", "features"]),
            "value": Input([*batch, "source", "value_features"]),
            "attn_mask": Mask(["target", "source"]),
        }

    return Signature(inputs, optional=("attn_mask",))


def _two_sequences(module: Any) -> Signature:
    """Return the signature of a transformer's decoder: a target sequence, and the memory that an encoder put out."""
    features = module.norm1.normalized_shape[0]
    first = module.self_attn.batch_first

    def inputs(count: int) -> Inputs:
        def sequence(length: str) -> Input:
            return Input(["batch", length, features] if first else [length, "batch", features])

        return {"tgt": sequence("target"), "memory": sequence("source")}

    return Signature(inputs)


_MODULES: Mapping[type[nn.Module], Make] = {
    nn.CrossEntropyLoss: _classes,
    nn.NLLLoss: _classes,
    nn.MultiMarginLoss: _classes,
    nn.MSELoss: _alike("real"),
    nn.L1Loss: _alike("real"),
    nn.SmoothL1Loss: _alike("real"),
    nn.HuberLoss: _alike("real"),
    nn.PoissonNLLLoss: _alike("positive"),
    nn.BCELoss: _alike("unit", "unit"),
    nn.BCEWithLogitsLoss: _alike("unit"),
    nn.MultiLabelSoftMarginLoss: _alike("unit"),
    nn.SoftMarginLoss: _alike("sign"),
    nn.HingeEmbeddingLoss: _alike("sign"),
    nn.KLDivLoss: _divergence,
    nn.GaussianNLLLoss: _gaussian,
    nn.TripletMarginLoss: _triplet,
    nn.MarginRankingLoss: _ranking,
    nn.CosineEmbeddingLoss: _cosine,
    nn.CosineSimilarity: _pair,
    nn.PairwiseDistance: _pair,
    nn.Bilinear: _bilinear,
    nn.Embedding: _embedding,
    nn.EmbeddingBag: _embedding,
    nn.RNNBase: _recurrent,
    nn.RNN: _recurrent,
    nn.GRU: _recurrent,
    nn.LSTM: _recurrent,
    nn.RNNCell: _cell,
    nn.GRUCell: _cell,
    nn.LSTMCell: _cell,
    nn.MultiheadAttention: _attention,
    nn.TransformerDecoderLayer: _two_sequences,
}

_FUNCTIONS: Mapping[Any, Make] = {
    functional.cross_entropy: _classes,
    functional.nll_loss: _classes,
    functional.multi_margin_loss: lambda settings: _classes(nn.MultiMarginLoss()),
    functional.mse_loss: _alike("real"),
    functional.l1_loss: _alike("real"),
    functional.smooth_l1_loss: _alike("real"),
    functional.huber_loss: _alike("real"),
    functional.poisson_nll_loss: _alike("positive"),
    functional.binary_cross_entropy: _alike("unit", "unit"),
    functional.binary_cross_entropy_with_logits: _alike("unit"),
    functional.multilabel_soft_margin_loss: _alike("unit"),
    functional.soft_margin_loss: _alike("sign"),
    functional.hinge_embedding_loss: _alike("sign"),
    functional.kl_div: _divergence,
    functional.gaussian_nll_loss: _gaussian,
    functional.triplet_margin_loss: _triplet,
    functional.margin_ranking_loss: _ranking,
    functional.cosine_embedding_loss: _cosine,
    functional.cosine_similarity: _pair,
    functional.pairwise_distance: _pair,
    functional.scaled_dot_product_attention: _product_attention,
}
