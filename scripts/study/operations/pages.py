"""The study of the test database in the terminal, as the README's paragraph and as docs/operations.md."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from crosscheck.core.judge import Facts
from crosscheck.report.terminal import COLOURS
from crosscheck.report.words import counted
from study import generated_text
from study.detection.readme import percent
from study.operations.facts import LEAST_FAMILIES, OWN, WITNESSES

BEGIN, END = "<!-- operations: begin -->", "<!-- operations: end -->"
"""Lines of the README between which the paragraph stands."""

_WIDTH = 150
_MOST_LINES = 40
"""False alarms that the terminal lists."""

Rows = list[tuple[str, ...]]
Sheet = tuple[str, tuple[str, ...], Rows]
"""A table: its title, its headings, its cells as text; the first column is text, the others are numbers."""


def show(facts: Facts, console: Console) -> None:
    """Print the verdict, what falls short, and the tables."""
    console.print(Text(facts["headline"], style=f"bold {COLOURS[facts['verdict']]}"), soft_wrap=True)
    lines = [*facts["short"], *(f"could not be tried: {name}: {why}" for name, why in facts["failed"].items()), *facts["crashes"]]
    for line in lines[:_MOST_LINES]:
        console.print(Text(f"  {line}"), soft_wrap=True)
    if len(lines) > _MOST_LINES:
        console.print(Text(f"  and {len(lines) - _MOST_LINES:,} more, which --json FILE has"))
    for title, headings, rows in sheets(facts):
        table = Table(title=title, title_justify="left")
        for number, heading in enumerate(headings):
            table.add_column(heading, justify="right" if number else "left")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        console.print(table)


def sheets(facts: Facts) -> list[Sheet]:
    """Return the tables but that of all operations."""
    return [_ways(facts), _rules(facts), _faults(facts), _families(facts), _refused(facts)]


def _ways(facts: Facts) -> Sheet:
    headings = ("computed by", "operations", "judged", "other bits", "wider by the witness", "not judged", "known to differ", "false alarms")
    rows: Rows = [
        (
            way,
            f"{one['operations']:,}",
            f"{one['judged']:,}",
            "" if way == OWN else f"{one['other']:,} in {counted(one['other_operations'], 'operation')}",
            f"{one['widened']:,}",
            f"{one['unjudged']:,}",
            f"{one['named']:,}",
            f"{one['alarms']:,}",
        )
        for way, one in facts["ways"].items()
    ]
    return "right implementations: quantities by how they are computed, and how many have other bits than the kernel's", headings, rows


def _rules(facts: Facts) -> Sheet:
    faults, ways = facts["faults"], [one for way, one in facts["ways"].items() if way != OWN]
    asked, alarms = sum(one["other"] - one["named"] for one in ways), sum(one["alarms"] for one in ways)
    headings = ("rule", "right quantities rejected", "in operations", f"of {faults['have_to_be_seen']:,} faults seen")
    seen = faults["seen"][WITNESSES[0]]
    accused = sum(bool(row["alarms"]) for row in facts["table"])
    rows: Rows = [("crosscheck", _part(alarms, asked), f"{accused:,}", f"{seen:,}")]
    for rule, one in facts["rules"].items():
        rows.append((rule, _part(one["alarms"], one["quantities"]), f"{one['operations']:,}", f"{faults['rules'][rule]:,}"))
    return "beside the rules people use, on the quantities that have other bits than the kernel's", headings, rows


def _faults(facts: Facts) -> Sheet:
    rules = list(facts["faults"]["rules"])
    headings = ("relative size", "planted", "above", *(f"crosscheck {which}" for which in WITNESSES), *rules)
    rows: Rows = [
        (size, *(f"{one[what]:,}" for what in ("planted", "have_to_be_seen", *WITNESSES, *rules))) for size, one in facts["faults"]["by_size"].items()
    ]
    return "planted faults above four times the tolerance that the theory has without a witness", headings, rows


def _families(facts: Facts) -> Sheet:
    return (
        "operations of which everything is judged, by family",
        ("family", "operations"),
        [(name, f"{count:,}") for name, count in facts["families"].items()],
    )


def _refused(facts: Facts) -> Sheet:
    rows: Rows = [(f"{reason}: {', '.join(names)}", f"{len(names):,}") for reason, names in facts["refused"].items()]
    return "operations that are not tried", ("reason", "operations"), rows


def _part(count: int, whole: int) -> str:
    return f"{count:,} of {whole:,} ({percent(count, whole)})"


def paragraph(facts: Facts) -> str:
    """Return the figures of a study in Markdown, for the README."""
    ways, faults = facts["ways"], facts["faults"]
    others = [one for way, one in ways.items() if way != OWN]
    alarms, asked = sum(one["alarms"] for one in others), sum(one["judged"] for one in others)
    other = sum(one["other"] for one in others)
    text = (
        f"PyTorch's own test database has {counted(facts['operations'], 'operation')} that differentiate in double precision; "
        f"{facts['tried']:,} were tried in single precision beside their own float64, {facts['judged_in_enough']:,} of them judged in at least "
        f"{LEAST_FAMILIES} of {len(facts['families'])} families of inputs. In {asked:,} quantities computed in another way than by "
        f"the operation's own kernel ({', '.join(way for way in ways if way != OWN)}; {other:,} have other bits) there were "
        f"{counted(alarms, 'false alarm') if alarms else 'no false alarms'}, in {ways[OWN]['judged']:,} of the kernels themselves "
        f"{ways[OWN]['alarms'] or 'none'}. Of {counted(faults['planted'], 'relative fault')} planted, "
        f"{faults['have_to_be_seen']:,} were above four times what the theory alone tolerates. Of these crosscheck sees "
        f"{faults['seen'][WITNESSES[0]]:,}, and {faults['seen'][WITNESSES[1]]:,} where the witness, the reference in single precision, is not heard. "
        "The rules people use, on the quantities with other bits and the same faults:"
    )
    source = "[docs/operations.md](docs/operations.md) has every operation."
    return "\n\n".join([_wrapped(text), _markdown(_rules(facts)), _wrapped(f"{source} {_measured(facts)}")])


def page(facts: Facts) -> str:
    """Return docs/operations.md."""
    rows: Rows = [
        (
            row["name"],
            f"{row['samples']}",
            " ".join(f"{family}{'*' if family in row['weaker'] else ''}" for family, judged in row["families"].items() if judged),
            f"{row['quantities']:,}",
            f"{row['others']:,}",
            f"{row['other']:,}",
            f"{row['alarms']:,}",
            *(f"{row['rules'].get(rule, 0):,}" for rule in facts["rules"]),
        )
        for row in facts["table"]
    ]
    table: Sheet = ("", ("operation", "samples", "judged in", "quantities", "other ways", "with other bits", "false alarms", *facts["rules"]), rows)
    parts = ["# PyTorch's own test database", _wrapped(_INTRODUCTION)]
    for sheet in sheets(facts):
        parts += [f"## {sheet[0][0].upper()}{sheet[0][1:]}", _markdown(sheet)]
    parts += ["## What is not judged", _list(_unjudged(facts)) or "Everything is."]
    parts += ["## What is known to differ", _list(_named(facts)) or "Nothing."]
    parts += ["## False alarms", _list(facts["alarms"]) or "None."]
    parts += ["## Faults above four times the tolerance that are not seen", _list(facts["faults"]["unseen"]) or "None."]
    parts += ["## Every operation", _wrapped(_TABLE), _markdown(table), _wrapped(_measured(facts))]
    return "\n\n".join(parts) + "\n"


_INTRODUCTION = (
    "Each differentiable operation of `torch.testing._internal.common_methods_invocations.op_db` with up to three of its samples, as a function of "
    "the tensors that it is differentiated by, in single precision, beside the same in double precision. Each family of inputs redraws the sample's "
    "numbers, within the domain that the database gives; where the operation refuses them, or is not finite, the sample's own numbers are scaled "
    "and shifted instead; and where nothing could be judged so, the family is tried weaker. Of several outputs all that are floats are compared, one "
    "after the other; complex numbers are two floats. Generated by `scripts/detection.py --readme`."
)

_TABLE = (
    "Families in which everything was judged, in one sample at least; with a star, weaker than in the harness. How many quantities of the "
    "operation's own kernel were judged, how many of all other ways of computing it, how many of these have other bits; false alarms of crosscheck, "
    "and of the rules people use on those that have other bits."
)


def _unjudged(facts: Facts) -> list[str]:
    """Return a line for each reason why quantities of operations' own kernels were not judged, and for each operation that misses a family."""
    lines = [f"{counted(count, 'quantity', 'quantities')}: {reason}" for reason, count in facts["unjudged"].items()]
    for name, reasons in facts["not_judged"].items():
        families: dict[str, list[str]] = {}
        for family, reason in reasons.items():
            families.setdefault(reason, []).append(family)
        parts = [f"{', '.join(own)}: {reason}" for reason, own in families.items()]
        lines.append(f"{name}: {'; '.join(parts)}")
    return lines


def _named(facts: Facts) -> list[str]:
    """Return a line for each reason why another version differs."""
    return [f"{reason}: {', '.join(f'{name} ({count:,})' for name, count in names.items())}" for reason, names in facts["named"].items()]


def _measured(facts: Facts) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    return f"Measured with {versions}, seed {facts['seed']}; `{facts['command']}` measures it again."


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, _WIDTH, break_on_hyphens=False))


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {_cell(line)}" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("*", r"\*").replace("_", r"\_").replace("<", "&lt;").replace("\n", " ")


def _markdown(sheet: Sheet) -> str:
    _, headings, rows = sheet
    lines: list[Sequence[str]] = [headings, ["---", *["---:"] * (len(headings) - 1)]]
    return "\n".join(f"| {' | '.join(line)} |" for line in [*lines, *([_cell(cell) for cell in row] for row in rows)])


def write(readme: Path, document: Path, source: Path) -> None:
    """Put the paragraph into the README and write the page.

    Raises
    ------
    PageError
    """
    facts = generated_text.facts_in(source, "scripts/detection.py --operations", lambda facts: paragraph(facts) + page(facts))
    generated_text.put_between(readme, BEGIN, END, paragraph(facts))
    generated_text.write_page(document, page(facts))
