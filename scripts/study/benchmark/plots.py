"""The pictures of the benchmark: the time of a training step against the batch size, and how plain and checked steps grow."""

from __future__ import annotations

import matplotlib as mpl
from matplotlib.figure import Figure

from crosscheck.core.judge import Facts
from crosscheck.report.plots import drawn
from study.benchmark.plan import TUTORIAL


def steps(facts: Facts) -> str:
    """Plot the microseconds per image of each program against the batch size, with one panel per number of threads."""
    rows = [row for row in facts["training_step"] if row["network"] == TUTORIAL]
    threads = sorted({row["threads"] for row in rows})
    colours = {side: mpl.colormaps["tab10"](number) for number, side in enumerate(facts["sides"])}

    def draw(figure: Figure) -> None:
        for axes, count in zip(figure.subplots(1, max(len(threads), 1), sharey=True, squeeze=False)[0], threads, strict=False):
            for side, words in facts["sides"].items():
                points = sorted(
                    (row["batch"], 1e3 * row["milliseconds"] / row["batch"]) for row in rows if (row["side"], row["threads"]) == (side, count)
                )
                if points:
                    axes.plot(*zip(*points, strict=True), "o-", color=colours[side], label=words)
            axes.set(title=f"threads: {count}", xlabel="images a step", xscale="log", yscale="log")
            axes.set_xticks(sorted({row["batch"] for row in rows}), [str(batch) for batch in sorted({row["batch"] for row in rows})])
            axes.minorticks_off()
            axes.legend()
        figure.supylabel("microseconds an image", fontsize="medium")

    return drawn(draw, 8.5, 3.8)


def growth(facts: Facts) -> str:
    """Plot the milliseconds of plain and checked steps against size, with one panel for each quantity that grows."""
    rows = facts["growth"]

    def draw(figure: Figure) -> None:
        for axes, row in zip(figure.subplots(1, len(rows), sharey=True, squeeze=False)[0], rows, strict=True):
            for kind in ("plain", "checked"):
                sizes, times = zip(*((point["size"], point[f"{kind}_milliseconds"]) for point in row["points"]), strict=True)
                axes.plot(sizes, times, "o-", label=f"{kind}: {row['exponents'][kind]:.2f}")
            axes.set(title=row["growth"], xscale="log", yscale="log")
            axes.set_xticks(sizes, [str(size) for size in sizes])
            axes.minorticks_off()
            axes.legend()
        figure.supylabel("milliseconds a step", fontsize="medium")

    return drawn(draw, 8.5, 3.2)
