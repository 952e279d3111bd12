"""The page of a scan with many images, from disk to the browser: ``python benchmarks/scan_page.py``.

Writes a page of ``--rows`` made-up rows, each with thumbnail, heat map and spectrum, and prints its size, the
seconds it took and the memory it took. Then opens it in headless Chromium (with playwright, if both are
there) and prints how long loading took and, as medians of ``--rounds``, how long sorting and searching took
until the next frame was drawn, and what the page holds in memory.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from aigdetect.images.thumbnail import encode_webp, reduced, thumbnail
from aigdetect.images.views import Pixels
from aigdetect.model.card import DEFAULT_MODEL, find_model_folder, read_card
from aigdetect.scanning.page.header import PageHeader
from aigdetect.scanning.page.row import PageRow
from aigdetect.scanning.page.write import write_page
from aigdetect.spectrum.small_picture import spectrum_webp

_PICTURES = 50  # images that are drawn; rows take them in turns


def pictures(count: int) -> list[tuple[bytes, bytes, bytes | None]]:
    """Thumbnails, pictures as large as heat maps, and spectra of scikit-image's photographs."""
    from skimage import data

    names = ("astronaut", "coffee", "chelsea", "rocket")
    photographs: list[Pixels] = [getattr(data, name)() for name in names]
    made = []
    for number in range(count):
        pixels = np.roll(photographs[number % 4], 13 * number, axis=1)[:300, :400]
        heat = encode_webp(reduced(pixels[:240, :320], 288), quality=60)
        made.append((thumbnail(pixels), heat, spectrum_webp(pixels)))
    return made


def rows(count: int) -> Iterator[PageRow]:
    """Rows of every kind."""
    card = read_card(find_model_folder(DEFAULT_MODEL))
    thresholds, rng = card.calibration.thresholds(), np.random.default_rng(0)
    made = pictures(min(count, _PICTURES))
    for number, logit in enumerate(rng.normal(0, 4, count).tolist()):
        failed = number % 20 == 19
        row: dict[str, Any] = {
            "path": f"evidence/folder {number % 37}/picture {rng.integers(1 << 30):08x}.jpg",
            "sha256": rng.bytes(32).hex(),
            "verdict": None if failed else thresholds.verdict(logit),
            "score": None if failed else card.calibration.score(logit),
            "logit": None if failed else logit,
            "log10_lr": None if failed else card.calibration.log10_lr(logit),
            "format": "JPEG",
            "width": 400,
            "height": 300,
            "notes": ["strong compression"] if number % 3 == 0 else [],
            "provenance": {"exif": {"make": "Maker", "model": f"Camera {number % 9}"}},
            "error": "cannot be read: it ends too early" if failed else None,
            "model": card.name,
            "precision": "float32",
        }
        small, heat, spectrum = made[number % len(made)]
        yield PageRow(row, small, heat, spectrum, "What the model says of each of 35 squares, seen alone.")


def header() -> PageHeader:
    """The header of a scan that is just over."""
    card, now = read_card(find_model_folder(DEFAULT_MODEL)), datetime.now(timezone.utc)
    return PageHeader.of_card(
        card,
        card.calibration.thresholds(),
        precision="float32",
        command="aigdetect scan evidence --html page.html",
        started=now,
        finished=now,
    )


# -- in the browser ----------------------------------------------------------------------------------------

_DRAWN = (
    "() => new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(performance.now()), 0)))"
)
_TIMED = f"""async ([selector, event, text]) => {{
  const element = document.querySelector(selector);
  const start = performance.now();
  if (event === "input") {{ element.value = text; element.dispatchEvent(new Event("input")); }}
  else element.click();
  return (await ({_DRAWN})() - start) / 1000;
}}"""


def browse(page: Path, rounds: int) -> Iterator[tuple[str, str]]:
    """What it costs to look at a page."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        yield "browser", "not measured: playwright is not installed"
        return
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        yield "browser", "not measured: there is no Chromium"
        return
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1400, "height": 900})
        session = tab.context.new_cdp_session(tab)
        session.send("Performance.enable")
        start = time.perf_counter()
        tab.goto(page.as_uri(), timeout=600_000)
        tab.evaluate(_DRAWN)
        elapsed = time.perf_counter() - start
        yield "loaded and drawn", f"{elapsed:.2f} s ({_metrics(session)['ThreadTime']:.2f} s CPU)"
        yield "sort by score", _seconds(tab, "th.score button", "click", rounds)
        yield "sort by file", _seconds(tab, "th.path button", "click", rounds)
        yield "search", _seconds(tab, "#search", "input", rounds)
        yield "filter by verdict", _seconds(tab, "input[value=real]", "click", rounds)
        metrics = _metrics(session)
        yield "nodes", f"{metrics['Nodes']:,.0f}"
        yield "memory of the script", f"{metrics['JSHeapUsedSize'] / 1e6:.0f} MB"
        browser.close()


def _metrics(session: Any) -> dict[str, float]:
    """What Chromium counts of a page, its main thread's processor seconds among them."""
    return {item["name"]: item["value"] for item in session.send("Performance.getMetrics")["metrics"]}


def _seconds(tab: Any, selector: str, event: str, rounds: int) -> str:
    """From an event until the frame after it has been drawn, median of rounds, the first by itself."""
    taken = [tab.evaluate(_TIMED, [selector, event, f"folder {number}"]) for number in range(rounds)]
    if event == "input":
        tab.evaluate("document.getElementById('search').value = ''")
    return f"{statistics.median(taken):.3f} s (first {taken[0]:.3f} s)"


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", metavar="FILE", help="keep the page")
    options = parser.parse_args()
    table = Table(title=f"page of {options.rows} images")
    for title in ("what", "result"):
        table.add_column(title)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(options.keep or Path(folder) / "page.html")
        write_page(page, rows(min(options.rows, _PICTURES)), header())  # what is loaded once
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start, used = time.perf_counter(), time.process_time()
        write_page(page, rows(options.rows), header())
        table.add_row(
            "written in", f"{time.perf_counter() - start:.1f} s ({time.process_time() - used:.1f} s CPU)"
        )
        more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        table.add_row("memory beyond that of a page of 50", f"{more / 1024:.0f} MB")
        table.add_row("size", f"{page.stat().st_size / 1e6:.1f} MB")
        for what, result in browse(page, options.rounds):
            table.add_row(what, result)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
