"""The peaks that the recipes' READMEs promise are those the doctor plans."""

import json
import re
from pathlib import Path

import pytest

from phi_reasoning import doctor

ROOT = Path(__file__).parents[1]
LINE = re.compile(
    r"^\| `(?P<name>[\w.-]+)` \| (?P<cards>\d+) x (?:H100 |T4 )?(?P<size>\d+) GB[^|]*\| (?P<peak>[\d.]+) GB \|",
    re.MULTILINE,
)
FOLDERS = ("recipes/phi-4-*", "recipes/colab")
ROWS = [
    pytest.param(readme.parent / row["name"], row["cards"], row["size"], float(row["peak"]), id=row["name"])
    for folder in FOLDERS
    for readme in sorted(ROOT.glob(f"{folder}/README.md"))
    for row in LINE.finditer(readme.read_text())
]


def test_every_training_recipe_has_its_line():
    named = {parameters.values[0] for parameters in ROWS}
    assert named == {path for f in FOLDERS for verb in ("sft", "grpo") for path in ROOT.glob(f"{f}/{verb}*.yaml")}


@pytest.mark.parametrize(("recipe", "cards", "size", "peak"), ROWS)
def test_peak_is_current(recipe, cards, size, peak, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        doctor.main(["--config", str(recipe), "--num-gpus", cards, "--gpu-memory", size, "--json"])
    record = json.loads(capsys.readouterr().out)
    assert ended.value.code == 0 and round(record["memory"]["peak"] / 1e9, 1) == peak < float(size)
