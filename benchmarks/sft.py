"""Tokens a second of the SFT verb, against `trl sft` and a bare PyTorch loop, and packed against padded.

One epoch over 128 conversations of log-normal length (median 90 bytes, sigma 0.7, at most 256 tokens) on a toy phi-4,
in batches of 16. A token is one of a conversation; padding counts for nothing. The first step warms up and is not
timed. The bare loop gets the verb's own batches. Packed rows of a batch become one long row, which pays off with
attention kernels that skip what lies between conversations (flash attention); on a CPU that row costs its square.
"""

import contextlib
import io
import json
import math
import os
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import datasets
import torch
import transformers
import trl
from trl.scripts import sft as trl_sft

from phi_reasoning import prepare, sft

ROOT = Path(__file__).resolve().parents[1]
ROWS, BATCH, LIMIT, ROUNDS = 128, 16, 256, 3
KEYS = {
    "per_device_train_batch_size": BATCH,
    "num_train_epochs": 1,
    "max_length": LIMIT,
    "assistant_only_loss": True,
    "learning_rate": 1e-4,
    "lr_scheduler_type": "constant",
    "logging_steps": 10,
    "save_strategy": "no",
    "report_to": "none",
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "disable_tqdm": True,
}
TEMPLATE = str(ROOT / "chat_templates/phi4_reasoning_training.jinja")


class Timed(trl.SFTTrainer):
    """TRL's trainer with a clock; the last one made is kept."""

    last: Any = None

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        Timed.last = self
        self.clock = Clock()
        self.add_callback(self.clock)

    def batches(self) -> list[dict[str, torch.Tensor]]:
        """Return the batches of an epoch as the model gets them."""
        return list(self.get_train_dataloader())

    def speed(self) -> float:
        """Return the tokens a second after the first step."""
        return tokens(self.batches()[1:]) / (self.clock.ends[-1] - self.clock.ends[0])


class Clock(transformers.TrainerCallback):
    """The time at the end of each step."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.ends.append(time.perf_counter())


def tokens(batches: list[dict[str, torch.Tensor]]) -> int:
    """Return how many positions are no padding; packed rows have none."""
    return sum(int(batch.get("attention_mask", torch.ones_like(batch["input_ids"])).sum()) for batch in batches)


def write_inputs(folder: Path) -> None:
    """Write the prepared base and the rows."""
    shape = {"hidden_size": 384, "intermediate_size": 768, "num_hidden_layers": 2}
    words = ["--config", str(ROOT / "recipes/tiny/prepare.yaml"), "--output_dir", str(folder / "base")]
    prepare.main([*words, "--tiny_model", json.dumps(shape)])
    generator = random.Random(0)
    (folder / "data").mkdir()
    with (folder / "data/train.jsonl").open("w") as file:
        for _ in range(ROWS):
            length = min(LIMIT - 40, round(generator.lognormvariate(math.log(90), 0.7)) + 1)
            thought = "".join(generator.choices("abcdefgh ", k=length))
            messages = [
                {"role": "user", "content": "Go on."},
                {"role": "assistant", "content": f"<think>{thought}</think>done"},
            ]
            file.write(json.dumps({"messages": messages}) + "\n")


def ours(folder: Path, output: Path, packing: bool = False) -> float:
    """Return the speed of the verb."""
    keys = KEYS | {"model_name_or_path": folder / "base", "output_dir": output, "chat_template": TEMPLATE}
    keys |= {"datasets": json.dumps([{"path": str(folder / "data/train.jsonl")}]), "packing": packing}
    sft.main([str(word) for key, value in keys.items() for word in (f"--{key}", value)])
    return Timed.last.speed()


def theirs(folder: Path, output: Path) -> float:
    """Return the speed of the script behind `trl sft`."""
    keys = KEYS | {"model_name_or_path": folder / "base", "output_dir": output, "chat_template_path": TEMPLATE}
    keys |= {"dataset_name": folder / "data"}
    words = [str(word) for key, value in keys.items() for word in (f"--{key}", value)]
    trl_sft.main(*trl_sft.make_parser().parse_args_and_config(words))
    return Timed.last.speed()


def bare(folder: Path, batches: list[dict[str, torch.Tensor]]) -> float:
    """Return the speed of forward, backward, clipping and AdamW over the same batches, and nothing else."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    ends = []
    for batch in batches:
        model(**batch, use_cache=False).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        ends.append(time.perf_counter())
    return tokens(batches[1:]) / (ends[-1] - ends[0])


def main() -> None:
    """Measure all in turn, so that a drift of the machine meets each."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    trl.SFTTrainer = Timed  # both programs look it up when they run
    speeds: dict[str, list[float]] = {"verb": [], "trl": [], "bare": [], "packed": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with contextlib.redirect_stdout(io.StringIO()):
            write_inputs(folder)
        for number in range(ROUNDS):
            with contextlib.redirect_stdout(io.StringIO()):
                speeds["verb"].append(ours(folder, folder / f"verb{number}"))
                batches = Timed.last.batches()
                speeds["trl"].append(theirs(folder, folder / f"trl{number}"))
                speeds["bare"].append(bare(folder, batches))
                speeds["packed"].append(ours(folder, folder / f"packed{number}", packing=True))
    verb, stock, loop, packed = (statistics.median(values) for values in speeds.values())
    print(
        f"SFT verb: {verb:.0f} tokens/s; trl sft: {stock:.0f}, ratio {verb / stock:.2f}x; "
        f"bare loop: {loop:.0f}, ratio {verb / loop:.2f}x; packed: {packed:.0f}, {packed / verb:.2f}x of padded"
    )


if __name__ == "__main__":
    main()
