"""The study in the terminal and as one self-contained HTML file, every text escaped."""

from __future__ import annotations

from markupsafe import Markup
from rich.console import Console
from rich.table import Table
from rich.text import Text

from crosscheck.core.judge import Facts
from crosscheck.report.terminal import COLOURS
from study.coverage.pages import templates
from study.detection import plots


def share(alarms: int, quantities: int) -> str:
    """Return a part of a whole in percent, with the digits that tell it from none; a dash where nothing was asked."""
    if not quantities:
        return "-"
    return f"{100 * alarms / quantities:.2g} %" if alarms else "0"


def show(facts: Facts, console: Console) -> None:
    """Print the verdict, what falls short, and the tables."""
    console.print(Text(facts["headline"], style=f"bold {COLOURS[facts['verdict']]}"), soft_wrap=True)
    lines = [*facts["short"], *(f"false alarm: {line}" for line in facts["false_alarms"]["found"])]
    for line in [*lines, *(f"could not be checked: {line}" for line in facts["unjudged"])]:
        console.print(Text(f"  {line}"), soft_wrap=True)
    for table in (_areas, _right, _rivals, *([_ablation] if facts["ablation"] else [])):
        console.print(table(facts))


def _table(title: str, first: str, *numbers: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first, no_wrap=True)
    for heading in numbers:
        table.add_column(heading, justify="right")
    return table


def _areas(facts: Facts) -> Table:
    table = _table("faults by area", "area", "faults", "detected", "warned\nof", "at the\nright place", "known\ncauses", "named", "wrong")
    for name, area in facts["areas"].items():
        causes = area["causes"]
        numbers = area["faults"], area["detected"], area["warned"], area["localised"], causes["known"], causes["right"], causes["wrong"]
        table.add_row(Text(name), *map(str, numbers))
    return table


def _right(facts: Facts) -> Table:
    """Return what was compared of right implementations, and why the rest was not."""
    own = facts["false_alarms"]
    table = _table("right implementations", "what became of their quantities", "quantities")
    table.add_row("compared", f"{own['quantities']:,}")
    table.add_row("  beside a reference whose rounding is measured", f"{own['measured']:,}")
    table.add_row("false alarms", f"{own['alarms']:,}")
    for reason, count in own["not_compared"].items():
        table.add_row(Text(f"not compared: {reason}"), f"{count:,}")
    return table


def _rivals(facts: Facts) -> Table:
    table = _table(
        "beside the rules people use, on the same inputs", "rule", "cotangent", "detected", "told apart", "on normal\ninputs", "false\nalarms"
    )
    own = facts["false_alarms"]
    table.add_row("crosscheck", "random", str(facts["detected"]), str(facts["detected"]), "", share(own["alarms"], own["quantities"]))
    for one in facts["rivals"].values():
        counts = (str(one[what]) for what in ("detected", "told_apart", "usual"))
        table.add_row(Text(one["rule"]), one["cotangent"], *counts, share(one["alarms"], one["quantities"]))
    return table


def _ablation(facts: Facts) -> Table:
    table = _table("what each part is there for", "part", "detected", "difference")
    table.add_column("lost", overflow="fold")
    for part, one in facts["ablation"].items():
        table.add_row(part, str(one["detected"]), str(one["detected"] - facts["detected"]), Text(", ".join(one["lost"])))
    return table


def render(facts: Facts) -> str:
    """Return the page."""
    pictures = {"rules": Markup(plots.rules(facts)), "families": Markup(plots.families(facts))}  # noqa: S704 - texts are escaped there
    rules = {rival["rule"]: rival["words"] for rival in facts["rivals"].values()}
    return templates().get_template("detection.html").render(facts=facts, pictures=pictures, rules=rules, share=share)
