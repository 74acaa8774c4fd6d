"""The stages of curation that ask no model, on synthetic prompts of 200 words and on rows with traces of 4,500 words.

Prints rows a second of each stage on one core, all of the frame included (processor time, children's too), what that
is beside reading and writing the stage's rows as plain JSONL, and the hours that the planning size takes on N cores:
1.4 million prompts; 1.4 million traces of 8.3 billion tokens in all, which is 4,500 words each at 1.3 tokens a word.
What a stage prepares once a process is told apart. Whole stages run on one core, whatever N is.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

import datasets
import psutil

from phi_reasoning import config
from phi_reasoning.data import pipeline
from phi_reasoning.data.rows import Context

PLANNED, PROMPT, TRACE, ITEMS, ITEM = 1_400_000, 200, 4_500, 9_900, 81
LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Words:
    """Text whose words are drawn by rank, as those of natural text are."""

    def __init__(self) -> None:
        self.rng = random.Random(0)
        self.words = ["".join(self.rng.choices(LETTERS, k=self.rng.randint(2, 9))) for _ in range(30_000)]
        self.shares = list(accumulate(1 / rank for rank in range(1, 30_001)))

    def text(self, count: int) -> str:
        return " ".join(self.rng.choices(self.words, cum_weights=self.shares, k=count))

    def row(self, number: int, trace: int) -> dict[str, Any]:
        row = {"problem": f"{self.text(PROMPT)} {number}", "solution": str(number), "domain": "math"}
        if trace:
            answer = f"<think>{self.text(trace)}</think>The answer is \\boxed{{{number}}}."
            turns = [{"role": "user", "content": row["problem"]}, {"role": "assistant", "content": answer}]
            row["messages"] = turns
        return row


def cpu() -> float:
    """Return the processor seconds of this process and of the grader's, which are its children."""
    me = psutil.Process()
    times = [process.cpu_times() for process in (me, *me.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def seconds(run: Callable[[], object]) -> float:
    """Return the processor time of one call."""
    began = cpu()
    run()
    return cpu() - began


def copy(files: list[Path], folder: Path) -> None:
    """Read and write rows without the frame."""
    folder.mkdir(parents=True)
    for path in files:
        with path.open(encoding="utf-8") as rows, (folder / path.name).open("w", encoding="utf-8") as out:
            out.writelines(json.dumps(json.loads(row), ensure_ascii=False) + "\n" for row in rows)


def measure(folder: Path, source: Path, stages: list[dict[str, Any]], cores: int) -> None:
    """Run the stages, and print a line for each."""
    words = ["--output_dir", str(folder), "--sources", json.dumps([{"path": str(source)}])]
    recipe, problems = config.read("curate", [*words, "--stages", json.dumps(stages)])
    if recipe is None:
        sys.exit("\n".join(map(str, problems)))
    labels, settings = recipe.own.labels(), [recipe.own.sources, *recipe.own.stages]
    steps = [pipeline.Step(label, each, label) for label, each in zip(labels, settings, strict=True)]
    folders = pipeline.folders(folder, steps, 0)
    total = 0.0
    for number, (step, here) in enumerate(zip(steps, folders, strict=True)):
        context, before = Context(here), folders[number - 1] if number else None
        files = pipeline.blocks(before) if before else [source]
        plain = seconds(lambda files=files, to=folder / f"plain-{number}": copy(files, to))  # type: ignore[misc]
        prepare = getattr(step.module, "prepare", None)
        once = seconds(lambda: prepare(step.settings, context)) if prepare else 0.0  # noqa: B023
        whole = hasattr(step.module, "whole")
        taken = seconds(lambda: pipeline.run(step, here, before, context, recipe.own)) - once  # noqa: B023
        rows = (pipeline.done(here) or {})["in"]
        hours = PLANNED / rows * taken / 3600 / (1 if whole else cores)
        total += hours
        place = "one core" if whole else f"{cores} cores"
        print(
            f"  {step.name:14} {rows / taken:8,.0f} rows/s, {taken / plain:5.1f}x plain JSONL; once {once:4.1f} s; "
            f"planned: {hours:.3f} h on {place}",
            flush=True,
        )
    print(f"  {'together':14} {total:.2f} h for {PLANNED:,} rows", flush=True)


def main() -> None:
    """Write the rows, and measure both kinds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", type=int, default=32, help="N")
    parser.add_argument("--prompts", type=int, default=40_000)
    parser.add_argument("--traces", type=int, default=1_200)
    datasets.disable_progress_bars()
    given, words, began = parser.parse_args(), Words(), time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        items = root / "items.jsonl"
        items.write_text("".join(json.dumps({"problem": words.text(ITEM)}) + "\n" for _ in range(ITEMS)))
        benchmark = {"benchmark": "drawn", "path": str(items), "text": ["problem"]}
        decontaminate = {"stage": "decontaminate", "benchmarks": [benchmark]}
        first = [{"stage": "normalise"}, {"stage": "deduplicate"}, decontaminate]
        last = [{"stage": "mixture", "weights": {"math": 1}}]
        for title, count, trace, middle, form in (
            ("prompts", given.prompts, 0, [], "rl"),
            ("traces", given.traces, TRACE, [{"stage": "filter_traces"}], "sft"),
        ):
            source = root / f"{title}.jsonl"
            source.write_text("".join(json.dumps(words.row(number, trace)) + "\n" for number in range(count)))
            print(f"{title}: {count:,} rows, {source.stat().st_size / 2**20:,.0f} MiB", flush=True)
            split = {"stage": "split", "files": {"set.jsonl": {"format": form}}}
            measure(root / title, source, [*first, *middle, *last, split], given.cores)
    print(f"measured in {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
