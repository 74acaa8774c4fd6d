"""Several processes on one machine, through the shipped configuration, on the CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
BATCH = ("--global_batch_size", "8", "--per_device_train_batch_size", "2")
SHARDED = ("fsdp2", "zero2", "zero3")


def train(verb, configuration, prepared, rows, folder, *words):
    """Train in one process, or in two as a shipped configuration starts them."""
    launch = [sys.executable, "-m"]
    if configuration:
        file = ROOT / f"accelerate_configs/{configuration}.yaml"
        launch += ["accelerate.commands.launch", "--config_file", str(file)]
        launch += ["--num_processes", "2", "--mixed_precision", "no"]
    if configuration in SHARDED:
        launch += [str(Path(__file__).with_name("shards_on_cpu.py")), verb]
    else:
        launch += ["-m", f"phi_reasoning.{verb}"] if configuration else [f"phi_reasoning.{verb}"]
    command = [
        *launch,
        *("--config", f"recipes/tiny/{verb}.yaml", "--model_name_or_path", prepared),
        *("--datasets", json.dumps([{"path": str(rows)}]), "--output_dir", folder),
        *("--max_steps", "3", "--logging_steps", "1", "--save_strategy", "no", *words),
    ]
    return subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)


def logged(folder, *keys):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line[key] for line in lines for key in keys]


@pytest.fixture(scope="module")
def alone(prepared, data, tmp_path_factory):
    """The run folder of three steps of SFT in one process."""
    folder = tmp_path_factory.mktemp("alone")
    done = train("sft", None, prepared, data / "sft.jsonl", folder, *BATCH)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads((folder / "lineage.json").read_text())["processes"] == 1
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("configuration", ["ddp", *SHARDED])
def test_two_processes_take_the_steps_of_one(configuration, alone, prepared, data, tmp_path):
    done = train("sft", configuration, prepared, data / "sft.jsonl", tmp_path, *BATCH)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads((tmp_path / "lineage.json").read_text())["processes"] == 2
    assert ("reducer.cpp" in done.stderr) == (configuration == "ddp")  # only plain data parallelism has that warning
    one, two = logged(alone, "loss", "grad_norm"), logged(tmp_path, "loss", "grad_norm")
    assert len(one) == 6 and two == pytest.approx(one, rel=1e-4)
    one, two = load_file(alone / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    assert two.keys() == one.keys()
    assert max((two[key] - one[key]).abs().max() for key in two) < 1e-5


@pytest.mark.slow
def test_grpo_over_two_processes_logs_the_whole_batch_sharded_or_not(prepared, data, tmp_path):
    words = ("--global_batch_size", "2", "--per_device_train_batch_size", "4", "--max_completion_length", "8")
    for configuration in ("ddp", "fsdp2", "zero3"):
        folder = tmp_path / configuration
        done = train("grpo", configuration, prepared, data / "rl.jsonl", folder, *words)
        assert done.returncode == 0, done.stderr[-3000:]
        # A random model has no thought to close: every completion of both processes says so.
        assert logged(folder, "bad_format", "accuracy") == [1.0, 0.0] * 3
        assert len(list((folder / "completions").glob("*.parquet"))) == 3
    whole, *shards = (logged(tmp_path / name, "reward", "entropy", "kl") for name in ("ddp", "fsdp2", "zero3"))
    for sharded in shards:
        assert sharded == pytest.approx(whole, rel=1e-4, abs=1e-6)


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU the processes find each other")
def test_processes_that_would_train_apart_are_refused(prepared, data, tmp_path):
    words = ("--use_cpu", "false", "--global_batch_size", "16", "--per_device_train_batch_size", "8")
    done = train("sft", "ddp", prepared, data / "sft.jsonl", tmp_path, *words)
    assert done.returncode != 0 and "launched as 2 processes, of which each would train alone" in done.stderr
    assert not (tmp_path / "lineage.json").exists()
