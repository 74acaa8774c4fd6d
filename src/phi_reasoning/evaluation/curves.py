"""Which charts a training log makes, in TRL's metric names and ours."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from phi_reasoning.evaluation import plots

TERM = re.compile(r"rewards/(.+)/mean")
TERM_COLOURS = ("term1", "term2", "term3", "term4")


@dataclass(frozen=True)
class Panel:
    """A chart of metrics, `series` being (metric, label, colour) of each. What is scheduled has no noise to smooth."""

    title: str
    series: tuple[tuple[str, str, str], ...]
    note: str = ""
    percent: bool = False
    scheduled: bool = False


GRPO = (
    Panel("Reward", (("reward", "reward", "line"),), "weighted sum, batch mean"),
    Panel("Accuracy", (("accuracy", "accuracy", "line"),), "of sampled completions", percent=True),
    Panel(
        "Length by verdict",
        (("length_right", "right", "right"), ("length_wrong", "wrong", "wrong")),
        "mean completion tokens",
    ),
    Panel("Length", (("completions/mean_length", "tokens", "line"),), "mean completion tokens"),
    Panel("Entropy", (("entropy", "entropy", "line"),), "of the policy, nats a token"),
    Panel("KL", (("kl", "KL", "line"),), "to the reference policy, nats a token"),
    Panel(
        "Clipped and malformed",
        (("clipped", "clipped", "term1"), ("bad_format", "bad think block", "term2")),
        "share",
        percent=True,
    ),
    Panel("Spread of reward", (("reward_std", "reward_std", "line"),), "standard deviation"),
)
SFT = (
    Panel("Loss", (("loss", "training", "line"), ("eval_loss", "held out", "term1")), "cross-entropy, nats a token"),
    Panel("Token accuracy", (("mean_token_accuracy", "token accuracy", "line"),), "teacher-forced", percent=True),
    Panel("Entropy", (("entropy", "entropy", "line"),), "nats a token"),
    Panel("Gradient norm", (("grad_norm", "gradient norm", "line"),), "before clipping"),
    Panel("Learning rate", (("learning_rate", "learning rate", "line"),), scheduled=True),
)


def charts(log: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Draw every panel the log has numbers for: SFT's, or GRPO's with one line for each reward term."""
    drawn = [_chart(panel, log) for panel in _panels(log)]
    return [chart for chart in drawn if chart is not None]


def series(log: Sequence[dict[str, Any]], metric: str) -> list[tuple[float, float]]:
    """Return (step, value) wherever `metric` was logged as a finite number."""
    return [
        (entry["step"], float(entry[metric]))
        for entry in log
        if isinstance(entry.get(metric), int | float) and math.isfinite(entry[metric])
    ]


def _panels(log: Sequence[dict[str, Any]]) -> list[Panel]:
    metrics = {metric: None for entry in log for metric in entry}
    if "reward" not in metrics:
        return list(SFT)
    terms = [(metric, match[1]) for metric in metrics if (match := TERM.fullmatch(metric))]
    lines = tuple(
        (metric, name, TERM_COLOURS[index % len(TERM_COLOURS)]) for index, (metric, name) in enumerate(terms)
    )
    return [GRPO[0], Panel("Reward terms", lines, "each before its weight"), *GRPO[1:]]


def _chart(panel: Panel, log: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    lines = [plots.Curve(label, colour, series(log, metric)) for metric, label, colour in panel.series]
    lines = [line for line in lines if line.points]
    if not lines:
        return None
    return {
        "title": panel.title,
        "note": panel.note,
        "svg": plots.curves(lines, panel.percent, smoothed=not panel.scheduled),
        "lines": [{"label": line.label, "colour": line.colour, "ends": _ends(line, panel)} for line in lines],
    }


def _ends(line: plots.Curve, panel: Panel) -> str:
    """Write the first and the last value that the bold line shows, the chart in words."""
    values = np.array([value for _, value in line.points])
    shown = values if panel.scheduled else plots.smooth(values)
    first, last = (f"{100 * value:.0f}%" if panel.percent else f"{value:.3g}" for value in (shown[0], shown[-1]))
    text = first if len(values) == 1 else f"{first} → {last}"
    return text.replace("-", "\N{MINUS SIGN}")
