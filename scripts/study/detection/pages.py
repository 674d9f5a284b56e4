"""The study of the catalogue in the terminal and as one self-contained HTML file."""

from __future__ import annotations

from markupsafe import Markup
from rich.console import Console

from crosscheck.core.judge import Facts
from study.detection import plots
from study.pages import Sheet, percent, print_headline, table, templates


def show(facts: Facts, console: Console) -> None:
    """Print the verdict, what falls short, and the tables."""
    alarms = (f"false alarm: {line}" for line in facts["false_alarms"]["found"])
    print_headline(facts, [*facts["short"], *alarms, *(f"could not be checked: {line}" for line in facts["unjudged"])], console)
    for sheet in (_areas(facts), _right(facts), _rivals(facts), *([_ablation(facts)] if facts["ablation"] else [])):
        console.print(table(sheet))


def _areas(facts: Facts) -> Sheet:
    headings = "area", "faults", "detected", "warned\nof", "at the\nright place", "known\ncauses", "named", "wrong"
    rows = []
    for name, area in facts["areas"].items():
        numbers = (area[what] for what in ("faults", "detected", "warned", "localised"))
        rows.append((name, *map(str, numbers), *(str(area["causes"][what]) for what in ("known", "right", "wrong"))))
    return Sheet("faults by area", headings, rows)


def _right(facts: Facts) -> Sheet:
    """Return how many quantities of right implementations were compared, and why the others were not."""
    own = facts["false_alarms"]
    counts = {
        "compared": own["quantities"],
        "  beside a reference whose rounding is measured": own["measured"],
        "false alarms": own["alarms"],
        **{f"not compared: {reason}": count for reason, count in own["not_compared"].items()},
    }
    rows = [(words, f"{count:,}") for words, count in counts.items()]
    return Sheet("right implementations", ("what became of their quantities", "quantities"), rows)


def _rivals(facts: Facts) -> Sheet:
    own = facts["false_alarms"]
    rows = [("crosscheck", "random", str(facts["detected"]), str(facts["detected"]), "", percent(own["alarms"], own["quantities"]))]
    for one in facts["rivals"].values():
        counts = (str(one[what]) for what in ("detected", "told_apart", "usual"))
        rows.append((one["rule"], one["cotangent"], *counts, percent(one["alarms"], one["quantities"])))
    headings = "rule", "cotangent", "detected", "told apart", "on normal\ninputs", "false\nalarms"
    return Sheet("beside the rules people use, on the same inputs", headings, rows, (0, 1))


def _ablation(facts: Facts) -> Sheet:
    rows = [(part, str(one["detected"]), str(one["detected"] - facts["detected"]), ", ".join(one["lost"])) for part, one in facts["ablation"].items()]
    return Sheet("what each part is there for", ("part", "detected", "difference", "lost"), rows, (0, 3))


def render(facts: Facts) -> str:
    """Return the page."""
    pictures = {"rules": Markup(plots.rules(facts)), "families": Markup(plots.families(facts))}  # noqa: S704 - texts are escaped there
    rules = {rival["rule"]: rival["words"] for rival in facts["rivals"].values()}
    return templates().get_template("detection.html").render(facts=facts, pictures=pictures, rules=rules, share=percent)
