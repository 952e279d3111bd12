"""A list of public images made a data set: ``python benchmarks/corpus.py build corpus.tsv --out DIR``.

Each image comes out of a git directory below a ``--mirror``, or else from the repository's host, and is left
out, and said, if its SHA-256 is not that of the list. ``DIR/images.csv`` is a data set for ``aigdetect train
--data``, with the images below ``DIR/images``; ``DIR/missing.tsv`` names every image that was left out, and
why. What is there already is not made again.

``python benchmarks/corpus.py list DIR/images.csv --out sources.csv`` writes the list of sources that lies
beside a model's card: which files were used, without any image.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from corpus_cuts import CutRecord, cut
from corpus_rows import Missing, Row, at_most, read_rows, without_doubles
from corpus_sources import HOST, Absent, GitObjects, Host, Stopped, find_git, require_content
from rich.console import Console
from rich.progress import track

from aigdetect.data.layouts import find_samples
from aigdetect.errors import AigdetectError, DataError
from aigdetect.files import remove_partial, write_atomically
from aigdetect.locks import alone_in
from aigdetect.model.card import find_model_folder, read_card
from aigdetect.training.partition import draw_samples
from aigdetect.training.recipe import make_recipe

_IMAGES, _LIST, _MISSING, _CUTS = "images", "images.csv", "missing.tsv", "cuts.tsv"
_LISTED = ("path", "label", "generator", "kind", "repository", "sure", "sha256", "source_path", "commit")
_LEFT_OUT = ("reason", "group", "repository", "commit", "path", "sha256")
_SOURCES = ("repository", "commit", "path", "sha256", "label", "group")
_FROM = (
    "repository",
    "commit",
    "source_path",
    "sha256",
    "label",
    "generator",
)  # the same, as _LISTED has them


@dataclass(frozen=True)
class Outcome:
    """What became of some images of the list: there before, made now, or missing."""

    stood: list[Row] = field(default_factory=list)
    made: list[Row] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)

    def __iadd__(self, other: Outcome) -> Outcome:
        """Add what became of others."""
        self.stood.extend(other.stood)
        self.made.extend(other.made)
        self.missing.extend(other.missing)
        return self


class Corpus:
    """A folder of images that is being built.

    Args:
        folder: where to; it must exist.
        mirrors: folders of git directories.
        host: where to ask for what no mirror has; None to ask nobody.
        workers: threads.
    """

    def __init__(self, folder: Path, mirrors: Sequence[Path], host: str | None, workers: int) -> None:
        self._images = folder / _IMAGES
        self._mirrors = mirrors
        self._workers = workers
        self._record = CutRecord(folder / _CUTS)
        self._recording = threading.Lock()
        self._stop = threading.Event()
        self._host = None if host is None else Host(host, self._stop)

    def build(self, rows: Sequence[Row]) -> Outcome:
        """Make the images of rows, first from the mirrors, and then from the host.

        Raises:
            KeyboardInterrupt: once the workers have ended; every image is there as a whole or not at all.
        """
        of_repository: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            of_repository[row.repository].append(row)
        for group in sorted({row.group for row in rows}):
            (self._images / group).mkdir(parents=True, exist_ok=True)
            remove_partial(self._images / group)
        longest_first = sorted(of_repository.values(), key=lambda each: -sum(row.size for row in each))
        with ThreadPoolExecutor(self._workers) as pool, self._stopping(pool):
            found = [pool.submit(self._from_mirrors, members) for members in longest_first]
            outcome = _all(found, "repositories")
            if self._host is not None:
                unfound = [each.row for each in outcome.missing]
                outcome.missing.clear()
                fetched = [pool.submit(self._from_host, row, self._host) for row in unfound]
                outcome += _all(fetched, "downloads")
        return outcome

    @contextlib.contextmanager
    def _stopping(self, pool: ThreadPoolExecutor) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise

    def _from_mirrors(self, rows: Sequence[Row]) -> Outcome:
        """Make what can be made of one repository's rows from its git directories."""
        outcome = Outcome()
        wanted: list[Row] = []
        for row in rows:
            self._go_on()
            (outcome.stood if self._stands(row) else wanted).append(row)
        reasons = dict.fromkeys(wanted, "no mirror has the repository")
        for folder in find_git(self._mirrors, rows[0].repository) if wanted else []:
            with GitObjects(folder) as objects:
                for row in list(reasons):
                    self._go_on()
                    try:
                        self._write(row, objects.read(row))
                    except Absent as error:
                        reasons[row] = str(error)
                    else:
                        outcome.made.append(row)
                        del reasons[row]
        outcome.missing.extend(Missing(row, reason) for row, reason in reasons.items())
        return outcome

    def _from_host(self, row: Row, host: Host) -> Outcome:
        self._go_on()
        try:
            self._write(row, host.download(row))
        except Absent as error:
            return Outcome(missing=[Missing(row, str(error))])
        return Outcome(made=[row])

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise Stopped

    def _stands(self, row: Row) -> bool:
        """Whether the image is there already, byte for byte as it was written."""
        paths = [self._images / name for name in row.names]
        if not all(path.is_file() for path in paths):
            return False
        if row.cut:
            return self._record.knows(row, [path.read_bytes() for path in paths])
        if paths[0].stat().st_size != row.size:
            return False
        try:
            require_content(paths[0].read_bytes(), row)
        except Absent:
            return False
        return True

    def _write(self, row: Row, data: bytes) -> None:
        parts = cut(data, row)
        if row.cut:
            with self._recording:
                self._record.add(row, parts)
        for name, part in zip(row.names, parts, strict=True):
            write_atomically(self._images / name, part)


def _all(futures: Sequence[Future[Outcome]], what: str) -> Outcome:
    outcome = Outcome()
    console = Console(stderr=True)
    for done in track(as_completed(futures), what, len(futures), console=console, transient=True):
        outcome += done.result()
    return outcome


# -- lists --------------------------------------------------------------------------------------------------


def write_list(path: Path, rows: Iterable[Row]) -> None:
    """Write the images of rows as a data set, sorted by group and name."""
    named = sorted(((row.group, name, row) for row in rows for name in row.names), key=lambda each: each[:2])
    lines = [
        (
            f"{_IMAGES}/{name}",
            row.label,
            row.group,
            row.kind,
            row.repository,
            row.sure,
            row.sha256,
            row.path,
            row.commit,
        )
        for _, name, row in named
    ]
    _write_table(path, _LISTED, lines)


def write_missing(path: Path, missing: Iterable[Missing]) -> None:
    """Write which images were left out, and why, separated by tabs without quotes."""
    lines = [
        (" ".join(each.reason.split()), row.group, row.repository, row.commit, row.path, row.sha256)
        for each in missing
        for row in (each.row,)
    ]
    text = "".join("\t".join(line) + "\n" for line in [_LEFT_OUT, *sorted(lines, key=lambda line: line[1:])])
    write_atomically(path, text.encode())


def learnt_from(images: Path, model: str) -> set[str]:
    """Paths, as in a list that ``write_list`` wrote, of the images that a model's recipe draws from it.

    Raises:
        DataError: the recipe draws from all data sets together, so that one alone does not tell.
        AigdetectError: the list or the model cannot be read.
    """
    recipe = make_recipe(read_card(find_model_folder(model)).recipe)
    if recipe.samples is not None or recipe.samples_per_class is not None:
        raise DataError(f"{model}: drew its images from several data sets; one of them does not tell which")
    return {sample.key for sample in draw_samples(find_samples(images).samples, recipe)}


def write_sources(images: Path, path: Path, chosen: Container[str] | None = None) -> int:
    """Write which files a data set was made of, one row for each, sorted.

    Args:
        images: a list that ``write_list`` wrote.
        path: where to.
        chosen: paths in it that count; None for all.

    Returns:
        The number of files.

    Raises:
        DataError: ``images`` cannot be read, or is another list.
    """
    try:
        with images.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != _LISTED:
                raise DataError(f"{images}: not the images.csv of a corpus; its first line is another")
            rows = [row for row in reader if chosen is None or row["path"] in chosen]
            lines = {tuple(row[name] for name in _FROM) for row in rows}
    except (OSError, UnicodeError, csv.Error) as error:
        raise DataError(f"{images}: cannot be read ({error})") from error
    _write_table(path, _SOURCES, sorted(lines))
    return len(lines)


def _write_table(path: Path, columns: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(lines)
    write_atomically(path, file.getvalue().encode())


# -- the command --------------------------------------------------------------------------------------------


def build(options: argparse.Namespace) -> None:
    """Build the corpus, and say what came of it."""
    began = time.monotonic()
    unique, doubles = without_doubles(read_rows(options.list))
    options.out.mkdir(parents=True, exist_ok=True)
    with alone_in(options.out):
        host = None if options.offline else options.host.rstrip("/")
        corpus = Corpus(options.out, options.mirror, host, options.workers)
        outcome = corpus.build(at_most(unique, options.most))
        outcome.missing.extend(doubles)
        write_list(options.out / _LIST, [*outcome.stood, *outcome.made])
        write_missing(options.out / _MISSING, outcome.missing)
    _say(options.out, outcome, time.monotonic() - began)


def _say(folder: Path, outcome: Outcome, seconds: float) -> None:
    rows = [*outcome.stood, *outcome.made]
    for label, what in ((1, "AI-generated"), (0, "real")):
        members = [row for row in rows if row.label == label]
        images = sum(len(row.names) for row in members)
        groups = len({row.group for row in members})
        print(f"{images} {what} images of {len(members)} files in {groups} groups")
    print(f"{len(outcome.made)} files made, {len(outcome.stood)} there before, in {seconds:.1f} s")
    print(f"{len(outcome.missing)} missing" + (f", see {folder / _MISSING}:" if outcome.missing else ""))
    reasons = Counter(
        (each.row.repository, each.reason.partition(":")[0].partition(" (")[0]) for each in outcome.missing
    )
    for (repository, reason), count in sorted(reasons.items()):
        print(f"  {repository}: {count} {reason}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    building = commands.add_parser("build", help="make the images and images.csv")
    building.add_argument("list", type=Path, help="list of images, separated by tabs")
    building.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder to make or to add to"
    )
    building.add_argument(
        "--mirror", type=Path, action="append", default=[], metavar="FOLDER",
        help="holds git directories named owner+name; may be given again",
    )  # fmt: skip
    building.add_argument("--workers", type=_positive, default=8, metavar="N", help="threads (8)")
    building.add_argument("--most", type=_positive, metavar="N", help="at most so many files of each group")
    building.add_argument("--offline", action="store_true", help="leave out what no mirror has")
    building.add_argument("--host", default=HOST, help=argparse.SUPPRESS)
    listing = commands.add_parser("list", help="write which files a data set was made of")
    listing.add_argument("images", type=Path, help="images.csv of a corpus")
    listing.add_argument("--out", type=Path, required=True, metavar="CSV")
    listing.add_argument("--model", help="only what this model's recipe draws from it")
    return parser.parse_args()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def main() -> None:
    """Run the command."""
    options = _options()
    try:
        if options.command == "build":
            build(options)
        else:
            chosen = learnt_from(options.images, options.model) if options.model else None
            print(f"{write_sources(options.images, options.out, chosen)} files in {options.out}")
    except AigdetectError as error:
        raise SystemExit(f"corpus: {error}") from error
    except KeyboardInterrupt:
        print("interrupted: what is there is whole; the same command goes on", file=sys.stderr)
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
