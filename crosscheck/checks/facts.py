"""Facts about checked pairs as plain data for JSON. The terminal text, the HTML page, test messages and files are made from these facts.

Facts of a check are made in the process that runs the check, and collected in the process that writes the report.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crosscheck.causes.divergence import divergence_facts
from crosscheck.checks import Check, CheckResult
from crosscheck.checks.check import never_judged, overall
from crosscheck.core import __version__
from crosscheck.core.files import shown
from crosscheck.core.guard import printable
from crosscheck.core.judge import EXIT_STATUS, Facts, Verdict, judgement_facts
from crosscheck.pairs.cases import axis_in_words
from crosscheck.pairs.declaration import Declaration
from crosscheck.pairs.pair import Pair
from crosscheck.pairs.prepare import prepare
from crosscheck.pairs.sizes import BUDGET, FEW
from crosscheck.report.words import counted, first_mismatch, warnings, widened

SCHEMA_VERSION = 2


@dataclass
class PairRun:
    """What the caller knows about a run of checks."""

    command: str  # the command line that repeats the run
    seed: int
    asked: int  # how many checks were selected
    deselected: int = 0  # how many other checks the pairs have
    interrupted: bool = False
    seconds: float = 0.0


def cleaned(facts: Any) -> Any:
    """Return a copy of facts with control characters and lone surrogates escaped in all texts."""
    if isinstance(facts, dict):
        return {cleaned(name): cleaned(value) for name, value in facts.items()}
    if isinstance(facts, list):
        return [cleaned(value) for value in facts]
    return printable(facts) if isinstance(facts, str) and not facts.isprintable() else facts


def check_facts(check: Check, result: CheckResult, reproduce: str, seconds: float) -> Facts:
    """Return a check's findings as plain data; ``reproduce`` is the command that reruns just this check."""
    small = result.reproduction
    return {
        "check": check.name,
        "about": check.about,
        "dtype": check.dtype,
        "verdict": result.verdict.value,
        "counts_as": result.counted.value,
        "reason": result.reason,
        "expected_difference": result.expected,
        "warning": result.warning,
        "notes": list(result.notes),
        "quantities": [{"shape": shape} | judgement_facts(judgement) for shape, judgement in result.judgements],
        "first_divergence": None if result.divergence is None else divergence_facts(result.divergence, reproduce),
        "other_divergences": [divergence_facts(divergence, reproduce) for divergence in result.others],
        "reproduce": reproduce,
        "small_case": None if small is None else {"input_elements": small.elements, "script": small.script, "file": ""},
        "seconds": round(seconds, 3),
    }


def pair_facts(pair: Declaration, error: str = "") -> Facts:
    """Return the facts of a pair, without its checks. ``error`` says why the pair cannot be checked; it is empty if the pair can be checked."""
    return blank(pair.title) | {
        "kind": type(pair).__name__,
        "file": "" if pair.origin is None else shown(pair.origin),
        "references": [] if error else list(prepare(pair).reference_names),
        "inferred": [] if error else list(prepare(pair).inferred),
        "sizes": None if error else _size_facts(pair),
        "dtypes": list(pair.dtypes),
        "deterministic": getattr(pair, "deterministic", True),
        "error": error,
    }


def _size_facts(pair: Declaration) -> Facts | None:
    """Return the sizes on which a pair of layers is tried beside the declared ones; None for other pairs, and if there is no reference."""
    if not isinstance(pair, Pair) or pair.reference is None:
        return None
    prepared = prepare(pair)
    return {
        "declared": len(prepared.cases),
        "tried": [case.beside(prepared.cases[0]) for case in prepared.derived],
        "refused": [axis_in_words(axis) for axis in prepared.sizes.refused],
        "numbers": sum(case.elements for case in prepared.derived),
        "most_numbers_of_one": BUDGET,
    }


def blank(name: str) -> Facts:
    """Return the facts of a pair of which only the name is known."""
    return {
        "name": name,
        "kind": "Pair",
        "file": "",
        "references": [],
        "inferred": [],
        "sizes": None,
        "dtypes": [],
        "deterministic": True,
        "error": "",
        "checks": [],
    }


def collect(pairs: Sequence[Facts], run: PairRun) -> Facts:
    """Return the facts of a whole run. ``pairs`` holds the facts of each pair, with the facts of the pair's checks in ``"checks"``."""
    judged = [pair | {"verdict": pair_verdict(pair).value, "never_judged": unjudged(pair)} for pair in map(cleaned, pairs)]
    done = sum(len(pair["checks"]) for pair in judged)
    verdict = run_verdict([Verdict(pair["verdict"]) for pair in judged], complete=done >= run.asked and not run.interrupted)
    return {
        "kind": "pairs",
        "schema_version": SCHEMA_VERSION,
        "crosscheck_version": __version__,
        "verdict": verdict.value,
        "exit_status": EXIT_STATUS[verdict],
        "headline": headline(judged, verdict, run, done),
        "warnings": sum(len(warnings(pair)) for pair in judged),
        "pairs": judged,
        "checks_requested": run.asked,
        "checks_done": done,
        "checks_deselected": run.deselected,
        "seed": run.seed,
        "command": run.command,
        "interrupted": run.interrupted,
        "environment": {"python": platform.python_version(), "numpy": np.__version__},
        "seconds": round(run.seconds, 3),
    }


def small_cases(facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield (pair name, script) for each pair whose first mismatch has a small case."""
    for pair in facts["pairs"]:
        first = first_mismatch(pair)
        if first and first["small_case"]:
            yield pair["name"], first["small_case"]["script"]


def pair_verdict(pair: Facts) -> Verdict:
    """Return the verdict on a pair from the facts of its checks."""
    if pair["error"]:
        return Verdict.UNDECIDED
    return overall([(check["check"], Verdict(check["counts_as"])) for check in pair["checks"]], unjudged(pair))


def unjudged(pair: Facts) -> list[str]:
    """Return the quantities of a pair that no check could judge, each with its precision."""
    quantities = [(check["dtype"], quantity) for check in pair["checks"] for quantity in check["quantities"]]
    return never_judged([(f"{dtype} {q['quantity']}", q["verdict"], q["reason"]) for dtype, q in quantities])


def run_verdict(pairs: Sequence[Verdict], complete: bool) -> Verdict:
    """Return the verdict on a run: ``match`` only if every pair matches and no selected check was left out."""
    if Verdict.MISMATCH in pairs:
        return Verdict.MISMATCH
    if not pairs or all(verdict is Verdict.SKIPPED for verdict in pairs):
        return Verdict.SKIPPED
    return Verdict.MATCH if complete and set(pairs) == {Verdict.MATCH} else Verdict.UNDECIDED


def headline(pairs: Sequence[Facts], verdict: Verdict, run: PairRun, done: int) -> str:
    """Return the report's first line: the verdict, what it is based on, and what was not run or not judged."""
    checks = [check for pair in pairs for check in pair["checks"]]
    compared = sum(quantity["verdict"] in ("match", "mismatch") for check in checks for quantity in check["quantities"])
    basis = [counted(done, "check"), f"{counted(compared, 'quantity', 'quantities')} compared", *_passed_over(checks, run)]
    which = [pair for pair in pairs if pair["verdict"] == verdict.value]
    unchecked = [pair for pair in pairs if pair["verdict"] in ("undecided", "skipped")]
    undone = f"interrupted after {done:,} of {counted(run.asked, 'check')}; " if run.interrupted else ""
    if not undone and done < run.asked:
        undone = f"only {done:,} of {counted(run.asked, 'check')} were run; "
    several = f"{len(which):,} of {counted(len(pairs), 'pair')}"
    expected = any(check["expected_difference"] for check in checks)
    these = pairs[0]["name"] if len(pairs) == 1 else f"all {len(pairs):,} pairs"
    what = {
        Verdict.MATCH: f"MATCH: rounding explains every difference of {these}{' except the declared ones' if expected else ''}",
        Verdict.MISMATCH: f"MISMATCH: {undone}{several} {'differs' if len(which) == 1 else 'differ'}: {_names(which)}",
        Verdict.UNDECIDED: f"UNDECIDED: {undone}no mismatch, but not everything could be judged",
        Verdict.SKIPPED: f"NOT CHECKED: {undone}nothing was compared",
    }[verdict]
    also = f"; {len(unchecked):,} could not be checked: {_names(unchecked)}" if unchecked and verdict is not Verdict.SKIPPED else ""
    return f"{what}{also}{_few_sizes(which) if verdict is Verdict.MATCH else ''}; {', '.join(basis)}"


def _few_sizes(pairs: Sequence[Facts]) -> str:
    """Return words about matching pairs for which no other sizes than the declared ones, or only few, were tried; empty if there are none."""
    known = [(pair, pair["sizes"]["declared"] - 1, len(pair["sizes"]["tried"])) for pair in pairs if pair["sizes"] is not None]
    none = [pair for pair, _, tried in known if not tried]
    few = [pair for pair, declared, tried in known if tried and declared + tried < FEW]
    words = f"; on the declared sizes only: {_names(none)}" if none else ""
    return words + (f"; on fewer than {FEW} other sizes: {_names(few)}" if few else "")


def _passed_over(checks: Sequence[Facts], run: PairRun) -> Iterator[str]:
    expected = sum(bool(check["expected_difference"]) for check in checks)
    warned = sum(check["warning"] for check in checks)
    skipped = sum(check["verdict"] == Verdict.SKIPPED for check in checks)
    if many := len(widened([quantity for check in checks for quantity in check["quantities"]])):
        yield f"{counted(many, 'tolerance')} widened by the reference's own rounding error"
    for count, one, several in (
        (skipped, "does not apply", "do not apply"),
        (expected, "is expected to differ", "are expected to differ"),
        (run.deselected, "was not selected", "were not selected"),
    ):
        if count:
            yield f"{counted(count, 'check')} {one if count == 1 else several}"
    if warned:
        yield counted(warned, "warning")


def _names(pairs: Sequence[Facts]) -> str:
    shown = ", ".join(pair["name"] for pair in pairs[:4])
    return shown + (f" and {len(pairs) - 4:,} more" if len(pairs) > 4 else "")
