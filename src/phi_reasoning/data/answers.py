"""What several answers to one problem say together: the plurality, and a pass rate with its interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from phi_reasoning.grading import final_answer, gold_problems, grade_batch

NORMAL = 1.959964  # 97.5% quantile


def wilson(passes: int, samples: int) -> tuple[float, float]:
    """Return the 95% Wilson score interval of a share (Wilson, 1927).

    Raises:
        ValueError: no samples, or more passes than samples.
    """
    if not 0 <= passes <= samples or samples < 1:
        raise ValueError(f"{passes} passes of {samples} samples")
    rate, weight = passes / samples, NORMAL**2 / samples
    centre = (rate + weight / 2) / (1 + weight)
    half = NORMAL / (1 + weight) * math.sqrt(rate * (1 - rate) / samples + weight / (4 * samples))
    # At the ends the bound is exact, and rounding would step over it.
    return (0.0 if passes == 0 else centre - half), (1.0 if passes == samples else centre + half)


@dataclass(frozen=True)
class Plurality:
    """The answer that most samples give.

    Attributes:
        answer: As the first sample of them wrote it; None if no sample has an answer that can be graded against.
        votes: Samples that give it.
        samples: All samples, those without an answer included.
    """

    answer: str | None
    votes: int
    samples: int

    @property
    def agreement(self) -> float:
        return self.votes / self.samples


def pluralities(problems: Sequence[Sequence[str]]) -> list[Plurality]:
    """Return the plurality of the responses to each problem.

    Answers are the same when the grader says so: each joins the first class whose first answer, as gold, accepts it.
    Of classes of one size the one that appeared first wins.
    """
    answers = [[final_answer(response) or None for response in responses] for responses in problems]
    texts = sorted({answer for found in answers for answer in found if answer})
    sound = {text for text, problem in zip(texts, gold_problems(texts), strict=True) if problem is None}
    pairs = {
        (found[j], found[i]): responses[i]
        for responses, found in zip(problems, answers, strict=True)
        for i in range(len(found))
        for j in range(i)
        if found[i] != found[j] and found[i] in sound and found[j] in sound
    }
    verdicts = grade_batch(list(pairs.values()), [str(gold) for gold, _ in pairs])
    equal = {pair for pair, verdict in zip(pairs, verdicts, strict=True) if verdict.outcome == "correct"}
    return [_plurality([answer if answer in sound else None for answer in found], equal) for found in answers]


def _plurality(answers: Sequence[str | None], equal: set[tuple[str | None, str | None]]) -> Plurality:
    classes: dict[str, int] = {}
    for answer in answers:
        if answer is not None:
            first = next((known for known in classes if known == answer or (known, answer) in equal), answer)
            classes[first] = classes.get(first, 0) + 1
    best = max(classes, key=lambda name: classes[name], default=None)
    return Plurality(best, classes[best] if best is not None else 0, len(answers))
