"""The facts of a report in words, shared by the terminal, the HTML page and the messages of failing tests."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from crosscheck.core.judge import CONTRACT, Effect, Facts, Kind, Verdict, significant

KINDS = {
    Kind.LAYER: "on the values it received in training",
    Kind.WIRE: "handed over between two layers",
    Kind.UPDATE: "after the update",
    Kind.ISOLATED: "tested alone",
    Kind.WHOLE: "at the end of a whole step",
}
"""In words, how each kind of judgement was made."""


def counted(count: int, one: str, several: str = "") -> str:
    """Return a number with its noun: ``1 check``, ``1,200 checks``."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def rows(first: Facts) -> Iterator[tuple[str, str]]:
    """Yield what is known about a divergence as (heading, text)."""
    step = f"step {first['step']}, " if first["step"] else ""
    yield "where", f"{step}{first['layer']}.{first['quantity']} ({KINDS[first['kind']]})"
    if first["source"]:
        yield "computed in", first["source"]
    worst = first["worst_element"]
    if worst and worst["tolerance"] is not None:
        yield "error", error_in_words(first)
    if first["reason"]:
        yield "found", first["reason"]
    if (reference := first.get("same_precision_reference")) and reference["effect"] == Effect.WIDENED:
        yield "tolerance", f"widened: {witness_in_words(first)}"
    yield "likely cause", first["cause_in_words"]
    if worst:
        found, expected = told_apart(worst["found"], worst["expected"])
        yield "worst element", f"{worst['index']}: your code {found}, expected {expected}"
    if first["tested_alone"]:
        yield "tested alone", f"on the reference's own values: {first['tested_alone']['verdict']}"


def error_in_words(judgement: Facts) -> str:
    """Return in words the worst element's error, its tolerance, and how many elements are wrong."""
    error, tolerance = judgement["worst_element"]["error"], judgement["worst_element"]["tolerance"]
    off, most = (significant(value, _digits(error, tolerance)) for value in (error, tolerance))
    explained = f"rounding explains at most {most}" if tolerance else "nothing is rounded here, so it must be equal"
    return f"off by {off}; {explained}; {judgement['wrong_elements']:,} of {counted(judgement['elements'], 'element')} wrong"


def told_apart(found: float | None, expected: float | None) -> tuple[str, str]:
    """Return two values as text, with enough digits to look different and at least six. None stands for a value that is not finite."""
    if found is None or expected is None:
        return _value(found), _value(expected)
    digits = _digits(found, expected)
    digits = 6 if digits <= 4 else digits + 2
    return _value(found, digits), _value(expected, digits)


def _digits(one: float, other: float) -> int:
    """Return how many significant digits make two numbers look different: at least 2, and 17 if the numbers are equal."""
    return next((digits for digits in range(2, 17) if f"{one:.{digits}g}" != f"{other:.{digits}g}"), 17)


def _value(value: float | None, digits: int = 6) -> str:
    return "not finite" if value is None else repr(value) if digits >= 17 else significant(value, digits)


def witness_in_words(judgement: Facts) -> str:
    """Return why a tolerance was widened: the errors of the reference and of your code as multiples of what theory alone allows."""
    fractions = [judgement["same_precision_reference"][f"{side}_fraction_of_theory"] for side in ("reference", "subject")]
    own, found = ("infinitely many" if fraction is None else fraction_in_words(fraction, 3) for fraction in fractions)
    return f"computing in the same precision, the reference itself is off by {own} times what theory allows; your code by {found} times"


def fraction_in_words(fraction: float, digits: int = 2) -> str:
    """Return a fraction of a tolerance, with enough digits to show whether it is below or above 1."""
    text = f"{fraction:.{digits}g}"
    while float(text) == 1 and fraction != 1:
        digits += 1
        text = f"{fraction:.{digits}g}"
    return text


def consequence_in_words(consequence: Facts) -> str:
    """Return a consequence of a divergence: what is off, and by how much."""
    relative = consequence["relative_error"]
    off = f"off by {significant(relative, 3)} of its size" if relative is not None else "off"
    name = f"{consequence['layer']}.{consequence['quantity']}"
    return f"{name} is {off} at step {consequence['step']}; its layer is right on the values it received"


def ways_in_words(facts: Facts) -> str:
    """Return in how many checked steps layers were tested alone, and in how many the whole step was compared; empty if both were done in all."""
    alone, whole = (
        max((sum(q["verdicts"].values()) for q in facts["quantities"] if q["kind"] == kind), default=0) for kind in (Kind.ISOLATED, Kind.WHOLE)
    )
    if min(alone, whole) == facts["steps_checked"]:
        return ""
    steps = counted(facts["steps_checked"], "checked step")
    return (
        f"of {steps}, layers were tested alone in {alone:,} and the whole step was compared in {whole:,}: "
        "this adds nothing while each layer is right on the values it receives in training"
    )


def conventions_in_words(jury: Facts) -> Iterator[str]:
    """Yield a sentence for each convention by which a reference differs from the first one."""
    first = jury["references"][0]["name"]
    for reference in jury["references"]:
        for convention in reference["conventions"]:
            where = _first_three(convention["quantities"])
            yield f"{reference['name']} follows another convention than {first} ({convention['name']}): {convention['in_words']}; in {where}"


def decision_in_words(decision: Facts) -> str:
    """Return how a layer's choices at kinks differ from the expected ones, and whether rounding explains it. A margin of None is infinite."""
    margin = decision["largest_margin"]
    text = f"{decision['layer']} chose another side of a kink or another maximum than expected {decision['different_choices']:,} times"
    if margin is None:
        return f"{text}, where there is no tie"
    if not margin:
        return f"{text}, always between values that should be equal"
    return f"{text}; the values are apart by at most {fraction_in_words(margin)} of what rounding explains"


WIDTH = 120


def divergence_message(divergence: Facts) -> str:
    """Return all that is known about a divergence as one text for a failing test, the most important first."""
    return laid_out(divergence["verdict"].upper(), [*rows(divergence), ("reproduce", divergence["reproduce"])])


def laid_out(title: str, facts: Iterable[tuple[str, str]]) -> str:
    """Return a title, and below it each heading with its text. Long lines are wrapped, and line breaks in a text are kept."""
    lines = [title]
    for heading, text in facts:
        begin = f"  {heading:<14}"
        for line in text.splitlines() or [""]:
            lines += textwrap.wrap(line, WIDTH, initial_indent=begin, subsequent_indent=" " * 16, break_long_words=False, break_on_hyphens=False)
            begin = " " * 16
    return "\n".join(lines)


NO_REFERENCE = "no reference: the gradients are compared with slopes of the output, and the output with nothing"


def check_rows(check: Facts) -> Iterator[tuple[str, str]]:
    """Yield what is known about a check that did not match as (heading, text)."""
    first = check["first_divergence"]
    if first:
        yield from rows(first)
    if check["reason"] and not (first and first["reason"]):
        yield "found", check["reason"]
    if check["check"].startswith(CONTRACT) and check["verdict"] != "undecided":
        yield "looks for", check["about"]
    if check["expected_difference"]:
        yield "expected", check["expected_difference"]
    yield from (("note", note) for note in check["notes"])


def mismatch_rows(pair: Facts, check: Facts) -> Iterator[tuple[str, str]]:
    """Yield what is known about a pair's first mismatch, what else is wrong, and how to repeat the check."""
    yield "first in", check["check"]
    yield from check_rows(check)
    yield from (("also wrong", text) for text in also_wrong(pair, check))
    yield from reproduce_rows(check)


def reproduce_rows(check: Facts) -> Iterator[tuple[str, str]]:
    """Yield how to repeat a check, and how to run its small case if there is one."""
    yield "reproduce", check["reproduce"]
    if check["small_case"] and check["small_case"]["file"]:
        elements = counted(check["small_case"]["input_elements"], "input element")
        yield "small case", f"python {shlex.quote(check['small_case']['file'])}  ({elements})"


def also_wrong(pair: Facts, first: Facts) -> Iterator[str]:
    """Yield a pair's other mismatches: numerical ones grouped by quantity, others (such as contracts) grouped by reason."""
    wrong = [check for check in pair["checks"] if check["counts_as"] == "mismatch"]
    known = quantity_name(pair, first["first_divergence"]) if first["first_divergence"] else ""
    where: dict[str, list[str]] = {}
    for check in wrong:
        for name in dict.fromkeys(quantity_name(pair, quantity) for quantity in check["quantities"] if quantity["verdict"] == "mismatch"):
            if check is not first or name != known:
                where.setdefault(name, []).append(check["check"])
    causes, together = dict(_causes(pair, wrong)), dict[tuple[str, str], list[str]]()
    first_cause = first["first_divergence"]["cause_in_words"] if first["first_divergence"] else ""
    for name, checks in where.items():
        why = f"; {causes[name]}" if name != known and name in causes else ""
        why = "; the same cause" if why and causes[name] == first_cause else why
        where_in_words = f"{len(checks):,}{' other' if name == known else ''} {'check' if len(checks) == 1 else 'checks'}: {_first_three(checks)}"
        together.setdefault((where_in_words, why), []).append(name)
    for (where_in_words, why), names in together.items():
        yield f"{_three_and_more(names)} in {where_in_words}{why}"
    yield from folded((check["check"], check["reason"]) for check in wrong if check is not first and not check["quantities"])


def _causes(pair: Facts, checks: Iterable[Facts]) -> Iterator[tuple[str, str]]:
    """Yield (quantity, cause in words) for each known cause. If a quantity comes several times, the cause from its first check comes last."""
    for check in reversed(list(checks)):
        for found in [check["first_divergence"], *check.get("other_divergences", ())]:
            if found and found["cause"] != "unknown":
                yield quantity_name(pair, found), found["cause_in_words"]


def not_compared_rows(pair: Facts) -> Iterator[tuple[str, str]]:
    """Yield a row for each reason why quantities were compared in no check, although checks of others in the same place matched."""
    found = [quantity for check in pair["checks"] if check["verdict"] == "match" for quantity in check["quantities"]]
    judged = {quantity_name(pair, quantity) for quantity in found if quantity["verdict"] != "skipped"}
    why: dict[str, dict[str, None]] = {}
    for quantity in found:
        if (name := quantity_name(pair, quantity)) not in judged:
            why.setdefault(quantity["reason"], {})[name] = None
    yield from (("not compared", f"{_three_and_more(list(names))}: {reason}") for reason, names in why.items())


def size_rows(pair: Facts) -> Iterator[tuple[str, str]]:
    """Yield rows about the sizes that were tried beside the declared ones, and the axes whose length the reference does not let change."""
    if (sizes := pair.get("sizes")) is None:
        return
    if sizes["tried"]:
        yield "other sizes", f"{'; '.join(sizes['tried'])} ({sizes['numbers']:,} numbers, at most {sizes['most_numbers_of_one']:,} each)"
    if sizes["refused"]:
        yield "fixed sizes", f"the reference takes no other length of {', '.join(sizes['refused'])}"


def witness_rows(pair: Facts) -> Iterator[tuple[str, str]]:
    """Yield rows about tolerances that the reference's own rounding errors widened, and quantities that were checked to half of their digits only."""
    named = [(check, quantity) for check in pair["checks"] for quantity in check["quantities"] if quantity.get("same_precision_reference")]
    more = [(check, quantity) for check, quantity in named if widened([quantity])]
    if more:
        check, worst = max(more, key=lambda one: one[1]["same_precision_reference"]["subject_fraction_of_theory"])
        where = f"{quantity_name(pair, worst)} in {check['check']}, {worst['shape']}"
        yield "widened", f"{counted(len(more), 'tolerance')}, the most for {where}: {witness_in_words(worst)}"
    coarse = [q for _, q in named if q["same_precision_reference"]["effect"] == Effect.COARSE and q["verdict"] == "skipped"]
    if coarse:
        names = counted(len(coarse), "quantity", "quantities")
        yield "coarse", f"{names} without a limit to the rounding error: checked to be finite and right to half of the digits"


def folded(checks: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield a line for each text, with the name of its check; if several checks have the same text, with their number and first three names."""
    said: dict[str, list[str]] = {}
    for name, text in checks:
        said.setdefault(text, []).append(name)
    for text, names in said.items():
        yield f"{names[0]}: {text}" if len(names) == 1 else f"{len(names):,} checks, {_first_three(names)}: {text}"


def _three_and_more(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")


def _first_three(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def quantity_name(pair: Facts, quantity: Facts) -> str:
    """Return a quantity's name, with the layer's name before it unless the pair is that layer."""
    return str(quantity["quantity"]) if quantity["layer"] == pair["name"] else f"{quantity['layer']}.{quantity['quantity']}"


def pair_line(pair: Facts) -> str:
    """Return what a pair's verdict is based on, in one line."""
    if pair["error"]:
        return str(pair["error"]).removeprefix(f"{pair['name']}: ")
    quantities = [quantity for check in pair["checks"] for quantity in check["quantities"]]
    compared = [quantity for quantity in quantities if quantity["verdict"] in ("match", "mismatch")]
    parts = [counted(len(pair["checks"]), "check"), f"{counted(len(compared), 'quantity', 'quantities')} compared"]
    parts.append("beside " + " and ".join(pair["references"]) if pair["references"] else NO_REFERENCE)
    if not pair["deterministic"]:
        parts.append("declared as not deterministic")
    if more := widened(quantities):
        parts.append(f"{counted(len(more), 'tolerance')} widened")
    if pair.get("never_judged"):
        parts.append(f"never judged: {', '.join(pair['never_judged'])}")
    if warned := warnings(pair):
        parts.append(counted(len(warned), "warning"))
    return "; ".join(parts)


def summary_line(pair: Facts) -> str:
    """Return a pair's verdict in one line: where and why it differs, or what the verdict is based on."""
    first = first_mismatch(pair)
    if first is None:
        return pair_line(pair)
    found = first["first_divergence"]
    return f"{quantity_name(pair, found)} in {first['check']}: {found['cause_in_words']}" if found else f"{first['check']}: {first['reason']}"


def message(check: Facts, name: str) -> str:
    """Return all that is known about a failed check as one text, the most important first."""
    found = [*check_rows(check), *reproduce_rows(check)]
    if check["small_case"]:
        found.append(("small case", f"{counted(check['small_case']['input_elements'], 'input element')}; --crosscheck-report saves it as a script"))
    return laid_out(f"{check['verdict'].upper()}: {name}", found)


def first_mismatch(pair: Facts) -> Facts | None:
    """Return the first mismatch that was not expected."""
    return next((check for check in pair["checks"] if check["counts_as"] == Verdict.MISMATCH), None)


def warnings(pair: Facts) -> list[Facts]:
    """Return the checks of a pair whose mismatch is only a warning."""
    return [check for check in pair["checks"] if check["warning"]]


def widened(quantities: Iterable[Facts]) -> list[Facts]:
    """Return the quantities that match only because the reference's own rounding error widened their tolerance."""
    matching = [(q, q.get("same_precision_reference")) for q in quantities if q["verdict"] == Verdict.MATCH]
    return [q for q, reference in matching if reference and reference["effect"] == Effect.WIDENED]
