"""Completions for the report's browser: one flat record for each, from training or evaluation alike."""

import math
from collections.abc import Sequence
from typing import Any

from phi_reasoning.evaluation.records import OUTCOMES, Exam, Row, Training
from phi_reasoning.grading.extract import CLOSE, OPEN

# More would make a page that browsers struggle to open; the page says how many there were.
MOST = 12_000
COLUMNS = {"step", "prompt", "completion", "advantage", "advantages", "outcome", "tokens"}


def browsable(
    trainings: Sequence[Training], exams: Sequence[Exam], names: Sequence[str], most: int = MOST
) -> dict[str, Any] | None:
    """Gather completions of all sources, thinned evenly to at most `most`; None where there are none.

    `names` are the sources' names, trainings first. Evaluations come first in the result.
    """
    kinds = ["training"] * len(trainings) + ["evaluation"] * len(exams)
    parts = [_from_run(run) for run in trainings] + [[from_exam(row) for row in exam.rows] for exam in exams]
    sources = sorted((source for source in zip(kinds, names, parts, strict=True) if source[2]), key=lambda s: s[0])
    total = sum(len(rows) for *_, rows in sources)
    if not total:
        return None
    stride = math.ceil(total / most)
    rows = [{"source": index, **row} for index, (*_, rows) in enumerate(sources) for row in rows[::stride]]
    return {
        "sources": [{"name": name, "kind": kind} for kind, name, _ in sources],
        "verdicts": [outcome for outcome in OUTCOMES if any(row["verdict"] == outcome for row in rows)],
        "flags": sorted({flag for row in rows for flag in row["flags"]}),
        "rows": rows,
        "total": total,
    }


def from_exam(row: Row) -> dict[str, Any]:
    thought, answer = split(row["response"])
    flags = ([] if row["ended"] else ["clipped"]) + ([] if row["format_ok"] else ["bad format"])
    return {
        "place": f"{row['task']} {row['item']} · run {row['run']}",
        "prompt": row["prompt"],
        "thought": thought,
        "answer": answer,
        "verdict": row["outcome"],
        "tokens": row["tokens"],
        "flags": flags,
        "gold": row["gold"],
        "extracted": row["answer"],
    }


def from_training(row: dict[str, Any], weights: dict[str, float]) -> dict[str, Any]:
    """Break the reward into its terms, with their weighted sum where the recipe gives the weights.

    A term that could not be scored is left out of both, as TRL leaves it out of the sum.
    """
    thought, answer = split(row["completion"])
    names = [name for name in row if (name in weights if weights else name not in COLUMNS)]
    terms = [[name, row[name], weights.get(name)] for name in names if _is_number(row[name])]
    return {
        "place": f"step {row['step']}",
        "prompt": row["prompt"],
        "thought": thought,
        "answer": answer,
        "verdict": row["outcome"] if row.get("outcome") in OUTCOMES else None,
        "tokens": row["tokens"] if _is_number(row.get("tokens")) else None,
        "flags": [],
        "terms": terms,
        "reward": sum(value * weight for _, value, weight in terms) if terms and weights else None,
        "advantage": row["advantage"] if _is_number(row.get("advantage")) else None,
    }


def split(response: str) -> tuple[str | None, str]:
    """Part a response into thought and answer at its last closing tag; a thought never closed has no answer."""
    thought, closed, answer = response.rpartition(CLOSE)
    if closed:
        return thought.strip().removeprefix(OPEN).strip(), answer.strip()
    if response.lstrip().startswith(OPEN):
        return response.lstrip().removeprefix(OPEN).strip(), ""
    return None, response.strip()


def reward_weights(config: dict[str, Any]) -> dict[str, float]:
    """Read `rewards: [{path: file.py:Name, weight: w}]` of a resolved recipe as {Name: w}."""
    rewards = config.get("rewards")
    entries = [entry for entry in rewards if isinstance(entry, dict)] if isinstance(rewards, list) else []
    return {
        str(entry.get("path", "")).rpartition(":")[2].rpartition(".")[2]: float(entry.get("weight", 1.0))
        for entry in entries
    }


def _from_run(training: Training) -> list[dict[str, Any]]:
    weights = reward_weights(training.config)
    return [from_training(row, weights) for row in training.completions]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
