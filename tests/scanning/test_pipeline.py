"""The stream from files to records: order, bounds, and files that misbehave."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

from aigdetect.images import read
from aigdetect.images.find import Found, find_files
from aigdetect.images.views import Picture, Pixels
from aigdetect.scanning import preparation
from aigdetect.scanning.pipeline import Tally, scan_found
from aigdetect.scanning.record import Record
from aigdetect.scanning.stability import Change


@dataclass(frozen=True)
class FakeScore:
    logit: float
    score: float = 0.92
    log10_lr: float = 1.1
    verdict: Literal["ai", "uncertain", "real"] = "ai"
    kind: str | None = None
    notes: tuple[str, ...] = ()


@dataclass
class FakeDetector:
    """Scores a view by its first pixel, and counts what it holds."""

    batch_size: int = 4
    precision: str = "float32"
    card: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(name="fake"))
    delay: Callable[[], float] = lambda: 0.0
    batches: list[int] = field(default_factory=list)
    prepared: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def view(self, picture: Picture, /) -> Pixels:
        time.sleep(self.delay())
        with self.lock:
            self.prepared += 1
        return np.asarray(picture)[:8, :8]

    def score_views(self, views: Sequence[Pixels], /) -> list[FakeScore]:
        self.batches.append(len(views))
        return [FakeScore(logit=float(view[0, 0, 0])) for view in views]


def png(value: int = 0, size: tuple[int, int] = (40, 40)) -> bytes:
    out = io.BytesIO()
    image = Image.new("RGB", size, (value, 0, 0))
    image.putpixel((size[0] - 1, size[1] - 1), (value, 0, 1))  # of one colour, it would be uncertain
    image.save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Thirty images, told apart by their first pixel."""
    for index in range(30):
        (tmp_path / f"{index:02}.png").write_bytes(png(index))
    return tmp_path


def images(*paths: Path | str) -> list[Found]:
    return [Found(str(path), "image") for path in paths]


def scan(*paths: Path | str, **options: object) -> list[Record]:
    return list(scan_found(images(*paths), FakeDetector(), **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_records_come_in_the_order_found_whatever_the_number_of_workers(folder: Path, workers: int) -> None:
    rng = np.random.default_rng(workers)
    detector = FakeDetector(delay=lambda: float(rng.uniform(0, 0.004)))
    records = list(scan_found(find_files([folder]), detector, workers=workers))
    assert [record.logit for record in records] == list(range(30))
    assert [Path(record.path).name for record in records] == [f"{index:02}.png" for index in range(30)]
    assert set(detector.batches[:-1]) == {4}


def test_a_scored_record_knows_everything(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes(png(7, (50, 40)))
    (record,) = scan(path)
    assert record.provenance is not None
    assert record.as_dict() == {
        "path": str(path),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "status": "scored",
        "verdict": "ai",
        "score": 0.92,
        "logit": 7.0,
        "log10_lr": 1.1,
        "format": "PNG",
        "width": 50,
        "height": 40,
        "notes": list(record.notes),
        "provenance": {},
        "error": None,
        "model": "fake",
        "precision": "float32",
        "stability": None,
        "kind": None,
        "time": None,
        "frames": None,
    }
    assert any("low resolution" in note for note in record.notes)


def test_only_a_bounded_number_of_images_is_ahead(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png())
    found = 0

    def endless() -> Iterator[Found]:
        nonlocal found
        while True:
            found += 1
            yield Found(str(path), "image")

    detector = FakeDetector()
    records = scan_found(endless(), detector, workers=3)
    for count in range(1, 200):
        next(records)
        # one batch being handed out, one batch and the workers ahead of it
        assert found - count <= 2 * detector.batch_size + 3
    records.close()
    assert detector.prepared <= found


def test_nothing_is_read_before_it_is_asked_for(folder: Path) -> None:
    detector = FakeDetector()
    scan_found(find_files([folder]), detector)
    assert detector.prepared == 0


def test_errors_between_images_do_not_pile_up(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png())
    asked = 0

    def mostly_broken() -> Iterator[Found]:
        nonlocal asked
        yield Found(str(path), "image")
        while True:
            asked += 1
            yield Found("gone", "error", "vanished")

    records = scan_found(mostly_broken(), FakeDetector())
    assert next(records).status == "scored"
    assert asked < 100
    records.close()


def test_errors_that_come_first_do_not_wait_for_a_batch() -> None:
    asked = 0

    def broken() -> Iterator[Found]:
        nonlocal asked
        while True:
            asked += 1
            yield Found("gone", "error", "vanished")

    records = scan_found(broken(), FakeDetector(batch_size=2), workers=1)
    assert next(records).error == "vanished"
    assert asked <= 3
    records.close()


def test_every_broken_file_gets_a_row_and_the_scan_goes_on(tmp_path: Path) -> None:
    whole, cut, tiny = png(1), png(2, (500, 500))[:60], png(3, (8, 9))
    contents = {"a.png": whole, "b.png": cut, "c.png": b"", "d.png": b"no image at all", "e.png": tiny}
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "f").mkdir()
    names = [*contents, "f", "g-is-missing", "a.png"]
    records = scan(*(tmp_path / name for name in names))
    assert [Path(record.path).name for record in records] == names
    assert [record.status for record in records] == ["scored", *["error"] * 6, "scored"]
    by_name = {Path(record.path).name: record for record in records}
    assert by_name["b.png"].format == "PNG"
    assert by_name["b.png"].sha256 == hashlib.sha256(cut).hexdigest()
    assert (by_name["e.png"].width, by_name["e.png"].height) == (8, 9)
    assert "too small" in (by_name["e.png"].error or "")
    assert "directory" in (by_name["f"].error or "")
    assert by_name["g-is-missing"].error == "no such file or directory"
    assert all(record.model is None and record.verdict is None for record in records[1:-1])


def test_what_find_could_not_look_at_gets_a_row() -> None:
    (record,) = scan_found([Found("x", "error", "permission denied"), Found("y", "other")], FakeDetector())
    assert (record.path, record.status, record.error) == ("x", "error", "permission denied")


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(read, "open_without_waiting", refuse)
    (record,) = scan(tmp_path / "a.png")
    assert record.error == "permission denied"


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png())
    with path.open("r+b") as file:
        file.truncate(1 << 34)  # sparse
    (record,) = scan(path)
    assert record.error == f"file too large: {1 << 34} bytes, the limit is {1 << 30}"
    assert record.sha256 is None


def test_an_image_of_too_many_pixels_is_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(0, (100, 100)))
    (record,) = scan(path, max_pixels=9999)
    assert (record.status, record.width, record.height, record.format) == ("error", 100, 100, "PNG")
    assert scan(path, max_pixels=10_000)[0].status == "scored"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    (record,) = scan(tmp_path / "a.png")
    assert record.error == "not a regular file"


class Panic(BaseException):
    """What PyO3 raises for a panic in Rust."""


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (MemoryError(), "out of memory"),
        (RecursionError("deep"), "RecursionError: deep"),
        (Panic("at the\ndisco"), "Panic: at the disco"),
        (SystemExit(3), "SystemExit: 3"),
    ],
)
def test_whatever_a_decoder_raises(
    folder: Path, monkeypatch: pytest.MonkeyPatch, raised: BaseException, error: str
) -> None:
    real = preparation.decode

    def decode(data: bytes, **options: Any) -> object:
        if data == png(1):
            raise raised
        return real(data, **options)

    monkeypatch.setattr(preparation, "decode", decode)
    records = scan(*(folder / f"0{index}.png" for index in range(3)))
    assert [record.error for record in records] == [None, error, None]
    assert records[1].sha256 == hashlib.sha256(png(1)).hexdigest()


def test_an_image_that_cannot_be_scored_fails_alone(folder: Path) -> None:
    class Choosy(FakeDetector):
        def score_views(self, views: Sequence[Pixels], /) -> list[FakeScore]:
            scores = super().score_views(views)
            if any(score.logit == 2 for score in scores):
                raise RuntimeError("will not do")
            return scores

    records = list(scan_found(images(*(folder / f"0{index}.png" for index in range(5))), Choosy()))
    assert [record.logit for record in records] == [0, 1, None, 3, 4]
    assert records[2].error == "scoring failed: RuntimeError: will not do"


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_an_error(folder: Path, number: float) -> None:
    class Broken(FakeDetector):
        def score_views(self, views: Sequence[Pixels], /) -> list[FakeScore]:
            return [FakeScore(logit=number) for _ in views]

    (record,) = scan_found(images(folder / "00.png"), Broken())
    assert (record.status, record.error) == ("error", "scoring failed: the model gave no finite number")
    assert record.logit is None


def test_a_batch_size_that_shrinks_is_followed(folder: Path) -> None:
    class Shrinking(FakeDetector):
        def score_views(self, views: Sequence[Pixels], /) -> list[FakeScore]:
            self.batch_size = 2
            return super().score_views(views)

    detector = Shrinking(batch_size=8)
    records = list(scan_found(find_files([folder]), detector))
    assert [record.logit for record in records] == list(range(30))
    assert detector.batches[:2] == [8, 2]


def test_views_do_not_keep_their_images_in_memory(folder: Path) -> None:
    class Watching(FakeDetector):
        def score_views(self, views: Sequence[Pixels], /) -> list[FakeScore]:
            assert all(view.base is None for view in views)
            return super().score_views(views)

    assert [record.status for record in scan_found(images(folder / "00.png"), Watching())] == ["scored"]


def test_an_interrupt_ends_the_scan_without_waiting_for_a_decoder(folder: Path) -> None:
    decoded = threading.Event()

    class Interrupted(FakeDetector):
        def view(self, picture: Picture, /) -> Pixels:
            if self.prepared >= 9:
                decoded.wait(60)
            return super().view(picture)

        def score_views(self, views: Sequence[Pixels], /) -> list[FakeScore]:
            if self.batches:
                raise KeyboardInterrupt
            return super().score_views(views)

    def decoding() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name.startswith("decode")]

    records = scan_found(find_files([folder]), Interrupted(), workers=1)
    assert [next(records).logit for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(KeyboardInterrupt):
        next(records)
    (left,) = decoding()  # still inside a decoder
    decoded.set()
    left.join(60)
    assert not decoding()


def test_files_are_only_read(folder: Path) -> None:
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}
    list(scan_found(find_files([folder]), FakeDetector()))
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()} == before


def test_tally(folder: Path) -> None:
    (folder / "notes.txt").write_text("x")
    (folder / "broken.png").write_text("x")
    tally = Tally()
    for record in scan_found(tally.without_others(find_files([folder])), FakeDetector()):
        tally.count(record)
    assert tally == Tally(scored=30, ai=30, errors=1, others=1, met=31)


def test_torch_is_not_imported() -> None:
    code = "import sys, aigdetect.scanning.pipeline as p; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_file_that_grows_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png())
    real = read.open_without_waiting

    def opened(name: str, flags: int) -> int:
        file = real(name, flags)
        fstat = os.fstat

        def grown(number: int) -> os.stat_result:
            info = fstat(number)
            if number == file:
                path.write_bytes(png() + b"more")
            return info

        monkeypatch.setattr(os, "fstat", grown)
        return file

    monkeypatch.setattr(read, "open_without_waiting", opened)
    (record,) = scan(path)
    assert record.error == "changed while it was read"
    assert record.sha256 is None


def test_stability_is_part_of_the_preparation(folder: Path) -> None:
    prepared = preparation.Preparation(lambda picture: np.asarray(picture)[:8, :8], stability=True)(
        Found(str(folder / "09.png"), "image")
    )
    assert [variant.shape for variant in prepared.variants] == [(8, 8, 3)] * 3
    assert all(abs(int(variant[0, 0, 0]) - 9) <= 1 for variant in prepared.variants)


def test_no_memory_for_the_changes_costs_the_stability_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Pixels) -> Pixels:
        raise MemoryError

    monkeypatch.setattr(preparation, "MILD", (Change("none", full),))
    prepared = preparation.Preparation(lambda picture: np.asarray(picture)[:8, :8], stability=True)(
        Found(str(folder / "09.png"), "image")
    )
    assert prepared.view is not None
    assert prepared.record.notes[-1] == "stability not measured: out of memory"


def test_a_panic_in_a_reader_of_metadata_costs_neither_digest_nor_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Panic(BaseException):
        """As readers written in Rust raise it."""

    def panic(_: bytes) -> None:
        raise Panic

    monkeypatch.setattr("aigdetect.evidence.provenance.find_blocks", panic)
    path = tmp_path / "a.png"
    Image.new("RGB", (40, 40), (7, 0, 0)).save(path)
    prepared = preparation.Preparation(lambda picture: np.asarray(picture)[:1, :1])(Found(str(path), "image"))
    assert prepared.view is not None
    assert prepared.record.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
