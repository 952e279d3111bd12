"""The names of backbones: what a user may write, and which configuration and weights it stands for."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal

from aigdetect.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterable

_QUICK = "-quickgelu"
_TIMM = "timm/"
# modules of timm whose models are plain vision transformers
_TIMM_MODULES = ("vision_transformer", "deit")


@dataclass(frozen=True)
class VitShape:
    """Dimensions of a plain vision transformer.

    Attributes:
        image_size: side of the square input in pixels.
        patch_size: side of the square that becomes one token, in pixels.
        width: channels of a token.
        layers: number of blocks.
        heads: heads of the attention.
        hidden: channels inside the MLP.
        embed_dim: channels of the embedding.
    """

    image_size: int
    patch_size: int
    width: int
    layers: int
    heads: int
    hidden: int
    embed_dim: int


@dataclass(frozen=True)
class BackboneSpec:
    """One image tower with one set of pretrained weights.

    Attributes:
        name: the name a user writes, in its one canonical form (``ViT-B-16``,
            ``ViT-B-16:laion2b_s34b_b88k``, ``timm/vit_base_patch16_224.augreg_in1k``).
        library: who builds the tower.
        config_name: what that library calls the architecture (``ViT-B-16-quickgelu``,
            ``vit_base_patch16_224.augreg_in1k``).
        tag: which pretrained weights (``openai``, ``augreg_in1k``).
        parameters: number of parameters of the image tower, None if not known beforehand.
        shape: dimensions of a tower that needs no library, see
            :class:`aigdetect.model.towers.vit.PlainVit`; None for all others.
    """

    name: str
    library: Literal["open_clip", "timm"]
    config_name: str
    tag: str
    parameters: int | None = None
    shape: VitShape | None = None

    @property
    def stem(self) -> str:
        """Beginning of the names of this backbone's files in the cache (``ViT-B-16.openai``)."""
        if self.library == "timm":
            return f"timm.{self.config_name}"
        return f"{self.config_name.removesuffix(_QUICK)}.{self.tag}"


def _openai(name: str, parameters: int, patch: int, *, large: bool = False) -> BackboneSpec:
    # OpenAI trained with QuickGELU: the plain configuration would load without a word and be wrong
    shape = (
        VitShape(224, patch, width=1024, layers=24, heads=16, hidden=4096, embed_dim=768)
        if large
        else VitShape(224, patch, width=768, layers=12, heads=12, hidden=3072, embed_dim=512)
    )
    return BackboneSpec(name, "open_clip", name + _QUICK, "openai", parameters, shape)


#: the backbones of the paper, by name
BACKBONES: dict[str, BackboneSpec] = {
    spec.name: spec
    for spec in (
        _openai("ViT-B-32", 87_849_216, patch=32),
        _openai("ViT-B-16", 86_192_640, patch=16),
        _openai("ViT-L-14", 303_966_208, patch=14, large=True),
    )
}


def parse_backbone(name: str) -> BackboneSpec:
    """Find out which tower and which weights a name stands for.

    Args:
        name: one of :data:`BACKBONES`, an open_clip tower as ``NAME`` or ``NAME:TAG``, or a timm
            vision transformer as ``timm/NAME``. Whether a tower uses QuickGELU follows from its weights:
            ``ViT-B-16``, ``ViT-B-16:openai`` and ``ViT-B-16-quickgelu:openai`` are the same.

    Raises:
        WeightsError: if there is no such tower or tag, or if the name contradicts the tag.
    """
    if name.startswith(_TIMM):
        return _parse_timm(name.removeprefix(_TIMM))
    tower, _, tag = name.partition(":")
    tag = tag.lower().replace("-", "_")
    known = BACKBONES.get(tower.removesuffix(_QUICK))
    if known is not None and tag in ("", "openai"):
        return known
    return _parse_open_clip(tower, tag)


def _parse_open_clip(tower: str, tag: str) -> BackboneSpec:
    import open_clip

    base = tower.removesuffix(_QUICK)
    tags: list[str] = open_clip.list_pretrained_tags_by_model(base)
    if not tags:
        towers = {name for name, _ in open_clip.list_pretrained() if _is_transformer(name)}
        raise WeightsError(f"{tower!r}: no such backbone{_hint(tower, towers)}")
    tag = tag or _default_tag(base, tags)
    if tag not in tags:
        raise WeightsError(f"{base}: no weights are called {tag!r}{_hint(tag, tags)}")
    quick = bool(open_clip.get_pretrained_cfg(base, tag).get("quick_gelu"))
    if tower != base and not quick:
        raise WeightsError(f"{tower}:{tag}: these weights were trained without QuickGELU: use {base}:{tag}")
    if not _is_transformer(base):
        raise WeightsError(f"{base}: not one of open_clip's plain vision transformers: use another")
    name = base if tag == "openai" else f"{base}:{tag}"
    return BackboneSpec(name, "open_clip", base + _QUICK if quick else base, tag)


def _default_tag(tower: str, tags: list[str]) -> str:
    if "openai" in tags:
        return "openai"
    if len(tags) > 1:
        names = ", ".join(f"{tower}:{tag}" for tag in tags)
        raise WeightsError(f"{tower}: which weights? Use one of {names}")
    return tags[0]


def _is_transformer(tower: str) -> bool:
    import open_clip

    config: dict[str, Any] = (open_clip.get_model_config(tower) or {}).get("vision_cfg", {})
    # a list of layers is a ResNet, a timm name a tower that timm builds
    return isinstance(config.get("layers"), int) and "timm_model_name" not in config


def _parse_timm(name: str) -> BackboneSpec:
    from timm.models import get_pretrained_cfg, is_model, is_model_in_modules, list_pretrained

    architecture = name.partition(".")[0]
    config = get_pretrained_cfg(name) if is_model(architecture) and _is_tag(name) else None
    if config is None or not config.has_weights:
        raise WeightsError(
            f"{_TIMM + name!r}: no such backbone{_hint(name, list_pretrained('*vit_*'), _TIMM)}"
        )
    if not is_model_in_modules(architecture, _TIMM_MODULES):
        raise WeightsError(f"{_TIMM}{name}: not one of timm's plain vision transformers: use another")
    full = f"{architecture}.{config.tag}" if config.tag else architecture
    return BackboneSpec(_TIMM + full, "timm", full, config.tag or "")


def _is_tag(name: str) -> bool:
    """Whether the part after the dot, if there is one, is a tag that timm knows for this architecture."""
    from timm.models import list_pretrained

    architecture, dot, _ = name.partition(".")
    return not dot or name in list_pretrained(f"{architecture}.*")


def _hint(wrong: str, names: Iterable[str], prefix: str = "") -> str:
    close = get_close_matches(wrong, sorted(names), n=3, cutoff=0.5)
    return (
        f": did you mean {', '.join(prefix + name for name in close)}?"
        if close
        else ": see `aigdetect models list`"
    )
