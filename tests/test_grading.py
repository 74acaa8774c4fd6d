import subprocess
import sys
import time

import pytest

from phi_reasoning import grading
from phi_reasoning.grading import GoldError, Verdict, grade, grade_batch
from phi_reasoning.grading.guards import refusal
from phi_reasoning.grading.text import integer


def box(text):
    return "\\boxed{" + text + "}"


def test_importing_the_grader_is_light():
    heavy = {"torch", "sympy", "math_verify", "transformers", "numpy"}
    code = f"import sys, phi_reasoning.grading; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("5", "5"),
        ("-5", "-5"),
        ("+5", "5"),
        ("033", "33"),
        ("-0", "0"),
        ("000", "0"),
        ("42.", "42"),
        ("42.00", "42"),
        ("1,234,567", "1234567"),
        ("1{,}234", "1234"),
        (r"1\,234\,567", "1234567"),
        ("1~234", "1234"),
        ("1, 234", None),
        ("12,34", None),
        ("1234,567", None),
        ("4.2", None),
        ("5a", None),
        ("", None),
        ("- 5", None),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_integer_literals(text, digits):
    assert integer(text) == digits


@pytest.mark.parametrize(
    ("gold", "answer", "correct"),
    [
        ("5", "5", True),
        ("5", " $5$. ", True),
        (5, "5", True),
        (5.0, "5", True),
        ("$1234$", r"1,\!234", True),
        ("-5", "\N{MINUS SIGN}5", True),
        ("12", "\N{FULLWIDTH DIGIT ONE}\N{FULLWIDTH DIGIT TWO}", True),
        (r"\boxed{7}", "007", True),
        ("9" * 6000, "0" + "9" * 6000, True),
        ("9" * 6000, "9" * 5999 + "8", False),
        ("1267650600228229401496703205376", "1267650600228229401496703205377", False),
        (r"\text{Yes}", "yes", True),
        ("listen", "silent", False),
        ("x^{2}+1", "x^{2}+1", True),
        (r"\dfrac{1}{2}", r"\frac{1}{2}", True),
    ],
)
def test_decided_without_any_process(gold, answer, correct):
    before = grading.counters()
    assert grade(box(answer), gold).correct is correct
    after = grading.counters()
    assert after["symbolic"] == before["symbolic"]
    assert after["graded"] == before["graded"] + 1


# Gold, answer, whether a careful person accepts it.
HARD = [
    (r"$\frac{3}{4}$", "3/4", True),
    ("2\\sqrt{3}", "2\\sqrt{3}", True),
    ("2\\sqrt{3}", "2", False),
    ("x^2+1", "1+x^2", True),
    (r"$\pm 2$", "-2, 2", True),
    (r"$\pi$", "3.14", False),
    (r"$\frac13$", "0.33", False),
    ("$60$", r"60\ \mathrm{km/h}", True),
    ("$5$", r"5\text{ cm}", True),
    ("$120$", r"\binom{10}{3}", True),
    ("$120$", "5!", True),
    (r"$\{1,2\}$", r"\{2,1\}", True),
    ("$(1,2)$", "(2,1)", False),
    ("$2^{100}$", "1267650600228229401496703205377", False),
    ("$5$", "x=5", True),
    (r"$\frac{3}{2}$", r"1\frac{1}{2}", True),
    (r"$(-\infty,1)\cup(2,\infty)$", r"(2,\infty)\cup(-\infty,1)", True),
    (r"$\text{C}$", r"\textbf{(C)}", True),
    ("$0.5$", r"50\%", True),
    (r"$\frac12$", "\N{VULGAR FRACTION ONE HALF}", True),
    (r"$90^\circ$", "90", True),
    ("$3$", r"\log_2 8", True),
    ("$2$", "1,2,3,4", False),
    ("$2$", r"2 \text{ or } 3", False),
    ("$7$", "3=5=7", False),
    ("$3$", "3=5", False),
    ("$391$", r"17\times 23", False),
    ("$5050$", r"\sum_{i=1}^{100} i", False),
    (r"$\frac12$", r"\int_0^1 x\,dx", False),
    ("$1$", r"\lim_{x\to 0}\frac{\sin x}{x}", False),
    ("$300000000$", r"3\times 10^8", True),
    ("$8$", "2\N{SUPERSCRIPT THREE}4", False),
    (r"$\infty$", r"+\infty", True),
    ("$5$", r"\frac{1}{0}", False),
    ("$5$", r"\operatorname{__import__}(os).system(1)", False),
    ("$5$", "5\x00\ud8006", False),
]


@pytest.mark.parametrize(("gold", "answer", "correct"), HARD)
def test_hard_cases(gold, answer, correct):
    assert grade(box(answer), gold).correct is correct


@pytest.mark.parametrize(
    ("response", "gold", "outcome", "answer"),
    [
        ("<think>\\boxed{5}</think>\\boxed{6}", "5", "wrong", "6"),
        ("<think>\\boxed{5}", "5", "unparsed", None),
        ("<think>\\boxed{5}</think>", "5", "unparsed", None),
        ("I think it is 5", "5", "unparsed", None),
        ("\\boxed{}", "5", "unparsed", None),
        ("\\boxed{41} and \\boxed{42}", "42", "wrong", "41, 42"),
        ("\\boxed{2} or \\boxed{1}", "1, 2", "correct", "2, 1"),
        ("\\boxed{" * 100_000, "5", "unparsed", None),
        (" ".join(box(str(i)) for i in range(1000)) + " so \\boxed{42}", "42", "correct", "42"),
        ("**Final Answer:** 113", "113", "correct", "113"),
    ],
)
def test_what_is_graded(response, gold, outcome, answer):
    assert grade(response, gold) == Verdict(outcome, answer)


@pytest.mark.parametrize(
    "text",
    [
        "9^{9^{9^{9}}}",
        "9^9^9^9",
        "9**9**9**9",
        r"5^{\left(5^{\left(5^{\left(5^5\right)}\right)}\right)}",
        "2^{1000000}",
        "2^ { -1000000}",
        "((10!)!)!",
        "99999999!",
        "5!!",
        "x" * 501,
        "(" * 30 + "1" + ")" * 30,
        r"\frac{1}{2",
        "5}",
    ],
)
def test_refused_before_any_parser(text):
    assert refusal(text)
    assert grade("Final answer: " + text, "5").outcome == "unparsed"


@pytest.mark.parametrize("text", ["2^{2^{100}}", "x^2+y^2+z^2", r"\{1,2\}", "[0,1)", r"\frac{n!}{2}", "2^{9999}"])
def test_not_refused(text):
    assert refusal(text) is None


@pytest.mark.parametrize("text", ["0" * 200_000 + "x", "1," * 100_000, "$" * 200_000, "a " * 100_000, "(^" * 9000])
def test_a_long_answer_takes_linear_time(text):
    start = time.monotonic()
    grade(box(text), "5")
    grading.gold_problem(text)
    assert time.monotonic() - start < 2


@pytest.mark.parametrize("gold", [None, "", "  ", "$$", "\\boxed{}", float("nan"), float("inf"), True, ["5"]])
def test_a_missing_gold_names_its_row(gold):
    with pytest.raises(GoldError, match="^row 1: "):
        grade_batch(["\\boxed{5}"] * 2, ["5", gold])
    assert grading.gold_problem(gold)


def test_gold_problems():
    golds = ["5", "x^2+1", r"\text{No solution}", "???", "2^{1000000}", r"\frac{0}{0}", None]
    sound = [problem is None for problem in grading.gold_problems(golds)]
    assert sound == [True, True, True, False, False, False, False]
    assert "no parser reads it" in grading.gold_problem("???")


def test_wrong_calls():
    with pytest.raises(ValueError, match="no grader for task 'maze'; valid: math"):
        grade("\\boxed{5}", "5", task="maze")
    with pytest.raises(ValueError, match="must be equal"):
        grade_batch(["a"], ["1", "2"])
    assert grade_batch([], []) == []
    assert grade_batch(["\\boxed{5}"], ["5"], [None])[0].correct


def test_a_pair_that_occurs_often_is_compared_once_and_counted_often():
    before = grading.counters()
    verdicts = grade_batch([box("4+x")] * 20, ["x+4"] * 20)
    assert [verdict.outcome for verdict in verdicts] == ["correct"] * 20
    assert grading.counters()["symbolic"] - before["symbolic"] == 20
