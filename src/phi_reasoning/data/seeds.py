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
    kinds = entry.traces or {task.TRACES[0]: 1.0}
    unknown = sorted(set(kinds) - set(task.TRACES))
    if unknown:
        raise ValueError(f"{entry.task} has no trace {unknown[0]!r}; traces: {', '.join(task.TRACES)}")
    for index in range(entry.size):
        instance = tasks.item(entry.task, entry.split, seed, index, **entry.difficulty)
        question = [{"role": "user", "content": task.prompt(instance)}]
        if entry.format == "rl":
            solution = {"solution": task.answer(instance), "task": entry.task, "instance": json.dumps(instance)}
            yield "problem", {"prompt": question, **solution}
        else:
            draw = random.Random(tasks.digest("trace", entry.task, entry.split, seed, index))
            kind = draw.choices(list(kinds), weights=list(kinds.values()))[0]
            yield kind, {"messages": [*question, {"role": "assistant", "content": task.solve(instance, kind)}]}


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
