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
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def train(verb, processes, prepared, rows, folder, *words, sharded=False):
    launch = [sys.executable, "-m"]
    if processes > 1:
        configuration = ROOT / f"accelerate_configs/{'fsdp2' if sharded else 'ddp'}.yaml"
        launch += ["accelerate.commands.launch", "--config_file", str(configuration)]
        launch += ["--num_processes", str(processes), "--mixed_precision", "no"]
        launch += [] if sharded else ["-m"]
    command = [
        *launch,
        *([str(Path(__file__).with_name("fsdp_on_cpu.py")), verb] if sharded else [f"phi_reasoning.{verb}"]),
        *("--config", f"recipes/tiny/{verb}.yaml", "--model_name_or_path", prepared),
        *("--datasets", json.dumps([{"path": str(rows)}]), "--output_dir", folder),
        *("--max_steps", "3", "--logging_steps", "1", "--save_strategy", "no", *words),
    ]
    return subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)


def logged(folder, *keys):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line[key] for line in lines for key in keys]


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(prepared, data, tmp_path):
    words = ("--global_batch_size", "8", "--per_device_train_batch_size", "2")
    runs = {"one": (1, False), "two": (2, False), "sharded": (2, True)}
    for name, (processes, sharded) in runs.items():
        done = train("sft", processes, prepared, data / "sft.jsonl", tmp_path / name, *words, sharded=sharded)
        assert done.returncode == 0, done.stderr[-3000:]
        assert json.loads((tmp_path / name / "lineage.json").read_text())["processes"] == processes
        assert ("reducer.cpp" in done.stderr) == (name == "two")  # only plain data parallelism has that warning
    one, two, sharded = (logged(tmp_path / name, "loss", "grad_norm") for name in runs)
    assert len(one) == 6 and two == pytest.approx(one, rel=1e-4) and sharded == pytest.approx(one, rel=1e-4)
    weights = [load_file(tmp_path / name / "model.safetensors") for name in runs]
    for other in weights[1:]:
        assert other.keys() == weights[0].keys()
        assert max((other[key] - weights[0][key]).abs().max() for key in other) < 1e-5


@pytest.mark.slow
def test_grpo_over_two_processes_logs_the_whole_batch_sharded_or_not(prepared, data, tmp_path):
    words = ("--global_batch_size", "2", "--per_device_train_batch_size", "4", "--max_completion_length", "8")
    for name in ("whole", "sharded"):
        folder = tmp_path / name
        done = train("grpo", 2, prepared, data / "rl.jsonl", folder, *words, sharded=name == "sharded")
        assert done.returncode == 0, done.stderr[-3000:]
        # A random model has no thought to close: every completion of both processes says so.
        assert logged(folder, "bad_format", "accuracy") == [1.0, 0.0] * 3
        assert len(list((folder / "completions").glob("*.parquet"))) == 3
    whole, sharded = (logged(tmp_path / name, "reward", "entropy", "kl") for name in ("whole", "sharded"))
    assert sharded == pytest.approx(whole, rel=1e-4, abs=1e-6)


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU the processes find each other")
def test_processes_that_would_train_apart_are_refused(prepared, data, tmp_path):
    done = train("sft", 2, prepared, data / "sft.jsonl", tmp_path, "--use_cpu", "false", "--global_batch_size", "16",
                 "--per_device_train_batch_size", "8")  # fmt: skip
    assert done.returncode != 0 and "launched as 2 processes, of which each would train alone" in done.stderr
    assert not (tmp_path / "lineage.json").exists()
