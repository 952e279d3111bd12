"""Files that are there as a whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from aigdetect.errors import UsageError


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file in such a way that a crash at any moment leaves what was there before, or all of the new.

    Raises:
        UsageError: if it cannot be written; nothing is left behind.
    """
    # a name of fixed length: the target's own may fill what the file system allows
    temporary = path.parent / f".aigdetect-{os.getpid()}.part"
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, ValueError) as error:
        with contextlib.suppress(OSError, ValueError):
            temporary.unlink()
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{path}: cannot be written ({reason})") from error
