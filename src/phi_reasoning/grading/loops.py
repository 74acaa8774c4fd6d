"""Whether a text goes round in circles: some n-gram occurs again and again (arXiv 2512.12895: n = 30, k = 20)."""

from collections.abc import Hashable, Sequence

import numpy as np

NGRAM, COUNT = 30, 20


def highest_count(items: Sequence[Hashable], n: int = NGRAM) -> int:
    """Return how often the most frequent n-gram of `items`, words or token ids, occurs; overlapping ones count.

    Exact: an n-gram is numbered by the numbers of the two shorter ones that cover it, in log n sorts of all places.
    """
    if len(items) < n:
        return 0
    names: dict[Hashable, int] = {}
    ids = np.fromiter((names.setdefault(item, len(names)) for item in items), np.int64, len(items))
    length = 1
    while length < n:
        step = min(length, n - length)
        _, ids = np.unique(ids[:-step] * len(items) + ids[step:], return_inverse=True)
        length += step
    return int(np.bincount(ids).max())


def loops(items: Sequence[Hashable], n: int = NGRAM, k: int = COUNT) -> bool:
    """Whether some n-gram of `items` occurs at least k times."""
    return highest_count(items, n) >= k
