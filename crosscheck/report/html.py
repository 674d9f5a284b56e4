"""The report as one self-contained HTML file: verdict first, then where, then why; every text in it escaped."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from crosscheck.report import plots
from crosscheck.report.files import write_text
from crosscheck.report.findings import Facts, consequence_in_words, decision_in_words, fraction_in_words, rows


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("crosscheck.report"), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["short"] = short
    environment.filters["thousands"] = lambda value: f"{value:,}"
    return environment


def short(value: float | None) -> str:
    """Return a number with three digits or as many as tell it from 1; JSON could not hold infinity."""
    return "∞" if value is None else "0" if value == 0 else fraction_in_words(value, 3)


def render(facts: Facts) -> str:
    """Return the page."""
    pictures: dict[str, Any] = {"losses": Markup(plots.losses(facts)), "errors": Markup(plots.errors(facts))}  # noqa: S704 - drawn here, from numbers
    pictures["filters"] = {name: Markup(plots.filters(facts, name)) for name in facts["weights"]}  # noqa: S704
    pictures["free_run"] = Markup(plots.free_run(facts)) if facts["free_run"]["looks"] else None  # noqa: S704
    pictures["digits"] = [Markup(plots.digit(image["pixels"])) for image in facts["test"]["differing_images"]]  # noqa: S704
    return (
        _environment()
        .get_template("training.html")
        .render(
            facts=facts,
            pictures=pictures,
            table=_table(facts),
            beside=any(quantity["reference_fraction"] for quantity in facts["quantities"]),
            divergence=dict(rows(facts["first_divergence"])) if facts["first_divergence"] else {},
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
