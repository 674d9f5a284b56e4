"""The report as one self-contained HTML file: verdict first, then where, then why; every text in it escaped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from markupsafe import Markup

from crosscheck.report import plots
from crosscheck.report.files import write_text
from crosscheck.report.findings import Facts, consequence_in_words, decision_in_words, rows, ways_in_words
from crosscheck.report.pages import environment


def render(facts: Facts) -> str:
    """Return the page."""
    pictures: dict[str, Any] = {"losses": Markup(plots.losses(facts)), "errors": Markup(plots.errors(facts))}  # noqa: S704 - drawn here, from numbers
    pictures["filters"] = {name: Markup(plots.filters(facts, name)) for name in facts["weights"]}  # noqa: S704
    pictures["free_run"] = Markup(plots.free_run(facts)) if facts["free_run"]["looks"] else None  # noqa: S704
    pictures["digits"] = [Markup(plots.digit(image["pixels"])) for image in facts["test"]["differing_images"]]  # noqa: S704
    return (
        environment()
        .get_template("training.html")
        .render(
            facts=facts,
            pictures=pictures,
            table=_table(facts),
            beside=any(quantity["reference_fraction"] for quantity in facts["quantities"]),
            divergence=dict(rows(facts["first_divergence"])) if facts["first_divergence"] else {},
            ways=ways_in_words(facts),
            decisions=[decision_in_words(decision) for decision in facts["decisions"]],
            consequences=[consequence_in_words(consequence) for consequence in facts["consequences"]],
        )
    )


def _table(facts: Facts) -> list[dict[str, Any]]:
    """Return a row for each quantity, with a cell for each way of comparing."""
    columns = {"layer": "step", "update": "step", "isolated": "isolated", "whole step": "whole"}
    rows: dict[str, dict[str, Any]] = {}
    for quantity in facts["quantities"]:
        if quantity["kind"] in columns:
            name = f"{quantity['layer']}.{quantity['quantity']}"
            rows.setdefault(name, {"name": name})[columns[quantity["kind"]]] = quantity
    return list(rows.values())


def write_html(path: Path, facts: Facts) -> None:
    """Write the page."""
    write_text(path, render(facts))
