"""Judge what a report says about an edit: by a rule where the sentence leaves no doubt, and otherwise by hand.

A rule only ever says that a sentence is right, because a sentence can be right in more ways than a rule knows. Verdicts by hand are in a JSON file,
by the seed, the row and the sentence, so that a verdict is void as soon as the edit or the sentence is another one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crosscheck.run.cli import UsageError
from study.edits.tasks import EDIT, NOISE, ONE_ELEMENT, TWO_EDITS

RIGHT, HALF, WRONG, UNKNOWN = "right", "half", "wrong", "unknown"
"""The sentence says what the edit did; it is true, and says less; it is not true; there is none."""
TRUE, FALSE, SILENT = "true", "false", "silent"
"""Of a fault that no edit explains: the sentence is true all the same; it is not true; there is none."""
OPEN = "to be judged"

VERDICTS = {EDIT: (RIGHT, HALF, WRONG), NOISE: (TRUE, FALSE)}
"""The verdicts by hand for each group of rows."""

RULE, HAND = "rule", "hand"

_REAL = r"\d+\.\d+(?:e-?\d+)?|\d+e-\d+"

Key = tuple[int, str, str]
"""The seed, the name of the row, and the sentence."""


@dataclass(frozen=True)
class Line:
    """The line before and after an edit, and what the report says."""

    before: str
    after: str
    sentence: str
    function: str = ""  # in which the line is
    first: str = ""  # the first wrong quantity
    causes: int = 1  # how many different sentences the report has

    @property
    def plain(self) -> bool:
        """Whether the report has one sentence, and says it of the first wrong quantity. Rules judge no other report."""
        return self.causes == 1 and self.sentence.startswith(f"{self.first}: ")


def _divides_by_n_minus_1(line: Line) -> bool:
    """Return whether the sentence says that the division is by n - 1."""
    return bool(re.search(r"(?<!not )\bby n - 1\b", line.sentence))


def _epsilon_outside(line: Line) -> bool:
    """Return whether the sentence says that the small number is outside the root."""
    return bool(re.search(r"\b(outside|after|behind)\b.*\broot\b", line.sentence))


def _overwritten(line: Line) -> bool:
    """Return whether the sentence says that contributions are overwritten."""
    return bool(re.search(r"\b(overwrit\w+|counts? once|only the last|not added)\b", line.sentence))


def _this_number(line: Line) -> bool:
    """Return whether the sentence has the number after the edit, and then, as the right one, the number before it.

    Whole numbers are too frequent for this rule.
    """
    before, after = (set(re.findall(_REAL, text)) for text in (line.before, line.after))
    old, new = before - after, after - before
    if len(old) != 1 or len(new) != 1:
        return False
    return bool(re.search(rf"{re.escape(*new)}\b.*\b(not|instead of|rather than)\b.*{re.escape(*old)}\b", line.sentence))


def _whole_sign(line: Line) -> bool:
    """Return whether the output, the input's gradient or a parameter's is negated as a whole, and the sentence says that its sign is wrong."""
    head = re.match(r"return |self\.d\w+ \+?= ", line.before)
    results = {"forward": "output", "backward": "grad_input"}
    result = ".grad" if head and head[0] != "return " else results.get(line.function, "none")
    if head is None or line.before == line.after or result not in line.first:
        return False
    value = line.before[head.end() :]
    whole = line.after in (f"{head[0]}-({value})", f"{head[0]}{value.removeprefix('-')}")
    return whole and bool(re.search(r"\bwrong sign\b|\bsign is (wrong|missing)\b", line.sentence))


def _gradient_is_0(line: Line) -> bool:
    """Return whether the statement that adds to a parameter's gradient is missing, and the sentence says that the gradient is 0."""
    return bool(re.match(r"self\.d\w+(\[.*\])? \+= ", line.before)) and bool(re.search(r"gradient is 0\b", line.sentence))


def _bias_is_missing(line: Line) -> bool:
    """Return whether a bias is left out at the end of a sum, and the sentence says so."""
    return line.before == f"{line.after} + self.b" and bool(re.search(r"\bbias is (not added|missing|left out)\b", line.sentence))


def _sum_or_mean(line: Line) -> bool:
    """Return whether a sum over the batch stands in place of the mean, or the other way round, and the sentence says so."""
    if line.after == line.before.removesuffix(" / n"):
        return bool(re.search(r"\ba sum instead of a mean\b", line.sentence))
    as_mean = line.after == line.before.replace(".sum(axis=0)", ".mean(axis=0)")
    return as_mean and bool(re.search(r"\bdivided by the batch size, \d+, once too often\b", line.sentence))


def _strictness(line: Line) -> bool:
    """Return whether a comparison with 0 is strict in place of not strict, or the other way round, and the sentence speaks of inputs that are 0."""
    comparisons = [re.sub(r"([<>])=? 0", r"\1 0", text) for text in (line.before, line.after)]
    return comparisons[0] == comparisons[1] and bool(re.search(r"\binputs that are exactly 0", line.sentence))


RULES: Mapping[str, Callable[[Line], bool]] = {
    "degrees of freedom": _divides_by_n_minus_1,
    "epsilon": _epsilon_outside,
    "= for +=": _overwritten,
    "number": _this_number,
    "sign": _whole_sign,
    "dropped statement": _gradient_is_0,
    "left-out term": _bias_is_missing,
    "left-out factor": _sum_or_mean,
    "other function": _sum_or_mean,
    "comparison": _strictness,
}
"""For a kind of edit, whether a sentence is right without doubt."""


def judged(group: str, kind: str, line: Line, by_hand: str = "") -> tuple[str, str]:
    """Return the verdict on what the report says, and how it was found: by ``"rule"`` or by ``"hand"``, which counts more; empty if it is open."""
    if not line.sentence:
        return (UNKNOWN if group == EDIT else SILENT), RULE
    if by_hand:
        return by_hand, HAND
    if group == EDIT:
        return (RIGHT, RULE) if kind in RULES and line.plain and RULES[kind](line) else (OPEN, "")
    if kind == TWO_EDITS:  # one of them may be all that the sentence speaks of, or both together may be one
        return OPEN, ""
    literal = kind == ONE_ELEMENT and re.search(r"\b(one|a single) element\b", line.sentence)
    return (TRUE if literal else FALSE), RULE


def read(path: Path | None) -> dict[Key, str]:
    """Return the verdicts in a file; UsageError says what is wrong with it."""
    if path is None:
        return {}
    try:
        entries = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"--judged {path}: cannot be read as JSON ({error}); write it with --to-judge {path}") from None
    if not isinstance(entries, list):
        raise UsageError(f"--judged {path}: holds a {type(entries).__name__}, expected a list of verdicts, as --to-judge writes it")
    found = dict[Key, str]()
    for number, entry in enumerate(entries):
        key, verdict = _entry(entry, f"--judged {path}: entry {number}")
        if verdict:
            found[key] = verdict
    return found


def _entry(entry: Any, where: str) -> tuple[Key, str]:
    if not isinstance(entry, dict) or not {"seed", "row", "sentence", "verdict"} <= entry.keys():
        raise UsageError(f"{where}: needs seed, row, sentence and verdict")
    verdict, group = entry["verdict"], NOISE if str(entry["row"]).startswith("n") else EDIT
    if verdict and verdict not in VERDICTS[group]:
        raise UsageError(f"{where}: the verdict on {entry['row']!r} is {verdict!r}, expected {', '.join(VERDICTS[group])}, or nothing")
    return (entry["seed"], entry["row"], entry["sentence"]), verdict
