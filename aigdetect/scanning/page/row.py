"""One image on the page: its row as a scan writes it, and the pictures that go with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aigdetect.scanning.record import Record


@dataclass(frozen=True)
class PageRow:
    """One image on the page.

    Attributes:
        row: by name of column, as JSON Lines holds it (``Record.as_dict()``, or a line read back): what is
            missing counts as unknown, columns that this version does not know are shown as they are.
        thumbnail: small picture of the image (WebP, JPEG or PNG).
        heatmap: where in the image the evidence lies (likewise).
        spectrum: spectrum of its residual (likewise).
        heatmap_caption: what the heat map shows.
        before: what the image was made from (likewise).
    """

    row: Mapping[str, Any]
    thumbnail: bytes | None = None
    heatmap: bytes | None = None
    spectrum: bytes | None = None
    heatmap_caption: str = ""
    before: bytes | None = None

    @classmethod
    def of_record(
        cls,
        record: Record,
        *,
        thumbnail: bytes | None = None,
        heatmap: bytes | None = None,
        spectrum: bytes | None = None,
        heatmap_caption: str = "",
        before: bytes | None = None,
    ) -> PageRow:
        """The row of a record just made; one read back from JSON Lines is a ``row`` as it is."""
        return cls(record.as_dict(), thumbnail, heatmap, spectrum, heatmap_caption, before)
