"""Run the whole pipeline at toy size, by the commands a user would type.

phi-reasoning demo [FOLDER] [--seed N] [--quick]
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from phi_reasoning import shipped
from phi_reasoning.errors import InputError, one_line

LAUNCHER = ("accelerate.commands.launch", "--quiet", "--config_file", "accelerate_configs/cpu.yaml", "-m")


@dataclass(frozen=True)
class Stage:
    """One command of the pipeline. `quick` are its arguments where only the plumbing is tried."""

    verb: str
    recipe: str
    says: str
    launched: bool = False
    seeded: bool = True
    quick: tuple[str, ...] = ()


STAGES = (
    Stage("prepare", "prepare", "make a tiny phi-4 and turn two placeholder tokens into <think> and </think>"),
    Stage("curate", "curate", "write sums worked out column by column, bare guesses, and problems for RL"),
    Stage("sft", "sft", "fine-tune on both kinds of trace", True, quick=("--max_steps", "4", "--logging_steps", "1")),
    Stage("eval", "eval-sft", "measure: the model can reason carefully, and often does not", quick=("--runs", "2")),
    Stage("grpo", "grpo", "reinforce with the length-aware reward", True, quick=("--max_steps", "2")),
    Stage("eval", "eval-grpo", "measure again, on the same problems", quick=("--runs", "2")),
    Stage("compare", "compare", "pair the two, problem by problem", seeded=False),
    Stage("report", "report", "draw the report", seeded=False),
)


@one_line
def main(argv: list[str] | None = None) -> None:
    """Run every stage; exit with status 1 when GRPO did not clearly raise the accuracy."""
    parser = argparse.ArgumentParser(prog="phi-reasoning demo", description=main.__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path(), help="where output/tiny goes (default: here)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the weights, the data, training and sampling")
    parser.add_argument("--quick", action="store_true", help="a few steps a stage: tries the plumbing, learns nothing")
    options = parser.parse_args(argv)
    options.folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    for number, stage in enumerate(STAGES, 1):
        run(stage, f"[{number}/{len(STAGES)}]", options)
    finish(options.folder, time.monotonic() - started, options.quick)


def run(stage: Stage, label: str, options: argparse.Namespace) -> None:
    """Run one stage as a process of its own and stop the demo when it fails."""
    arguments = ["--config", f"recipes/tiny/{stage.recipe}.yaml"]
    if stage.seeded and options.seed:
        arguments += ["--seed", str(options.seed)]
    if options.quick:
        arguments += stage.quick
    launcher = [*LAUNCHER] if stage.launched else []
    shown = ["accelerate", "launch", *launcher[1:]] if launcher else ["python", "-m"]
    print(
        f"\n{label} {stage.says}\n$ {shlex.join(shown)} phi_reasoning.{stage.verb} {shlex.join(arguments)}", flush=True
    )
    # accelerate opens its configuration itself, and knows nothing of the shipped copy.
    launcher = [str(shipped.find(part)) if part.endswith("cpu.yaml") else part for part in launcher]
    command = [sys.executable, "-m", *launcher, f"phi_reasoning.{stage.verb}", *arguments]
    started = time.monotonic()
    # Threads that wait without spinning cost a sixth on an idle machine and halve the time on a busy one.
    environment = {"HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE", **os.environ}
    if not sys.stderr.isatty():
        # A progress bar that is not looked at fills a log.
        environment["TQDM_MININTERVAL"] = "10"
    done = subprocess.run(command, cwd=options.folder, env=environment)
    if done.returncode:
        raise InputError(f"{stage.verb} stopped with status {done.returncode}; run the demo again to continue there")
    print(f"      {time.monotonic() - started:.0f} s", flush=True)


def finish(folder: Path, seconds: float, quick: bool) -> None:
    """Print the result, and fail when the interval of the gain does not lie above zero."""
    compared = json.loads((folder / "output/tiny/compare/compare.json").read_text())
    low, high = compared["interval"]
    accuracy, tokens = compared["accuracy"], compared["tokens"]
    print(f"\n{'':24}{'before':>9}{'after':>9}{'difference':>13}")
    print(
        f"{'accuracy, %':24}{100 * accuracy['before']:9.1f}{100 * accuracy['after']:9.1f}"
        f"{100 * compared['difference']:+13.1f}   95% interval [{100 * low:+.1f}, {100 * high:+.1f}]"
    )
    print(f"{'tokens per answer':24}{tokens['before']:9.1f}{tokens['after']:9.1f}{tokens['difference']:+13.1f}")
    print(f"\n{seconds / 60:.1f} minutes; report: {(folder / 'output/tiny/report.html').resolve()}", flush=True)
    if quick:
        print("--quick tried the plumbing; the figures mean nothing")
    elif low <= 0:
        print("GRPO did not raise the accuracy: the interval does not lie above zero", file=sys.stderr)
        raise SystemExit(1)


if __name__ == "__main__":
    main()
