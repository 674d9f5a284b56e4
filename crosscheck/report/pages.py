"""What all pages are made with: one environment of templates, in which every text is escaped."""

from __future__ import annotations

from functools import cache

import jinja2

from crosscheck.report.findings import fraction_in_words


@cache
def environment() -> jinja2.Environment:
    """Return what all pages are made with: autoescaping, and an error where a template names something that is not there."""
    result = jinja2.Environment(
        loader=jinja2.PackageLoader("crosscheck.report"), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    result.filters["short"] = short
    result.filters["thousands"] = lambda value: f"{value:,}"
    return result


def short(value: float | None) -> str:
    """Return a number with three digits or as many as tell it from 1; JSON could not hold infinity."""
    return "∞" if value is None else "0" if value == 0 else fraction_in_words(value, 3)
