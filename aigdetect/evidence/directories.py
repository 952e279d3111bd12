"""What the entries of a TIFF structure say, in words."""

from __future__ import annotations

from aigdetect.evidence.findings import clip, decoded
from aigdetect.formats.tiff import MAX_VALUES, Entry

_ASCII, _UTF8, _UNDEFINED = 2, 129, 7
_BYTES = (1, 6)
_LONGEST_WORD = 64  # of undefined bytes that are taken for text


def in_words(entry: Entry) -> str:
    """The value of an entry in words, bounded in length."""
    data = entry.value.data
    if entry.kind in (_ASCII, _UTF8) or (entry.kind == _UNDEFINED and _is_text(data)):
        return clip(decoded(bytes(data[:1000]).rstrip(b"\0 ")))
    numbers = entry.numbers()
    if not numbers or (entry.kind in _BYTES and entry.count > MAX_VALUES):
        return f"({len(data)} bytes)"
    words = " ".join(f"{number:.10g}" for number in numbers)
    return words + (" ..." if entry.count > len(numbers) else "")


def _is_text(data: memoryview) -> bool:
    return 0 < len(data) <= _LONGEST_WORD and all(32 <= byte < 127 for byte in bytes(data).rstrip(b"\0"))
