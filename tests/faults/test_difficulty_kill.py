"""Kill curate with SIGKILL while models are being asked: nothing is asked twice, and the output is the same."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

KILLS = 4


def recipe(folder, server):
    rng = random.Random(0)
    source = folder / "problems.jsonl"
    rows = [{"problem": f"What is {rng.randrange(1000)} + {rng.randrange(1000)} ?"} for _ in range(60)]
    rows = [{**row, "solution": str(eval(row["problem"][8:-1]))} if i % 3 else row for i, row in enumerate(rows)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    served = {"base_url": server.url, "first_wait": 0.01, "concurrency": 4}
    values = {
        "sources": [{"path": str(source)}],
        "models": {name: {**served, "model": name} for name in ("base", "strong")},
        "stages": [
            {"stage": "difficulty", "model": "base", "samples": 8, "reference": "strong", "least_agreement": 0.5},
            {"stage": "teachable"},
            {"stage": "split", "files": {"rl.jsonl": {"format": "rl"}}},
        ],
    }
    path = folder / "curate.yaml"
    path.write_text(json.dumps(values))
    return path


@pytest.mark.slow
def test_kills_while_models_answer_leave_the_output_of_a_run_left_alone(tmp_path, chat_server, contents):
    chat_server.error_rate, chat_server.delay = 0.4, 0.005
    words = [sys.executable, "-m", "phi_reasoning.curate", "--config", str(recipe(tmp_path, chat_server))]
    whole = [*words, "--output_dir", str(tmp_path / "whole")]
    subprocess.run(whole, check=True, stdout=subprocess.DEVNULL)
    asked, rng, killed = len(chat_server.bodies), random.Random(0), 0
    assert asked == 20 * 4 + 60 * 8 - 8 * json_dropped(tmp_path / "whole")
    for _ in range(KILLS):
        before = len(chat_server.bodies)
        process = subprocess.Popen([*words, "--output_dir", str(tmp_path / "often")], stdout=subprocess.DEVNULL)
        target = before + rng.randrange(10, 90)
        while len(chat_server.bodies) < target and process.poll() is None:
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    assert killed == KILLS, "runs ended before they could be killed"
    journals = [len(path.read_text().splitlines()) for path in tmp_path.glob("often/stages/01-*/requests-*")]
    assert sum(journals) > 0 and not list(tmp_path.glob("often/stages/01-*/done.json"))
    subprocess.run([*words, "--output_dir", str(tmp_path / "often")], check=True, stdout=subprocess.DEVNULL)
    assert contents(tmp_path / "often") == contents(tmp_path / "whole")
    # A kill costs what was under way, 4 requests at most, and no more.
    assert asked <= len(chat_server.bodies) - asked <= asked + 4 * KILLS


def json_dropped(folder):
    (record,) = folder.glob("stages/01-*/done.json")
    return json.loads(record.read_text())["dropped"].get("no_agreement", 0)
