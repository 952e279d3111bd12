from __future__ import annotations

import hashlib
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aigdetect.data.augment import Augmentation
from aigdetect.data.dataset import Reading, Unreadable, copies_of_views, digest, load_pixels, map_ordered
from aigdetect.data.layouts import Sample
from aigdetect.errors import DataError, ImageError
from aigdetect.images.read import MAX_BYTES


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    path = tmp_path / "real" / "a.png"
    path.parent.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return Sample(str(path), 0, "a", root=str(tmp_path))


def test_results_come_in_order_few_at_a_time_and_errors_in_their_place() -> None:
    running, most, lock = 0, 0, threading.Lock()
    taken: list[int] = []

    def items():
        for item in range(40):
            taken.append(item)
            yield item

    def work(item: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.001 * (item % 3))
        with lock:
            running -= 1
        if item == 7:
            raise ImageError("seven")
        return 10 * item

    results = map_ordered(work, items(), workers=3)
    first = next(results)
    assert first == 0
    assert len(taken) <= 7
    rest = list(results)
    assert str(rest[6]) == "seven"
    assert [r for r in rest if not isinstance(r, ImageError)] == [10 * i for i in range(1, 40) if i != 7]
    assert most <= 3


def test_other_exceptions_are_raised() -> None:
    def fault(_: int) -> int:
        raise RuntimeError("a fault of ours")

    with pytest.raises(RuntimeError):
        list(map_ordered(fault, range(3), workers=2))


def test_views_depend_on_seed_content_and_copy_alone(sample: Sample, tmp_path: Path) -> None:
    options = {"size": 64, "augmentation": Augmentation(symmetric=True)}
    many = copies_of_views(sample, range(4), seed=5, **options)
    assert len({views.tobytes() for views in many}) == 4
    assert np.array_equal(copies_of_views(sample, [2], seed=5, **options)[0], many[2])
    assert not np.array_equal(copies_of_views(sample, [2], seed=6, **options)[0], many[2])
    # the same image under another name
    elsewhere = Sample(str(Path(sample.path).rename(tmp_path / "other.png")), 0, "b")
    assert np.array_equal(copies_of_views(elsewhere, [2], seed=5, **options)[0], many[2])


def test_the_digest_is_that_of_the_file(sample: Sample) -> None:
    assert digest(sample) == hashlib.sha256(Path(sample.path).read_bytes()).digest()


def test_a_plain_copy_is_what_a_scan_sees(sample: Sample) -> None:
    pixels = np.asarray(Image.open(sample.path))
    assert np.array_equal(
        copies_of_views(sample, [None], size=64, augmentation=Augmentation(), seed=0)[0][0],
        pixels[13:77, 28:92],
    )


def test_unreadable_images_are_errors_of_ours(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    for name in ("broken.png", "none.png"):
        with pytest.raises(ImageError):
            load_pixels(Sample(str(tmp_path / name), 0, "a"))


def test_a_file_too_large_for_a_scan_is_not_read(sample: Sample) -> None:
    with Path(sample.path).open("r+b") as file:
        file.truncate(MAX_BYTES + 1)  # with a hole: it takes no room
    for read in (load_pixels, digest):
        with pytest.raises(ImageError, match="file too large"):
            read(sample)


def test_a_share_of_unreadable_images_is_borne() -> None:
    unreadable = Unreadable(100)
    for index in range(5):
        unreadable.add(f"{index}.png", "broken")
    with pytest.raises(DataError, match=r"more than 5% of 100 images cannot be read, the last one 5\.png"):
        unreadable.add("5.png", "broken")


def test_a_long_stream_of_samples_is_read_a_few_at_a_time() -> None:
    taken: list[int] = []

    def stream():
        for index in range(40):
            taken.append(index)
            yield Sample(f"{index}.png", 0, "a")

    def read(sample: Sample) -> str:
        if sample.path == "3.png":
            raise ImageError("broken")
        return sample.path

    warned: list[str] = []
    reading = Reading.of("training", [Sample("", 0, "a")] * 40, 2, warned.append)
    results = reading.each(read, stream())
    assert [next(results) for _ in range(5)] == ["0.png", "1.png", "2.png", None, "4.png"]
    assert len(taken) <= 10
    assert [*results] == [f"{index}.png" for index in range(5, 40)]
    assert warned == ["training image left out: 3.png: broken"]
    assert reading.unreadable.reasons == {"3.png": "broken"}


def test_what_all_processes_cannot_read_is_told_once_and_counted_together() -> None:
    samples = [Sample(f"{index}.png", 0, "a") for index in range(100)]
    broken = {3, 4, 50, 51}

    def read(sample: Sample) -> str:
        if int(sample.path[:-4]) in broken:
            raise ImageError("broken\udcff")
        return sample.path

    warned: list[list[str]] = [[], []]
    readings = [Reading.of("training", samples, 1, lines.append) for lines in warned]

    def exchange() -> None:
        told = ["\0".join(each) for reading in readings for each in reading.unreadable.news]
        for reading in readings:
            reading.share(lambda texts: told)

    for _ in range(2):  # another epoch says nothing anew
        for rank, reading in enumerate(readings):
            list(reading.each(read, samples[50 * rank :][:50]))
        exchange()
        assert [sorted(lines) for lines in warned] == [
            sorted(f"training image left out: {index}.png: broken\udcff" for index in broken)
        ] * 2
    broken |= {5, 60}
    for rank, reading in enumerate(readings):  # three of its own are no more than 5 for neither
        list(reading.each(read, samples[50 * rank :][:50]))
    with pytest.raises(DataError, match="more than 5% of 100 images cannot be read"):
        exchange()


def test_images_of_more_pixels_than_allowed_are_left_out_and_the_option_is_named(tmp_path: Path) -> None:
    Image.new("RGB", (50, 40)).save(tmp_path / "large.png")
    sample = Sample(str(tmp_path / "large.png"), 0, "x")
    assert load_pixels(sample, max_pixels=2000).shape == (40, 50, 3)
    warned: list[str] = []
    reading = Reading.of("training", [sample], 1, warned.append)
    assert list(reading.each(partial(load_pixels, max_pixels=1999), [sample])) == [None]
    assert warned[0].endswith("--max-pixels allows more")
