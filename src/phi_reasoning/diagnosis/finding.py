"""What a check found."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "wrong", "not checked"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        check: Name of the check; the same name for the same mistake, wherever it is made.
        state: `wrong` fails the whole; a `note` works but is worth knowing.
        text: What was found.
        remedy: What to do about it.
    """

    check: str
    state: State
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.state:12}{self.check:22}{self.text}{f'; {self.remedy}' if self.remedy else ''}"
