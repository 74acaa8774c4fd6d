"""Upload a finished run folder to the Hub: one commit, with a model card made from its lineage.

phi-reasoning push --folder output/tiny/grpo --repo_id me/my-model
"""

import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from phi_reasoning import config
from phi_reasoning.errors import InputError, one_line

README = "README.md"
# Cards that TRL and PEFT leave in a run folder, and our own of an earlier push; any other README is its owner's.
MADE = ("generated_from_trainer", "[More Information Needed]")
TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{16,}")


@one_line
def main(argv: list[str] | None = None) -> None:
    """Upload in one commit, so that the Hub never holds half a model; what is there already is not sent again."""
    own = config.load("push", argv).own
    command = shlex.join(["phi-reasoning", "push", *(sys.argv[1:] if argv is None else argv)])

    from phi_reasoning.model import card, hub

    folder = Path(own.folder)
    record = _finished(folder)
    ancestors = list(_ancestors(record))
    measured = [_measured(Path(path), record, ancestors) for path in own.evaluations]
    text = card.card(record, measured, ancestors)
    files = hub.files_of(folder)
    readme, partial = folder / README, folder / f".{README}.partial"
    if kept := readme.is_file() and not any(mark in readme.read_text() for mark in (card.MARK, *MADE)):
        print(f"{readme}: your own, uploaded as it is", flush=True)
    try:
        if not kept:
            partial.write_text(text, encoding="utf-8")
            files[README] = partial
        done = hub.upload(own, files, own.message or f"phi-reasoning {record.get('stage')}", command)
        if not kept:
            partial.replace(readme)
    finally:
        partial.unlink(missing_ok=True)
    print(f"{folder}: {len(files)} files, {done}", flush=True)


def _finished(folder: Path) -> dict[str, Any]:
    """Return the lineage of a folder that is ready to be uploaded."""
    from phi_reasoning import lineage

    record = lineage.read(folder)
    lacking = [] if record else [f"{lineage.FILE} (its run has not finished)"]
    described = any((folder / name).is_file() for name in ("config.json", "adapter_config.json"))
    if not described or not any(folder.glob("*.safetensors")):
        lacking.append("weights of a model or adapter")
    if lacking or not record:
        raise InputError(f"{folder}: no {', no '.join(lacking)}; valid: the folder of a finished training run")
    found = lineage.weights_sha256(folder)
    if record.get("sha256") not in (None, found):
        raise InputError(
            f"{folder}: its weights are not those its {record.get('stage')} stage wrote (sha256 {str(found)[:12]} "
            f"found, {record['sha256'][:12]} in {lineage.FILE}); restore them or run that stage again"
        )
    for path in (folder / lineage.FILE, folder / lineage.RECIPE):
        if path.is_file() and (TOKEN.search(path.read_text()) or (record.get("recipe") or {}).get("hub_token")):
            raise InputError(f"{path}: holds a Hub token, which would be published; take it out, and revoke it")
    return record


def _ancestors(record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the lineages of the parents, nearest first, as far as they are on disk and unchanged."""
    from phi_reasoning import lineage

    parent = record.get("parent") or {}
    folder, expected = Path(parent.get("path") or ""), parent.get("lineage_sha256")
    if expected and (folder / lineage.FILE).is_file() and lineage.file_sha256(folder / lineage.FILE) == expected:
        above = lineage.read(folder) or {}
        yield above
        yield from _ancestors(above)


def _measured(folder: Path, record: Mapping[str, Any], ancestors: list[dict[str, Any]]) -> dict[str, Any]:
    """Read an evaluation, and refuse one of another model; an adapter may be measured as its merge."""
    from phi_reasoning import lineage
    from phi_reasoning.evaluation import records

    found = {"metadata": records.read_json(folder / "metadata.json")}
    found["summary"] = summary = records.read_json(folder / "summary.json")
    for key in ("accuracy", "items", "runs"):
        if key not in summary:
            raise InputError(f"{folder / 'summary.json'}: no field {key}; valid: a file written by eval")
    model = (lineage.read(folder) or {}).get("parent") or {}
    merged = lineage.read(model.get("path") or "") or {}
    same = {model.get("sha256")} | ({merged["parent"].get("sha256")} if merged.get("stage") == "merge" else set())
    if None not in same and record.get("sha256") not in same:
        raise InputError(
            f"evaluations: {folder} measured another model (weights {model['sha256'][:12]} there, "
            f"{str(record.get('sha256'))[:12]} here); valid: an evaluation of {record.get('stage')}'s folder"
        )
    return found


if __name__ == "__main__":
    main()
