"""Both spellings of a launch, in a checkout and from an installed package, and the keys a user changes first."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAUNCH = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", "accelerate_configs/cpu.yaml"]


def run(command, cwd=ROOT, **environment):
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env={**os.environ, **environment})


@pytest.mark.slow
def test_script_by_path_under_accelerate_launch(prepared, data, tmp_path):
    done = run(
        [
            *LAUNCH,
            *("src/phi_reasoning/sft.py", "--config", "recipes/tiny/sft.yaml", "--model_name_or_path", prepared),
            *("--datasets", json.dumps([{"path": str(data / "sft.jsonl")}]), "--output_dir", tmp_path / "run"),
            *("--max_steps", "2", "--logging_steps", "1", "--global_batch_size", "8"),
            *("--per_device_train_batch_size", "2"),
        ]
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert len((tmp_path / "run/log.jsonl").read_text().splitlines()) == 2
    # What is saved carries the template every engine can read, and the recipe it can be run from again.
    for folder in (tmp_path / "run", tmp_path / "run/checkpoint-2"):
        assert (folder / "chat_template.jinja").read_text() == (prepared / "chat_template.jinja").read_text()
    assert "learning_rate" in (tmp_path / "run/config.yaml").read_text()


@pytest.mark.slow
def test_a_quiet_launch_adds_nothing_to_our_line(tmp_path):
    words = ("--quiet", "src/phi_reasoning/sft.py", "--config", "recipes/tiny/none.yaml")
    done = run([*LAUNCH, *words])
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith("--config: no such file")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_grpo_with_the_readmes_own_reward_from_an_empty_folder(prepared, data, tmp_path):
    text = (ROOT / "README.md").read_text()
    code = text.split("```python\n")[1].split("```")[0]
    (tmp_path / "my_reward.py").write_text(code)
    rewards = [
        {"path": "rewards/phi4_reasoning_plus.py:LengthAwareAccuracy", "weight": 0.6153846},
        {"path": "my_reward.py:brief", "weight": 0.1, "kwargs": {"limit": 2}},
    ]
    done = run(
        [
            *(sys.executable, "-m", "phi_reasoning.grpo", "--config", "recipes/tiny/grpo.yaml"),
            *("--model_name_or_path", prepared, "--output_dir", "run", "--rewards", json.dumps(rewards)),
            *("--datasets", json.dumps([{"path": str(data / "rl.jsonl")}]), "--max_completion_length", "8"),
            *("--max_steps", "1", "--global_batch_size", "2", "--per_device_train_batch_size", "4"),
        ],
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (line,) = map(json.loads, (tmp_path / "run/log.jsonl").read_text().splitlines())
    # A random model never closes a thought: -1 each, and nothing is as short as two tokens.
    assert line["rewards/LengthAwareAccuracy/mean"] == -1.0 and line["bad_format"] == 1.0
    assert -0.5 <= line["rewards/brief/mean"] <= 0.0
    expected = 0.6153846 * line["rewards/LengthAwareAccuracy/mean"] + 0.1 * line["rewards/brief/mean"]
    assert line["reward"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--chat_template", "chat_templates/phi4_reasoning.jinja"], "has no {% generation %} marks"),
        (["--max_length", "8"], "none of 64 rows has a token to learn within max_length 8"),
        (["--fsdp", "nonsense"], "nonsense"),
        (
            ["--model_name_or_path", "nobody/nothing"],
            "model_name_or_path: found 'nobody/nothing': no such folder, not in the cache",
        ),
    ],
)
def test_what_only_the_libraries_notice_is_one_line(words, says, prepared, data, tmp_path):
    done = run(
        [
            *(sys.executable, "-m", "phi_reasoning.sft", "--config", "recipes/tiny/sft.yaml"),
            *([] if "--model_name_or_path" in words else ["--model_name_or_path", prepared]),
            *("--datasets", json.dumps([{"path": str(data / "sft.jsonl")}]), "--output_dir", tmp_path / "run", *words),
        ]
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr[-3000:]
    assert says in done.stderr.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--model_name_or_path", "adapter"], "found a LoRA adapter"),
        (["--max_prompt_length", "2"], "max_prompt_length: found 2, valid: at least "),
    ],
)
def test_grpo_refuses_an_adapter_and_to_leave_out_every_prompt(words, says, prepared, data, tmp_path):
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter/adapter_config.json").write_text("{}")
    done = run(
        [
            *(sys.executable, "-m", "phi_reasoning.grpo", "--config", "recipes/tiny/grpo.yaml"),
            *([] if "--model_name_or_path" in words else ["--model_name_or_path", prepared]),
            *("--datasets", json.dumps([{"path": str(data / "rl.jsonl")}]), "--output_dir", "run", *words),
        ],
        cwd=tmp_path,
    )
    assert done.returncode == 2 and says in done.stderr and "Traceback" not in done.stderr
