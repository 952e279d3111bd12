"""What is cut from an image of the corpus before it is used, and the record of what was written so."""

from __future__ import annotations

import io
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from corpus_rows import BOTTOM_ROWS, Row
from corpus_sources import Absent
from PIL import Image

_ROWS = int(BOTTOM_ROWS.rpartition(":")[2])


def cut(data: bytes, row: Row) -> list[bytes]:
    """The parts of an image, in the order of ``row.names``: its own bytes, or PNG files.

    Raises:
        Absent: it has to be cut, and cannot be read or is too small.
    """
    if not row.cut:
        return [data]
    try:
        with Image.open(io.BytesIO(data)) as opened:
            image = opened if opened.mode == "RGB" else opened.convert("RGB")
            return [_png(image.crop(box)) for box in _boxes(row.cut, *image.size)]
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Absent(f"cannot be cut ({' '.join(str(error).split())})") from error


def _boxes(name: str, width: int, height: int) -> list[tuple[int, int, int, int]]:
    if name == BOTTOM_ROWS:
        boxes = [(0, 0, width, height - _ROWS)]
    else:
        columns, rows = (0, width // 2, width), (0, height // 2, height)
        boxes = [(columns[x], rows[y], columns[x + 1], rows[y + 1]) for y in range(2) for x in range(2)]
    if any(right <= left or low <= high for left, high, right, low in boxes):
        raise ValueError(f"{width}x{height} pixels are too few")
    return boxes


def _png(image: Image.Image) -> bytes:
    profile = image.info.get("icc_profile")
    image.info = {}  # what it said of the whole image does not hold for a part
    file = io.BytesIO()
    image.save(file, "PNG", icc_profile=profile)
    return file.getvalue()


class CutRecord:
    """Digests of the cut images in a folder, kept in a file to which a line is added for each.

    Args:
        path: the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[tuple[str, str], str] = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                name, _, rest = line.partition("\t")
                made, _, digest = rest.partition("\t")
                self._known[name, made] = digest

    def knows(self, row: Row, parts: Sequence[bytes]) -> bool:
        """Whether these are the parts that were written for this row."""
        return all(
            self._known.get((name, row.cut)) == sha256(part).hexdigest()
            for name, part in zip(row.names, parts, strict=True)
        )

    def add(self, row: Row, parts: Sequence[bytes]) -> None:
        """Keep the digests of parts that are about to be written; only one thread may add at a time."""
        digests = [sha256(part).hexdigest() for part in parts]
        with self._path.open("a", encoding="utf-8") as file:
            for name, digest in zip(row.names, digests, strict=True):
                file.write(f"\n{name}\t{row.cut}\t{digest}")  # a line that broke off before is left alone
                self._known[name, row.cut] = digest
