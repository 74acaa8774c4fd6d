"""The keys of `curate`: sources, models, and one dataclass a stage, told apart by the key `stage`."""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from phi_reasoning.config.schema import Conflicts, KeyPath, about, nearest, show


@dataclass(kw_only=True)
class SetConfig:
    """One file of generated or selected problems."""

    file: str = field(metadata=about("File name inside output_dir.", filled=True))
    task: str = field(metadata=about("Name of the task.", filled=True))
    split: str = field(default="train", metadata=about("Split of the task.", filled=True))
    size: int = field(metadata=about("Problems.", least=1))
    format: Literal["sft", "rl"] = field(default="sft", metadata=about("Columns to write."))
    difficulty: dict[str, Any] = field(default_factory=dict, metadata=about("Settings of the task."))
    traces: dict[str, float] = field(default_factory=dict, metadata=about("Kinds of trace, and the share of each."))

    def conflicts(self) -> Conflicts:
        yield from _wrong_shares(self.traces)


def _wrong_shares(traces: dict[str, float]) -> Conflicts:
    for kind, share in traces.items():
        if not 0 <= share <= 1:
            yield ("traces", kind), f"found {share}, valid: a share from 0 to 1"
    if traces and not abs(sum(traces.values()) - 1) < 1e-3:
        yield ("traces",), f"found shares that sum to {sum(traces.values()):g}, valid: 1"


@dataclass(kw_only=True)
class SourceConfig:
    """One source of problems: a file or a set on the Hub (`path`), or a procedural task (`task`)."""

    path: str | None = field(
        default=None,
        metadata=about("Hub id, or a local .jsonl, .json or .parquet file.", filled=True, reads="data"),
    )
    name: str | None = field(default=None, metadata=about("Hub configuration."))
    split: str = field(default="train", metadata=about("Split to take.", filled=True))
    revision: str | None = field(default=None, metadata=about("Hub commit, tag or branch."))
    columns: dict[str, str] | None = field(default=None, metadata=about("Our column names to those of the source."))
    task: str | None = field(default=None, metadata=about("Name of a procedural task.", filled=True))
    size: int | None = field(default=None, metadata=about("Problems of the task.", least=1))
    difficulty: dict[str, Any] = field(default_factory=dict, metadata=about("Settings of the task."))
    traces: dict[str, float] = field(
        default_factory=dict, metadata=about("Kinds of trace of the task, and the share of each; none: no messages.")
    )
    domain: str = field(default="unknown", metadata=about("Domain of rows that name none.", filled=True))
    max_characters: int = field(
        default=200_000, metadata=about("A longer problem or solution is dropped as too_long.", least=1)
    )

    def conflicts(self) -> Conflicts:
        if (self.path is None) == (self.task is None):
            found = "neither" if self.task is None else "both"
            yield ("path",), f"found {found} of it and task, valid: exactly one"
        elif self.task is not None and self.size is None:
            yield ("size",), "missing key, valid: int, the number of problems of the task"
        elif self.path is not None and (self.size is not None or self.difficulty or self.traces):
            yield ("path",), "size, difficulty and traces are keys of a task, valid: leave them out beside path"
        for name in RESERVED & (self.columns or {}).keys():
            yield ("columns", name), "a name that rows have of their own, valid: another name"
        yield from _wrong_shares(self.traces)


# What the stages write into a row; a source cannot bring it along under these names.
RESERVED = {"id", "source", "files", "repeat"}


@dataclass(kw_only=True)
class ModelConfig:
    """A model that stages call: behind an OpenAI-compatible server (`base_url`), or in this process."""

    model: str | None = field(default=None, metadata=about("Name of the model at the server.", filled=True))
    base_url: str | None = field(
        default=None, metadata=about("Address of the server, up to /v1.", filled=True, free=True)
    )
    api_key_env: str | None = field(
        default=None, metadata=about("Environment variable that holds the key.", filled=True, free=True)
    )
    concurrency: int = field(default=64, metadata=about("Requests in flight.", least=1, free=True))
    model_name_or_path: str | None = field(
        default=None, metadata=about("Hub id or folder of a model for this process.", filled=True, reads="model")
    )
    revision: str | None = field(default=None, metadata=about("Its Hub commit, tag or branch."))

    def conflicts(self) -> Conflicts:
        if (self.base_url is None) == (self.model_name_or_path is None):
            found = "neither" if self.base_url is None else "both"
            yield ("base_url",), f"found {found} of it and model_name_or_path, valid: exactly one"
        elif "@" in (self.base_url or ""):
            yield ("base_url",), "found a user or password in an address, valid: the key in the variable api_key_env"
        elif self.base_url is not None and self.model is None:
            yield ("model",), "missing key, valid: str, the name of the model at the server"


@dataclass(kw_only=True)
class NormaliseStage:
    """Clean text: NFC, one kind of line end, no control characters, no spaces at line ends."""

    stage: Literal["normalise"] = field(metadata=about("Drops rows whose problem is empty after it."))


@dataclass(kw_only=True)
class DeduplicateStage:
    """Keep the first of equal and of nearly equal problems."""

    stage: Literal["deduplicate"] = field(metadata=about("Equal text, then MinHash over word shingles."))
    threshold: float = field(
        default=0.8,
        metadata=about("Jaccard similarity from which problems are the same; 1: equal text only.", least=0.3, most=1),
    )
    shingle: int = field(default=3, metadata=about("Words in a shingle.", least=1, most=20))
    same_numbers: bool = field(
        default=True, metadata=about("Problems with different numbers are different, however similar.")
    )


@dataclass(kw_only=True)
class MixtureStage:
    """Choose rows, and how often each is repeated, so that every domain has its share of the tokens."""

    stage: Literal["mixture"] = field(metadata=about("Shares of tokens, not of rows."))
    weights: dict[str, float] = field(metadata=about("Domains, and the weight of each.", filled=True))
    tokens: int | None = field(
        default=None, metadata=about("Tokens in all; by default as many as the rows allow.", least=1)
    )
    max_repeats: float = field(default=1.0, metadata=about("Most passes over the rows of a domain.", above=0))
    tokenizer: str | None = field(
        default=None, metadata=about("Hub id or folder; without one, words are counted.", filled=True, reads="model")
    )

    def conflicts(self) -> Conflicts:
        for domain, weight in self.weights.items():
            if not weight > 0:
                yield ("weights", domain), f"found {weight}, valid: a number above 0"


@dataclass(kw_only=True)
class FileConfig:
    """One file of the finished set."""

    format: Literal["sft", "rl"] = field(metadata=about("Columns to write: messages, or prompt and solution."))
    span: list[float] = field(
        default_factory=lambda: [0.0, 1.0],
        metadata=about("From and to, within 0 to 1: rows whose problem hashes into it. Spans may overlap."),
    )

    def conflicts(self) -> Conflicts:
        if len(self.span) != 2 or not 0 <= self.span[0] < self.span[1] <= 1:
            yield ("span",), f"found {self.span}, valid: two rising numbers from 0 to 1"


@dataclass(kw_only=True)
class SplitStage:
    """Say which files a row goes into; a problem's place depends on its text and the seed alone."""

    stage: Literal["split"] = field(metadata=about("The last stage; the files are written after it."))
    files: dict[str, FileConfig] = field(metadata=about("File names inside output_dir.", filled=True))

    def conflicts(self) -> Conflicts:
        for name in self.files:
            if "/" in name or "\\" in name or name.startswith(".") or not name.endswith(".jsonl"):
                yield ("files", name), "valid: a plain file name that ends in .jsonl"


# A further stage is one more dataclass here, and the file of its name in data/stages.
StageConfig = NormaliseStage | DeduplicateStage | MixtureStage | SplitStage


@dataclass(kw_only=True)
class CurateRecipe:
    """Files of problems and reasoning traces."""

    output_dir: str = field(metadata=about("Folder of the files.", filled=True))
    seed: int = field(default=0, metadata=about("Seed of every problem.", least=0))
    sets: list[SetConfig] = field(default_factory=list, metadata=about("Files of generated problems, without stages."))
    sources: list[SourceConfig] = field(default_factory=list, metadata=about("Where problems come from."))
    models: dict[str, ModelConfig] = field(default_factory=dict, metadata=about("Names for the models of stages."))
    stages: list[StageConfig] = field(default_factory=list, metadata=about("What happens to the problems, in order."))
    block_rows: int = field(default=1000, metadata=about("Rows in a file of a stage; what a kill can cost.", least=1))
    workers: int = field(default=1, metadata=about("Processes for stages without models.", least=1, free=True))
    only: str | None = field(default=None, metadata=about("Run this stage alone.", filled=True, free=True))
    until: str | None = field(default=None, metadata=about("Stop after this stage.", filled=True, free=True))

    def conflicts(self) -> Conflicts:
        if bool(self.sets) == bool(self.sources):
            yield ("sources",), f"found {'both' if self.sets else 'neither'} of it and sets, valid: exactly one"
        if self.stages and not self.sources:
            yield ("stages",), "found stages without sources, valid: sources to read problems from"
        files = [entry.file for entry in self.sets]
        for index, file in enumerate(files):
            if file in files[:index]:
                yield ("sets", index, "file"), f"found {file}, which an earlier set writes, valid: another name"
        for index, stage in enumerate(self.stages[:-1]):
            if stage.stage == "split":
                yield ("stages", index), "found split before another stage, valid: split as the last stage"
        for index, stage in enumerate(self.stages):
            for path, name in model_names(stage):
                if name not in self.models:
                    place: KeyPath = ("stages", index, *path)
                    yield place, f"found {show(name)}, no name in models; {nearest(name, self.models)}"
        names = self.stage_names()
        for key, value in (("only", self.only), ("until", self.until)):
            if value is not None and names.count(value) != 1 and value not in self.labels():
                valid = ", ".join(self.labels() if value in names else names)
                yield (key,), f"found {show(value)}, valid: {valid}"

    def stage_names(self) -> list[str]:
        """Return the names of all stages in order, ingest included."""
        return ["ingest", *(stage.stage for stage in self.stages)]

    def labels(self) -> list[str]:
        """Return number-name of all stages, which tells two of one name apart."""
        return [f"{number:02}-{name}" for number, name in enumerate(self.stage_names())]


def model_names(stage: Any) -> Iterator[tuple[KeyPath, str]]:
    """Yield the path and value of each key of a stage that names a model of the recipe."""
    for entry in dataclasses.fields(stage):
        value = getattr(stage, entry.name)
        if entry.metadata.get("names") == "models" and value is not None:
            values = enumerate(value) if isinstance(value, list) else [(None, value)]
            yield from (((entry.name,) if i is None else (entry.name, i), name) for i, name in values)


def shaping(config: Any, identify: Callable[[Any, str], Any]) -> Any:
    """Return the settings that shape a result, as plain values: all but those marked `free`.

    Args:
        identify: Called with the value of a key that reads something and with what that is; says what is there.
    """
    if dataclasses.is_dataclass(config):
        found = {}
        for entry in dataclasses.fields(config):
            if not entry.metadata.get("free"):
                value, reads = shaping(getattr(config, entry.name), identify), entry.metadata.get("reads")
                found[entry.name] = identify(value, reads) if reads else value
        return found
    if isinstance(config, dict):
        return {key: shaping(value, identify) for key, value in config.items()}
    return [shaping(value, identify) for value in config] if isinstance(config, list | tuple) else config
