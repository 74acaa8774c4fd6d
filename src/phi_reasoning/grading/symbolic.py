"""Decide about a pair of answers in a worker process: our own reading first, math-verify for calculus."""

import re

from phi_reasoning.grading import text
from phi_reasoning.grading.compare import equal, readings
from phi_reasoning.grading.expressions import Node
from phi_reasoning.grading.meaning import plain, restates, stated_value
from phi_reasoning.grading.parser import parse
from phi_reasoning.grading.tokens import ParseError

_CALCULUS = re.compile(r"\\(?:sum|prod|i*int|oint|lim|frac\{d\}|frac\{\\partial)(?![A-Za-z])")


def outcome(gold: str, answer: str) -> str:
    """Return correct, wrong or unparsed for two normal texts."""
    golds, answers = readings(gold), readings(answer)
    stated = [value for answer_reading in answers if (value := stated_value(answer_reading))]
    if any(equal(a, g) for g in golds for a in (*answers, *stated)):
        return "wrong" if _only_restates(gold, answer) else "correct"
    if golds and answers:
        return "wrong"
    if _CALCULUS.search(gold):
        return _math_verify(gold, answer)
    said = text.phrase(text.bare(answer))
    same_words = re.search("[a-z]{2}", said) and said == text.phrase(text.bare(gold))
    same_text = _squeezed(answer) == _squeezed(gold) is not None
    return "correct" if same_words or same_text else "unparsed"


def _squeezed(said: str) -> str | None:
    """Return a text without braces around single characters and spaces but those between two words or numbers."""
    dense = re.sub(r"\\[,;: ]|(?<!\d)\s(?![A-Za-z])|(?<![A-Za-z])\s(?!\d)", "", said)
    return re.sub(r"\{(\w)\}", r"\1", dense) if re.search(r"\w", said) else None


def _only_restates(gold: str, answer: str) -> bool:
    stated, form = _tree(answer), _tree(gold)
    return stated is not None and form is not None and restates(stated) and plain(form)


def _tree(said: str) -> Node | None:
    try:
        return parse(text.without_lead(said))
    except (ParseError, ValueError):
        return None


def _math_verify(gold: str, answer: str) -> str:
    from math_verify import parse as read
    from math_verify import verify

    # Both in a box: bare, `2\\sqrt{3}` may be read as 2. The library's own timeouts use SIGALRM, which does not
    # interrupt long C calls; the parent kills instead.
    golds, answers = (
        [item for item in read(f"\\boxed{{{said}}}", parsing_timeout=None) if not isinstance(item, str)]
        for said in (gold, answer)
    )
    if not golds or not answers:
        return "unparsed"
    return "correct" if verify(golds, answers, timeout_seconds=None) else "wrong"
