"""Format reward: one thought in tags, then an answer."""

from collections.abc import Mapping, Sequence
from typing import Any

from phi_reasoning.grading import completion_text, think_format_valid


def think_format(completions: Sequence[str | Sequence[Mapping[str, Any]]], **columns: Any) -> list[float | None]:
    """Return 1.0 for `<think>thought</think>answer`, each part non-empty and each tag there once, else 0.0."""
    return [float(think_format_valid(completion_text(completion))) for completion in completions]
