"""Which files may be replaced: only those that this program wrote, and never one that is read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from enum import Enum
from pathlib import Path

from aigdetect.errors import UsageError

_HEAD = 1 << 16  # bytes at a file's beginning in which it says what it is


class Form(Enum):
    """What a file that this program writes is known by: a pattern of its first bytes."""

    ROWS = re.compile(
        rb'"path","sha256","status","verdict",|\{"path": "(?:[^"\\\n]|\\.)*", "sha256": (?:"|null)'
    )
    PAGE = re.compile(rb'\s*<!DOCTYPE html>.{0,999}<meta name="generator" content="aigdetect">', re.DOTALL)
    RESULTS = re.compile(rb'\{\s*"schema_version": ')
    IMAGES = re.compile(rb'"path","label","generator","family","parity",')
    PICTURE = re.compile(rb"\x89PNG\r\n\x1a\n(?:(?!IDAT).)*tEXtSoftware\x00aigdetect\b", re.DOTALL)
    ARRAYS = re.compile(rb"PK\x03\x04.{26}(?:facts|head)\.npy", re.DOTALL)
    LOG = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ")
    MANIFEST = re.compile(rb'\{\s*"manifest_version": ')
    SIGNATURE = re.compile(rb".{64}\Z", re.DOTALL)
    JOURNAL = re.compile(rb"SQLite format 3\x00")


def require_own(path: Path, form: Form) -> None:
    """Refuse to replace a file that this program did not write; one that is empty holds nothing to lose.

    Args:
        path: an existing file.
        form: what it is to be replaced by.

    Raises:
        UsageError: with what to do.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise UsageError(f"{path}: cannot be replaced ({error.strerror}); name another file") from error
    if head and not form.value.match(head):
        raise UsageError(f"{path}: was not written by aigdetect, and is not replaced; name another file")


def refuse_inputs(outputs: Iterable[str | Path], inputs: Iterable[str | Path]) -> None:
    """Refuse to write to a file that is read, by whatever name or link.

    Args:
        outputs: files to write; they need not exist.
        inputs: files that are read; folders among them do not count.

    Raises:
        UsageError: naming the output.
    """
    read = [path for path in inputs if not Path(path).is_dir()]
    for output in outputs:
        if any(same_file(output, path) for path in read):
            raise UsageError(f"{output}: is one of the files to be read; name another file to write to")


def same_file(one: str | Path, other: str | Path) -> bool:
    """Whether two names lead to one file, or would once it is there."""
    try:
        if Path(one).samefile(other):
            return True
    except OSError:  # one is not there yet
        pass
    except ValueError:  # a name that no file can have
        return False
    return os.path.realpath(one) == os.path.realpath(other)
