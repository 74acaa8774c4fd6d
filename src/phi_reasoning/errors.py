"""Bad input ends in one line on stderr and exit status 2, never in a traceback."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec

Arguments = ParamSpec("Arguments")


class InputError(ValueError):
    """Something the user can mend; the text names the file, the key or row, what was found and what is valid."""


def one_line(main: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Wrap a verb's `main` so that bad input and failing files print one line and exit with status 2."""

    @functools.wraps(main)
    def wrapped(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        try:
            main(*args, **kwargs)
        except (InputError, OSError) as error:
            text = " ".join(str(error).split()) or type(error).__name__
            # Not `main.__module__`: a verb started by path or by -m calls itself __main__.
            print(f"phi-reasoning {Path(main.__code__.co_filename).stem}: {text}", file=sys.stderr)
            raise SystemExit(2) from None

    return wrapped
