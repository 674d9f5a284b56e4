"""The report as a text for the terminal: verdict, place, size, cause, worst element, and how to repeat just this."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from crosscheck.report.facts import Facts

COLOURS = {"match": "green", "mismatch": "red", "undecided": "yellow", "skipped": "yellow"}


def show(facts: Facts, console: Console) -> None:
    """Print the report."""
    console.print(Group(*_parts(facts)))


def _parts(facts: Facts) -> Iterator[RenderableType]:
    yield Text(facts["headline"], style=f"bold {COLOURS[facts['verdict']]}")
    if facts["first_divergence"]:
        yield from _divergence(facts)
    yield Text()
    yield _table(facts)
    yield from _notes(facts)


def _divergence(facts: Facts) -> Iterator[RenderableType]:
    first = facts["first_divergence"]
    where = f"step {first['step']}, {first['layer']}.{first['quantity']} ({first['kind']})"
    rows = [("where", where)]
    if first["source"]:
        rows.append(("computed in", first["source"]))
    if first["error_units"] is not None and first["worst_element"]:
        size = f"{first['error_units']:.3g} error units"
        size += f", {first['fraction_of_tolerance']:.3g} times the tolerance" if first["fraction_of_tolerance"] is not None else ", none is tolerated"
        rows.append(("size", f"{size}; {first['exceeding']:,} of {first['elements']:,} elements"))
    if first["reason"]:
        rows.append(("found", first["reason"]))
    rows.append(("likely cause", first["cause_in_words"]))
    worst = first["worst_element"]
    if worst:
        rows.append(("worst element", f"{worst['index']}: subject {_value(worst['subject'])}, oracle {_value(worst['oracle'])}"))
    if first["isolated"]:
        rows.append(("isolated", f"given the reference's own values: {first['isolated']['verdict']}"))
    for consequence in facts["consequences"]:
        relative = consequence["relative_error"]
        off = f"off by {relative:.3g} of its size" if relative is not None else "off"
        step = f"at step {consequence['step']}"
        text = f"{consequence['layer']}.{consequence['quantity']} is {off} {step}; right on the values that it got"
        rows.append(("what follows", text))
    rows.append(("reproduce", first["reproduce"]))
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    shown = ""
    for name, value in rows:
        table.add_row("" if name == shown else name, Text(value))
        shown = name
    yield table


def _value(value: float | None) -> str:
    return "not finite" if value is None else repr(value)


def _table(facts: Facts) -> Table:
    """Return a table of layers and quantities: the largest error as a fraction of its tolerance, for each way of comparing."""
    table = Table(title="largest error, as a fraction of the tolerance: below 1, rounding explains it", title_justify="left", header_style="bold")
    table.add_column("quantity", no_wrap=True)
    kinds = {"in its step": ("layer", "update"), "isolated": ("isolated",), "whole step": ("whole step",)}
    for name in kinds:
        table.add_column(name, justify="right")
    table.add_column("reference's whole step", justify="right")
    by_key = {(q["kind"], q["layer"], q["quantity"]): q for q in facts["quantities"]}
    names = dict.fromkeys((q["layer"], q["quantity"]) for q in facts["quantities"] if q["kind"] != "wire")
    for layer, quantity in names:
        cells = []
        for group in kinds.values():
            found = [by_key[kind, layer, quantity] for kind in group if (kind, layer, quantity) in by_key]
            cells.append(_cell(found[0]) if found else Text("-", style="dim"))
        beside = by_key.get(("whole step", layer, quantity), {}).get("reference_fraction")
        table.add_row(f"{layer}.{quantity}", *cells, Text("-", style="dim") if beside is None else f"{beside:.2g}")
    return table


def _cell(quantity: Facts) -> Text:
    verdicts, worst = quantity["verdicts"], quantity["worst"]
    if "mismatch" in verdicts:
        fraction = worst["fraction_of_tolerance"]
        return Text(f"{fraction:.2g}" if fraction is not None else "not equal" if not worst["reason"] else "wrong", style="bold red")
    if worst is None:
        return Text("skipped" if "skipped" in verdicts else "undecided", style="yellow")
    if not worst["fraction_of_tolerance"]:
        return Text("equal", style="green")
    return Text(f"{worst['fraction_of_tolerance']:.2g}", style="green")


def _notes(facts: Facts) -> Iterator[RenderableType]:
    wires = [q for q in facts["quantities"] if q["kind"] == "wire"]
    broken = [f"{q['layer']}.{q['quantity']}" for q in wires if "mismatch" in q["verdicts"]]
    checked = sum(sum(q["verdicts"].values()) for q in wires)
    yield Text(f"wires: {checked:,} checked, " + (f"broken: {', '.join(broken)}" if broken else "each carries exactly what was put out"))
    for quantity in facts["quantities"]:
        for verdict in ("skipped", "undecided"):
            if verdict in quantity["verdicts"]:
                name = f"{quantity['layer']}.{quantity['quantity']} ({quantity['kind']})"
                yield Text(f"{verdict}: {name}, {quantity['verdicts'][verdict]:,} times: {quantity['reason']}", style="yellow")
    for decision in facts["decisions"]:
        text = f"decisions: {decision['layer']} chose differently from the oracle {decision['differing']:,} times at ties"
        if decision["largest_margin"] is None:
            excuse = "where the oracle sees no tie at all"
        else:
            excuse = f"the widest by {decision['largest_margin']:.2g} of what rounding explains"
        yield Text(f"{text}, {excuse}", style="" if decision["admissible"] else "yellow")
    free = facts["free_run"]
    if free["max_weight_difference"] is not None:
        last = max((look["step"] for look in free["looks"]), default=0)
        ratios = [
            look["distance"] / look["spread"] for look in free["looks"] if look["step"] == last and look["spread"] and look["distance"] is not None
        ]
        text = f"free run: after {facts['steps_done']:,} steps the weights differ by at most {free['max_weight_difference']:.2g}"
        if ratios:
            text += (
                f"; as a norm {min(ratios):.2g} to {max(ratios):.2g} times the spread of {free['perturbed_runs']} references with perturbed rounding"
            )
        if free["left_at"] is not None:
            text += f"; left the yardstick by step {free['left_at']:,}"
        yield Text(text, style="red" if free["left_at"] is not None else "")
