"""Write the page: rows go to disk as they come, and the counts into a place kept free for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from aigdetect.files import writing, writing_atomically
from aigdetect.pages.environment import environment, source_hash
from aigdetect.scanning.page.header import PageHeader, header_texts
from aigdetect.scanning.page.row import PageRow
from aigdetect.scanning.page.shown import VERDICTS, Shown, show

_PIECES = 64  # of a template, gathered before each write
_LARGEST = 10**12  # images: what the place for the counts is measured for


def write_page(target: Path, rows: Iterable[PageRow], header: PageHeader) -> None:
    """Write the report of a scan as one HTML page.

    The page is there as a whole or not at all. Memory does not grow with the number of rows. Text of unknown
    origin is escaped, its control and format characters come out as marked escapes; a content security policy
    allows the page's own script and style and pictures inside the page, and nothing else.

    Args:
        target: file to write; an existing one is replaced.
        rows: one per image, in the order found; taken one at a time.
        header: facts about the scan.

    Raises:
        UsageError: if it cannot be written.
    """
    with writing_atomically(target) as file:
        place, counts = None, Counter(dict.fromkeys(VERDICTS, 0))
        slot = _slot(header)
        for piece in _pieces(_counted(rows, counts, header), header, slot):
            if place is None and (at := piece.find(slot)) >= 0:
                place = file.tell() + len(piece[:at].encode())
            _append(file, target, piece)
        if place is None:
            raise RuntimeError("the template has no place for the counts")
        with writing(target):
            file.seek(place)
        _append(file, target, _counts(header, counts).ljust(len(slot)))


def _pieces(rows: Iterator[Shown], header: PageHeader, slot: str) -> Iterator[str]:
    from markupsafe import Markup

    templates = environment("scanning/page")
    # as they come out of the page's own files, without any text of unknown origin
    style, script = (
        Markup(templates.get_template(name).render(also=len(header.also))) for name in ("page.css", "page.js")
    )
    stream = templates.get_template("page.html.j2").stream(
        rows=rows,
        header=header,
        texts=header_texts(header),
        slot=Markup(slot),
        style=style,
        script=script,
        style_hash=Markup(source_hash(style)),
        script_hash=Markup(source_hash(script)),
    )
    stream.enable_buffering(_PIECES)
    return iter(stream)


def _counted(rows: Iterable[PageRow], counts: Counter[str], header: PageHeader) -> Iterator[Shown]:
    also = tuple(other.model for other in header.also)
    for number, row in enumerate(rows, start=1):
        shown = show(row, number, also)
        counts[shown.verdict] += not shown.is_frame
        yield shown


def _slot(header: PageHeader) -> str:
    """What stands where the counts will: as long as the longest counts, and found nowhere else."""
    longest = _counts(header, dict.fromkeys(VERDICTS, _LARGEST))
    return "<!--counts-->".ljust(len(longest), "\t")


def _counts(header: PageHeader, counts: Mapping[str, int]) -> str:
    """The summary, ASCII only: its length in characters is its length on disk."""
    text = environment("scanning/page").get_template("counts.html.j2").render(header=header, counts=counts)
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii")


def _append(file: BinaryIO, target: Path, text: str) -> None:
    with writing(target):
        file.write(text.encode("utf-8"))
