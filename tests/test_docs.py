"""The pages say what the program does: no link leads nowhere, no option is forgotten, no floor is wrong."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "models/*/README.md", "examples/*.md")
    for path in REPOSITORY.glob(pattern)
)


def made_by(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docs_{name}", REPOSITORY / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def anchors(page: Path) -> set[str]:
    """Headings as links name them, as the public hosts of Markdown make them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://", target):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen, waiting = set(), [REPOSITORY / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        for target in re.findall(r"\]\(([^)\s#]+)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                waiting.append((page.parent / target).resolve())
    assert {page for page in PAGES if page.parent in (REPOSITORY, REPOSITORY / "docs")} <= seen


def test_the_pages_made_from_the_program_are_those_of_the_program() -> None:
    reference = made_by("reference")
    assert (REPOSITORY / "docs" / "reference.md").read_text(encoding="utf-8") == reference.reference(), (
        "run: python docs/reference.py"
    )
    # Typer may lay its page out otherwise from version to version: what it says is what counts
    here, there = (REPOSITORY / "docs" / "commands.md").read_text(encoding="utf-8"), reference.commands()
    words = [
        sorted(set(re.findall(r"^#+ .+$|^\* `[^`]+`: .+$", text, flags=re.MULTILINE)))
        for text in (here, there)
    ]
    assert words[0] == words[1], "run: python docs/reference.py"
    assert len(words[0]) > 100


def test_every_setting_column_and_entry_of_a_card_is_explained() -> None:
    page = made_by("reference").reference()
    assert re.findall(r"^\| `(\w+)` \|[^|]*\|\s*\|$", page, flags=re.MULTILINE) == []


def test_no_rooms_import_each_other_in_a_circle_and_the_drawing_is_that_of_the_imports() -> None:
    drawing = made_by("drawing").drawing()
    assert f"```text\n{drawing}\n```" in (REPOSITORY / "ARCHITECTURE.md").read_text(encoding="utf-8"), (
        "python docs/drawing.py says how the floors are now"
    )
    floors = made_by("drawing").floors()
    at = {room: number for number, floor in enumerate(floors) for room in floor}
    assert at["formats"] < at["images"] < at["model"] < at["methods"] < at["training"] < at["cli"]
    assert at["metrics"] < at["evaluation"]


def test_every_room_is_described() -> None:
    text = (REPOSITORY / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for room in made_by("drawing").rooms():
        assert f"`{room}/`" in text or f"`{room}.py`" in text, room


def test_what_the_architecture_names_is_there() -> None:
    text = (REPOSITORY / "ARCHITECTURE.md").read_text(encoding="utf-8")
    names = set(re.findall(r"`([\w/]+\.(?:py|yaml))`", text))
    assert len(names) > 30
    # not the environment that lies beside them
    folders = [path for path in REPOSITORY.iterdir() if path.is_dir() and not path.name.startswith(".")]
    there = [f"/{path.relative_to(REPOSITORY).as_posix()}" for root in folders for path in root.rglob("*.*")]
    for name in names:
        assert any(path.endswith(f"/{name}") for path in there), name


@pytest.mark.skipif(sys.platform == "win32", reason="terminals of that kind are Unix's")
def test_pictures_show_what_a_command_shows(tmp_path: Path) -> None:
    terminal = made_by("terminal")
    code = "import sys; print('\\x1b[1;31mai\\x1b[0m on a terminal:', sys.stdout.isatty())"
    terminal.draw([sys.executable, "-c", code], tmp_path / "shown.svg")
    svg = (tmp_path / "shown.svg").read_text(encoding="utf-8").replace("&#160;", " ")
    assert "on a terminal: True" in svg
    assert ">ai<" in svg
