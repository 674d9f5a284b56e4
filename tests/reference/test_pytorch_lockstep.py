"""Whole networks of scratch in lock-step with PyTorch: a hundred training steps on real digits, each quantity of each layer judged in every step.

A layer is judged on the values that it got, so a fault shows in its own quantities and in no others.
"""

from __future__ import annotations

import numpy as np
import pytest
from training.run import Plan
from training.subjects import layered

import scratch
from crosscheck.causes.divergence import Divergence, divergence_facts
from crosscheck.core.judge import Kind, Verdict
from crosscheck.report.words import divergence_message
from crosscheck.training.listened import TrainingComparison
from scratch.networks import tutorial
from tests.support.layer_runs import plant_two_faults
from tests.support.networks import NETWORKS, comparison_of, quantities_in, trained

SLOW = {"every-layer": [pytest.mark.slow("a hundred steps of nine layers; every-connection trains as well, and test_layer.py judges each layer")]}

# With --dist loadgroup one process runs all tests of a training, so that it is done once.
RUNS = [
    pytest.param(network, dtype, id=f"{network}-{dtype}", marks=[pytest.mark.xdist_group(f"{network}-{dtype}"), *SLOW.get(network, [])])
    for network in NETWORKS
    for dtype in ("float64", "float32")
]


def wrong(comparison: TrainingComparison, network: str, steps: int, command: str) -> dict[str, str]:
    """Return the wrong quantities: each with its first mismatch and its cause, or with a wrong number of matches.

    The values at the end of a whole step, to which every layer contributes, are left out.
    """
    texts = {}
    for layer, quantity in quantities_in(NETWORKS[network]):
        series = {kind: found for (kind, *place), found in comparison.record.series.items() if place == [layer, quantity] and kind is not Kind.WHOLE}
        first = next((found.first for found in series.values() if found.first), None)
        matches = {kind: found.counts[Verdict.MATCH] for kind, found in series.items()}
        # What the step before left can be compared from the second step on. A layer is tried alone in the first step, and wherever a step is wrong.
        expected = {kind: 1 if kind is Kind.ISOLATED else steps - quantity.endswith(".before") for kind in series}
        if divergence := comparison.divergences.get((layer, quantity)) or (Divergence(first) if first else None):
            texts[f"{layer}.{quantity}"] = divergence_message(divergence_facts(divergence, command))
        elif not matches or any(matches[kind] < number for kind, number in expected.items()):
            texts[f"{layer}.{quantity}"] = f"matches {matches}, expected {expected}"
    return texts


@pytest.mark.each_choice("network", "dtype")
@pytest.mark.parametrize(("network", "dtype"), RUNS)
def test_lockstep(network: str, dtype: str, request: pytest.FixtureRequest) -> None:
    """Each quantity is right in every step in the layer's own place, and in the first one on the reference's values."""
    found = wrong(comparison_of(network, dtype), network, NETWORKS[network].steps, f"pytest {request.node.nodeid!r}")
    if found:
        pytest.fail("\n".join([f"wrong: {', '.join(found)}", *(f"{quantity}: {text}" for quantity, text in found.items())]), pytrace=False)


def test_every_wrong_quantity_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer with two faults fails with both of its quantities, and no other layer does."""
    plant_two_faults(monkeypatch)
    model = tutorial(np.random.default_rng(0), np.float64, "plain")
    comparison = trained(layered(model, scratch.SGD(model.trainable_params, lr=0.005)), Plan(np.dtype(np.float64), 1, 2, 1, 0, 0))
    assert list(wrong(comparison, "tutorial", 2, "pytest this")) == ["linear.grad_input", "linear.weight.grad"]


@pytest.mark.each_choice("network", "dtype")
@pytest.mark.parametrize(("network", "dtype"), RUNS)
def test_nothing_lies_between_the_layers(network: str, dtype: str) -> None:
    """Wherever a whole step was worked out, its end is where the oracle's own step ends, unless a layer is wrong, which that layer's test says."""
    comparison = comparison_of(network, dtype)
    assert comparison.steps_checked == NETWORKS[network].steps
    assert not comparison.unexplained, str(comparison.first)
    assert all(decision.admissible for decision in comparison.decisions.values()) or comparison.broken


@pytest.mark.each_choice("network", "dtype")
@pytest.mark.parametrize(("network", "dtype"), RUNS)
def test_free_run(network: str, dtype: str) -> None:
    """Two trainings from the same weights stay as close as references with perturbed rounding, unless a layer is wrong."""
    comparison = comparison_of(network, dtype)
    assert comparison.free_verdict is Verdict.MATCH or comparison.broken, comparison.free
