"""Turn the items of a procedural task into rows: traces for SFT, problems with solutions for RL."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from phi_reasoning import tasks


def rows(entry: Any, seed: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (kind, row) for each item of a `SetConfig`: kind is the trace's, or `problem` in an RL set.

    The kind of trace is drawn per item in the shares `entry.traces`, from a seed of its own, so that changing the
    shares keeps the problems.
    """
    task = tasks.get(entry.task)
    for index in range(entry.size):
        instance = tasks.item(entry.task, entry.split, seed, index, **entry.difficulty)
        problem = task.prompt(instance)
        if entry.format == "rl":
            solution = {"solution": task.answer(instance), "task": entry.task, "instance": json.dumps(instance)}
            yield "problem", {"prompt": turns(problem), **solution}
        else:
            kind = trace_kind(entry, seed, index)
            yield kind, {"messages": turns(problem, task.solve(instance, kind))}


def turns(problem: str, response: str | None = None) -> list[dict[str, str]]:
    """Return a problem, and a response if there is one, as messages."""
    answer = [] if response is None else [{"role": "assistant", "content": response}]
    return [{"role": "user", "content": problem}, *answer]


def trace_kind(entry: Any, seed: int, index: int) -> str:
    """Draw the kind of trace of item `index`.

    Raises:
        ValueError: the task has no trace of a kind that `entry.traces` names.
    """
    valid = tasks.get(entry.task).TRACES
    kinds = entry.traces or {valid[0]: 1.0}
    unknown = sorted(set(kinds) - set(valid))
    if unknown:
        raise ValueError(f"{entry.task} has no trace {unknown[0]!r}; traces: {', '.join(valid)}")
    draw = random.Random(tasks.digest("trace", entry.task, entry.split, seed, index))
    return draw.choices(list(kinds), weights=list(kinds.values()))[0]


def write(path: Path, entry: Any, seed: int) -> str:
    """Write the rows of a `SetConfig` as JSONL, whole or not at all, and return the counts by kind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial, counts = path.with_name(f".{path.name}.partial"), Counter[str]()
    with partial.open("w", encoding="utf-8") as file:
        for kind, row in rows(entry, seed):
            counts[kind] += 1
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    partial.replace(path)
    return ", ".join(f"{kind} {count}" for kind, count in counts.most_common())
