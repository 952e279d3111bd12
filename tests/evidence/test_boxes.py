"""Metadata out of the boxes of a file, and not out of what only looks like it."""

from __future__ import annotations

import io
import random
import struct
import time

import pillow_heif
import pillow_jxl  # noqa: F401 - registers itself
import pytest
from metadata_files import exif, saved, xmp
from PIL import Image

from aigdetect.evidence.containers import find_blocks
from aigdetect.evidence.exif import read_exif

TRUE, FORGED = (exif({0x010F: make}).tobytes().removeprefix(b"Exif\0\0") for make in ("True", "Forged"))
PACKET = xmp('xmp:CreatorTool="A Program"')


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def read_boxes(data: bytes) -> tuple[list[bytes], list[bytes]]:
    """EXIF and XMP."""
    found = find_blocks(data)
    return [bytes(block.data) for block in found.exif], [bytes(block.data) for block in found.xmp]


def full(kind: bytes, body: bytes, version: int = 0) -> bytes:
    return box(kind, bytes([version, 0, 0, 0]) + body)


def heif(
    *items: tuple[bytes, bytes, int], before: bytes = b"", version: int = 1, within: bool = False
) -> bytes:
    """A file of items: kind, content, and the item that each describes; item 1 is shown, and not there."""
    entries, references, content = b"", b"", b"".join(body for _, body, _ in items)
    for number, (kind, _, described) in enumerate(items, start=2):
        name = struct.pack(">HH4s", number, 0, kind[:4]) + b"\0"
        entries += full(b"infe", name + (kind[4:] + b"\0" if kind[4:] else b""), 2)
        if described:
            references += box(b"cdsc", struct.pack(">HHH", number, 1, described))
    infos = full(b"iinf", struct.pack(">H", len(items)) + entries)

    def meta(at: int) -> bytes:
        places = struct.pack(">BBH", 0x44, 0, len(items))
        for number, (_, body, _) in enumerate(items, start=2):
            method = struct.pack(">H", within) if version else b""
            places += struct.pack(">H", number) + method + struct.pack(">HHII", 0, 1, at, len(body))
            at += len(body)
        shown, iloc = full(b"pitm", struct.pack(">H", 1)), full(b"iloc", places, version)
        data = box(b"idat", content) if within else b""
        return full(b"meta", shown + infos + iloc + full(b"iref", references) + data)

    head = box(b"ftyp", b"heic\0\0\0\0mif1heic") + before
    if within:
        return head + meta(0)
    return head + meta(len(head) + len(meta(0)) + 8) + box(b"mdat", content)


def item(structure: bytes, offset: int = 0) -> bytes:
    return struct.pack(">I", offset) + b"\xee" * offset + structure


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("offset", [0, 6, 300])
def test_an_item_of_exif_wherever_it_lies(within: bool, offset: int) -> None:
    data = heif((b"Exif", item(TRUE, offset), 1), (b"mimeapplication/rdf+xml", PACKET, 1), within=within)
    assert read_boxes(data) == ([TRUE], [PACKET])


def test_items_of_the_oldest_form() -> None:
    assert read_boxes(heif((b"Exif", item(b"Exif\0\0" + TRUE), 1), version=0))[0] == [TRUE]


@pytest.mark.parametrize("kind", [b"free", b"skip", b"mdat", b"uuid"])
def test_a_forged_block_in_another_box_is_not_read(kind: bytes) -> None:
    bait = box(kind, b"Exif\0\0" + FORGED + bytes(4) + FORGED + PACKET)
    assert read_exif(heif((b"Exif", item(TRUE), 1), before=bait)).make == "True"  # type: ignore[union-attr]
    assert read_boxes(heif(before=bait)) == ([], [])
    for whole in (saved("AVIF"), saved("JXL", use_container=True)):
        assert read_boxes(whole + bait) == ([], [])


def test_what_describes_another_picture_is_not_read() -> None:
    forged, true = (b"Exif", item(FORGED), 7), (b"Exif", item(TRUE), 1)
    assert read_boxes(heif(forged, true))[0] == [TRUE]
    assert read_boxes(heif(forged))[0] == []
    assert read_boxes(heif((b"Exif", item(FORGED), 0), true))[0] == [TRUE, FORGED]
    assert read_boxes(heif((b"Exif", item(TRUE), 0)))[0] == [TRUE]  # some writers do not say


def test_as_the_libraries_read_it() -> None:
    pillow_heif.register_heif_opener()
    for kind in ("HEIF", "AVIF"):
        data = saved(kind, exif=exif({0x010F: "True"}).tobytes(), xmp=PACKET)
        found = read_boxes(data)
        with Image.open(io.BytesIO(data)) as image:
            assert found == ([image.info["exif"].removeprefix(b"Exif\0\0")], [image.info["xmp"]])


@pytest.mark.parametrize(
    "block",
    [item(TRUE), TRUE, item(b"Exif\0\0" + TRUE), item(TRUE, 4)],
    ids=["offset", "none", "name", "gap"],
)
def test_a_box_of_jpeg_xl_with_and_without_an_offset(block: bytes) -> None:
    data = saved("JXL", use_container=True) + box(b"Exif", block) + box(b"xml ", PACKET)
    assert read_boxes(data) == ([TRUE], [PACKET])


def test_damaged_boxes_are_harmless_and_cost_little_time() -> None:
    whole = heif((b"Exif", item(TRUE), 1), (b"mimeapplication/rdf+xml", PACKET, 1))
    chance = random.Random(0)
    start = time.process_time()
    for _ in range(2000):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 9)):
            data[chance.randrange(len(data))] = chance.choice([0, 1, 255, chance.randrange(256)])
        read_boxes(bytes(data[: chance.randrange(len(data) + 1)]))
    endless = struct.pack(">BBH", 0x44, 0, 0xFFFF) + bytes(8 << 20)
    read_boxes(box(b"ftyp", b"heic") + full(b"meta", full(b"iloc", endless, 1) + box(b"free", b"") * 99_999))
    assert time.process_time() - start < 5
