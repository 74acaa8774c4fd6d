"""Compare two exams item by item: is the second model better, by how much, how sure, at what cost in tokens.

phi-reasoning compare --before output/tiny/eval-sft --after output/tiny/eval-grpo --output_dir output/tiny/compare
"""

import json
from pathlib import Path

from phi_reasoning import config
from phi_reasoning.errors import one_line


@one_line
def main(argv: list[str] | None = None) -> None:
    """Write `compare.json`; refuse exams of different questions or sampling and say what differs."""
    own = config.load("compare", argv).own

    from phi_reasoning.evaluation import records, statistics

    before, after = records.load_exam(own.before), records.load_exam(own.after)
    mismatches = records.mismatches(before, after)
    if mismatches:
        raise records.RecordError(f"cannot compare {own.before} with {own.after}: {'; '.join(mismatches)}")
    compared = statistics.comparison(before.rows, after.rows, own.draws, own.seed)
    output = Path(own.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    written = {"before": str(own.before), "after": str(own.after), **compared}
    (output / "compare.json").write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    print(statistics.table(compared))


if __name__ == "__main__":
    main()
