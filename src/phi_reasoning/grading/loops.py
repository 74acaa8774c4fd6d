"""Whether a text goes round in circles: some n-gram occurs again and again (arXiv 2512.12895: n = 30, k = 20)."""

from collections import Counter
from collections.abc import Hashable, Sequence

NGRAM, COUNT = 30, 20


def highest_count(items: Sequence[Hashable], n: int = NGRAM) -> int:
    """Return how often the most frequent n-gram of `items`, words or token ids, occurs; overlapping ones count.

    Time and memory grow with n times the number of items: about 10 ms and 10 MB for 20,000 items and n = 30.
    """
    return max(Counter(zip(*(items[start:] for start in range(n)), strict=False)).values(), default=0)


def loops(items: Sequence[Hashable], n: int = NGRAM, k: int = COUNT) -> bool:
    """Whether some n-gram of `items` occurs at least k times."""
    return highest_count(items, n) >= k
