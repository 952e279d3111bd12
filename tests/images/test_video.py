"""Key frames of videos: which are taken, what they look like, and what broken and hostile files cost."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import numpy as np
import pytest
from clips import av, make_clip

from aigdetect.errors import ImageError
from aigdetect.images import video as video_module
from aigdetect.images.find import Found, find_files
from aigdetect.images.opening import MAX_PIXELS
from aigdetect.images.sniff import HEAD_BYTES, sniff_video
from aigdetect.images.video import Sample, Sampling, open_video


def key_frames(path: Path, max_pixels: int = MAX_PIXELS) -> list[tuple[float, int, tuple[int, int]]]:
    """Time, red in the upper half, and size of each key frame."""
    with path.open("rb") as file:
        name = sniff_video(file.read(HEAD_BYTES))
        with open_video(file, name, max_pixels) as video:
            found = []
            for frame in video.frames():
                if frame.key:
                    image = video.decode(frame).image
                    red = image.getpixel((image.width // 2, image.height // 4))[0]
                    found.append((round(frame.time, 3), red, image.size))
            return found


@pytest.mark.parametrize(("name", "container"), [("clip.mp4", "MP4"), ("clip.webm", "WEBM")])
def test_key_frames_come_with_their_times_and_colours(tmp_path: Path, name: str, container: str) -> None:
    clip = make_clip(tmp_path / name, [20] * 10 + [120] * 10 + [240] * 5)
    assert sniff_video(clip.read_bytes()[:HEAD_BYTES]) == container
    found = key_frames(clip)
    assert [time for time, _, _ in found] == [0, 1, 2]
    assert [red for _, red, _ in found] == pytest.approx([20, 120, 240], abs=8)
    assert {size for _, _, size in found} == {(64, 48)}


def test_a_video_that_is_displayed_turned_is_turned(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", [200] * 3)
    data = bytearray(clip.read_bytes())
    matrix = data.index(struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30), data.index(b"tkhd"))
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)  # clockwise
    clip.write_bytes(data)
    with clip.open("rb") as file, open_video(file, "MP4", MAX_PIXELS) as video:
        (image,) = (video.decode(frame).image for frame in video.frames() if frame.key)
    assert image.size == (48, 64)
    blue = np.asarray(image)[:, :, 2].mean(axis=0)
    assert blue[5] > 60 > 20 > blue[-5]  # what was the lower half has come to the left


def test_frames_are_spread_over_the_whole_however_long_it_is() -> None:
    sample = Sample[int](Sampling(per_minute=60, most=4))
    for second in range(100):
        if sample.wants(second):
            sample.add(second, second)
    assert [thing for _, thing in sample.taken] == [0, 32, 64, 96]


def test_there_are_never_more_a_minute_than_asked_for() -> None:
    sample = Sample[int](Sampling(per_minute=6, most=100))
    for tenth in range(6000):
        if sample.wants(tenth / 10):
            sample.add(tenth / 10, tenth)
    assert [time for time, _ in sample.taken] == [10.0 * place for place in range(60)]


def test_frames_larger_than_allowed_are_refused(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", [200] * 3)
    with pytest.raises(ImageError, match="too large: 64x48 pixels, the limit is 3000"):
        key_frames(clip, 3000)


def test_the_decoder_refuses_what_only_the_stream_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make_clip(tmp_path / "clip.mp4", [200] * 3)
    monkeypatch.setattr(video_module, "check_size", lambda *_: None)  # as if the header had said less
    with pytest.raises(ImageError, match="broken MP4: invalid argument"):
        key_frames(clip, 3000)


@pytest.mark.parametrize("left", [0, 4, 40, 900])
def test_a_file_cut_off_is_an_error_in_one_line(tmp_path: Path, left: int) -> None:
    clip = make_clip(tmp_path / "clip.mp4", [200] * 20)
    clip.write_bytes(clip.read_bytes()[:left].ljust(40, b"\0"))
    with (
        clip.open("rb") as file,
        pytest.raises(ImageError, match=r"^(broken MP4: invalid data[^\n]*|MP4 without moving pictures)$"),
        open_video(file, "MP4", MAX_PIXELS),
    ):
        pass


def test_a_webm_cut_off_shows_what_is_left(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.webm", [20] * 10 + [120] * 10 + [240] * 10)
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) * 2 // 3])
    assert [time for time, _, _ in key_frames(clip)][:1] == [0]


def test_a_table_of_a_thousand_million_frames_costs_nothing(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", [200] * 20)
    data = bytearray(clip.read_bytes())
    for box in (b"stsz", b"stts", b"ctts"):
        at = data.find(box)
        if at >= 0:
            struct.pack_into(">I", data, at + (12 if box == b"stsz" else 8), 10**9)
    clip.write_bytes(data)
    start = time.monotonic()
    with pytest.raises(ImageError):
        key_frames(clip)
    assert time.monotonic() - start < 20


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(ImageError, match="MP4 without moving pictures"):
        key_frames(path)


def test_videos_are_found_by_content_where_they_are_asked_for(tmp_path: Path) -> None:
    make_clip(tmp_path / "a.webm", [200] * 3)
    (tmp_path / "b.jpg").write_bytes((tmp_path / "a.webm").read_bytes())
    (tmp_path / "c.txt").write_text("no video")
    found = [(Path(item.path).name, item.kind) for item in find_files([tmp_path], videos=True)]
    assert found == [("a.webm", "video"), ("b.jpg", "video"), ("c.txt", "other")]
    assert list(find_files([tmp_path, tmp_path / "a.webm"], videos=True))[3:] == []
    assert list(find_files([tmp_path / "a.webm"], videos=True)) == [Found(f"{tmp_path}/a.webm", "video")]


def test_every_common_container_is_named() -> None:
    heads = {
        "MP4": b"\0\0\0\x18ftypisom",
        "MOV": b"\0\0\0\x14ftypqt  ",
        "MKV": b"\x1a\x45\xdf\xa3\xa3B\x86\x81\x01B\x82\x88matroska",
        "WEBM": b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01B\x82\x84webm",
        "AVI": b"RIFF\0\0\0\0AVI LIST",
        "MPEG": b"\0\0\x01\xba",
        "MPEG-V": b"\0\0\x01\xb3",
        "MPEG-TS": (b"G" + bytes(187)) * 3,
        "FLV": b"FLV\x01",
        "ASF": b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
        "": b"\0\0\0\x18ftypheic",
    }
    assert [sniff_video(head) for head in heads.values()] == list(heads)
    assert set(heads) - {""} == set(video_module._FORMATS)
