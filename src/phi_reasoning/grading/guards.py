"""Refuse what no parser may see. Everything here takes time linear in the length of the text."""

import re
import unicodedata

MAX_LENGTH = 50_000
MAX_ITEM = 500
MAX_NESTING = 20
MAX_TOWER = 2
MAX_EXPONENT_DIGITS = 12

_BRACES = re.compile(r"\\.|[{}]")
_SCAN = re.compile(r"\\[A-Za-z]+|\\.|\*\*|[0-9.]+|\S")
_SEPARATOR = re.compile(r"[,;&]|\\\\")
_HUGE_EXPONENT = re.compile(rf"(?:\^|\*\*)\s*[{{(]?\s*[+-]?\s*[0-9]{{{MAX_EXPONENT_DIGITS + 1},}}")
_SMALL_FACTORIAL = re.compile(r"(?:(?<![0-9.])[0-9]{1,4}|[A-Za-z])\s*!(?!\s*!)")
_GROUPED_FACTORIAL = re.compile(r"\([^()!]{1,40}\)\s*!(?!\s*!)")


def refusal(text: str) -> str | None:
    """Say why no parser may see `text`, or return None."""
    if len(text) > MAX_LENGTH:
        return f"it has {len(text)} characters, more than {MAX_LENGTH}"
    longest = max(map(len, _SEPARATOR.split(text)))
    if longest > MAX_ITEM:
        return f"it has a part of {longest} characters, more than {MAX_ITEM}"
    if any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn") for char in text):
        return "it has control characters"
    if not _braces_match(text):
        return "its braces do not match"
    nesting, tower = _depths(text)
    if nesting > MAX_NESTING:
        return f"it nests {nesting} deep, more than {MAX_NESTING}"
    if tower > MAX_TOWER:
        return f"it is a tower of {tower} powers, more than {MAX_TOWER}"
    if _HUGE_EXPONENT.search(text):
        return f"it has an exponent of more than {MAX_EXPONENT_DIGITS} digits"
    if len(_SMALL_FACTORIAL.findall(text)) + len(_GROUPED_FACTORIAL.findall(text)) != text.count("!"):
        return "it has the factorial of a factorial or of a large number"
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
