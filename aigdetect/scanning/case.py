"""A case folder: all that a scan gives, with digests of every input and every output in its manifest."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO

from aigdetect.errors import UsageError
from aigdetect.files import file_sha256, is_partial, remove_partial, writing, writing_atomically
from aigdetect.replacing import Form, require_own
from aigdetect.scanning.ledger import JOURNAL, Targets
from aigdetect.scanning.manifest import MANIFEST, MANIFEST_VERSION, OF_SYSTEMS, SIGNATURE

_HEAT_MAP = re.compile(r"[0-9a-f]{64}\.png")


@dataclass(frozen=True)
class CaseFolder:
    """Where the files of a case lie.

    Attributes:
        path: the folder.
    """

    path: Path

    @property
    def jsonl(self) -> Path:
        """The rows, exactly."""
        return self.path / "results.jsonl"

    @property
    def csv(self) -> Path:
        """The rows for people."""
        return self.path / "results.csv"

    @property
    def page(self) -> Path:
        """The rows with pictures."""
        return self.path / "report.html"

    @property
    def heatmaps(self) -> Path:
        """Folder of heat maps."""
        return self.path / "heatmaps"

    @property
    def log(self) -> Path:
        """What was said while it ran."""
        return self.path / "run.log"

    @property
    def manifest(self) -> Path:
        """What was done with what, and the digests of all of it."""
        return self.path / MANIFEST

    @property
    def signature(self) -> Path:
        """Signature of the manifest, if it is signed."""
        return self.path / SIGNATURE

    @property
    def targets(self) -> Targets:
        """Files of rows and their journal."""
        return Targets(self.jsonl, self.csv, self.path / f"results{JOURNAL}")

    @property
    def files(self) -> dict[Path, Form]:
        """All files but the heat maps, and how they are known."""
        return {
            self.jsonl: Form.ROWS,
            self.csv: Form.ROWS,
            self.page: Form.PAGE,
            self.log: Form.LOG,
            self.manifest: Form.MANIFEST,
            self.signature: Form.SIGNATURE,
            self.path / f"results{JOURNAL}": Form.JOURNAL,
        }

    def check(self, *, resume: bool, force: bool) -> None:
        """Refuse a folder that holds something that is not to be overwritten.

        Raises:
            UsageError: with what to do.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{self.path}: is no folder; name another --case")
        if not self.path.is_dir():
            return
        there = {path for path in self.path.iterdir() if path.name not in OF_SYSTEMS}
        if not (resume or force) and there - {self.log}:
            raise UsageError(f"{self.path}: is not empty; --resume goes on, or name another --case")
        for file, form in self.files.items():
            if file.exists() or file.is_symlink():
                self._require_own(file, form)
        if force:
            self._refuse_strangers(there)

    def _refuse_strangers(self, there: Iterable[Path]) -> None:
        """Refuse to begin anew in a folder with files of others, which would pass for a part of the case."""
        beside = {file.with_name(file.name + end) for file in self.files for end in ("", "-wal", "-shm")}
        for path in sorted(there):
            if path == self.heatmaps and path.is_dir() and not path.is_symlink():
                for heat_map in path.iterdir():
                    if heat_map.name not in OF_SYSTEMS and not is_partial(heat_map):
                        self._require_own(heat_map, Form.PICTURE)
            elif path not in beside and not path.name.startswith("."):
                raise UsageError(f"{path}: is no part of a case; take it away, or name another --case")

    def _require_own(self, file: Path, form: Form) -> None:
        if file.is_symlink() or not file.is_file():
            raise UsageError(f"{file}: is no file of its own; take it away, or name another --case")
        require_own(file, form)

    def clear(self, *, anew: bool) -> None:
        """Remove what a killed scan left unfinished, once no other scan can be writing here.

        Args:
            anew: also remove the heat maps of an earlier scan, of which the new one may draw others.

        Raises:
            UsageError: if something cannot be removed.
        """
        remove_partial(self.path)
        if not self.heatmaps.is_dir():
            return
        remove_partial(self.heatmaps)
        with writing(self.heatmaps):
            for heat_map in self.heatmaps.iterdir() if anew else ():
                if heat_map.name not in OF_SYSTEMS:
                    heat_map.unlink()


def refuse_inside(folder: Path, evidence: str) -> None:
    """Refuse to write into what is scanned.

    Args:
        folder: where files are to be written.
        evidence: a file or folder that is scanned.

    Raises:
        UsageError: if the folder is, or lies in, the one scanned, or is that of the file scanned.
    """
    if lies_in(folder, evidence):
        raise UsageError(f"{folder}: lies among the images of {evidence}; name a folder elsewhere")


def lies_in(folder: Path, evidence: str) -> bool:
    """Whether a folder is, or lies in, a folder that is scanned, or is that of a file that is scanned."""
    try:
        inner, outer = Path(os.path.realpath(folder)), Path(os.path.realpath(evidence))
    except ValueError:  # a name that no file can have
        return False
    return inner.is_relative_to(outer) if outer.is_dir() else inner == outer.parent


@dataclass(frozen=True)
class Manifest:
    """What a manifest says, without the files.

    Attributes:
        settings: what the rows depend on.
        backbone: name of the backbone.
        backbone_trained_on: digest of the weights that the model was trained on.
        sessions: when the program ran, and how it was called.
        counts: of rows, by verdict and ``error``, and of other files passed over.
    """

    settings: Mapping[str, Any]
    backbone: str
    backbone_trained_on: str
    sessions: Sequence[Mapping[str, Any]]
    counts: Mapping[str, int]


def write_manifest(case: CaseFolder, manifest: Manifest) -> str:
    """Write the manifest, whole or not at all, and return its SHA-256.

    Inputs are those of the case's rows; outputs are what scans write into the folder, and nothing else. The
    signature of an earlier manifest is removed.

    Raises:
        UsageError: if it cannot be written, or an output cannot be read.
    """
    with writing(case.signature):
        case.signature.unlink(missing_ok=True)
    with writing_atomically(case.manifest) as file, writing(case.manifest):
        _write(file, [*_head(manifest).items(), ("inputs", _inputs(case)), ("outputs", _outputs(case))])
    return file_sha256(case.manifest)


def _head(manifest: Manifest) -> dict[str, Any]:
    settings = manifest.settings
    return {
        "manifest_version": MANIFEST_VERSION,
        "program": settings["program"],
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": _libraries(),
        "model": {
            "name": settings["model"],
            "card_sha256": settings["card_sha256"],
            "adapter_sha256": settings["adapter_sha256"],
            "backbone": manifest.backbone,
            "backbone_digest": settings["weights_digest"],
            "backbone_digest_trained_on": manifest.backbone_trained_on,
        },
        "settings": dict(settings),
        "started": manifest.sessions[0]["started"],
        "ended": manifest.sessions[-1]["ended"],
        "sessions": list(manifest.sessions),
        "counts": dict(manifest.counts),
    }


def _libraries() -> dict[str, str]:
    """Versions of the distributions out of which this process has loaded something."""
    loaded = {name.partition(".")[0] for name in tuple(sys.modules)}
    names = {
        distribution
        for package, distributions in metadata.packages_distributions().items()
        if package in loaded
        for distribution in distributions
    }
    return {name: metadata.version(name) for name in sorted(names, key=str.lower)}


def _inputs(case: CaseFolder) -> Iterator[dict[str, Any]]:
    with case.jsonl.open("rb") as lines:
        for line in lines:
            row = json.loads(line)
            if row["time"] is None:  # frames are no files
                yield {"path": row["path"], "sha256": row["sha256"]}


def _outputs(case: CaseFolder) -> Iterator[dict[str, Any]]:
    drawn = (path for path in case.heatmaps.glob("*.png") if _HEAT_MAP.fullmatch(path.name))
    for path in sorted([*case.files, *drawn]):
        if path.is_file() and path not in (case.manifest, case.signature):
            name = path.relative_to(case.path).as_posix()
            yield {"path": name, "bytes": path.stat().st_size, "sha256": file_sha256(path)}


def _write(file: BinaryIO, members: Iterable[tuple[str, Any]]) -> None:
    """A JSON object, its iterators as lists with one item a line, one item in memory at a time."""
    comma = "{\n"
    for name, value in members:
        file.write(f"{comma}{json.dumps(name)}: ".encode())
        if isinstance(value, Iterator):
            between = "[\n"
            for item in value:
                file.write(f"{between}  {json.dumps(item)}".encode())
                between = ",\n"
            file.write(b"[]" if between == "[\n" else b"\n]")
        else:
            file.write(json.dumps(value, indent=1).encode())
        comma = ",\n"
    file.write(b"\n}\n")
