"""Three references in the main job: every network can be compared with all of them, and what cannot be is one line with the status 2."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import training.subjects
from compare_training import main

import reference.jax
from crosscheck.oracles.optimizers import SgdSettings
from scratch.networks import NETWORKS
from tests.support.comparison_runs import run

pytestmark = pytest.mark.xdist_group("compare-training-jury")  # one process with --dist loadgroup, in which XLA compiles once

ALL = ("--reference", "torch,jax,keras")
TUTORIAL = ("--steps", "2", "--batch-size", "2")
RUNNING_VARIANCE = {"batchnorm-cnn", "resnet-50-layers"}
"""Networks with batch normalisation, in which Keras has another convention."""


@pytest.mark.slow("each trains in three frameworks, the deepest for two minutes; one whose references differ is shown", default=["batchnorm-cnn"])
@pytest.mark.parametrize("network", sorted(NETWORKS))
def test_every_network_beside_all_references(tmp_path: Path, network: str) -> None:
    drawn = network == "batchnorm-cnn"
    done = run(("--network", network, "--steps", "2", "--batch-size", "2", *ALL), tmp_path, drawn=drawn)
    report = done.report
    assert (done.status, report["verdict"], done.errors) == (0, "match", "")
    names = [entry["name"] for entry in report["jury"]["references"]]
    assert [name.split()[0] for name in names] == ["PyTorch", "JAX", "Keras"]
    assert {entry["verdict_on_subject"] for entry in report["jury"]["references"]} == {"match"}
    assert len(report["jury"]["opinions"]) == 12
    named = [(entry["name"], one) for entry in report["jury"]["references"] for one in entry["conventions"]]
    assert [(name, one["name"]) for name, one in named] == [(names[2], "batch-norm-running-variance")] * (network in RUNNING_VARIANCE)
    for name, one in named:
        assert {where.rpartition(".")[2] for where in one["quantities"]} == {"running_var"}
        assert f"except for another convention of {name} (batch-norm-running-variance)" in report["headline"]
        said = f"{name} follows another convention than {names[0]} (batch-norm-running-variance): {one['in_words']}"
        assert said in done.text
        assert not drawn or said in done.page.text


def with_momentum(monkeypatch: pytest.MonkeyPatch, *modules: Any) -> None:
    """Give the networks of some frameworks a momentum that the subject does not have."""
    for module in modules:
        network = module.network

        def other(layers: Any, loss: Any, settings: SgdSettings, *rest: Any, network: Any = network) -> Any:
            return network(layers, loss, dataclasses.replace(settings, momentum=0.5), *rest)

        monkeypatch.setattr(module, "network", other)


def test_reference_that_is_wrong_is_not_excused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_momentum(monkeypatch, reference.jax)
    done = run((*TUTORIAL, "--reference", "torch,jax"), tmp_path)
    assert (done.status, done.report["verdict"]) == (2, "undecided")
    assert "the references do not agree: match by PyTorch" in done.report["headline"]
    assert done.report["jury"]["references"][1]["conventions"] == []


def test_subject_that_is_wrong_beside_all_references(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every reference has a momentum, and the subject forgets it."""
    with_momentum(monkeypatch, reference.jax, training.subjects.imported("torch"))
    done = run((*TUTORIAL, "--reference", "torch,jax"), tmp_path)
    assert (done.status, done.report["verdict"]) == (1, "mismatch")
    assert {entry["verdict_on_subject"] for entry in done.report["jury"]["references"]} == {"mismatch"}


@pytest.mark.parametrize(
    ("references", "complaint"),
    [
        pytest.param("torch,mxnet", "'mxnet' is not a known framework, expected some of torch, jax, keras, separated by commas", id="unknown"),
        pytest.param("torch,", "'' is not a known framework", id="none-after-the-comma"),
        pytest.param("torch,jax,torch", "torch,jax,torch: each framework once", id="twice"),
    ],
)
def test_wrong_references(capsys: pytest.CaptureFixture[str], references: str, complaint: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--reference", references])
    assert f"compare_training.py: error: argument --reference: {complaint}" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "pieces"),
    [
        pytest.param("--reference jax,torch --device cuda:99", ("--device: JAX cannot compute in float64 on device 'cuda:99'", "cpu"), id="device"),
        pytest.param("--reference torch,jax --tf32 --dtype float32", ("--tf32: TF32 is only for float32 on cuda",), id="tf32-on-cpu"),
        pytest.param("--subject article --reference torch,jax", ("--reference torch,jax", "torch alone", "--subject scratch"), id="article"),
        pytest.param("--network keras-mnist-cnn --momentum 0.5 --reference torch,jax", ("trained by Adadelta, which has none",), id="momentum"),
    ],
)
def test_combination_that_cannot_be(tmp_path: Path, arguments: str, pieces: tuple[str, ...]) -> None:
    refused(("--steps", "1", *arguments.split()), tmp_path, *pieces)


def refused(arguments: tuple[str, ...], folder: Path, *pieces: str) -> None:
    """Look at the one line in which a run is refused."""
    done = run(arguments, folder)
    assert done.status == 2
    assert done.errors.startswith("compare_training: ")
    assert done.errors.count("\n") == 1
    assert [piece for piece in pieces if piece not in done.errors] == []
    assert not list(folder.glob("report.*"))


def test_framework_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr("importlib.import_module", missing)
    refused((*TUTORIAL, "--reference", "torch"), tmp_path, "--reference torch: it cannot be imported", "pip install -c constraints.txt '.[torch]'")


def test_checkpoint_of_another_jury(tmp_path: Path) -> None:
    checkpoint = ("--checkpoint", str(tmp_path / "run.safetensors"))
    assert run((*TUTORIAL, "--reference", "torch,jax", *checkpoint), tmp_path / "first").status == 0
    another = (*TUTORIAL, "--reference", "jax,torch", *checkpoint, "--resume")
    refused(another, tmp_path / "second", "of another run (reference: ['torch', 'jax'] there, ['jax', 'torch'] here)")
