"""The benchmark in the terminal, as one self-contained HTML file, and in docs/performance.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup
from rich.console import Console
from rich.text import Text

from crosscheck.core.judge import Facts
from crosscheck.report.terminal import COLOURS
from crosscheck.report.words import counted
from study.benchmark.plots import growth, steps
from study.documents import DOCS, Block, Document
from study.pages import Rows, Sheet, markdown, print_headline, table, templates, title

REACHED = {True: ("reached", "match"), False: ("not reached", "mismatch"), None: ("not measured", "undecided")}
"""For a target that is reached, not reached or not measured: the words, and the verdict whose colour they get."""

BUSY = 0.5
"""If other processes kept at least this many cores busy at the beginning, the pages say so."""

TEXTS = ("side", "layer", "direction", "target", "")
"""Headings of the columns that hold text; the other columns hold numbers."""


def show(facts: Facts, console: Console) -> None:
    """Print the verdict, what is wrong or missing, and the tables; the targets come last."""
    print_headline(facts, complaints(facts), console)
    for sheet in sheets(facts):
        console.print(table(sheet))
    if facts["targets"]:
        targets = table(_targets([]))
        for row in facts["targets"]:
            words, verdict = REACHED[row["reached"]]
            targets.add_row(row["what"], row["target"], figure(row["measured"]), Text(words, style=COLOURS[verdict]))
        console.print(targets)


def complaints(facts: Facts) -> list[str]:
    """Return a line for each side that is wrong or missing, for each part that failed, and for a machine that was busy."""

    def place(row: Facts) -> str:
        return f"{row['side']}, {row['network']}, batch {row['batch']}, {counted(row['threads'], 'thread')}"

    load, cores = facts["machine"]["load"], facts["machine"]["cores"]
    busy = [f"the machine was busy when this began, {load:g} of {cores} cores: figures of several threads suffer most"] if load >= BUSY else []
    missing = dict.fromkeys(f"missing: {row['side']}: {row['words']}" for row in facts["missing"])
    failed = (f"could not be measured: {row['part']}, {counted(row['threads'], 'thread')}: {row['words']}" for row in facts["failed"])
    wrong = [f"wrong: {place(row)}: {row['words']}" for row in facts["wrong"]]
    return [*wrong, *missing, *failed, *busy]


def figure(value: float | None) -> str:
    """Return a number with three digits; a dash for None."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def figures(row: Facts, *names: str) -> Iterable[str]:
    """Return the named numbers of a row as cells of a table."""
    return (figure(row[name]) for name in names)


def sheets(facts: Facts) -> list[Sheet]:
    """Return the tables that have rows."""
    sides = facts["sides"]
    steps: Rows = [
        (row["network"], str(row["batch"]), str(row["threads"]), sides[row["side"]], *figures(row, "milliseconds", "times_scratch"))
        for row in facts["training_step"]
    ]
    milliseconds = "scratch_milliseconds", "torch_milliseconds", "times_scratch"
    layers: Rows = [(f"{row['network']}, {row['batch']}", row["layer"], row["direction"], *figures(row, *milliseconds)) for row in facts["layers"]]
    checked: Rows = []
    for row in facts["checked_step"]:
        alone = figures(row["sides_milliseconds"], "subject", "reference", "oracle")
        checked.append((row["network"], str(row["batch"]), *alone, *figures(row, "milliseconds", "times_sides", "quantities_per_second")))
    growths: Rows = []
    for row in facts["growth"]:
        exponents = (f"{row['exponents'][kind]:.2f}" for kind in ("plain", "checked"))
        growths.append((row["growth"], f"{row['points'][0]['size']} to {row['points'][-1]['size']}", *exponents))
    startups: Rows = [(row["command"], figure(row["milliseconds"])) for row in facts["startup"]]
    headings = "network", "batch", "subject ms", "reference ms", "oracle ms", "checked ms", "times the sum", "quantities a second"
    found = [
        _sheet("training step, float32: bytes in, weights updated", ("network", "batch", "threads", "side", "ms", "times scratch's"), steps),
        _sheet("peak memory beyond what is imported", ("network", "batch", "side", "MiB"), _memory(facts)),
        _sheet("each layer alone", ("network, batch", "layer", "direction", "scratch ms", "PyTorch ms", "times scratch's"), layers),
        _sheet("a checked step, with one reference", headings, checked),
        _sheet("how a step grows: seconds ~ size ** exponent", ("with", "size", "plain step", "checked step"), growths),
        _full(facts),
        _sheet("startup", ("", "ms"), startups),
    ]
    return [sheet for sheet in found if sheet.rows]


def _sheet(name: str, headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Sheet:
    return Sheet(name, headings, rows, [place for place, heading in enumerate(headings) if not place or heading in TEXTS])


def _memory(facts: Facts) -> Rows:
    rows: Rows = [(row["network"], str(row["batch"]), facts["sides"][row["side"]], figure(row["mebibytes"])) for row in facts["memory"]]
    if run := facts["memory_run"]:
        rows.append(("data of a run", "-", "bytes", figure(run["data_mebibytes"])))
        for count, key in ((1, "first_mebibytes"), (run["steps"], "mebibytes")):
            rows.append(("a run", "1", f"scratch, {counted(count, 'step')}", figure(run[key])))
    return rows


def _full(facts: Facts) -> Sheet:
    if (run := facts["full_run"]) is None:
        return Sheet("", (), [])
    names = {"scratch": "scratch", "torch": "PyTorch", "checked": "scratch, every 100th step checked"}
    rows: Rows = [(words, figure(run["seconds"][name]), figure(run["whole_seconds"][name])) for name, words in names.items()]
    seconds = "seconds" if run["steps"] == run["whole_steps"] else f"seconds of {run['whole_steps']:,}, at this rate"
    return _sheet("the tutorial's whole training, batch 1", ("", f"seconds of {run['steps']:,} steps", seconds), rows)


def _targets(rows: Rows) -> Sheet:
    return Sheet("what was aimed at", ("figure", "target", "measured", ""), rows, (0, 1, 3))


def render(facts: Facts) -> str:
    """Return the page."""
    drawings = {"steps": steps(facts) if facts["training_step"] else "", "growth": growth(facts) if facts["growth"] else ""}
    pictures = {name: Markup(drawing) for name, drawing in drawings.items()}  # noqa: S704 - matplotlib escapes its texts
    known = {"complaints": complaints(facts), "tables": sheets(facts), "pictures": pictures, "reached": REACHED, "figure": figure}
    return templates().get_template("benchmark.html").render(facts=facts, **known)


def measured(facts: Facts) -> str:
    """Return the figures in Markdown, the targets first."""
    parts = [facts["headline"] + "."]
    if lines := complaints(facts):
        parts.append("\n".join(f"- {line}" for line in lines))
    if facts["targets"]:
        rows: Rows = [(row["what"], row["target"], figure(row["measured"]), REACHED[row["reached"]][0]) for row in facts["targets"]]
        parts.append(markdown(_targets(rows)))
    for sheet in sheets(facts):
        parts += [f"### {title(sheet.title)}", markdown(sheet)]
    machine, versions = facts["machine"], ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    parts.append(
        f"Measured on {machine['processor']}, {machine['cores']} cores, {machine['system']}; {versions}. `{facts['command']}` measures it again."
    )
    return "\n\n".join(parts)


PAGE = DOCS / "performance.md"
DOCUMENT = Document("scripts/benchmark.py", DOCS / "performance.json", [Block(PAGE, "benchmark", measured)], dict)
