"""The benchmark in the terminal and as one self-contained HTML file, every text escaped."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup
from rich.console import Console
from rich.table import Table
from rich.text import Text

from crosscheck.core.judge import Facts
from crosscheck.report.terminal import COLOURS
from crosscheck.report.words import counted
from study.benchmark.plots import growth, steps
from study.coverage.pages import templates

REACHED = {True: ("reached", "match"), False: ("not reached", "mismatch"), None: ("not measured", "undecided")}
"""A target's state in words, and the verdict whose colour it has."""

BUSY = 0.5
"""Cores that others keep busy from which on a reader has to know of it."""

Rows = list[tuple[str, ...]]
Sheet = tuple[str, tuple[str, ...], Rows]
"""A table: its title, its headings, its cells as text."""


def show(facts: Facts, console: Console) -> None:
    """Print the verdict, what is wrong or missing, and the tables, the targets last."""
    console.print(Text(facts["headline"], style=f"bold {COLOURS[facts['verdict']]}"), soft_wrap=True)
    for line in complaints(facts):
        console.print(Text(f"  {line}"), soft_wrap=True)
    for title, headings, rows in tables(facts):
        console.print(_table(title, headings, rows))
    if facts["targets"]:
        table = _table("what was aimed at", ("figure", "target", "measured", ""), [])
        for row in facts["targets"]:
            words, verdict = REACHED[row["reached"]]
            table.add_row(row["what"], row["target"], figure(row["measured"]), Text(words, style=COLOURS[verdict]))
        console.print(table)


def complaints(facts: Facts) -> list[str]:
    """Return a line for each side that is wrong or missing, each part that failed, and a machine that had other things to do."""

    def place(row: Facts) -> str:
        return f"{row['side']}, {row['network']}, batch {row['batch']}, {threads_in_words(row['threads'])}"

    load, cores = facts["machine"]["load"], facts["machine"]["cores"]
    busy = [f"the machine was busy when this began, {load:g} of {cores} cores: figures of several threads suffer most"] if load >= BUSY else []
    missing = dict.fromkeys(f"missing: {row['side']}: {row['words']}" for row in facts["missing"])
    failed = (f"could not be measured: {row['part']}, {threads_in_words(row['threads'])}: {row['words']}" for row in facts["failed"])
    wrong = [f"wrong: {place(row)}: {row['words']}" for row in facts["wrong"]]
    return [*wrong, *missing, *failed, *busy]


def threads_in_words(threads: int) -> str:
    """Return a number of threads in words."""
    return "1 thread" if threads == 1 else f"{threads} threads"


def figure(value: float | None) -> str:
    """Return a number with three digits, a dash for none."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def tables(facts: Facts) -> list[Sheet]:
    """Return the tables that have rows: title, headings, cells as text."""
    found = [_steps(facts), _memory(facts), _layers(facts), _checked(facts), _growth(facts), _full(facts), _startup(facts)]
    return [table for table in found if table[2]]


def _steps(facts: Facts) -> Sheet:
    rows: Rows = [
        (
            row["network"],
            str(row["batch"]),
            str(row["threads"]),
            facts["sides"][row["side"]],
            figure(row["milliseconds"]),
            figure(row["times_scratch"]),
        )
        for row in facts["training_step"]
    ]
    return "training step, float32: bytes in, weights updated", ("network", "batch", "threads", "side", "ms", "times scratch's"), rows


def _memory(facts: Facts) -> Sheet:
    rows: Rows = [(row["network"], str(row["batch"]), facts["sides"][row["side"]], figure(row["mebibytes"])) for row in facts["memory"]]
    if run := facts["memory_run"]:
        rows.append(("data of a run", "-", "bytes", figure(run["data_mebibytes"])))
        for steps, key in ((1, "first_mebibytes"), (run["steps"], "mebibytes")):
            rows.append(("a run", "1", f"scratch, {counted(steps, 'step')}", figure(run[key])))
    return "peak memory beyond what is imported", ("network", "batch", "side", "MiB"), rows


def _layers(facts: Facts) -> Sheet:
    rows = [
        (
            f"{row['network']}, {row['batch']}",
            row["layer"],
            row["direction"],
            *(figure(row[key]) for key in ("scratch_milliseconds", "torch_milliseconds", "times_scratch")),
        )
        for row in facts["layers"]
    ]
    return "each layer alone", ("network, batch", "layer", "direction", "scratch ms", "PyTorch ms", "times scratch's"), rows


def _checked(facts: Facts) -> Sheet:
    rows = []
    for row in facts["checked_step"]:
        sides = (figure(row["sides_milliseconds"][side]) for side in ("subject", "reference", "oracle"))
        others = (figure(row["times_sides"]), figure(row["quantities_per_second"]))
        rows.append((row["network"], str(row["batch"]), *sides, figure(row["milliseconds"]), *others))
    headings = ("network", "batch", "subject ms", "reference ms", "oracle ms", "checked ms", "times the sum", "quantities a second")
    return "a checked step, with one reference", headings, rows


def _growth(facts: Facts) -> Sheet:
    rows = []
    for row in facts["growth"]:
        sizes = f"{row['points'][0]['size']} to {row['points'][-1]['size']}"
        rows.append((row["growth"], sizes, *(f"{row['exponents'][kind]:.2f}" for kind in ("plain", "checked"))))
    return "how a step grows: seconds ~ size ** exponent", ("with", "size", "plain step", "checked step"), rows


def _full(facts: Facts) -> Sheet:
    if (run := facts["full_run"]) is None:
        return "", (), []
    names = {"scratch": "scratch", "torch": "PyTorch", "checked": "scratch, every 100th step checked"}
    rows: Rows = [(words, figure(run["seconds"][name]), figure(run["whole_seconds"][name])) for name, words in names.items()]
    seconds = "seconds" if run["steps"] == run["whole_steps"] else f"seconds of {run['whole_steps']:,}, at this rate"
    return "the tutorial's whole training, batch 1", ("", f"seconds of {run['steps']:,} steps", seconds), rows


def _startup(facts: Facts) -> Sheet:
    return "startup", ("", "ms"), [(row["command"], figure(row["milliseconds"])) for row in facts["startup"]]


def _table(title: str, headings: Sequence[str], rows: Rows) -> Table:
    table = Table(title=title, title_justify="left")
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="left" if place == 0 or heading in TEXTS else "right")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


TEXTS = ("side", "layer", "direction", "target", "")
"""Headings of columns of words."""


def render(facts: Facts) -> str:
    """Return the page."""
    drawings = {"steps": steps(facts) if facts["training_step"] else "", "growth": growth(facts) if facts["growth"] else ""}
    pictures = {name: Markup(drawing) for name, drawing in drawings.items()}  # noqa: S704 - matplotlib escapes its texts
    known = {"complaints": complaints(facts), "tables": tables(facts), "pictures": pictures, "reached": REACHED, "figure": figure, "texts": TEXTS}
    return templates().get_template("benchmark.html").render(facts=facts, **known)
