"""The page in a browser: sorting, searching, and that nothing of a file's own ever runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scan_pages import others, page, row, with_pictures

ATTACK = "<script>document.title='run'</script><img src=x onerror=\"document.title='run'\">"
NAMES = ("b10.png", "b9.png", ATTACK, "ärger.jpg", "a.jpg")
SCORES = (0.5, 0.95, 0.99, None, 0.1)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, driven by playwright."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.skip("THE PAGE OF A SCAN IS NOT TESTED IN A BROWSER: playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("THE PAGE OF A SCAN IS NOT TESTED IN A BROWSER: there is no Chromium")
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def tab(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """The page, opened; it must log nothing and ask for nothing."""
    rows = [
        with_pictures(row(name, score, sha256=f"digest{number}", notes=["of a", "kind"] if number else []))
        for number, (name, score) in enumerate(zip(NAMES, SCORES, strict=True))
    ]
    page(tmp_path, rows)
    opened = browser.new_page()
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda request: said.append(request.url))
    address = (tmp_path / "page.html").as_uri()
    opened.goto(address)
    yield opened
    assert [line for line in said if not line.startswith(("data:image/", address))] == []
    assert opened.title().startswith("Scan of images")
    opened.close()


def shown(tab: Any, text: str) -> int:
    """How many pictures are to be seen, once there is one: a picture has no size until it is decoded."""
    pictures = tab.get_by_alt_text(text).locator("visible=true")
    pictures.first.wait_for()
    return int(pictures.count())


def names_of(tab: Any) -> list[str]:
    """Files of the rows that can be seen, from the top."""
    return tab.locator("tbody:visible .path").all_text_contents()  # type: ignore[no-any-return]


def test_columns_sort_both_ways_and_what_is_missing_stays_last(tab: Any) -> None:
    assert names_of(tab) == list(NAMES)
    tab.get_by_role("button", name="Score").click()
    assert names_of(tab) == [ATTACK, "b9.png", "b10.png", "a.jpg", "ärger.jpg"]
    assert tab.get_by_role("columnheader", name="Score").get_attribute("aria-sort") == "descending"
    tab.get_by_role("button", name="Score").click()
    assert names_of(tab) == ["a.jpg", "b10.png", "b9.png", ATTACK, "ärger.jpg"]
    tab.get_by_role("button", name="File").click()
    assert names_of(tab) == [ATTACK, "a.jpg", "ärger.jpg", "b9.png", "b10.png"]
    assert tab.locator("[aria-sort]").count() == 1
    tab.get_by_role("button", name="Verdict").click()
    assert names_of(tab) == ["b9.png", ATTACK, "b10.png", "a.jpg", "ärger.jpg"]
    tab.get_by_role("button", name="No.").click()
    assert names_of(tab) == list(NAMES)


def with_opinions(*scores: float | None) -> list[dict[str, Any]]:
    """Rows of which three further models say the same."""
    found = []
    for number, score in enumerate(scores):
        made = row(f"{number}.png", notes=["low resolution"])
        for model in FURTHER:
            made[f"score_{model}"] = score
            made[f"verdict_{model}"] = score if score is None else "ai" if score > 0.9 else "uncertain"
        found.append(made)
    return found


FURTHER = ("npr", "mole-vit-b16", "a-probe-of-a-name-that-goes-on-and-on-and-on-and-on")


def test_columns_of_further_models_sort_by_verdict_and_score(browser: Any, tmp_path: Path) -> None:
    rows = with_opinions(0.3, 0.99, None, 0.95, 0.5)
    rows[1]["verdict_npr"] = "uncertain"  # as where little of an image is left
    page(tmp_path, [with_pictures(each) for each in rows], also=others(*FURTHER))
    opened = browser.new_page(viewport={"width": 1400, "height": 800})
    opened.goto((tmp_path / "page.html").as_uri())
    opened.get_by_role("button", name="further model npr").click()
    assert names_of(opened) == ["3.png", "1.png", "4.png", "0.png", "2.png"]
    opened.get_by_role("button", name="further model npr").click()
    assert names_of(opened) == ["0.png", "4.png", "1.png", "3.png", "2.png"]
    opened.get_by_role("button", name="further model mole").click()
    assert names_of(opened) == ["1.png", "3.png", "4.png", "0.png", "2.png"]
    opened.close()


@pytest.mark.parametrize("count", [1, 3])
def test_opinions_lie_under_their_headings_on_wide_screens(browser: Any, tmp_path: Path, count: int) -> None:
    page(tmp_path, [with_pictures(each) for each in with_opinions(0.3)], also=others(*FURTHER[:count]))
    opened = browser.new_page(viewport={"width": 1400, "height": 800})
    opened.goto((tmp_path / "page.html").as_uri())
    lefts = "all => all.map(each => each.getBoundingClientRect().left)"
    assert opened.eval_on_selector_all("thead th", lefts) == opened.eval_on_selector_all(
        "tbody tr:first-child > *", lefts
    )
    assert not opened.locator("tbody").get_by_text("npr", exact=True).is_visible()
    opened.set_viewport_size({"width": 800, "height": 800})
    assert opened.locator("tbody").get_by_text("npr", exact=True).is_visible()
    tops = "all => all.map(each => each.getBoundingClientRect().top)"
    below = opened.eval_on_selector_all("tbody .score, tbody .also, tbody .remarks, tbody .more", tops)
    assert below == sorted(below)
    assert len(set(below)) == count + 3
    opened.close()


def test_searching_looks_at_names_and_at_what_is_in_the_details(tab: Any) -> None:
    status = tab.get_by_role("status")
    assert status.inner_text() == "All 5 rows are shown."
    tab.get_by_label("Search").fill("B1")
    assert names_of(tab) == ["b10.png"]
    assert status.inner_text() == "1 of 5 rows are shown."
    tab.get_by_label("Search").fill("digest3")
    assert names_of(tab) == ["ärger.jpg"]
    tab.get_by_label("Search").fill("SHA-256")  # a label, which is in every row
    assert names_of(tab) == []
    tab.get_by_label("Search").fill("")
    tab.get_by_label("AI", exact=True).uncheck()
    assert names_of(tab) == ["b10.png", "ärger.jpg", "a.jpg"]
    tab.get_by_label("not scored").uncheck()
    tab.get_by_role("button", name="Score").click()
    assert names_of(tab) == ["b10.png", "a.jpg"]


def test_it_works_from_the_keyboard(tab: Any) -> None:
    tab.get_by_role("button", name="log10 LR").focus()
    tab.keyboard.press("Enter")
    assert names_of(tab)[0] == ATTACK
    tab.get_by_text("Details of a.jpg").focus()
    tab.keyboard.press("Enter")
    assert shown(tab, "heat map over the image") == 1


def test_details_open_and_pictures_are_there(tab: Any) -> None:
    tab.get_by_role("button", name="Open all details").click()
    assert tab.locator("details[open]").count() == 5
    tab.wait_for_function("Array.from(document.images).every((image) => image.naturalWidth > 0)")
    tab.get_by_role("button", name="Close all details").click()
    assert tab.locator("details[open]").count() == 0


def test_without_script_all_can_be_read(browser: Any, tmp_path: Path) -> None:
    page(tmp_path, [with_pictures(row(name, score)) for name, score in zip(NAMES, SCORES, strict=True)])
    context = browser.new_context(java_script_enabled=False)
    opened = context.new_page()
    opened.goto((tmp_path / "page.html").as_uri())
    assert names_of(opened) == list(NAMES)
    assert not opened.get_by_label("Search").is_visible()
    opened.get_by_text("Details of a.jpg").click()
    assert shown(opened, "spectrum of the residual") == 1
    context.close()


@pytest.mark.parametrize("width", [360, 800, 1400])
def test_nothing_sticks_out_on_any_screen(browser: Any, tmp_path: Path, width: int) -> None:
    rows = [row("x" * 300, 0.5, notes=["y" * 300]), row("a.png"), *with_opinions(0.95)]
    page(tmp_path, [with_pictures(each) for each in rows], also=others(*FURTHER))
    opened = browser.new_page(viewport={"width": width, "height": 800})
    opened.goto((tmp_path / "page.html").as_uri())
    opened.get_by_role("button", name="Open all details").click()
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    opened.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(browser: Any, tmp_path: Path, scheme: str) -> None:
    """Contrast of 4.5 at least, as WCAG 2 asks for (success criterion 1.4.3)."""
    scores = (0.95, 0.5, 0.1, None)
    rows = [row(f"folder/\x1b{score}", score, notes=["n"]) for score in scores] + with_opinions(*scores)
    page(tmp_path, [with_pictures(each) for each in rows], also=others(*FURTHER))
    opened = browser.new_page(color_scheme=scheme)
    opened.goto((tmp_path / "page.html").as_uri())
    opened.get_by_role("button", name="Open all details").click()
    ratios = opened.evaluate(CONTRAST)
    assert len(ratios) > 100
    assert [found for found in ratios if found["ratio"] < 4.5] == []
    opened.close()


CONTRAST = """() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = parts(colour).map((c) => c / 255).map(
      (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const groundOf = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      const alpha = parts(colour)[3];
      if (alpha === undefined || alpha === 1) return colour;
    }
    return getComputedStyle(document.body).backgroundColor;
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim();
    const element = walker.currentNode.parentElement;
    if (!text || element.matches("script, style") || !element.checkVisibility()) continue;
    const [a, b] = [light(getComputedStyle(element).color), light(groundOf(element))];
    found.push({ text: text.slice(0, 40), ratio: (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) });
  }
  return found;
}"""
