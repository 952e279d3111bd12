"""``inspect --raw`` beside ExifTool: ``python benchmarks/inspect_exiftool.py FOLDER ...``.

Both list the fields of the same files (Debian's package is libimage-exiftool-perl). Counted are, by group,
the fields of ExifTool, and those among them whose name we do not have for the file. What ExifTool calculates
(Composite), takes from the file system (System), says of itself (ExifTool) or names the format by (File's
FileType and MIMEType) is left out. The time is that of one process over all files, and that of one for each.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from aigdetect.evidence.raw_fields import read_raw_fields

_LEFT_OUT = frozenset({"Composite", "System", "ExifTool", "SourceFile"})
_FORMAT = frozenset({"File:FileType", "File:FileTypeExtension", "File:MIMEType"})
# our name, by the name of ExifTool in lower case, where one of both keeps to another standard
_SAME = {
    "modifydate": "datetime",
    "createdate": "datetimedigitized",
    "iso": "isospeedratings",
    "exposurecompensation": "exposurebiasvalue",
    "imageheight": "imagelength",
    "thumbnailoffset": "jpegifoffset",
    "thumbnaillength": "jpegifbytecount",
    "thumbnailimage": "jpegifoffset",
    "encodingprocess": "sof0",
    "focallengthin35mmformat": "focallengthin35mmfilm",
    "subseccreatedate": "subsectimedigitized",
    "xmptoolkit": "xmptk",
    "lensinfo": "lensspecification",
    "serialnumber": "bodyserialnumber",
    "ownername": "cameraownername",
    "currentiptcdigest": "iptcdigest",
    "subfiletype": "newsubfiletype",
}


def plain(name: str) -> str:
    """A name without what programs write differently: signs, capitals, a first digit."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def by_exiftool(paths: list[str]) -> list[dict[str, object]]:
    """All fields by ExifTool, an object for each file."""
    done = subprocess.run(
        ["exiftool", "-j", "-G1", "-a", "-u", "-q", "-q", "-api", "RequestAll=0", *paths],
        capture_output=True,
        check=False,
    )
    rows: list[dict[str, object]] = json.loads(done.stdout)
    return rows


def seconds_each(command: list[str], paths: list[str]) -> float:
    """Mean wall time of a process for one file."""
    start = time.perf_counter()
    for path in paths:
        subprocess.run([*command, path], capture_output=True, check=False)
    return (time.perf_counter() - start) / len(paths)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--files", type=int, default=150)
    parser.add_argument("--each", type=int, default=10, help="files that a process of their own is timed on")
    parser.add_argument("--names", action="store_true", help="also print the names of the fields we have not")
    options = parser.parse_args()
    if not shutil.which("exiftool"):
        parser.error("no exiftool (Debian: libimage-exiftool-perl)")
    files = [path for folder in options.folders for path in sorted(Path(folder).rglob("*")) if path.is_file()]
    random.Random(0).shuffle(files)
    paths = [str(path) for path in files if path.suffix not in (".csv", ".tsv")][: options.files]

    start = time.perf_counter()
    theirs = by_exiftool(paths)
    spent = time.perf_counter() - start
    groups: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    names: Counter[str] = Counter()
    ours_in_all = 0
    for row in theirs:
        ours = read_raw_fields(Path(str(row["SourceFile"])).read_bytes()).fields
        ours_in_all += len(ours)
        have = {plain(field.name) for field in ours}
        for key in row:
            group, _, name = key.partition(":")
            if group in _LEFT_OUT or key in _FORMAT:
                continue
            groups[group] += 1
            wanted = plain(name)
            if wanted not in have and _SAME.get(wanted, wanted) not in have:
                missing[group] += 1
                names[key] += 1
    table = Table(title=f"fields of {len(theirs)} files")
    for title in ("group", "ExifTool", "of these not here"):
        table.add_column(title, justify="left" if title == "group" else "right")
    for group, count in groups.most_common():
        table.add_row(group, str(count), str(missing[group]))
    table.add_row("all", str(groups.total()), str(missing.total()))
    console = Console(width=100)
    console.print(table)
    console.print(f"listed here: {ours_in_all}, each with its place")
    if options.names:
        for name, count in names.most_common(200):
            console.print(f"  {name} {count}", markup=False)

    command = [sys.executable, "-m", "aigdetect", "inspect", "--raw", "--json"]
    start = time.perf_counter()
    subprocess.run([*command, *paths], capture_output=True, check=False)
    ours_spent = time.perf_counter() - start
    console.print(
        f"one process, {len(paths)} files: ExifTool {spent:.1f} s, inspect --raw {ours_spent:.1f} s"
    )
    some = paths[: options.each]
    console.print(
        f"a process each: ExifTool {seconds_each(['exiftool', '-j', '-G1', '-a', '-u'], some):.2f} s, "
        f"inspect --raw {seconds_each(command, some):.2f} s"
    )


if __name__ == "__main__":
    main()
