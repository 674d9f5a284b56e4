"""The README's paragraph about the study of the catalogue, made from its JSON so that no figure is typed by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crosscheck.core.judge import Facts
from crosscheck.report.words import counted
from study.documents import DOCS, README, Block, Document
from study.pages import Sheet, markdown, measured_with, percent, wrapped


def paragraph(facts: Facts) -> str:
    """Return the figures of a study in Markdown."""
    causes, alarms = facts["causes"], facts["false_alarms"]
    seen = f"detects {facts['detected']:,}" + (f", warns of {facts['warned']:,}" if facts["warned"] else "")
    measured = f", {alarms['measured']:,} of them beside references whose rounding is measured," if alarms["measured"] else ""
    text = (
        f"Of {counted(facts['faults'], 'fault')} that people really make, each planted in a right implementation, crosscheck {seen} "
        f"and shows {facts['localised']:,} at the place where they begin; of {causes['known']:,} whose cause it knows, it names "
        f"{causes['right']:,}, and {causes['wrong']:,} get a wrong one. In {alarms['quantities']:,} compared quantities of right implementations"
        f"{measured} there {'was' if alarms['alarms'] == 1 else 'were'} "
        f"{counted(alarms['alarms'], 'false alarm') if alarms['alarms'] else 'no false alarms'}. "
        "The rules people use do as follows, with the all-ones cotangent of `sum().backward()` and with a random one, on normal inputs alone, as is "
        f"usual{'' if facts['quick'] else ', and on all that crosscheck gives'}; a fault counts where the rule rejects it and accepts the right "
        "implementation:"
    )
    missed = "; ".join(f"`{name}` ({facts['known_misses'].get(name, 'it is not known why')})" for name in facts["missed"])
    misses = f"Missed are: {missed}." if missed else ""
    parts = f"Once a part of the design is taken away, fewer are detected: {_parts(facts['ablation'])}." if facts["ablation"] else ""
    return "\n\n".join([wrapped(text), markdown(_rules(facts)), *(wrapped(part) for part in (misses, parts) if part), wrapped(measured_with(facts))])


def _rules(facts: Facts) -> Sheet:
    """Return a table of how many faults each rule detects; in a quick study, the rules get normal inputs only."""
    inputs = {"usual": "normal inputs"} if facts["quick"] else {"usual": "normal inputs", "told_apart": "all inputs"}
    columns = [f"{shown}, {cotangent}" for shown in inputs.values() for cotangent in ("all ones", "random")]
    alarms = facts["false_alarms"]
    own = f"{facts['detected']:,}", percent(alarms["alarms"], alarms["quantities"])
    rows = [("crosscheck", *[""] * (len(columns) - 1), *own)]
    for rule in dict.fromkeys(rival["rule"] for rival in facts["rivals"].values()):
        ones, drawn = (facts["rivals"][f"{rule}, {cotangent}"] for cotangent in ("all-ones", "random"))
        counts = (f"{one[what]:,}" for what in inputs for one in (ones, drawn))
        rows.append((rule, *counts, percent(drawn["alarms"], drawn["quantities"])))
    return Sheet("", ("rule", *columns, "right quantities rejected"), rows)


def _parts(ablation: Mapping[str, Any]) -> str:
    """Return how many faults are no longer detected without each part, the largest number first."""
    lost = {part: len(one["lost"]) for part, one in ablation.items()}
    words = [f"{part}, {count:,} fewer" for part, count in sorted(lost.items(), key=lambda item: -item[1]) if count]
    return "; ".join([*words, *(f"{part}, as many" for part, count in lost.items() if not count)])


def summary(facts: Facts) -> Facts:
    """Return the facts without the findings on single faults."""
    kept = {name: value for name, value in facts.items() if name != "catalogue"}
    return kept | {"rivals": {name: {what: value for what, value in rival.items() if what != "missed"} for name, rival in facts["rivals"].items()}}


DOCUMENT = Document("scripts/detection.py", DOCS / "detection.json", [Block(README, "detection", paragraph)], summary)
