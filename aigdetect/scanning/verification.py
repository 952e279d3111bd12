"""A case against its manifest: which files have changed since, are missing or were added."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Literal

from aigdetect.errors import UsageError
from aigdetect.files import sha256_of
from aigdetect.images.read import open_without_waiting, why_failed
from aigdetect.scanning.manifest import MANIFEST, OF_SYSTEMS, SIGNATURE, Entry, Role, read_entries

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

Signature = Literal["valid", "invalid", "missing", "unchecked", "none"]
"""Of a signature and a key: ``"missing"`` where there is only a key, ``"unchecked"`` where there is none."""

State = Literal["same", "unknown", "changed", "missing", "unreadable", "added"]

DIFFERING: tuple[State, ...] = ("changed", "missing", "unreadable", "added")
"""States that speak against a case."""

STATES: tuple[State, ...] = ("same", "unknown", *DIFFERING)
"""All states."""

_THREADS = 4  # disks and hashing keep no more busy
_AHEAD = 64  # files in the works: bounds the memory of a long case


@dataclass(frozen=True)
class Checked:
    """What has become of one file.

    Attributes:
        role: whether it was scanned, or lies in the case folder.
        path: as in the manifest; of one that was added, in the case folder.
        state: ``"same"``; ``"unknown"`` for an input that the scan could not read: the manifest has no digest
            of it; ``"changed"``, ``"missing"``, ``"unreadable"``; ``"added"`` for what lies in the case
            folder although the manifest does not name it.
        reason: what is known beyond the state, in one line; mostly empty.
    """

    role: Role
    path: str
    state: State
    reason: str = ""

    @property
    def differs(self) -> bool:
        """Whether this speaks against the case."""
        return self.state in DIFFERING


def check_case(case: Path, manifest: BinaryIO, *, root: Path) -> Iterator[Checked]:
    """Compare every file of a case with its manifest, in the manifest's order, then what was added.

    Inputs are found by the paths in the manifest, links and all, as the scan found them. A manifest names the
    images that were scanned and not all that lay beside them: what is new there cannot be told, and is not
    looked for. Outputs are files of the case folder itself and never links; what operating systems put into
    any folder (:data:`aigdetect.scanning.manifest.OF_SYSTEMS`) was not added.

    Args:
        case: the case folder.
        manifest: its open manifest.
        root: where relative paths of inputs begin.

    Raises:
        UsageError: if the manifest is damaged or the folder cannot be walked.
    """
    present = _present(case)
    check = partial(_check, case=case, root=root, present=present)
    named = {MANIFEST, SIGNATURE}
    for checked in _in_order(check, read_entries(manifest, case / MANIFEST)):
        if checked.role == "output":
            named.add(checked.path)
        yield checked
    for path in sorted(present.keys() - named):
        if PurePosixPath(path).name not in OF_SYSTEMS:
            yield Checked("output", path, "added")


def check_signature(case: Path, manifest: BinaryIO, key: Ed25519PublicKey | None) -> Signature:
    """Whether a manifest is signed by the owner of a key.

    Args:
        case: the case folder.
        manifest: its open manifest, all of which is read into memory.
        key: of the one who should have signed; None if that is not known.

    Raises:
        UsageError: if manifest or signature cannot be read.
    """
    path = case / SIGNATURE
    try:
        if not path.is_file():
            return "none" if key is None else "missing"
        if key is None:
            return "unchecked"
        from aigdetect.scanning.signature import SIGNATURE_BYTES, is_signed

        manifest.seek(0)
        with path.open("rb") as file:
            signature = file.read(SIGNATURE_BYTES + 1)  # a longer file is none, whatever its size
        return "valid" if is_signed(manifest.read(), signature, key) else "invalid"
    except OSError as error:
        raise UsageError(f"{error.filename or path}: cannot be read ({why_failed(error)})") from error


def _present(case: Path) -> dict[str, bool]:
    """All that lies in a case folder but folders, and whether it is a regular file."""

    def fail(error: OSError) -> None:
        raise error

    found = {}
    try:
        for folder, folders, files in os.walk(case, onerror=fail):
            for path in (Path(folder, name) for name in (*folders, *files)):
                mode = path.lstat().st_mode
                if not stat.S_ISDIR(mode):
                    found[path.relative_to(case).as_posix()] = stat.S_ISREG(mode)
    except OSError as error:
        raise UsageError(f"{error.filename or case}: cannot be read ({why_failed(error)})") from error
    return found


def _in_order(check: Callable[[Entry], Checked], entries: Iterable[Entry]) -> Iterator[Checked]:
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="digest")
    pending: deque[Future[Checked]] = deque()
    try:
        for entry in entries:
            pending.append(pool.submit(check, entry))
            if len(pending) >= _AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _check(entry: Entry, *, case: Path, root: Path, present: dict[str, bool]) -> Checked:
    if entry.sha256 is None:
        return Checked(entry.role, entry.path, "unknown", "could not be read when it was scanned")
    if entry.role == "output":
        if entry.path not in present:
            return Checked(entry.role, entry.path, "missing")
        if not present[entry.path]:
            return Checked(entry.role, entry.path, "changed", "is no file of its own")
    # strings: the name of an input must come to the system byte for byte
    path = os.path.join(case if entry.role == "output" else root, entry.path)  # noqa: PTH118
    try:
        with open(path, "rb", opener=open_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return Checked(entry.role, entry.path, "changed", "is no regular file")
            same = sha256_of(file) == entry.sha256
    except (FileNotFoundError, NotADirectoryError):
        return Checked(entry.role, entry.path, "missing")
    except (OSError, ValueError) as error:
        return Checked(entry.role, entry.path, "unreadable", why_failed(error))
    return Checked(entry.role, entry.path, "same" if same else "changed")
