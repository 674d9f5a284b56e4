"""The right ways on whole digit images: every layer and network is shown some, and right ones are right on them."""

from __future__ import annotations

import numpy as np
import pytest
from digits.files import SHIPPED, load
from study.detection.alarms import MEASURED, chunks

from crosscheck.core.judge import Verdict
from tests.support.right_ways import networks, own
from tests.support.right_ways.images import PIXELS, image_shape
from tests.support.right_ways.layers import LAYERS
from tests.support.right_ways.modules.images import IMAGE_ROWS
from tests.support.right_ways.modules.table import REFUSED, ROWS
from tests.support.right_ways.task import LayerTask, Trial
from tests.support.right_ways.tasks import on_images, tasks

NAMES = [task.name for task in (*LAYERS, *own.tasks())] + [f"network {name}" for name in networks.ROWS]
SMALL = {"TransformerEncoder", "TransformerDecoder", "RMSNorm", "CrossEntropyLoss, of sequences", "FractionalMaxPool2d", "FractionalMaxPool3d"}
"""Modules without images: others show the same, or their fixed tensors are for small arrays."""


def test_layers_and_networks_are_shown_images() -> None:
    assert [name for name in NAMES if not tasks()[on_images(name)].images] == []


def test_modules_are_shown_images() -> None:
    assert set(ROWS) - set(IMAGE_ROWS) == SMALL | set(REFUSED)


@pytest.mark.parametrize("name", ["conv2d", "linear", "batch norm 1d", "module LSTM", "module Conv3d", "module KLDivLoss", "scratch maxpool2d-3s2p1"])
def test_input_is_made_of_whole_digits(name: str) -> None:
    task = tasks()[on_images(name)]
    assert isinstance(task, LayerTask)
    shown = np.round(255 * task.call(Trial("kinks", "float64", 0)).x).astype(int).reshape(-1, PIXELS)
    shipped = {image.tobytes() for image in load(SHIPPED).train_images.astype(int)}
    assert {row.tobytes() for row in shown} <= shipped


@pytest.mark.parametrize("shape", [(6, 10), (3, 4, 9), (2, 5, 7, 6), (2, 2, 5, 4, 6)])
def test_shape_holds_whole_digits(shape: tuple[int, ...]) -> None:
    found = image_shape(shape)
    assert len(found) == len(shape)
    assert found[1] == shape[1]
    assert np.prod(found) % PIXELS == 0


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_network_with_batch_normalisation_is_right_on_digits(dtype: str) -> None:
    task = tasks()["network batchnorm-cnn, digit images"]
    verdicts = [judgement.verdict for judgement in task.judged("scratch", Trial("normal", dtype, 0))]
    assert len(verdicts) > 200
    assert set(verdicts) == {Verdict.MATCH}


def test_columns_of_one_number_are_left_to_rounding() -> None:
    """The variance of equal numbers is zero, or a rounding error, which differs between float64 and float32."""
    task = tasks()[on_images("batch norm 1d of 784")]
    judged = [judgement for way in task.ways for judgement in task.judged(way, Trial("huge", "float64", 14))]
    assert [one for one in judged if one.verdict is Verdict.MISMATCH] == []
    assert any(one.verdict is Verdict.MATCH for one in judged)


def test_a_third_of_the_study_has_measured_references() -> None:
    planned = {True: 0, False: 0}
    for chunk in chunks(3_000_000):
        task = tasks()[chunk.task]
        ways = task.ways if chunk.environment == "default" else task.sensitive
        planned[task.measured] += (chunk.last - chunk.first) * len(ways) * task.quantities
    assert sum(planned.values()) > 3_000_000
    assert planned[True] >= MEASURED * 3_000_000
