"""What the checks of contracts are run on."""

from __future__ import annotations

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from crosscheck import Pair, Settings
from crosscheck.checks.bench import DoesNotApplyError, bench_of, differing, rewinding
from crosscheck.pairs.prepare import prepare
from tests.support import plain
from tests.support.plain import Scale, ScaleReference


def test_bench_takes_the_largest_batch() -> None:
    """Calls are of the shape with most samples, and one with one sample less."""
    bench = bench_of(prepare(Pair(Scale(), ScaleReference(), [(2, 3), (5, 3)])), "float32", Settings().seed)
    assert bench.call.x.shape == (5, 3)
    assert bench.fewer.x.shape == (4, 3)
    assert bench.fewer.grad_output is not None
    assert bench.fewer.grad_output.shape == (4, 3)
    assert (bench.fewer.x != bench.call.x[:4]).all()
    assert bench.other.x.shape == (5, 3)
    assert (bench.other.x != bench.call.x).all()
    assert np.array_equal(bench.fewer.params["weight"], bench.call.params["weight"])


def test_a_fresh_instance_computes_the_same_bits() -> None:
    bench = bench_of(prepare(plain.pair()), "float64", 0)
    assert differing(bench.fresh(bench.call), bench.fresh(bench.call)) == ""
    assert differing(bench.fresh(bench.call), bench.fresh(bench.other)) == "output, grad_input, weight.grad"
    assert bench.others == [bench.other, bench.fewer]
    assert bench.reads_exactly("weight.grad")


def test_calls_are_copied_for_the_subject() -> None:
    bench = bench_of(prepare(plain.pair(plain.WritesToInput)), "float64", 0)
    bench.fresh(bench.call)
    assert bench.call.x.all()


def test_difference_of_an_unrepeatable_subject_counts_beyond_rounding() -> None:
    """Two roundings apart is no difference then; one part in a million is."""
    bench = bench_of(prepare(plain.pair(deterministic=False)), "float64", 0)
    one = bench.fresh(bench.call)
    near, far = ({name: value * (1 + size) for name, value in one.items()} for size in (2.0**-52, 1e-6))
    assert (bench.changed(bench.call, one, near), bench.changed(bench.call, one, far)) == ("", "output, grad_input, weight.grad")


@pytest.mark.parametrize("drawing", [lambda layer: layer.rng.random(), lambda layer: np.random.rand(), lambda layer: layer.plain.random()])  # noqa: NPY002
def test_generators_are_rewound(drawing: Callable[[Any], float]) -> None:
    """Those that a layer holds, and those that NumPy and Python keep for everybody."""
    layer = SimpleNamespace(rng=np.random.default_rng(), plain=random.Random())  # noqa: S311 - no secrets
    rewind = rewinding(SimpleNamespace(layer=layer))
    numbers = []
    for _ in range(2):
        rewind()
        numbers.append(drawing(layer))
    assert numbers[0] == numbers[1] != drawing(layer)


def test_contract_that_needs_what_is_not_kept_does_not_apply() -> None:
    bench = bench_of(prepare(plain.pair(fixed_batch=True)), "float64", 0)
    bench.keeps("cache", "it keeps none")
    with pytest.raises(DoesNotApplyError, match=r"^it keeps no sum$"):
        bench.keeps("sum", "it keeps no sum")
    with pytest.raises(DoesNotApplyError, match="declared to take only the declared batch sizes"):
        _ = bench.fewer
