"""Upload a finished run folder to the Hub: one commit, with a model card made from its lineage.

phi-reasoning push --folder output/tiny/grpo --repo_id me/my-model
"""

import json
import re
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from phi_reasoning import config
from phi_reasoning.errors import InputError, one_line

README = "README.md"
# Any part of a path. training_args.bin is a pickle of everything, a token among it.
LEFT_OUT = (
    *(".*", "checkpoint-*", "completions", "runs", "wandb", "training_args.bin"),
    *("optimizer*", "scheduler*", "scaler*", "rng_state*", "global_step*"),
)
# Cards that TRL and PEFT leave in a run folder, and our own of an earlier push; any other README is its owner's.
MADE = ("generated_from_trainer", "[More Information Needed]")
TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{16,}")
# Seconds: one connection may stay silent, and one wait may last.
SILENCE, LONGEST_WAIT, LONGEST_ASKED = 300.0, 60.0, 3600.0
PASSING = (408, 429)
ADVICE = {
    401: "the Hub does not know you; run `hf auth login`",
    403: "your token may not write there; run `hf auth login` with a token that has write access",
    404: "no such repository or branch, or your token may not see it; check the name, or run `hf auth login`",
}


@one_line
def main(argv: list[str] | None = None) -> None:
    """Upload in one commit, so that the Hub never holds half a model; what is there already is not sent again."""
    own = config.load("push", argv).own
    command = shlex.join(["phi-reasoning", "push", *(sys.argv[1:] if argv is None else argv)])

    from phi_reasoning.model import card

    folder = Path(own.folder)
    record = _finished(folder)
    ancestors = list(_ancestors(record))
    measured = [_measured(Path(path), record, ancestors) for path in own.evaluations]
    text = card.card(record, measured, ancestors)
    files = _files(folder)
    readme, partial = folder / README, folder / f".{README}.partial"
    if kept := readme.is_file() and not any(mark in readme.read_text() for mark in (card.MARK, *MADE)):
        print(f"{readme}: your own, uploaded as it is", flush=True)
    try:
        if not kept:
            partial.write_text(text, encoding="utf-8")
            files[README] = partial
        done = _upload(own, files, own.message or f"phi-reasoning {record.get('stage')}", command)
        if not kept:
            partial.replace(readme)
    finally:
        partial.unlink(missing_ok=True)
    print(f"{folder}: {len(files)} files, {done}", flush=True)


def _files(folder: Path) -> dict[str, Path]:
    """Return what belongs to the model, by its name in the repository."""
    found = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    left_out = {name for name in found for part in name.parts if any(fnmatch(part, rule) for rule in LEFT_OUT)}
    return {name.as_posix(): path for name, path in found.items() if name not in left_out}


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


def _upload(own: Any, files: Mapping[str, Path], message: str, command: str) -> str:
    """Commit, and try again while the trouble is one that passes."""
    import huggingface_hub

    # The client's own tries would be told on stderr, with addresses that are signed.
    huggingface_hub.logging.set_verbosity_error()
    if not sys.stderr.isatty():
        huggingface_hub.utils.disable_progress_bars()
    for attempt in range(own.retries + 1):
        try:
            return _commit(own, files, message)
        except Exception as error:
            trouble, asked = _passing(own.repo_id, error)
        if attempt == own.retries:
            break
        wait = min(2.0**attempt, LONGEST_WAIT) if asked is None else min(asked, LONGEST_ASKED)
        print(f"{own.repo_id}: {trouble}; again in {wait:g} s ({attempt + 1} of {own.retries})", flush=True)
        time.sleep(wait)
    raise InputError(f"{own.repo_id}: {trouble}, {own.retries + 1} tries; the folder is untouched, go on: {command}")


def _commit(own: Any, files: Mapping[str, Path], message: str) -> str:
    """Make repository and branch where they are missing, commit the files, and say where they are."""
    from huggingface_hub import CommitOperationAdd, HfApi, get_session

    get_session().timeout = SILENCE  # Without one, a connection that went silent is waited on forever.
    api = HfApi()
    repo = api.create_repo(own.repo_id, private=own.private, exist_ok=True).repo_id
    if own.revision:
        api.create_branch(repo, branch=own.revision, exist_ok=True)
    before = api.repo_info(repo, revision=own.revision)
    if own.private and not before.private:
        raise InputError(f"{repo}: a public repository; valid: --private false, or make it private on the Hub first")
    # Made anew for each try: they remember what the Hub held at the last.
    additions = [CommitOperationAdd(name, path) for name, path in files.items()]
    done = api.create_commit(repo, additions, commit_message=message, revision=own.revision)
    same = " (all there already)" if done.oid == before.sha else ""
    return f"{api.endpoint}/{repo}/tree/{own.revision or 'main'}, commit {done.oid}{same}"


def _passing(repo: str, error: BaseException) -> tuple[str, float | None]:
    """Return what went wrong and for how long the Hub wants to be left alone; raise what trying again cannot mend."""
    # Imported from there because the client below it has changed its package between versions.
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OfflineModeIsEnabled):
            raise InputError(f"{repo}: HF_HUB_OFFLINE is set; valid: unset it to upload") from None
        if isinstance(cause, HfHubHTTPError):
            status = cause.response.status_code
            if status < 500 and status not in PASSING:
                said = ADVICE.get(status) or cause.server_message or "the Hub refuses"
                raise InputError(f"{repo}: {said} ({status})") from None
            return f"the Hub answers {status}", _asked(cause.response.headers)
        # A gateway's error page is no JSON.
        if isinstance(cause, HTTPError | ConnectionError | TimeoutError | json.JSONDecodeError):
            return f"no answer from the Hub ({type(cause).__name__}: {str(cause)[:200]})", None
        cause = cause.__cause__
    if isinstance(error, RuntimeError):
        return str(error), None  # What the store behind the Hub could not place otherwise.
    if isinstance(error, ValueError) and not isinstance(error, InputError):
        raise InputError(f"{repo}: {error}") from None
    raise error


def _asked(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of `Retry-After`, which may also be a date."""
    text = headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


if __name__ == "__main__":
    main()
