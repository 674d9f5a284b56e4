"""The report as one self-contained HTML file: verdict first, then where, then why; every text in it escaped."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from crosscheck.report import plots
from crosscheck.report.facts import Facts
from crosscheck.report.files import write_text


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("crosscheck.report"), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["short"] = short
    environment.filters["thousands"] = lambda value: f"{value:,}"
    return environment


def short(value: float | None) -> str:
    """Return a number with three digits; a dash for one that JSON could not hold."""
    return "∞" if value is None else "0" if value == 0 else f"{value:.3g}"


def render(facts: Facts) -> str:
    """Return the page."""
    pictures: dict[str, Any] = {"losses": Markup(plots.losses(facts)), "errors": Markup(plots.errors(facts))}  # noqa: S704 - drawn here, from numbers
    pictures["filters"] = {name: Markup(plots.filters(facts, name)) for name in facts["weights"]}  # noqa: S704
    pictures["free_run"] = Markup(plots.free_run(facts)) if facts["free_run"]["looks"] else None  # noqa: S704
    pictures["digits"] = [Markup(plots.digit(image["pixels"])) for image in facts["test"]["differing_images"]]  # noqa: S704
    return _environment().get_template("training.html").render(facts=facts, pictures=pictures, table=_table(facts))


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
