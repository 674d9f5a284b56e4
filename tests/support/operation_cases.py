"""Operations of PyTorch whose terms are found by rules of their own, each with right ways to compute them that share no kernel with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import pi
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812 - its usual name

Way = Callable[[Any], Any]


@dataclass(frozen=True)
class Case:
    """A function of one tensor.

    Attributes
    ----------
    reference : callable
    shape : tuple of int
        Of the input.
    ways : mapping of str to callable
        Other right ways; PyTorch's own kernel in single precision is one for every case.
    families : tuple of str
        On which all of them are right in single precision.
    """

    reference: Way
    shape: tuple[int, ...]
    ways: Mapping[str, Way] = field(default_factory=dict)
    families: tuple[str, ...] = ("normal", "wide", "large", "tiny", "offset")


SIDES = torch.from_numpy(np.random.default_rng(5).standard_normal((6, 3)).astype(np.float32))
"""Right-hand sides of systems of equations."""


def sides(a: Any) -> Any:
    return SIDES.to(a.dtype)[: a.shape[-1]]


def parts(z: Any) -> Any:
    return torch.cat([z.real, z.imag], -1)


def by_matrix(x: Any) -> Any:
    """Return a Fourier transform as a product with cosines and sines."""
    angles = 2 * pi * torch.outer(torch.arange(x.shape[-1]), torch.arange(x.shape[-1])).double() / x.shape[-1]
    return torch.cat([x @ angles.cos().to(x.dtype), x @ -angles.sin().to(x.dtype)], -1)


def definite(x: Any) -> Any:
    """Return a matrix that is positive definite and well conditioned."""
    return x @ x.mT + x.shape[-1] * torch.eye(x.shape[-1], dtype=x.dtype)


def solved_by_qr(a: Any, b: Any) -> Any:
    q, r = torch.linalg.qr(a)
    return torch.linalg.solve_triangular(r, q.mT @ b, upper=True)


def column_by_column(a: Any) -> Any:
    columns: list[Any] = []
    for j in range(a.shape[-1]):
        left = a[..., :, j]
        for before in columns:
            left = left - before * before[..., j : j + 1]
        columns.append(left / left[..., j : j + 1].sqrt() * (torch.arange(a.shape[-1]) >= j))
    return torch.stack(columns, -1)


def along_last(x: Any, size: int) -> Any:
    positions = ((torch.arange(size, dtype=x.dtype) + 0.5) * (x.shape[-1] / size) - 0.5).clamp(min=0)
    first = positions.floor().long().clamp(max=x.shape[-1] - 1)
    second = (first + 1).clamp(max=x.shape[-1] - 1)
    return x[..., first] + (x[..., second] - x[..., first]) * (positions - first)


def grid_of(x: Any) -> Any:
    """Return positions, some of them outside, that depend on the input."""
    line = torch.linspace(-1.2, 1.2, 6, dtype=torch.float32).to(x.dtype)
    grid = torch.stack(torch.meshgrid(line, line, indexing="ij"), -1)
    return grid.expand(x.shape[0], -1, -1, -1) + 0.05 * torch.tanh(x[:, 0, 0, 0])[:, None, None, None]


def far_from(rows: Any, others: Any) -> Any:
    difference = rows[:, None] - others[None]
    return (difference * difference).sum(-1).sqrt()


def whole_sums(x: Any) -> Any:
    return torch.stack([torch.logsumexp(x[..., : k + 1], -1) for k in range(x.shape[-1])], -1)


def folded(x: Any) -> Any:
    total = x[..., :1]
    for k in range(1, x.shape[-1]):
        total = torch.logaddexp(total, x[..., k : k + 1])
    return x - total


def ctc(x: Any) -> Any:
    labels, lengths = torch.tensor([[1, 2, 2], [3, 1, 4]]), torch.tensor([3, 3])
    return F.ctc_loss(x.log_softmax(-1), labels, torch.tensor([9, 9]), lengths, reduction="none")


WELL_CONDITIONED = ("normal", "large", "tiny")
SQUARES_IN_RANGE = ("normal", "wide", "large", "offset")

CASES: Mapping[str, Case] = {
    "fft": Case(lambda x: parts(torch.fft.fft(x)), (3, 7), {"by a matrix": by_matrix}),
    "rfft": Case(lambda x: parts(torch.fft.rfft(x)), (2, 32)),
    "irfft": Case(lambda x: torch.fft.irfft(torch.complex(x[..., :9], x[..., 9:])), (3, 18)),
    "fft2": Case(lambda x: torch.fft.fft2(x).abs(), (2, 6, 5), {"axis by axis": lambda x: torch.fft.fft(torch.fft.fft(x, dim=-2), dim=-1).abs()}),
    "stft": Case(lambda x: torch.stft(x, 8, window=torch.ones(8, dtype=x.dtype), return_complex=True).abs(), (2, 40)),
    "interpolate linear": Case(lambda x: F.interpolate(x, size=11, mode="linear"), (2, 3, 7), {"written out": lambda x: along_last(x, 11)}),
    "interpolate bilinear": Case(
        lambda x: F.interpolate(x, size=(61, 83), mode="bilinear"),
        (1, 1, 40, 37),
        {"axis by axis": lambda x: along_last(along_last(x, 83).mT, 61).mT},
    ),
    "interpolate trilinear": Case(lambda x: F.interpolate(x, size=(5, 6, 7), mode="trilinear", align_corners=True), (1, 2, 4, 4, 3)),
    "interpolate bicubic": Case(lambda x: F.interpolate(x, scale_factor=1.6, mode="bicubic"), (2, 3, 7, 8)),
    "interpolate antialias": Case(lambda x: F.interpolate(x, size=(4, 5), mode="bilinear", antialias=True), (2, 3, 7, 8)),
    "interpolate bicubic antialias": Case(lambda x: F.interpolate(x, size=(4, 13), mode="bicubic", antialias=True), (2, 3, 7, 8)),
    "interpolate nearest": Case(lambda x: F.interpolate(x, scale_factor=1.7), (2, 3, 4, 4)),
    "grid sample": Case(lambda x: F.grid_sample(x, grid_of(x), align_corners=False), (2, 3, 5, 6), families=("normal", "large", "offset")),
    "grid sample reflected": Case(
        lambda x: F.grid_sample(x, grid_of(x), padding_mode="reflection", align_corners=True), (2, 3, 5, 6), families=("normal", "large", "offset")
    ),
    "inverse": Case(
        lambda x: torch.linalg.inv(definite(x)),
        (3, 5, 5),
        {"by qr": lambda x: solved_by_qr(definite(x), torch.eye(5, dtype=x.dtype))},
        ("normal", "large"),
    ),
    "solve": Case(
        lambda x: torch.linalg.solve(x, sides(x)), (3, 5, 5), {"by qr": lambda x: solved_by_qr(x, sides(x))}, ("normal", "large", "offset")
    ),
    "determinant": Case(torch.linalg.det, (3, 5, 5), {"backwards": lambda x: torch.linalg.det(x.flip(-1, -2))}, ("normal", "large", "offset")),
    "logarithm of the determinant": Case(
        lambda x: torch.linalg.slogdet(x)[1],
        (3, 5, 5),
        {"by qr": lambda x: torch.linalg.qr(x)[1].diagonal(dim1=-1, dim2=-2).abs().log().sum(-1)},
        ("normal", "large", "offset"),
    ),
    "cholesky": Case(
        lambda x: torch.linalg.cholesky(definite(x)), (3, 5, 5), {"by columns": lambda x: column_by_column(definite(x))}, ("normal", "large")
    ),
    "cholesky solve": Case(
        lambda x: torch.cholesky_solve(sides(x), torch.linalg.cholesky(definite(x))),
        (3, 5, 5),
        {"by elimination": lambda x: torch.linalg.solve(definite(x), sides(x))},
        ("normal", "large"),
    ),
    "triangular solve": Case(lambda x: torch.linalg.solve_triangular(x.tril() + 3 * torch.eye(5, dtype=x.dtype), sides(x), upper=False), (3, 5, 5)),
    "qr": Case(lambda x: torch.linalg.qr(x)[0], (3, 6, 4), families=("normal", "large", "tiny", "offset")),
    "singular values": Case(
        torch.linalg.svdvals, (3, 6, 4), {"transposed": lambda x: torch.linalg.svdvals(x.mT)}, ("normal", "large", "tiny", "offset")
    ),
    "eigenvalues": Case(
        lambda x: torch.linalg.eigvalsh(x + x.mT), (3, 5, 5), {"backwards": lambda x: torch.linalg.eigvalsh((x + x.mT).flip(-1, -2))}
    ),
    "eigenvalues, not symmetric": Case(lambda x: torch.linalg.eigvals(x).abs().sort(-1)[0], (3, 5, 5)),
    "pseudoinverse": Case(torch.linalg.pinv, (3, 6, 4), {"by equations": lambda x: torch.linalg.solve(x.mT @ x, x.mT)}, ("normal", "large")),
    "least squares": Case(lambda x: torch.linalg.lstsq(x, SIDES.to(x.dtype).expand(3, 6, 3))[0], (3, 6, 4), families=("normal", "large", "offset")),
    "matrix exponential": Case(torch.linalg.matrix_exp, (3, 4, 4), families=("normal", "tiny")),
    "elimination": Case(lambda x: torch.linalg.lu(x)[2], (3, 5, 5), families=("normal", "large", "tiny", "offset")),
    "reflections": Case(lambda x: torch.linalg.householder_product(x, x[..., 0, :]), (3, 5, 4), families=("normal",)),
    "running product": Case(lambda x: x.cumprod(-1), (3, 7), families=("normal", "wide")),
    "product": Case(
        lambda x: x.prod(-1),
        (3, 5),
        {"backwards": lambda x: x[..., 0] * (x[..., 1] * (x[..., 2] * (x[..., 3] * x[..., 4])))},
        ("normal", "wide", "large"),
    ),
    "running logarithm": Case(lambda x: torch.logcumsumexp(x, -1), (3, 7), {"sum by sum": whole_sums}),
    "running maximum": Case(lambda x: x.cummax(-1)[0], (3, 7)),
    "distances": Case(lambda x: torch.cdist(x[:4], x[4:]), (9, 5), {"written out": lambda x: far_from(x[:4], x[4:])}),
    "distances of order 3": Case(lambda x: torch.cdist(x[:4], x[4:], p=3), (9, 5), families=SQUARES_IN_RANGE),
    "own distances": Case(F.pdist, (6, 5)),
    "batched product": Case(lambda x: torch.addbmm(x[0], x, x.mT), (3, 4, 4), {"sum by sum": lambda x: x[0] + sum(a @ a.T for a in x)}),
    "bag": Case(lambda x: F.embedding_bag(torch.tensor([[0, 1, 2], [2, 2, 3]]), x, mode="mean"), (4, 5)),
    "alignments": Case(ctc, (9, 2, 6), families=("normal", "tiny", "offset")),
    "adaptive average": Case(lambda x: F.adaptive_avg_pool3d(x, (2, 2, 2)), (2, 3, 5, 4, 3)),
    "group norm": Case(lambda x: F.group_norm(x, 2), (3, 4, 5)),
    "layer norm of three": Case(lambda x: F.layer_norm(x, (3,)), (40, 3)),
    "softplus": Case(F.softplus, (3, 7), {"by logaddexp": lambda x: torch.logaddexp(x, torch.zeros_like(x))}),
    "logarithm of softmax": Case(lambda x: F.log_softmax(x, -1), (3, 1000), {"by a fold of logaddexp": folded}),
    "elu": Case(F.elu, (3, 7)),
    "remainder": Case(lambda x: torch.remainder(x, 0.75), (3, 7), {"written out": lambda x: x - torch.floor(x / 0.75) * 0.75}),
    "digamma": Case(torch.digamma, (3, 7), families=("normal", "large", "offset")),
    "inverse error function": Case(lambda x: torch.erfinv(torch.tanh(x)), (3, 7), families=("normal",)),
    "log gamma": Case(torch.lgamma, (3, 7), families=("normal", "wide", "large", "offset")),
    "square root of squares": Case(lambda x: torch.complex(x, 2 * x).abs(), (3, 7), {"hypot": lambda x: torch.hypot(x, 2 * x)}, SQUARES_IN_RANGE),
}
