"""Facts in words: what each form of the report, and a failing test's message, say about them."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from crosscheck.core.judge import CONTRACT, Effect, Facts, Verdict


def counted(count: int, one: str, several: str = "") -> str:
    """Return a number with its noun: ``1 check``, ``1,200 checks``."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def rows(first: Facts) -> Iterator[tuple[str, str]]:
    """Yield what is known about a divergence, each with its heading."""
    step = f"step {first['step']}, " if first["step"] else ""
    yield "where", f"{step}{first['layer']}.{first['quantity']} ({first['kind']})"
    if first["source"]:
        yield "computed in", first["source"]
    if first["worst_element"] and first["error_units"] is not None:
        yield "size", size_in_words(first)
    if first["reason"]:
        yield "found", first["reason"]
    if first.get("witness") and first["witness"]["effect"] == "widened":
        yield "tolerance", f"widened: {witness_in_words(first)}"
    yield "likely cause", first["cause_in_words"]
    if worst := first["worst_element"]:
        yield "worst element", f"{worst['index']}: subject {_value(worst['subject'])}, oracle {_value(worst['oracle'])}"
    if first["isolated"]:
        yield "isolated", f"given the reference's own values: {first['isolated']['verdict']}"


def size_in_words(judgement: Facts) -> str:
    """Return how large an error is, in error units and beside its tolerance."""
    fraction = judgement["fraction_of_tolerance"]
    beyond = "none is tolerated" if fraction is None else f"{fraction_in_words(fraction, 3)} times the tolerance"
    return f"{judgement['error_units']:.3g} error units, {beyond}; {judgement['exceeding']:,} of {judgement['elements']:,} elements"


def witness_in_words(judgement: Facts) -> str:
    """Return why a tolerance was widened: where both sides stand beside what theory alone allows."""
    fractions = [judgement["witness"][side] for side in ("own_fraction_by_theory", "fraction_by_theory")]
    own, found = ("infinitely" if fraction is None else f"{fraction_in_words(fraction, 3)} times" for fraction in fractions)
    return f"the reference itself, in the subject's precision, is off by {own} what theory allows, the subject by {found}"


def fraction_in_words(fraction: float, digits: int = 2) -> str:
    """Return a fraction of a tolerance, with as many digits as it takes to tell on which side of 1 it lies."""
    text = f"{fraction:.{digits}g}"
    while float(text) == 1 and fraction != 1:
        digits += 1
        text = f"{fraction:.{digits}g}"
    return text


def consequence_in_words(consequence: Facts) -> str:
    """Return a consequence of a divergence: what is off, and by how much."""
    relative = consequence["relative_error"]
    off = f"off by {relative:.3g} of its size" if relative is not None else "off"
    return f"{consequence['layer']}.{consequence['quantity']} is {off} at step {consequence['step']}; right on the values that it got"


def ways_in_words(facts: Facts) -> str:
    """Return in how many of the checked steps layers were judged isolated, and the whole step; nothing where it was all of them."""
    steps = {
        kind: max((sum(q["verdicts"].values()) for q in facts["quantities"] if q["kind"] == kind), default=0) for kind in ("isolated", "whole step")
    }
    if min(steps.values()) == facts["steps_checked"]:
        return ""
    counts = " and ".join(f"{kind} in {count:,}" for kind, count in steps.items())
    return f"{counts} of {counted(facts['steps_checked'], 'checked step')}: while each layer is right in its step they say nothing new"


def decision_in_words(decision: Facts) -> str:
    """Return how a layer's choices at kinks differ from the oracle's, and whether rounding explains it; None is a margin without limit."""
    margin = decision["largest_margin"]
    text = f"decisions: {decision['layer']} chose differently from the oracle {decision['differing']:,} times"
    if margin is None:
        return f"{text}, where the oracle sees no tie at all"
    if not margin:
        return f"{text}, each between numbers that are equal for the oracle"
    return f"{text}, at most {fraction_in_words(margin)} of what rounding explains apart"


def _value(value: float | None) -> str:
    return "not finite" if value is None else repr(value)


WIDTH = 120


def divergence_message(divergence: Facts) -> str:
    """Return all that is known about a divergence as one text for a test's failure, read from the top down."""
    return laid_out(divergence["verdict"].upper(), [*rows(divergence), ("reproduce", divergence["reproduce"])])


def laid_out(title: str, facts: Iterable[tuple[str, str]]) -> str:
    """Return a title and what is known about it, each under its heading; a text of several lines keeps them."""
    lines = [title]
    for heading, text in facts:
        begin = f"  {heading:<14}"
        for line in text.splitlines() or [""]:
            lines += textwrap.wrap(line, WIDTH, initial_indent=begin, subsequent_indent=" " * 16, break_long_words=False, break_on_hyphens=False)
            begin = " " * 16
    return "\n".join(lines)


NO_REFERENCE = "no reference: gradients are judged by the output, the output by nothing"


def check_rows(check: Facts) -> Iterator[tuple[str, str]]:
    """Yield what is known about a check that did not match, each with its heading."""
    first = check["first_divergence"]
    if first:
        yield from rows(first)
    if check["reason"] and not (first and first["reason"]):
        yield "found", check["reason"]
    if check["check"].startswith(CONTRACT):
        yield "the contract", check["about"]
    if check["expected_difference"]:
        yield "expected", check["expected_difference"]
    yield from (("note", note) for note in check["notes"])


def mismatch_rows(pair: Facts, check: Facts) -> Iterator[tuple[str, str]]:
    """Yield what is known about a pair's first mismatch, where else it shows, and how to repeat it."""
    yield "first in", check["check"]
    yield from check_rows(check)
    yield from (("also wrong", text) for text in also_wrong(pair, check))
    yield from reproduce_rows(check)


def reproduce_rows(check: Facts) -> Iterator[tuple[str, str]]:
    """Yield how to repeat a check, and the small case where there is one."""
    yield "reproduce", check["reproduce"]
    if check["reproduction"] and check["reproduction"]["file"]:
        elements = counted(check["reproduction"]["input_elements"], "input element")
        yield "small case", f"python {shlex.quote(check['reproduction']['file'])}  ({elements})"


def also_wrong(pair: Facts, first: Facts) -> Iterator[str]:
    """Yield the other mismatches of a pair: by quantity where numbers differ, one by one where they do not."""
    wrong = [check for check in pair["checks"] if check["counted"] == "mismatch"]
    known = quantity_name(pair, first["first_divergence"]) if first["first_divergence"] else ""
    where: dict[str, list[str]] = {}
    for check in wrong:
        for name in dict.fromkeys(quantity_name(pair, quantity) for quantity in check["quantities"] if quantity["verdict"] == "mismatch"):
            if check is not first or name != known:
                where.setdefault(name, []).append(check["check"])
    causes = dict(_causes(pair, wrong))
    for name, checks in where.items():
        why = f"; {causes[name]}" if name != known and name in causes else ""
        yield f"{name} in {len(checks):,}{' other' if name == known else ''} {'check' if len(checks) == 1 else 'checks'}: {_first_three(checks)}{why}"
    yield from folded((check["check"], check["reason"]) for check in wrong if check is not first and not check["quantities"])


def _causes(pair: Facts, checks: Iterable[Facts]) -> Iterator[tuple[str, str]]:
    """Yield each quantity whose cause is known, with the cause in words; where several checks show one, the first of them last."""
    for check in reversed(list(checks)):
        for found in [check["first_divergence"], *check.get("other_divergences", ())]:
            if found and found["cause"] != "unknown":
                yield quantity_name(pair, found), found["cause_in_words"]


def witness_rows(pair: Facts) -> Iterator[tuple[str, str]]:
    """Yield which tolerances are not theory's alone, and what was looked at coarsely because theory sets no limit to it."""
    named = [(check, quantity) for check in pair["checks"] for quantity in check["quantities"] if quantity.get("witness")]
    more = [(check, quantity) for check, quantity in named if widened([quantity])]
    if more:
        check, worst = max(more, key=lambda one: one[1]["witness"]["fraction_by_theory"])
        where = f"{quantity_name(pair, worst)} in {check['check']}, {worst['shape']}"
        yield "widened", f"{counted(len(more), 'tolerance')}, the most for {where}: {witness_in_words(worst)}"
    coarse = [quantity for _, quantity in named if quantity["witness"]["effect"] == Effect.COARSE and quantity["verdict"] == "skipped"]
    if coarse:
        yield "coarse", f"{counted(len(coarse), 'quantity', 'quantities')} beyond the range of theory: finite and right to half of the digits"


def folded(checks: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield names with what is said of them, those of which the same is said together: how many there are, and the first three."""
    said: dict[str, list[str]] = {}
    for name, text in checks:
        said.setdefault(text, []).append(name)
    for text, names in said.items():
        yield f"{names[0]}: {text}" if len(names) == 1 else f"{len(names):,} checks, {_first_three(names)}: {text}"


def _first_three(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def quantity_name(pair: Facts, quantity: Facts) -> str:
    """Return a quantity's name, with its layer's where it is not the pair itself."""
    return str(quantity["quantity"]) if quantity["layer"] == pair["name"] else f"{quantity['layer']}.{quantity['quantity']}"


def pair_line(pair: Facts) -> str:
    """Return what a pair's verdict rests on, in one line."""
    if pair["error"]:
        return str(pair["error"])
    quantities = [quantity for check in pair["checks"] for quantity in check["quantities"]]
    compared = [quantity for quantity in quantities if quantity["verdict"] in ("match", "mismatch")]
    parts = [counted(len(pair["checks"]), "check"), f"{counted(len(compared), 'quantity', 'quantities')} compared"]
    parts.append("beside " + " and ".join(pair["references"]) if pair["references"] else NO_REFERENCE)
    if not pair["deterministic"]:
        parts.append("declared as not repeatable")
    if more := widened(quantities):
        parts.append(f"{counted(len(more), 'tolerance')} widened")
    if pair.get("never_judged"):
        parts.append(f"never judged: {', '.join(pair['never_judged'])}")
    if warned := warnings(pair):
        parts.append(counted(len(warned), "warning"))
    return "; ".join(parts)


def summary_line(pair: Facts) -> str:
    """Return what a pair's verdict says in one line: where and why it differs, or what it rests on."""
    first = first_mismatch(pair)
    if first is None:
        return pair_line(pair)
    found = first["first_divergence"]
    return f"{quantity_name(pair, found)} in {first['check']}: {found['cause_in_words']}" if found else f"{first['check']}: {first['reason']}"


def message(check: Facts, name: str) -> str:
    """Return all that is known about a failed check as one text, read from the top down."""
    found = [*check_rows(check), *reproduce_rows(check)]
    if check["reproduction"]:
        found.append(("small case", f"{counted(check['reproduction']['input_elements'], 'input element')}; --crosscheck-report saves it as a script"))
    return laid_out(f"{check['verdict'].upper()}: {name}", found)


def first_mismatch(pair: Facts) -> Facts | None:
    """Return the first check that is a mismatch and was not expected to be one."""
    return next((check for check in pair["checks"] if check["counted"] == Verdict.MISMATCH), None)


def warnings(pair: Facts) -> list[Facts]:
    """Return the checks of a pair that are warnings."""
    return [check for check in pair["checks"] if check["warning"]]


def widened(quantities: Iterable[Facts]) -> list[Facts]:
    """Return the quantities that match by a tolerance that the witness widened."""
    return [q for q in quantities if q["verdict"] == Verdict.MATCH and q.get("witness") and q["witness"]["effect"] == Effect.WIDENED]
