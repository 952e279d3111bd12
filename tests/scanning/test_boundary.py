"""The boundary between the program and its workers: what they may do, and what is made of what they say."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_workers import make, scan

from aigdetect.evidence.c2pa import Credentials
from aigdetect.evidence.exif import ExifFacts
from aigdetect.evidence.findings import Finding, Kind, Says, Strength
from aigdetect.evidence.generators.generation import Generation
from aigdetect.evidence.iptc import IptcFacts
from aigdetect.evidence.jpeg_structure import JpegStructure
from aigdetect.evidence.manifests import Action, Manifest, Role
from aigdetect.evidence.provenance import Provenance
from aigdetect.evidence.watermarks import Watermark
from aigdetect.evidence.xmp import XmpFacts
from aigdetect.images.find import Found
from aigdetect.images.views import Picture, Pixels
from aigdetect.scanning.decoding.form import FormError, read_form
from aigdetect.scanning.decoding.messages import (
    answer_pixels,
    answer_prepared,
    receive_pixels,
    receive_prepared,
)
from aigdetect.scanning.decoding.pool import Call, Pool, WorkerDiedError, WorkerLateError
from aigdetect.scanning.pictures import Pictures
from aigdetect.scanning.preparation import Preparation, Prepared
from aigdetect.scanning.record import Record

REPOSITORY = Path(__file__).resolve().parents[2]


# --- what a worker may do ----------------------------------------------------------------------------------


def _held() -> str:
    """What this system lets a process give up."""
    code = "from aigdetect.scanning.decoding.sandbox import enclose\nprint(enclose())"
    return subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True).stdout


needs_sandbox = pytest.mark.skipif(
    "no files" not in (held := _held()) or "no network" not in held, reason="needs Landlock and seccomp"
)

TALKS, READS, LISTS, WRITES, RUNS, LINKS, REOPENS, SIGNALS = range(200, 208)


def reaches_out(picture: Picture) -> Pixels:
    """A decoder that does by red what code in it might do; it runs in a worker."""
    pixels = np.asarray(picture)
    here = Path(__file__)
    acts: dict[int, Callable[[], object]] = {
        TALKS: lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        READS: here.read_bytes,
        LISTS: lambda: list(here.parent.iterdir()),
        WRITES: lambda: Path("written-by-a-worker").write_bytes(b""),
        RUNS: lambda: os.execv(sys.executable, [sys.executable]),
        LINKS: lambda: Path("made-by-a-worker").symlink_to(here),
        REOPENS: lambda: os.open("/proc/self/root/etc/passwd", os.O_RDONLY),
        SIGNALS: lambda: os.kill(os.getppid(), 0),
    }
    acts.get(int(pixels[0, 0, 0]), int)()
    print("a row, or so it seems", flush=True)
    os.write(1, b"likewise")
    return pixels[:1, :1]


@needs_sandbox
def test_a_worker_that_reaches_out_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "aigdetect")
    for place, red in enumerate((1, TALKS, READS, LISTS, WRITES, RUNS, LINKS, REOPENS, 2)):
        make(tmp_path / f"{place}.png", red)
    records = scan(tmp_path, take_view=reaches_out)
    assert [record.error for record in records] == [None, *["permission denied"] * 7, None]
    assert [record.logit for record in records if record.error is None] == [1, 2]
    assert all(record.sha256 for record in records)
    assert capfd.readouterr() == ("", "")  # standard output is not theirs
    assert "bounded memory; no files but libraries; no network, no other programs" in caplog.text


@needs_sandbox
def test_a_worker_cannot_end_the_program(tmp_path: Path) -> None:
    make(tmp_path / "0.png", SIGNALS)
    (record,) = scan(tmp_path, take_view=reaches_out)
    assert record.error in ("operation not permitted", None)  # Linux from 6.12 on; it is no error before


def imports_late(picture: Picture) -> Pixels:
    """A decoder that needs a module that it has not loaded yet, a temporary file and threads."""
    import wave  # noqa: F401

    import c2pa  # noqa: F401

    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    return np.asarray(picture)[:1, :1]


def test_libraries_can_be_loaded_late(tmp_path: Path) -> None:
    make(tmp_path / "0.png", 3)
    assert [record.error for record in scan(tmp_path, take_view=imports_late)] == [None]


def test_signers_to_be_trusted_can_be_read(tmp_path: Path) -> None:
    """The list of signers is a file of the user's, wherever it lies."""
    anchors = tmp_path / "anchors.pem"
    anchors.write_text("readable")
    code = (
        "from pathlib import Path\nimport sys\nfrom aigdetect.scanning.decoding.sandbox import enclose\n"
        "enclose()\nprint(Path(sys.argv[1]).read_text())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(anchors)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        env={**os.environ, "AIGDETECT_C2PA_ANCHORS": str(anchors)},
    )
    assert done.stdout == "readable\n", done.stderr


# --- what is made of what a worker says --------------------------------------------------------------------


class Runs:
    """Unpickled, it makes a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(self.path),)


PICKLES, LIES_ABOUT_SIZE, DRIPS = 210, 211, 212
# of its own for each of the processes that share the tests
TRAP = Path(f"/tmp/made-by-unpickling-{os.environ.get('PYTEST_XDIST_WORKER', '')}")


def speaks(picture: Picture) -> Pixels:
    """A decoder that writes to the program itself, in place of the worker it runs in."""
    pixels = np.asarray(picture)
    red = int(pixels[0, 0, 0])
    for descriptor in range(3, 64) if red >= PICKLES else ():
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                if red == PICKLES:
                    message = pickle.dumps(Runs(str(TRAP)))
                    os.write(descriptor, struct.pack("!i", len(message)) + message)
                if red == LIES_ABOUT_SIZE:
                    os.write(descriptor, struct.pack("!iQ", -1, 1 << 40))
                if red == DRIPS:
                    os.write(descriptor, struct.pack("!i", 1000) + b"{")
                time.sleep(60)
    return pixels[:1, :1]


@pytest.mark.skipif(os.name != "posix", reason="speaks through a socket")
@pytest.mark.parametrize(
    ("red", "error"),
    [
        (PICKLES, "the decoder gave no proper answer"),
        (LIES_ABOUT_SIZE, "the decoder gave no proper answer"),
        (DRIPS, "took longer than 3 s to decode"),
    ],
)
def test_what_a_worker_writes_is_never_unpickled_nor_believed(tmp_path: Path, red: int, error: str) -> None:
    TRAP.unlink(missing_ok=True)
    for place in range(4):
        make(tmp_path / f"{place}.png", red if place == 1 else place)
    records = scan(tmp_path, take_view=speaks, timeout=3 if red == DRIPS else 60)
    assert [record.error for record in records] == [None, error, None, None]
    assert records[1].sha256
    assert not TRAP.exists()


def full() -> Provenance:
    """Metadata of every kind, with texts that are hard to pass on."""
    hard = "a\0\x1b[31m\udc80\ud800\u202eé\n"
    return Provenance(
        ExifFacts(make=hard),
        XmpFacts(credit=hard, history=(hard, "b")),
        IptcFacts(byline=hard),
        Credentials(
            "Valid",
            Strength.UNTRUSTED,
            (hard,),
            (Manifest(hard, Role.FILE, actions=(Action("c2pa.created", when=hard),)),),
        ),
        (Generation("x", "PNG text", prompt=hard),),
        (Finding(Kind.LABEL, "XMP", hard, Says.EDITED),),
        (hard,),
        True,
        JpegStructure(process=hard, width=3, segments=("SOI", hard)),
        (hard,),
        (Watermark("SDXL", 48, 48, 4.5e-10),),
    )


def said(prepared: Prepared, also: int = 0) -> Prepared:
    """What arrives of what a worker says."""

    def prepare(item: Found, file: int | None) -> Prepared:
        return prepared

    here, there = Pipe()
    worker = threading.Thread(target=answer_prepared, args=(there, prepare, None))
    worker.start()
    arrived = receive_prepared(here, prepared.record.path, also=also)
    worker.join()
    return arrived


@pytest.mark.parametrize("views", [0, 3])
def test_all_that_is_known_of_a_file_arrives(views: int) -> None:
    record = Record(
        "p\udcff",
        sha256="0" * 64,
        format="PNG",
        width=3,
        height=2,
        notes=("é\ud800",),
        provenance=full(),
        error="why",
        cause="memory",
        doubtful=True,
    )
    arrays = tuple(np.full((2, 50, 50, 3), each, np.uint8) for each in range(views))
    sent = Prepared(
        record, arrays[0] if views else None, arrays[1:], Pictures(b"t", None, before=b"b"), "trace"
    )
    got = said(sent)
    assert got.record == record
    assert (got.pictures, got.trace) == (sent.pictures, "trace")
    assert [each.tolist() for each in (*([got.view] if views else []), *got.variants)] == [
        each.tolist() for each in arrays
    ]
    assert views == 0 or got.view is not None


def test_what_further_models_see_arrives() -> None:
    view = np.arange(75, dtype=np.uint8).reshape(1, 5, 5, 3)
    sent = Prepared(Record("p"), view, (view[:, :2],), also=(view[:, 1:], None, view[:, :3]))
    got = said(sent, also=3)
    assert np.array_equal(got.variants[0], view[:, :2])
    assert [each if each is None else each.tolist() for each in got.also] == [
        each if each is None else each.tolist() for each in sent.also
    ]
    # what could not be decoded says nothing of any of them
    assert said(Prepared(Record("p").failed("broken")), also=3).also == ()


@pytest.mark.parametrize("shapes", [[[1]], [[1]] * 3, [[1 << 27], [1 << 27]], [[-1], [1]]])
def test_more_views_or_larger_ones_than_there_are_models_for_are_refused(shapes: list[list[int]]) -> None:
    here, there = Pipe()
    there.send_bytes(json.dumps({**STATEMENT, "also": shapes}).encode())
    for _ in shapes:
        there.send_bytes(b"1")
    with pytest.raises(FormError):
        receive_prepared(here, "x", also=2)


def test_a_worker_can_neither_score_nor_name_another_file() -> None:
    scored = replace(Record("mine"), status="scored", verdict="real", score=0.0, logit=-9.0, model="m")
    here, there = Pipe()
    answer_prepared(there, lambda item, file: Prepared(scored), Found("mine", "image"))  # type: ignore[arg-type]
    got = receive_prepared(here, "the one asked for").record
    assert (got.path, got.status, got.verdict, got.score, got.logit) == (
        "the one asked for",
        "error",
        None,
        None,
        None,
    )


FACTS = {
    "sha256": None,
    "format": None,
    "width": None,
    "height": None,
    "notes": [],
    "provenance": None,
    "error": "e",
    "cause": "file",
    "doubtful": False,
    "time": None,
}
STATEMENT: dict[str, Any] = {
    "facts": FACTS,
    "view": None,
    "variants": [],
    "pictures": None,
    "trace": "",
    "frames": 0,
    "also": [],
}


@pytest.mark.parametrize(
    "messages",
    [
        [b""],
        [b"\x80\x04."],
        [b"[" * 100_000],
        [b"9" * 10_000],
        [json.dumps([STATEMENT]).encode()],
        [json.dumps({**STATEMENT, "facts": {**FACTS, "sha256": "../../x"}}).encode()],
        [json.dumps({**STATEMENT, "facts": {**FACTS, "width": "3"}}).encode()],
        [json.dumps({**STATEMENT, "facts": {**FACTS, "width": 1 << 60}}).encode()],
        [json.dumps({**STATEMENT, "facts": {**FACTS, "cause": "whim"}}).encode()],
        [json.dumps({**STATEMENT, "facts": {**FACTS, "score": 0.0}}).encode()],
        [json.dumps({**STATEMENT, "facts": {**FACTS, "time": 1.0}}).encode()],
        [json.dumps({**STATEMENT, "frames": 1}).encode()],
        [json.dumps({**STATEMENT, "view": [1 << 40]}).encode()],
        [json.dumps({**STATEMENT, "view": [-1, -4]}).encode()],
        [json.dumps({**STATEMENT, "view": [2, 2]}).encode(), b"123"],
        [json.dumps({**STATEMENT, "pictures": [1]}).encode(), b"1"],
        [json.dumps({**STATEMENT, "pictures": [1, -1]}).encode(), b"1"],
    ],
)
def test_what_is_not_of_the_form_is_refused(messages: list[bytes]) -> None:
    here, there = Pipe()
    for message in messages:
        there.send_bytes(message)
    with pytest.raises(FormError):
        receive_prepared(here, "x")


def test_pixels_arrive_and_no_more_than_there_may_be(tmp_path: Path) -> None:
    path = make(tmp_path / "0.png", 7)
    prepare = Preparation(np.asarray)
    digest = prepare(Found(str(path), "image")).record.sha256 or ""
    for most, expected in ((1600, (40, 40, 3)), (1599, None)):
        here, there = Pipe()
        answer_pixels(there, prepare, str(path), digest)
        with pytest.raises(FormError) if expected is None else contextlib.nullcontext():
            pixels = receive_pixels(here, most)
            assert pixels is not None
            assert (pixels.shape, pixels[0, 0].tolist()) == (expected, [7, 0, 0])


def test_metadata_of_a_wrong_type_are_refused() -> None:
    plain = json.loads(json.dumps(asdict(full())))
    assert read_form(Provenance, plain) == full()
    wrong: list[tuple[str, Any]] = [
        ("exif", {"make": 1}),
        ("generation", {}),
        ("findings", [{**plain["findings"][0], "kind": "x"}]),
        ("in_part", 1),
        ("contradictions", [None]),
    ]
    for name, value in wrong:
        with pytest.raises(FormError):
            read_form(Provenance, {**plain, name: value})


# --- how workers start and end -----------------------------------------------------------------------------


def echo(connection: Connection, text: bytes, *, file: int | None) -> None:
    connection.send_bytes(text)


def stops(connection: Connection, *, file: int | None) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def waits(connection: Connection, *, file: int | None) -> None:
    time.sleep(60)


def test_a_call_that_fails_fails_alone() -> None:
    pool = Pool(2, 1 << 30, known=echo)
    with contextlib.closing(pool):
        ask = partial(Call, receive=lambda connection: connection.recv_bytes(9), seconds=30)
        calls = [ask(echo, (b"1",)), ask(stops, ()), replace(ask(waits, ()), seconds=0.5), ask(echo, (b"2",))]
        asked = [pool.submit(call) for call in calls]
        assert asked[0].result() == b"1"
        with pytest.raises(WorkerDiedError, match="-9"):
            asked[1].result()
        with pytest.raises(WorkerLateError):
            asked[2].result()
        assert asked[3].result() == b"2"
        with pytest.raises(FileNotFoundError):
            pool.submit(replace(ask(echo, (b"",)), path="/no/such/file")).result()


def test_a_scan_that_ends_before_its_workers_are_up_says_nothing(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import time\n"
        "if __name__ == '__mp_main__':\n"
        "    time.sleep(0.5)  # a worker on a machine that is busy\n"
        "import numpy as np\n"
        "from aigdetect.images.find import Found\n"
        "from aigdetect.scanning.decoding.workers import Processes\n"
        "from aigdetect.scanning.preparation import Preparation\n"
        "if __name__ == '__main__':\n"
        "    for seconds in (0, 0.5, 0.6):\n"
        "        engine = Processes(Preparation(np.asarray), 3)\n"
        "        for name in 'abc':\n"
        "            engine._submit(Found(name, 'image'))\n"
        "        time.sleep(seconds)\n"
        "        engine.close()\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, cwd=REPOSITORY)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_large_pictures_pass(tmp_path: Path) -> None:
    """What is larger than a pipe holds at once arrives whole."""
    pixels = np.random.default_rng(0).integers(0, 256, (700, 900, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    (tmp_path / "a.png").write_bytes(file.getvalue())
    from aigdetect.scanning.decoding.workers import Processes

    prepare = Preparation(np.asarray)
    with contextlib.closing(Processes(prepare, 1)) as engine:
        record = next(engine.prepared([Found(str(tmp_path / "a.png"), "image")], ahead=1))
        assert record.view is not None
        assert (record.view == pixels).all()
        assert (engine.pixels(str(tmp_path / "a.png"), record.record.sha256 or "") == pixels).all()
        assert engine.pixels(str(tmp_path / "a.png"), "0" * 64) is None
        assert engine.pixels(str(tmp_path / "b.png"), "0" * 64) is None
