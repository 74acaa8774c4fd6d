"""Kill a run with SIGKILL while it sends a checkpoint: the Hub holds nothing half, and the same command sends it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_killed_during_an_upload_and_run_again(hub, prepared, data, tmp_path):
    folder = tmp_path / "run"
    command = [
        *(sys.executable, "-m", "phi_reasoning.grpo", "--config", str(ROOT / "recipes/tiny/grpo.yaml")),
        *("--model_name_or_path", str(prepared), "--output_dir", str(folder), "--max_completion_length", "24"),
        *("--datasets", json.dumps([{"path": str(data / "rl.jsonl")}]), "--max_steps", "8", "--save_steps", "2"),
        *("--global_batch_size", "2", "--per_device_train_batch_size", "16", "--save_total_limit", "2"),
        *("--push_to_hub", "true", "--hub_model_id", "me/my-model", "--hub_private_repo", "true"),
    ]
    cache = {"HF_HOME": str(tmp_path / "cache"), "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
    environment = {**os.environ, **cache, "HF_ENDPOINT": hub.url, "HF_TOKEN": hub.token, "NO_PROXY": "127.0.0.1"}
    # The files of step 2 arrive, the commit does not.
    hub.always["commit"] = (503, ("Retry-After", 30))
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while "commit" not in hub.requests and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not any("model.safetensors" in files for files in hub.branches.values())

    hub.always.clear()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    kept = {f"step-{int(path.name[11:]):06d}" for path in folder.glob("checkpoint-*")}
    assert kept == {"step-000006", "step-000008"}
    for branch in kept | {"main"}:
        assert "model.safetensors" in hub.branches[branch], done.stdout
    assert hub.branches["main"]["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    assert hub.branches["step-000008"]["model.safetensors"] == hub.branches["main"]["model.safetensors"]
