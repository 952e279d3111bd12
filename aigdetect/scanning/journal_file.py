"""The file of a journal: a database that one scan alone writes to, and its errors in one line each."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from aigdetect.errors import UsageError
from aigdetect.files import IN_USE


@contextlib.contextmanager
def errors_of(path: Path | None) -> Iterator[None]:
    """Turn errors of the database into one line.

    Args:
        path: of the journal; None for a temporary one.

    Raises:
        UsageError: if it is no journal, in use, or cannot be written.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            raise UsageError(f"{path}: not a journal; --force begins anew") from error
        reason = IN_USE if "locked" in str(error) else f"cannot be written ({error})"
        raise UsageError(f"{path or 'temporary files'}: {reason}") from error
    except (sqlite3.DatabaseError, ValueError) as error:
        raise UsageError(f"{path}: not a journal ({error}); --force begins anew") from error


def connect(name: str) -> sqlite3.Connection:
    """The database of a file, which nothing else can open meanwhile; a temporary one if the name is empty."""
    database = sqlite3.connect(name, timeout=0, isolation_level=None)
    try:
        # exclusive: no second scan may write to the same files; write-ahead: one small write per row
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        database.close()
        raise
    return database


def connect_frozen(path: Path) -> sqlite3.Connection:
    """The database of a file that nothing writes to; its folder may be read-only."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)


def require_free(path: Path) -> None:
    """Refuse a journal that another scan is writing to; one that is damaged may be replaced.

    Raises:
        UsageError: if there is such a scan.
    """
    try:
        with contextlib.closing(connect(str(path))) as database:
            database.execute("BEGIN EXCLUSIVE")
    except sqlite3.DatabaseError as error:
        if "locked" in str(error):
            raise UsageError(f"{path}: {IN_USE}") from error


def remove_beside(path: Path) -> None:
    """Remove what an earlier database of this name has left beside it.

    Raises:
        UsageError: if that is not allowed.
    """
    for ending in ("-wal", "-shm"):
        try:
            path.with_name(path.name + ending).unlink(missing_ok=True)
        except OSError as error:
            raise UsageError(f"{path}: cannot be removed ({error.strerror})") from error
