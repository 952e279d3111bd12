"""Weights of timm's models that a method's body begins with: from a given file, or from the model hub."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from aigdetect.errors import WeightsError
from aigdetect.files import file_sha256
from aigdetect.model.weights import hub
from aigdetect.model.weights.find_weights import cache_folder


@dataclass(frozen=True)
class Pretrained:
    """Weights that were found: the tensors by timm's names, and the SHA-256 of their file."""

    state: Mapping[str, Tensor] = field(repr=False)
    digest: str


def find_pretrained(
    name: str, *, file: Path | None, offline: bool, say: Callable[[str], None]
) -> Pretrained | None:
    """Find the weights of a model of timm.

    Args:
        name: as timm has it, with the tag of its weights (``resnet50.tv_in1k``).
        file: safetensors file that holds them; None searches the hub and what it has given before.
        offline: look on this machine only.
        say: called with one line per step of the search.

    Returns:
        None if they are not at hand and the hub cannot be reached.

    Raises:
        WeightsError: if the file cannot be read.
    """
    found = file or _from_hub(name, offline=offline, say=say)
    return None if found is None else _read(found)


def _from_hub(name: str, *, offline: bool, say: Callable[[str], None]) -> Path | None:
    from timm.models import get_pretrained_cfg

    config = get_pretrained_cfg(name)
    if config is None or not config.hf_hub_id:
        return None
    wanted = hub.HubFile(config.hf_hub_id, "model.safetensors")
    folder = cache_folder() / name
    kept = folder / wanted.filename
    if (known := kept if kept.is_file() else hub.already_fetched(wanted)) is not None:
        return known
    if offline:
        return None
    try:
        return hub.fetch(wanted, folder, say)
    except (ConnectionError, LookupError) as error:
        say(f"{name}: the model hub does not give it ({error})")
        return None


def _read(path: Path) -> Pretrained:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return Pretrained(load_file(path), file_sha256(path))
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: not a safetensors file ({error}); give another") from error
