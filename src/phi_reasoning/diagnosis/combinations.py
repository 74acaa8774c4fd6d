"""What does not work together, known from the recipe and the launch alone."""

from collections.abc import Iterator

from phi_reasoning.diagnosis.finding import Finding
from phi_reasoning.diagnosis.hardware import ADAPTERS, LAUNCH, NUMBERS
from phi_reasoning.diagnosis.learning import NOTES, ROWS, SAMPLING
from phi_reasoning.diagnosis.situation import Situation

WRONG = [*LAUNCH, *ADAPTERS, *NUMBERS, *ROWS, *SAMPLING]


def findings(situation: Situation) -> Iterator[Finding]:
    """Yield every row that applies; one `ok` if none is wrong."""
    wrong = [row for row in WRONG if row[1](situation)]
    for name, _, text, remedy in wrong:
        yield Finding(name, "wrong", text, remedy)
    for name, applies, text, remedy in NOTES:
        if applies(situation):
            yield Finding(name, "note", text, remedy)
    if not wrong:
        yield Finding("combinations", "ok", f"none of {len(WRONG)} combinations that do not work")
