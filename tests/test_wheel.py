"""The wheel carries every shipped file, and alone in an empty folder it runs the whole pipeline."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("accelerate_configs", "chat_templates", "recipes", "rewards", "slurm")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, ROOT]
    subprocess.run(command, check=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.slow
def test_wheel_holds_the_package_and_every_shipped_file(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert len(tops) == 2 and "phi_reasoning" in tops and any(top.endswith(".dist-info") for top in tops)
    tracked = subprocess.run(["git", "ls-files", *FOLDERS], cwd=ROOT, capture_output=True, text=True).stdout.split()
    shipped = tracked or [str(p.relative_to(ROOT)) for f in FOLDERS for p in (ROOT / f).rglob("*.*")]
    assert len(shipped) > 15
    assert [path for path in shipped if f"phi_reasoning/_shipped/{path}" not in names] == []
    sources = [path for path in (ROOT / "src").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert [str(path) for path in sources if str(path.relative_to(ROOT / "src")) not in names] == []


@pytest.mark.slow
def test_installed_wheel_runs_the_demo_from_an_empty_folder(wheel, tmp_path):
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", site, wheel]
    subprocess.run(command, check=True)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    where = subprocess.run(
        [sys.executable, "-c", "import phi_reasoning; print(phi_reasoning.__file__)"],
        cwd=empty, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert where.stdout.startswith(str(site))

    done = subprocess.run(
        [site / "bin/phi-reasoning", "demo", "--quick"], cwd=empty, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for number in range(1, 9):
        assert f"[{number}/8]" in done.stdout
    output = empty / "output/tiny"
    assert (output / "report.html").stat().st_size > 100_000
    # It reads the quick run's result: too few steps to learn anything.
    assert "the figures mean nothing" in done.stdout
    for stage, steps in (("sft", 4), ("grpo", 2)):
        record = json.loads((output / stage / "lineage.json").read_text())
        assert record["stage"] == stage and record["recipe"]["max_steps"] == steps and record["commit"] is None
        assert (
            record["parent"]["sha256"]
            == json.loads((Path(empty) / record["parent"]["path"] / "lineage.json").read_text())["sha256"]
        )
    reward = json.loads((output / "grpo/lineage.json").read_text())["plugins"][0]["path"]
    assert reward == str(site / "phi_reasoning/_shipped/rewards/phi4_reasoning_plus.py")
    assert sorted(path.name for path in empty.iterdir()) == ["output"]
