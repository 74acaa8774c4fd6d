"""Bad input ends in one line on stderr and exit status 2, never in a traceback."""

import functools
import sys
from collections.abc import Callable


class InputError(ValueError):
    """Something the user can mend; the text names the file, the key or row, what was found and what is valid."""


def one_line(main: Callable[[list[str] | None], None]) -> Callable[[list[str] | None], None]:
    """Wrap a verb's `main` so that bad input and failing files print one line and exit with status 2."""

    @functools.wraps(main)
    def wrapped(argv: list[str] | None = None) -> None:
        try:
            main(argv)
        except (InputError, OSError) as error:
            text = " ".join(str(error).split()) or type(error).__name__
            print(f"phi-reasoning {main.__module__.rpartition('.')[2]}: {text}", file=sys.stderr)
            raise SystemExit(2) from None

    return wrapped
