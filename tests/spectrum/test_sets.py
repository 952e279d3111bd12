from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aigdetect.errors import UsageError
from aigdetect.images.decode import decode
from aigdetect.spectrum import averaging
from aigdetect.spectrum.analysis import average_tiles
from aigdetect.spectrum.averaging import average_folders, survey_folders
from aigdetect.spectrum.fourier import Average
from aigdetect.spectrum.sets import Failure, Method, SetSpectrum, compare, set_peaks, short_names

SMALL = Method(tile=128)


def write(path: Path, *, height: int = 128, width: int = 128, seed: int = 0, stripes: float = 0) -> Path:
    """Smooth noise, with stripes of period 4 across if asked for."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(128, 12, (height, width, 3)) + stripes * np.cos(np.pi / 2 * np.arange(width))[:, None]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return path


def power_of(*paths: Path, **options: Any) -> np.ndarray:
    """The average power spectrum of files, one image after the other."""
    average = None
    for path in paths:
        part = average_tiles(decode(path.read_bytes()).pixels, **options)
        average = part if average is None else average.merged(part)
    assert average is not None
    return average.power()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two sets of six images."""
    for name in ("a", "b"):
        for seed in range(6):
            write(tmp_path / "root" / name / f"{seed}.png", seed=seed + 10 * (name == "b"))
    return tmp_path / "root"


# --- what is averaged --------------------------------------------------------------------------------------


def test_each_folder_gives_the_mean_of_its_images(folder: Path) -> None:
    first, second = average_folders([str(folder)], SMALL)
    assert [Path(one.folder).name for one in (first, second)] == ["a", "b"]
    assert (first.images, first.failed, first.size, first.mixed) == (6, 0, 128, False)
    for one in (first, second):
        files = sorted(Path(one.folder).iterdir())
        np.testing.assert_array_equal(one.power(), power_of(*files, tile=128))
        np.testing.assert_array_equal(one.power(64), power_of(*files, tile=64))


def test_settings_reach_the_spectrum(folder: Path) -> None:
    method = Method("gaussian", "rgb", 64, "average", "hann", "coherent")
    (one,) = average_folders([str(folder / "a")], method)
    expected = power_of(
        *sorted((folder / "a").iterdir()),
        residual="gaussian",
        channel="rgb",
        tile=64,
        tiles="average",
        window="hann",
        mode="coherent",
    )
    np.testing.assert_array_equal(one.power(), expected)
    assert one.averages[64].count == 6 * 4


@pytest.mark.parametrize("workers", [1, 5])
def test_the_number_of_threads_changes_nothing(folder: Path, workers: int) -> None:
    expected = average_folders([str(folder)], SMALL, workers=3)
    found = average_folders([str(folder)], SMALL, workers=workers)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one.power(), other.power())


def test_work_is_done_by_several_threads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meeting = threading.Barrier(3, timeout=20)
    real = averaging.decode

    def wait(data: bytes, **options: Any) -> Any:
        meeting.wait()  # passes only if three work at the same time
        return real(data, **options)

    monkeypatch.setattr(averaging, "decode", wait)
    assert [one.images for one in average_folders([str(folder)], SMALL, workers=3)] == [6, 6]


def test_few_images_wait_in_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    done: list[int] = []
    real = averaging._transform

    def watched(found: Any, *rest: Any) -> Any:
        started.append(found.path)
        return real(found, *rest)

    monkeypatch.setattr(averaging, "_transform", watched)

    def advance(files: int) -> None:
        done.append(files)
        assert len(started) - len(done) <= 4

    average_folders([str(folder)], SMALL, workers=2, advance=advance)
    assert done == [1] * 12


# --- mixed sizes -------------------------------------------------------------------------------------------


def test_mixed_sizes_are_shown_at_the_size_that_nearly_all_reach(tmp_path: Path) -> None:
    large = [write(tmp_path / f"large{n}.png", height=150, width=140, seed=n) for n in range(9)]
    small = write(tmp_path / "small.png", height=100, width=90, seed=20)
    (one,) = average_folders([str(tmp_path)], Method(tile=256))
    assert (one.size, one.mixed, one.images, one.images_at(128), one.images_at(64)) == (128, True, 10, 9, 10)
    np.testing.assert_array_equal(one.power(), power_of(*large))
    np.testing.assert_array_equal(one.power(64), power_of(*large, small, tile=64))
    write(tmp_path / "small2.png", height=64, width=64, seed=21)
    (one,) = average_folders([str(tmp_path)], Method(tile=256))
    assert (one.size, one.images_at(64)) == (64, 11)


def test_sets_are_compared_at_the_size_both_have(tmp_path: Path) -> None:
    write(tmp_path / "large" / "a.png", height=256, width=256)
    write(tmp_path / "small" / "a.png", height=128, width=128, seed=1)
    large, small = average_folders([str(tmp_path)], Method())
    compared = compare(large, small)
    assert (large.size, small.size, compared.size, compared.difference.shape) == (256, 128, 128, (128, 128))
    assert compared.by_chance_db == pytest.approx(7.88, abs=0.01)
    assert compared.distance_db == pytest.approx(compared.by_chance_db, rel=0.1)
    assert compare(large, large).distance_db == 0


def test_an_image_with_nothing_at_its_centre_counts(tmp_path: Path) -> None:
    pixels = np.full((256, 256, 3), 90, np.uint8)
    pixels[:40] = np.random.default_rng(0).integers(0, 256, (40, 256, 3))
    Image.fromarray(pixels).save(tmp_path / "border.png")
    write(tmp_path / "noise.png", height=64, width=64)
    (one,) = average_folders([str(tmp_path)], Method())
    assert (one.images, one.failed, one.images_at(64)) == (2, 0, 2)
    np.testing.assert_allclose(one.power(64), power_of(tmp_path / "noise.png") / 2)


def test_what_holds_nothing_at_the_common_size_is_named(tmp_path: Path) -> None:
    pixels = np.full((128, 128, 3), 90, np.uint8)
    pixels[:20] = np.random.default_rng(0).integers(0, 256, (20, 128, 3))
    (tmp_path / "border").mkdir()
    Image.fromarray(pixels).save(tmp_path / "border" / "a.png")
    write(tmp_path / "small" / "a.png", height=64, width=64)
    border, small = average_folders([str(tmp_path)], Method())
    for one, other in ((border, small), (small, border)):
        with pytest.raises(UsageError, match=r"border: cannot be compared at 64 pixels, where its residual"):
            compare(one, other)


def test_peaks_of_a_set(tmp_path: Path) -> None:
    for seed in range(8):
        write(tmp_path / f"{seed}.png", seed=seed, stripes=3)
    (one,) = average_folders([str(tmp_path)], SMALL)
    peak = set_peaks(one, 0.01)[0]
    assert (peak.fy, abs(peak.fx)) == (pytest.approx(0, abs=0.004), pytest.approx(0.25, abs=0.004))


# --- folders -----------------------------------------------------------------------------------------------


def test_depth_joins_what_lies_deeper(tmp_path: Path) -> None:
    for place in ("x/real/1/a.png", "x/real/2/a.png", "x/fake/b.png", "y/c.png"):
        write(tmp_path / place, height=64, width=64)

    def folders(depth: int | None) -> list[str]:
        survey = survey_folders([str(tmp_path)], depth=depth)
        assert survey.files == 4
        return [os.path.relpath(folder, tmp_path) for folder in survey.folders]

    assert folders(None) == ["x/fake", "x/real/1", "x/real/2", "y"]
    assert folders(2) == ["x/fake", "x/real", "y"]
    assert folders(1) == ["x", "y"]
    assert folders(0) == ["."]
    for root in (f"{tmp_path}/y/", f"{tmp_path}/y"):  # as a shell completes it, with images right below
        assert [one.images for one in average_folders([root], SMALL, depth=0)] == [1]
    joined = average_folders([str(tmp_path)], SMALL, depth=1)
    assert [one.images for one in joined] == [3, 1]


@pytest.mark.parametrize("ending", ["", "/"])
def test_a_folder_that_cannot_be_read_is_a_failure_at_any_depth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    write(tmp_path / "open" / "a.png")
    shut = f"{tmp_path / 'shut'}{ending}"
    Path(shut).mkdir()
    real = os.scandir

    def refuse(path: str) -> object:
        if path == shut:
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    for depth in (None, 0, 1):
        failures: list[Failure] = []
        roots = [shut, str(tmp_path / "open")]
        (one,) = average_folders(roots, SMALL, depth=depth, failed=failures.append)
        assert (one.folder, one.images, one.failed) == (str(tmp_path / "open"), 1, 0)
        assert failures == [Failure(shut, "permission denied")]
        assert survey_folders(roots, depth=depth).files == 2


def test_the_root_is_a_set_if_it_holds_images_itself(folder: Path) -> None:
    write(folder / "loose.png")
    found = average_folders([f"{folder}/"], SMALL)
    assert [(os.path.relpath(one.folder, folder), one.images) for one in found] == [
        ("a", 6),
        ("b", 6),
        (".", 1),
    ]


def test_no_image_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("no image")
    with pytest.raises(UsageError, match="no image in"):
        survey_folders([str(tmp_path)])


def test_short_names(tmp_path: Path) -> None:
    assert short_names(["/d/real/x", "/d/real/y", "/d/fake"]) == ("real/x", "real/y", "fake")
    assert short_names(["/d/real"]) == ("real",)
    assert short_names(["/d/real", "/d/real/x"]) == ("real", "real/x")


# --- failures ----------------------------------------------------------------------------------------------


def test_failures_are_named_and_counted_and_end_nothing(folder: Path) -> None:
    (folder / "a" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    Image.new("RGB", (128, 128), (9, 9, 9)).save(folder / "a" / "uniform.png")
    write(folder / "b" / "tiny.png", height=63, width=300)
    Image.new("1", (3000, 3000)).save(folder / "b" / "huge.png")
    write(folder / "c" / "tiny.png", height=20, width=20)
    failures: list[Failure] = []
    found = average_folders([str(folder)], SMALL, max_pixels=8_000_000, failed=failures.append)
    assert [(Path(one.folder).name, one.images, one.failed) for one in found] == [("a", 6, 2), ("b", 6, 2)]
    reasons = {Path(failure.path).name: failure.reason for failure in failures}
    assert [Path(failure.path).name for failure in failures] == [
        *("broken.png", "uniform.png", "huge.png", "tiny.png", "tiny.png")
    ]
    assert "residual is zero everywhere" in reasons["uniform.png"]
    assert "too small for a spectrum" in reasons["tiny.png"]
    assert "too large: 3000x3000 pixels" in reasons["huge.png"]
    assert all("\n" not in reason for reason in reasons.values())


def test_a_bad_tile_is_no_fault_of_the_images(folder: Path) -> None:
    with pytest.raises(UsageError, match="power of two"):
        average_folders([str(folder)], Method(tile=100))


# --- stopped and resumed -----------------------------------------------------------------------------------


class StopError(Exception):
    pass


def stop_after(count: int) -> Any:
    done = 0

    def advance(files: int) -> None:
        nonlocal done
        done += files
        if done >= count:
            raise StopError

    return advance


@pytest.mark.parametrize("mode", ["power", "coherent"])
@pytest.mark.parametrize("stop", [1, 4, 9])
def test_an_interruption_changes_nothing(folder: Path, tmp_path: Path, stop: int, mode: Any) -> None:
    (folder / "a" / "0bad \udcff.png").write_bytes(b"no image")
    method = Method(tile=128, average=mode)
    state = tmp_path / "state"
    with pytest.raises(StopError):
        average_folders([str(folder)], method, state=state, advance=stop_after(stop))
    failures: list[Failure] = []
    done: list[int] = []
    resumed = average_folders(
        [str(folder)], method, state=state, failed=failures.append, advance=done.append, workers=1
    )
    assert (done[0], sum(done)) == (stop, 13)
    assert [failure.path for failure in failures] == [str(folder / "a" / "0bad \udcff.png")]
    for one, other in zip(average_folders([str(folder)], method), resumed, strict=True):
        np.testing.assert_array_equal(one.averages[128].total, other.averages[128].total)
        np.testing.assert_array_equal(one.averages[64].total, other.averages[64].total)
        assert (one.folder, one.failed, one.reached) == (other.folder, other.failed, other.reached)


def test_what_is_done_is_not_done_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    with pytest.raises(StopError):
        average_folders([str(folder)], SMALL, state=state, advance=stop_after(7))
    read: list[str] = []
    real = averaging.read_bytes
    monkeypatch.setattr(averaging, "read_bytes", lambda path: read.append(path) or real(path))
    average_folders([str(folder)], SMALL, state=state)
    assert len(read) == 5
    read.clear()
    average_folders([str(folder)], SMALL, state=state)
    assert read == []


def test_other_settings_are_refused(folder: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    average_folders([str(folder)], SMALL, state=state)
    with pytest.raises(UsageError, match="another method"):
        average_folders([str(folder)], Method(tile=64), state=state)
    with pytest.raises(UsageError, match="another depth and roots"):
        average_folders([str(folder / "a")], SMALL, depth=0, state=state)


@pytest.mark.parametrize("change", ["touch", "rewrite", "remove", "add"])
def test_files_that_changed_are_noticed(folder: Path, tmp_path: Path, change: str) -> None:
    state, path = tmp_path / "state", folder / "a" / "2.png"
    with pytest.raises(StopError):
        average_folders([str(folder)], SMALL, state=state, advance=stop_after(6))
    if change == "touch":
        os.utime(path, ns=(1, 1))
    elif change == "rewrite":
        info = path.stat()
        path.write_bytes(path.read_bytes() + b"\0")
        os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
    elif change == "remove":
        path.unlink()
    else:
        write(folder / "a" / "1b.png")
    with pytest.raises(UsageError, match="have changed"):
        average_folders([str(folder)], SMALL, state=state)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04cut", "half"])
def test_a_broken_state_is_refused(folder: Path, tmp_path: Path, content: Any) -> None:
    state = tmp_path / "state"
    average_folders([str(folder / "a")], SMALL, state=state)
    state.write_bytes(state.read_bytes()[:5000] if content == "half" else content)
    with pytest.raises(UsageError, match="is not the state of an interrupted run") as caught:
        average_folders([str(folder / "a")], SMALL, state=state)
    assert "\n" not in str(caught.value)


def test_a_state_that_cannot_be_written_is_an_error(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        average_folders([str(folder)], SMALL, state=tmp_path / "none" / "state")


def test_an_average_at_every_size_is_kept_apart() -> None:
    one = SetSpectrum("x")
    parts = [Average(size).plus(np.ones((size, size), np.float32)) for size in (256, 128, 64)]
    one = one.with_image(parts).with_image(parts[1:])
    assert one.reached == {256: 1, 128: 1}
    assert [one.averages[size].count for size in (256, 128, 64)] == [1, 2, 2]
    assert (one.images, one.size) == (2, 128)


def test_links_are_counted_and_followed_only_if_asked(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "links").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "real" / "a.png")
    (tmp_path / "links" / "a.png").symlink_to(tmp_path / "real" / "a.png")
    with pytest.raises(UsageError, match="but 1 symbolic links, which --follow-symlinks follows"):
        survey_folders([str(tmp_path / "links")])
    assert survey_folders([str(tmp_path / "links")], follow_symlinks=True).files == 1
    assert survey_folders([str(tmp_path)]).links == 1
