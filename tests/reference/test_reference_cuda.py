"""References on a GPU: layers judged by oracles there, and a short training in lock-step beside one. Skipped, and said so, where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import numpy as np
import pytest
import torch
from compare_training import main

from crosscheck.core.check_layer import check_layer
from crosscheck.core.judge import Verdict
from crosscheck.core.precision import Precision
from crosscheck.references.pytorch.oracle import oracle
from crosscheck.report import html as pages
from reference.pytorch import twin
from tests.support.layer_runs import Run, call_of, elements, made, subject_of


def jax_has_cuda() -> bool:
    """Return whether JAX is the one for CUDA, and a GPU is there."""
    try:
        return bool(jax.devices("cuda"))
    except RuntimeError:
        return False


on_pytorch = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: PyTorch on CUDA is not checked here")
on_jax = pytest.mark.skipif(not jax_has_cuda(), reason="no CUDA device: JAX and Keras on CUDA are not checked here")

LAYERS = ("conv2d-s2p1", "conv2d-g2", "maxpool2d-3s2p1", "avgpool2d-2", "relu-4d", "gelu", "logsoftmax", "linear", "softmaxcrossentropy")


@on_pytorch
@pytest.mark.parametrize("family", ["normal", "digits"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", LAYERS)
def test_layer(case: str, dtype: str, family: str) -> None:
    """The oracle on the GPU says of every quantity what the one on the CPU says: rounding explains it."""
    run = Run(case, 3, family, dtype, 0)
    on_gpu = oracle(twin(made(case)), "cuda")
    check = check_layer(subject_of(case), on_gpu, call_of(run), Precision(np.dtype(dtype), elements()), case)
    assert {judgement.place.quantity: judgement.reason for judgement in check.judgements if judgement.verdict is not Verdict.MATCH} == {}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("framework", "network"),
    [
        pytest.param("torch", "tutorial", marks=on_pytorch, id="torch-tutorial"),
        pytest.param("torch", "batchnorm-cnn", marks=on_pytorch, id="torch-batchnorm-cnn"),
        pytest.param("jax", "tutorial", marks=on_jax, id="jax-tutorial"),
        pytest.param("jax", "batchnorm-cnn", marks=on_jax, id="jax-batchnorm-cnn"),
        pytest.param("keras", "tutorial", marks=on_jax, id="keras-tutorial"),
    ],
)
def test_training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, framework: str, network: str, dtype: str) -> None:
    """Every link of every step holds, end to end and beside references that train on the GPU."""
    monkeypatch.setattr(pages, "render", lambda facts: "")
    small = ["--steps", "5", "--batch-size", "8", "--train-size", "40", "--test-size", "20", "--perturbed", "2"]
    status = main(["--device", "cuda", "--reference", framework, "--network", network, "--dtype", dtype, *small, "--out", str(tmp_path)])
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert status == 0
    assert report["environment"]["device"].startswith("cuda")
    assert report["environment"]["tf32"] == "off"
