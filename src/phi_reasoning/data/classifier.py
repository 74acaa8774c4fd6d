"""Predict a model's pass rate from a problem's text: logistic regression on hashed words and pairs of words.

The cheap stand-in for sampling, where a share of the problems has been sampled. Numbers enter by their length too,
since that is what makes a sum hard.
"""

import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SIZE = 2**18
TOKEN = re.compile(r"[^\W\d]+|\d+|[^\w\s]|_")
STEPS, RATE, DECAYS = 300, 0.1, (0.9, 0.999)
PENALTY = 0.1  # of the squared weights, divided by the rows
DRAWS = 1000


@dataclass(frozen=True)
class Features:
    """The non-zero features of rows, back to back: `index` and `value` of each, and the `row` that it belongs to.

    `size` is the number of features that there can be.
    """

    index: NDArray[np.int64]
    value: Array
    row: NDArray[np.int64]
    rows: int
    size: int = SIZE

    def scores(self, weights: Array) -> Array:
        """Return the sum of weighted features, [rows]."""
        return np.bincount(self.row, self.value * weights[self.index], self.rows).astype(np.float64)

    def gradient(self, errors: Array) -> Array:
        """Return the sum over rows of error times feature, [size]."""
        return np.bincount(self.index, self.value * errors[self.row], self.size).astype(np.float64)


def features(texts: Sequence[str]) -> Features:
    """Return binary features of unit length in total, [texts]: words, words with digits as 0, their pairs, length."""
    found = [np.array(sorted(_hashes(text)), dtype=np.int64) for text in texts]
    sizes = np.array([len(index) for index in found], dtype=np.int64)
    row = np.repeat(np.arange(len(texts)), sizes)
    value = 1 / np.sqrt(np.repeat(sizes, sizes))
    return Features(np.concatenate([np.empty(0, np.int64), *found]), value, row, len(texts))


def _hashes(text: str) -> set[int]:
    words = TOKEN.findall(text.lower())
    shapes = ["0" * len(word) if word.isdigit() else word for word in words]
    pairs = [f"{first} {second}" for first, second in zip(shapes, shapes[1:], strict=False)]
    names = {"", f"length {len(words).bit_length()}", *words, *shapes, *pairs}
    return {zlib.crc32(name.encode("utf-8", "replace")) % SIZE for name in names}


@dataclass(frozen=True)
class Classifier:
    """A weight for each hashed feature, [SIZE]."""

    weights: Array

    def predict(self, texts: Sequence[str]) -> Array:
        """Return the predicted pass rates, [texts]."""
        return _sigmoid(features(texts).scores(self.weights))


def fit(texts: Sequence[str], rates: Sequence[float]) -> Classifier:
    """Fit the mean cross-entropy between predicted and measured pass rates, with a penalty on squared weights.

    Full-batch Adam (Kingma and Ba, 2015) with a rate that falls to zero: no draws, so equal input gives equal weights.
    """
    found, target = features(texts), np.asarray(rates, dtype=np.float64)
    seen, index = np.unique(found.index, return_inverse=True)  # the weights of the others stay 0
    known = replace(found, index=index, size=len(seen))
    weights, first, second = (np.zeros(len(seen)) for _ in range(3))
    for step in range(STEPS):
        errors = _sigmoid(known.scores(weights)) - target
        gradient = (known.gradient(errors) + PENALTY * weights) / len(target)
        first += (1 - DECAYS[0]) * (gradient - first)
        second += (1 - DECAYS[1]) * (gradient**2 - second)
        rate = RATE * (1 - step / STEPS)
        scale = np.sqrt(second / (1 - DECAYS[1] ** (step + 1))) + 1e-12
        weights -= rate * (first / (1 - DECAYS[0] ** (step + 1))) / scale
    whole = np.zeros(SIZE)
    whole[seen] = weights
    return Classifier(whole)


def _sigmoid(scores: Array) -> Array:
    return 0.5 + 0.5 * np.tanh(scores / 2)


def held_out(rates: Sequence[float], predicted: Array, seed: int) -> dict[str, Any]:
    """Return how predictions agree with measured rates, with 95% bootstrap intervals over rows.

    `auc` is that of telling rates of at least 0.5 from lower ones, `spearman` the correlation of ranks; None where one
    is not defined.
    """
    expected = np.asarray(rates, dtype=np.float64)
    found: dict[str, Any] = {"held_out": len(expected)}
    for name, measure in (("auc", auc), ("spearman", spearman)):
        value = measure(expected, predicted)
        found[name] = None if value is None else round(value, 4)
        found[f"{name}_interval"] = _interval(measure, expected, predicted, seed)
    error = float(np.abs(expected - predicted).mean()) if len(expected) else None
    return {**found, "mean_absolute_error": None if error is None else round(error, 4)}


def auc(rates: Array, predicted: Array) -> float | None:
    """Return the chance that of a row with a rate of at least 0.5 and one with less the first is predicted higher."""
    high = rates >= 0.5
    positives, negatives = int(high.sum()), int((~high).sum())
    if not positives or not negatives:
        return None
    below = float(_ranks(predicted)[high].sum()) - positives * (positives + 1) / 2
    return below / (positives * negatives)


def spearman(rates: Array, predicted: Array) -> float | None:
    """Return the correlation of ranks, ties at their mean rank; None where one side is constant."""
    if len(rates) < 2 or np.ptp(rates) == 0 or np.ptp(predicted) == 0:
        return None
    return float(np.corrcoef(_ranks(rates), _ranks(predicted))[0, 1])


def _ranks(values: Array) -> Array:
    """Return ranks from 1, equal values at the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[inverse])


def _interval(
    measure: Callable[[Array, Array], float | None], rates: Array, predicted: Array, seed: int
) -> list[float] | None:
    if len(rates) < 2:
        return None
    generator = np.random.default_rng(seed)
    drawn = [generator.integers(len(rates), size=len(rates)) for _ in range(DRAWS)]
    values = [value for rows in drawn if (value := measure(rates[rows], predicted[rows])) is not None]
    return [round(float(bound), 4) for bound in np.quantile(values, (0.025, 0.975))] if values else None
