"""Walkers of all containers, beside other readers of the same files, and on broken and endless files."""

from __future__ import annotations

import io
import random
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise

import pillow_heif
import pillow_jxl  # noqa: F401 - registers itself
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageSequence, PngImagePlugin

from aigdetect.formats import boxes, gif, jpeg, png, riff, samsung, tiff
from aigdetect.formats.block import MAX_BLOCKS, Block
from aigdetect.formats.items import items


def saved(kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 40), "red").save(out, kind, **options)
    return out.getvalue()


def exif() -> Image.Exif:
    made = Image.Exif()
    made[0x010F] = "Canon"
    made.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    return made


WALKERS: dict[str, Callable[[bytes], Iterator[Block]]] = {
    "PNG": png.chunks,
    "JPEG": jpeg.segments,
    "GIF": gif.blocks,
    "WEBP": riff.chunks,
    "AVIF": boxes.boxes,
    "JXL": boxes.boxes,
}


def whole(kind: str) -> bytes:
    options: dict[str, object] = {} if kind == "GIF" else {"exif": exif().tobytes()}
    return saved(kind, **options, **({"use_container": True} if kind == "JXL" else {}))


@pytest.mark.parametrize("kind", WALKERS)
def test_blocks_are_whole_in_order_and_where_they_say(kind: str) -> None:
    data = whole(kind)
    blocks = list(WALKERS[kind](data))
    assert blocks
    for before, after in pairwise(blocks):
        assert before.end <= after.offset
    for block in blocks:
        assert block.whole
        assert (
            bytes(block.data) == data[block.offset : block.offset + block.length] == block.head(block.length)
        )
        assert block.head(3) == bytes(block.data)[:3]


@pytest.mark.parametrize("kind", WALKERS)
def test_a_file_that_is_cut_off_has_at_most_one_block_that_is_not_whole(kind: str) -> None:
    data = whole(kind)
    all_blocks = list(WALKERS[kind](data))
    for end in range(0, len(data), 7):
        blocks = list(WALKERS[kind](data[:end]))
        assert [block.kind for block in blocks] == [block.kind for block in all_blocks[: len(blocks)]]
        assert sum(not block.whole for block in blocks) <= 1
        assert all(block.end <= end or not block.data for block in blocks)


def test_the_chunks_of_a_png_as_pillow_reads_them() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "a cat")
    data = saved("PNG", pnginfo=info)
    theirs = []
    stream = PngImagePlugin.ChunkStream(io.BytesIO(data))
    stream.fp.seek(8)  # type: ignore[union-attr]
    while not theirs or theirs[-1][0] != b"IEND":
        kind, offset, length = stream.read()
        theirs.append((kind, offset, length))
        stream.fp.seek(offset + length + 4)  # type: ignore[union-attr]
    assert [(b.kind.encode(), b.offset, b.length) for b in png.chunks(data)] == theirs


def test_the_segments_of_a_jpeg_as_pillow_reads_them() -> None:
    data = saved("JPEG", exif=exif(), comment=b"hello", progressive=True)
    segments = list(jpeg.segments(data))
    with Image.open(io.BytesIO(data)) as image:
        theirs = image.applist
    ours = [(b.kind, bytes(b.data)) for b in segments if b.kind.startswith(("APP", "COM"))]
    assert ours == theirs
    kinds = Counter(segment.kind for segment in segments)
    assert kinds["SOF2"] == kinds["EOI"] == 1
    assert kinds["SOS"] > 1
    assert segments[-1].offset == len(data)


def test_a_segment_behind_the_pixels_of_a_jpeg() -> None:
    data = saved("JPEG")
    late = b"\xff\xeb\0\x06JP\0\1"
    assert [b.head(2) for b in jpeg.segments(data[:-2] + late + data[-2:]) if b.kind == "APP11"] == [b"JP"]
    assert not [b for b in jpeg.segments(data + late) if b.kind == "APP11"]  # behind the end of the image


def test_the_frames_of_a_gif_as_pillow_counts_them() -> None:
    frames = [Image.new("RGB", (20, 20), (50 * number, 0, 0)) for number in range(5)]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], comment=b"x" * 700, loop=0)
    blocks = list(gif.blocks(out.getvalue()))
    with Image.open(out) as image:
        assert sum(block.kind == "image" for block in blocks) == len(list(ImageSequence.Iterator(image))) == 5
    [comment] = [block for block in blocks if block.kind == "comment"]
    assert gif.joined(comment, 1 << 20) == b"x" * 700


def test_the_items_of_a_heic_as_its_library_reads_them() -> None:
    pillow_heif.register_heif_opener()
    packet = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    data = saved("HEIF", exif=exif().tobytes(), xmp=packet)
    [meta] = [box for box in boxes.boxes(data) if box.kind == "meta"]
    wanted = ("Exif", "application/rdf+xml")
    found = {item.kind: item.head(1 << 20) for item in items(data, meta, wanted, 1 << 20)}
    with Image.open(io.BytesIO(data)) as image:
        assert found["application/rdf+xml"] == image.info["xmp"] == packet
        assert found["Exif"].endswith(image.info["exif"].removeprefix(b"Exif\0\0"))


def test_the_values_of_a_tiff_as_pillow_writes_them() -> None:
    data = exif().tobytes().removeprefix(b"Exif\0\0")
    found = tiff.read_values(data, {0x010F, 0x9003, 0x0110})
    assert {tag: block.head(99) for tag, block in found.items()} == {
        0x010F: b"Canon\0",
        0x9003: b"2024:05:06 07:08:09\0",
    }
    for block in found.values():
        assert data[block.offset : block.offset + block.length] == bytes(block.data)
    cut_off = tiff.read_values(data[: found[0x9003].offset + 2], {0x9003})[0x9003]
    assert (cut_off.whole, cut_off.length, bytes(cut_off.data)) == (False, 20, b"20")


@pytest.mark.parametrize("walk", [*WALKERS.values(), samsung.entries], ids=[*WALKERS, "Samsung"])
@given(data=st.binary(max_size=400), head=st.integers(0, 5))
def test_any_bytes_are_harmless(walk: Callable[[bytes], Iterator[Block]], data: bytes, head: int) -> None:
    begin = (
        b"",
        b"\xff\xd8\xff\xda",
        png.SIGNATURE,
        b"GIF89a\7\0\7\0\0\0\0!\xfe",
        bytes(12),
        b"\0\0\0\x18ftyp",
    )[head]
    for whole_file in (begin + data, data + struct.pack("<I", len(data) % 60) + b"SEFT"):
        for block in walk(whole_file):
            assert len(block.data) <= block.length
            assert not block.data or block.end <= len(whole_file)


@pytest.mark.parametrize("kind", WALKERS)
def test_damaged_files_end(kind: str) -> None:
    data, chance = whole(kind), random.Random(kind)
    start = time.process_time()
    for _ in range(300):
        changed = bytearray(data)
        for _ in range(chance.randint(1, 8)):
            changed[chance.randrange(len(changed))] = chance.choice([0, 1, 127, 255])
        assert sum(1 for _ in WALKERS[kind](bytes(changed))) <= MAX_BLOCKS
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("PNG", png.SIGNATURE + bytes(12) * 300_000),
        ("WEBP", b"RIFF\0\0\0\0WEBP" + bytes(8) * 300_000),
        ("JPEG", b"\xff\xd8" + b"\xff\xe5\0\2" * 300_000),
        ("JPEG", b"\xff\xd8\xff\xda\0\2" + b"\xff\0" * 4_000_000),
        ("AVIF", b"\0\0\0\x08ftyp" * 300_000),
    ],
    ids=["PNG", "WebP", "JPEG", "coded pixels", "boxes"],
)
def test_endless_files_cost_little(kind: str, data: bytes) -> None:
    start = time.process_time()
    assert sum(1 for _ in WALKERS[kind](data)) <= MAX_BLOCKS
    assert time.process_time() - start < 3


def test_a_trailer_of_samsung() -> None:
    value = b'{"a":1}'
    block = struct.pack("<HHI", 0, 0x0BA1, 4) + b"Name" + value
    directory = b"SEFH" + struct.pack("<IIHHII", 101, 1, 0, 0x0BA1, len(block), len(block))
    trailer = block + directory + struct.pack("<I", len(directory)) + b"SEFT"
    data = saved("JPEG") + trailer
    [entry] = samsung.entries(data)
    assert (entry.kind, bytes(entry.data)) == ("Name", value)
    assert data[entry.offset : entry.end] == value
    assert list(samsung.entries(data[:-1])) == []
    assert list(samsung.entries(trailer[5:])) == []
