"""Kill a run with SIGKILL, start the same command again: the loss trace is that of the run left alone."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STEPS, SAVE = 24, 6


def command(verb, recipe, prepared, data, folder):
    return [
        *(sys.executable, "-m", f"phi_reasoning.{verb}", "--config", str(ROOT / f"recipes/tiny/{recipe}.yaml")),
        *("--model_name_or_path", str(prepared), "--output_dir", str(folder)),
        *("--datasets", json.dumps([{"path": str(data / ("sft.jsonl" if verb == "sft" else "rl.jsonl"))}])),
        *("--max_steps", str(STEPS), "--save_steps", str(SAVE), "--save_total_limit", "2", "--logging_steps", "1"),
        *("--global_batch_size", "2", "--per_device_train_batch_size", "2" if verb == "sft" else "16"),
        *(["--max_completion_length", "24"] if verb == "grpo" else []),
    ]


def trace(folder):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"], line["grad_norm"]) for line in lines]


def logged(folder):
    path = folder / "log.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


def finish(arguments):
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def kill_at(arguments, folder, steps):
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while logged(folder) < steps and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"
    assert steps <= logged(folder) < STEPS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verb", "recipe"), [("sft", "sft"), ("sft", "sft-lora"), ("grpo", "grpo"), ("grpo", "grpo-lora")]
)
def test_killed_run_continues_with_the_same_losses(verb, recipe, prepared, data, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(command(verb, recipe, prepared, data, whole))
    expected = trace(whole)
    assert [step for step, *_ in expected] == list(range(1, STEPS + 1))
    assert len({loss for _, loss, _ in expected}) > STEPS // 2  # a constant trace would prove nothing

    arguments = command(verb, recipe, prepared, data, killed)
    kill_at(arguments, killed, 2 * SAVE + 2)
    newest = max(killed.glob("checkpoint-*"), key=lambda path: int(path.name.partition("-")[2]))
    if recipe == "sft":  # the machine went down before the last checkpoint was on disk
        weights = newest / "model.safetensors"
        os.truncate(weights, weights.stat().st_size // 2)
    said = finish(arguments)
    assert f"{newest}: incomplete" in said if recipe == "sft" else f"continuing from {newest}" in said
    assert trace(killed) == expected
    assert (killed / "lineage.json").is_file()

    again = finish(arguments)
    assert "already complete" in again and trace(killed) == expected


@pytest.mark.slow
def test_run_killed_after_its_last_step_takes_no_further_one(prepared, data, tmp_path):
    arguments = command("sft", "sft", prepared, data, tmp_path)
    finish(arguments)
    before = trace(tmp_path)
    weights = (tmp_path / "model.safetensors").read_bytes()
    for name in ("lineage.json", "model.safetensors"):
        (tmp_path / name).unlink()
    finish(arguments)
    assert trace(tmp_path) == before and (tmp_path / "model.safetensors").read_bytes() == weights
