"""The classifier that stands in for sampling: what it learns, and that its reported agreement is right."""

import json
import random

import numpy as np
import pytest

from phi_reasoning import curate
from phi_reasoning.data import classifier

WORDS = [f"word{number}" for number in range(200)]


def planted(count, seed=0):
    """Texts whose rate depends on two words alone."""
    rng = random.Random(seed)
    texts, rates = [], []
    for _ in range(count):
        words = rng.choices(WORDS, k=12)
        easy, hard = rng.random() < 0.5, rng.random() < 0.5
        words += ["simple"] * easy + ["monstrous"] * hard
        rng.shuffle(words)
        texts.append(" ".join(words))
        rates.append((2 + easy - 2 * hard) / 4)  # 0.5, 0.75, 0.0 or 0.25
    return texts, rates


def test_a_planted_signal_is_learnt_and_noise_is_not():
    texts, rates = planted(800)
    other, expected = planted(300, seed=1)
    found = classifier.held_out(expected, classifier.fit(texts, rates).predict(other), seed=0)
    assert found["auc"] > 0.95 and found["spearman"] > 0.85 and found["mean_absolute_error"] < 0.12
    shuffled = random.Random(2).sample(rates, len(rates))
    noise = classifier.held_out(expected, classifier.fit(texts, shuffled).predict(other), seed=0)
    assert abs(noise["auc"] - 0.5) < 0.15 and abs(noise["spearman"]) < 0.2


def test_without_a_signal_the_prediction_is_the_mean():
    fitted = classifier.fit(["same text"] * 40, [0.25] * 30 + [0.5] * 10)
    assert fitted.predict(["same text"])[0] == pytest.approx((30 * 0.25 + 10 * 0.5) / 40, abs=0.01)


def test_the_length_of_numbers_counts_not_their_digits():
    rng = random.Random(0)
    sums = [(rng.randrange(10**d, 10 ** (d + 1)), rng.randrange(10**d, 10 ** (d + 1))) for d in (0, 1, 2, 3) * 60]
    texts = [f"{a}+{b}=?" for a, b in sums]
    rates = [1.0 if a < 100 else 0.0 for a, _ in sums]
    fitted = classifier.fit(texts, rates)
    assert (
        fitted.predict(["7+3=?", "12+34=?"]).min() > 0.8 and fitted.predict(["123+456=?", "8888+9999=?"]).max() < 0.2
    )


def test_equal_input_gives_equal_weights():
    texts, rates = planted(100)
    first, again = classifier.fit(texts, rates), classifier.fit(texts, rates)
    assert np.array_equal(first.weights, again.weights)


def pairwise_auc(rates, predicted):
    rows = list(zip(predicted, rates, strict=True))
    pairs = [(p, q) for p, r in rows for q, s in rows if r >= 0.5 > s]
    return sum((p > q) + 0.5 * (p == q) for p, q in pairs) / len(pairs)


def loop_spearman(rates, predicted):
    def ranks(values):
        return [sum(v < w for v in values) + (sum(v == w for v in values) + 1) / 2 for w in values]

    a, b = ranks(rates), ranks(predicted)
    mean = (len(a) + 1) / 2
    product = sum((x - mean) * (y - mean) for x, y in zip(a, b, strict=True))
    return product / (sum((x - mean) ** 2 for x in a) * sum((y - mean) ** 2 for y in b)) ** 0.5


def test_agreement_equals_its_definition_ties_included():
    rng = random.Random(3)
    rates = [rng.choice([0, 0.25, 0.5, 1]) for _ in range(60)]
    predicted = [round(rate * 0.3 + rng.random(), 1) for rate in rates]
    a, b = np.array(rates), np.array(predicted)
    assert classifier.auc(a, b) == pytest.approx(pairwise_auc(rates, predicted))
    assert classifier.spearman(a, b) == pytest.approx(loop_spearman(rates, predicted))
    found = classifier.held_out(rates, b, seed=0)
    assert found["auc_interval"][0] < found["auc"] < found["auc_interval"][1]
    assert found["mean_absolute_error"] == pytest.approx(
        sum(abs(r - p) for r, p in zip(rates, predicted, strict=True)) / 60, abs=1e-4
    )


def test_what_is_not_defined_is_none():
    assert classifier.auc(np.array([0.6, 0.9]), np.array([0.1, 0.2])) is None
    assert classifier.spearman(np.array([0.6, 0.6]), np.array([0.1, 0.2])) is None
    empty = classifier.held_out([], np.empty(0), seed=0)
    assert empty["held_out"] == 0 and empty["auc"] is None and empty["spearman_interval"] is None


def recipe(folder, server, count=400, **stage):
    rng = random.Random(5)
    source = folder / "problems.jsonl"
    sums = {(rng.randrange(1, 10**d), rng.randrange(1, 10**d)) for d in (1, 3) for _ in range(count // 2)}
    lines = [json.dumps({"problem": f"What is {a} + {b} ?", "solution": str(a + b)}) for a, b in sorted(sums)]
    source.write_text("\n".join(lines))
    values = {
        "output_dir": str(folder / "out"),
        "sources": [{"path": str(source)}],
        "models": {"base": {"base_url": server.url, "model": "base", "retries": 2, "first_wait": 0.01}},
        "stages": [{"stage": "difficulty", "model": "base", "samples": 2, "instruction": "", **stage}],
    }
    path = folder / "curate.yaml"
    path.write_text(json.dumps(values))
    return ["--config", str(path)]


def hard_above_a_hundred(body):
    a, b = (int(word) for word in body["messages"][-1]["content"].split()[2:5:2])
    return f"\\boxed{{{a + b + (max(a, b) >= 100)}}}"


def test_a_share_is_scored_and_the_rest_predicted_as_reported(tmp_path, chat_server):
    chat_server.answer = hard_above_a_hundred
    curate.main(recipe(tmp_path, chat_server, score_share=0.5))
    (folder,) = tmp_path.glob("out/stages/01-*")
    rows = [json.loads(line) for line in (folder / "rows-00000.jsonl").read_text().splitlines()]
    source = [json.loads(line)["problem"] for line in (tmp_path / "problems.jsonl").read_text().splitlines()]
    assert [row["problem"] for row in rows] == source
    scored = [row for row in rows if "samples" in row["difficulty"]]
    predicted = [row for row in rows if row["difficulty"].get("predicted")]
    assert len(scored) + len(predicted) == len(rows) and 0.4 < len(scored) / len(rows) < 0.6
    assert len(chat_server.bodies) == 2 * len(scored)
    report = json.loads((folder / "report.json").read_text())["classifier"]
    assert report["fitted_on"] + report["held_out"] == len(scored) and report["auc"] > 0.9
    easy = [float(max(map(int, row["problem"].split()[2:5:2])) < 100) for row in predicted]
    assert pairwise_auc(easy, [row["difficulty"]["rate"] for row in predicted]) > 0.9
    card = (tmp_path / "out" / "README.md").read_text()
    assert "spearman_interval" in card


def test_too_small_a_share_is_one_line(tmp_path, chat_server, capsys):
    chat_server.answer = hard_above_a_hundred
    with pytest.raises(SystemExit) as ended:
        curate.main(recipe(tmp_path, chat_server, count=60, score_share=0.1))
    said = capsys.readouterr().err
    assert ended.value.code == 2 and "difficulty: score_share: " in said and len(said.splitlines()) == 1
