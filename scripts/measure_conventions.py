"""Measure where PyTorch, JAX and Keras disagree, and write docs/conventions.md.

Where the frameworks do different things and each is right in its own way, that is a convention: the gradient of a maximum that ties, which way round
a momentum is meant, where an epsilon stands. Each has a name, by which verdicts call it, too. Nothing on the page is typed in by hand: for each
convention a probe runs each framework on a tiny input, and what comes out is compared with what each possible answer would give. What fits none of
them is called unknown.

  python scripts/measure_conventions.py            measure and write the page
  python scripts/measure_conventions.py --check    measure and compare with the page that is there; for continuous integration

Exit status: 0 all is known and, with --check, the page is what is measured now; 1 something is unknown or the page is something else; 2 it could not
be measured. The line that names the versions is not compared: other versions that answer alike leave the page right.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conventions.answers import QUESTIONS, UNKNOWN, Measured, Probe, answer, shown
from rich.console import Console

from crosscheck.checks.conventions import CONVENTIONS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "conventions.md"
FRAMEWORKS = {"PyTorch": "conventions.in_torch", "JAX": "conventions.in_jax", "Keras": "conventions.in_keras", "scratch": "conventions.in_scratch"}
"""The module with the probes of each framework, imported once it is asked for."""
JUDGES = ("PyTorch", "JAX", "Keras")
"""Those whose disagreement makes a convention; scratch only follows."""
VERSIONS = "Measured with "
MOST_SHOWN = 40
"""Lines of a difference between two pages that are printed."""
_REFUSALS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


class UnmeasurableError(Exception):
    """The frameworks cannot be asked; the message says which one, and what to do."""


@dataclass(frozen=True)
class Finding:
    """What one call of a framework answers to a convention.

    Attributes
    ----------
    error : str
        What the framework said where it refused.
    """

    convention: str
    framework: str
    call: str
    measured: Measured
    answer: str
    error: str = ""


def find(convention: str, framework: str, call: str, probe: Probe) -> Finding:
    """Run a probe and return what it finds; a framework that refuses is measured by the kind of its error."""
    measured, error = _run(probe)
    return Finding(convention, framework, call, measured, answer(QUESTIONS[convention], measured), error)


def _run(probe: Probe) -> tuple[Measured, str]:
    try:
        return probe(), ""
    except _REFUSALS as error:
        return type(error).__name__, next(iter(str(error).splitlines()), "")


def probes_of(framework: str) -> Any:
    """Return the module with a framework's probes.

    Raises
    ------
    UnmeasurableError
        If the framework is not installed.
    """
    try:
        return importlib.import_module(FRAMEWORKS[framework])
    except ImportError as error:
        raise UnmeasurableError(f"{framework} cannot be imported ({error}); pip install -c constraints.txt -e '.[all]'") from error


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
    """Yield the page's row of each finding."""
    for finding in findings:
        yield f"| {finding.framework} | `{finding.call}` | {finding.answer} | {shown(finding.measured)} |"


def differences(there: str, measured: str, path: Path) -> list[str]:
    """Return in what two pages differ, as lines of a unified diff, versions left out; none where they are the same."""
    before, now = ([line for line in text.splitlines() if not line.startswith(VERSIONS)] for text in (there, measured))
    return list(difflib.unified_diff(before, now, str(path), "measured now", lineterm="", n=0))


def _measured(console: Console) -> tuple[list[Finding], list[str]]:
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


def _checked(path: Path, text: str, console: Console) -> int:
    """Compare the page that is there with what was measured; return the exit status."""
    if not path.exists():
        console.print(f"{path}: there is no page; write it with: python scripts/measure_conventions.py", markup=False, soft_wrap=True)
        return 1
    if found := differences(path.read_text(encoding="utf-8"), text, path):
        console.print(
            f"{path}: not what is measured now; if that is how it should be, run python scripts/measure_conventions.py", markup=False, soft_wrap=True
        )
        console.print("\n".join(found[:MOST_SHOWN]), markup=False, highlight=False, soft_wrap=True)
        if len(found) > MOST_SHOWN:
            console.print(f"... and {len(found) - MOST_SHOWN:,} more lines")
        return 1
    console.print(f"{path}: what is measured now", markup=False, soft_wrap=True)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write or compare; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; say whether the page is what is measured now")
    parser.add_argument("--page", type=Path, default=PAGE, metavar="FILE", help="the page; docs/conventions.md if left out")
    options = parser.parse_args(arguments)
    console, errors = Console(), Console(stderr=True)
    try:
        findings, versions = _measured(errors)
        text = page(findings, versions)
        if options.check:
            status = _checked(options.page, text, console)
        else:
            options.page.write_text(text, encoding="utf-8")
            console.print(f"{options.page}: {len(CONVENTIONS)} conventions, {len(findings)} answers", markup=False, soft_wrap=True)
            status = 0
    except (UnmeasurableError, OSError) as error:
        errors.print(f"measure_conventions: {error}", markup=False, soft_wrap=True)
        return 2
    unknown = [finding for finding in findings if finding.answer == UNKNOWN]
    for finding in unknown:
        what = shown(finding.measured) + (f": {finding.error}" if finding.error else "")
        place = f"{finding.convention}: {finding.framework}, {finding.call}"
        errors.print(f"{place}: unknown, {what}; add what it means to scripts/conventions/answers.py", markup=False, soft_wrap=True)
    return 1 if unknown else status


if __name__ == "__main__":
    sys.exit(main())
