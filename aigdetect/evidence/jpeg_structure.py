"""How a JPEG file is built: its segments in order, and what its tables tell of the program that wrote it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import groupby, islice
from typing import Any

from aigdetect.formats import jpeg, tiff
from aigdetect.formats.block import Block

MAX_SEGMENTS = 1 << 12
"""Most segments of one file that are looked at."""

_MAX_NAMES = 40  # of segments that are named in a row
_FRAMES = {
    "SOF0": "baseline",
    "SOF1": "extended sequential",
    "SOF2": "progressive",
    "SOF3": "lossless",
    "SOF9": "extended sequential, arithmetic",
    "SOF10": "progressive, arithmetic",
    "SOF11": "lossless, arithmetic",
}
_WITHIN = (  # what an application segment begins with
    (b"JFIF\0", "JFIF"),
    (b"JFXX\0", "JFXX"),
    (b"Exif\0", "Exif"),
    (b"http://ns.adobe.com/xap/1.0/\0", "XMP"),
    (b"http://ns.adobe.com/xmp/extension/\0", "extended XMP"),
    (b"ICC_PROFILE\0", "ICC"),
    (b"MPF\0", "MPF"),
    (b"Photoshop 3.0\0", "Photoshop"),
    (b"Ducky", "Ducky"),
    (b"Adobe", "Adobe"),
    (b"JP", "JUMBF"),
)

# the order in which files have the steps of a table
_ZIGZAG = tuple(
    row * 8 + column
    for total in range(15)
    for row, column in (
        (total - step, step) if total % 2 == 0 else (step, total - step)
        for step in range(max(0, total - 7), min(7, total) + 1)
    )
)
# MD5 of the one DQT segment that Photoshop and Lightroom write at "quality" 0 to 12, colour and grey
# (collected by J. Duttke in ExifTool's JPEGDigest.pm)
_PHOTOSHOP = {
    digest: quality % 13
    for quality, digest in enumerate(
        (
            "683506a889c78d9bc230a0c7ee5f62f3",
            "bc490651af6592cd1dbbbc4fa2cfa1fb",
            "ce4286d9f07999524c3c7472b065c5ab",
            "cbfbfef12aead8841585ef605c789b9f",
            "a0772e73dec2bdc4057c27da47bff376",
            "7ef06dbde538346b8b01c6b538ca70c6",
            "0ff225f58a214f79d1d85d78f6f5dab8",
            "8a8603650fa5ae5fdcf4b2eaf0b23638",
            "44f583ed6b65cb8ba915ec5df051616c",
            "de94c5591bafc7456ccaef430271b907",
            "a6841b35e9ffefa5d83a0445dddd2621",
            "6e3f6a3a5a1eae6155331d42d6f968dd",
            "5379e0133d4439b6f7c7039fc7f7734f",
            "3b0b5975a0e1c9d732c93e1b37a6978b",
            "f4d19ed563e2d0519d6a547088771ddb",
            "e9ef286567fd84a1f479b35ca00db43c",
            "b39cafdb459a42749be3f6459a596677",
            "b3f215deea48e982e205619af279205f",
            "fccd63ce166e198065eaae05c8d78407",
            "0a50266ad8d1dff11c90cd1480c0a2be",
            "6579941db0216f41f0a20de9b626538a",
            "57aa47876e10c6b4f35ecb8889e55ad9",
            "076598d43c5186f6d7a1020b64b93625",
            "37132e8ea81137fdf26ce30926ab8100",
            "46f55ee294723cee9faa816549b3cfa7",
            "7b83284f61decf47ab3f8f7361c18943",
        )
    )
}


@dataclass(frozen=True)
class Segment:
    """One segment, or what lies behind the end of the image.

    Attributes:
        name: ``"SOI"``, ``"APP1 Exif"``, ``"DQT"``..., ``"trailer"``.
        offset: where its marker begins in the file.
        begin: where its content begins.
        end: where its content ends, at the end of the file at the latest; of a scan, the pixels are no part
            of it.
    """

    name: str
    offset: int
    begin: int
    end: int


@dataclass(frozen=True)
class JpegStructure:
    """How a JPEG is built; None or empty for what it does not have.

    Attributes:
        process: ``"baseline"``, ``"progressive"``...
        width: in pixels, as stored.
        height: in pixels, as stored.
        subsampling: of the colours, ``"4:2:0"``; empty for grey images and unusual ones.
        tables: whose quantisation tables they are: ``"standard"`` (libjpeg's, of some quality),
            ``"Photoshop"``, or ``"own"``: a camera's or another program's.
        quality: of the standard tables, or the nearest to the luma table, 1..100.
        photoshop_quality: of Photoshop's tables, 0..12.
        restart_interval: units of the image between restarts; 0 without any.
        trailing_bytes: what lies behind the end of the image; None if it has no end.
        thumbnail: width, height and bytes of the one in EXIF, in words.
        segments: names in the order of the file, ``x N`` for N of one name in a row.
    """

    process: str = ""
    width: int | None = None
    height: int | None = None
    subsampling: str = ""
    tables: str = ""
    quality: int | None = None
    photoshop_quality: int | None = None
    restart_interval: int = 0
    trailing_bytes: int | None = None
    thumbnail: str = ""
    segments: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """An object for JSON, without what is not there."""
        found = {name: value for name, value in asdict(self).items() if value not in (None, "", ())}
        return {**found, "segments": list(self.segments)}


def read_segments(data: bytes) -> Iterator[Segment]:
    """The segments of a JPEG file in order, up to a number, and the trailer; nothing for other files."""
    return islice(_segments(data), MAX_SEGMENTS)


def _segments(data: bytes) -> Iterator[Segment]:
    if not data.startswith(jpeg.SIGNATURE):
        return
    yield Segment("SOI", 0, 2, 2)
    for block in jpeg.segments(data):
        before = 2 if block.kind == "EOI" else 4
        yield Segment(_name(block), block.offset - before, block.offset, block.end)
        if block.kind == "EOI" and block.offset < len(data):
            yield Segment("trailer", block.offset, block.offset, len(data))


def _name(block: Block) -> str:
    if not block.kind.startswith("APP"):
        return block.kind
    head = block.head(40)
    within = next((f" {name}" for start, name in _WITHIN if head.startswith(start)), "")
    return f"{block.kind}{within}"


def read_structure(data: bytes) -> JpegStructure | None:
    """How a JPEG file is built.

    Args:
        data: the whole file; its pixels need not be decodable.

    Returns:
        None if it is no JPEG.
    """
    segments = list(read_segments(data))
    if not segments:
        return None
    frame = next((each for each in segments if each.name.startswith("SOF")), None)
    body = data[frame.begin : frame.end] if frame else b""
    parts = [tuple(body[at : at + 3]) for at in range(6, min(len(body) - 2, 6 + 3 * 4), 3)]
    whole = segments[-1].name in ("EOI", "trailer")
    raw = [data[each.begin : each.end] for each in segments if each.name == "DQT"][:8]
    tables = _read_tables(raw)
    wanted = [tables.get(part[2]) for part in parts]
    owner, quality, photoshop = _owner(tables, wanted)
    restart = next((each for each in segments if each.name == "DRI"), None)
    return JpegStructure(
        process=_FRAMES.get(frame.name, frame.name) if frame else "",
        width=int.from_bytes(body[3:5], "big") if len(body) >= 5 else None,
        height=int.from_bytes(body[1:3], "big") if len(body) >= 5 else None,
        subsampling=_subsampling(parts),
        tables=owner,
        quality=quality,
        photoshop_quality=photoshop,
        restart_interval=int.from_bytes(data[restart.begin : restart.begin + 2], "big") if restart else 0,
        trailing_bytes=segments[-1].end - segments[-1].begin if whole else None,
        thumbnail=_in_words(_thumbnail(data, segments)),
        segments=tuple(_row(segments)),
    )


def _row(segments: Sequence[Segment]) -> Iterator[str]:
    runs = [(name, len(list(run))) for name, run in groupby(each.name for each in segments)]
    for name, count in runs[:_MAX_NAMES]:
        yield name if count == 1 else f"{name} x {count}"
    if len(runs) > _MAX_NAMES:
        yield "..."


def _read_tables(raw: Sequence[bytes]) -> dict[int, tuple[int, ...]]:
    """Steps by number of table, in zigzag order; of a number that comes twice, the first."""
    tables: dict[int, tuple[int, ...]] = {}
    for body in raw:
        at = 0
        while at < len(body):
            size, number = 1 + (body[at] >> 4 > 0), body[at] & 15
            steps = body[at + 1 : at + 1 + 64 * size]
            if len(steps) < 64 * size:
                break
            values = (int.from_bytes(steps[i : i + size], "big") for i in range(0, 64 * size, size))
            tables.setdefault(number, tuple(values))
            at += 1 + 64 * size
    return tables


def _owner(
    tables: dict[int, tuple[int, ...]], of_components: Sequence[tuple[int, ...] | None]
) -> tuple[str, int | None, int | None]:
    """Whose the tables of the components are, the nearest quality, and that of Photoshop."""
    if not of_components or None in of_components:
        return "", None, None
    luma, *colours = (table for table in of_components if table is not None)
    quality = _nearest_quality(luma)
    standard = luma == _standard(jpeg.LUMA, quality) and all(
        table in (_standard(jpeg.CHROMA, quality), luma if len(colours) != 2 else None) for table in colours
    )
    # as one segment, however a program that lost nothing has parted it
    segment = b"".join(
        bytes((number, *tables[number])) for number in sorted(tables) if max(tables[number]) < 256
    )
    photoshop = _PHOTOSHOP.get(hashlib.md5(segment, usedforsecurity=False).hexdigest())
    if photoshop is not None:
        return "Photoshop", quality, photoshop
    return "standard" if standard else "own", quality, None


def _nearest_quality(luma: tuple[int, ...]) -> int:
    """The quality whose table is this one, or nearest to it by the sum of squares."""
    known = _luma_tables()
    return known.get(luma) or known[min(known, key=lambda table: _distance(luma, table))]


@cache
def _luma_tables() -> dict[tuple[int, ...], int]:
    """Qualities, 1 to 100, by their luma tables."""
    return {_standard(jpeg.LUMA, quality): quality for quality in range(1, 101)}


def _distance(one: Sequence[int], other: Sequence[int]) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def _standard(table: Sequence[int], quality: int) -> tuple[int, ...]:
    """A table of the standard as libjpeg scales it, in zigzag order."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return tuple(min(max((table[place] * scale + 50) // 100, 1), 255) for place in _ZIGZAG)


_SUBSAMPLING = {
    (1, 1): "4:4:4",
    (2, 1): "4:2:2",
    (2, 2): "4:2:0",
    (1, 2): "4:4:0",
    (4, 1): "4:1:1",
    (4, 2): "4:1:0",
}


def _subsampling(parts: Sequence[tuple[int, ...]]) -> str:
    if len(parts) != 3 or any(len(part) != 3 for part in parts):
        return ""
    (across, down), *colours = ((part[1] >> 4, part[1] & 15) for part in parts)
    if colours != [(1, 1), (1, 1)]:
        return "4:4:4" if colours == [(across, down)] * 2 else ""
    return _SUBSAMPLING.get((across, down), "")


def read_thumbnail(data: bytes) -> bytes:
    """The JPEG thumbnail in the first EXIF of a JPEG file; empty if there is none, or not all of it.

    Args:
        data: the whole file.
    """
    return _thumbnail(data, read_segments(data))


def _thumbnail(data: bytes, segments: Iterable[Segment]) -> bytes:
    exif = next((each for each in segments if each.name == "APP1 Exif"), None)
    return thumbnail_of(data[exif.begin + 6 : exif.end]) if exif else b""


def thumbnail_of(exif: bytes) -> bytes:
    """The JPEG thumbnail in EXIF; empty if there is none, or not all of it.

    Args:
        exif: a TIFF structure.
    """
    place = {entry.tag: entry.numbers() for entry in tiff.entries(exif) if entry.directory == "IFD1"}
    begin, length = (next(iter(place.get(tag, ())), 0) for tag in (0x0201, 0x0202))
    if not (isinstance(begin, int) and isinstance(length, int) and begin > 0 and length > 0):
        return b""
    thumbnail = exif[begin : begin + length]
    return thumbnail if len(thumbnail) == length and thumbnail.startswith(b"\xff\xd8") else b""


def _in_words(thumbnail: bytes) -> str:
    frame = next((each for each in read_segments(thumbnail) if each.name.startswith("SOF")), None)
    if frame is None:
        return ""
    sides = thumbnail[frame.begin + 1 : frame.begin + 5]
    height, width = (int.from_bytes(sides[at : at + 2], "big") for at in (0, 2))
    return f"{width} x {height}, {len(thumbnail)} bytes"
