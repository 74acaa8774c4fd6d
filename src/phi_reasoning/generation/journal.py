"""Remember every reply in a file, so that what was answered, and paid for, is never asked again."""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from phi_reasoning.errors import InputError
from phi_reasoning.generation import Engine, Reply, Request, Usage


class Journal:
    """An engine whose replies are appended to a JSONL file, and taken from there when they are asked for again.

    A line holds the key of a request and its reply; neither the request's text nor anything about the server. A line
    is written whole before the next, so a process that is killed tears at most the last one, which is cut off when
    the file is opened again. Threads may share a journal; processes may not.

    Args:
        engine: Who answers what the file does not.
        path: The file; its folder exists.

    Raises:
        InputError: a line, other than a torn last one, is not a reply.
    """

    def __init__(self, engine: Engine, path: Path):
        self.engine, self.path, self.name = engine, path, engine.name
        self.usage = Usage()  # of every reply in the file, this process's or not
        self._lock = threading.Lock()
        self._replies: dict[str, Reply] = {}
        for key, reply in _read(path):
            self._keep(key, reply)

    def generate(self, requests: Sequence[Request], done: Callable[[int, Reply], None] | None = None) -> list[Reply]:
        """Return the replies in the order of `requests`; what is in the file, or twice in `requests`, is not asked."""
        keys = [request.key(self.name) for request in requests]
        places: dict[str, list[int]] = {}
        for index, key in enumerate(keys):
            places.setdefault(key, []).append(index)
        asked = [key for key in places if key not in self._replies]

        def tell(key: str) -> None:
            for index in places[key] if done else ():
                done(index, self._replies[key])  # type: ignore[misc]

        for key in places:
            if key in self._replies:
                tell(key)
        if not asked:
            return [self._replies[key] for key in keys]
        with self.path.open("a", encoding="utf-8") as file:

            def record(number: int, reply: Reply) -> None:
                key = asked[number]
                with self._lock:
                    file.write(json.dumps({"key": key, "reply": asdict(reply)}, ensure_ascii=False) + "\n")
                    file.flush()
                    self._keep(key, reply)
                tell(key)

            self.engine.generate([requests[places[key][0]] for key in asked], record)
        return [self._replies[key] for key in keys]

    def _keep(self, key: str, reply: Reply) -> None:
        if key not in self._replies:
            self._replies[key] = reply
            self.usage.add(reply)


def _read(path: Path) -> list[tuple[str, Reply]]:
    """Return what the file holds, after cutting off a torn last line."""
    if not path.exists():
        return []
    whole = path.read_bytes()
    complete = whole[: whole.rfind(b"\n") + 1]
    if complete != whole:
        with path.open("r+b") as file:
            file.truncate(len(complete))
    found = []
    for number, line in enumerate(complete.split(b"\n")[:-1], 1):
        try:
            record = json.loads(line)
            found.append((record["key"], Reply(**record["reply"])))
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{path}:{number}: not a recorded reply; remove the file to ask again") from None
    return found
