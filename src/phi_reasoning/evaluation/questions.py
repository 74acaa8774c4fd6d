"""What an evaluation asks, known before a model is loaded."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from phi_reasoning import tasks
from phi_reasoning.errors import InputError


@dataclass(frozen=True)
class Question:
    """One item of a task."""

    task: str
    item: int
    prompt: str
    gold: str
    instance: dict[str, Any]


def questions(entries: Sequence[Any], seed: int) -> list[Question]:
    """Draw the items that the `EvalTask`s of a recipe ask for; the same recipe always asks the same questions."""
    found = []
    for entry in entries:
        for index in range(entry.size):
            try:
                instance = tasks.item(entry.task, entry.split, seed, index, **entry.difficulty)
            except (ValueError, TypeError) as error:
                raise InputError(f"tasks: {entry.task}: {error}") from None
            task = tasks.get(entry.task)
            found.append(Question(entry.task, index, task.prompt(instance), task.answer(instance), instance))
    return found


def seed_of(question: Question, run: int, seed: int) -> int:
    """Return the sampling seed of one completion: a hash of task, item, run and the recipe's seed."""
    return tasks.digest("completion", question.task, question.item, run, seed)
