"""What may be imported where, tried out in a fresh interpreter: the rules of imports say what the code promises, this says what happens."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys

import pytest

import crosscheck
from tests.support import ROOT

BRIDGES = tuple(f"crosscheck.references.{name}" for name in ("pytorch", "jax", "keras"))
FRAMEWORKS = ("torch", "jax", "keras", "tensorflow")
CORE = sorted(module.name for module in pkgutil.walk_packages(crosscheck.__path__, "crosscheck.") if not module.name.startswith(BRIDGES))
REFUSING = f"""
import importlib, json, sys

class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {FRAMEWORKS!r}:
            raise ImportError(f"{{name}} is not installed")

sys.meta_path.insert(0, Refused())
known = set(sys.modules)
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
print(json.dumps(sorted(name.partition(".")[0] for name in set(sys.modules) - known)))
"""


def imported(*modules: str) -> subprocess.CompletedProcess[str]:
    """Import modules where no framework is installed; the output is the list of packages that came with them."""
    command = [sys.executable, "-c", REFUSING, json.dumps(modules)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)  # noqa: S603 - our own interpreter


def test_core_needs_no_framework() -> None:
    """Every module of the harness but the bridges themselves can be imported without a framework."""
    assert len(CORE) > 20
    result = imported(*CORE)
    assert result.returncode == 0, result.stderr


def test_bridge_needs_its_framework() -> None:
    """The refusal works: otherwise the test above shows nothing."""
    result = imported("crosscheck.references.pytorch.oracle")
    assert result.returncode == 1
    assert "ImportError: torch is not installed" in result.stderr


@pytest.mark.parametrize("module", ["scratch", "scratch.article", "scratch.fast", "scratch.networks"])
def test_scratch_stands_on_numpy_alone(module: str) -> None:
    result = imported(module)
    assert result.returncode == 0, result.stderr
    packages = {name for name in json.loads(result.stdout) if name not in sys.stdlib_module_names}
    assert packages == {"numpy", "scratch"}


def test_plain_layers_need_no_fast_ones() -> None:
    code = "import sys, scratch; print([name for name in sys.modules if name.startswith('scratch.fast')])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603 - our own interpreter
    assert result.stdout == "[]\n"
