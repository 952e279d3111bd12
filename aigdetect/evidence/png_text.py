"""The texts of PNG files, decompressed within bounds."""

from __future__ import annotations

import zlib

from aigdetect.formats.block import Block


def png_text(chunk: Block, most: int) -> tuple[str, bytes, str]:
    """Keyword and undecoded text of a chunk, up to a length, and what is wrong with it, in words."""
    key, rest = chunk.head(80).partition(b"\0")[0], chunk.head(most).partition(b"\0")[2]
    state = "" if chunk.whole else "truncated"
    if chunk.length > most:
        state = state or "too long"
    packed = chunk.kind == "zTXt"
    if chunk.kind == "zTXt":
        rest = rest[1:]
    elif chunk.kind == "iTXt":
        packed, rest = rest[:1] == b"\1", rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    if packed:
        rest, state = _inflated(rest, most, state)
    return key.decode("latin-1"), rest, state


def _inflated(data: bytes, most: int, state: str) -> tuple[bytes, str]:
    """Decompressed text up to a length, and what is wrong with it."""
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(data, most)
    except zlib.error:
        return inflate(data, most), state or "cannot be decompressed"
    return text, state or ("" if stream.eof else "too long" if len(text) >= most else "truncated")


def inflate(data: bytes, most: int, *, bits: int = zlib.MAX_WBITS) -> bytes:
    """Decompress to ``most`` bytes at most, as far as the stream is sound; empty if it is none."""
    stream, parts = zlib.decompressobj(bits), []
    try:
        for at in range(0, len(data), 1 << 10):  # what came before the damage counts
            parts.append(stream.decompress(data[at : at + (1 << 10)], most))
            most -= len(parts[-1])
            if most <= 0 or stream.eof:
                break
    except zlib.error:
        pass
    return b"".join(parts)


def any_text(data: bytes) -> str:
    """Text that should be Latin-1 by the standard, and is UTF-8 by the habits of many programs."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")
