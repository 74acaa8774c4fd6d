"""The `judge` of a recipe: who is asked about answers that no parser reads."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(kw_only=True)
class JudgeConfig:
    """A language model behind an OpenAI-compatible endpoint; its key is read from JUDGE_API_KEY in the environment."""

    base_url: str = field(metadata={"help": "Address of the endpoint, up to /v1.", "filled": True})
    model: str = field(metadata={"help": "Name of the model there.", "filled": True})
    timeout: float = field(default=30.0, metadata={"help": "Seconds to wait for a reply.", "above": 0})
    retries: int = field(default=2, metadata={"help": "Further tries.", "least": 0, "most": 10})
    parallel: int = field(default=8, metadata={"help": "Questions asked at once.", "least": 1, "most": 256})

    def conflicts(self) -> Iterator[tuple[tuple[str, ...], str]]:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            yield ("base_url",), f"found {self.base_url}, valid: an address such as http://localhost:8000/v1"
        elif parts.username or parts.password:
            yield (
                ("base_url",),
                "holds a password, valid: an address without, and JUDGE_API_KEY in the environment",
            )
