"""A global batch is the same step however it is spread: 8 at once, or one after the other."""

import json
from pathlib import Path

import pytest

from phi_reasoning import grpo, sft

ROOT = Path(__file__).resolve().parents[2]


def losses(verb, prepared, rows, folder, per_device, *words):
    verb.main(
        [
            *("--config", str(ROOT / f"recipes/tiny/{verb.__name__.rpartition('.')[2]}.yaml")),
            *("--model_name_or_path", str(prepared), "--output_dir", str(folder)),
            *("--datasets", json.dumps([{"path": str(rows)}]), "--per_device_train_batch_size", str(per_device)),
            *("--max_steps", "4", "--logging_steps", "1", "--save_strategy", "no", *words),
        ]
    )
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [value for line in lines for value in (line["loss"], line["grad_norm"])]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verb", "rows", "spreads", "words"),
    [
        (sft, "sft.jsonl", (8, 2, 1), ("--global_batch_size", "8")),
        (grpo, "rl.jsonl", (16, 4), ("--global_batch_size", "2", "--max_completion_length", "12")),
    ],
    ids=["sft", "grpo"],
)
def test_accumulation_changes_nothing(verb, rows, spreads, words, prepared, data, tmp_path):
    traces = [losses(verb, prepared, data / rows, tmp_path / str(n), n, *words) for n in spreads]
    assert len(traces[0]) == 8 and len(set(traces[0])) > 4
    for trace in traces[1:]:
        # float32 sums in another order
        assert trace == pytest.approx(traces[0], rel=2e-4, abs=2e-6)
