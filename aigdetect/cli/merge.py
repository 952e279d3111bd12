"""``aigdetect merge``: join the parts of a scan that several machines shared."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Annotated

import typer

from aigdetect.cli.console import Exit
from aigdetect.cli.options import Debug, Quiet, terminal
from aigdetect.errors import UsageError


def merge(
    parts: Annotated[
        list[Path],
        typer.Argument(
            metavar="PART", help="Files of rows with their journals beside them, or case folders."
        ),
    ],
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write CSV to a file.")] = None,
    jsonl: Annotated[
        Path | None, typer.Option("--jsonl", metavar="FILE", help="Write JSON Lines to a file.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite output files of earlier runs.")] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> int:
    """Join the parts that scan --shard made into one result.

    All parts must be there, finished, and made with the same model and
    settings. Rows come in the order in which one machine alone would have
    met the files; of several outputs of a part, name the JSON Lines.

    Exit status: 0 all done; 1 some files of the scan had failed; 2 nothing
    written.
    """
    from aigdetect.scanning.joining import merge as merge_parts

    outputs = {kind: path for kind, path in (("jsonl", jsonl), ("csv", csv)) if path is not None}
    if not outputs:
        raise UsageError("merge: nothing to write; name --csv or --jsonl")
    _check(outputs, force=force)
    counts = merge_parts(parts, outputs, warn=terminal.warn)
    failed = counts.get("error", 0)
    scored = sum(counts.values()) - failed
    terminal.say(
        f"{len(parts)} parts: {scored} scored, {failed} could not be scored; "
        f"written to {', '.join(map(str, outputs.values()))}"
    )
    return Exit.SOME_FAILED if failed else Exit.DONE


def _check(outputs: Mapping[str, Path], *, force: bool) -> None:
    """Refuse what cannot be written, must not be overwritten, or is no file by itself.

    Raises:
        UsageError: with what to do.
    """
    from aigdetect.replacing import same_file
    from aigdetect.scanning.writers import STDOUT, check_output

    for kind, path in outputs.items():
        check_output(str(path), force=force)
        if str(path) == STDOUT or (path.exists() and not path.is_file()):
            raise UsageError(f"--{kind} {path}: is no file; merge writes files alone, name one")
    if any(same_file(one, other) for one, other in combinations(outputs.values(), 2)):
        raise UsageError("CSV and JSON Lines need a file each; name another for one of them")
