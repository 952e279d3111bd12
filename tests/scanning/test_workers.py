"""Worker processes: whatever a file does to its worker, all other rows are unharmed."""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aigdetect.evidence.provenance import Provenance
from aigdetect.images.find import Found, find_files
from aigdetect.images.views import Picture, Pixels
from aigdetect.scanning.decoding.workers import Processes
from aigdetect.scanning.pipeline import scan_with
from aigdetect.scanning.preparation import Preparation
from aigdetect.scanning.record import Record

CRASH, EXIT, KILLED, EATS, LOOPS, TORCH = 200, 201, 202, 203, 204, 205


def first_pixel(picture: Picture) -> Pixels:
    """The view of well-behaved files."""
    return np.asarray(picture)[:1, :1]


def hostile(picture: Picture) -> Pixels:
    """A decoder that files of certain reds bring down; it runs in a worker."""
    pixels = np.asarray(picture)
    red = int(pixels[0, 0, 0])
    if red == CRASH:
        os.kill(os.getpid(), signal.SIGSEGV)
    if red == EXIT:
        os._exit(7)
    if red == KILLED:
        os.kill(os.getpid(), signal.SIGKILL)
    if red == EATS:
        np.ones(4 << 30, np.uint8)
    if red == LOOPS:
        re.match(r"(a+)+$", "a" * 64 + "b")  # for ever, in C, holding Python's lock
    if red == TORCH:
        assert "torch" not in sys.modules
    return pixels[:1, :1]


@dataclass
class Red:
    """A detector that says the red of a view."""

    batch_size: int = 4
    precision: str = "float32"
    card: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(name="red"))

    def view(self, picture: Picture, /) -> Pixels:
        raise AssertionError("decoded in this process")

    def score_views(self, views: Sequence[Pixels], /) -> list[Any]:
        return [
            SimpleNamespace(
                logit=float(view[0, 0, 0]), score=0.5, log10_lr=0.0, verdict="uncertain", kind=None, notes=()
            )
            for view in views
        ]


def make(path: Path, red: int) -> Path:
    out = io.BytesIO()
    Image.new("RGB", (40, 40), (red, 0, 0)).save(out, "PNG")
    path.write_bytes(out.getvalue())
    return path


def scan(folder: Path, *, take_view: Callable[[Picture], Pixels] = hostile, **options: Any) -> list[Record]:
    workers = options.pop("workers", 2)
    return scan_all(find_files([folder]), Processes(Preparation(take_view), workers, **options))


def scan_all(found: Iterable[Found], engine: Processes, batch_size: int = 4) -> list[Record]:
    with closing(engine):
        return [result.record for result in scan_with(engine, found, Red(batch_size=batch_size))]


@pytest.mark.parametrize("workers", [1, 3])
def test_records_come_in_the_order_found(tmp_path: Path, workers: int) -> None:
    for red in range(30):
        make(tmp_path / f"{red:02}.png", red)
    records = scan(tmp_path, workers=workers)
    assert [record.logit for record in records] == list(range(30))


@pytest.mark.parametrize("timeout", [math.inf, 1e300])
def test_a_time_that_no_timer_knows_is_the_longest(
    tmp_path: Path, timeout: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken: list[object] = []
    monkeypatch.setattr(threading, "excepthook", broken.append)
    make(tmp_path / "a.png", 7)
    assert [record.logit for record in scan(tmp_path, timeout=timeout)] == [7]
    assert not broken


def test_workers_do_not_know_torch(tmp_path: Path) -> None:
    import torch  # noqa: F401 - this process does

    make(tmp_path / "a.png", TORCH)
    assert [record.error for record in scan(tmp_path)] == [None]


@pytest.mark.parametrize(
    ("red", "error"),
    [
        (CRASH, "the decoder crashed (SIGSEGV)"),
        (EXIT, "the decoder ended its process (status 7)"),
        (KILLED, "out of memory: the system ended the process that decoded it"),
        (EATS, "out of memory"),
        (LOOPS, "took longer than 5 s to decode"),
    ],
)
def test_a_file_that_brings_its_worker_down(tmp_path: Path, red: int, error: str) -> None:
    for place in range(12):
        make(tmp_path / f"{place:02}.png", red if place == 5 else place)
    records = scan(tmp_path, timeout=5.0 if red == LOOPS else 60.0)
    assert [record.error for record in records] == [error if place == 5 else None for place in range(12)]
    assert [record.logit for record in records if record.error is None] == [*range(5), *range(6, 12)]
    # what the file is can be told all the same
    assert records[5].sha256 == hashlib.sha256((tmp_path / "05.png").read_bytes()).hexdigest()
    assert records[5].provenance is not None


def hostile_metadata(data: bytes) -> Provenance:
    """A reader that files bring down which say so at their end; it runs in a worker."""
    if data.endswith(b"crash"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if data.endswith(b"loop"):
        re.match(r"(a+)+$", "a" * 64 + "b")
    if data.endswith(b"raise"):
        raise MemoryError
    return Provenance()


@pytest.mark.parametrize(
    ("end", "note"),
    [
        ("crash", "metadata not read: the decoder crashed (SIGSEGV)"),
        ("loop", "metadata not read: took longer than 2 s"),
        ("raise", "metadata not read: out of memory"),
    ],
)
def test_metadata_cost_neither_digest_nor_score(tmp_path: Path, end: str, note: str) -> None:
    for place in range(4):
        make(tmp_path / f"{place}.png", place)
    data = (tmp_path / "1.png").read_bytes() + end.encode()
    (tmp_path / "1.png").write_bytes(data)
    both = make(tmp_path / "2.png", CRASH)  # the pixels bring the worker down, too
    both.write_bytes(both.read_bytes() + end.encode())
    prepare = Preparation(hostile, metadata=hostile_metadata)
    records = scan_all(find_files([tmp_path]), Processes(prepare, 2, timeout=2 if end == "loop" else 60))
    assert [record.logit for record in records] == [0, 1, None, 3]
    assert [record.notes[-1:] == (note,) for record in records] == [False, True, True, False]
    assert records[1].cause == ("time" if end == "loop" else "file")
    assert records[2].error in ("the decoder crashed (SIGSEGV)", "took longer than 2 s to decode")
    for place, record in enumerate(records):
        assert record.sha256 == hashlib.sha256((tmp_path / f"{place}.png").read_bytes()).hexdigest()


def test_many_that_crash(tmp_path: Path) -> None:
    for place in range(9):
        make(tmp_path / f"{place}.png", CRASH if place % 2 else place)
    assert [bool(record.error) for record in scan(tmp_path)] == [bool(place % 2) for place in range(9)]


def test_what_cannot_be_looked_at_and_what_is_broken(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    found = [Found("x", "error", "permission denied"), Found(str(tmp_path / "broken.png"), "image")]
    records = scan_all([*found, Found("y", "image")], Processes(Preparation(first_pixel), 1))
    assert [record.error for record in records] == [
        "permission denied",
        "file is truncated",
        "no such file or directory",
    ]


# --- what becomes of the processes -------------------------------------------------------------------------


def descendants(pid: int) -> set[int]:
    """All living processes below one, by the kernel's account."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                parents[int(folder.name)] = int(parent)
    found: set[int] = set()
    while more := {child for child, parent in parents.items() if parent in {pid, *found}} - found:
        found |= more
    return found


def workers_of(pid: int) -> set[int]:
    """Worker processes: the children of the children."""
    return descendants(pid) - {child for child in descendants(pid) if child in direct_children(pid)}


def direct_children(pid: int) -> set[int]:
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")


@needs_proc
def test_workers_that_are_killed_are_replaced(tmp_path: Path) -> None:
    paths = [make(tmp_path / f"{red}.png", red) for red in range(4)]

    def slowly() -> Iterator[Found]:
        for path in paths * 4:
            yield Found(str(path), "image")
            time.sleep(0.05)
            for worker in workers_of(os.getpid()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)

    records = scan_all(slowly(), Processes(Preparation(first_pixel), 2), batch_size=1)
    assert len(records) == 16
    # one may have been killed while at work: then the row says so
    assert {record.error for record in records} <= {
        None,
        "the decoding process ended",
        "out of memory: the system ended the process that decoded it",
    }


@needs_proc
def test_no_worker_is_left_when_a_scan_is_closed(tmp_path: Path) -> None:
    for red in range(20):
        make(tmp_path / f"{red:02}.png", LOOPS if red > 9 else red)
    records = scan_with(Processes(Preparation(hostile), 2), find_files([tmp_path]), Red())
    next(records)
    assert workers_of(os.getpid())
    time.sleep(0.5)  # now they are in the loop
    begin = time.monotonic()
    records.close()
    assert time.monotonic() - begin < 10  # two seconds on a machine that does nothing else
    assert not workers_of(os.getpid())


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_their_parent(tmp_path: Path, number: signal.Signals) -> None:
    for place in range(4):
        make(tmp_path / f"{place}.png", LOOPS)
    code = (
        "import sys\nfrom pathlib import Path\nsys.path[:0] = sys.argv[1:3]\n"
        "from test_workers import scan\nscan(Path(sys.argv[3]))"
    )
    folders = [str(Path(__file__).parents[2]), str(Path(__file__).parent), str(tmp_path)]
    process = subprocess.Popen([sys.executable, "-c", code, *folders])
    wait_for(lambda: len(workers_of(process.pid)) == 2)
    time.sleep(1)  # now they are in the loop, deaf to all but the kernel
    below = descendants(process.pid)
    process.send_signal(number)
    process.wait()
    wait_for(lambda: not [pid for pid in below if Path(f"/proc/{pid}").exists()], 60)
