"""Pages for tests: a header, rows of every kind, and what reads a page strictly."""

from __future__ import annotations

import io
import math
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from page_reader import Reader
from PIL import Image

from aigdetect.scanning.page.header import PageHeader
from aigdetect.scanning.page.row import PageRow
from aigdetect.scanning.page.write import write_page
from aigdetect.scanning.settings import Other

BEGAN = datetime(2026, 3, 1, 12, 0, tzinfo=timezone(timedelta(hours=2)))


def header(**changes: Any) -> PageHeader:
    facts: dict[str, Any] = {
        "model": "tiny",
        "backbone": "ViT-T",
        "backbone_digest": "b" * 64,
        "adapter_sha256": "a" * 64,
        "views": ("center_crop", "whole"),
        "view_size": 224,
        "real_count": 147,
        "generated_count": 128,
        "highest_lr": math.log10(147),
        "lowest_lr": -math.log10(128),
        "fpr": 0.01,
        "fnr": 0.05,
        "fpr_supported": True,
        "ai_above": 0.9,
        "real_below": 0.25,
        "command": "aigdetect scan folder --html page.html",
        "precision": "float32",
        "started": BEGAN,
        "finished": BEGAN + timedelta(minutes=1),
    }
    return PageHeader(**{**facts, **changes})


def row(path: str, score: float | None = 0.5, **changes: Any) -> dict[str, Any]:
    """A row as JSON Lines holds it."""
    verdict = None if score is None else "ai" if score > 0.9 else "real" if score < 0.25 else "uncertain"
    made = {
        "path": path,
        "sha256": "c" * 64,
        "status": "error" if score is None else "scored",
        "verdict": verdict,
        "score": score,
        "logit": None if score is None else 4 * score - 2,
        "log10_lr": None if score is None else 4 * score - 2,
        "format": "PNG",
        "width": 640,
        "height": 480,
        "notes": [],
        "provenance": None,
        "error": "cannot be read" if score is None else None,
        "model": "tiny",
        "precision": "float32",
    }
    return {**made, **changes}


def others(*names: str) -> tuple[Other, ...]:
    """Further models for the header of a page."""
    return tuple(Other(name, "e" * 64, "f" * 64, None, "bfloat16") for name in names)


def picture(colour: str = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 6), colour).save(file, "PNG")
    return file.getvalue()


def with_pictures(made: dict[str, Any]) -> PageRow:
    return PageRow(made, picture("red"), picture("green"), picture("blue"), "warmer is stronger")


def page(folder: Path, rows: list[PageRow], **changes: Any) -> str:
    write_page(folder / "page.html", rows, header(**changes))
    return (folder / "page.html").read_text(encoding="utf-8")


class ScanReader(Reader):
    """Keeps script and style apart from the texts."""

    void = frozenset({"meta", "img", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.sources: dict[str, str] = {}

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("script", "style"):
            self.sources[self.open[-1]] = self.sources.get(self.open[-1], "") + data
        else:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def shape(self) -> list[tuple[str, list[str]]]:
        """Tags and the names of their attributes, without the marks about escapes."""
        return [(tag, sorted(attrs)) for tag, attrs in self.tags if attrs.get("class") != "escape"]


def read(text: str) -> ScanReader:
    reader = ScanReader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader
