"""Tensors that take long to make, kept on disk from run to run."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import platform
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

import aigdetect
from aigdetect.model.weights.tensorfile import TensorFile

Tensors: TypeAlias = tuple[Tensor, ...]
#: gives the tensors of a name, made by the function or as that made them in an earlier run
Keep: TypeAlias = Callable[[str, Callable[[], Tensors]], Tensors]

# to be raised where the tensors of a name come to be others in the same version of the program
_EDITION = 1
_KEY, _DIGEST = "key", "digest"


def keep_nothing(name: str, make: Callable[[], Tensors]) -> Tensors:
    """Make them, whatever the name: a :data:`Keep`."""
    return make()


def keep_under(place: str, keep: Keep) -> Keep:
    """The same, for names below another; what keeps nothing is left as it is."""
    return keep if keep is keep_nothing else lambda name, make: keep(f"{place}.{name}", make)


def tensor_digest(*tensors: Tensor) -> str:
    """SHA-256 over types, shapes and values, as hexadecimal digits."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.detach().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


class KeptTensors:
    """A folder of tensors, a file for each name: a :data:`Keep`.

    What cannot be read, is damaged, or was made by other versions, on another processor or by somebody else
    is made again. Where nothing can be written, nothing is kept. Several processes may use a folder at once.

    Args:
        folder: may be missing; made when there is something to keep.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, name: str, make: Callable[[], Tensors]) -> Tensors:
        """Tensors of a name, see :data:`Keep`."""
        path = self._folder / f"{name}.safetensors"
        kept = _read(path)
        if kept is None:
            kept = make()
            with suppress(OSError):
                _write(path, kept)
        return kept


def kept_beside(backbone: Path, digest: str) -> KeptTensors:
    """What is kept of a backbone, for this user and processor.

    Args:
        backbone: its file in the cache.
        digest: of its weights.
    """
    user = os.getuid() if hasattr(os, "getuid") else ""
    place = hashlib.sha256(f"{user} {_processor()}".encode()).hexdigest()
    return KeptTensors(backbone.with_name(f"{digest[:16]}.{place[:8]}.kept"))


def _read(path: Path) -> Tensors | None:
    try:
        with TensorFile(path) as file:
            if not _is_own(file) or file.metadata.get(_KEY) != _key(path):
                return None
            tensors = tuple(file.tensor(str(index)) for index in range(len(file.entries)))
            return tensors if tensor_digest(*tensors) == file.metadata.get(_DIGEST) else None
    except Exception:  # noqa: BLE001 - what a damaged file raises has no common base
        return None


def _key(path: Path) -> str:
    """What a file says that it holds: of which backbone, under which name, and what the values depend on."""
    return f"{path.parent.name} {path.name} {_made_with()}"


def _is_own(file: TensorFile) -> bool:
    """Whether nobody else can have written it: nothing says what such tensors ought to be."""
    owner, mode = file.status.st_uid, file.status.st_mode
    return not hasattr(os, "getuid") or (owner == os.getuid() and not mode & 0o022)


def _write(path: Path, tensors: Tensors) -> None:
    from safetensors.torch import save

    metadata = {_KEY: _key(path), _DIGEST: tensor_digest(*tensors)}
    data = save({str(index): each.detach().contiguous() for index, each in enumerate(tensors)}, metadata)
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    # not through to the disk: what a crash leaves does not match its digest
    with tempfile.NamedTemporaryFile(prefix=".", dir=path.parent, delete=False) as file:
        draft = Path(file.name)
        try:
            file.write(data)
            file.close()
            draft.replace(path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise


@functools.cache
def _made_with() -> str:
    """All that the values may depend on, besides what they are made of and the name."""
    versions = (
        *(f"aigdetect {aigdetect.__version__}.{_EDITION}", f"torch {torch.__version__}"),
        *(f"numpy {np.__version__}", f"scipy {importlib.metadata.version('scipy')}"),
    )
    return ", ".join((*versions, _processor()))


@functools.cache
def _processor() -> str:
    """The kind of processor, and which of its instructions torch uses."""
    capability = torch.backends.cpu.get_cpu_capability()
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
            models = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
        return f"{platform.machine()} {models[0]} {capability}"
    except (OSError, IndexError):
        return f"{platform.machine()} {platform.processor()} {capability}"
