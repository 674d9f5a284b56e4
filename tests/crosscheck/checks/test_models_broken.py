"""Networks that do what none must, and declarations that do not fit: each ends as a verdict or an error with its reason, none as a traceback."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import MethodType
from typing import Any

import numpy as np
import pytest

from crosscheck.adapters.network import Network
from crosscheck.adapters.objects import Attributes
from crosscheck.adapters.whole_step import WholeStep
from crosscheck.checks import Settings
from crosscheck.core.judge import Verdict
from crosscheck.pairs.model_pair import ModelPair
from crosscheck.run.check import check_pair
from tests.support.hand_written import Array, AttributesMLP, Dense, DictsCNN, PlainMLP
from tests.support.model_pairs import (
    LR,
    SETTINGS,
    Plant,
    attributes_pair,
    dicts_pair,
    mlp,
    model_pair,
    replaced,
    result_of,
    whole_pair,
)


def made_by(make: Callable[..., Any], **settings: Any) -> ModelPair:
    """Return a pair of two linear layers whose network a function makes."""
    return model_pair(make, mlp(), (4, 5), **settings)


def whole(network: PlainMLP) -> WholeStep:
    return WholeStep(network.train, network.params)


def at_step(number: int, what: Callable[[Any], Any]) -> Plant:
    """Return a plant that does something else in place of one training step's result, after the step."""

    def around(method: Any, owner: Any) -> Any:
        count = 0

        def train(x: Array, labels: Any) -> Any:
            nonlocal count
            count += 1
            loss = method(x, labels)
            return loss if count != number else what(owner)

        return train

    return replaced("train", around)


def raising(network: Any) -> None:
    raise IndexError("list index out of range")


def changing(change: Callable[[Any], object]) -> Callable[[Any], float]:
    """Return a step's result after something was done to the network."""

    def changed(network: Any) -> float:
        change(network)
        return 1.0

    return changed


def first_layer(network: Any) -> dict[str, Array]:
    params: dict[str, Array] = network.params if isinstance(network, PlainMLP) else network.layers["conv"].params
    return params


def widens(network: Any) -> None:
    params = first_layer(network)
    name = next(iter(params))
    params[name] = np.concatenate([params[name], params[name]])


SHOWN: dict[str, Callable[..., ModelPair]] = {"dicts": dicts_pair, "whole-step": whole_pair}

BROKEN = {
    "raises": (raising, "step 3: the training step raised IndexError: list index out of range"),
    "exits": (lambda network: sys.exit(3), "step 3: the training step raised SystemExit: 3"),
    "adds-a-parameter": (changing(lambda network: first_layer(network).update(scale=np.ones(1))), "has the parameters"),
    "removes-a-parameter": (changing(lambda network: first_layer(network).popitem()), " as at the start"),
    "shape-of-a-parameter": (changing(widens), " as at the start"),
}

LOSSES = {
    "none": (None, "the loss is None: nothing was returned or stored"),
    "text": ("0.3", "the loss is a str, expected an array"),
    "one-for-each-sample": (np.ones(4), "the loss has the shape (4,), expected one number"),
}


# Where only the parameters at known places are read, further arrays do no harm.
FAILING = [(fault, shown) for fault in BROKEN for shown in SHOWN if (fault, shown) != ("adds-a-parameter", "whole-step")]


@pytest.mark.parametrize(("fault", "shown"), FAILING)
def test_subject_that_fails_in_its_third_step(fault: str, shown: str) -> None:
    """The reason names step and fault, what was compared before is kept, and the free run says how far it came."""
    what, reason = BROKEN[fault]
    pair = SHOWN[shown](at_step(3, what))
    result = result_of(pair, "lockstep-float64")
    assert result.verdict is Verdict.MISMATCH
    assert result.reason.startswith("step 3: ")
    assert reason in result.reason
    assert {judgement.verdict for _, judgement in result.judgements} == {Verdict.MATCH}
    free = result_of(pair, "freerun-float64")
    assert free.verdict is Verdict.UNDECIDED
    assert "step 3 of 6 failed: " in free.reason


@pytest.mark.parametrize("pair", [attributes_pair, whole_pair], ids=["attributes", "whole-step"])
@pytest.mark.parametrize("loss", LOSSES)
def test_loss_that_is_none(loss: str, pair: Callable[..., ModelPair]) -> None:
    value, reason = LOSSES[loss]
    result = result_of(pair(at_step(1, lambda network: value)), "lockstep-float64")
    assert result.verdict is Verdict.MISMATCH
    assert reason in result.reason


@pytest.mark.parametrize("shown", SHOWN)
def test_subject_that_never_ends(shown: str) -> None:
    """The time limit ends it once; the check after it does not wait again."""
    pair = SHOWN[shown](at_step(2, lambda network: time.sleep(60)))
    begin = time.monotonic()
    result = check_pair(pair, Settings(timeout=0.2), lambda name: name.endswith("-float64"))
    assert [r.verdict for r in result.results] == [Verdict.UNDECIDED, Verdict.UNDECIDED]
    assert "did not end" in result.results[0].reason
    assert "did not end" in result.results[1].reason
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize("shown", SHOWN)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_nan(shown: str, dtype: str) -> None:
    """A NaN in a parameter is a mismatch where it comes up; what starts from it is undecided."""

    def around(method: Any, network: Any) -> Any:
        losses = list[Any]()

        def train(x: Array, labels: Any) -> Any:
            losses.append(method(x, labels))
            if len(losses) == 2:
                next(iter(first_layer(network).values()))[...] = np.nan
            return losses[-1]

        return train

    result = result_of(SHOWN[shown](replaced("train", around)), f"lockstep-{dtype}")
    assert result.verdict is Verdict.MISMATCH
    assert result.divergence is not None
    assert result.divergence.judgement.place.step == 2
    assert "NaN where a finite number is expected" in result.divergence.judgement.reason
    assert Verdict.UNDECIDED in {judgement.verdict for _, judgement in result.judgements}


def forwards(order: Callable[[DictsCNN, Array], Array]) -> Plant:

    def plant(network: DictsCNN) -> None:
        network.forward = MethodType(order, network)  # type: ignore[method-assign]

    return plant


def conv_twice(network: DictsCNN, x: Array) -> Array:
    network.layers["conv"].forward(x)
    return DictsCNN.forward(network, x)


def relu_after_pool(network: DictsCNN) -> None:
    """Exchange two layers, on the way forward and back; their result is the same."""
    network.layers = {name: network.layers[name] for name in ("conv", "pool", "relu", "flatten", "linear")}


def test_layers_in_another_order() -> None:
    result = result_of(dicts_pair(relu_after_pool), "lockstep-float64")
    assert result.divergence is not None
    assert str(result.divergence.judgement.place) == "step 1, relu.input"


def test_layer_that_runs_twice() -> None:
    result = result_of(dicts_pair(forwards(conv_twice)), "lockstep-float64")
    assert result.verdict is Verdict.MISMATCH
    assert "step 1: the training step ran conv forward twice" in result.reason


def test_last_layer_that_never_runs() -> None:
    """The training step has a layer of its own, not the one that was declared."""

    def make(dtype: str) -> Network:
        network = AttributesMLP(dtype, LR)
        return Network([network.first, network.relu, Attributes(Dense(4, 3, dtype), ("W", "b"))], network.train)

    result = result_of(made_by(make), "lockstep-float64")
    assert result.verdict is Verdict.MISMATCH
    assert "the training step never ran the forward method of second" in result.reason


@pytest.mark.parametrize("shown", SHOWN)
def test_training_that_diverges(shown: str) -> None:
    """Numbers that leave every range, on both sides, end in verdicts, too."""

    def far(network: Any) -> None:
        network.lr = 1e30

    result = check_pair(SHOWN[shown](far, lr=1e30), SETTINGS, lambda name: name.endswith("float32"))
    assert Verdict.MATCH not in {r.verdict for r in result.results}


def test_factory_that_raises() -> None:
    result = check_pair(made_by(raising), SETTINGS)
    assert result.verdict is Verdict.UNDECIDED
    assert "model raised IndexError: list index out of range" in result.error


def test_network_of_another_precision() -> None:
    """A factory that takes the precision and does not heed it."""
    result = result_of(made_by(lambda dtype: whole(PlainMLP("float64", LR))), "lockstep-float32")
    assert result.verdict is Verdict.MISMATCH
    assert "for float32 the network's first.weight is float64" in result.reason


def test_factory_without_a_precision() -> None:
    """The network is also checked in the precision that its parameters are set in, if it keeps this precision; otherwise it is said why not."""

    def wide() -> WholeStep:
        network = PlainMLP("float64", LR)

        def train(x: Array, labels: Array) -> Any:
            loss = network.train(x, labels)
            network.params.update({name: value.astype(np.float64) for name, value in network.params.items()})
            return loss

        return WholeStep(train, network.params)

    kept, lost = (
        check_pair(made_by(make), SETTINGS, lambda name: name.startswith("lockstep")) for make in (lambda: whole(PlainMLP("float64", LR)), wide)
    )
    assert [r.verdict for r in kept.results] == [Verdict.MATCH, Verdict.MATCH]
    assert [r.verdict for r in lost.results] == [Verdict.MATCH, Verdict.SKIPPED]
    assert "subject() takes no argument and does not make a float32 network" in lost.results[1].reason


def test_factory_with_settings_of_its_own() -> None:
    """An argument that has a default value is not the precision."""
    assert result_of(made_by(lambda lr=LR: whole(PlainMLP("float64", lr))), "lockstep-float64").verdict is Verdict.MATCH


def test_factory_that_makes_another_network() -> None:
    made: list[WholeStep] = []

    def make(dtype: str) -> WholeStep:
        network = PlainMLP(dtype, LR)
        if len(made) == 3:  # those before it are looked at while the pair is prepared
            network.params["W3"] = network.params.pop("W2")
        made.append(whole(network))
        return made[-1]

    result = result_of(made_by(make), "lockstep-float64")
    assert result.verdict is Verdict.MISMATCH
    assert "the network's W2 is missing, expected it where it was in the first network" in result.reason


def test_parameters_that_are_copies() -> None:
    def make(dtype: str) -> WholeStep:
        network = PlainMLP(dtype, LR)
        return WholeStep(network.train, lambda: {name: value.copy() for name, value in network.params.items()})

    result = result_of(made_by(make), "lockstep-float64")
    assert result.verdict is Verdict.MISMATCH
    assert "params must return the arrays" in result.reason


def test_loss_that_a_step_returns() -> None:
    """It is the loss layer's: another number would be shown to whoever trains the network."""
    result = result_of(dicts_pair(replaced("train", lambda method, owner: lambda x, labels: 5 * method(x, labels))), "lockstep-float64")
    assert result.verdict is Verdict.MISMATCH
    assert result.reason.startswith("step 1: loss.output: the training step returned ")
    assert ", expected the loss layer's output " in result.reason
