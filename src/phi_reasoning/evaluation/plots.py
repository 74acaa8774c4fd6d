"""Charts as inline SVG that take their colours from the page, so that one file serves light and dark.

Each figure is drawn in placeholder colours, which become CSS variables in the SVG text.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

Array = NDArray[np.float64]

# The order is fixed: placeholder n of a figure is `#0102nn`. Values of the variables live in report.css.
VARIABLES = ("ink", "rule", "before", "after", "middle", "line", "right", "wrong", "term1", "term2", "term3", "term4")
PLACEHOLDERS = {name: f"#0102{index:02x}" for index, name in enumerate(VARIABLES)}
DASHES = ("-", "--", "-.", ":")
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "phi-reasoning",
    "font.family": "sans-serif",
    "font.size": 9,
    # A folder may be called anything, and matplotlib would read what lies between two dollars as TeX.
    "text.parse_math": False,
    "text.color": PLACEHOLDERS["ink"],
    "axes.labelcolor": PLACEHOLDERS["ink"],
    "axes.edgecolor": PLACEHOLDERS["rule"],
    "xtick.color": PLACEHOLDERS["rule"],
    "ytick.color": PLACEHOLDERS["rule"],
    "xtick.labelcolor": PLACEHOLDERS["ink"],
    "ytick.labelcolor": PLACEHOLDERS["ink"],
    "grid.color": PLACEHOLDERS["rule"],
    "grid.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
}


@dataclass(frozen=True)
class Curve:
    """One line of a chart: `colour` is a name in VARIABLES, `points` are (step, value)."""

    label: str
    colour: str
    points: list[tuple[float, float]]


@dataclass(frozen=True)
class Distribution:
    """Run accuracies of one exam with the interval of their mean."""

    label: str
    colour: str
    values: list[float]
    items: int
    mean: float
    interval: list[float] | None


def curves(lines: Sequence[Curve], percent: bool = False, smoothed: bool = True) -> str:
    """Draw each line faintly as logged and boldly as its moving average over a tenth of the run."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.4, 2.5), layout="constrained")
        axes = figure.subplots()
        scale = 100 if percent else 1
        for index, line in enumerate(lines):
            steps, values = (np.array(column, dtype=float) for column in zip(*line.points, strict=True))
            colour = PLACEHOLDERS[line.colour]
            if len(values) == 1:
                axes.plot(steps, scale * values, "o", color=colour, markersize=5)
                continue
            bold = smooth(values) if smoothed else values
            axes.plot(steps, scale * values, color=colour, linewidth=0.9, alpha=0.35)
            dash = DASHES[index % len(DASHES)]
            axes.plot(steps, scale * bold, dash, color=colour, linewidth=2.1, solid_capstyle="round")
        _finish(axes, grid="y")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
        axes.set_xlabel("step")
        if percent:
            axes.yaxis.set_major_formatter("{x:g}%")
        return _svg(figure)


def distributions(rows: Sequence[Distribution]) -> str:
    """Draw run accuracies as density, dots, mean and 95% interval, one row for each exam."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.8, 0.55 + 1.1 * len(rows)), layout="constrained")
        axes = figure.subplots()
        for place, row in enumerate(reversed(rows)):
            _violin(axes, place, row)
        axes.set_yticks([])
        axes.set_ylim(-0.32, len(rows) - 0.3)
        low, high = axes.get_xlim()
        axes.set_xlim(max(-2.0, low), min(102.0, high))
        _finish(axes, grid="x")
        axes.xaxis.set_major_formatter("{x:g}%")
        axes.set_xlabel("accuracy of a run")
        return _svg(figure)


def smooth(values: Array) -> Array:
    """Centred moving average over a tenth of the series, over what is there at its ends."""
    # An odd width keeps the average centred.
    window = np.ones(round(len(values) / 10) | 1)
    return np.convolve(values, window, "same") / np.convolve(np.ones(len(values)), window, "same")


def density(values: Array, items: int) -> tuple[Array, Array]:
    """Gaussian kernel density on [0, 1] (Silverman's bandwidth, at least the 1 / items between two accuracies)."""
    silverman = 1.06 * float(values.std()) * len(values) ** -0.2
    bandwidth = max(silverman, 1 / items)
    low, high = values.min() - 3 * bandwidth, values.max() + 3 * bandwidth
    points = np.linspace(max(0.0, low), min(1.0, high), 160)
    height = np.exp(-0.5 * ((points[:, None] - values) / bandwidth) ** 2).sum(axis=1)
    return points, height / height.max()


def _violin(axes: Axes, place: int, row: Distribution) -> None:
    colour = PLACEHOLDERS[row.colour]
    values = np.array(row.values, dtype=float)
    points, height = density(values, row.items)
    base = place + 0.02
    axes.fill_between(100 * points, base, base + 0.42 * height, color=colour, alpha=0.22, linewidth=0)
    axes.plot(100 * points, base + 0.42 * height, color=colour, linewidth=1.2)
    # Dots of equal accuracy would hide each other: the golden ratio spreads them evenly whatever their number.
    jitter = (np.arange(len(values)) * 0.6180339887) % 1
    axes.scatter(100 * values, place - 0.07 - 0.16 * jitter, s=16, color=colour, alpha=0.75, linewidths=0)
    mean, text = 100 * row.mean, f"{row.label}: {100 * row.mean:.1f}%"
    if row.interval is not None:
        low, high = (100 * bound for bound in row.interval)
        axes.plot([low, high], [base, base], color=colour, linewidth=2.6, solid_capstyle="round")
        text += f", 95% interval {low:.1f} to {high:.1f}%"
    axes.plot([mean], [base], "o", color=colour, markersize=7)
    axes.text(0, place + 0.57, text, transform=axes.get_yaxis_transform(), va="center", fontsize=9.5)


def _finish(axes: Axes, grid: str) -> None:
    axes.grid(axis="y" if grid == "y" else "x")
    axes.tick_params(length=0)
    axes.margins(x=0.02)


def _svg(figure: Figure) -> str:
    stream = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(stream, format="svg", transparent=True, metadata=nothing)
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    # Group ids (axes_1, patch_2) repeat from figure to figure and nothing refers to them; a page's ids must be unique.
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r"<style.*?</style>", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = text.replace("<svg", '<svg aria-hidden="true" focusable="false"', 1)
    for name, placeholder in PLACEHOLDERS.items():
        text = text.replace(placeholder, f"var(--{name})")
    return text
