"""A report as text for the terminal: verdict, place, error, cause, worst element, and the command that repeats just this check."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from crosscheck.core.judge import CONTRACT, Facts, Kind, significant
from crosscheck.report import words

COLOURS = {"match": "green", "mismatch": "red", "undecided": "yellow", "skipped": "yellow"}


def show(facts: Facts, console: Console) -> None:
    """Print the report."""
    console.print(Text(facts["headline"], style=f"bold {COLOURS[facts['verdict']]}"), soft_wrap=True)
    for part in _PARTS[facts["kind"]](facts):
        # Users may copy texts, so the terminal wraps them and no line breaks are inserted.
        console.print(part, soft_wrap=isinstance(part, Text))


def _training(facts: Facts) -> Iterator[RenderableType]:
    if facts["first_divergence"]:
        yield from _divergence(facts)
    yield Text()
    yield _table(facts)
    yield from _notes(facts)
    if facts["jury"] and facts["jury"]["opinions"]:
        yield Text()
        yield jury(facts["jury"])
        yield from (Text(text, style="yellow") for text in words.conventions_in_words(facts["jury"]))


def jury(facts: Facts) -> Table:
    """Return a table of the references' opinions: a row for your code and for each reference, a column for each reference as the judge."""
    names = [reference["name"] for reference in facts["references"]]
    title = "who agrees with whom: the largest error as a fraction of the tolerance, by each reference"
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("side")
    for name in names:
        table.add_column(f"by {name}", justify="right")
    table.add_column("weights differ by", justify="right")
    opinions = {(opinion["side"], opinion["judge"]): opinion for opinion in facts["opinions"]}
    beside = {reference["name"]: reference["free_run"] for reference in facts["references"]}
    for side in dict.fromkeys(opinion["side"] for opinion in facts["opinions"]):
        apart = beside.get(side)
        difference = (
            Text("-", style="dim")
            if apart is None
            else Text(significant(apart["max_weight_difference"]), style="" if apart["verdict"] == "skipped" else COLOURS[apart["verdict"]])
        )
        table.add_row(side, *(_opinion(opinions[side, name]) for name in names), difference)
    return table


def _opinion(opinion: Facts) -> Text:
    worst, first = opinion["worst"], opinion["first_mismatch"]
    if first is not None:
        return Text(f"{first['layer']}.{first['quantity']}", style="bold red")
    if opinion["verdict"] != "match" or worst is None:
        return Text(opinion["verdict"], style="yellow")
    if opinion["explained_by_convention"]:
        return Text("convention", style="yellow")
    return Text(words.fraction_in_words(worst["fraction_of_tolerance"]) if worst["fraction_of_tolerance"] else "equal", style="green")


def _divergence(facts: Facts) -> Iterator[RenderableType]:
    first = facts["first_divergence"]
    found = list(words.rows(first))
    found += [("what follows", words.consequence_in_words(consequence)) for consequence in facts["consequences"]]
    found.append(("reproduce", first["reproduce"]))
    yield grid(found)


def grid(rows: Iterable[tuple[str, str]]) -> Table:
    """Return headings and texts in two columns; a heading is not repeated in the next row."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    shown = ""
    for name, value in rows:
        table.add_row("" if name == shown else name, Text(value))
        shown = name
    return table


def _table(facts: Facts) -> Table:
    """Return a table of layers and quantities: the largest error as a fraction of its tolerance, for each way of comparing."""
    table = Table(title="largest error, as a fraction of the tolerance: below 1, rounding explains it", title_justify="left", header_style="bold")
    table.add_column("quantity", no_wrap=True)
    kinds = {"in training": (Kind.LAYER, Kind.UPDATE), "tested alone": (Kind.ISOLATED,), "whole step": (Kind.WHOLE,)}
    for name in kinds:
        table.add_column(name, justify="right")
    # A reference that is the oracle itself has no error to show.
    beside = any(quantity["reference_fraction_of_tolerance"] for quantity in facts["quantities"])
    if beside:
        table.add_column("reference's whole step", justify="right")
    by_key = {(q["kind"], q["layer"], q["quantity"]): q for q in facts["quantities"]}
    for layer, quantity in _shown(facts):
        cells = []
        for group in kinds.values():
            found = [by_key[kind, layer, quantity] for kind in group if (kind, layer, quantity) in by_key]
            cells.append(_cell(found[0]) if found else Text("-", style="dim"))
        if beside:
            own = by_key.get((Kind.WHOLE, layer, quantity), {}).get("reference_fraction_of_tolerance")
            cells.append(Text("-", style="dim") if own is None else Text(words.fraction_in_words(own)))
        table.add_row(f"{layer}.{quantity}", *cells)
    return table


ROWS = 40
"""The most quantities that a table in the terminal shows; a deep network has hundreds."""


def _names(facts: Facts) -> list[tuple[str, str]]:
    """Return (layer, quantity) of everything that was compared, in execution order."""
    return list(dict.fromkeys((q["layer"], q["quantity"]) for q in facts["quantities"] if q["kind"] != Kind.WIRE))


def _shown(facts: Facts) -> list[tuple[str, str]]:
    """Return the (layer, quantity) tuples that a table shows: all of them, or the ones with the largest errors relative to their tolerances."""
    names = _names(facts)
    if len(names) <= ROWS:
        return names
    largest = dict.fromkeys(names, 0.0)
    for quantity in facts["quantities"]:
        name, worst = (quantity["layer"], quantity["quantity"]), quantity["worst"]
        if name in largest and (worst is not None or "undecided" in quantity["verdicts"]):
            fraction = math.inf if worst is None or worst["fraction_of_tolerance"] is None else worst["fraction_of_tolerance"]
            largest[name] = max(largest[name], fraction)
    picked = set(sorted(names, key=lambda name: -largest[name])[:ROWS])
    return [name for name in names if name in picked]


def _cell(quantity: Facts) -> Text:
    verdicts, worst = quantity["verdicts"], quantity["worst"]
    if "mismatch" in verdicts:
        fraction = worst["fraction_of_tolerance"]
        return Text(words.fraction_in_words(fraction) if fraction is not None else "not equal" if not worst["reason"] else "wrong", style="bold red")
    if worst is None:
        return Text("skipped" if "skipped" in verdicts else "undecided", style="yellow")
    if not worst["fraction_of_tolerance"]:
        return Text("equal", style="green")
    return Text(words.fraction_in_words(worst["fraction_of_tolerance"]), style="green")


def _notes(facts: Facts) -> Iterator[RenderableType]:
    if (hidden := len(_names(facts)) - len(_shown(facts))) > 0:
        yield Text(f"{hidden:,} more quantities, with smaller errors relative to their tolerances, are in the report")
    if ways := words.ways_in_words(facts):
        yield Text(ways)
    handed_over = [q for q in facts["quantities"] if q["kind"] == Kind.WIRE]
    changed = [f"{q['layer']}.{q['quantity']}" for q in handed_over if "mismatch" in q["verdicts"]]
    checked = words.counted(sum(sum(q["verdicts"].values()) for q in handed_over), "array")
    yield Text(
        f"between layers: {checked} compared, " + (f"changed on the way: {', '.join(changed)}" if changed else "each received as it was computed")
    )
    for quantity in facts["quantities"]:
        for verdict in ("skipped", "undecided"):
            if verdict in quantity["verdicts"]:
                name = f"{quantity['layer']}.{quantity['quantity']} ({words.KINDS[quantity['kind']]})"
                yield Text(f"{verdict}: {name}, {quantity['verdicts'][verdict]:,} times: {quantity['reason']}", style="yellow")
    for decision in facts["decisions"]:
        yield Text(words.decision_in_words(decision), style="" if decision["explained_by_rounding"] else "yellow")
    free = facts["free_run"]
    if free["max_weight_difference"] is not None:
        last = max((look["step"] for look in free["measurements"]), default=0)
        looks = [look for look in free["measurements"] if look["step"] == last and look["spread"] and look["distance"] is not None]
        ratios = [look["distance"] / look["spread"] for look in looks]
        text = f"free run: after {facts['steps_done']:,} steps the weights differ by at most {significant(free['max_weight_difference'])}"
        if ratios:
            least, most = (significant(ratio) for ratio in (min(ratios), max(ratios)))
            text += f"; as a norm {least} to {most} times the spread of {free['perturbed_runs']} references with perturbed rounding"
        if free["diverged_at_step"] is not None:
            text += f"; further apart than rounding explains by step {free['diverged_at_step']:,}"
        yield Text(text, style="red" if free["diverged_at_step"] is not None else "")


def _pairs(facts: Facts) -> Iterator[RenderableType]:
    for pair in facts["pairs"]:
        yield Text()
        yield from _pair(pair)


def _pair(pair: Facts) -> Iterator[RenderableType]:
    verdict = Text(pair["verdict"].upper(), style=f"bold {COLOURS[pair['verdict']]}")
    yield verdict + Text(f"  {pair['name']}", style="bold") + Text(f"  {words.pair_line(pair)}", style="not bold")
    rows = [("inferred", text) for text in pair["inferred"]]
    if (first := words.first_mismatch(pair)) is not None:
        rows += words.mismatch_rows(pair, first)
    rows += (("warning", text) for text in words.folded((check["check"], check["reason"]) for check in words.warnings(pair)))
    passed_over = [check for check in pair["checks"] if check["counts_as"] not in ("match", "mismatch") and not _is_moot(check)]
    rows += _passed_over(passed_over)
    if moot := [check["check"].removeprefix(CONTRACT) for check in pair["checks"] if _is_moot(check)]:
        rows.append(("not applicable", f"{words.counted(len(moot), 'contract')}: {', '.join(moot)}"))
    rows += words.not_compared_rows(pair)
    rows += words.size_rows(pair)
    rows += words.witness_rows(pair)
    if largest := largest_fraction(pair):
        rows.append(("largest error", largest))
    yield Padding(grid(row for row in rows if row[0] not in _TO_COPY), (0, 0, 0, 2))
    width = max((len(name) for name, _ in rows), default=0) + 2
    yield from (Text(f"  {name:<{width}}", style="bold") + Text(text, style="not bold") for name, text in rows if name in _TO_COPY)


_TO_COPY = ("reproduce", "small case")
"""Headings of texts that users copy. Each of these texts is printed on its own line."""


def _is_moot(check: Facts) -> bool:
    """Return whether a check is a contract that does not apply to this subject."""
    return bool(check["check"].startswith(CONTRACT) and check["verdict"] == "skipped")


def _passed_over(checks: Sequence[Facts]) -> Iterator[tuple[str, str]]:
    """Yield a row for each reason why checks were expected to differ, skipped or undecided, and how to repeat undecided ones."""
    expected = [(check["check"], check["expected_difference"]) for check in checks if check["expected_difference"]]
    skipped = [(check["check"], check["reason"]) for check in checks if check["verdict"] == "skipped" and not check["expected_difference"]]
    undecided = [check for check in checks if check["verdict"] != "skipped" and not check["expected_difference"]]
    reasons = {check["check"]: "; ".join(text for _, text in words.check_rows(check)) for check in undecided}
    yield from (("expected", text) for text in words.folded(expected))
    yield from (("skipped", text) for text in words.folded(skipped))
    yield from (("undecided", text) for text in words.folded(reasons.items()))
    first = {reasons[check["check"]]: check for check in reversed(undecided)}
    yield from (row for check in undecided if first[reasons[check["check"]]] is check for row in words.reproduce_rows(check))


def largest_fraction(pair: Facts) -> str:
    """Return the largest error that rounding explains, in words; empty if nothing was compared or everything is equal."""
    matching = [q for check in pair["checks"] for q in check["quantities"] if q["verdict"] == "match" and q["fraction_of_tolerance"]]
    if not matching:
        return ""
    worst = max(matching, key=lambda quantity: quantity["fraction_of_tolerance"])
    return f"{words.fraction_in_words(worst['fraction_of_tolerance'])} of its tolerance: {words.quantity_name(pair, worst)}, {worst['shape']}"


_PARTS: dict[str, Callable[[Facts], Iterator[RenderableType]]] = {"pairs": _pairs, "training": _training}
"""For each kind of report, the function that yields what is printed after the headline."""
