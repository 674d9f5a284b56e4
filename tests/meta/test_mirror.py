"""A test is found by the name of what it tests: ``tests/`` mirrors the packages, file by file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from pathlib import PurePosixPath as Path

import pytest

from tests.support import ROOT

WINGS = ("crosscheck", "reference", "scratch", "scripts")

TOGETHER = {
    "crosscheck/causes",
    "crosscheck/causes/optimizers",
    "crosscheck/causes/variants",
    "crosscheck/oracles/optimizers",
    "crosscheck/oracles/theories",
    "crosscheck/pairs",
    "crosscheck/references/jax/graph",
    "crosscheck/references/jax/noise",
    "crosscheck/references/pytorch/graph",
    "crosscheck/references/pytorch/noise",
    "crosscheck/references/recorded",
    "crosscheck/references/slopes",
    "crosscheck/report",
    "reference",
    "scratch",
    "scratch/fast",
    "scripts/conventions",
    "scripts/source",
    "scripts/study/benchmark",
    "scripts/study/closeness",
    "scripts/study/coverage",
    "scripts/study/detection",
    "scripts/study/edits",
    "scripts/study/operations",
    "scripts/training",
}
"""Packages whose modules together are one idea: what the file of the package's name tests need not have a file of its own."""

NO_CODE = {"crosscheck/core/subject.py", "crosscheck/oracles/whole.py"}
"""Modules that only declare what others have to look like."""


def named_by(test: Path) -> Iterator[Path]:
    """Yield what a test file may be of: ``test_curve_long.py`` is of ``curve``, as ``test_curve.py`` is, and of the package ``curve`` in it."""
    words, folder = test.stem.removeprefix("test_").split("_"), test.relative_to("tests").parent
    for end in range(1, len(words) + 1):
        name = "_".join(words[:end])
        yield folder / f"{name}.py"
        if folder.name == name:
            yield folder


def packages_of_a_command(test: Path, together: Set[str]) -> Iterator[Path]:
    """Yield the packages that hold the parts of a command: ``test_measure_conventions.py`` is of ``scripts/conventions``, too."""
    if test.parent == Path("tests/scripts"):
        words = test.stem.split("_")
        yield from (Path(package) for package in together if Path(package).is_relative_to("scripts") and Path(package).name in words)


def without_a_test(modules: Iterable[Path], tests: Sequence[Path], together: Set[str]) -> list[str]:
    """Return the modules whose name no test file has, nor that of their package if its modules are tested together."""
    named = {name for test in tests for name in (*named_by(test), *packages_of_a_command(test, together))}
    return [str(module) for module in modules if module not in named and not (str(module.parent) in together and module.parent in named)]


def paths(folder: str, pattern: str) -> list[Path]:
    """Return files of a folder and of those in it, from the root of the repository on."""
    found = (Path(path.relative_to(ROOT).as_posix()) for path in (ROOT / folder).rglob(pattern))
    return sorted(path for path in found if not path.name.startswith("__"))


@pytest.mark.parametrize("wing", WINGS)
def test_module_has_a_test_of_its_name(wing: str) -> None:
    missing = without_a_test(paths(wing, "*.py"), paths(f"tests/{wing}", "test_*.py"), TOGETHER)
    assert [name for name in missing if name not in NO_CODE] == []


@pytest.mark.parametrize("wing", WINGS)
def test_test_has_the_name_of_a_module(wing: str) -> None:
    modules = {*paths(wing, "*.py")}
    known = modules | {module.parent for module in modules}
    assert [str(test) for test in paths(f"tests/{wing}", "test_*.py") if not known.intersection(named_by(test))] == []


@pytest.mark.parametrize(
    ("stray", "missing"),
    [
        ("curves/mean.py", True),
        ("curves/peak.py", False),
        ("curves/drawn.py", False),
        ("curves/long.py", True),
        ("noise/table.py", False),
        ("scripts/study/drawn.py", False),
    ],
)
def test_stray_module_is_found(stray: str, missing: bool) -> None:
    """The end of a test's name is no module's name, and a package's file counts only if its modules are tested together."""
    names = ("curves/test_curves", "curves/test_peak_long", "curves/test_drawn", "noise/test_noise", "scripts/test_measure_study")
    tests = [Path(f"tests/{name}.py") for name in names]
    assert without_a_test([Path(stray)], tests, {"noise", "scripts/study"}) == [stray] * missing
