"""A report as one self-contained HTML file: the verdict first, then where, then why. Every text is escaped."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from crosscheck.core.judge import CONTRACT, Facts, Kind
from crosscheck.report import plots, words
from crosscheck.report.matrix import matrix


def render(facts: Facts) -> str:
    """Return the page of a report, made from the template of its kind."""
    template, shown = _PAGES[facts["kind"]]
    return environment().get_template(template).render(facts=facts, **shown(facts))


def _training(facts: Facts) -> dict[str, Any]:
    """Return what the page of a training comparison shows."""
    pictures: dict[str, Any] = {"losses": Markup(plots.losses(facts)), "errors": Markup(plots.errors(facts))}  # noqa: S704 - drawn here, from numbers
    pictures["filters"] = {name: Markup(plots.filters(facts, name)) for name in facts["weights"]}  # noqa: S704
    pictures["free_run"] = Markup(plots.free_run(facts)) if facts["free_run"]["measurements"] else None  # noqa: S704
    pictures["digits"] = [Markup(plots.digit(image["pixels"])) for image in facts["test"]["differing_images"]]  # noqa: S704
    return {
        "pictures": pictures,
        "table": _table(facts),
        "beside": any(quantity["reference_fraction_of_tolerance"] for quantity in facts["quantities"]),
        "divergence": dict(words.rows(facts["first_divergence"])) if facts["first_divergence"] else {},
        "ways": words.ways_in_words(facts),
        "decisions": [words.decision_in_words(decision) for decision in facts["decisions"]],
        "conventions": list(words.conventions_in_words(facts["jury"])) if facts["jury"] else [],
        "consequences": [words.consequence_in_words(consequence) for consequence in facts["consequences"]],
    }


def _table(facts: Facts) -> list[dict[str, Any]]:
    """Return a row for each quantity, with a cell for each way of comparing."""
    columns = {Kind.LAYER: "step", Kind.UPDATE: "step", Kind.ISOLATED: "alone", Kind.WHOLE: "whole"}
    rows: dict[str, dict[str, Any]] = {}
    for quantity in facts["quantities"]:
        if quantity["kind"] in columns:
            name = f"{quantity['layer']}.{quantity['quantity']}"
            rows.setdefault(name, {"name": name})[columns[quantity["kind"]]] = quantity
    return list(rows.values())


@cache
def environment() -> jinja2.Environment:
    """Return the environment of all templates: text is escaped, and an undefined name is an error."""
    result = jinja2.Environment(
        loader=jinja2.PackageLoader("crosscheck.report"), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    result.filters["short"] = short
    result.filters["kind_in_words"] = words.KINDS.__getitem__
    result.filters["thousands"] = lambda value: f"{value:,}"
    return result


def short(value: float | None) -> str:
    """Return a number with three digits, or with enough to tell it from 1; None is infinity."""
    return "∞" if value is None else "0" if value == 0 else words.fraction_in_words(value, 3)


def _pairs(facts: Facts) -> dict[str, Any]:
    """Return what the page of checked pairs shows."""
    return {"lines": [words.pair_line(pair) for pair in facts["pairs"]], "described": [_described(pair) for pair in facts["pairs"]]}


def _described(pair: Facts) -> dict[str, Any]:
    """Return what the page shows about a pair."""
    first = words.first_mismatch(pair)
    contracts = [check for check in pair["checks"] if check["check"].startswith(CONTRACT)]
    remarks = [("inferred", text) for text in pair["inferred"]]
    remarks += words.not_compared_rows(pair)
    remarks += words.size_rows(pair)
    remarks += words.witness_rows(pair)
    remarks += [("warning", f"{check['check']}: {check['reason']}") for check in words.warnings(pair)]
    remarks += [("expected", f"{check['check']}: {check['expected_difference']}") for check in pair["checks"] if check["expected_difference"]]
    remarks += [
        (check["verdict"], f"{check['check']}: {check['reason']}")
        for check in pair["checks"]
        if check["verdict"] in ("skipped", "undecided") and check not in contracts
    ]
    remarks += [("note", f"{check['check']}: {note}") for check in pair["checks"] if check is not first for note in check["notes"]]
    return {
        "first": [] if first is None else list(words.mismatch_rows(pair, first)),
        "script": first["small_case"]["script"] if first and first["small_case"] else "",
        "matrix": matrix(pair),
        "contracts": contracts,
        "contracts_hold": all(check["verdict"] in ("match", "skipped") for check in contracts),
        "remarks": remarks,
    }


_PAGES: dict[str, tuple[str, Callable[[Facts], dict[str, Any]]]] = {"pairs": ("pairs.html", _pairs), "training": ("training.html", _training)}
"""For each kind of report, the template and the function that returns the template's variables other than the facts."""
