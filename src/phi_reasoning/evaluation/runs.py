"""Run a model over the items of tasks, several independent times, one record per item and run."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from phi_reasoning import tasks
from phi_reasoning.errors import InputError
from phi_reasoning.evaluation.questions import Question, seed_of
from phi_reasoning.generation import local
from phi_reasoning.grading import extract

RESULTS = "results.jsonl"


def rendered(tokenizer: PreTrainedTokenizerBase, question: Question) -> str:
    """Return the text the model continues."""
    turns = [{"role": "user", "content": question.prompt}]
    return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)


def finished(path: Path) -> set[tuple[str, int, int]]:
    """Return the (task, item, run) of the records already written, after cutting off a half-written last line."""
    if not path.exists():
        return set()
    whole = path.read_bytes()
    complete = whole[: whole.rfind(b"\n") + 1]
    if complete != whole:
        path.write_bytes(complete)
    done = set()
    for number, line in enumerate(complete.decode().splitlines(), 1):
        try:
            record = json.loads(line)
            done.add((record["task"], record["item"], record["run"]))
        except (json.JSONDecodeError, KeyError, TypeError):
            raise InputError(
                f"{path}:{number}: not a record of an evaluation; remove the file to start again"
            ) from None
    return done


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    asked: Sequence[Question],
    *,
    runs: int,
    seed: int,
    sampling: dict[str, Any],
    batch_size: int,
    done: set[tuple[str, int, int]],
) -> Iterator[list[dict[str, Any]]]:
    """Yield batches of records, graded, for every (question, run) that is not in `done`."""
    todo = [(q, run) for run in range(runs) for q in asked if (q.task, q.item, run) not in done]
    with tqdm(total=len(todo), desc="completions", unit="") as bar:
        for start in range(0, len(todo), batch_size):
            batch = todo[start : start + batch_size]
            completions = _complete(model, tokenizer, batch, seed, sampling)
            yield _records(tokenizer, batch, completions, seed)
            bar.update(len(batch))


def _complete(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    batch: Sequence[tuple[Question, int]],
    seed: int,
    sampling: dict[str, Any],
) -> list[tuple[list[int], bool]]:
    """Return each completion's token ids without padding, and whether it ended by itself."""
    # The template writes every special token itself.
    prompts = tokenizer([rendered(tokenizer, question) for question, _ in batch], add_special_tokens=False)
    seeds = [seed_of(question, run, seed) for question, run in batch]
    return local.complete(model, tokenizer, prompts["input_ids"], seeds, **sampling)


def _records(
    tokenizer: PreTrainedTokenizerBase,
    batch: Sequence[tuple[Question, int]],
    completions: Sequence[tuple[list[int], bool]],
    seed: int,
) -> list[dict[str, Any]]:
    responses = tokenizer.batch_decode([ids for ids, _ in completions], skip_special_tokens=True)
    asked = [question for question, _ in batch]
    verdicts = [tasks.get(q.task).check(q.instance, text) for q, text in zip(asked, responses, strict=True)]
    return [
        {
            "task": question.task,
            "item": question.item,
            "run": run,
            "seed": seed_of(question, run, seed),
            "difficulty": None,
            "prompt": question.prompt,
            "response": response,
            "tokens": len(ids),
            "ended": ended,
            "format_ok": extract.think_format_valid(response),
            "outcome": verdict.outcome,
            "answer": verdict.answer,
            "gold": question.gold,
        }
        for (question, run), response, (ids, ended), verdict in zip(
            batch, responses, completions, verdicts, strict=True
        )
    ]
