"""``aigdetect inspect``: what files say of themselves, without a model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from aigdetect.cli.console import Exit
from aigdetect.cli.options import Debug, FollowSymlinks, Json, MaxPixels, Quiet, terminal
from aigdetect.cli.printing import printing, put
from aigdetect.errors import ImageError, UsageError
from aigdetect.text import printable

if TYPE_CHECKING:
    from rich.console import Console

    from aigdetect.scanning.inspection import Inspection

_STYLES = {"contradiction": "bold red", "finding": "yellow", "fact": "dim"}


def inspect(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Files, and folders with all inside.")],
    as_json: Json = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Every field, with its place and length in bytes.")
    ] = False,
    follow_symlinks: FollowSymlinks = False,
    max_pixels: MaxPixels = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> int:
    """Show what the metadata of images claims, how JPEGs are built, and open watermarks.

    The claims are those that a scan reports, read without a model and
    without its weights. Metadata proves little: most of it can be written
    by anyone, and all of it can be removed.

    Exit status: 0 all done; 1 some files could not be read, each of them
    named; 2 there was no image.
    """
    from aigdetect.images.find import LINK, find_files
    from aigdetect.images.opening import MAX_PIXELS
    from aigdetect.scanning.inspection import Inspection, inspect_file

    console = None if as_json else terminal.results()
    images = failed = links = 0
    for item in find_files(paths, follow_symlinks=follow_symlinks):
        if item.kind == "other":
            links += item.reason == LINK
            continue
        if item.kind == "error":
            inspection = Inspection(item.path, error=item.reason)
        else:
            inspection = inspect_file(item.path, max_pixels=max_pixels or MAX_PIXELS, raw=raw)
            images += 1
        if console is None:
            put(json.dumps(inspection.as_dict()) + "\n")
        elif inspection.bytes is not None:
            with printing():
                _show(console, inspection)
        if inspection.error:
            failed += 1
            terminal.error(ImageError(f"{item.path}: {inspection.error}"))
    if links:
        terminal.say(f"{links} symbolic links passed over (--follow-symlinks follows them)")
    if not images:
        raise UsageError("no image to inspect")
    return Exit.SOME_FAILED if failed else Exit.DONE


def _show(console: Console, inspection: Inspection) -> None:
    """Print what is known of one file: a line of facts, then one for each claim."""
    from rich.text import Text

    from aigdetect.scanning.page.provenance_lines import claims_of, lines_of

    size = f"{inspection.width} x {inspection.height}" if inspection.width else ""
    facts = [inspection.format or "", size, f"{inspection.bytes} bytes", *inspection.notes]
    console.print(Text(printable(inspection.path), style="bold"))
    console.print(Text("  " + printable(", ".join(filter(None, facts)))))
    provenance = inspection.provenance.as_dict() if inspection.provenance else {}
    structure = lines_of(provenance.pop("jpeg", None), "JPEG")
    claims = claims_of(provenance)
    for claim in (*claims, *structure):
        label = Text(f"  {printable(claim.label)}: ")
        console.print(label.append(printable(claim.text), style=_STYLES[claim.weight]))
    if not claims:
        console.print(Text("  no metadata that claims anything", style="dim"))
    if inspection.fields is not None:
        console.print(Text("     offset   length  field", style="dim"))
    for field in inspection.fields or ():
        line = f"  {field.offset:>9} {field.length:>8}  {printable(field.group)} {printable(field.name)}"
        console.print(Text(line).append(f"  {printable(field.value)}", style="dim"))
