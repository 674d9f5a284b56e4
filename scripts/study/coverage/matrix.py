"""The coverage matrix: a row for each quantity of each layer and optimizer, a column for each reference and precision.

A cell holds the worst finding of all rows of the tests' tables. A cell in which nothing was compared needs a reason; without a reason it is a hole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from crosscheck.core.judge import Facts, Verdict
from crosscheck.report.words import counted, fraction_in_words

Key = tuple[str, str]


@dataclass
class Cell:
    """The findings about one quantity of a layer or optimizer, compared with one reference in one precision."""

    compared: int = 0  # how many runs agree
    fraction: float = 0.0  # the largest error of these runs as a fraction of its tolerance; 0 if all are equal
    wrong: list[str] = field(default_factory=list)  # the runs with an unexpected verdict, each with what was found
    mismatch: bool = False  # whether any of the wrong runs is a mismatch and not just undecided
    hole: str = ""  # why nothing could be compared, if the tables give no reason for it
    reasons: dict[str, int] = field(default_factory=dict)  # why runs were not compared or differ as declared, each reason with the number of its runs

    def add(self, outcome: str, words: str, fraction: float) -> None:
        """Add the finding of one run."""
        if outcome == "hole":
            self.hole = words
        elif outcome in ("wrong", "undecided"):
            self.wrong.append(words)
            self.mismatch |= outcome == "wrong"
        elif outcome == "declared":
            self.reasons[words] = self.reasons.get(words, 0) + 1
        else:
            self.compared += 1
            self.fraction = max(self.fraction, fraction)

    @property
    def verdict(self) -> str:
        """The cell's verdict, or ``"empty"`` for a hole."""
        if self.wrong:
            return "mismatch" if self.mismatch else "undecided"
        if self.compared:
            return "match"
        return "skipped" if self.reasons else "empty"

    @property
    def text(self) -> str:
        """The text of the cell: the largest fraction, or a word."""
        if self.verdict == "match":
            return fraction_in_words(self.fraction) if self.fraction else "equal"
        return {"mismatch": "wrong", "undecided": "undecided", "skipped": "-", "empty": "EMPTY"}[self.verdict]


@dataclass(frozen=True)
class Row:
    """One quantity of a layer or optimizer, with a cell for each column."""

    subject: str
    quantity: str
    cells: Mapping[Key, Cell]


@dataclass(frozen=True)
class Matrix:
    """The coverage matrix: all columns and rows."""

    columns: list[Key]  # reference and precision
    rows: list[Row]

    @property
    def cells(self) -> list[Cell]:
        """Every cell."""
        return [cell for row in self.rows for cell in row.cells.values()]

    @property
    def verdict(self) -> Verdict:
        """``mismatch`` if anything is wrong or a cell is empty, ``undecided`` if something could not be decided."""
        found = {cell.verdict for cell in self.cells}
        if found & {"mismatch", "empty"}:
            return Verdict.MISMATCH
        if not any(cell.compared for cell in self.cells):
            return Verdict.SKIPPED
        return Verdict.UNDECIDED if "undecided" in found else Verdict.MATCH

    @property
    def status(self) -> int:
        """The exit status."""
        return {Verdict.MATCH: 0, Verdict.MISMATCH: 1}.get(self.verdict, 2)

    @property
    def headline(self) -> str:
        """The verdict and the numbers of cells behind it, as a line of text."""
        verdicts = [cell.verdict for cell in self.cells]
        compared = counted(sum(cell.compared for cell in self.cells), "quantity", "quantities")
        parts = [f"{counted(len(verdicts), 'cell')}, {compared} compared"]
        words = {"mismatch": "wrong", "undecided": "undecided", "empty": "empty without a reason", "skipped": "empty with a reason"}
        parts += [f"{counted(verdicts.count(name), 'cell')} {word}" for name, word in words.items() if name in verdicts]
        return f"{self.verdict.upper()}: {'; '.join(parts)}"

    @property
    def footnotes(self) -> list[str]:
        """The reasons of all cells, each once, in the order of the rows."""
        return list(dict.fromkeys(reason for cell in self.cells for reason in cell.reasons))

    @property
    def faults(self) -> list[str]:
        """What is wrong, undecided or missing, a line for each cell."""
        lines = []
        for row in self.rows:
            for (reference, dtype), cell in row.cells.items():
                place = f"{row.subject} {row.quantity}, {reference} {dtype}"
                if cell.wrong:
                    more = f" (and {counted(len(cell.wrong) - 1, 'more run')})" if len(cell.wrong) > 1 else ""
                    lines.append(f"{place}: {cell.wrong[0]}{more}")
                elif cell.verdict == "empty":
                    lines.append(f"{place}: {cell.hole or 'nothing was compared, and no reason is given'}")
        return lines

    def largest(self) -> dict[Key, float]:
        """Return the largest fraction of each column."""
        return {key: max((row.cells[key].fraction for row in self.rows), default=0.0) for key in self.columns}


def matrix(columns: list[Key], quantities: Iterable[tuple[str, str]], findings: Iterable[Facts]) -> Matrix:
    """Return the matrix of all findings, in the form that ``rows.plain`` returns; quantities without findings get rows as well."""
    rows = {place: {column: Cell() for column in columns} for place in quantities}
    for finding in findings:
        subject, quantity = finding["row"]
        reference, dtype = finding["column"]
        rows[subject, quantity][reference, dtype].add(finding["outcome"], finding["words"], finding["fraction"])
    return Matrix(columns, [Row(subject, quantity, cells) for (subject, quantity), cells in rows.items()])
