"""What the workers of pytest-xdist share: one thread each, the same examples of Hypothesis in every run, the programs that JAX has compiled.

Most of what the tests of JAX and Keras take is compiling the same programs as in the run before. JAX can keep them in a folder; here that is one of
pytest's own cache, which ``pytest --cache-clear`` empties.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

pytest_plugins = ["tests.support.default_suite"]

TOGETHER = 16
"""How many tests of one function are handed out at once."""

KEPT = pytest.StashKey[tuple[Path, "tempfile.TemporaryDirectory[str]"]]()


def pytest_configure(config: pytest.Config) -> None:
    """Prepare Hypothesis and the frameworks in each process that runs tests."""
    if "PYTEST_XDIST_WORKER" not in os.environ and getattr(config.option, "numprocesses", None):
        return  # this process hands out tests and runs none
    import hypothesis
    import jax
    import torch

    hypothesis.settings.register_profile("fixed", max_examples=50, derandomize=True, deadline=None, database=None)
    hypothesis.settings.load_profile("fixed")
    torch.set_num_threads(1)
    # What was imported stays: to look through all of it for garbage again and again takes time, most of all when the process ends.
    gc.freeze()
    atexit.register(gc.freeze)
    if (cache := getattr(config, "cache", None)) is None:
        return
    # A folder for each process, because JAX does not write its files at one go: another process would read half of one.
    kept = cache.mkdir(f"jax-{jax.__version__}")
    own = tempfile.TemporaryDirectory(prefix="jax-", dir=kept.parent)
    _link(kept.iterdir(), Path(own.name))
    jax.config.update("jax_compilation_cache_dir", own.name)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    # XLA's own caches, of programs for GPUs, would make the folder's name a part of what a program is found by.
    jax.config.update("jax_persistent_cache_enable_xla_caches", "none")
    config.stash[KEPT] = kept, own


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Hand out tests that belong to no group some at a time: whenever a test has ended, pytest-xdist looks at all groups that a worker was handed."""
    numbers: Counter[str] = Counter()
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            function = f"{item.path.stem}-{item.name.partition('[')[0]}"
            item.add_marker(pytest.mark.xdist_group(f"{function}-{numbers[function] // TOGETHER}"))
            numbers[function] += 1


def pytest_unconfigure(config: pytest.Config) -> None:
    """Keep what was compiled."""
    if KEPT in config.stash:
        kept, own = config.stash[KEPT]
        _link(Path(own.name).iterdir(), kept)
        own.cleanup()


def _link(files: Iterable[Path], folder: Path) -> None:
    """Make files appear in another folder as well; one of the same name holds the same program."""
    for file in files:
        with contextlib.suppress(FileExistsError):
            (folder / file.name).hardlink_to(file)
