"""Parts of a batch on several threads give the same bits as on one thread."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scratch
from scratch import fast
from scratch.fast import im2col, parallel
from scratch.layer import Array, Layer

BATCHES = (60, 150, 600)
"""Images of 20 by 20 with three channels. The first keeps its columns for the backward pass, the second does not; a pool of the last has parts."""


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[int]:
    """Let so many threads work at a time."""
    count: int = request.param
    for module in (parallel, im2col):
        monkeypatch.setattr(module, "thread_count", lambda: count)
    parallel._threads.cache_clear()
    yield count
    if count > 1:
        parallel._threads().shutdown()
    parallel._threads.cache_clear()


LAYERS: dict[str, Callable[[], Layer | scratch.Sequential]] = {
    "convolution": lambda: fast.Conv2d(3, 2, 3, padding=1, rng=np.random.default_rng(0), dtype=np.float32),
    "convolution of groups": lambda: fast.Conv2d(3, 6, 2, groups=3, bias=False, rng=np.random.default_rng(0), dtype=np.float32),
    "convolution in tiles": lambda: fast.Conv2d(3, 40, 5, padding=2, rng=np.random.default_rng(0), dtype=np.float32),
    "linear": lambda: scratch.Sequential(flatten=scratch.Flatten(), linear=fast.Linear(1200, 70, rng=np.random.default_rng(0), dtype=np.float32)),
    "rectifier": fast.ReLU,
    "dropout": lambda: fast.Dropout(0.5, rng=np.random.default_rng(0)),
    "pool": lambda: fast.MaxPool2d(2),
    "overlapping pool": lambda: fast.MaxPool2d(3, 2, 1, ties="split"),
}


def results(layer: Layer | scratch.Sequential, batch: int) -> list[Array]:
    """Return everything that a layer computes, twice, the second time with what the first one has left."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(2):
        output = layer.forward(rng.standard_normal((batch, 3, 20, 20)).astype(np.float32))
        grad_input = layer.backward(rng.standard_normal(output.shape).astype(np.float32))
        found += [output, grad_input, *(np.array(grad) for grad in layer.grads.values())]
    return found


@pytest.mark.pairwise("name", "batch", "threads")
@pytest.mark.parametrize("threads", [2, 3], indirect=True)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", LAYERS)
def test_threads_change_no_bit(name: str, batch: int, threads: int) -> None:
    found = results(LAYERS[name](), batch)
    with pytest.MonkeyPatch.context() as alone:
        for module in (parallel, im2col):
            alone.setattr(module, "thread_count", lambda: 1)
        expected = results(LAYERS[name](), batch)
    assert [np.array_equal(mine, other) for mine, other in zip(found, expected, strict=True)] == [True] * len(found)


def test_batches_are_divided_in_every_way() -> None:
    """Otherwise there would be nothing to share out."""
    divided = {}
    for name, batch in itertools.product((name for name in LAYERS if "convolution" in name or "pool" in name), BATCHES):
        layer: Any = LAYERS[name]()
        layer.forward(np.zeros((batch, 3, 20, 20), np.float32))
        divided[name, batch] = (len(layer._parts), True) if "pool" in name else (len(layer._columns.parts), layer._columns._keeps)
    assert {divided["convolution", batch] for batch in BATCHES} == {(2, True), (4, False), (14, False)}
    assert divided["pool", 600][0] == divided["overlapping pool", 600][0] == 2


@pytest.mark.parametrize("threads", [2, 3], indirect=True)
def test_parts_are_shared_out_and_come_back_in_order(threads: int) -> None:
    met = threading.Barrier(threads, timeout=10)  # passes only when all threads have arrived

    def work(thread: int, part: int) -> tuple[int, int]:
        if part < threads:
            met.wait()
        return thread, part

    assert parallel.in_parallel(work, range(7)) == [(part % threads, part) for part in range(7)]


@pytest.mark.parametrize("threads", [2], indirect=True)
def test_settings_of_the_caller_hold_in_each_thread(threads: int) -> None:
    """An overflow that the caller has silenced stays silent, and one that is an error is one."""
    largest = np.full(10, np.finfo(np.float32).max)
    with np.errstate(over="ignore"):
        assert np.isinf(parallel.in_parallel(lambda thread, part: largest * np.float32(2), range(2))).all()
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        parallel.in_parallel(lambda thread, part: largest * np.float32(1 + thread), range(2))


FORKING = """
import multiprocessing
from scratch.fast import parallel

parallel.thread_count = lambda: 2

def doubled(_):
    return parallel.in_parallel(lambda thread, part: 2 * part, range(3))

doubled(0)  # the parent's thread is there
with multiprocessing.get_context("fork").Pool(1) as pool:
    print(pool.apply_async(doubled, range(1)).get(timeout=20))
"""


def test_forked_process_has_threads_of_its_own() -> None:
    """In a process without frameworks, one of which minds being forked."""
    command, root = [sys.executable, "-c", FORKING], Path(scratch.__file__).parents[1]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - our own interpreter
    assert (done.stdout, done.returncode) == ("[0, 2, 4]\n", 0), done.stderr


@pytest.mark.parametrize(("asked", "expected"), [("1", 1), ("", 3), ("2", 2), ("64", 3), ("0", 1), ("dynamic", 3)])
def test_as_many_threads_as_blas_is_given(asked: str, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1, 2}, raising=False)
    assert parallel.thread_count.__wrapped__() == expected


SIZES = [
    (512, 1352, 10), (10, 512, 1352), (512, 10, 1352), (700, 100, 64), (64, 4500, 33), (2, 3, 4), (600, 600, 600), (128, 9216, 128), (3, 70_000, 5)
]  # fmt: skip
"""Rows, terms of each sum and columns of a product: as they are in networks, small, of three long sides, with more terms than anything else."""


@pytest.mark.parametrize("threads", [1, 2], indirect=True)
@pytest.mark.parametrize(("rows", "inner", "columns"), SIZES)
def test_product_in_tiles(rows: int, inner: int, columns: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole numbers, whose sums are exact in any order; and no tile is large enough to wake BLAS's threads."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(-9, 10, (rows, inner)).astype(np.float64), rng.integers(-9, 10, (inner, columns)).astype(np.float64)
    sizes, matmul = list[int](), np.matmul

    def counted(x: Array, y: Array, out: Array | None = None) -> Array:
        sizes.append(x.shape[-2] * x.shape[-1] * y.shape[-1])
        product: Array = matmul(x, y, out=out)
        return product

    monkeypatch.setattr(np, "matmul", counted)
    assert np.array_equal(parallel.product(a, b), a.dot(b))
    assert bool(sizes) == (rows * inner * columns >= parallel.BLAS_ALONE)
    assert all(size < parallel.BLAS_ALONE for size in sizes)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("size", [3, 700])
def test_elementwise_reaches_each_element_once(size: int, order: Any) -> None:
    numbers, output = np.arange(size * size).reshape(size, size).copy(order), np.zeros((size, size), np.int64, order)
    parallel.elementwise(lambda x, y: np.add(x, y + 1, out=y), numbers, output)
    assert np.array_equal(output, np.arange(1, size * size + 1).reshape(size, size))


def test_elementwise_of_arrays_that_lie_differently_in_memory() -> None:
    numbers, output = np.arange(700 * 700).reshape(700, 700), np.zeros((700, 700), np.int64, "F")
    parallel.elementwise(lambda x, y: np.add(x, 1, out=y), numbers, output)
    assert np.array_equal(output, numbers + 1)
