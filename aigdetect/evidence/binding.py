"""Whether a file is the one that content credentials were made for, where these are not in their place.

What binds them is a hash of the file without the bytes that hold them (C2PA 2.2, 9.2). Where these bytes
stand makes no difference to it: the rest is as it was signed, byte for byte, or it is not.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode
from collections.abc import Iterator, Mapping
from typing import Any

from aigdetect.formats import boxes, riff
from aigdetect.formats.jumbf import Store

MISMATCH = "assertion.dataHash.mismatch"
"""What the library says where the hash is another one; it takes the bytes to be where they were."""

BOXES_MISMATCH = "assertion.bmffHash.mismatch"
"""The same of files of boxes, whose hash knows the place of each box."""

_DATA_HASH = "c2pa.hash.data"
_HASHES = ("sha256", "sha384", "sha512")


def is_bound(data: bytes, store: Store, details: Mapping[str, Any]) -> bool:
    """Whether a file without a store is what its active manifest was made for.

    Args:
        data: the whole file.
        store: the store that holds the manifest.
        details: the library's detailed report on it.
    """
    manifest = (details.get("manifests") or {}).get(details.get("active_manifest")) or {}
    assertions = manifest.get("assertion_store") or {}
    hashes = [value for label, value in assertions.items() if str(label).startswith(_DATA_HASH)]
    if len(hashes) != 1:
        return False
    name = str(hashes[0].get("alg") or (manifest.get("claim") or {}).get("alg") or _HASHES[0])
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


def moved_back(data: bytes, store: Store) -> bytes | None:
    """A file of boxes with that of its store behind the first, where it belongs; None for all others."""
    first = next(boxes.boxes(data), None) if boxes.is_boxed(data) else None
    if first is None or store.by_itself:
        return None
    ((begin, end),) = store.pieces
    if begin < first.end:
        return None
    return b"".join((data[: first.end], data[begin:end], data[first.end : begin], data[end:]))
