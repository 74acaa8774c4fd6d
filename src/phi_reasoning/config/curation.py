"""The keys of `curate`: sources, models, and what shapes a result; those of its stages are in `stages.py`."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from phi_reasoning.config.executors import ExecutorConfig
from phi_reasoning.config.models import ModelSource
from phi_reasoning.config.schema import Conflicts, KeyPath, about, nearest, show
from phi_reasoning.config.stages import StageConfig, model_names


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
RESERVED = {"id", "source", "files", "repeat", "trace"}


@dataclass(kw_only=True)
class CurateRecipe:
    """Files of problems and reasoning traces."""

    output_dir: str = field(metadata=about("Folder of the files.", filled=True))
    seed: int = field(default=0, metadata=about("Seed of every problem.", least=0))
    sets: list[SetConfig] = field(default_factory=list, metadata=about("Files of generated problems, without stages."))
    sources: list[SourceConfig] = field(default_factory=list, metadata=about("Where problems come from."))
    models: dict[str, ModelSource] = field(default_factory=dict, metadata=about("Names for the models of stages."))
    stages: list[StageConfig] = field(default_factory=list, metadata=about("What happens to the problems, in order."))
    block_rows: int = field(default=1000, metadata=about("Rows in a file of a stage; what a kill can cost.", least=1))
    workers: int = field(default=1, metadata=about("Processes for stages without models.", least=1, free=True))
    executor: ExecutorConfig | None = field(
        default=None, metadata=about("Who works on blocks in place of workers; the result is the same.", free=True)
    )
    print_only: bool = field(
        default=False, metadata=about("Print the next job for Slurm in place of submitting it.", free=True)
    )
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
        if self.print_only and getattr(self.executor, "kind", None) != "slurm":
            yield ("print_only",), "means nothing without an executor of the kind slurm, valid: false"
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
