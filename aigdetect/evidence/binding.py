"""Whether a file is the one that content credentials were made for, where these are not in their place.

What binds them is a hash of the file without the bytes that hold them (C2PA 2.2, 9.2). Where these bytes
stand makes no difference to it: the rest is as it was signed, byte for byte, or it is not. Where the hash is
one of boxes in their order, they are put back into it before the library looks.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from base64 import b64decode
from collections.abc import Iterator, Mapping
from itertools import islice, pairwise
from typing import Any

from aigdetect.formats import boxes, jpeg, png, riff
from aigdetect.formats.block import MAX_BLOCKS
from aigdetect.formats.jumbf import MANIFEST_UUID, Store

MISMATCH = "assertion.dataHash.mismatch"
"""What the library says where the hash is another one; it takes the bytes to be where they were."""

MISMATCHES = frozenset({MISMATCH, "assertion.bmffHash.mismatch", "assertion.boxesHash.mismatch"})
"""The same, and what it says of hashes that know the place or the order of each box."""

_DATA_HASH = "c2pa.hash.data"
_BOX_HASH = "c2pa.hash.boxes"
_HASHES = ("sha256", "sha384", "sha512")
_LONGEST_PACKET = 64_000


def is_bound(data: bytes, store: Store, details: Mapping[str, Any]) -> bool:
    """Whether a file without a store is what its active manifest was made for.

    Args:
        data: the whole file.
        store: the store that holds the manifest.
        details: the library's detailed report on it.
    """
    hashes = _assertions(details, _DATA_HASH)
    if len(hashes) != 1:
        return False
    name = str(hashes[0].get("alg") or (_active(details).get("claim") or {}).get("alg") or _HASHES[0])
    signed = b64decode(str(hashes[0].get("hash")))
    return name in _HASHES and signed in _digests(data, store, name)


def _digests(data: bytes, store: Store, name: str) -> Iterator[bytes]:
    """Hashes of the file without the store.

    A RIFF has its size at its beginning, which may be that with the store or that without it, and may have
    had, behind the store as the last of its chunks, a byte that made that one even.
    """
    heads, tails = [data[:8]], [b""]
    if riff.is_webp(data):
        size = int.from_bytes(data[4:8], "little") + sum(end - begin for begin, end in store.pieces)
        heads.append(data[:4] + (size & 0xFFFFFFFF).to_bytes(4, "little"))
        tails.append(b"\0")
    for head in heads:
        digest = hashlib.new(name, head)
        at = len(head)
        for begin, end in (*store.pieces, (len(data), len(data))):
            digest.update(memoryview(data)[at:begin])
            at = end
        for tail in tails:
            digest.update(tail)
            yield digest.digest()


def _active(details: Mapping[str, Any]) -> Mapping[str, Any]:
    """The active manifest in a detailed report."""
    return (details.get("manifests") or {}).get(details.get("active_manifest")) or {}


def _assertions(details: Mapping[str, Any], label: str) -> list[Mapping[str, Any]]:
    """Its assertions of one kind."""
    named = _active(details).get("assertion_store") or {}
    return [value for name, value in named.items() if str(name).startswith(label)]


def moved_back(data: bytes, store: Store, details: Mapping[str, Any]) -> bytes | None:
    """A file with its store where its active manifest or the container has it; None where that is not known.

    Args:
        data: the whole file.
        store: the store that holds the manifest.
        details: the library's detailed report on it.
    """
    kept = (data[end:begin] for (_, end), (begin, _) in pairwise(((0, 0), *store.pieces, (len(data), 0))))
    rest = b"".join(kept)
    if boxes.is_boxed(data):
        first = next(boxes.boxes(rest), None)
        ((begin, end),) = store.pieces
        own = data[begin:end] if data[begin + 4 : begin + 8] == b"uuid" else _in_box(store.data)
        return None if first is None else rest[: first.end] + own + rest[first.end :]
    names = [name for each in _assertions(details, _BOX_HASH)[:1] for name in _names(each)]
    if "C2PA" not in names:
        return None
    if rest.startswith(png.SIGNATURE):  # it is the first of the names
        places, held = (chunk.offset - 8 for chunk in png.chunks(rest)), _in_chunk(store.data)
    elif rest.startswith(jpeg.SIGNATURE):
        places, held = (segment.offset - 4 for segment in jpeg.segments(rest)), _in_segments(store.data)
    else:
        return None
    place = next(islice(places, max(0, names.index("C2PA") - 1), None), None)
    return None if place is None else rest[:place] + held + rest[place:]


def _names(assertion: Mapping[str, Any]) -> Iterator[str]:
    """The boxes of a file in their order."""
    for box in islice(assertion.get("boxes") or (), MAX_BLOCKS):
        yield from map(str, islice(box.get("names") or (), MAX_BLOCKS))


def _in_box(box: bytes) -> bytes:
    """A box of a HEIF file that holds a store (C2PA 2.2, A.5.1)."""
    content = MANIFEST_UUID + bytes(4) + b"manifest\0" + bytes(8) + box
    return struct.pack(">I4s", len(content) + 8, b"uuid") + content


def _in_chunk(box: bytes) -> bytes:
    """A chunk of a PNG that holds a store."""
    return b"".join((struct.pack(">I", len(box)), b"caBX", box, struct.pack(">I", zlib.crc32(b"caBX" + box))))


def _in_segments(box: bytes) -> bytes:
    """Segments of a JPEG that hold a store (ISO/IEC 19566-5, D.2)."""
    head, content = box[:8], box[8:]
    parts = (content[at : at + _LONGEST_PACKET] for at in range(0, len(content), _LONGEST_PACKET))
    return b"".join(
        struct.pack(">BBH2sHI", 0xFF, 0xEB, 2 + 8 + 8 + len(part), b"JP", 1, number) + head + part
        for number, part in enumerate(parts, 1)
    )
