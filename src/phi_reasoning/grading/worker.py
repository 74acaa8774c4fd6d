"""A process that compares pairs of answers with math-verify until its pipe closes or somebody kills it.

Started by path, as `python worker.py FD`, and importing nothing of the package: the user's script, torch and the rest
of the parent must not be loaded again. A request is JSON, `{"gold", "answer", "deadline", "memory"}`; the reply too.
"""

import json
import logging
import math
import resource
import sys
from multiprocessing.connection import Connection
from typing import Any

CPU_GRACE = 3


def limit(deadline: float, memory: int) -> None:
    """Bound the memory, and the processor time up to a moment after the deadline.

    The second bound is for orphans: a worker whose parent was killed has nobody left to enforce the deadline.
    """
    for kind, soft in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, math.ceil(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]) + deadline) + CPU_GRACE),
    ):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def compare(gold: str, answer: str) -> str:
    """Return the outcome for two texts, each put into a box first: bare, `2*sqrt(3)` may be read as 2."""
    from math_verify import parse, verify

    # The library's own timeouts use SIGALRM, which does not interrupt long C calls; the parent kills instead.
    golds, answers = (
        [item for item in parse(f"\\boxed{{{text}}}", parsing_timeout=None) if not isinstance(item, str)]
        for text in (gold, answer)
    )
    if not golds or not answers:
        return "unparsed"
    return "correct" if verify(golds, answers, timeout_seconds=None) else "wrong"


def reply(request: dict[str, Any]) -> str:
    """Answer one request. A text that breaks the parser, its recursion or the memory limit is unparsed."""
    limit(request["deadline"], request["memory"])
    try:
        return compare(request["gold"], request["answer"])
    except Exception:
        return "unparsed"


def main() -> None:
    """Serve requests on the file descriptor named on the command line."""
    pipe = Connection(int(sys.argv[1]))
    try:
        logging.disable(logging.CRITICAL)
        compare("\\frac{1}{2}", "0.5")
    except Exception as error:
        pipe.send_bytes(json.dumps({"error": f"{type(error).__name__}: {error}"}).encode())
        return
    pipe.send_bytes(b'{"ready": true}')
    while True:
        try:
            request = json.loads(pipe.recv_bytes())
        except EOFError:
            return
        pipe.send_bytes(json.dumps({"outcome": reply(request)}).encode())


if __name__ == "__main__":
    main()
