"""What the rows of a scan depend on, besides the files: rows made with other settings do not go together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import aigdetect
from aigdetect.model.calibration import DEFAULT_FPR
from aigdetect.model.card import card_digest
from aigdetect.scanning.in_use import ModelInUse


@dataclass(frozen=True)
class Settings:
    """What the rows of a scan depend on.

    Attributes:
        program: program and version.
        model: name of the model.
        card_sha256: digest of all that the model's card says.
        adapter_sha256: SHA-256 of the file with the trained part.
        weights_digest: digest of the backbone's weights; None if that is not known.
        device: where the model runs.
        precision: precision in which it runs.
        batch_size: views per pass.
        fpr: share of real images that the verdict ``ai`` may flag.
        max_pixels: images of more pixels are not decoded.
        stability: whether images are scored again after mild changes.
        shard: the part of the files that is scanned, as ``"1/4"``; empty for all.
        video: which frames of videos are looked at, in words; empty if none are.
    """

    program: str
    model: str
    card_sha256: str
    adapter_sha256: str
    weights_digest: str | None
    device: str
    precision: str
    batch_size: int
    fpr: float
    max_pixels: int
    stability: bool
    shard: str = ""
    video: str = ""

    @classmethod
    def of_model(
        cls,
        model: ModelInUse,
        *,
        fpr: float | None,
        max_pixels: int,
        stability: bool,
        shard: str = "",
        video: str = "",
    ) -> Settings:
        """The settings of a scan with a model; the rest as for the attributes, None for the default."""
        return cls(
            program=f"aigdetect {aigdetect.__version__}",
            model=model.card.name,
            card_sha256=card_digest(model.card),
            adapter_sha256=model.card.adapter_sha256,
            weights_digest=model.weights_digest,
            device=model.device,
            precision=model.precision,
            batch_size=model.batch_size,
            fpr=DEFAULT_FPR if fpr is None else fpr,
            max_pixels=max_pixels,
            stability=stability,
            shard=shard,
            video=video,
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def difference(held: Mapping[str, Any], now: Mapping[str, Any], *, without: str = "") -> str:
    """The first setting that differs, in words; empty if none does.

    Args:
        held: settings of rows that are there.
        now: settings of others.
        without: a setting that may differ.
    """
    for name in (field.name for field in fields(Settings)):
        if name != without and held.get(name) != now.get(name):
            return f"{name.replace('_', ' ')} {_shown(held.get(name))}, not {_shown(now.get(name))}"
    return ""


def _shown(value: object) -> str:
    text = str(value) if value not in ("", None) else "none"
    return f"{text[:12]}..." if len(text) == 64 else text
