"""The study as plain data: the rows, their sums, and whether the promise is kept.

Apart from the seconds, the data do not depend on how long anything took, or on how often the run was interrupted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median

from crosscheck.core.judge import Facts
from crosscheck.report.words import counted
from study.edits.judging import FALSE, HALF, HAND, OPEN, RIGHT, RULE, SILENT, TRUE, UNKNOWN, WRONG, Key, Line, judged
from study.edits.outcome import CRASHED, EQUAL, SEEN, UNDECIDED
from study.edits.results import Found
from study.edits.tasks import EDIT, FAULTS, NOISE, Task
from study.pages import percent
from study.state import kept_in_words

RIGHT_AT_LEAST, WRONG_AT_MOST = 0.75, 0.01
"""The promise: shares of the edits that the checks see in finite numbers. Besides, no fault that no edit explains is explained falsely."""

OUTCOMES = EQUAL, CRASHED, UNDECIDED, SEEN
SAID = RIGHT, HALF, WRONG, UNKNOWN, OPEN
OF_FAULTS = SILENT, TRUE, FALSE, OPEN


def facts_of(tasks: Sequence[Task], results: Sequence[Found], verdicts: Mapping[Key, str], run: Facts, command: str) -> Facts:
    """Return the study as plain data. ``verdicts`` are those by hand; ``run`` has the options and versions of the run."""
    rows = [_row(task, found, verdicts) for task, found in zip(tasks, results, strict=True)]
    edits, noise = ([row for row in rows if row["group"] == group] for group in (EDIT, NOISE))
    known = {(row["seed"], row["row"], row["sentence"]) for row in rows}
    facts: Facts = {
        "edits": _counts(edits),
        "layers": {layer: _counts([row for row in edits if row["layer"] == layer]) for layer in _names(edits, "layer")},
        "kinds": {kind: _counts([row for row in edits if row["kind"] == kind]) for kind in sorted(_names(edits, "kind"))},
        "noise": {fault: _counts([row for row in noise if row["kind"] == fault], OF_FAULTS) for fault in FAULTS},
        "judged_by": dict(Counter(row["judged_by"] for row in rows if row["sentence"] and row["judged_by"])),
        "open": [row["row"] for row in rows if row["verdict"] == OPEN],
        "failed": [f"{row['row']}: {row['failed']}" for row in rows if row["failed"]],
        "unused_verdicts": [f"{row}: {sentence}" for seed, row, sentence in verdicts if (seed, row, sentence) not in known],
        "rows": rows,
        "command": command,
        **run,
    }
    facts["judged_by"] = {way: facts["judged_by"].get(way, 0) for way in (RULE, HAND)}
    facts["false"] = sum(one[FALSE] for one in facts["noise"].values())
    complete = bool(facts["edits"][SEEN]) and not facts["open"] and not facts["failed"]
    facts["status"], facts["verdict"], word = kept_in_words(_possible(facts), complete)
    facts["headline"] = f"{word}: {'; '.join(_sums(facts))}"
    return facts


def _row(task: Task, found: Found, verdicts: Mapping[Key, str]) -> Facts:
    by_hand = verdicts.get((task.seed, task.name, found.sentence), "")
    line = Line(task.before, task.after, found.sentence, task.method, found.quantity, len({words for *_, words in found.causes}))
    verdict, way = judged(task.group, task.kind, line, by_hand) if found.outcome == SEEN else ("", "")
    return {
        "row": task.name,
        "group": task.group,
        "layer": task.layer,
        "kind": task.kind,
        "function": task.method,
        "before": task.before,
        "after": task.after,
        "fault": found.fault,
        "outcome": found.outcome,
        "check": found.check,
        "quantity": found.quantity,
        "cause": found.cause,
        "sentence": found.sentence,
        "words": found.words,
        "verdict": verdict,
        "judged_by": way,
        "failed": found.failed,
        "seed": task.seed,
        "seconds": found.seconds,
        "seconds_without_search": found.seconds - found.search_seconds,
    }


def _names(rows: Sequence[Facts], what: str) -> list[str]:
    return list(dict.fromkeys(row[what] for row in rows))


def _counts(rows: Sequence[Facts], verdicts: Sequence[str] = SAID) -> Facts:
    seen = [row for row in rows if row["outcome"] == SEEN]
    return {
        "rows": len(rows),
        **{outcome: sum(row["outcome"] == outcome for row in rows) for outcome in OUTCOMES},
        "explained": sum(bool(row["sentence"]) for row in seen),
        **{verdict: sum(row["verdict"] == verdict for row in seen) for verdict in verdicts},
        **{what: _seconds([row[what] for row in seen]) for what in ("seconds", "seconds_without_search")},
    }


def _seconds(values: Sequence[float]) -> Facts:
    return {"median": median(values), "worst": max(values)} if values else {"median": None, "worst": None}


def _possible(facts: Facts) -> bool:
    """Return whether the promise is kept, if all that is still to be judged is right."""
    edits = facts["edits"]
    return bool(
        edits[RIGHT] + edits[OPEN] + len(facts["failed"]) >= RIGHT_AT_LEAST * edits[SEEN]
        and edits[WRONG] <= WRONG_AT_MOST * edits[SEEN]
        and not facts["false"]
    )


def _sums(facts: Facts) -> list[str]:
    edits, planted = facts["edits"], sum(one[SEEN] for one in facts["noise"].values())
    said = ", ".join(f"{edits[verdict]:,} {verdict}" for verdict in (HALF, WRONG, UNKNOWN))
    left = counted(len(facts["open"]), "sentence")
    return [
        f"{edits[RIGHT]:,} of {counted(edits[SEEN], 'edit')} explained rightly ({percent(edits[RIGHT], edits[SEEN])}), {said}",
        f"{facts['false']:,} of {counted(planted, 'fault')} that no edit explains explained falsely",
        *([f"{left} to be judged by hand"] if facts["open"] else []),
    ]
