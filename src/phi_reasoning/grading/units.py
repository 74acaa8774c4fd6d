"""Units of measurement: which words are one, and how many base units each is."""

import re
from fractions import Fraction

_PREFIXED: dict[str, tuple[str, int | Fraction]] = {
    "m": ("length", 1),
    "g": ("mass", Fraction(1, 1000)),
    "l": ("volume", Fraction(1, 1000)),
    "L": ("volume", Fraction(1, 1000)),
    "s": ("time", 1),
}
_PREFIXES: dict[str, int | Fraction] = {
    **{"k": 1000, "c": Fraction(1, 100), "d": Fraction(1, 10), "m": Fraction(1, 1000), "": 1},
}
_NAMES: dict[str, dict[str, int | Fraction]] = {
    "length": {
        "metre meter": 1, "kilometre kilometer": 1000, "centimetre centimeter": Fraction(1, 100),
        "millimetre millimeter": Fraction(1, 1000), "inch in": Fraction(254, 10000),
        "foot feet ft": Fraction(3048, 10000), "yard yd": Fraction(9144, 10000), "mile mi": Fraction(1609344, 1000),
    },
    "mass": {"gram": Fraction(1, 1000), "kilogram kilo": 1, "tonne": 1000, "pound lb": Fraction(45359237, 10**8)},
    "time": {
        "second sec": 1, "minute min": 60, "hour hr h": 3600, "day": 86400, "week": 604800,
        "millisecond": Fraction(1, 1000),
    },
    "volume": {"liter litre": Fraction(1, 1000), "milliliter millilitre": Fraction(1, 10**6)},
    "dollar": {"dollar usd $": 1, "cent": Fraction(1, 100)},
    "euro": {"euro eur €": 1},
    "pound sterling": {"gbp £": 1},
    "degree": {"degree deg": 1},
    "radian": {"radian rad": 1},
    "%": {"percent % pct": 1},
    "angle minute": {"arcminute": 1},
}  # fmt: skip
_SQUARE = {"square": 2, "sq": 2, "cubic": 3}
# Words that say something about the number other than what is counted.
_SAID_OF_NUMBERS = """
a an the or and not no non is are was be than more less least most at about approximately approx over under up
to from if when for with where in as by but however maybe perhaps possibly either neither nor mod modulo plus minus
times divided squared cubed half twice wrong incorrect false unknown all any every some none only except without
other else also solution solutions base pi million billion thousand hundred trillion dozen integer real
undefined infinite infinity zero one two three four five six seven eight nine ten what which this that it its
between root roots negative positive
"""
_NOT_UNITS = frozenset(_SAID_OF_NUMBERS.split())
_SPEEDS = {"mph": "mi/h", "kph": "km/h", "kmh": "km/h"}
MULTIPLES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}

Unit = tuple[tuple[tuple[str, int], ...], Fraction]  # dimensions with exponents, factor


def _table() -> dict[str, tuple[str, int, Fraction]]:
    table = {}
    for dimension, names in _NAMES.items():
        for spellings, factor in names.items():
            for name in spellings.split():
                table[name] = (dimension, 1, Fraction(factor))
    for letter, (dimension, factor) in _PREFIXED.items():
        for prefix, multiple in _PREFIXES.items():
            table.setdefault(prefix + letter, (dimension, 1, Fraction(factor) * multiple))
    # A litre is a cubed length.
    return {name: ("length", 3, unit[2]) if unit[0] == "volume" else unit for name, unit in table.items()}


_TABLE = _table()


def _look_up(word: str) -> tuple[str, int, Fraction] | None:
    folded = word.lower().rstrip(".")
    for name in (word, folded, folded.removesuffix("s"), folded.removesuffix("es")):
        if name in _TABLE and (len(name) > 1 or name == word):
            return _TABLE[name]
    return None


def known(word: str) -> bool:
    """Whether a bare word of two letters or more is a unit."""
    return _look_up(word) is not None or word.lower() in _SPEEDS


def reads(text: str) -> bool:
    """Whether a text after a number can be its unit: known units, or up to three words for what is counted."""
    return parse(text) is not None


def parse(text: str) -> Unit | None:
    """Return the dimensions and the factor of a unit such as `cm^2`, `km/h`, `square feet` or `apples`, or None."""
    text = text.replace("\\", " ").replace("{", "").replace("}", "").strip(" .,")
    text = _SPEEDS.get(text.lower(), text)
    if not text or len(text) > 60:
        return None
    factor, dimensions, sign = Fraction(1), dict[str, int](), 1
    power_next, counted = 1, 0
    for piece in re.findall(r"[A-Za-z€£$%]+\.?(?:\s*\^\s*-?[0-9])?|/|[·*.-]|\S+", text):
        word, _, power = re.sub(r"\s", "", piece).partition("^")
        folded = word.lower()
        if folded in ("/", "per"):
            sign = -1
        elif folded in _SQUARE:
            power_next = _SQUARE[folded]
        elif folded in ("units", "unit"):
            dimensions["unit"] = dimensions.get("unit", 0) + sign * power_next * int(power or 1)
            power_next = 1
        elif piece in "·*.-":
            continue
        elif found := _look_up(word):
            dimension, exponent, size = found
            times = sign * power_next * int(power or 1)
            dimensions[dimension] = dimensions.get(dimension, 0) + exponent * times
            factor *= size**times
            power_next = 1
        elif folded.isalpha() and len(folded) > 2 and folded not in _NOT_UNITS and not power:
            counted += 1
            name = folded.removesuffix("s")
            dimensions[name] = dimensions.get(name, 0) + sign
        else:
            return None
    return (tuple(sorted(dimensions.items())), factor) if dimensions and counted <= 3 else None
