"""The detector: images in; logits, calibrated scores and verdicts out."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias, cast, overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from aigdetect.errors import ImageError, ModelError, UsageError
from aigdetect.images.decode import decode, from_image, require_scorable
from aigdetect.images.views import Picture, Pixels, scales_of, shares_of, take_views
from aigdetect.model.base import Network
from aigdetect.model.calibration import NEVER, Thresholds, Verdict
from aigdetect.model.card import (
    AdapterCard,
    ModelCard,
    check_adapter,
)
from aigdetect.model.mole import MixtureConfig
from aigdetect.model.passes import Batches, OneByOne, Passes
from aigdetect.model.towers.merging import TokenMerging
from aigdetect.model.towers.tower import AdaptedModule, AdapterConfig

__all__ = [
    "BATCH_SIZES",
    "Detector",
    "ImageLike",
    "Score",
    "adapter_config",
    "choose_device",
    "head_sets",
]

#: a kind of picture is named if it is at least this probable among those that are told apart
SURE = 0.6
#: and may hold a verdict back if it is at least so
CERTAIN = 0.9
#: what :meth:`Detector.score` takes for an image
ImageLike: TypeAlias = "str | os.PathLike[str] | Image.Image | Pixels"

#: images handed over at once, by device; on the CPU enough that no processor waits long for the last one
BATCH_SIZES = {"cpu": 8, "mps": 16, "cuda": 64}


@dataclass(frozen=True)
class Score:
    """What the pixels of one image say.

    Attributes:
        logit: output of the network; above 0 speaks for generated.
        score: calibrated probability, 0..1, at equal priors.
        log10_lr: decimal logarithm of the likelihood ratio, capped by the size of the calibration sample.
        verdict: ``ai``, ``uncertain`` or ``real``.
        kind: kind of picture, out of :data:`aigdetect.data.kinds.KINDS`; None if the model tells none apart,
            or is not sure.
        notes: why the verdict is not what the logit alone would make it.
    """

    logit: float
    score: float
    log10_lr: float
    verdict: Verdict
    kind: str | None = None
    notes: tuple[str, ...] = ()


class Detector:
    """A trained model, ready to score.

    The same view gives the same logit bit for bit whatever its neighbours: on the CPU every view is scored by
    itself, elsewhere every batch is filled up to ``batch_size``.

    Attributes:
        card: the model's card.
        device: where it runs.
        precision: ``"float32"``, ``"bfloat16"`` or ``"int8"``.
        thresholds: logits between which the verdict is uncertain.
        half_rates: the same at half the rates, for what is said of many pictures together.
        kind_thresholds: by kind of picture, the logit that must be passed as well for the verdict ``ai``.
        weights_digest: digest of the backbone's weights in use; None if that is not known.
    """

    def __init__(
        self,
        network: Network,
        card: ModelCard,
        *,
        device: torch.device,
        precision: str,
        batch_size: int,
        thresholds: Thresholds,
        half_rates: Thresholds = NEVER,
        kind_thresholds: Mapping[str, float] = MappingProxyType({}),
        weights_digest: str | None = None,
    ) -> None:
        network.prepare(precision, device)
        self.network = network.to(device).eval()
        self.card = card
        self.device = device
        self.precision = precision
        self.thresholds = thresholds
        self.half_rates = half_rates
        self.kind_thresholds = kind_thresholds
        self.weights_digest = weights_digest
        self._passes: Passes = (
            OneByOne(self._forward, batch_size)
            if device.type == "cpu"
            else Batches(self._forward, device, batch_size)
        )

    @property
    def batch_size(self) -> int:
        """Images that it is best to hand over at once; halved when a GPU runs out of memory."""
        return self._passes.batch_size

    @overload
    def score(
        self, images: ImageLike | Sequence[ImageLike], *, on_error: Literal["raise"] = "raise"
    ) -> list[Score]: ...

    @overload
    def score(
        self, images: ImageLike | Sequence[ImageLike], *, on_error: Literal["return"]
    ) -> list[Score | ImageError]: ...

    def score(
        self, images: ImageLike | Sequence[ImageLike], *, on_error: Literal["raise", "return"] = "raise"
    ) -> list[Score] | list[Score | ImageError]:
        """Score images.

        Args:
            images: paths, PIL images, or uint8 arrays ``(H, W, 3)``, sRGB, 0..255; or one of these.
            on_error: ``"return"`` gives the error of an image in the place of its score.

        Returns:
            one score per image, in order; of a single image a list of one.

        Raises:
            ImageError: if an image cannot be read or is too small; the message names it.
        """
        if isinstance(images, (str, os.PathLike, Image.Image)) or (
            isinstance(images, np.ndarray) and images.ndim == 3
        ):
            images = [images]
        seen: list[Pixels | ImageError] = []
        for index, image in enumerate(images):
            try:
                seen.append(self.view(_picture(image, index)))
            except ImageError as error:
                if on_error == "raise":
                    raise
                seen.append(error)
        scores = iter(self.score_views([each for each in seen if not isinstance(each, ImageError)]))
        return [each if isinstance(each, ImageError) else next(scores) for each in seen]

    def view(self, picture: Picture) -> Pixels:
        """The views ``(V, S, S, 3)`` uint8 that the model sees of an image, sRGB, 0..255."""
        return take_views(picture, self.card.preprocess.views, self.card.preprocess.size)

    def score_views(self, views: Sequence[Pixels]) -> list[Score]:
        """Score any number of images by their views as :meth:`view` returns them, in order."""
        rows = self._outputs(views)
        return [self._score(float(row[0]), *self._kind(row[1:])) for row in rows]

    def logits(self, views: Sequence[Pixels]) -> list[float]:
        """Logits of any number of images by their views as :meth:`view` returns them, in order.

        The logit of an image is the mean over its views; see :class:`aigdetect.model.head.Head`.
        """
        return [float(row[0]) for row in self._outputs(views)]

    def _outputs(self, views: Sequence[Pixels]) -> NDArray[np.float64]:
        """Means ``(N, 1 + K)`` over the views of each image of what the network says of them."""
        scales = scales_of(self.card.preprocess.views)
        rows = self._passes.outputs([view for image in views for view in image], [*scales] * len(views))
        means: NDArray[np.float64] = np.average(
            rows.reshape(len(views), len(scales), rows.shape[1]).astype(np.float64),
            axis=1,
            weights=shares_of(scales),
        )
        return means

    def _forward(self, views: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
        return self.network.outputs(views, scales)

    def _kind(self, logits: NDArray[np.float64]) -> tuple[str | None, float]:
        """The kind that logits ``(K,)`` speak for, None if they do not do so clearly, and its probability."""
        if not len(logits):
            return None, 0.0
        shares = np.exp(logits - logits.max())
        best = int(np.argmax(shares))
        share = float(shares[best] / shares.sum())
        return self.card.adapter.kinds[best] if share >= SURE else None, share

    def _score(self, logit: float, kind: str | None, share: float) -> Score:
        calibration = self.card.calibration
        verdict = self.thresholds.verdict(logit)
        notes: tuple[str, ...] = ()
        limit = self.kind_thresholds.get(kind or "", -math.inf) if share >= CERTAIN else -math.inf
        if verdict == "ai" and kind is not None and logit <= limit:
            verdict = "uncertain"
            notes = (_held_back(kind, limit),)
        return Score(
            logit=logit,
            score=calibration.score(logit),
            log10_lr=calibration.log10_lr(logit),
            verdict=verdict,
            kind=kind,
            notes=notes,
        )


def adapter_config(card: AdapterCard) -> AdapterConfig:
    """The adapter that a card describes.

    Raises:
        UsageError: if a value is out of range.
    """
    return AdapterConfig(
        blocks=card.blocks,
        modules=cast("tuple[AdaptedModule, ...]", card.modules),  # AdapterConfig checks them itself
        mixture=MixtureConfig(shared_rank=card.shared_rank, expert_ranks=card.expert_ranks, alpha=card.alpha),
        depth=card.depth,
        merging=TokenMerging(card.merged_share, card.merge_after),
    )


def head_sets(card: AdapterCard, views: Sequence[str]) -> int:
    """Sets of weights that the head of a card has for such views."""
    return len(set(scales_of(views))) if card.head_views == "own" else 1


def choose_device(name: str) -> torch.device:
    """Device by name; ``"auto"`` takes CUDA, then MPS, then the CPU.

    Raises:
        UsageError: if torch does not know it or this machine does not have it.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"device {name!r}: unknown; use auto, cuda, mps or cpu") from error
    if (device.type == "cuda" and not cuda) or (device.type == "mps" and not mps):
        raise UsageError(f"device {name!r}: not on this machine; use auto or cpu")
    return device


def _held_back(kind: str, threshold: float) -> str:
    if math.isinf(threshold):
        return f"{kind}: no verdict ai, the model was calibrated on too few of these"
    return f"{kind}: real ones of this kind score as high"


def read_adapter(folder: Path, card: ModelCard) -> dict[str, torch.Tensor]:
    """The trained weights of a model folder by name, float32 on the CPU.

    Raises:
        ModelError: if they are missing, damaged or not those of the card.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = check_adapter(folder, card)
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: not a safetensors file ({error}); restore the model folder") from error


def _picture(image: ImageLike, index: int) -> Picture:
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ImageError(f"image {index}: array {image.dtype} {image.shape} is not uint8 (H, W, 3)")
        decoded = from_image(Image.fromarray(image))
        name = f"image {index}"
    elif isinstance(image, Image.Image):
        decoded, name = from_image(image), f"image {index}"
    else:
        name = os.fspath(image)
        try:
            decoded = decode(Path(name).read_bytes())
        except OSError as error:
            raise ImageError(f"{name}: cannot be read ({error.strerror})") from error
        except ImageError as error:
            raise _named(error, name) from error
    try:
        require_scorable(decoded)
    except ImageError as error:
        raise _named(error, name) from error
    return decoded.image


def _named(error: ImageError, name: str) -> ImageError:
    return ImageError(f"{name}: {error}", format=error.format, width=error.width, height=error.height)
