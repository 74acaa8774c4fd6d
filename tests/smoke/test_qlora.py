"""QLoRA for real, on the CPU: NF4 weights, 8-bit Adam, an adapter that learns."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def train(verb, recipe, prepared, rows, folder, *words):
    command = [
        *(sys.executable, "-m", f"phi_reasoning.{verb}", "--config", f"recipes/tiny/{recipe}.yaml"),
        *("--model_name_or_path", prepared, "--datasets", json.dumps([{"path": str(rows)}]), "--output_dir", folder),
        *("--logging_steps", "1", "--save_strategy", "no", *words),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_sft_learns_on_four_bit_weights(prepared, data, tmp_path):
    words = ("--max_steps", "20", "--learning_rate", "1.0e-2", "--global_batch_size", "16", "--warmup_steps", "1")
    spread = ("--per_device_train_batch_size", "16")
    four, full = (
        train("sft", recipe, prepared, data / "sft.jsonl", tmp_path / recipe, *words, *spread)
        for recipe in ("sft-qlora", "sft-lora")
    )
    assert four[-1]["loss"] < four[0]["loss"] - 0.25
    # The same model but for the rounding of its weights, which must be there and must be small.
    assert four[0]["loss"] == pytest.approx(full[0]["loss"], rel=0.01) and four[0]["loss"] != full[0]["loss"]
    adapter = json.loads((tmp_path / "sft-qlora/adapter_config.json").read_text())
    assert sorted(adapter["target_modules"]) == ["down_proj", "gate_up_proj", "o_proj", "qkv_proj"]


@pytest.mark.slow
def test_grpo_runs_on_four_bit_weights(prepared, data, tmp_path):
    words = ("--max_steps", "2", "--global_batch_size", "2", "--per_device_train_batch_size", "16")
    lines = train("grpo", "grpo-qlora", prepared, data / "rl.jsonl", tmp_path, *words, "--max_completion_length", "8")
    assert [line["reward"] for line in lines] == pytest.approx([-0.6153846] * 2, abs=1e-6)
    assert lines[0]["kl"] == pytest.approx(0.0, abs=1e-5)  # the reference is the same model without its new adapter
