"""The study of the test database in the terminal, in the README and in docs/operations.md."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console

from crosscheck.core.judge import Facts
from crosscheck.report.words import counted
from study.documents import DOCS, README, Block, Document
from study.operations.facts import LEAST_FAMILIES, OWN, WITNESSES
from study.pages import Rows, Sheet, escaped, markdown, measured_with, percent, print_headline, table, title, wrapped

PAGE = DOCS / "operations.md"
_MOST_LINES = 40
"""The terminal shows at most this many lines about what falls short of the promise."""


def show(facts: Facts, console: Console) -> None:
    """Print the verdict, what falls short, and the tables."""
    lines = [*facts["short"], *(f"could not be tried: {name}: {why}" for name, why in facts["failed"].items()), *facts["crashes"]]
    more = [f"and {len(lines) - _MOST_LINES:,} more, which --json FILE has"] if len(lines) > _MOST_LINES else []
    print_headline(facts, [*lines[:_MOST_LINES], *more], console)
    for sheet in sheets(facts):
        console.print(table(sheet))


def sheets(facts: Facts) -> list[Sheet]:
    """Return all tables except the table of single operations."""
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
    return Sheet("right implementations: quantities by how they are computed, and how many have other bits than the kernel's", headings, rows)


def _rules(facts: Facts) -> Sheet:
    faults, ways = facts["faults"], [one for way, one in facts["ways"].items() if way != OWN]
    asked, alarms = sum(one["other"] - one["named"] for one in ways), sum(one["alarms"] for one in ways)
    headings = ("rule", "right quantities rejected", "in operations", f"of {faults['have_to_be_seen']:,} faults seen")
    seen = faults["seen"][WITNESSES[0]]
    accused = len({alarm.partition(",")[0] for alarm in facts["alarms"]})
    rows: Rows = [("crosscheck", _part(alarms, asked), f"{accused:,}", f"{seen:,}")]
    for rule, one in facts["rules"].items():
        rows.append((rule, _part(one["alarms"], one["quantities"]), f"{one['operations']:,}", f"{faults['rules'][rule]:,}"))
    return Sheet("beside the rules people use, on the quantities that have other bits than the kernel's", headings, rows)


def _faults(facts: Facts) -> Sheet:
    rules = list(facts["faults"]["rules"])
    headings = ("relative size", "planted", "above", *(f"crosscheck {which}" for which in WITNESSES), *rules)
    rows: Rows = [
        (size, *(f"{one[what]:,}" for what in ("planted", "have_to_be_seen", *WITNESSES, *rules))) for size, one in facts["faults"]["by_size"].items()
    ]
    return Sheet("planted faults above four times the tolerance that the theory has without a witness", headings, rows)


def _families(facts: Facts) -> Sheet:
    rows: Rows = [(name, f"{count:,}") for name, count in facts["families"].items()]
    return Sheet("operations of which everything is judged, by family", ("family", "operations"), rows)


def _refused(facts: Facts) -> Sheet:
    rows: Rows = [(f"{reason}: {', '.join(names)}", f"{len(names):,}") for reason, names in facts["refused"].items()]
    return Sheet("operations that are not tried", ("reason", "operations"), rows)


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
        f"{facts['tried']:,} of them were run in float32 and compared with their own float64 results, {facts['judged_in_enough']:,} in at least "
        f"{LEAST_FAMILIES} of {len(facts['families'])} families of inputs. {asked:,} quantities were also computed without the operation's own "
        f"kernel ({', '.join(way for way in ways if way != OWN)}), {other:,} of them with different bits: "
        f"{counted(alarms, 'false alarm') if alarms else 'no false alarms'}. The kernels themselves gave {ways[OWN]['judged']:,} quantities and "
        f"{ways[OWN]['alarms'] or 'no'} false alarms. Of {counted(faults['planted'], 'planted relative fault')}, "
        f"{faults['have_to_be_seen']:,} were above four times the tolerance of the theory alone. crosscheck detects "
        f"{faults['seen'][WITNESSES[0]]:,} of these, and {faults['seen'][WITNESSES[1]]:,} without the witness, the reference in float32. "
        "Other tools' rules, on the quantities with different bits and on the same faults:"
    )
    source = f"[docs/operations.md](docs/operations.md) has every operation. {measured_with(facts)}"
    return "\n\n".join([wrapped(text), markdown(_rules(facts)), wrapped(source)])


def page(facts: Facts) -> str:
    """Return the tables and lists of docs/operations.md."""
    parts = [f"## {title(sheet.title)}\n\n{markdown(sheet)}" for sheet in sheets(facts)]
    lists = {
        "What is not judged": _unjudged(facts),
        "What is known to differ": _named(facts),
        "False alarms": facts["alarms"],
        "Faults above four times the tolerance that are not seen": facts["faults"]["unseen"],
    }
    parts += [f"## {heading}\n\n{_list(lines)}" for heading, lines in lists.items()]
    return "\n\n".join([*parts, wrapped(measured_with(facts))])


def every_operation(facts: Facts) -> str:
    """Return the table of single operations in docs/operations.md; empty for the summary of a study, which does not have them."""
    if "table" not in facts:
        return ""
    headings = "operation", "samples", "judged in", "quantities", "other ways", "with other bits", "false alarms", *facts["rules"]
    rows: Rows = [
        (
            row["name"],
            f"{row['samples']}",
            " ".join(f"{family}{'*' if family in row['weaker'] else ''}" for family, judged in row["families"].items() if judged),
            *(f"{row[what]:,}" for what in ("quantities", "others", "other", "alarms")),
            *(f"{row['rules'].get(rule, 0):,}" for rule in facts["rules"]),
        )
        for row in facts["table"]
    ]
    return markdown(Sheet("", headings, rows, (0, 2)))


def summary(facts: Facts) -> Facts:
    """Return the facts without the single operations, which are in docs/operations.md."""
    return {name: value for name, value in facts.items() if name != "table"}


def _unjudged(facts: Facts) -> list[str]:
    """Return a line for each reason why results of the kernels were not judged, and for each operation with families that were not judged."""
    lines = [f"{counted(count, 'quantity', 'quantities')}: {reason}" for reason, count in facts["unjudged"].items()]
    for name, reasons in facts["not_judged"].items():
        families: dict[str, list[str]] = {}
        for family, reason in reasons.items():
            families.setdefault(reason, []).append(family)
        parts = [f"{', '.join(own)}: {reason}" for reason, own in families.items()]
        lines.append(f"{name}: {'; '.join(parts)}")
    return lines


def _named(facts: Facts) -> list[str]:
    """Return a line for each known difference: its reason and how many quantities show it."""
    return [f"{reason}: {', '.join(f'{name} ({count:,})' for name, count in names.items())}" for reason, names in facts["named"].items()]


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {escaped(line)}" for line in lines) or "None."


DOCUMENT = Document(
    "scripts/detection.py --operations",
    DOCS / "operations.json",
    [Block(README, "operations", paragraph), Block(PAGE, "figures", page), Block(PAGE, "table", every_operation)],
    summary,
)
