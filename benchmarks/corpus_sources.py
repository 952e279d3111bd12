"""Where the bytes of the corpus come from: git directories on this machine, or the repository's host."""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from types import TracebackType

from corpus_rows import Row

from aigdetect.errors import DataError

HOST = "https://raw.githubusercontent.com"

_CHUNK = 1 << 18
_WAIT = 10.0  # seconds without a byte
_WHOLE = 300.0  # seconds for one image
_PAUSES = (0.5, 2.0, 8.0)  # seconds before each further attempt
_LONGEST_PAUSE = 60.0  # seconds that a host may ask for
_TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})


class Absent(DataError):  # noqa: N818 - what is absent is said, and the rest goes on
    """An image's bytes cannot be had, or are others than the list says; ``str(error)`` is why."""


class Stopped(Exception):  # noqa: N818 - no error: the user asked for it
    """The run is to end."""


def require_content(data: bytes, row: Row) -> None:
    """Refuse bytes that are not those of the list.

    Raises:
        Absent: saying what is different.
    """
    if len(data) != row.size:
        raise Absent("other content: not the size that the list says")
    if sha256(data).hexdigest() != row.sha256:
        raise Absent("other content: not the digest that the list says")


# -- git directories ----------------------------------------------------------------------------------------


def find_git(mirrors: Sequence[Path], repository: str) -> list[Path]:
    """Git directories of a repository below the mirrors, as ``owner+name``, with or without a work tree."""
    name = repository.replace("/", "+")
    places = (f"{name}/repo", f"{name}/repo/.git", name, f"{name}.git", f"{name}/.git")
    every = (mirror / place for mirror in mirrors for place in places)
    return [each for each in every if (each / "HEAD").is_file() and (each / "objects").is_dir()]


class GitObjects:
    """The objects of one git directory, read through one process that lives as long as the block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> GitObjects:
        """Start the process.

        Raises:
            DataError: there is no git.
        """
        try:
            self._process = subprocess.Popen(
                ["git", f"--git-dir={self._folder}", "cat-file", "--batch"],
                env={**os.environ, "GIT_NO_LAZY_FETCH": "1"},  # what a partial clone lacks is not fetched
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # an interrupt ends it by its closed input only
            )
        except OSError as error:
            raise DataError(f"cannot run git ({error.strerror}): install it") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def read(self, row: Row) -> bytes:
        """The bytes of an image, by its blob, else by its commit and path.

        Raises:
            Absent: they are not here, or are others than the list says.
        """
        try:
            return self._read(row.blob, row)
        except Absent as error:
            with contextlib.suppress(Absent):
                return self._read(f"{row.commit}:{row.path}", row)
            raise error from None

    def _read(self, name: str, row: Row) -> bytes:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(name.encode() + b"\n")
            self._process.stdin.flush()
            head = self._process.stdout.readline().rstrip(b"\n")
        except OSError:
            head = b""
        if not head:
            raise Absent("git cannot read the mirror")
        kind, _, size = head.removeprefix(head.split(b" ", 1)[0] + b" ").partition(b" ")
        if not size.isdigit():  # "... missing", "... ambiguous"; the name may hold blanks
            raise Absent("not in the mirror")
        right = kind == b"blob" and int(size) == row.size
        data = self._take(int(size), keep=right)
        if not right:
            raise Absent("other content: not the size that the list says")
        require_content(data, row)
        return data

    def _take(self, size: int, *, keep: bool) -> bytes:
        assert self._process.stdout is not None
        parts = []
        left = size + 1  # a newline ends it
        while left:
            part = self._process.stdout.read(min(left, _CHUNK))
            if not part:
                raise Absent("git cannot read the mirror")
            left -= len(part)
            if keep:
                parts.append(part)
        return b"".join(parts)[:size]


# -- the host -----------------------------------------------------------------------------------------------


class Host:
    """Where repositories can be asked for single files.

    Args:
        address: scheme and name.
        stop: once set, every download ends.
    """

    def __init__(self, address: str, stop: threading.Event) -> None:
        self._address = address
        self._stop = stop
        self._answered = False
        self._lost = ""

    def download(self, row: Row) -> bytes:
        """The bytes of an image; what may pass by itself is tried again, after a pause.

        A host that has never answered is tried twice, and then no more for any image.

        Args:
            row: its size bounds what is read.

        Raises:
            Absent: it is not there, or is other than the list says.
            Stopped: the stop was set.
        """
        until = time.monotonic() + _WHOLE
        for pause in (*_PAUSES, None):
            if self._lost:
                raise Absent(self._lost)
            try:
                data = self._attempt(row, until)
            except urllib.error.HTTPError as error:
                self._answered = True
                error.close()
                reason = f"the host says {error.code} {error.reason}"
                if error.code not in _TEMPORARY:
                    raise Absent(reason) from error
                asked_for = error.headers.get("Retry-After", "")
                if pause is not None and asked_for.isdigit():
                    pause = max(pause, min(float(asked_for), _LONGEST_PAUSE))
            except (OSError, http.client.HTTPException) as error:
                what = getattr(error, "reason", error)
                reason = f"the host cannot be reached ({getattr(what, 'strerror', None) or what})"
                if not self._answered and pause != _PAUSES[0]:
                    self._lost = reason
            else:
                require_content(data, row)
                return data
            if pause is None or time.monotonic() + pause > until:
                break
            if self._stop.wait(pause):
                raise Stopped
        raise Absent(reason)

    def _attempt(self, row: Row, until: float) -> bytes:
        """Up to one byte more than the image has."""
        url = f"{self._address}/{row.repository}/{row.commit}/{urllib.parse.quote(row.path)}"
        parts = []
        left = row.size + 1
        with urllib.request.urlopen(url, timeout=_WAIT) as answer:
            self._answered = True
            while left:
                if self._stop.is_set():
                    raise Stopped
                if time.monotonic() > until:
                    raise TimeoutError("it took too long")
                part = answer.read1(min(left, _CHUNK))
                if not part:
                    break
                left -= len(part)
                parts.append(part)
            announced = answer.headers.get("Content-Length", "")
        data = b"".join(parts)
        if left and announced.isdigit() and len(data) < int(announced):
            raise http.client.IncompleteRead(data, int(announced) - len(data))
        return data
