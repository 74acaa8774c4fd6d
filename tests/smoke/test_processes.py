"""Several processes on one machine, through the shipped configuration, on the CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def train(verb, processes, prepared, rows, folder, *words):
    launch = [sys.executable, "-m"]
    if processes > 1:
        launch += ["accelerate.commands.launch", "--config_file", str(ROOT / "accelerate_configs/ddp.yaml")]
        launch += ["--num_processes", str(processes), "--mixed_precision", "no", "-m"]
    command = [
        *(*launch, f"phi_reasoning.{verb}", "--config", "recipes/tiny/sft.yaml".replace("sft", verb)),
        *("--model_name_or_path", prepared, "--datasets", json.dumps([{"path": str(rows)}])),
        *("--output_dir", folder, "--max_steps", "3", "--logging_steps", "1", "--save_strategy", "no", *words),
    ]
    return subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)


def logged(folder, *keys):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line[key] for line in lines for key in keys]


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(prepared, data, tmp_path):
    words = ("--global_batch_size", "8", "--per_device_train_batch_size", "2")
    for processes in (1, 2):
        done = train("sft", processes, prepared, data / "sft.jsonl", tmp_path / str(processes), *words)
        assert done.returncode == 0, done.stderr[-3000:]
        assert json.loads((tmp_path / f"{processes}/lineage.json").read_text())["processes"] == processes
    one, two = (logged(tmp_path / n, "loss", "grad_norm") for n in "12")
    assert len(one) == 6 and two == pytest.approx(one, rel=1e-4)


@pytest.mark.slow
def test_grpo_over_two_processes_logs_the_whole_batch(prepared, data, tmp_path):
    words = ("--global_batch_size", "2", "--per_device_train_batch_size", "4", "--max_completion_length", "8")
    done = train("grpo", 2, prepared, data / "rl.jsonl", tmp_path, *words)
    assert done.returncode == 0, done.stderr[-3000:]
    # A random model has no thought to close: every completion of both processes says so.
    assert logged(tmp_path, "bad_format", "accuracy") == [1.0, 0.0] * 3
    assert len(list((tmp_path / "completions").glob("*.parquet"))) == 3


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU the processes find each other")
def test_processes_that_would_train_apart_are_refused(prepared, data, tmp_path):
    done = train("sft", 2, prepared, data / "sft.jsonl", tmp_path, "--use_cpu", "false", "--global_batch_size", "16",
                 "--per_device_train_batch_size", "8")  # fmt: skip
    assert done.returncode != 0 and "launched as 2 processes, of which each would train alone" in done.stderr
    assert not (tmp_path / "lineage.json").exists()
