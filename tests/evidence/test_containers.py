"""Blocks of metadata out of every container, as Pillow writes and reads them."""

from __future__ import annotations

import io
import struct
import time
import zlib

import pytest
from metadata_files import (
    exif,
    iptc_record,
    jpeg_segment,
    jpeg_with,
    photoshop,
    png,
    png_chunk,
    png_with,
    saved,
    xmp,
)
from PIL import Image, PngImagePlugin

from aigdetect.evidence.containers import Blocks, find_blocks
from aigdetect.formats.block import Block

PACKET = xmp('xmp:CreatorTool="A Program"')


def contents(blocks: tuple[Block, ...]) -> list[bytes]:
    return [bytes(block.data) for block in blocks]


def with_xmp(kind: str) -> bytes:
    if kind == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", PACKET.decode())
        return saved(kind, pnginfo=info)
    if kind == "TIFF":
        return saved(kind, tiffinfo={700: PACKET})
    return saved(kind, xmp=PACKET)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_xmp_from_every_container_as_pillow_reads_it(kind: str) -> None:
    data = with_xmp(kind)
    assert contents(find_blocks(data).xmp) == [PACKET]
    with Image.open(io.BytesIO(data)) as image:
        theirs = image.info.get("xmp") or image.tag_v2[700]
    assert theirs == PACKET


def test_xmp_from_gif_as_the_standard_of_xmp_puts_it_there() -> None:
    data = saved("GIF", comment="before")
    at = 13 + (3 << (data[10] & 7) + 1)  # behind the colours
    trailer = bytes([1, *range(255, -1, -1), 0])
    data = data[:at] + b"!\xff\x0bXMP DataXMP" + PACKET + trailer + data[at:]
    Image.open(io.BytesIO(data)).load()
    found = find_blocks(data)
    assert contents(found.xmp) == [PACKET]
    assert [text.value for text in found.texts] == ["before"]


def test_xmp_from_heic() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
    assert contents(find_blocks(saved("HEIF", xmp=PACKET)).xmp) == [PACKET]


def extended(packet: bytes, size: int, name: bytes = b"0123456789ABCDEF0123456789ABCDEF") -> list[bytes]:
    head = b"http://ns.adobe.com/xmp/extension/\0" + name
    return [
        jpeg_segment(0xE1, head + struct.pack(">II", len(packet), at) + packet[at : at + size])
        for at in range(0, len(packet), size)
    ]


def test_extended_xmp_is_put_together_in_the_order_of_its_offsets() -> None:
    main = xmp('xmpNote:HasExtendedXMP="0123456789abcdef0123456789abcdef" xmlns:xmpNote="u:"')
    parts = extended(PACKET, 100)
    other = extended(b"of another packet", 100, b"F" * 32)
    data = jpeg_with(jpeg_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + main), *other, *reversed(parts))
    assert contents(find_blocks(data).xmp) == [main, PACKET]


def test_iptc_of_a_jpeg_as_pillow_reads_it() -> None:
    from PIL import IptcImagePlugin

    records = iptc_record(110, b"A Credit") + iptc_record(65, b"A Program")
    data = jpeg_with(photoshop(records))
    assert contents(find_blocks(data).iptc) == [records]
    with Image.open(io.BytesIO(data)) as image:
        theirs = IptcImagePlugin.getiptcinfo(image)
    assert theirs == {(2, 110): b"A Credit", (2, 65): b"A Program"}


def test_iptc_of_a_tiff() -> None:
    records = iptc_record(110, b"A Credit")
    [found] = contents(find_blocks(saved("TIFF", tiffinfo={33723: records})).iptc)
    assert found.rstrip(b"\0") == records


@pytest.mark.parametrize("packed", [False, True])
def test_texts_of_a_png_as_pillow_reads_them(packed: bool) -> None:
    data = png(packed, parameters="a cat", Title="Katze im Hut, süß", Umlaut="漢字")
    with Image.open(io.BytesIO(data)) as image:
        theirs = dict(image.text)
    assert {text.name: text.value for text in find_blocks(data).texts} == theirs


def test_texts_behind_the_pixels_of_a_png() -> None:
    data = saved("PNG")
    data = data[:-12] + png_chunk(b"tEXt", b"parameters\0late") + data[-12:]
    assert [text.value for text in find_blocks(data).texts] == ["late"]


def test_utf8_where_the_standard_wants_latin1() -> None:
    data = png_with(png_chunk(b"tEXt", "k\0漢字".encode()), png_chunk(b"tEXt", b"l\0s\xfc\xdf"))
    assert [text.value for text in find_blocks(data).texts] == ["漢字", "süß"]


def test_profiles_as_imagemagick_writes_them_into_a_png() -> None:
    block = exif({0x010F: "Canon"}).tobytes()
    profile = f"\nexif\n{len(block):8d}\n{block.hex()}\n".encode()
    data = png_with(png_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile)))
    assert contents(find_blocks(data).exif) == [block.removeprefix(b"Exif\0\0")]


def test_resources_of_a_photoshop_file() -> None:
    block = exif({0x010F: "Canon"}).tobytes().removeprefix(b"Exif\0\0")
    records = iptc_record(110, b"A Credit")
    kept = {0x0404: records, 0x0422: block, 0x0424: PACKET}
    resources = b"".join(
        b"8BIM"
        + struct.pack(">H", number)
        + b"\0\0"
        + struct.pack(">I", len(value))
        + value
        + b"\0" * (len(value) % 2)
        for number, value in kept.items()
    )
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 1, 1, 8, 3) + struct.pack(">I", 4) + b"cols"
    data = header + struct.pack(">I", len(resources)) + resources + bytes(100)
    found = find_blocks(data)
    assert [contents(kind) for kind in (found.exif, found.xmp, found.iptc)] == [[block], [PACKET], [records]]
    assert find_blocks(data[:30]) == Blocks()


def test_a_length_that_is_wrong_by_a_few_bytes() -> None:
    wrong = struct.pack(">BBH", 0xFF, 0xED, 10) + b"x" * 15
    data = jpeg_with(wrong, jpeg_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + PACKET))
    assert contents(find_blocks(data).xmp) == [PACKET]


def test_comments_of_jpeg_and_gif() -> None:
    for kind in ("JPEG", "GIF"):
        [text] = find_blocks(saved(kind, comment="hello" * 100)).texts
        assert (text.name, text.value, text.where) == ("Comment", "hello" * 100, f"{kind} comment")


def test_exif_that_goes_on_in_a_second_segment() -> None:
    block = exif({0x010E: "x" * 1000}).tobytes()
    data = jpeg_with(jpeg_segment(0xE1, block[:500]), jpeg_segment(0xE1, b"Exif\0\0" + block[500:]))
    assert contents(find_blocks(data).exif) == [block[6:]]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "AVIF", "BMP"])
def test_nothing_where_there_is_nothing(kind: str) -> None:
    found = find_blocks(saved(kind))
    assert (found.xmp, found.iptc, found.credentials, found.unread) == ((), (), False, ())


def bomb() -> bytes:
    """Texts of 64 MiB each when unpacked."""
    body = b"key\0\0" + zlib.compress(bytes(64 << 20), 9)
    return png_with(*[png_chunk(b"zTXt", body)] * 100)


def many_texts() -> bytes:
    return png_with(png_chunk(b"tEXt", b"key\0value") * 200_000)


def many_segments() -> bytes:
    return jpeg_with(jpeg_segment(0xE1, b"Exif\0\0" + bytes(60_000)) * 2000)


def endless_resources() -> bytes:
    return jpeg_with(jpeg_segment(0xED, b"Photoshop 3.0\0" + b"8BIM\0\0\0\0\0\0\0\0" * 5000) * 500)


def endless_gif() -> bytes:
    return saved("GIF")[:-1] + b"!\xfe\x01a\0" * 1_000_000


def many_empty_packets() -> bytes:
    """Each says that XMP follows, and none does."""
    return (
        b"GIF89a"
        + struct.pack("<HHBBB", 8, 8, 0, 0, 0)
        + b"!\xff\x0bXMP DataXMP\0" * (1 << 14)
        + bytes(4 << 20)
    )


def many_parts_of_an_extension() -> bytes:
    packet = b"http://ns.adobe.com/xap/1.0/\0" + b"HasExtendedXMP " * 4000
    part = b"http://ns.adobe.com/xmp/extension/\0" + bytes(50)
    return jpeg_with(jpeg_segment(0xE1, packet), *[jpeg_segment(0xE1, part)] * 4090)


def endless_riff() -> bytes:
    return b"RIFF\xff\xff\xff\xffWEBP" + b"XMP \0\0\0\0" * 1_000_000


def a_box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, kind) + content


def a_heic(*inner: bytes, data: bytes = b"") -> bytes:
    meta = a_box(b"meta", bytes(4) + b"".join(inner))
    return a_box(b"ftyp", b"heicmif1") + meta + a_box(b"mdat", data)


def the_exif(count: int) -> bytes:
    """What says that so many items are EXIF."""
    each = (a_box(b"infe", struct.pack(">BxxxHH4s", 2, number, 0, b"Exif")) for number in range(count))
    return a_box(b"iinf", bytes(4) + struct.pack(">H", count) + b"".join(each))


def places_of_no_length() -> bytes:
    """Of each of 4,095 items 65,535 parts, whose places take no byte."""
    places = b"".join(struct.pack(">HHH", number, 0, 65_535) for number in range(4095))
    return a_heic(the_exif(4095), a_box(b"iloc", bytes(6) + struct.pack(">H", 4095) + places))


def the_same_bytes_over_and_over() -> bytes:
    """Each of 4,000 items is put together of the whole file, twice."""
    part = struct.pack(">II", 100, 4 << 20)
    places = b"".join(struct.pack(">HHH", number, 0, 2) + 2 * part for number in range(4000))
    iloc = a_box(b"iloc", bytes(4) + b"\x44\0" + struct.pack(">H", 4000) + places)
    return a_heic(the_exif(4000), iloc, data=bytes(4 << 20))


def many_references() -> bytes:
    listed = struct.pack(">4095I", *range(4095))
    each = (a_box(b"cdsc", struct.pack(">IH", number, 4095) + listed) for number in range(500))
    return a_heic(a_box(b"iref", b"\1\0\0\0" + b"".join(each)))


def many_metas() -> bytes:
    return a_box(b"ftyp", b"heicmif1") + a_box(b"meta", bytes(4) + a_box(b"free", b"") * 1200) * 1200


def overlapping_entries() -> bytes:
    """A hundred entries behind a JPEG, all of them the same MiB."""
    content = struct.pack("<HHI", 0, 0x0BA1, 4) + b"Name" + b"a" * (1 << 20)
    rows = struct.pack("<HHII", 0, 0x0BA1, len(content), len(content)) * 100
    directory = b"SEFH" + struct.pack("<II", 101, 100) + rows
    return saved("JPEG") + content + directory + struct.pack("<I", len(directory)) + b"SEFT"


def many_comments() -> bytes:
    return jpeg_with(jpeg_segment(0xFE, b"\xff" * 60_000) * 500)


def many_blocks_and_credentials() -> bytes:
    return saved("GIF")[:-1] + b"!\xf9\0" * 3_000_000 + b"jumdc2pa"


@pytest.mark.parametrize(
    "make",
    [
        places_of_no_length,
        the_same_bytes_over_and_over,
        many_references,
        many_metas,
        overlapping_entries,
        many_comments,
        many_blocks_and_credentials,
        bomb,
        many_texts,
        many_segments,
        endless_resources,
        endless_gif,
        endless_riff,
        many_empty_packets,
        many_parts_of_an_extension,
    ],
)
def test_hostile_containers_cost_little_time_and_memory(make: object) -> None:
    import tracemalloc

    data = make()  # type: ignore[operator]
    start = time.process_time()
    find_blocks(data)
    spent = time.process_time() - start
    tracemalloc.start()  # slow itself, so not while time is taken
    find_blocks(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert spent < 3
    assert peak < 48 << 20
