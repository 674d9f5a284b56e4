"""The pictures of the report as SVG, drawn from the facts."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any, cast

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from crosscheck.core.judge import Facts, Kind

SUBJECT, REFERENCE, LIMIT = "#1f6fb2", "#d9822b", "#b3261e"
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "crosscheck",
    "font.size": 10,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
}
NAMED, PANELS = 8, 6
"""A picture names at most NAMED layers and has panels for at most PANELS parameters: the ones with the largest errors relative to tolerances."""
SMALLEST = 1e-6
"""Smaller fractions, including zero, are drawn at this value, because a logarithmic axis has no zero."""


def drawn(draw: Callable[[Figure], None], width: float, height: float) -> str:
    """Call ``draw`` on an empty figure, with width and height in inches, and return the picture as an SVG element."""
    with mpl.rc_context(cast("Any", STYLE)):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def losses(facts: Facts) -> str:
    """Return a plot of the loss curves of your code and of the reference."""
    curves = facts["losses"]
    names = {"subject": facts["subject"], "reference": facts["jury"]["references"][0]["name"] if facts["jury"] else facts["reference"]}
    top = max([value for side in ("subject", "reference") for value in curves[side] if value], default=1.0)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for side, colour, style, width in (("reference", REFERENCE, "-", 3.5), ("subject", SUBJECT, "-", 1.2)):
            dot = "o" if len(curves["steps"]) == 1 else None  # a line needs two steps
            values = np.array(curves[side], float)  # None becomes NaN, a gap in the curve
            axes.plot(curves["steps"], values, style, color=colour, linewidth=width, marker=dot, markersize=3 * width, label=names[side])
        axes.set(xlabel="step", ylabel="training loss", ylim=(0, 1.1 * top))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.legend()

    return drawn(draw, 8.5, 3.2)


def errors(facts: Facts) -> str:
    """Return a plot of each layer's largest error, as a fraction of the tolerance, against the step; a line marks the tolerance."""
    layers: dict[str, dict[int, float]] = {}
    for quantity in facts["quantities"]:
        if quantity["kind"] in (Kind.LAYER, Kind.UPDATE, Kind.ISOLATED):
            curve = layers.setdefault(quantity["layer"], {})
            for step, fraction in zip(quantity["steps"], quantity["fractions_of_tolerance"], strict=True):
                # None is infinity: the values differ although they must be equal.
                curve[step] = max(curve.get(step, 0.0), np.inf if fraction is None else fraction)
    finite = [value for curve in layers.values() for value in curve.values() if np.isfinite(value)]
    top = max([10.0, *(3 * value for value in finite)])
    named = sorted(layers, key=lambda layer: -max(layers[layer].values(), default=0.0))[:NAMED]
    colours = {layer: mpl.colormaps["tab10"](number) for number, layer in enumerate(layer for layer in layers if layer in named)}

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        # Layers that are not named are drawn first, below the others.
        for layer, curve in sorted(layers.items(), key=lambda item: item[0] in named):
            steps = sorted(curve)
            values = np.clip([curve[step] for step in steps], SMALLEST, top)
            colour, label = colours.get(layer, "lightgrey"), layer if layer in named else None
            axes.plot(steps, values, color=colour, linewidth=1, marker="." if len(steps) < 30 else None, label=label)
        axes.axhline(1, color=LIMIT, linewidth=1.5)
        axes.text(0.995, 1.15, "tolerance: rounding explains what is below this line", color=LIMIT, ha="right", transform=axes.get_yaxis_transform())
        axes.set(xlabel="step", ylabel="error / tolerance", yscale="log", ylim=(SMALLEST / 2, top * 2))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if layers:
            axes.legend(ncols=4 if len(layers) > NAMED else len(layers), loc="lower center", bbox_to_anchor=(0.5, 1.0))

    return drawn(draw, 8.5, 3.8)


def free_run(facts: Facts) -> str:
    """Return a plot for each parameter in the free run: distance from the reference, spread of the perturbed references, allowed distance."""
    parameters: dict[str, list[Facts]] = {}
    for look in facts["free_run"]["measurements"]:
        parameters.setdefault(look["parameter"], []).append(look)
    closest = sorted(parameters, key=lambda name: -max(_share(look) for look in parameters[name]))[:PANELS]
    parameters = {name: looks for name, looks in parameters.items() if name in closest}

    def draw(figure: Figure) -> None:
        panels = np.atleast_1d(figure.subplots(1, max(len(parameters), 1), sharey=True))
        for axes, (name, looks) in zip(panels, parameters.items(), strict=False):
            steps = [look["step"] for look in looks]
            dot = "." if len(looks) == 1 else None  # a line needs two steps
            axes.plot(steps, _positive([look["allowed"] for look in looks]), color=LIMIT, marker=dot, linewidth=1.5, label="allowed")
            axes.plot(steps, _positive([look["spread"] for look in looks]), "--", color="grey", marker=dot, label="spread of perturbed references")
            axes.plot(steps, _positive([look["distance"] for look in looks]), color=SUBJECT, marker=".", label="your code to the reference")
            axes.set(title=name, xlabel="step", yscale="log")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5, min_n_ticks=1))
        panels[0].set_ylabel("norm of the difference")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)

    return drawn(draw, 8.5, 3.4)


def _share(look: Facts) -> float:
    """Return a distance as a fraction of the allowed distance."""
    distance, allowed = look["distance"], look["allowed"]
    return np.inf if distance is None or not allowed else float(distance / allowed)


def filters(facts: Facts, name: str) -> str:
    """Return pictures of a parameter's filters in your code and in the reference, and of their difference, which has its own colour scale."""
    sides = facts["weights"][name]
    subject, reference = (np.asarray(sides[side]) for side in ("subject", "reference"))
    subject, reference = (array.reshape(-1, *array.shape[2:]) for array in (subject, reference))
    difference = subject - reference
    largest = float(np.abs(difference).max())
    rows: Sequence[tuple[str, Any, float]] = (
        (facts["subject"], subject, float(np.abs(subject).max())),
        (facts["reference"], reference, float(np.abs(subject).max())),
        (f"difference, up to {largest:.2g}", difference, largest),
    )

    def draw(figure: Figure) -> None:
        columns = len(subject)
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for panels, (label, arrays, scale) in zip(grid, rows, strict=True):
            for axes, image in zip(panels, arrays, strict=True):
                axes.imshow(image, cmap="RdBu_r", vmin=-(scale or 1.0), vmax=scale or 1.0, interpolation="nearest")
                axes.set(xticks=[], yticks=[])
                axes.grid(visible=False)
            panels[0].set_title(label, loc="left", fontsize=10)

    return drawn(draw, max(3.0, 0.95 * len(subject)), 3.6)


def digit(pixels: Any) -> str:
    """Return the picture of a digit."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.imshow(np.asarray(pixels), cmap="gray_r", interpolation="nearest")
        axes.set_axis_off()

    return drawn(draw, 1.1, 1.1)


def _positive(values: Sequence[float | None]) -> list[float]:
    return [value or np.nan for value in values]
