"""Whole networks of scratch in lock-step with PyTorch: a hundred training steps on real digits, each quantity of each layer as a test of its own.

Each test judges its layer on the values that the layer got, so a fault turns the tests of its own layer red and no others.
"""

from __future__ import annotations

import pytest

from crosscheck.causes.divergence import Divergence, divergence_facts
from crosscheck.core.judge import Kind, Verdict
from crosscheck.report.words import divergence_message
from crosscheck.training.listened import TrainingComparison
from crosscheck.training.record import Series
from tests.support.networks import NETWORKS, comparison_of, quantities_of

DTYPES = ("float64", "float32")
RUNS = [(network, dtype) for network in NETWORKS for dtype in DTYPES]


DEAR = {"every-layer": pytest.mark.whole("a hundred steps of nine layers; every-connection trains as well, and test_layers judges each layer")}


def marks(network: str, dtype: str) -> list[pytest.MarkDecorator]:
    """Return what lets one process run all tests of a training, with --dist loadgroup, so that it is done once; and whether it is for every day."""
    together = pytest.mark.xdist_group(f"{network}-{dtype}")
    return [together, DEAR[network]] if network in DEAR else [together]


TESTS = [
    pytest.param(network, dtype, layer, quantity, id=f"{network}-{dtype}-{layer}.{quantity}", marks=marks(network, dtype))
    for network, dtype in RUNS
    for layer, quantity in quantities_of(network)
]


def series_of(comparison: TrainingComparison, layer: str, quantity: str) -> list[Series]:
    """Return all that was found about a quantity, but for its value at the end of the whole step, to which every layer contributes."""
    return [series for (kind, *place), series in comparison.record.series.items() if place == [layer, quantity] and kind is not Kind.WHOLE]


def first_mismatch(comparison: TrainingComparison, layer: str, quantity: str) -> Divergence | None:
    """Return the first mismatch of a quantity in its own link or isolated, with its cause where it was examined."""
    judgement = next((series.first for series in series_of(comparison, layer, quantity) if series.first), None)
    return comparison.divergences.get((layer, quantity)) or (Divergence(judgement) if judgement else None)


@pytest.mark.each_choice("network", "dtype")
@pytest.mark.parametrize(("network", "dtype", "layer", "quantity"), TESTS)
def test_lockstep(network: str, dtype: str, layer: str, quantity: str, request: pytest.FixtureRequest) -> None:
    """A quantity is right in every step in the layer's own place, and in the first one on the reference's values."""
    comparison = comparison_of(network, dtype)
    found = first_mismatch(comparison, layer, quantity)
    if found is not None:
        pytest.fail(divergence_message(divergence_facts(found, f'pytest "{request.node.nodeid}"')), pytrace=False)
    matches = {kind: series.counts[Verdict.MATCH] for (kind, *place), series in comparison.record.series.items() if place == [layer, quantity]}
    matches.pop(Kind.WHOLE, None)
    # What the step before left can be compared from the second step on.
    steps = NETWORKS[network].steps
    expected = steps - 1 if quantity.endswith(".before") else steps
    assert matches
    assert matches == {kind: 1 if kind is Kind.ISOLATED else expected for kind in matches}


@pytest.mark.each_choice("network", "dtype")
@pytest.mark.parametrize(("network", "dtype"), [pytest.param(*run, id="-".join(run), marks=marks(*run)) for run in RUNS])
def test_nothing_lies_between_the_layers(network: str, dtype: str) -> None:
    """Wherever a whole step was worked out, its end is where the oracle's own step ends, unless a layer is wrong, which that layer's test says."""
    comparison = comparison_of(network, dtype)
    assert comparison.steps_checked == NETWORKS[network].steps
    assert not comparison.unexplained, str(comparison.first)
    assert all(decision.admissible for decision in comparison.decisions.values()) or comparison.broken


@pytest.mark.each_choice("network", "dtype")
@pytest.mark.parametrize(("network", "dtype"), [pytest.param(*run, id="-".join(run), marks=marks(*run)) for run in RUNS])
def test_free_run(network: str, dtype: str) -> None:
    """Two trainings from the same weights stay as close as references with perturbed rounding, unless a layer is wrong."""
    comparison = comparison_of(network, dtype)
    assert comparison.free_verdict is Verdict.MATCH or comparison.broken, comparison.free
