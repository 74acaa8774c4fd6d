"""Everything the tests train on is made here, offline: a tiny phi-4 prepared by the real verb, and a few rows."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

ROOT = Path(__file__).resolve().parents[1]
SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Path:
    """A prepared checkpoint folder, smaller than the tiny recipe's."""
    from phi_reasoning import prepare

    folder = tmp_path_factory.mktemp("prepared") / "base"
    prepare.main(
        [
            *("--config", str(ROOT / "recipes/tiny/prepare.yaml")),
            *("--tiny_model", json.dumps(SMALL)),
            *("--output_dir", str(folder)),
        ]
    )
    return folder


@pytest.fixture(scope="session")
def tokenizer(prepared):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(prepared)


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    """A folder with a small sft.jsonl and rl.jsonl, made by the real verb."""
    from phi_reasoning import curate

    folder = tmp_path_factory.mktemp("data")
    common = {"task": "arithmetic", "difficulty": {"digits": [1, 2]}}
    sets = [
        {**common, "file": "sft.jsonl", "size": 64, "traces": {"careful": 0.5, "guess": 0.5}},
        {**common, "file": "rl.jsonl", "size": 32, "split": "rl", "format": "rl"},
    ]
    curate.main(["--output_dir", str(folder), "--sets", json.dumps(sets)])
    return folder


def verb(name: str, *arguments: object, cwd: Path = ROOT, **kwargs) -> subprocess.CompletedProcess[str]:
    """Run `python -m phi_reasoning.<name>` as a user does."""
    command = [sys.executable, "-m", f"phi_reasoning.{name}", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, **kwargs)


def losses(folder: Path) -> list[tuple[int, float]]:
    """Return (step, loss) of a run's log."""
    lines = (folder / "log.jsonl").read_text().splitlines()
    return [(line["step"], line["loss"]) for line in map(json.loads, lines)]
