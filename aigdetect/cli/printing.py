"""Results on standard output: where it cannot be written, that is said in one line, as of any other file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from aigdetect.cli.console import drop_output
from aigdetect.errors import UsageError


@contextmanager
def printing() -> Iterator[None]:
    """Around whatever prints results, which have left the program at its end.

    Raises:
        UsageError: if standard output cannot be written.
        BrokenPipeError: if its reader has gone.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        drop_output()  # what is left must not be tried again at exit, which would end with another status
        raise UsageError(f"-: cannot be written ({error.strerror or error})") from error


def put(text: str) -> None:
    """Print results; raises as :func:`printing` says.

    Args:
        text: with its line end.
    """
    with printing():
        sys.stdout.write(text)
