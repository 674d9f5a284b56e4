"""Write docs/conventions.md: each framework's answer to each convention, measured by probes."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from conventions.answers import QUESTIONS, Measured, Probe, answer, shown
from crosscheck.causes.conventions import CONVENTIONS
from crosscheck.run.cli import UsageError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "conventions.md"
FRAMEWORKS = {"PyTorch": "conventions.in_torch", "JAX": "conventions.in_jax", "Keras": "conventions.in_keras", "scratch": "conventions.in_scratch"}
"""For each framework, the module with its probes; importing this module imports the framework."""
JUDGES = ("PyTorch", "JAX", "Keras")
"""The page lists a convention under "Where they differ" if these frameworks disagree; scratch does not count."""
VERSIONS = "Measured with "
_REFUSALS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class Finding:
    """The answer that one call of a framework gives to a convention."""

    convention: str
    framework: str
    call: str
    measured: Measured
    answer: str
    error: str = ""  # the first line of the framework's error message, if it raised one


def find(convention: str, framework: str, call: str, probe: Probe) -> Finding:
    """Run a probe and return its finding; if the framework raises an error, the measurement is the error's type."""
    measured, error = _run(probe)
    return Finding(convention, framework, call, measured, answer(QUESTIONS[convention], measured), error)


def _run(probe: Probe) -> tuple[Measured, str]:
    try:
        return probe(), ""
    except _REFUSALS as error:
        return type(error).__name__, next(iter(str(error).splitlines()), "")


def probes_of(framework: str) -> Any:
    """Return the module with a framework's probes; raise UsageError if the framework is not installed."""
    try:
        return importlib.import_module(FRAMEWORKS[framework])
    except ImportError as error:
        raise UsageError(f"{framework} cannot be imported ({error}); pip install -c constraints.txt -e '.[all]'") from error


def page(findings: Sequence[Finding], versions: Sequence[str]) -> str:
    """Return the page."""
    differing = [name for name in CONVENTIONS if _differs(name, findings)]
    agreeing = [name for name in CONVENTIONS if name not in differing]
    lines = [
        "# Conventions",
        "",
        "Where right implementations do different things, and what each of them does. Each convention has a name, which verdicts use as well.",
        "",
        "This page is written by `python scripts/measure_conventions.py`; do not edit it. A probe ran each framework on a tiny input, on a CPU and",
        "with nothing set but what is shown; an answer is the name of what came out. Where a framework has no row, it has no such thing of its",
        "own. JAX itself has no layers, losses or optimizers: asked are stax, the small library of layers that comes with it, and optax.",
        "",
        f"{VERSIONS}{'; '.join(versions)}.",
        "",
        "## Where they differ",
        "",
        *_overview(differing, findings),
        "",
        "## Where they agree",
        "",
        "Those that have an answer; textbooks and other tools have others.",
        "",
        *_overview(agreeing, findings),
    ]
    lines += ["", "## One by one"]
    for name in CONVENTIONS:
        lines += ["", *_section(name, findings)]
    return "\n".join(lines) + "\n"


def _differs(convention: str, findings: Sequence[Finding]) -> bool:
    return len({f.answer for f in findings if f.convention == convention and f.framework in JUDGES}) > 1


def _overview(names: Sequence[str], findings: Sequence[Finding]) -> Iterator[str]:
    yield f"| convention | {' | '.join(FRAMEWORKS)} |"
    yield f"|{' --- |' * (1 + len(FRAMEWORKS))}"
    for name in names:
        cells = [f"[{name}](#{name})"]
        for framework in FRAMEWORKS:
            answers = dict.fromkeys(f.answer for f in findings if (f.convention, f.framework) == (name, framework))
            cells.append("; ".join(answers) or "-")
        yield f"| {' | '.join(cells)} |"


def _section(name: str, findings: Sequence[Finding]) -> Iterator[str]:
    yield from (f"### {name}", "", CONVENTIONS[name], "", f"| framework | call | answer | {QUESTIONS[name].measured} |", "| --- | --- | --- | --- |")
    yield from rows(finding for finding in findings if finding.convention == name)


def rows(findings: Iterable[Finding]) -> Iterator[str]:
    """Yield the row of each finding on the page."""
    for finding in findings:
        yield f"| {finding.framework} | `{finding.call}` | {finding.answer} | {shown(finding.measured)} |"


def differences(there: str, measured: str, path: Path) -> list[str]:
    """Return a unified diff of two pages as lines, without the line that names the versions; empty if the pages agree."""
    before, now = ([line for line in text.splitlines() if not line.startswith(VERSIONS)] for text in (there, measured))
    return list(difflib.unified_diff(before, now, str(path), "measured now", lineterm="", n=0))


def measured(console: Console) -> tuple[list[Finding], list[str]]:
    """Run all probes; return the findings, and the version of each framework."""
    findings: list[Finding] = []
    versions = []
    with console.status("") as status:
        for framework in FRAMEWORKS:
            status.update(f"importing {framework}")
            module = probes_of(framework)
            versions.append(module.VERSION)
            for convention, calls in module.PROBES.items():
                status.update(f"{framework}: {convention}")
                findings += [find(convention, framework, call, probe) for call, probe in calls.items()]
    return findings, versions
