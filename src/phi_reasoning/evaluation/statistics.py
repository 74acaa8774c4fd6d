"""What many runs of an exam say about a model, and what two exams say about the difference of two models.

`C[i, r]` is 1 where run r solved item i, of I items and R runs. Three errors are kept apart, since papers print any of
them after a plus-minus sign: the standard deviation over runs (what the Phi-4-reasoning report prints), the standard
error of the mean on this very exam, and the standard error as a sample of such items.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phi_reasoning.evaluation import records

Array = NDArray[np.float64]

FLIPS = 20_000
TAILS = (0.025, 0.975)
NORMAL = 1.959964
# Elements drawn at once: 4 million keep a bootstrap of any exam below about 100 MB.
BLOCK = 4_000_000


def summary(rows: Sequence[records.Row], draws: int = 2000, seed: int = 0) -> dict[str, Any]:
    """Describe an exam, and each of its tasks when there are several. None stands for what is undefined."""
    whole = _measure(rows, draws, seed)
    tasks = sorted({row["task"] for row in rows})
    if len(tasks) > 1:
        parts = {task: [row for row in rows if row["task"] == task] for task in tasks}
        whole["tasks"] = {task: _measure(part, draws, seed) for task, part in parts.items()}
    return whole


def comparison(
    before: Sequence[records.Row], after: Sequence[records.Row], draws: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Compare two exams of the same items: d_i = mean_after,i - mean_before,i, averaged over items."""
    solved = [grid(rows, _correct) for rows in (before, after)]
    tokens = [grid(rows, _tokens) for rows in (before, after)]
    differences = solved[1].mean(axis=1) - solved[0].mean(axis=1)
    # Means of different numbers of runs can differ by rounding alone.
    differences[np.abs(differences) < 1e-12] = 0.0
    return {
        "difference": float(differences.mean()),
        "interval": difference_interval(solved[0], solved[1], draws, seed),
        "p_value": sign_flip(differences, seed=seed),
        "wins": int((differences > 0).sum()),
        "losses": int((differences < 0).sum()),
        "ties": int((differences == 0).sum()),
        "accuracy": {"before": float(solved[0].mean()), "after": float(solved[1].mean())},
        "tokens": {
            "before": float(tokens[0].mean()),
            "after": float(tokens[1].mean()),
            "difference": float(tokens[1].mean() - tokens[0].mean()),
            "interval": difference_interval(tokens[0], tokens[1], draws, seed),
        },
        "items": len(differences),
        "runs": {"before": solved[0].shape[1], "after": solved[1].shape[1]},
        "draws": draws,
        "seed": seed,
    }


def grid(rows: Sequence[records.Row], value: Callable[[records.Row], float]) -> Array:
    """Return `value` of every row as an items x runs matrix."""
    return np.array([[value(row) for row in line] for line in records.lay_out(rows)], dtype=np.float64)


def accuracy_by(rows: Sequence[records.Row], field: str) -> dict[str, tuple[float, int]]:
    """Return accuracy and number of items for each value of `field`; rows where it is null are left out."""
    groups: dict[str, list[records.Row]] = {}
    for row in rows:
        if row[field] is not None:
            groups.setdefault(row[field], []).append(row)
    return {
        name: (float(np.mean([_correct(row) for row in group])), len({(row["task"], row["item"]) for row in group}))
        for name, group in sorted(groups.items())
    }


def deviation(values: Array) -> float | None:
    """Standard deviation with ddof = 1, None for a single value."""
    return float(values.std(ddof=1)) if len(values) > 1 else None


def interval(values: Array, draws: int = 2000, seed: int = 0) -> list[float] | None:
    """Two-level bootstrap 95% interval of a mean, for the population of such items; None for a single item.

    Resampling knows no more than it saw: an exam solved in every run gets an interval without width.
    """
    return _percentiles(_resample(values.mean(axis=1), [values], draws, seed))


def difference_interval(before: Array, after: Array, draws: int = 2000, seed: int = 0) -> list[float] | None:
    """Two-level bootstrap 95% interval of the mean of after - before: items drawn jointly, runs on each side apart."""
    means = after.mean(axis=1) - before.mean(axis=1)
    return _percentiles(_resample(means, [after, -before], draws, seed))


def sign_flip(differences: Array, flips: int = FLIPS, seed: int = 0) -> float:
    """Two-sided p-value of a mean of zero, from random signs on the items: (1 + as extreme) / (1 + flips)."""
    generator = np.random.default_rng(seed)
    observed = abs(differences.sum()) - 1e-9
    extreme = 0
    for size in _blocks(flips, len(differences)):
        signs = generator.integers(0, 2, size=(size, len(differences)), dtype=np.int8) * 2 - 1
        extreme += int((np.abs(signs @ differences) >= observed).sum())
    return (1 + extreme) / (1 + flips)


def describe(summarised: dict[str, Any]) -> str:
    """Say a summary in a few lines of plain text."""
    std = summarised["std_over_runs"]
    low, high = _bounds(summarised["interval"], 100, ".1f")
    tokens = {key: summarised[key] for key in ("tokens", "tokens_right", "tokens_wrong")}
    whole, right, wrong = ("?" if value is None else f"{value:.1f}" for value in tokens.values())
    lines = [
        f"accuracy {summarised['accuracy']:.1%}{'' if std is None else f' ± {100 * std:.1f} over runs'}, "
        f"95% interval [{low}, {high}], {summarised['items']} items x {summarised['runs']} runs",
        f"tokens {whole}: {right} when right, {wrong} when not; clipped {summarised['clipped']:.1%}, "
        f"bad format {summarised['bad_format']:.1%}, unparsed {summarised['unparsed']:.1%}",
    ]
    parts = summarised.get("tasks", {})
    return "\n".join(lines + [f"  {task}: accuracy {part['accuracy']:.1%}" for task, part in parts.items()])


def table(compared: dict[str, Any]) -> str:
    """Lay a comparison out as a few lines of plain text."""
    accuracy, tokens, runs = compared["accuracy"], compared["tokens"], compared["runs"]
    low, high = _bounds(compared["interval"], 100, "+.1f")
    lower, upper = _bounds(tokens["interval"], 1, "+.1f")
    return "\n".join(
        [
            f"{'':10}{'before':>10}{'after':>10}{'difference':>12}   95% interval",
            f"{'accuracy':10}{accuracy['before']:>10.1%}{accuracy['after']:>10.1%}"
            f"{100 * compared['difference']:>+12.1f}   [{low}, {high}] points, p = {compared['p_value']:.2g}",
            f"{'tokens':10}{tokens['before']:>10.1f}{tokens['after']:>10.1f}"
            f"{tokens['difference']:>+12.1f}   [{lower}, {upper}]",
            f"{compared['items']} items: {compared['wins']} better, {compared['losses']} worse, "
            f"{compared['ties']} unchanged; {runs['before']} runs before, {runs['after']} after",
        ]
    )


def _measure(rows: Sequence[records.Row], draws: int, seed: int) -> dict[str, Any]:
    solved = grid(rows, _correct)
    items, runs = solved.shape
    run_accuracies = solved.mean(axis=0)
    std, item_std = deviation(run_accuracies), deviation(solved.mean(axis=1))
    bounds = interval(solved, draws, seed)
    counts = {outcome: sum(row["outcome"] == outcome for row in rows) for outcome in records.OUTCOMES}
    return {
        "items": items,
        "runs": runs,
        "accuracy": float(solved.mean()),
        "std_over_runs": std,
        "se_this_exam": None if std is None else std / runs**0.5,
        "se_item_sample": None if item_std is None else item_std / items**0.5,
        "interval": None if bounds is None else [max(0.0, bounds[0]), min(1.0, bounds[1])],
        "run_accuracies": run_accuracies.tolist(),
        "tokens": _mean([row["tokens"] for row in rows]),
        "tokens_right": _mean([row["tokens"] for row in rows if row["outcome"] == "correct"]),
        "tokens_wrong": _mean([row["tokens"] for row in rows if row["outcome"] != "correct"]),
        "clipped": _mean([not row["ended"] for row in rows]),
        "bad_format": _mean([not row["format_ok"] for row in rows]),
        "unparsed": counts["unparsed"] / len(rows),
        "timeout": counts["timeout"] / len(rows),
        "counts": counts,
    }


def _resample(means: Array, sides: Sequence[Array], draws: int, seed: int) -> Array | None:
    """Draw items with replacement, and within each drawn item its runs, side by side; return the resampled means.

    Drawing runs below drawn items counts their noise twice, because item means carry it already: intervals come out
    up to sqrt(2) too wide. So item means are shrunk towards their mean until they spread by what items alone explain,
    and residuals are scaled to be unbiased (Davison and Hinkley, Bootstrap Methods and their Application, 1997,
    section 3.8): the variance of a draw is max(between-item variance, run noise) / I. With few items the percentiles
    of a bootstrap are too narrow; sqrt(I / (I - 1)) and the first term of t / z = 1 + (z^2 + 1) / (4 (I - 1)) mend it.
    """
    items = len(means)
    if items < 2:
        return None
    spread = [_residuals(side) for side in sides if side.shape[1] > 1]
    noise = sum(float((residuals**2).mean()) / residuals.shape[1] for residuals in spread)
    between = float(means.var(ddof=1))
    kept = max(0.0, 1 - noise / between) if between > 0 else 0.0
    widening = (items / (items - 1)) ** 0.5 * (1 + (NORMAL**2 + 1) / (4 * (items - 1)))
    shrunk = (means - means.mean()) * kept**0.5 * widening
    generator = np.random.default_rng(seed)
    parts = []
    for size in _blocks(draws, items * max(side.shape[1] for side in sides)):
        drawn = generator.integers(items, size=(size, items))
        part = shrunk[drawn].mean(axis=1)
        for residuals in spread:
            runs = residuals.shape[1]
            cells = drawn[:, :, None] * runs + generator.integers(runs, size=(size, items, runs))
            part += residuals.ravel()[cells].mean(axis=(1, 2))
        parts.append(part)
    return means.mean() + np.concatenate(parts)


def _residuals(values: Array) -> Array:
    """Deviations of runs from their item's mean, whose mean square is the variance over runs with ddof = 1."""
    runs = values.shape[1]
    return (values - values.mean(axis=1, keepdims=True)) * (runs / (runs - 1)) ** 0.5


def _percentiles(draws: Array | None) -> list[float] | None:
    return None if draws is None else [float(bound) for bound in np.quantile(draws, TAILS)]


def _blocks(total: int, width: int) -> Iterator[int]:
    size = max(1, BLOCK // width)
    for start in range(0, total, size):
        yield min(size, total - start)


def _bounds(bounds: list[float] | None, scale: float, form: str) -> list[str]:
    return ["?", "?"] if bounds is None else [format(scale * bound, form) for bound in bounds]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _correct(row: records.Row) -> float:
    return float(row["outcome"] == "correct")


def _tokens(row: records.Row) -> float:
    return float(row["tokens"])
