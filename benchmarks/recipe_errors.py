"""How long a slip in a recipe takes to be reported, against what importing the libraries alone would take.

Prints the ratio of the medians of five processes each.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BASELINE = [sys.executable, "-c", "from trl import SFTConfig, ModelConfig"]


def seconds(command: list[str], status: int) -> float:
    """Return the wall time of one process that must end with `status`."""
    started = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, capture_output=True)
    assert done.returncode == status, done.stderr.decode()[-1000:]
    return time.perf_counter() - started


def main() -> None:
    """Measure the two in turn, so that a drift of the machine meets both."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "sft.yaml"
        recipe.write_text(f"# Hardware: none.\nextends: {ROOT}/recipes/tiny/sft.yaml\nlearning_rat: 1.0e-5\n")
        ours = [sys.executable, "-m", "phi_reasoning.sft", "--config", str(recipe)]
        pairs = [(seconds(ours, 2), seconds(BASELINE, 0)) for _ in range(6)][1:]
    slip, baseline = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(
        f"recipe error: {slip:.2f} s; importing TRL's configurations: {baseline:.2f} s; ratio {baseline / slip:.1f}x"
    )


if __name__ == "__main__":
    main()
