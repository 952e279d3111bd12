"""C2PA credentials that lie outside their place: moved, shuffled, behind the pixels, behind the end."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from pathlib import Path

import c2pa
import pytest
from metadata_files import saved
from signed_images import GENERATED, Authority, created, make_authority, sign

from aigdetect.evidence.c2pa import ANCHORS, read_credentials
from aigdetect.evidence.findings import Kind, Says, Strength
from aigdetect.evidence.ingredients import read_ingredient_thumbnails
from aigdetect.evidence.provenance import read_provenance
from aigdetect.formats import boxes, gif, jpeg, jumbf, png, riff
from aigdetect.formats.block import Block


@pytest.fixture(scope="module")
def authority() -> Authority:
    return make_authority()


@pytest.fixture(scope="module")
def signed(authority: Authority) -> bytes:
    """A JPEG whose credentials take several segments: they hold those of what it was made from."""
    data = saved("JPEG")
    for _ in range(3):
        data = sign(saved("JPEG"), "image/jpeg", authority, created(GENERATED, "Image Maker"), parent=data)
    return data


def packets(data: bytes) -> tuple[bytes, list[bytes]]:
    """A JPEG without its credentials, and the segments that hold these."""
    found = [block for block in jpeg.segments(data) if block.kind == "APP11"]
    begin, end = found[0].offset - 4, found[-1].end
    assert found
    return data[:begin] + data[end:], [data[block.offset - 4 : block.end] for block in found]


def numbered(segments: list[bytes], first: int) -> list[bytes]:
    return [each[:8] + struct.pack(">I", first + n) + each[12:] for n, each in enumerate(segments)]


def box(segments: list[bytes]) -> bytes:
    return segments[0][12:] + b"".join(each[20:] for each in segments[1:])


EDIT = (c2pa.C2paBuilderIntent.EDIT,)
SHUFFLED = "APP11 moved, out of order or misnumbered"
MOVES: dict[str, tuple[Callable[[bytes, list[bytes]], bytes], str]] = {
    "before the end": (
        lambda rest, parts: rest[:-2] + b"".join(parts) + rest[-2:],
        "APP11 behind the pixels",
    ),
    "behind the end": (
        lambda rest, parts: rest + b"".join(parts),
        "APP11 behind the end of the image",
    ),
    "backwards": (
        lambda rest, parts: rest[:20] + b"".join(reversed(parts)) + rest[20:],
        SHUFFLED,
    ),
    "counted from 0": (
        lambda rest, parts: rest[:20] + b"".join(numbered(parts, 0)) + rest[20:],
        SHUFFLED,
    ),
    "all over": (
        lambda rest, parts: rest[:20] + b"".join(parts[2:]) + rest[20:-2] + parts[1] + rest[-2:] + parts[0],
        "APP11 before the pixels and behind the pixels and behind the end of the image",
    ),
}


@pytest.mark.parametrize("move", MOVES)
def test_a_jpeg_with_credentials_elsewhere(
    move: str, signed: bytes, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved, where = MOVES[move][0](*packets(signed)), MOVES[move][1]
    found = read_provenance(moved)
    assert found.c2pa is not None
    assert (found.c2pa.state, found.c2pa.strength, found.c2pa.outside) == (
        "Valid",
        Strength.UNTRUSTED,
        where,
    )
    assert found.notes == (f"C2PA outside its place: {where}",)
    [claim] = [each for each in found.findings if each.where == "C2PA outside its place"]
    assert (claim.kind, claim.says) == (Kind.CREDENTIAL, Says.GENERATED)
    assert "C2PA parent outside its place" in {each.where for each in found.findings}
    assert found.as_dict()["c2pa"]["outside"] == where
    (tmp_path / "anchors.pem").write_text(authority.root)
    monkeypatch.setenv(ANCHORS, str(tmp_path / "anchors.pem"))
    trusted = read_credentials(moved)
    assert trusted is not None
    assert (trusted.state, trusted.strength) == ("Trusted", Strength.TRUSTED)


@pytest.mark.parametrize("move", MOVES)
def test_of_another_or_changed_image_they_are_broken(move: str, signed: bytes) -> None:
    rest, parts = packets(signed)
    changed = MOVES[move][0](rest[:-4] + bytes([rest[-4] ^ 1]) + rest[-3:], parts)
    found = read_credentials(changed)
    assert found is not None
    assert found.strength is Strength.BROKEN
    lied = MOVES[move][0](rest, [part.replace(b"Image Maker", b"Image Faker") for part in parts])
    found = read_credentials(lied)
    assert found is not None
    assert found.strength is Strength.BROKEN


def test_credentials_in_their_place_are_not_outside_it(signed: bytes) -> None:
    found = read_provenance(signed)
    assert found.c2pa is not None
    assert (found.c2pa.outside, found.notes) == ("", ())
    assert "outside" not in found.as_dict()["c2pa"]


def without(data: bytes, piece: Block, before: int, behind: int) -> tuple[bytes, bytes]:
    """A file without a block, and the block with so many bytes before and behind its content."""
    begin, end = piece.offset - before, piece.end + behind
    return data[:begin] + data[end:], data[begin:end]


def a_png(data: bytes) -> list[tuple[bytes, str]]:
    chunk = next(each for each in png.chunks(data) if each.kind == "caBX")
    rest, piece = without(data, chunk, 8, 4)
    return [
        (rest[:-12] + piece + rest[-12:], "caBX behind the pixels"),
        (rest + piece, "caBX behind the end of the image"),
        (rest + piece[8:-4], f"at byte {len(rest)}"),
    ]


def a_webp(data: bytes) -> list[tuple[bytes, str]]:
    chunk = next(each for each in riff.chunks(data) if each.kind == "C2PA")
    rest, piece = without(data, chunk, 8, chunk.length % 2)
    smaller = rest[:4] + struct.pack("<I", len(rest) - 8) + rest[8:]
    return [
        (rest[:12] + piece + rest[12:], "chunk C2PA moved"),
        (smaller + piece, "chunk C2PA behind the end of the image"),
    ]


def a_gif(data: bytes) -> list[tuple[bytes, str]]:
    block = next(each for each in gif.blocks(data) if each.head(9)[1:] == b"C2PA_GIF")
    rest, piece = without(data, block, 2, 1)
    return [
        (rest[:-1] + piece + rest[-1:], "extension C2PA_GIF behind the pixels"),
        (rest + piece, "extension C2PA_GIF behind the end of the image"),
    ]


def boxed(data: bytes) -> list[tuple[bytes, str]]:
    box = next(each for each in boxes.boxes(data) if each.kind in ("uuid", "jumb"))
    rest, piece = without(data, box, 8, 0)
    moved = [(rest + piece, f"box {box.kind} moved")]
    if box.kind == "uuid":
        jumb = piece[piece.index(b"jumb") - 4 :]
        moved.append((rest + jumb, "box jumb moved"))
        for held in (piece, jumb):
            moved.append((rest + struct.pack(">I4s", len(held) + 8, b"free") + held, "in box free"))
    return moved


def of_the_kind(kind: str, authority: Authority) -> bytes:
    import pillow_jxl  # noqa: F401 - registers itself

    options = {"use_container": True} if kind == "jxl" else {}
    return sign(saved(kind, **options), f"image/{kind}", authority, created(GENERATED, "Image Maker"))


@pytest.mark.parametrize(
    ("kind", "moves"), [("png", a_png), ("webp", a_webp), ("gif", a_gif), ("avif", boxed), ("jxl", boxed)]
)
def test_other_containers(
    kind: str, moves: Callable[[bytes], list[tuple[bytes, str]]], authority: Authority
) -> None:
    for moved, where in moves(of_the_kind(kind, authority)):
        found = read_provenance(moved)
        assert found.c2pa is not None
        assert (found.c2pa.strength, found.c2pa.outside) == (Strength.UNTRUSTED, where)
        assert found.c2pa.manifests[0].says is Says.GENERATED
        assert f"C2PA outside its place: {where}" in found.notes
        broken = read_credentials(moved[:60] + bytes([moved[60] ^ 1]) + moved[61:])
        assert broken is None or broken.strength is Strength.BROKEN


def boxes_of(data: bytes, kind: str) -> list[tuple[str, bytes]]:
    """The boxes of a PNG or a JPEG without credentials, by the names of C2PA, with the place for these."""
    if kind == "png":
        chunks = [(each.kind, data[each.offset - 8 : each.end + 4]) for each in png.chunks(data)]
        return [("PNGh", data[:8]), chunks[0], ("C2PA", b""), *chunks[1:]]
    places = [each.offset - (2 if each.kind == "EOI" else 4) for each in jpeg.segments(data)]
    kinds = [each.kind for each in jpeg.segments(data)]
    segments = [
        (kind, data[at:end]) for kind, at, end in zip(kinds, places, [*places[1:], len(data)], strict=True)
    ]
    return [("SOI", data[:2]), segments[0], ("C2PA", b""), *segments[1:]]


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_credentials_that_are_bound_box_by_box(kind: str, authority: Authority) -> None:
    data = saved(kind)
    whole = sign(data, f"image/{kind}", authority, created(GENERATED), boxes=boxes_of(data, kind))
    found = read_credentials(whole)
    assert found is not None
    assert (found.strength, found.outside) == (Strength.UNTRUSTED, "")
    if kind == "png":
        moves = a_png(whole)
    else:
        [segment] = [each for each in jpeg.segments(whole) if each.kind == "APP11"]
        rest, piece = without(whole, segment, 4, 0)
        moves = [
            (rest[:-2] + piece + rest[-2:], "APP11 behind the pixels"),
            (rest + piece[12:], f"at byte {len(rest)}"),
        ]
    for moved, where in moves:
        found = read_credentials(moved)
        assert found is not None
        assert (found.strength, found.outside) == (Strength.UNTRUSTED, where)
        broken = read_credentials(moved[:60] + bytes([moved[60] ^ 1]) + moved[61:])
        assert broken is None or broken.strength is Strength.BROKEN


def test_behind_another_image_they_count_if_they_are_of_the_whole_file(authority: Authority) -> None:
    two = saved("JPEG") + saved("JPEG", quality=5)
    rest, parts = packets(sign(two, "image/jpeg", authority, created(GENERATED), parent=two, intent=EDIT))
    assert rest == two
    found = read_credentials(two + b"".join(parts))
    assert found is not None
    assert (found.strength, found.outside) == (Strength.UNTRUSTED, "APP11 behind another image")
    assert read_credentials(two[:-3] + b"?" + two[-2:] + b"".join(parts)) is None


def test_what_belongs_to_another_image_in_the_file_is_not_said_of_this_one(signed: bytes) -> None:
    rest, parts = packets(signed)
    for behind in (signed, b"\0\0\0\0" + box(parts)):
        found = read_provenance(rest + behind)
        assert found.c2pa is None
        assert found.notes == ("C2PA present, not read: not where content credentials belong",)
        assert not found.ai_claims


def test_pictures_of_what_it_was_made_from(signed: bytes) -> None:
    moved = MOVES["all over"][0](*packets(signed))
    found = read_credentials(moved)
    assert found is not None
    assert read_ingredient_thumbnails(moved) == ()
    assert read_ingredient_thumbnails(moved, found.outside) == read_ingredient_thumbnails(signed) != ()


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8" + b"\xff\xeb\0\x26JP\0\1\0\0\0\1\0\0\0\x40jumb\0\0\0\x1ejumdc2pa\0\x11" * 60_000,
        b"\xff\xd8\xff\xd9" + b"\xff\xeb\0\x26JP\0\1\0\0\0\1\0\0\0\x40jumb\0\0\0\x1ejumdc2pa\0\x11" * 60_000,
        b"\xff\xd8\xff\xd9" + b"\0\0\1\0jumb\0\0\0\x1ejumdc2pa" * 100_000,
        png.SIGNATURE + b"\0\0\0\x14caBX\0\0\x40\0jumb\0\0\0\x1ejumdc2paCRC!" * 60_000,
        b"\0\0\0\x0cftypavif" + b"\0\0\1\0jumb\0\0\0\x1ejumdc2pa" * 100_000,
        b"RIFF\0\0\0\0WEBP" + b"jumdc2pa" * 1_000_000,
    ],
    ids=["segments", "behind", "boxes behind", "chunks", "boxes", "marks"],
)
def test_endless_stores_cost_little(data: bytes) -> None:
    start = time.process_time()
    assert len(list(jumbf.stores(data))) <= jumbf.MAX_STORES
    read_credentials(data)
    assert time.process_time() - start < 3
