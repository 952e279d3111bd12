"""The manifest of a case as a file: where it lies, and which files it names, read one at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from aigdetect.errors import UsageError
from aigdetect.images.read import open_without_waiting, why_failed

MANIFEST = "manifest.json"
"""Name of the manifest in a case folder."""

SIGNATURE = "manifest.json.sig"
"""Name of the manifest's signature, where it is signed."""

OF_SYSTEMS = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
"""Names of files that operating systems put into folders that are looked at: no part of any case."""

MANIFEST_VERSION = 1
"""Written into each manifest."""

Role = Literal["input", "output"]

_HEAD = 256  # bytes at the beginning in which the version stands
_VERSION = re.compile(rb'\{\s*"manifest_version": (\d{1,18})\b')
_LIST = re.compile(rb'"(inputs|outputs)": \[(\]?),?\n?')
_DIGEST = re.compile(r"[0-9a-f]{64}")
_ROLES: dict[bytes, Role] = {b"inputs": "input", b"outputs": "output"}


@dataclass(frozen=True)
class Entry:
    """A file that a manifest names.

    Attributes:
        role: whether it was scanned, or written by the scan.
        path: of an input as the scan was given it, of an output in the case folder, with ``/`` between.
        sha256: digest in hexadecimal; None for an input that could not be read.
    """

    role: Role
    path: str
    sha256: str | None


def open_manifest(case: Path) -> BinaryIO:
    """Open the manifest of a case, of a version that this program knows.

    Raises:
        UsageError: if there is none, it cannot be read, is none or is of a later version.
    """
    path = case / MANIFEST
    try:
        file = open(path, "rb", opener=open_without_waiting)  # noqa: SIM115 - the caller closes it
    except FileNotFoundError as error:
        more = (
            "scan --case --resume ends what was begun" if case.is_dir() else "name the folder of scan --case"
        )
        raise UsageError(f"{case}: is no case, for it has no {MANIFEST}; {more}") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read ({why_failed(error)})") from error
    try:
        _require_known_version(file, path)
    except BaseException:
        file.close()
        raise
    return file


def _require_known_version(file: BinaryIO, path: Path) -> None:
    try:
        begin = _VERSION.match(file.read(_HEAD))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({why_failed(error)})") from error
    if begin is None:
        raise UsageError(f"{path}: is no manifest of a case, or damaged at its beginning")
    if int(begin[1]) > MANIFEST_VERSION:
        raise UsageError(
            f"{path}: is of version {int(begin[1])}, and this program knows those up to {MANIFEST_VERSION}; "
            "use a later one"
        )


def read_entries(file: BinaryIO, path: Path) -> Iterator[Entry]:
    """The files that a manifest names, inputs first, one in memory at a time.

    Args:
        file: the open manifest, which is read from its beginning.
        path: what to call it.

    Raises:
        UsageError: if it is damaged: every line must be as a scan writes it.
    """
    file.seek(0)
    head: list[bytes] = []
    role: Role | None = None
    lists: list[bytes] = []
    number, ended = 0, False
    try:
        for line in file:
            number += 1
            if ended:
                raise ValueError("there is more behind its end")
            if role is not None:
                if line in (b"],\n", b"]\n"):
                    role = None
                else:
                    yield _entry(role, json.loads(line.rstrip(b",\n")))
            elif begin := _LIST.fullmatch(line):
                lists.append(begin[1])
                role = None if begin[2] else _ROLES[begin[1]]
            elif lists:
                ended = line == b"}\n"
                if not ended:
                    raise ValueError("neither a list nor the end")
            else:
                head.append(line)
        if not ended or lists != list(_ROLES):
            raise ValueError("it is cut off")
        json.loads(b"".join(head).rstrip(b",\n") + b"}")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({why_failed(error)})") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{path}: damaged in or before line {number}; take it from a copy of the case"
        ) from error


def _entry(role: Role, item: Any) -> Entry:
    if not isinstance(item, dict) or "sha256" not in item:
        raise ValueError("not a file with its digest")
    path, sha256 = item.get("path"), item["sha256"]
    known = isinstance(sha256, str) and _DIGEST.fullmatch(sha256)
    if not isinstance(path, str) or not (known or (sha256 is None and role == "input")):
        raise ValueError("not a file with its digest")
    return Entry(role, path, sha256)
