"""The rewards of one paper-sized step: 512 completions of 20,000 words and 31,744 tokens, half the answers symbolic.

Prints the ratios of the 5-gram term to its definition written as plain Python and to TRL's repetition reward, of the
graded term to TRL's accuracy reward, and the seconds and the memory of all terms together.
"""

import random
import statistics
import time
from collections import Counter
from collections.abc import Callable

import psutil
from trl.rewards import accuracy_reward, get_repetition_penalty_reward

from phi_reasoning.plugins import Reward

COMPLETIONS, WORDS, TOKENS, END = 512, 20_000, 31_744, 100_265
# What is answered and what is right, by a number that makes each one different.
ANSWERS: list[Callable[[int], tuple[str, str]]] = [
    lambda k: (f"{k}", f"{k}"),
    lambda k: (f"{k}", f"{k + 2}"),
    lambda k: (rf"\frac{{{2 * k}}}{{{2 * k + 2}}}", rf"\frac{{{k}}}{{{k + 1}}}"),
    lambda k: (rf"\frac{{{k}\sqrt{{2}}}}{{2}}", rf"\frac{{{k}}}{{\sqrt{{2}}}}"),
    lambda k: (f"x^2 + {2 * k}x + {k * k}", f"(x+{k})^2"),
    lambda k: (f"{k},024", f"{k}024"),
    lambda k: (rf"{k + 1}\pi", rf"{k}\pi"),
    lambda k: (f"{k}.0", f"{k}"),
]


def transcription(text: str) -> float:
    """Return the 5-gram term as its definition reads."""
    words = text.split()
    grams = Counter(tuple(words[index : index + 5]) for index in range(len(words) - 4))
    often = [count for count in grams.values() if count > 5]
    return -max(len(often) / (len(words) - 4), max(often) / (len(words) / 5)) if often else 0.0


def step() -> tuple[list[str], list[str], list[list[int]]]:
    """Return completions, golds and token ids; words and ids are drawn as natural text is, by rank."""
    rng = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(rng.choices(letters, k=rng.randint(1, 9))) for _ in range(8000)]
    shares = [1 / rank for rank in range(1, 8001)]
    texts, golds, ids = [], [], []
    for index in range(COMPLETIONS):
        answer, gold = ANSWERS[index % len(ANSWERS)](index + 1)
        thought = " ".join(rng.choices(words, shares, k=WORDS))
        texts.append(f"<think>{thought}</think>The answer is $\\boxed{{{answer}}}$.")
        golds.append(gold)
        ids.append([*rng.choices(range(8000), shares, k=TOKENS - 1), END])
    return texts, golds, ids


def seconds(run: Callable[[], object]) -> float:
    """Return the wall time of one call."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def main() -> None:
    """Measure, with the grader's workers already running, as they are after a run's first step."""
    texts, golds, ids = step()
    messages = [[{"role": "assistant", "content": text}] for text in texts]
    repetition = Reward("rewards/phi4_reasoning_plus.py:RepetitionPenalty")
    accuracy = Reward("rewards/phi4_reasoning_plus.py:LengthAwareAccuracy", {"end_ids": [END]})
    batch = {"completions": texts, "completion_ids": ids, "solution": golds}
    assert repetition(**batch)[:8] == [transcription(text) for text in texts[:8]]

    ours = seconds(lambda: repetition(**batch))
    plain = seconds(lambda: [transcription(text) for text in texts])
    trl = seconds(lambda: get_repetition_penalty_reward(5)(completion_ids=ids))
    print(f"5-gram term: {ours:.2f} s; plain Python: {plain:.2f} s, ratio {plain / ours:.1f}x;", end=" ")
    print(f"TRL's repetition reward: {trl:.2f} s, ratio {trl / ours:.1f}x")

    accuracy(**batch)
    ours, trl = seconds(lambda: accuracy(**batch)), seconds(lambda: accuracy_reward(messages, golds))
    print(f"graded term: {ours:.2f} s; TRL's accuracy reward: {trl:.2f} s, ratio {trl / ours:.1f}x")

    process = psutil.Process()
    before = process.memory_info().rss
    times = [seconds(lambda: (accuracy(**batch), repetition(**batch))) for _ in range(10)]
    grown = (process.memory_info().rss - before) / 2**20
    print(f"all terms of a step: {statistics.median(times):.2f} s; memory after 10 steps: {grown:+.0f} MiB")


if __name__ == "__main__":
    main()
