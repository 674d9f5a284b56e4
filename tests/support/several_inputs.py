"""Layers and losses of several inputs beside PyTorch's: right ones, and the mistakes that their further inputs show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from crosscheck import Input, Integers, Labels, LossFunction, Mask, Pair, Target
from crosscheck.core.precision import Array
from tests.textbook.several_inputs import (
    AbsoluteError,
    BatchedProduct,
    BinaryError,
    ColumnError,
    CrossEntropy,
    Divergence,
    Embedding,
    MaskedMean,
    RankingLoss,
    ScaledFeatures,
    SharedProduct,
    SquaredError,
    Truth,
    Whole,
)

Kind = type[Any]
SIZES = {"batch": 5, "time": 5, "classes": 3, "features": 6, "rows": 2, "inner": 3, "columns": 4}


@dataclass(frozen=True)
class Wrong:
    """A mistake, and where it shows first: one of these quantities."""

    kind: Kind
    at: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """A right implementation, how a class like it is declared, and wrong ones."""

    right: Kind
    pair: Callable[[Kind], Pair]
    wrong: tuple[Wrong, ...] = ()


def _sizes(inputs: Mapping[str, Any]) -> dict[str, int]:
    """Return the sizes of the axes that the inputs name."""
    patterns = " ".join(f"{getattr(one, 'shape', one)} {getattr(one, 'below', '')}" for one in inputs.values())
    return {name: size for name, size in SIZES.items() if name in patterns.split()}


def _layer(make: Callable[[Kind], Any], reference: Any, **inputs: Any) -> Callable[[Kind], Pair]:
    return lambda kind: Pair(make(kind), reference, inputs=inputs, sizes=_sizes(inputs), framework="torch", name=kind.__name__)


def _loss(make: Callable[[Kind], Any], reference: Any, **inputs: Any) -> Callable[[Kind], Pair]:
    return _layer(lambda kind: LossFunction(make(kind).loss), reference, **inputs)


# Cross-entropy: labels that are ignored, and classes with weights.


class IgnoredLabelsCounted(CrossEntropy):
    """The mean divides by the number of all labels."""

    def divisor(self, weight: Array, kept: Truth) -> Any:
        return kept.size


class AllIgnoredIsZero(CrossEntropy):
    """If every label is ignored, the loss is 0, where the reference's is not a number."""

    def divisor(self, weight: Array, kept: Truth) -> Any:
        return weight.sum() or 1


class IgnoredLabelsAreClassZero(CrossEntropy):
    """An ignored label is taken for the first class."""

    def weights(self, classes: Whole, kept: Truth, count: int) -> Array:
        return super().weights(classes, np.ones_like(kept), count)

    def gets_a_gradient(self, kept: Truth) -> Truth:
        return np.ones_like(kept)


class GradientOfIgnoredLabels(CrossEntropy):
    """The loss leaves ignored labels out, the gradient takes them for the first class."""

    def loss(self, logits: Array, labels: Whole) -> tuple[Array, Array]:
        _, grad = IgnoredLabelsAreClassZero(self.class_weight, self.summed, self.ignored).loss(logits, labels)
        return super().loss(logits, labels)[0], grad


class DividedByTheCount(CrossEntropy):
    """The weighted losses are divided by the number of labels that are kept, not by the sum of their weights."""

    def divisor(self, weight: Array, kept: Truth) -> Any:
        return kept.sum()


class WeightsLeftOut(CrossEntropy):
    """The weights are not used at all."""

    def weights(self, classes: Whole, kept: Truth, count: int) -> Array:
        return kept.astype(np.float64)


WEIGHTS = (0.3125, 2.1875, 1.0625)
LOSS, GRAD = ("output", "loss"), ("grad_input", "grad_input.input")
EITHER = LOSS + GRAD

# Embedding: ids that repeat, the first and the last one, and padding.


class LastOfEqualIdsWins(Embedding):
    """Of several places with one id only the last one's gradient is kept."""

    def add(self, grad: Array, ids: Whole, rows: Array) -> None:
        grad[ids] = rows


class EqualIdsAddedOnce(Embedding):
    """The same, written as a sum: ``grad[ids] += rows`` adds to each row once."""

    def add(self, grad: Array, ids: Whole, rows: Array) -> None:
        grad[ids] += rows


class PaddingIsTrained(Embedding):
    """The row of the padding gets a gradient."""

    def trained(self, ids: Whole) -> Truth:
        return np.ones_like(ids, dtype=bool)


class IdZeroIsPadding(Embedding):
    """The first id is taken for padding, though none is declared."""

    def trained(self, ids: Whole) -> Truth:
        return np.asarray(ids != 0)


class LastRowOutOfReach(Embedding):
    """Ids are clipped to one less than the last."""

    def looked_up(self, ids: Whole) -> Whole:
        return np.minimum(ids, len(self.params["weight"]) - 2)


# Losses with targets that have one axis less than the predictions.


def _broadcast(kind: type[ColumnError]) -> Kind:
    """Return the loss without the step that brings both to one shape: (n, 1) less (n,) is (n, n)."""

    def as_target(self: ColumnError, prediction: Array) -> Array:
        return prediction

    def gathered(self: ColumnError, slope: Array, shape: tuple[int, ...]) -> Array:
        return np.asarray(slope.sum(axis=-1, keepdims=True) if slope.ndim == len(shape) else slope.reshape(shape))

    return type(f"Broadcast{kind.__name__}", (kind,), {"as_target": as_target, "gathered": gathered})


def _column(loss: Callable[..., torch.Tensor]) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Return a loss of predictions with a last axis of one number, and targets without."""
    return lambda input, target: loss(input.squeeze(-1), target)  # noqa: A006 - PyTorch's name


class SideLeftOut(RankingLoss):
    """Both gradients have the same sign."""

    def both(self, share: Array) -> tuple[Array, Array]:
        return -share, -share


class MeanOverClasses(Divergence):
    """The sum is divided by the number of all elements."""

    def count(self, target: Array) -> int:
        return target.size


class HiddenStepsCounted(MaskedMean):
    """The sum over the steps that are kept is divided by the number of all."""

    def count(self, mask: Truth) -> Any:
        return mask.shape[1]


class MaskOfTheFirstSample(MaskedMean):
    """The steps of every sample are counted by the first sample's mask."""

    def count(self, mask: Truth) -> Any:
        return super().count(mask[:1])


class SecondGradientNotTransposed(BatchedProduct):
    """The gradient of B is A G, which has its shape where all matrices are square."""

    def of_b(self, grad_output: Array) -> Array:
        return np.asarray(self._a @ grad_output)


class SecondTakenForAConstant(BatchedProduct):
    """B gets no gradient."""

    def of_b(self, grad_output: Array) -> Array:
        return np.zeros_like(self._b)


class OneSampleGradient(SharedProduct):
    """The gradient of what all samples share is the first sample's."""

    def of_b(self, grad_output: Array) -> Array:
        return np.asarray(self._a[0].T @ grad_output[0])


class NotSummed(ScaledFeatures):
    """The factors' gradient has a row for each sample."""

    def summed(self, products: Array) -> Array:
        return products


class MeanForSum(ScaledFeatures):
    """The factors' gradient is the mean over samples."""

    def summed(self, products: Array) -> Array:
        return np.asarray(products.mean(axis=0))


def _cross_entropy(weight: tuple[float, ...] = (), summed: bool = False, ignored: int = -100, time: str = "") -> Callable[[Kind], Pair]:
    """Return how a cross-entropy is declared, all inputs by name; ``time`` is the name of a further axis."""
    module = nn.CrossEntropyLoss(torch.tensor(weight) if weight else None, ignore_index=ignored, reduction="sum" if summed else "mean")
    target = Labels(f"batch {time}", below="classes", ignored=ignored)
    return _loss(lambda kind: kind(weight, summed, ignored), module, input=f"batch classes {time}", target=target)


def _by_shape(ignored: int) -> Callable[[Kind], Pair]:
    """Return how a cross-entropy is declared by the shape of its logits: what the labels are the reference says."""
    module = nn.CrossEntropyLoss(ignore_index=ignored)
    return lambda kind: Pair(LossFunction(kind((), False, ignored).loss), module, shapes=[(6, 4)], name=kind.__name__)


def _embedding(padding: int | None = None, ids: str = "batch time") -> Callable[[Kind], Pair]:
    module = nn.Embedding(7, 3, padding_idx=padding)
    return _layer(lambda kind: kind(7, 3, -1 if padding is None else padding), module, ids=Integers(ids, below=7))


CASES: dict[str, Case] = {
    "cross-entropy": Case(
        CrossEntropy,
        _by_shape(-1),
        (
            Wrong(IgnoredLabelsCounted, LOSS),
            Wrong(AllIgnoredIsZero, LOSS),
            Wrong(IgnoredLabelsAreClassZero, LOSS),
            Wrong(GradientOfIgnoredLabels, GRAD),
        ),
    ),
    "cross-entropy that ignores -100": Case(CrossEntropy, _by_shape(-100), (Wrong(IgnoredLabelsCounted, LOSS),)),
    "cross-entropy that ignores class 0": Case(
        CrossEntropy, _by_shape(0), (Wrong(IgnoredLabelsCounted, LOSS), Wrong(AllIgnoredIsZero, LOSS), Wrong(GradientOfIgnoredLabels, GRAD))
    ),
    "cross-entropy by name": Case(
        CrossEntropy, _cross_entropy(ignored=-1), (Wrong(IgnoredLabelsCounted, LOSS), Wrong(GradientOfIgnoredLabels, GRAD))
    ),
    "cross-entropy of a sequence": Case(
        CrossEntropy,
        _cross_entropy(ignored=-1, time="time"),
        (Wrong(IgnoredLabelsCounted, LOSS), Wrong(AllIgnoredIsZero, LOSS), Wrong(GradientOfIgnoredLabels, GRAD)),
    ),
    "cross-entropy, summed": Case(
        CrossEntropy, _cross_entropy(summed=True, ignored=-1), (Wrong(IgnoredLabelsAreClassZero, LOSS), Wrong(GradientOfIgnoredLabels, GRAD))
    ),
    "cross-entropy with weights": Case(
        CrossEntropy,
        _cross_entropy(WEIGHTS, ignored=-1),
        (Wrong(DividedByTheCount, LOSS), Wrong(WeightsLeftOut, LOSS), Wrong(IgnoredLabelsCounted, LOSS)),
    ),
    "cross-entropy with weights, summed": Case(CrossEntropy, _cross_entropy(WEIGHTS, summed=True, ignored=-1), (Wrong(WeightsLeftOut, LOSS),)),
    "embedding": Case(
        Embedding,
        _embedding(),
        (
            Wrong(LastOfEqualIdsWins, ("weight.grad",)),
            Wrong(EqualIdsAddedOnce, ("weight.grad",)),
            Wrong(IdZeroIsPadding, ("weight.grad",)),
            Wrong(LastRowOutOfReach, ("output",)),
        ),
    ),
    "embedding of one id a sample": Case(Embedding, _embedding(ids="batch"), (Wrong(EqualIdsAddedOnce, ("weight.grad",)),)),
    "embedding with padding": Case(Embedding, _embedding(padding=0), (Wrong(PaddingIsTrained, ("weight.grad",)),)),
    "squared error": Case(
        SquaredError,
        _loss(lambda kind: kind(), _column(functional.mse_loss), input="batch 1", target=Target("batch")),
        (Wrong(_broadcast(SquaredError), LOSS),),
    ),
    "absolute error of a sequence": Case(
        AbsoluteError,
        _loss(lambda kind: kind(), _column(functional.l1_loss), input="batch time 1", target=Target("batch time")),
        (Wrong(_broadcast(AbsoluteError), EITHER),),
    ),
    "binary cross-entropy": Case(
        BinaryError,
        _loss(lambda kind: kind(), _column(functional.binary_cross_entropy_with_logits), input="batch 1", target=Target("batch", of="unit")),
        (Wrong(_broadcast(BinaryError), LOSS),),
    ),
    "ranking": Case(
        RankingLoss,
        _loss(lambda kind: kind(), nn.MarginRankingLoss(0.5), first="batch", second="batch", side=Target("batch", of="sign")),
        (Wrong(SideLeftOut, ("grad_input.second",)),),
    ),
    "divergence": Case(
        Divergence,
        _loss(
            lambda kind: kind(),
            nn.KLDivLoss(reduction="batchmean"),
            input=Input("batch classes", of="log-distribution"),
            target=Target("batch classes", of="distribution"),
        ),
        (Wrong(MeanOverClasses, LOSS),),
    ),
    "masked mean": Case(
        MaskedMean,
        _layer(
            lambda kind: kind(),
            lambda x, mask: (x * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1),
            x="batch time features",
            mask=Mask("batch time"),
        ),
        (Wrong(HiddenStepsCounted, ("output",)), Wrong(MaskOfTheFirstSample, ("output",))),
    ),
    "batched product": Case(
        BatchedProduct,
        _layer(lambda kind: kind(), torch.bmm, a="batch rows inner", b="batch inner columns"),
        (Wrong(SecondTakenForAConstant, ("grad_input.b",)),),
    ),
    "batched product of square matrices": Case(
        BatchedProduct,
        _layer(lambda kind: kind(), torch.bmm, a="batch inner inner", b="batch inner inner"),
        (Wrong(SecondGradientNotTransposed, ("grad_input.b",)),),
    ),
    "product with a shared matrix": Case(
        SharedProduct,
        _layer(lambda kind: kind(), torch.matmul, a="batch rows inner", b="inner columns"),
        (Wrong(OneSampleGradient, ("grad_input.b",)),),
    ),
    "scaled features": Case(
        ScaledFeatures,
        _layer(lambda kind: kind(), torch.mul, x="batch features", factor="features"),
        (Wrong(NotSummed, ("grad_input.factor",)), Wrong(MeanForSum, ("grad_input.factor",))),
    ),
}
"""By name."""
