"""Fetching a safetensors file from the model hub, giving up within seconds where it cannot be reached."""

from __future__ import annotations

import logging
import os
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aigdetect.model.weights.backbones import BackboneSpec

#: seconds to wait for the hub's first answer
PATIENCE = 4.0


@dataclass(frozen=True)
class HubFile:
    """One file of one repository on the hub.

    Attributes:
        repo: ``owner/name``.
        filename: path in the repository, always a ``.safetensors``.
    """

    repo: str
    filename: str


def locate(spec: BackboneSpec) -> HubFile:
    """Repository and file of a backbone, out of its library's own registry.

    Raises:
        LookupError: if the library names no repository on the hub.
    """
    return _locate_timm(spec) if spec.library == "timm" else _locate_open_clip(spec)


def _locate_open_clip(spec: BackboneSpec) -> HubFile:
    import open_clip
    from open_clip.constants import HF_SAFE_WEIGHTS_NAME

    # "owner/name/" or "owner/name/file"
    told = open_clip.get_pretrained_cfg(spec.config_name, spec.tag).get("hf_hub") or "//"
    owner, name, filename = told.split("/", 2)
    if not name:
        raise LookupError("open_clip names no repository for it")
    # pickles are never loaded: only the safetensors file beside them
    safe = str(PurePosixPath(filename).with_suffix(".safetensors")) if filename else HF_SAFE_WEIGHTS_NAME
    return HubFile(f"{owner}/{name}", safe)


def _locate_timm(spec: BackboneSpec) -> HubFile:
    from timm.models import get_pretrained_cfg

    config = get_pretrained_cfg(spec.config_name)
    if config is None or not config.hf_hub_id:
        raise LookupError("timm names no repository for it")
    return HubFile(config.hf_hub_id, "model.safetensors")


def already_fetched(file: HubFile) -> Path | None:
    """The file in huggingface_hub's own cache, if another program has fetched it before; no network."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(file.repo, file.filename)
    return Path(path) if isinstance(path, str) else None


def fetch(file: HubFile, folder: Path, say: Callable[[str], None]) -> Path:
    """Fetch a file from the hub that ``HF_ENDPOINT`` names, through the proxies of the environment.

    Args:
        file: what to fetch.
        folder: where to; a download that was cut off there is taken up again.
        say: told once what is being fetched.

    Returns:
        path of the file, below ``folder``.

    Raises:
        ConnectionError: if the hub cannot be reached, refuses, or breaks off.
        LookupError: if the repository has no such file.
    """
    from huggingface_hub import constants, hf_hub_download

    if constants.HF_HUB_OFFLINE:
        raise ConnectionError("HF_HUB_OFFLINE is set")
    endpoint = (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
    with _quiet():
        size = _first_answer(file, endpoint)
        say(f"fetching {file.repo} from the model hub{f' ({size / 1e6:.0f} MB)' if size else ''}")
        try:
            path = hf_hub_download(file.repo, file.filename, local_dir=folder, endpoint=endpoint)
        except Exception as error:
            raise ConnectionError(str(error)) from error
    return Path(path)


def _first_answer(file: HubFile, endpoint: str) -> int | None:
    """Size of the file in bytes as the hub tells it.

    The question goes out in a thread of its own: name resolution and a list of dead addresses each have their
    own time limits, and only a clock outside of them keeps the whole within :data:`PATIENCE`.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    url = hf_hub_url(file.repo, file.filename, endpoint=endpoint)
    answer: list[int | Exception | None] = []

    def ask() -> None:
        try:
            answer.append(get_hf_file_metadata(url, timeout=PATIENCE).size)
        except Exception as error:  # noqa: BLE001 - handed to the thread that asked
            answer.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    result = answer[0] if answer else TimeoutError(f"no answer from {endpoint} within {PATIENCE:.0f} s")
    if isinstance(result, EntryNotFoundError):
        raise LookupError(f"{file.repo} has no {file.filename}")
    if isinstance(result, Exception):
        raise ConnectionError(str(result) or type(result).__name__) from result
    return result


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep huggingface_hub's warnings off the terminal, and its progress bars off anything else."""
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    hide = not sys.stderr.isatty() and not are_progress_bars_disabled()
    logger.setLevel(logging.ERROR)
    if hide:
        disable_progress_bars()
    try:
        yield
    finally:
        logger.setLevel(level)
        if hide:
            enable_progress_bars()
