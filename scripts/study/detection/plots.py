"""The detection matrix as a picture: a row for each fault, a column for each way to detect it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap

from crosscheck.core.judge import Facts
from crosscheck.report.plots import drawn

SEEN, ALWAYS, MISSED = "#1a7f37", "#d8b365", "#f0f0f0"
"""The colours of a cell. Seen: the fault is detected. Always: the rule rejects the fault and the right code as well. Missed: it accepts the fault."""

_ROW, _COLUMN, _NAMES = 0.17, 0.24, 3.6
"""Height of a row, width of a column, and width of the names beside the rows, in inches."""


def rules(facts: Facts) -> str:
    """Return the picture of faults against crosscheck and the rules of other tools."""
    columns = ["crosscheck", *facts["rivals"]]

    def cells(fault: Facts) -> list[int]:
        others = [fault["rivals"][name] for name in facts["rivals"]]
        return [2 * fault["detected"], *(2 if one["told_apart"] else int(one["detected"]) for one in others)]

    return _matrix(facts["catalogue"], columns, cells)


def families(facts: Facts) -> str:
    """Return the picture of faults against families of inputs."""

    def cells(fault: Facts) -> list[int]:
        return [2 * (family in fault["families"]) for family in facts["families"]]

    return _matrix(facts["catalogue"], facts["families"], cells)


def _matrix(catalogue: Sequence[Facts], columns: Sequence[str], cells: Callable[[Facts], list[int]]) -> str:
    values = np.array([cells(fault) for fault in catalogue]).reshape(len(catalogue), len(columns))

    def draw(axes: Axes) -> None:
        axes.imshow(values, cmap=ListedColormap([MISSED, ALWAYS, SEEN]), vmin=0, vmax=2, aspect="auto", interpolation="nearest")
        axes.set_xticks(range(len(columns)), [_plain(name) for name in columns], rotation=60, ha="left", rotation_mode="anchor", fontsize=7)
        axes.set_yticks(range(len(catalogue)), [_plain(fault["name"]) for fault in catalogue], fontsize=6)
        axes.xaxis.tick_top()
        axes.set_xticks(np.arange(0.5, len(columns)), minor=True)
        axes.set_yticks(np.arange(0.5, len(catalogue)), minor=True)
        axes.grid(visible=False)
        axes.grid(visible=True, which="minor", color="white", linewidth=0.8, alpha=1)
        axes.tick_params(which="both", length=0)
        axes.spines[:].set_visible(False)

    return drawn(lambda figure: draw(figure.subplots()), _NAMES + _COLUMN * len(columns), 1.8 + _ROW * len(catalogue))


def _plain(text: str) -> str:
    """Return a text escaped so that matplotlib does not take it for a formula."""
    return text.replace("$", r"\$")
