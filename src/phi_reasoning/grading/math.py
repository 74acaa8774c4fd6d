"""Compare mathematical answers as far as that needs no algebra, and refuse what no parser may see."""

import re
import unicodedata

from phi_reasoning.grading.extract import boxed
from phi_reasoning.grading.verdict import GoldError, Outcome

MAX_LENGTH = 500
MAX_NESTING = 20
MAX_TOWER = 2
MAX_EXPONENT_DIGITS = 4

_VULGAR = {
    char: "\\frac{{{}}}{{{}}}".format(*unicodedata.normalize("NFKC", chr(char)).split("\N{FRACTION SLASH}"))
    for char in (*range(0xBC, 0xBF), *range(0x2150, 0x215F))
}
# Not NFKC over the whole text: that would turn the superscript of x² into the product x2.
_CHARACTERS = {
    **_VULGAR,
    **{code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},
    0x2212: "-",
    0x2013: "-",
    0x00A0: " ",
    0x2009: "\\,",
    0x202F: "\\,",
}
_UNESCAPED_DOLLAR = re.compile(r"(?<!\\)\$")
_SIZING = re.compile(r"\\(?:left|right|displaystyle|bigl|bigr)(?![A-Za-z])|\\!")
_THOUSANDS = re.compile(r"([+-]?)([0-9]{1,3}(?:(?:,|\{,\}|\\[,;: ]|~)[0-9]{3})+)(?![0-9])")
_INTEGER = re.compile(r"([+-]?)([0-9]++)(?:\.0*+)?")
_WORDS = re.compile(r"(?=.*[A-Za-z]{3})[A-Za-z][A-Za-z '-]*")
_TEXT = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")
_BRACES = re.compile(r"\\.|[{}]")
_SCAN = re.compile(r"\\[A-Za-z]+|\\.|\*\*|[0-9.]+|\S")
_HUGE_EXPONENT = re.compile(rf"(?:\^|\*\*)\s*[{{(]?\s*[+-]?\s*[0-9]{{{MAX_EXPONENT_DIGITS + 1},}}")
_SMALL_FACTORIAL = re.compile(r"(?<![0-9.A-Za-z\\])(?:[0-9]{1,3}|[A-Za-z])\s*!(?!\s*!)")
_PARTS = re.compile(r"[,;]|\\\\|\\q?quad|\\text|\band\b|\bor\b")
_UNEVALUATED = re.compile(r"\\(?:sum|prod|i*int|oint|lim|limsup|liminf|max|min|sup|inf)(?![A-Za-z])")
_PRODUCT = re.compile(r"(?:\\times|\\cdot|\*)(?!\s*10\s*\^)")
_NUMBER = re.compile(r"-?(?:[0-9.]+|\\frac\{?[0-9]+\}?\{?[0-9]+\}?|[0-9]+/[0-9]+)")


def gold_text(gold: object) -> str:
    r"""Return a gold answer as normal text: numbers are written out, `$...$` and `\boxed{...}` removed.

    Raises:
        GoldError: the gold is missing, empty or not a finite number.
    """
    if isinstance(gold, bool) or not isinstance(gold, str | int | float):
        raise GoldError(f"a gold answer is a text or a number, found {gold!r:.60}")
    if gold != gold or gold in (float("inf"), float("-inf")):
        raise GoldError(f"a gold answer must be finite, found {gold}")
    text = str(gold)
    inner = boxed(text)
    text = normal(text if inner is None else inner)
    if not text:
        raise GoldError("the gold answer is empty")
    return text


def normal(text: str) -> str:
    """Return `text` without what never changes its meaning: dollars, sizing commands, outer spaces, a final period."""
    text = _SIZING.sub("", _UNESCAPED_DOLLAR.sub("", text.translate(_CHARACTERS)))
    text = re.sub(r"\\[dt]frac(?![A-Za-z])", r"\\frac", text)
    text = " ".join(text.split())
    return text.removesuffix(".").rstrip()


def integer(text: str) -> str | None:
    """Return the canonical decimal digits of an integer literal, or None for anything else.

    A string and not an `int`, since Python refuses to convert more than 4300 digits.
    """
    grouped = _THOUSANDS.fullmatch(text)
    if grouped:
        text = grouped[1] + re.sub(r"[^0-9]", "", grouped[2])
    plain = _INTEGER.fullmatch(text)
    if plain is None:
        return None
    digits = plain[2].lstrip("0")
    return ("-" if plain[1] == "-" and digits else "") + (digits or "0")


def words(text: str) -> str | None:
    r"""Return the folded words of a text answer such as `\text{No solution}`, or None.

    A parser reads words as products of letters, so that `listen` would equal `silent`.
    """
    plain = " ".join(_TEXT.sub(r"\1", text).split())
    return plain.casefold() if _WORDS.fullmatch(plain) else None


def refusal(text: str) -> str | None:
    """Say why no parser may see `text`, or return None. Linear in the length of the text."""
    if len(text) > MAX_LENGTH:
        return f"it has {len(text)} characters, more than {MAX_LENGTH}"
    if not _braces_match(text):
        return "its braces do not match"
    nesting, tower = _depths(text)
    if nesting > MAX_NESTING:
        return f"it nests {nesting} deep, more than {MAX_NESTING}"
    if tower > MAX_TOWER:
        return f"it is a tower of {tower} powers, more than {MAX_TOWER}"
    if _HUGE_EXPONENT.search(text):
        return f"it has an exponent of more than {MAX_EXPONENT_DIGITS} digits"
    if len(_SMALL_FACTORIAL.findall(text)) != text.count("!"):
        return "it has the factorial of an expression or of a large number"
    return None


def _braces_match(text: str) -> bool:
    depth = 0
    for token in _BRACES.findall(text):
        depth += (token == "{") - (token == "}")
        if depth < 0:
            return False
    return depth == 0


def _depths(text: str) -> tuple[int, int]:
    """Return how deep brackets nest and how high powers of powers pile up, written with braces or as 9^9^9.

    The kinds of the brackets need not match, since `[0, 1)` is an answer.
    """
    groups = [0]  # of each open bracket, how many powers it stands above the base line
    height = nesting = tower = 0
    raised: int | None = None  # the height of what follows a caret
    for token in _SCAN.findall(text):
        if token in ("^", "**"):
            raised = height + 1
            tower = max(tower, raised)
            continue
        height = groups[-1] if raised is None else raised
        raised = None
        if token in ("{", "(", "["):
            groups.append(height)
            nesting = max(nesting, len(groups) - 1)
        elif token in ("}", ")", "]") and len(groups) > 1:
            groups.pop()
            height = groups[-1]
    return nesting, tower


def restates(answer: str, gold: str) -> bool:
    """Whether `answer` only restates a problem: `17*23`, a sum left as a sum, or a chain such as `3=5=7`.

    A form that the gold has itself is allowed.
    """
    if _UNEVALUATED.search(answer) and not _UNEVALUATED.search(gold):
        return True
    if _longest_chain(answer) > max(1, _longest_chain(gold)):
        return True
    return _NUMBER.fullmatch(gold) is not None and _PRODUCT.search(answer) is not None


def _longest_chain(text: str) -> int:
    return max(part.count("=") for part in _PARTS.split(text))


def without_algebra(answer: str, gold: str) -> tuple[Outcome, str] | None:
    """Decide about two normal texts without any algebra, or return None where a parser has to.

    The second value names what decided: `missing`, `integer`, `text` or `refused`.
    """
    if not answer:
        return "unparsed", "missing"
    numbers = integer(answer), integer(gold)
    if None not in numbers:
        return ("correct" if numbers[0] == numbers[1] else "wrong"), "integer"
    if answer == gold:
        return "correct", "text"
    phrases = words(answer), words(gold)
    if None not in phrases:
        return ("correct" if phrases[0] == phrases[1] else "wrong"), "text"
    if refusal(answer) or refusal(gold):
        return "unparsed", "refused"
    return ("wrong", "refused") if restates(answer, gold) else None
