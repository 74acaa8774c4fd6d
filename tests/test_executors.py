"""Blocks of stages on datatrove's executors: the same files as one process, killed or not, or one line."""

import json
import re
import subprocess
import sys
import time

import psutil
import pytest

from phi_reasoning import curate

LOCAL = {"kind": "local", "tasks": 3, "workers": 2}
RAY = {"kind": "ray", "tasks": 2, "mem_per_cpu_gb": 1}
SLURM = {"kind": "slurm", "tasks": 2, "partition": "cpu", "time": "4:00:00", "poll": 0.05}


SPLIT = {"stage": "split", "files": {"rl.jsonl": {"format": "rl", "span": [0, 0.9]}}}


def recipe(folder, executor=None, size=60, **keys):
    values = {
        "output_dir": str(folder / "out"),
        "sources": [{"task": "arithmetic", "size": size, "traces": {"careful": 1.0}}],
        "stages": [
            {"stage": "normalise"},
            {"stage": "split", "files": {"rl.jsonl": {"format": "rl", "span": [0, 0.9]}}},
        ],
        "block_rows": 7,
        "executor": executor,
        **keys,
    }
    folder.mkdir(exist_ok=True)
    (folder / "curate.yaml").write_text(json.dumps(values))
    return ["--config", str(folder / "curate.yaml")]


def results(folder):
    """Every file of a run but those that hold times, the recipe with its executor, and the logs of tasks."""
    out, apart = folder / "out", {"lineage.json", "done.json", ".lock", "config.yaml"}
    files = [path.relative_to(out) for path in sorted(out.rglob("*")) if path.is_file() and path.name not in apart]
    return {str(path): (out / path).read_bytes() for path in files if path.parts[0] != "logs"}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """What a run without an executor writes."""
    folder = tmp_path_factory.mktemp("plain")
    curate.main(recipe(folder))
    found = results(folder)
    assert sum("/01-normalise" in name and "/rows-" in name for name in found) == 9  # 60 rows in blocks of 7
    return found


def verb(words, **how):
    return subprocess.Popen(
        [sys.executable, "-m", "phi_reasoning.curate", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **how,
    )


def kill_in_the_middle(folder, words):
    """Kill the verb, and nothing else, once a task has written blocks of the first stage; say how many are there."""
    running = verb(words)
    while running.poll() is None and not list(folder.glob("out/stages/01-*/rows-*")):
        time.sleep(0.001)
    below = psutil.Process(running.pid).children(recursive=True) if running.poll() is None else []
    running.kill()
    assert running.wait() == -9, running.stderr.read()
    _, alive = psutil.wait_procs(below, timeout=20)
    assert below and not alive
    assert not list(folder.glob("out/stages/01-*/done.json"))
    return len(list(folder.glob("out/stages/01-*/rows-*")))


@pytest.mark.slow
@pytest.mark.parametrize("executor", [LOCAL, RAY], ids=["local", "ray"])
def test_tasks_write_what_one_process_writes(executor, plain, tmp_path, capfd):
    curate.main(recipe(tmp_path, executor))
    assert results(tmp_path) == plain
    said = capfd.readouterr()
    assert "01-normalise: " in said.out and " tasks for 9 blocks, logs in " in said.out and not said.err
    logs = list(tmp_path.glob("out/logs/01-normalise-*/logs/task_*.log"))
    assert len(logs) == executor["tasks"] and all("Processing done" in log.read_text() for log in logs)


@pytest.mark.slow
@pytest.mark.parametrize("executor", [LOCAL, RAY], ids=["local", "ray"])
def test_killed_in_the_middle_the_same_command_goes_on(executor, tmp_path):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    words = recipe(killed, executor, size=6000)
    assert 0 < kill_in_the_middle(killed, words) < 858  # 6,000 rows in blocks of 7
    said = verb(words).communicate()[0]
    assert int(re.search(r"01-normalise: . tasks for (\d+) blocks", said)[1]) < 858
    curate.main(recipe(whole, size=6000))
    assert results(killed) == results(whole)
