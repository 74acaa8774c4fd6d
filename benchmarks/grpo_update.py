"""The update of GRPO, everything after generation, with `trim_padding` against stock TRL.

One process's share of a paper-sized step, 64 completions, on a toy model: reference log-probabilities, loss, gradients
and the optimizer step in micro-batches of 4. Lengths are log-normal (median 150, sigma 0.7), clipped at 512 tokens.
The bound is what computing no padding at all would bring in everything that is linear in length: padded tokens over
real ones. Attention is quadratic (about a third of the work of a full row, here as in phi-4 at 31,744 tokens), so the
ratio can pass it.
"""

import math
import os
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import datasets
import transformers
import trl

from phi_reasoning.model import tiny
from phi_reasoning.trainers.grpo import GRPOTrainer

ROWS, MICRO_BATCH, LIMIT, REPEATS = 64, 4, 512, 5


def completions_of_random_length(prompts: list[str], trainer: Any) -> dict[str, Any]:
    """Return the same rows to every trainer, in place of generation."""
    generator = random.Random(0)
    lengths = [min(LIMIT, round(generator.lognormvariate(math.log(150), 0.7)) + 1) for _ in prompts]
    return {
        "prompt_ids": [[5] * generator.randint(2, 8) for _ in prompts],
        "completion_ids": [[generator.randrange(256) for _ in range(length)] for length in lengths],
        "logprobs": None,
    }


def first_token(completion_ids: list[list[int]], **columns: Any) -> list[float]:
    """Reward that differs within a group and costs nothing."""
    return [ids[0] / 256 for ids in completion_ids]


class Timer(transformers.TrainerCallback):
    """Seconds of the last optimizer step."""

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.started = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.seconds = time.perf_counter() - self.started


def build(trainer: Any, folder: Path, timer: Timer) -> Any:
    """Return a trainer that takes one step each time it is told to train."""
    return trainer(
        model=str(folder / "base"),
        reward_funcs=[first_token],
        args=trl.GRPOConfig(
            output_dir=str(folder / "run"),
            per_device_train_batch_size=MICRO_BATCH,
            gradient_accumulation_steps=ROWS // MICRO_BATCH,
            num_generations=8,
            max_completion_length=LIMIT,
            max_steps=1,
            learning_rate=1e-6,
            loss_type="dapo",
            beta=0.001,
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=True,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=datasets.Dataset.from_dict({"prompt": ["?"] * ROWS}),
        rollout_func=completions_of_random_length,
        callbacks=[timer],
    )


def main() -> None:
    """Measure the two in turn, so that a drift of the machine meets both."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    rows = completions_of_random_length(["?"] * ROWS, None)
    real = sum(len(ids) for key in ("prompt_ids", "completion_ids") for ids in rows[key])
    width = sum(max(len(ids) for ids in rows[key]) for key in ("prompt_ids", "completion_ids"))
    mean = statistics.mean(len(ids) for ids in rows["completion_ids"])
    with tempfile.TemporaryDirectory() as name:
        folder, timers = Path(name), (Timer(), Timer())
        tiny.build_model(256, 512, 2, 4, 2, 10000.0, 4096, seed=0).save_pretrained(folder / "base")
        tiny.build_tokenizer().save_pretrained(folder / "base")
        stock, ours = (
            build(kind, folder, timer) for kind, timer in zip((trl.GRPOTrainer, GRPOTrainer), timers, strict=True)
        )
        seconds = []
        for _ in range(REPEATS):
            for trainer in (stock, ours):
                trainer.remove_callback(transformers.PrinterCallback)
                trainer.train()
            seconds.append([timer.seconds for timer in timers])
    baseline, trimmed = (statistics.median(times) for times in zip(*seconds, strict=True))
    bound, ratio = width * ROWS / real, baseline / trimmed
    print(
        f"GRPO update, {ROWS} rows, mean/max {mean / LIMIT:.2f}, micro-batch {MICRO_BATCH}: TRL {baseline:.2f} s; "
        f"trim_padding {trimmed:.2f} s; ratio {ratio:.2f}x; bound {bound:.2f}x (padded/real tokens); "
        f"{ratio / bound:.0%} of it"
    )


if __name__ == "__main__":
    main()
