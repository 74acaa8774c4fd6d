"""Read expressions: a recursive-descent parser from tokens to a tree of tuples, without sets, lists and units."""

from fractions import Fraction
from typing import Any

from phi_reasoning.grading.tokens import ParseError, Token, literal

Node = tuple[Any, ...]

CLOSE = {"(": (")", "]"), "[": ("]", ")"), "<(": (")>",), "{": ("}",), "|": ("|",), "]": ("[", "]")}
_BASES = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}
_FACTOR_SIGNS = {"(", "{", "frac", "sqrt", "pi", "inf", "binom", "lfloor", "lceil", "abs", "mathbb", "overline", "bar"}
_GREEK_NAMES = """
alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi chi psi omega
Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell
"""
_GREEK = frozenset(_GREEK_NAMES.split())


class Expressions:
    """Sums, products, powers and functions; a subclass reads what stands in brackets.

    Methods are named by what they read, `read_NAME` by the command.
    """

    def __init__(self, stream: list[Token]) -> None:
        self.tokens, self.position = stream, 0
        self.in_set = self.french = self.bars = 0

    def peek(self, ahead: int = 0) -> Token:
        index = self.position + ahead
        return self.tokens[index] if index < len(self.tokens) else Token("end", "")

    def next(self) -> Token:
        token = self.peek()
        self.position += 1
        return token

    def sign(self, *texts: str) -> bool:
        token = self.peek()
        return token.kind == "sign" and token.text in texts

    def accept(self, *texts: str) -> bool:
        if self.sign(*texts):
            self.position += 1
            return True
        return False

    def expect(self, *texts: str) -> str:
        if not self.sign(*texts):
            raise ParseError(f"{self.peek().text!r} where {texts[0]!r} was expected")
        return self.next().text

    def sum(self) -> Node:
        if self.sign("pm", "mp"):
            operation = self.next().text
            left: Node = (operation, ("num", Fraction(0)), self.product())
        else:
            left = self.product()
        while self.sign("+", "-", "pm", "mp"):
            operation = {"+": "add", "-": "sub"}.get(self.peek().text, self.peek().text)
            self.next()
            left = (operation, left, self.product())
        return left

    def product(self) -> Node:
        left = self.signed()
        while True:
            if self.accept("*"):
                left = ("mul", left, self.signed())
            elif self.accept("/"):
                left = ("div", left, self.signed())
            elif self.starts_factor():
                left = ("mul", left, self.power())
            else:
                return left

    def signed(self) -> Node:
        if not self.sign("-", "+"):
            return self.power()
        negative = self.next().text == "-"
        value = self.power()
        return ("neg", value) if negative else value

    def starts_factor(self) -> bool:
        token = self.peek()
        if token.kind in ("name", "function") or token.kind == "number" and self.peek(-1).text == "!":
            return True
        if token.kind != "sign":
            return False
        return (
            token.text in _FACTOR_SIGNS
            or token.text in _GREEK
            or token.text.startswith("begin ")
            or (token.text == "|" and not self.bars)
        )

    def power(self) -> Node:
        base = self.postfix(self.operand())
        if not self.accept("^"):
            return base
        if self.sign("circ", "deg") or (self.sign("{") and self.peek(1).text in ("circ", "deg")):
            self.degree_sign()
            return self.postfix(("deg", base))
        if base[0] == "matrix" and self.peek().text in ("T", "top"):
            self.next()
            return ("matrix", [list(row) for row in zip(*base[1], strict=True)])
        exponent = self.exponent()
        return self.postfix(("pow", base, exponent))

    def degree_sign(self) -> None:
        grouped = self.accept("{")
        self.next()
        if grouped:
            self.expect("}")
        scale = self.peek().text in ("C", "F") and self.peek(1).text in ("", ",", ")", "}set", "and", "or")
        if scale:
            self.next()

    def exponent(self) -> Node:
        if self.accept("{"):
            value = self.sum()
            self.expect("}")
            return value
        if self.accept("-"):
            return ("neg", self.power())
        self.accept("+")
        return self.power()

    def postfix(self, value: Node) -> Node:
        while True:
            if self.accept("!"):
                value = ("fact", value)
            elif self.accept("%"):
                value = ("percent", value)
            elif self.accept("deg"):
                value = ("deg", value)
            elif self.sign("_") and value[0] in ("num", "digits"):
                value = self.based(value)
            else:
                return value

    def based(self, value: Node) -> Node:
        self.expect("_")
        grouped = self.accept("{")
        token = self.next()
        if grouped:
            self.expect("}")
        base = _BASES.get(token.text.lower().removeprefix("base "), token.text)
        if not str(base).isdigit() or value[1].denominator != 1:
            raise ParseError("a subscript that is no base")
        return ("based", str(value[1].numerator), int(base))

    def bracketed(self, opening: str) -> Node:
        raise NotImplementedError

    def matrix(self, kind: str) -> Node:
        raise NotImplementedError

    def operand(self) -> Node:
        token = self.next()
        if token.kind == "number":
            return self.number(token)
        if token.kind == "name":
            return self.named(token.text)
        if token.kind == "function":
            return self.function(token.text)
        if token.kind == "sign":
            if token.text in _GREEK:
                return self.named(token.text)
            if token.text.startswith("begin "):
                return self.matrix(token.text.removeprefix("begin "))
            if token.text in CLOSE:
                return self.bracketed(token.text)
            if reader := getattr(self, f"read_{'set' if token.text == '{set' else token.text}", None):
                return reader()
        raise ParseError(f"{token.text!r} where a value was expected")

    def number(self, token: Token) -> Node:
        value = literal(token.text)
        if self.sign("overline", "bar", "dot") and "." in token.text:
            return ("num", self.repeating(token.text))
        if token.text.isdigit():
            saved = self.position
            if (part := self.proper_fraction()) is not None:
                return ("num", value + part)
            self.position = saved
        return ("num", value)

    def repeating(self, head: str) -> Fraction:
        self.next()
        self.expect("{")
        block = self.next().text
        self.expect("}")
        if not block.isdigit():
            raise ParseError("no digits repeat")
        scale = 10 ** len(head.partition(".")[2])
        return literal(head) + Fraction(int(block), scale * (10 ** len(block) - 1))

    def proper_fraction(self) -> Fraction | None:
        """Read what makes a mixed number of the integer in front: `\\frac{1}{2}`, or `1/2` after a space."""
        if self.accept("frac"):
            parts = [self.argument(), self.argument()]
        elif self.peek().kind == "number" and self.peek().gap and self.peek(1).text == "/":
            parts = [("num", literal(self.next().text))]
            self.next()
            if self.peek().kind != "number":
                return None
            parts.append(("num", literal(self.next().text)))
        else:
            return None
        if any(part[0] != "num" for part in parts) or not 0 < parts[0][1] < parts[1][1] or self.sign("^"):
            return None
        return Fraction(parts[0][1], parts[1][1])

    def named(self, name: str) -> Node:
        while self.sign("_"):
            self.next()
            name += "_" + self.subscript()
        while self.accept("'"):
            name += "'"
        if self.sign("^") and self.peek(1).text == "prime":
            self.position += 2
            name += "'"
        return ("const", name) if name in ("e", "i") else ("sym", name)

    def subscript(self) -> str:
        if not self.accept("{"):
            return self.next().text
        inner = ""
        while not self.sign("}"):
            if self.peek().kind == "end":
                raise ParseError("a subscript has no end")
            inner += self.next().text
        self.next()
        return inner

    def argument(self) -> Node:
        r"""Read the argument of \frac or \sqrt: a group, or the next digit or command."""
        if self.accept("{"):
            value = self.sum()
            self.expect("}")
            return value
        token = self.peek()
        if token.kind == "number" and len(token.text) > 1:
            self.tokens[self.position : self.position + 1] = [
                Token("number", token.text[0]),
                Token("number", token.text[1:]),
            ]
        if self.peek().kind == "number":
            return ("num", literal(self.next().text))
        return self.operand()

    def function(self, name: str) -> Node:
        base, power = None, None
        while self.sign("_", "^"):
            if self.next().text == "_":
                base = self.argument()
            else:
                power = self.exponent()
        if power == ("neg", ("num", Fraction(1))):
            name, power = "arc" + name, None
        inner = self.function_argument()
        value: Node = ("log", base, inner) if name == "log" else ("fn", name, inner)
        return ("pow", value, power) if power else value

    def function_argument(self) -> Node:
        if self.sign("(", "{", "["):
            opening = self.next().text
            value = self.sum()
            self.expect(*CLOSE[opening][:1])
            return value
        value = self.signed()
        while self.starts_factor() and self.peek().kind != "function" and not self.sign("(", "|"):
            value = ("mul", value, self.power())
        return value

    def read_frac(self) -> Node:
        return ("div", self.argument(), self.argument())

    def read_binom(self) -> Node:
        return ("binom", self.argument(), self.argument())

    def read_sqrt(self) -> Node:
        degree: Node = ("num", Fraction(2))
        if self.accept("["):
            degree = self.sum()
            self.expect("]")
        if self.sign("("):
            return ("root", degree, self.operand())
        return ("root", degree, self.argument())

    def read_pi(self) -> Node:
        return ("const", "pi")

    def read_inf(self) -> Node:
        return ("const", "inf")

    def read_abs(self) -> Node:
        return ("abs", self.argument())

    def read_lfloor(self) -> Node:
        value = self.sum()
        self.expect("rfloor")
        return ("floor", value)

    def read_lceil(self) -> Node:
        value = self.sum()
        self.expect("rceil")
        return ("ceil", value)

    def read_overline(self) -> Node:
        # A segment such as \overline{AB}; repeating decimals are read with their number.
        self.expect("{")
        name = ""
        while self.peek().kind in ("name", "words"):
            name += self.next().text
        self.expect("}")
        return ("sym", f"overline {name}")

    def read_angle(self) -> Node:
        name = ""
        while self.peek().kind in ("name", "words"):
            name += self.next().text
        return ("sym", f"angle {name}")
