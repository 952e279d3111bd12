"""How far the averages of folders have come: kept on disk, taken up again, refused for other files."""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from aigdetect.errors import UsageError
from aigdetect.files import write_atomically
from aigdetect.images.find import Found
from aigdetect.images.read import why_failed
from aigdetect.spectrum.fourier import Average
from aigdetect.spectrum.sets import Failure, SetSpectrum

_SAVING = 0.05  # share of the time that may go into saving the state


@dataclass(frozen=True)
class Progress:
    """Everything that an interrupted run needs to go on.

    Attributes:
        settings: plain data that must be the same when it goes on.
        position: files dealt with.
        digest: hexadecimal, over path, size and time of change of these files in their order.
        failures: those among them that could not be taken in.
        sets: by folder.
    """

    settings: dict[str, Any]
    position: int = 0
    digest: str = ""
    failures: tuple[Failure, ...] = ()
    sets: dict[str, SetSpectrum] = field(default_factory=dict)

    def plus(self, folder: str, found: Found, outcome: tuple[Average, ...] | str) -> Progress:
        """The progress with one more file."""
        one = self.sets.get(folder) or SetSpectrum(folder)
        failures = self.failures
        if isinstance(outcome, str):
            one = replace(one, failed=one.failed + 1)
            failures = (*failures, Failure(found.path, outcome))
        else:
            one = one.with_image(outcome)
        return replace(
            self,
            position=self.position + 1,
            digest=_chained(self.digest, found.path),
            failures=failures,
            sets={**self.sets, folder: one},
        )

    def skip(self, members: Iterator[tuple[str, Found]], state: Path | None) -> None:
        """Pass over the files that are done, after making sure that they are still the same.

        Raises:
            UsageError: they are not.
        """
        digest = ""
        for _ in range(self.position):
            _, found = next(members, (None, None))
            digest = _chained(digest, found.path if found else "")
        if digest != self.digest:
            raise UsageError(
                f"{state}: the files have changed since the interruption; start anew with --force"
            )


@dataclass
class Keeper:
    """Saves the progress as often as may be without costing much."""

    state: Path | None
    saved: float = field(default_factory=time.monotonic)
    cost: float = 0.0

    def perhaps_save(self, progress: Progress) -> None:
        """Save if the last time is long enough ago."""
        if time.monotonic() - self.saved > self.cost / _SAVING:
            self.save(progress)

    def save(self, progress: Progress) -> None:
        """Write the state, if there is a file for it."""
        if self.state is None:
            return
        start = time.monotonic()
        write_atomically(self.state, _dump(progress))
        self.saved = time.monotonic()
        self.cost = self.saved - start


def _chained(digest: str, path: str) -> str:
    try:
        info = os.stat(path)  # noqa: PTH116
        facts = f"{info.st_size} {info.st_mtime_ns}"
    except (OSError, ValueError):
        facts = "gone"
    return hashlib.sha256(f"{digest} {facts} ".encode() + os.fsencode(path)).hexdigest()


def _dump(progress: Progress) -> bytes:
    head = {
        "settings": progress.settings,
        "position": progress.position,
        "digest": progress.digest,
        "failures": [asdict(failure) for failure in progress.failures],
        "sets": [
            {"folder": one.folder, "failed": one.failed, "reached": one.reached, "sizes": list(one.averages)}
            for one in progress.sets.values()
        ],
    }
    # plain ASCII, so that names that are no valid text survive
    arrays: dict[str, NDArray[Any]] = {"head": np.frombuffer(json.dumps(head).encode("ascii"), np.uint8)}
    for index, one in enumerate(progress.sets.values()):
        for size, average in one.averages.items():
            arrays |= {f"{index}/{size}/{name}": array for name, array in average.arrays().items()}
    data = io.BytesIO()
    np.savez(data, allow_pickle=False, **arrays)
    return data.getvalue()


def load(state: Path, settings: dict[str, Any]) -> Progress:
    """The progress that an interrupted run has left.

    Args:
        state: its file.
        settings: plain data, which must be that of the interrupted run.

    Raises:
        UsageError: the file is no such state, or that of other settings.
    """
    try:
        with np.load(state, allow_pickle=False) as stored:
            head = json.loads(stored["head"].tobytes())
            sets = {
                one["folder"]: SetSpectrum(
                    folder=one["folder"],
                    failed=int(one["failed"]),
                    averages={size: _average(stored, index, size) for size in one["sizes"]},
                    reached={int(size): int(count) for size, count in one["reached"].items()},
                )
                for index, one in enumerate(head["sets"])
            }
            progress = Progress(
                settings=head["settings"],
                position=int(head["position"]),
                digest=str(head["digest"]),
                failures=tuple(Failure(**failure) for failure in head["failures"]),
                sets=sets,
            )
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        EOFError,
        AttributeError,
        BadZipFile,
        UsageError,
    ) as error:
        raise UsageError(
            f"{state}: is not the state of an interrupted run ({why_failed(error)}); start anew with --force"
        ) from error
    if changed := [name for name, value in settings.items() if progress.settings.get(name) != value]:
        raise UsageError(
            f"{state}: belongs to a run with another {' and '.join(changed).replace('_', ' ')}; repeat its "
            "options to go on with it, or start anew with --force"
        )
    return progress


def _average(stored: Any, index: int, size: int) -> Average:
    names = ("size", "mode", "window", "count", "total")
    return Average.from_arrays({name: stored[f"{index}/{size}/{name}"] for name in names})
