"""Whether two expressions are the same.

They are when they agree at random points wherever both are defined as real numbers (as complex numbers, where `i`
occurs). Rational arithmetic is exact, so that polynomials are compared exactly; the rest agrees to `precision` digits,
twice.
"""

import random
from collections.abc import Iterator
from fractions import Fraction

import mpmath

from phi_reasoning.grading.expressions import Node
from phi_reasoning.grading.values import Point, Undefined, contains, evaluate, inexact, precision, symbols

POINTS = 14
ENOUGH = 2


def points(names: set[str], complex: bool, log_base: str) -> Iterator[Point]:
    """Yield where to compare: integers, positive and mixed fractions, the same for every call with these names."""
    if not names:
        yield Point({}, complex, log_base)
        return
    rng = random.Random(" ".join(sorted(names)))
    for number in range(POINTS):
        values = {}
        for name in sorted(names):
            size = Fraction(rng.randint(1, 40), rng.choice((7, 9, 11, 13)))
            if number < 4:
                size = Fraction(rng.randint(1, 12))
            values[name] = -size if number == 9 or number > 9 and rng.random() < 0.5 else size
        yield Point(values, complex, log_base)


def same(a: Node, b: Node) -> bool:
    """Whether two expressions are equal wherever both are defined."""
    if a == b:
        return _defined(a)
    if _infinite(a) or _infinite(b):
        return _infinite(a) == _infinite(b)
    names = symbols(a) | symbols(b)
    complex = contains((a, b), {"i"})
    bases = ("e", "10") if contains((a, b), {"log"}) else ("e",)
    digits = precision(a, b)
    return any(_agree(a, b, list(points(names, complex, base)), digits) for base in bases)


def _infinite(node: Node) -> int:
    if node[0] == "neg":
        return -_infinite(node[1])
    return int(node == ("const", "inf"))


def _agree(a: Node, b: Node, where: list[Point], digits: int) -> bool:
    compared = 0
    everywhere = contains(a, {"abs"}) != contains(b, {"abs"})  # ln|x| is not ln x, though equal where both are real
    for point in where:
        if everywhere and _defined_at(a, point) != _defined_at(b, point):
            return False
        try:
            # The second time tells a true equality from a difference just below the precision.
            if not all(_equal_at(a, b, point, times * digits) for times in (1, 2)):
                return False
        except Undefined:
            continue
        compared += 1
    return compared >= min(ENOUGH, len(where))


def _equal_at(a: Node, b: Node, point: Point, digits: int) -> bool:
    with mpmath.workdps(digits):
        x, y = evaluate(a, point), evaluate(b, point)
        if isinstance(x, Fraction) and isinstance(y, Fraction):
            return x == y
        x, y = inexact(x), inexact(y)
        scale = max(abs(x), abs(y), mpmath.mpf(1))
        return bool(abs(x - y) <= scale * mpmath.mpf(10) ** (25 - digits))


def _defined(node: Node) -> bool:
    where = points(symbols(node), complex=True, log_base="e")
    return bool(_infinite(node)) or any(_defined_at(node, point) for point in where)


def _defined_at(node: Node, point: Point) -> bool:
    try:
        with mpmath.workdps(precision(node)):
            evaluate(node, point)
        return True
    except Undefined:
        return False
