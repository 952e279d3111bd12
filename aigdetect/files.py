"""Files that are there as a whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from aigdetect.errors import UsageError

_PARTIAL = ".aigdetect-{}.part"


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Turn what the operating system says about a file that is written into an error that names it.

    Raises:
        UsageError: in the place of OSError and ValueError (a name that cannot be one).
        BrokenPipeError: as it is: the reader has gone, and the file is not at fault.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{path}: cannot be written ({reason})") from error


def remove_partial(folder: Path) -> None:
    """Remove what a process that was killed while it wrote into a folder left behind."""
    for path in folder.glob(_PARTIAL.format("*")):
        path.unlink()


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file in such a way that a crash at any moment leaves what was there before, or all of the new.

    Raises:
        UsageError: if it cannot be written; nothing is left behind.
    """
    # a name of fixed length: the target's own may fill what the file system allows
    temporary = path.parent / _PARTIAL.format(os.getpid())
    with writing(path):
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                temporary.unlink()
            raise
