"""The comparison with Keras' own training loop: that it agrees, that planted faults end it with 1, and what it refuses."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import beside_keras
import jax.numpy as jnp
import numpy as np
import pytest
from digits import batches as mnist_batches
from digits.batches import Schedule, batches, generators, scaled, take
from digits.files import SHIPPED, Digits, load
from training import keras_cnn, keras_comparison
from training.keras_cnn import EPSILON, KerasCnn, probability_errors
from training.keras_findings import Beside, Compared, Levels

from crosscheck.adapters.layout import LayerLayout, Layout, Parameter
from crosscheck.core.precision import Precision

pytestmark = pytest.mark.xdist_group("beside-keras")  # one process with --dist loadgroup, which trains once

SMALL = ("--train-size", "150", "--epochs", "2")


def digits_of(train: int, test: int) -> Digits:
    return take(load(SHIPPED), train, test, SHIPPED)


def facts_of(folder: Path, *options: str, status: int = 0) -> dict[str, Any]:
    """Return what a small run that ends with this status writes, but for the time that it took."""
    file = folder / "run.json"
    assert beside_keras.main([*SMALL, *options, "--json", str(file)]) == status
    facts: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    for seed in facts["seeds"]:
        del seed["keras_seconds"]
        for one in seed["compared"]:
            del one["seconds"]
    return facts


@pytest.fixture(scope="module")
def agreeing(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the facts of a small run of two seeds."""
    return facts_of(tmp_path_factory.mktemp("agreeing"), "--seeds", "0,3")


def test_agrees(agreeing: dict[str, Any]) -> None:
    seeds = agreeing["seeds"]
    assert [seed["seed"] for seed in seeds] == [0, 3]
    assert [seed["findings"] for seed in seeds] == [[], []]
    assert [[one["dtype"] for one in seed["compared"]] for seed in seeds] == [["float32", "float64"]] * 2


def test_seeds_differ(agreeing: dict[str, Any]) -> None:
    first, second = agreeing["seeds"]
    assert first["keras_loss"] != second["keras_loss"]


def test_same_seed_same_figures(agreeing: dict[str, Any], tmp_path: Path) -> None:
    """What is there of a seed depends on no other one, but for the shares of the false alarms."""
    again = facts_of(tmp_path, "--seeds", "3")["seeds"][0]
    assert {name: again[name] for name in ("keras_loss", "compared")} == {name: agreeing["seeds"][1][name] for name in ("keras_loss", "compared")}


@dataclass
class Listening:
    """In the place of Keras: notes the images of each step, and learns nothing."""

    seen: list[Any] = field(default_factory=list)

    def fit(self, digits: Digits, order: Any, after_step: Any) -> None:
        self.seen.extend(digits.train_images[order])

    def loss(self, digits: Digits) -> float:
        return 0.0

    def probabilities(self, digits: Digits) -> Any:
        return np.zeros((len(digits.test_labels), 10))

    def copy(self, dtype: Any) -> Any:
        return keras_cnn.network(dtype)


def test_both_see_the_same_images_in_the_same_order() -> None:
    """In every epoch; the expected ones are those that scratch is trained on."""
    digits, listening = digits_of(20, 1), Listening()
    keras_comparison._by_keras(listening, digits, 3, 7, lambda: None)  # type: ignore[arg-type]
    expected = [batch.x[0, 0] for batch in batches(digits, Schedule(np.dtype(np.float32), 1, 60), generators(7)[1])]
    np.testing.assert_array_equal(scaled(np.array(listening.seen), np.float32)[:, 0], expected)


def wrong_flatten_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copy the rows of the last layer as they lie, as if both sides flattened channels last."""
    right = keras_cnn._layouts

    def layouts(model: Any) -> dict[str, LayerLayout]:
        found = right(model)
        weight = Parameter("kernel", Layout())
        return {**found, "linear": replace(found["linear"], params={**found["linear"].params, "weight": weight})}

    monkeypatch.setattr(keras_cnn, "_layouts", layouts)


def wrong_scaling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scale what scratch sees from 0 to 1."""
    for module in (mnist_batches, keras_comparison):
        monkeypatch.setattr(module, "scaled", lambda images, dtype: images[:, None].astype(dtype) / 255)


def negatives_in_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train scratch on black digits on white, and test it on white ones on black."""
    monkeypatch.setattr(mnist_batches, "scaled", lambda images, dtype: -scaled(images, dtype))


PLANTED = {
    "wrong-flatten-order": (wrong_flatten_order, "before the first step: not the same function"),
    "wrong-scaling": (wrong_scaling, "before the first step: not the same function"),
    "negatives-in-training": (negatives_in_training, "images only scratch has right"),
}


@pytest.mark.slow("each trains in Keras; one fault shows that faults are seen", default=["wrong-scaling"])
@pytest.mark.parametrize(("plant", "finding"), PLANTED.values(), ids=PLANTED)
def test_planted(plant: Any, finding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first finding names the fault: a function that differs before it is trained, or learning that did."""
    plant(monkeypatch)
    assert finding in facts_of(tmp_path, "--dtype", "float32", status=1)["seeds"][0]["findings"][0]


LEVELS = Levels.of(seeds=1, dtypes=1, images=1000)
RIGHT = Beside(0, 0.1, 0.9, 1.0, 0.01, 0.01, [Compared("float32", 0.1, 0.9, 3, 2, 1.0, 5, 1e-6, 1e-5, 0, 0, 1.0)], None)
DIVERGED = replace(RIGHT, keras_loss=None, end=None, compared=[replace(RIGHT.compared[0], loss=None, p=0.0)])
FINDINGS = {
    "right": (RIGHT, []),
    "another-function-at-the-end": (replace(RIGHT, end=1.5), ["after the last step"]),
    "not-finite-at-the-start": (replace(RIGHT, start=None), ["before the first step"]),
    "one-side-diverged": (replace(RIGHT, compared=[replace(RIGHT.compared[0], loss=None)]), ["the loss of scratch alone"]),
    "no-chance": (replace(RIGHT, compared=[replace(RIGHT.compared[0], p=LEVELS.accuracy / 2)]), ["chance does not explain it"]),
    "just-chance": (replace(RIGHT, compared=[replace(RIGHT.compared[0], p=LEVELS.accuracy)]), []),
    "both-diverged": (DIVERGED, []),
    "both-diverged-from-different-functions": (replace(DIVERGED, start=2.0), ["before the first step"]),
}


@pytest.mark.parametrize(("beside", "expected"), FINDINGS.values(), ids=FINDINGS)
def test_findings(beside: Beside, expected: list[str]) -> None:
    found = list(beside.findings(LEVELS))
    assert [words in finding for words, finding in zip(expected, found, strict=True)] == [True] * len(expected)


def test_shares_add_up_to_one_false_alarm_in_a_million() -> None:
    shares = Levels.of(seeds=4, dtypes=2, images=1000)
    assert shares.precision.false_alarms + 8 * shares.accuracy == Precision(np.dtype(np.float32), 1).false_alarms


@pytest.mark.slow("another network of Keras is compiled; test_findings shows what is said of another function")
def test_less_precision_is_another_function() -> None:
    """Weights that were rounded to the 8 bits of bfloat16 on their way are seen in the probabilities."""
    cnn, digits = KerasCnn(seed=1, lr=0.005), digits_of(1, 50)
    model = cnn.copy(np.float64)
    for value in model.params.values():
        value[...] = value.astype(jnp.bfloat16)
    images = scaled(digits.test_images, np.float32).astype(np.float64)
    probabilities, errors = probability_errors(model, images, LEVELS.precision)
    assert (np.abs(cnn.probabilities(digits) - probabilities) > errors).any()


@pytest.mark.parametrize("from_logits", [False, True], ids=["probabilities", "logits"])
def test_where_the_loss_of_keras_clips_nothing_is_learned(from_logits: bool) -> None:
    """An image whose label is given less than Keras' epsilon teaches nothing, unless the loss takes logits."""
    cnn, digits = KerasCnn(seed=0, lr=0.005, from_logits=from_logits), digits_of(1, 1)
    bias = np.full(10, 2 * -np.log(EPSILON), np.float32)
    bias[digits.train_labels[0]] = 0
    cnn.model.get_layer("linear").bias.assign(bias)
    before = cnn.copy(np.float64).params
    cnn.fit(digits, np.zeros(1, np.int64), lambda: None)
    after = cnn.copy(np.float64).params
    assert all(np.array_equal(before[name], after[name]) for name in before) is not from_logits


@pytest.mark.slow("trains in Keras; what is clipped is shown by test_where_the_loss_of_keras_clips_nothing_is_learned")
def test_from_logits_agrees_and_clips_nothing(tmp_path: Path) -> None:
    (one,) = facts_of(tmp_path, "--from-logits", "--dtype", "float64")["seeds"][0]["compared"]
    assert (one["label_clipped"], one["sure_clipped"]) == (0, 0)


@pytest.mark.slow("trains in Keras; what is said of trainings that diverge is shown by test_findings")
def test_both_diverge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With logits nothing holds the weights back; of nothing finite nothing is said but that."""
    facts_of(tmp_path, "--from-logits", "--dtype", "float32", "--lr", "1e20", status=2)
    assert "both trainings diverged; lower --lr" in capsys.readouterr().out


REFUSED = {
    "too-few-test-images": (("--test-size", "10"), "chance explains any result"),
    "no-such-folder": (("--data-dir", "nowhere"), "no such folder"),
    "json-in-no-folder": (("--json", "nowhere/run.json"), "there is no folder"),
    "rate-beyond-float32": (("--lr", "1e300"), "beyond what float32 can hold"),
}


@pytest.mark.parametrize(("options", "words"), REFUSED.values(), ids=REFUSED)
def test_refused(options: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert beside_keras.main(options) == 2
    assert words in capsys.readouterr().err


MISSPELT = {
    "seed-twice": ("--seeds", "1,1"),
    "no-seed": ("--seeds", "1,"),
    "no-precision": ("--dtype", "float16"),
    "negative-seed": ("--seeds", "-1"),
}


@pytest.mark.parametrize("options", MISSPELT.values(), ids=MISSPELT)
def test_misspelt(options: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        beside_keras.main(options)
    assert options[0] in capsys.readouterr().err


def test_without_keras(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("keras", "training.keras_comparison", "training.keras_cnn", "crosscheck.references.keras.oracle"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("training.keras_comparison")
    monkeypatch.setitem(sys.modules, "keras", None)
    assert beside_keras.main(SMALL) == 2
    assert "keras is not installed" in capsys.readouterr().err


def test_help_needs_no_keras(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "training.keras_comparison", None)
    with pytest.raises(SystemExit, match="0"):
        beside_keras.main(["--help"])
    assert "McNemar" in capsys.readouterr().out
