"""Draws the floors of the package as its imports have them: ``python docs/drawing.py``."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "aigdetect"
_ENTRIES = ("__init__", "__main__")  # of the package: they name what stands elsewhere


def rooms() -> dict[str, set[str]]:
    """The folders and files right inside the package, each with those that it imports from."""
    found: dict[str, set[str]] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        room = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room not in _ENTRIES:
            found.setdefault(room, set()).update(set(_imported(file)) - {room})
    return found


def _imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        modules = []
        if isinstance(node, ast.Import):
            modules = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == PACKAGE.name:
            modules = [f"{PACKAGE.name}.{name.name}" for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        for module in modules:
            package, _, rest = module.partition(".")
            room = rest.partition(".")[0]
            if package == PACKAGE.name and room and not room.startswith("__"):
                yield room


def floors() -> list[list[str]]:
    """The rooms by floor, the lowest first: each right above the highest of those that it imports from.

    Raises:
        graphlib.CycleError: if rooms import from each other in a circle.
    """
    imports, level = rooms(), dict[str, int]()
    for room in graphlib.TopologicalSorter(imports).static_order():
        level[room] = 1 + max((level[each] for each in imports.get(room, ())), default=-1)
    return [sorted(room for room in level if level[room] == n) for n in range(max(level.values()) + 1)]


def drawing() -> str:
    """The floors as text, the highest first, each room with those that it imports from."""
    imports = rooms()
    width = max(map(len, imports))
    lines = []
    for number, floor in reversed(list(enumerate(floors()))):
        for n, room in enumerate(floor):
            below = ", ".join(sorted(imports[room]))
            lines.append(f"{number if n == 0 else '':>2}  {room:<{width}}  {below}".rstrip())
    return "\n".join(lines)


if __name__ == "__main__":
    print(drawing())
