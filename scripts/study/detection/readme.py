"""The README's paragraph about the study, made from its JSON, so that no figure in it is anybody's memory."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crosscheck.core.judge import Facts
from crosscheck.report.words import counted
from study import generated_text

BEGIN, END = "<!-- detection: begin -->", "<!-- detection: end -->"
"""Lines of the README between which the paragraph stands."""
_WIDTH = 150


def facts_in(path: Path) -> Facts:
    """Return the facts of a study from its JSON.

    Raises
    ------
    PageError
        If it is none.
    """
    return generated_text.facts_in(path, "scripts/detection.py", paragraph)


def paragraph(facts: Facts) -> str:
    """Return the figures of a study in Markdown."""
    causes, alarms, total = facts["causes"], facts["false_alarms"], facts["faults"]
    warned = facts.get("warned", 0)  # none was, as long as every broken contract counted
    seen = f"detects {facts['detected']:,}" + (f", warns of {warned:,}" if warned else "")
    text = (
        f"Of {counted(total, 'fault')} that people really make, each planted in a right implementation, crosscheck {seen} "
        f"and shows {facts['localised']:,} at the place where they begin; of {causes['known']:,} whose cause it knows, it names "
        f"{causes['right']:,}, and {causes['wrong']:,} get a wrong one. In {alarms['quantities']:,} compared quantities of right implementations"
        f"{_of_measured(alarms)} there {'was' if alarms['alarms'] == 1 else 'were'} "
        f"{counted(alarms['alarms'], 'false alarm') if alarms['alarms'] else 'no false alarms'}. "
        "The rules people use do as follows, with the all-ones cotangent of `sum().backward()` and with a random one, on normal inputs alone, as is "
        f"usual{'' if facts['quick'] else ', and on all that crosscheck gives'}; a fault counts where the rule rejects it and accepts the right "
        "implementation:"
    )
    missed = "; ".join(f"`{name}` ({facts['known_misses'].get(name, 'it is not known why')})" for name in facts["missed"])
    misses = f"Missed are: {missed}." if missed else ""
    rules = dict.fromkeys(rival["rule"] for rival in facts["rivals"].values())
    # A quick study gives the rules normal inputs alone.
    inputs = {"usual": "normal inputs"} if facts["quick"] else {"usual": "normal inputs", "told_apart": "all inputs"}
    columns = [f"{shown}, {cotangent}" for shown in inputs.values() for cotangent in ("all ones", "random")]
    rows = [
        f"| rule | {' | '.join(columns)} | right quantities rejected |",
        f"| --- |{' ---: |' * (len(columns) + 1)}",
        f"| crosscheck |{' |' * (len(columns) - 1)} {facts['detected']:,} | {percent(alarms['alarms'], alarms['quantities'])} |",
    ]
    for rule in rules:
        ones, drawn = (facts["rivals"][f"{rule}, {cotangent}"] for cotangent in ("all-ones", "random"))
        counts = " | ".join(f"{one[what]:,}" for what in inputs for one in (ones, drawn))
        rows.append(f"| {_cell(rule)} | {counts} | {percent(drawn['alarms'], drawn['quantities'])} |")
    parts = f"Once a part of the design is taken away, fewer are detected: {_parts(facts['ablation'])}." if facts["ablation"] else ""
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    source = f"Measured with {versions}, seed {facts['seed']}; `{facts['command']}` measures it again."
    return "\n\n".join([_wrapped(text), "\n".join(rows), *(_wrapped(part) for part in (misses, parts) if part), _wrapped(source)])


def _of_measured(alarms: Facts) -> str:
    """Return how many tolerances come from measured rounding, which earlier studies do not say."""
    return f", {alarms['measured']:,} of them beside references whose rounding is measured," if alarms.get("measured") else ""


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, _WIDTH, break_on_hyphens=False))


def _parts(ablation: Mapping[str, Any]) -> str:
    """Return how many faults are lost without each part, those first without which most are, and those last without which none is."""
    lost = {part: len(one["lost"]) for part, one in ablation.items()}
    words = [f"{part}, {count:,} fewer" for part, count in sorted(lost.items(), key=lambda item: -item[1]) if count]
    return "; ".join([*words, *(f"{part}, as many" for part, count in lost.items() if not count)])


def percent(alarms: int, quantities: int) -> str:
    """Return a part of a whole in percent, with two digits that tell it from none."""
    if not quantities:
        return "-"
    percent = 100 * alarms / quantities
    return f"{percent:.{max(0, 1 - math.floor(math.log10(percent)))}f} %" if percent else "0"


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def write(page: Path, source: Path) -> None:
    """Put the paragraph into the README.

    Raises
    ------
    PageError
    """
    generated_text.put_between(page, BEGIN, END, paragraph(facts_in(source)))
