"""What the rows of a scan depend on, besides the files: rows made with other settings do not go together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from types import MappingProxyType
from typing import Any

import aigdetect
from aigdetect.model.card import card_digest
from aigdetect.parsing import plain
from aigdetect.scanning.model_in_use import ModelInUse


@dataclass(frozen=True)
class Other:
    """What the columns of a further model depend on; the attributes are those of :class:`Settings`.

    Attributes:
        model: what it is called among the models.
        card_sha256: see there, like all that follows.
        adapter_sha256: see there.
        weights_digest: see there.
        precision: see there.
    """

    model: str
    card_sha256: str
    adapter_sha256: str
    weights_digest: str | None
    precision: str

    @classmethod
    def of_model(cls, name: str, model: ModelInUse) -> Other:
        """That of a model that is called so."""
        return cls(
            name, card_digest(model.card), model.card.adapter_sha256, model.weights_digest, model.precision
        )


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
        also: further models that have columns of their own, in order.
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
    also: tuple[Other, ...] = ()

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
        also: Mapping[str, ModelInUse] = MappingProxyType({}),
    ) -> Settings:
        """The settings of a scan with a model; the rest as for the attributes, None for the default.

        Args:
            model: what scores.
            fpr: see the attributes, like the rest.
            max_pixels: see there.
            stability: see there.
            shard: see there.
            video: see there.
            also: further models by what they are called.
        """
        return cls(
            program=f"aigdetect {aigdetect.__version__}",
            model=model.card.name,
            card_sha256=card_digest(model.card),
            adapter_sha256=model.card.adapter_sha256,
            weights_digest=model.weights_digest,
            device=model.device,
            precision=model.precision,
            batch_size=model.batch_size,
            fpr=model.card.calibration.fpr if fpr is None else fpr,
            max_pixels=max_pixels,
            stability=stability,
            shard=shard,
            video=video,
            also=tuple(Other.of_model(name, other) for name, other in also.items()),
        )

    @property
    def names_of_others(self) -> tuple[str, ...]:
        """What further models are called."""
        return tuple(other.model for other in self.also)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as JSON gives it back."""
        return dict(plain(asdict(self)))


def names_of_others(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """What further models are called in :meth:`Settings.as_dict`; that of an earlier version names none."""
    return tuple(other["model"] for other in settings.get("also", ()))


def difference(held: Mapping[str, Any], now: Mapping[str, Any], *, without: str = "") -> str:
    """The first setting that differs, in words; empty if none does.

    Args:
        held: settings of rows that are there.
        now: settings of others.
        without: a setting that may differ.
    """
    for name in (field.name for field in fields(Settings) if field.name not in (without, "also")):
        if held.get(name) != now.get(name):
            return _unlike(name, held, now)
    names = names_of_others(held), names_of_others(now)
    if names[0] != names[1]:
        return f"further models {_shown(', '.join(names[0]))}, not {_shown(', '.join(names[1]))}"
    for other, other_now in zip(held.get("also", ()), now.get("also", ()), strict=True):
        for name in other:
            if other[name] != other_now[name]:
                return f"another {other['model']}: {_unlike(name, other, other_now)}"
    return ""


def _unlike(name: str, held: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    return f"{name.replace('_', ' ')} {_shown(held.get(name))}, not {_shown(now.get(name))}"


def _shown(value: object) -> str:
    text = str(value) if value not in ("", None) else "none"
    return f"{text[:12]}..." if len(text) == 64 else text
