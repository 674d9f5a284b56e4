"""Which framework a reference is of, and what is no reference."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import nn

from crosscheck.oracles.optimizers import SgdSettings
from crosscheck.references.resolve import UnknownReferenceError, framework_of, in_training, resolved, resolved_optimizer, resolved_training
from tests.support import plain
from tests.support.model_pairs import mlp


@pytest.mark.parametrize(
    ("thing", "framework"),
    [(jax.nn.relu, "jax"), (jax.jit(lambda x: x), "jax"), (nn.ReLU(), "torch"), (np.tanh, "")],
    ids=["relu", "compiled", "torch", "numpy"],
)
def test_framework_of_a_thing(thing: Any, framework: str) -> None:
    assert framework_of(thing) == framework


def test_function_that_names_two_frameworks() -> None:
    with pytest.raises(UnknownReferenceError, match="refers to jax and torch, expected one; declare framework="):
        resolved(lambda x: jnp.tanh(torch.tanh(x)))


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        (nn.ReLU, r"^ReLU is a class, expected one of its instances: reference=ReLU\(\.\.\.\)$"),
        (3, "^the reference has the type int, expected a framework's module or function"),
        (
            lambda x: x,
            "^the code of <lambda> refers to none of the known frameworks, expected one; declare framework='torch' or 'jax' or 'keras'$",
        ),
        (type("Bare", (), {"vjp": lambda self, call: {}})(), "^Bare has a method vjp, but no attribute rounding"),
    ],
    ids=["class", "number", "function", "no theory"],
)
def test_what_is_no_reference(reference: Any, words: str) -> None:
    with pytest.raises(UnknownReferenceError, match=words):
        resolved(reference)
    assert in_training(reference) is None


def test_framework_that_is_not_known() -> None:
    with pytest.raises(UnknownReferenceError, match=r"^the framework is 'pytorch', expected one of torch, jax, keras$"):
        resolved(lambda x: x, "pytorch")


def test_module_is_described() -> None:
    found = resolved(nn.Linear(3, 2))
    assert (found.shapes, found.labels, found.modes, found.training) == ({"weight": (2, 3), "bias": (2,)}, False, False, None)
    assert resolved(nn.CrossEntropyLoss()).labels


def test_dropout_is_known_in_both_modes() -> None:
    found = resolved(nn.Dropout(0.25))
    assert found.training is not None
    assert (found.modes, found.training.dropped, found.evaluating.training) == (True, 0.25, None)
    assert found.evaluating.oracle is found.training.evaluation


def test_reference_by_the_protocol_is_described_by_itself() -> None:
    found = resolved(plain.ScaleReference())
    assert (found.name, found.shapes, found.labels, found.elements) == ("NumPy", {"weight": (3,)}, False, None)


def test_layer_to_be_frozen_that_is_not_there() -> None:
    with pytest.raises(UnknownReferenceError, match="frozen has the layer 'third', expected one of first, relu, second"):
        resolved_training(mlp(), nn.CrossEntropyLoss(), SgdSettings(0.1), frozenset({"third"}))


def test_optimizer_is_a_function() -> None:
    assert resolved_optimizer(torch.optim.SGD).name.startswith("PyTorch ")
    with pytest.raises(UnknownReferenceError, match="the reference has the type NoneType, expected a function of the parameters"):
        resolved_optimizer(None)
