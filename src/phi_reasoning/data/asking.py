"""Ask the models of a stage: one journal for each batch of rows, and seeds that depend on nothing but the row."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from phi_reasoning import generation
from phi_reasoning.data.rows import Context
from phi_reasoning.generation import Reply, Request, Usage
from phi_reasoning.generation.journal import Journal
from phi_reasoning.tasks import digest


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn; see `generation.Request`."""

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0


class Asked:
    """One model of the recipe in its role in a stage.

    The journal of a batch holds that batch alone: what is kept in memory does not grow with the set.

    Args:
        context: The stage's.
        role: What the model does in the stage; its journals are called after it.
        name: The model's name in the recipe.
    """

    def __init__(self, context: Context, role: str, name: str) -> None:
        self.source = context.models[name]
        self.engine = generation.open(self.source, f"models.{name}")
        self.context, self.role, self.usage = context, role, Usage()

    def ask(
        self, batch: int, prompts: Sequence[tuple[str, str]], samples: int, sampling: Sampling
    ) -> list[list[Reply]]:
        """Return the replies to each prompt, [prompts][samples].

        Args:
            batch: The number of the batch of rows, which names the journal.
            prompts: The id of a row, and the user's turn, of each.

        Raises:
            InputError: the model cannot answer, whatever it is asked; replies so far are journalled.
        """
        requests = [
            Request(messages=[{"role": "user", "content": prompt}], seed=self._seed(row, sample), **asdict(sampling))
            for row, prompt in prompts
            for sample in range(samples)
        ]
        journal = Journal(self.engine, self.context.folder / f"requests-{self.role}-{batch:05}.jsonl")
        replies = journal.generate(requests)
        for entry in fields(Usage):
            setattr(self.usage, entry.name, getattr(self.usage, entry.name) + getattr(journal.usage, entry.name))
        return [replies[start : start + samples] for start in range(0, len(replies), samples)]

    def _seed(self, row: str, sample: int) -> int:
        return digest("sample", self.context.seed, row, sample, self.engine.name) >> 1  # servers take 63 bits

    def account(self) -> dict[str, Any]:
        """Return what its replies used up, those of killed runs included, and their cost where prices are known."""
        cost = self.usage.cost(self.source.price_in, self.source.price_out)
        return {"model": self.engine.name, **asdict(self.usage), **({} if cost is None else {"cost": cost})}


def answered(replies: Sequence[Reply]) -> list[Reply]:
    """Return the replies that are no errors."""
    return [reply for reply in replies if reply.finish != "error"]


def failure(role: str, replies: Sequence[Reply]) -> dict[str, Any]:
    """Return the detail of a row that a model gave no answer to."""
    return {"role": role, "reason": next((reply.reason for reply in replies if reply.reason), None)}


def with_instruction(row: Mapping[str, Any], instruction: str) -> tuple[str, str]:
    """Return the id and the prompt of a problem that is to be solved."""
    return row["id"], f"{row['problem']}\n\n{instruction}" if instruction else row["problem"]
