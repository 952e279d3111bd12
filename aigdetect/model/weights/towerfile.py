"""One image tower on disk: safetensors, with the digest of its tensors in the metadata; never a pickle."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from aigdetect.errors import WeightsError
from aigdetect.model.weights.tensorfile import TensorFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

    Buffer: TypeAlias = bytes | memoryview

SUFFIX = ".safetensors"
# the image tower inside a whole CLIP
_VISUAL = "visual."
# the classifiers of timm's models are no part of the tower
_HEADS = ("head.", "head_dist.")


@dataclass(frozen=True)
class TowerFile:
    """What the metadata of one file says about itself.

    Attributes:
        path: the file.
        backbone: name of the backbone, empty if the file cannot be read or is not one of ours.
        source: where it was fetched from: ``hub`` (exact) or ``index`` (turned back from int8).
        digest: digest of its tensors when it was written, empty if it cannot be read or is not one of ours.
        size: bytes on disk.
    """

    path: Path
    backbone: str
    source: str
    digest: str
    size: int


def describe_tower(path: Path) -> TowerFile:
    """Read the metadata of a file; a damaged file is no error here, and its tensors are not checked."""
    try:
        metadata = _metadata(path)
    except Exception:  # noqa: BLE001 - what a damaged file raises has no common base
        metadata = {}
    backbone, source, digest = (metadata.get(key, "") for key in ("backbone", "source", "digest"))
    if not (backbone and digest):
        backbone = source = digest = ""
    try:
        size = path.stat().st_size
    except OSError:  # a link that leads nowhere
        size = 0
    return TowerFile(path, backbone, source, digest, size)


def verify_tower(file: TowerFile) -> None:
    """Check the tensors of a file against the digest in its metadata.

    Raises:
        WeightsError: if it is damaged; the message names the file and the command that fetches it again.
    """
    remedy = (
        f"run `aigdetect models pull {file.backbone}`" if file.backbone else "delete it and fetch it again"
    )
    if not file.digest:
        raise WeightsError(f"{file.path}: damaged, or not written by this program: {remedy}")
    try:
        digest = file_digest(file.path)
    except Exception as error:
        raise WeightsError(f"{file.path}: damaged ({brief(error)}): {remedy}") from error
    if digest != file.digest:
        raise WeightsError(f"{file.path}: damaged (its tensors do not match its digest): {remedy}")


def write_tower(path: Path, state: Mapping[str, Tensor], *, backbone: str, source: str) -> TowerFile:
    """Write a tower and its digest through to the disk.

    Args:
        path: file to write; not atomic by itself.
        state: tensors under the tower's own names.
        backbone: name of the backbone.
        source: ``hub`` or ``index``.

    Raises:
        OSError: if the file cannot be written.
        safetensors.SafetensorError: likewise.
    """
    from safetensors.torch import save_file

    digest = tensors_digest(state)
    save_file(dict(state), path, {"format": "pt", "backbone": backbone, "source": source, "digest": digest})
    # a cache may be shared between users, and the writer may have made the file private
    path.chmod(0o644)
    with path.open("rb+") as written:
        os.fsync(written.fileno())
    return TowerFile(path, backbone, source, digest, path.stat().st_size)


def load_tower_state(path: Path) -> dict[str, Tensor]:
    """Load the tensors of an image tower from a safetensors file, of the tower alone or of a whole CLIP.

    Args:
        path: safetensors file; of a whole CLIP in open_clip's naming only the ``visual.`` part is read.

    Returns:
        tensors under the tower's own names, floating ones as float32; a timm classifier is left out. Large
        ones that the file has in float32 are the file itself, mapped into memory for as long as they live.

    Raises:
        WeightsError: if it is not a safetensors file, or cannot be read.
    """
    try:
        with TensorFile(path) as file:
            return {ours: _as_float32(file.tensor(theirs)) for theirs, ours in _tower_names(file).items()}
    except Exception as error:
        raise _unreadable(path, error) from error


def tower_names(path: Path) -> set[str]:
    """Names that :func:`load_tower_state` gives, without reading a tensor.

    Raises:
        WeightsError: as there.
    """
    try:
        with TensorFile(path) as file:
            return set(_tower_names(file).values())
    except Exception as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> WeightsError:
    return WeightsError(f"{path}: not a readable safetensors file ({brief(error)})")


def _as_float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _tower_names(file: TensorFile) -> dict[str, str]:
    """Names in a file that belong to the image tower, each with its name inside the tower."""
    names = list(file.entries)
    prefix = _VISUAL if any(name.startswith(_VISUAL) for name in names) else ""
    return {
        name: name.removeprefix(prefix)
        for name in names
        if name.startswith(prefix) and not name.startswith(_HEADS)
    }


def tensors_digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over an image tower's tensors, whatever file they came in: the digest of a backbone.

    Hashed are, in the order of the names, each name and shape and the values as float32, little-endian.

    Args:
        state: tensors of any shape and floating type under the tower's own names.

    Returns:
        64 hexadecimal digits.
    """
    return _digest((name, state[name].shape, [_float32_bytes(state[name])]) for name in sorted(state))


def file_digest(path: Path) -> str:
    """The same digest of the image tower in a file, which is read a part at a time; mostly without torch.

    Args:
        path: see :func:`load_tower_state`.

    Raises:
        Exception: of many kinds, if the file is damaged.
    """
    with TensorFile(path) as file:
        theirs = {ours: name for name, ours in _tower_names(file).items()}
        return _digest(
            (name, file.entries[theirs[name]].shape, _float32_pieces(file, theirs[name]))
            for name in sorted(theirs)
        )


def _digest(tensors: Iterable[tuple[str, Iterable[int], Iterable[Buffer]]]) -> str:
    digest = hashlib.sha256()
    for name, shape, pieces in tensors:
        digest.update(f"{name} {list(shape)}\n".encode())
        for piece in pieces:
            digest.update(piece)
    return digest.hexdigest()


def _float32_pieces(file: TensorFile, name: str) -> Iterable[Buffer]:
    if file.entries[name].dtype == "float32":
        return file.pieces(name)
    return [_float32_bytes(file.tensor(name))]


def _float32_bytes(tensor: Tensor) -> Buffer:
    return np.ascontiguousarray(tensor.detach().float().cpu().numpy(), dtype="<f4").data


def _metadata(path: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        metadata: dict[str, str] | None = file.metadata()
    return metadata or {}


def brief(error: BaseException) -> str:
    """What an error says, as a part of one line: no line breaks, no passwords, no end in sight."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    text = re.sub(r"://[^/@\s]+@", "://***@", " ".join(text.split()))
    return text if len(text) <= 200 else text[:199] + "…"
