"""A test is found by the name of what it tests: ``tests/`` mirrors the packages, file by file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from pathlib import PurePosixPath as Path

import pytest

from tests.support import ROOT

WINGS = ("crosscheck", "reference", "scratch", "scripts")

TOGETHER = {
    "crosscheck/causes",
    "crosscheck/oracles/optimizers",
    "crosscheck/oracles/theories",
    "crosscheck/pairs",
    "crosscheck/references/jax/noise",
    "crosscheck/references/pytorch/noise",
    "crosscheck/references/recorded",
    "crosscheck/references/slopes",
    "crosscheck/report",
}
"""Packages whose modules together are one idea: what the file of the package's name tests need not have a file of its own."""

NO_CODE = {"crosscheck/core/subject.py"}
"""Modules that only declare what others have to look like."""

UNTESTED: Sequence[str] = (
    "reference/framework.py",
    "reference/jax.py",
    "reference/keras.py",
    "reference/on_jax.py",
    "scratch/adadelta.py",
    "scratch/adam.py",
    "scratch/arguments.py",
    "scratch/average.py",
    "scratch/channels.py",
    "scratch/composite.py",
    "scratch/convolution.py",
    "scratch/fast/activation.py",
    "scratch/fast/adadelta.py",
    "scratch/fast/convolution.py",
    "scratch/fast/dropout.py",
    "scratch/fast/linear.py",
    "scratch/fast/pooling.py",
    "scratch/fast/windows.py",
    "scratch/gelu.py",
    "scratch/linear.py",
    "scratch/logsoftmax.py",
    "scratch/loss.py",
    "scratch/padding.py",
    "scratch/pooling.py",
    "scratch/rmsprop.py",
    "scratch/sequential.py",
    "scratch/sgd.py",
    "scratch/shape.py",
    "scripts/conventions",
    "scripts/cost/files.py",
    "scripts/cost/layers.py",
    "scripts/detection_alarms.py",
    "scripts/digits/batches.py",
    "scripts/make_subset.py",
    "scripts/measure_checks.py",
    "scripts/measure_layers.py",
    "scripts/source/graph.py",
    "scripts/source/texts.py",
    "scripts/source/tolerances.py",
    "scripts/source/travel.py",
    "scripts/study/benchmark",
    "scripts/study/command.py",
    "scripts/study/coverage",
    "scripts/study/detection",
    "scripts/study/operations",
    "scripts/study/pages.py",
    "scripts/study/state.py",
    "scripts/training",
)
"""Modules that have no test file of their name yet, or folders of them."""

UNNAMED: Sequence[str] = (
    "tests/scratch/fast/test_beside_plain.py",
    "tests/scripts/study/test_operations.py",
    "tests/scripts/test_augmented_training.py",
)
"""Test files that have a name of their own yet."""


def named_by(test: Path) -> Iterator[Path]:
    """Yield what a test file may be of: ``test_curve_long.py`` is of ``curve``, as ``test_curve.py`` is, and of the package ``curve`` in it."""
    words, folder = test.stem.removeprefix("test_").split("_"), test.relative_to("tests").parent
    for end in range(1, len(words) + 1):
        name = "_".join(words[:end])
        yield folder / f"{name}.py"
        if folder.name == name:
            yield folder


def without_a_test(modules: Iterable[Path], tests: Iterable[Path], together: Set[str]) -> list[str]:
    """Return the modules whose name no test file has, nor that of their package where its modules are tested together."""
    named = {name for test in tests for name in named_by(test)}
    return [str(module) for module in modules if module not in named and not (str(module.parent) in together and module.parent in named)]


def paths(folder: str, pattern: str) -> list[Path]:
    """Return files of a folder and of those in it, from the root of the repository on."""
    found = (Path(path.relative_to(ROOT).as_posix()) for path in (ROOT / folder).rglob(pattern))
    return sorted(path for path in found if not path.name.startswith("__"))


@pytest.mark.parametrize("wing", WINGS)
def test_module_has_a_test_of_its_name(wing: str) -> None:
    missing = without_a_test(paths(wing, "*.py"), paths(f"tests/{wing}", "test_*.py"), TOGETHER)
    assert [name for name in missing if name not in NO_CODE and not any(Path(name).is_relative_to(known) for known in UNTESTED)] == []


@pytest.mark.parametrize("wing", WINGS)
def test_test_has_the_name_of_a_module(wing: str) -> None:
    modules = {*paths(wing, "*.py")}
    known = modules | {module.parent for module in modules}
    assert [str(test) for test in paths(f"tests/{wing}", "test_*.py") if not known.intersection(named_by(test)) and str(test) not in UNNAMED] == []


@pytest.mark.parametrize(
    ("stray", "missing"),
    [("curves/mean.py", True), ("curves/peak.py", False), ("curves/drawn.py", False), ("curves/long.py", True), ("noise/table.py", False)],
)
def test_stray_module_is_found(stray: str, missing: bool) -> None:
    """The end of a test's name is no module's name, and a package's file counts only where its modules are tested together."""
    tests = [Path(f"tests/{name}") for name in ("curves/test_curves.py", "curves/test_peak_long.py", "curves/test_drawn.py", "noise/test_noise.py")]
    assert without_a_test([Path(stray)], tests, {"noise"}) == [stray] * missing
