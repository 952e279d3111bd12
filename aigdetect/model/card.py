"""The model folder on disk: ``model.yaml`` (the card) and ``adapter.safetensors``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import yaml

from aigdetect.errors import ModelError, UsageError
from aigdetect.files import file_sha256, write_atomically
from aigdetect.images.views import check_views
from aigdetect.model.calibration import Calibration
from aigdetect.parsing import STRICT_KEYS, parse, plain, read_yaml

CARD_VERSION = 2
CARD_NAME = "model.yaml"
ADAPTER_NAME = "adapter.safetensors"
DEFAULT_MODEL = "mole-vit-b16"
#: what a card says of the backbone of a model whose own file holds all that it needs
NO_BACKBONE = "none"
#: the method of a card that names none
DEFAULT_METHOD = "mole"
#: all views of an image share the head's weights, or each has its own
HEAD_VIEWS = ("shared", "own")
#: what the logit of an image is linear in: what the tower says, or that and products of it
HEAD_KERNELS = ("linear", "quadratic")


@dataclass(frozen=True)
class Preprocess:
    """What the model sees of an image.

    Attributes:
        size: side of a square view in pixels.
        mean: channel means of the normalisation, RGB, for pixels in 0..1.
        std: channel standard deviations, likewise.
        views: names of the views, out of :data:`aigdetect.images.views.VIEWS`; the logit of an image is the
            mean over its views.

    Raises:
        ValueError: if a view is unknown, or there is none.
    """

    __pydantic_config__: ClassVar[Any] = STRICT_KEYS
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    views: tuple[str, ...]

    def __post_init__(self) -> None:
        check_views(self.views)


@dataclass(frozen=True)
class AdapterCard:
    """Shape of the trained part: bypasses and head.

    Attributes:
        blocks: how many of the last blocks are adapted; None for all.
        modules: what is adapted in each, ``"mlp"``, ``"attention"`` or both.
        shared_rank: rank of the shared expert; 0 for none.
        expert_ranks: ranks of the separate experts.
        alpha: scaling constant of the bypasses; None for a scale of 1.
        head_blocks: of how many last blocks the head reads the class tokens; 0 for the embedding.
        depth: how many of the tower's blocks there are, from the first on; None for all.
        merged_share: share of its tokens that each block merges; see
            :class:`aigdetect.model.towers.merging.TokenMerging`.
        merge_after: how many blocks come before the first that merges.
        head_views: whether views of two scales share the head's weights, a name out of :data:`HEAD_VIEWS`.
        head_kernel: what the head's logit is linear in, a name out of :data:`HEAD_KERNELS`.
        kinds: the kinds of pictures that the head tells apart.
    """

    __pydantic_config__: ClassVar[Any] = STRICT_KEYS
    blocks: int | None
    modules: tuple[str, ...]
    shared_rank: int
    expert_ranks: tuple[int, ...]
    alpha: float | None
    head_blocks: int
    head_views: str = "shared"
    kinds: tuple[str, ...] = ()
    depth: int | None = None
    merged_share: float = 0.0
    merge_after: int = 0
    head_kernel: str = "linear"

    def __post_init__(self) -> None:
        if self.head_views not in HEAD_VIEWS:
            raise ValueError(f"head_views: {self.head_views!r} is none of {', '.join(HEAD_VIEWS)}")
        if self.head_kernel not in HEAD_KERNELS:
            raise ValueError(f"head_kernel: {self.head_kernel!r} is none of {', '.join(HEAD_KERNELS)}")


@dataclass(frozen=True)
class ModelCard:
    """All that is needed to use a model and to judge it.

    Attributes:
        name: name of the model.
        backbone: name of the backbone, as in ``aigdetect models list``, or :data:`NO_BACKBONE`.
        backbone_digest: digest of the weights it was trained on; empty without a backbone.
        preprocess: what the model sees of an image.
        adapter: shape of the trained part.
        adapter_sha256: SHA-256 of the file that holds it.
        calibration: from logit to score and verdict.
        command: the command line that trained it.
        recipe: the settings of the training that define the model.
        data: images by class and by generator or source, for training and for validation; ``digest`` of all
            of them tells whether a run is about the same.
        metrics: figures on held-out images, by data set.
        program: program and version that wrote the card.
        method: name of the method, out of :data:`aigdetect.methods.registry.METHODS`.
        hyperparameters: of a method that has some of its own, by name.
    """

    __pydantic_config__: ClassVar[Any] = STRICT_KEYS
    name: str
    backbone: str
    backbone_digest: str
    preprocess: Preprocess
    adapter: AdapterCard
    adapter_sha256: str
    calibration: Calibration
    command: str = ""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    program: str = ""
    method: str = DEFAULT_METHOD
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_backbone(self) -> bool:
        """Whether weights besides those of the model folder are needed."""
        return self.backbone != NO_BACKBONE

    def as_dict(self) -> dict[str, Any]:
        """Plain data (no tuples), with the version of the card first."""
        return {"card_version": CARD_VERSION, **plain(asdict(self))}


def shipped_models() -> list[str]:
    """Names of the models that come with the program, sorted."""
    return sorted({path.parent.name for root in _shipped_roots() for path in root.glob(f"*/{CARD_NAME}")})


def find_model_folder(name_or_folder: str) -> Path:
    """Folder of a shipped model by name, or of any model by path.

    Raises:
        UsageError: if there is neither.
    """
    candidates = [root / name_or_folder for root in _shipped_roots()] + [Path(name_or_folder)]
    for folder in candidates:
        with suppress(OSError, ValueError):  # a name that no folder can have
            if (folder / CARD_NAME).is_file():
                return folder
    known = ", ".join(shipped_models()) or "none"
    raise UsageError(
        f"model {name_or_folder!r}: no such folder with a {CARD_NAME}, and no shipped model of that name "
        f"(shipped: {known})"
    )


def _shipped_roots() -> list[Path]:
    package = Path(__file__).resolve().parent.parent
    # inside an installed wheel; beside the package in a checkout
    return [root for root in (package / "_models", package.parent / "models") if root.is_dir()]


def read_card(folder: Path) -> ModelCard:
    """Read and check the card of a model folder.

    Raises:
        ModelError: if the card cannot be read, is of another version, or lacks or misstates something.
    """
    path = folder / CARD_NAME
    try:
        data = read_yaml(path)
    except ValueError as error:
        raise ModelError(f"{error}; restore the model folder") from error
    if not isinstance(data, dict):
        raise ModelError(f"{path}: not a model card; restore the model folder")
    version = data.pop("card_version", None)
    if version != CARD_VERSION:
        raise ModelError(
            f"{path}: card version {version!r} is not {CARD_VERSION}, the one this program reads; "
            "use the aigdetect that wrote it"
        )
    try:
        return parse(ModelCard, data)
    except ValueError as error:
        raise ModelError(f"{path}: incomplete or misstated ({error}); restore the model folder") from error


def check_adapter(folder: Path, card: ModelCard) -> Path:
    """The adapter file of a model folder, after its digest was checked against the card's.

    Raises:
        ModelError: if it is missing, cannot be read or is damaged.
    """
    path = folder / ADAPTER_NAME
    if not path.is_file():
        raise ModelError(f"{path}: missing; restore the model folder")
    try:
        digest = file_sha256(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); restore the model folder") from error
    if digest != card.adapter_sha256:
        raise ModelError(
            f"{path}: digest {digest[:12]} is not the card's {card.adapter_sha256[:12]}; "
            "restore the model folder"
        )
    return path


def card_digest(card: ModelCard) -> str:
    """SHA-256 of all that a card says, as hexadecimal digits."""
    told = card.as_dict()
    if card.method == DEFAULT_METHOD:  # rows made when cards named no method go on with the same card
        del told["method"], told["hyperparameters"]
    text = json.dumps(told, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def write_card(folder: Path, card: ModelCard) -> None:
    """Write the card of a model folder, atomically.

    Raises:
        UsageError: if it cannot be written.
    """
    # ASCII: YAML would fold unusual line breaks in a name, and names need not be valid text at all
    text = yaml.safe_dump(card.as_dict(), sort_keys=False, width=110, default_flow_style=None)
    write_atomically(folder / CARD_NAME, text.encode("ascii"))
