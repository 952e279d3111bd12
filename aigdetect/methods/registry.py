"""Which methods there are, and what each of them needs: names first, code when one is chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from functools import cached_property
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from aigdetect.errors import UsageError
from aigdetect.model.card import DEFAULT_METHOD
from aigdetect.parsing import parse, plain

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import Tensor

    from aigdetect.methods.instrument import Instrument
    from aigdetect.methods.method import MethodNetwork


@dataclass(frozen=True)
class Method:
    """A detector that can be trained.

    Attributes:
        name: how it is called.
        title: what it is, in some words.
        source: its paper.
        place: module in this package and class, ``"npr:Npr"``; empty for a head, perhaps with experts, on an
            image tower, whose shape stands in the recipe (:class:`aigdetect.model.network.MoleNetwork`).
        preset: for one without a class, settings of its recipe that are not the defaults.
        fixed: settings that make it what it is, and cannot be others.
    """

    name: str
    title: str
    source: str
    place: str = ""
    preset: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    fixed: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def reads_tower(self) -> bool:
        """Whether it reads an image tower."""
        return not self.place

    @cached_property
    def network_type(self) -> type[MethodNetwork]:
        """Its class; not for one that reads an image tower."""
        module, _, name = self.place.partition(":")
        found: type[MethodNetwork] = getattr(import_module(f"aigdetect.methods.{module}"), name)
        return found

    @property
    def needs_instrument(self) -> bool:
        """Whether it looks through a network of others (:mod:`aigdetect.methods.instrument`)."""
        return not self.reads_tower and self.network_type.looks_through is not None

    @property
    def settings_type(self) -> type[Any] | None:
        """Dataclass of its hyperparameters; None if it has none of its own."""
        return None if self.reads_tower else self.network_type.settings_type


_FRANK = "J. Frank et al., Leveraging Frequency Analysis for Deep Fake Image Recognition, ICML 2020"

#: all methods by name, the default first
METHODS: Mapping[str, Method] = MappingProxyType(
    {
        method.name: method
        for method in (
            Method(
                DEFAULT_METHOD,
                "mixture of low-rank experts beside the last blocks of CLIP's image tower",
                "Z. Liu et al., Mixture of Low-rank Experts for Transferable AI-Generated Image Detection, "
                "2024",
            ),
            Method(
                "univfd",
                "linear probe on the embedding of CLIP's image tower",
                "U. Ojha et al., Towards Universal Fake Image Detectors that Generalize Across Generative "
                "Models, CVPR 2023",
                preset={
                    "backbone": "ViT-L-14",
                    "blocks": 0,
                    "augmentation": {"blur_probability": 0.5, "jpeg_probability": 0.5},
                },
                fixed={"blocks": 0, "head_blocks": 0},
            ),
            Method(
                "freqdct",
                "logistic regression on the logarithms of DCT coefficients",
                _FRANK,
                "freqdct:FreqDct",
            ),
            Method(
                "freqdct-cnn", "small CNN on the logarithms of DCT coefficients", _FRANK, "freqdct:FreqDctCnn"
            ),
            Method(
                "npr",
                "first stages of a ResNet-50 on neighbouring pixel relations",
                "C. Tan et al., Rethinking the Up-Sampling Operations in CNN-based Generative Network for "
                "Generalizable Deepfake Detection, CVPR 2024",
                "npr:Npr",
            ),
            Method(
                "cnnspot",
                "ResNet-50 on crops that are often blurred and re-encoded",
                "S.-Y. Wang et al., CNN-generated images are surprisingly easy to spot... for now, CVPR 2020",
                "cnnspot:CnnSpot",
            ),
            Method(
                "cooccurrence",
                "CNN on the co-occurrence matrices of the colour channels",
                "L. Nataraj et al., Detecting GAN generated Fake Images using Co-occurrence Matrices, 2019",
                "cooccurrence:CoOccurrence",
            ),
            Method(
                "freqspec",
                "ResNet-34 on the logarithm of the spectrum",
                "X. Zhang et al., Detecting and Simulating Artifacts in GAN Fake Images, WIFS 2019",
                "freqspec:FreqSpec",
            ),
            Method(
                "gramnet",
                "ResNet-18 with Gram matrices of its features",
                "Z. Liu et al., Global Texture Enhancement for Fake Face Detection in the Wild, CVPR 2020",
                "gramnet:GramNet",
            ),
            Method(
                "patchfor",
                "first blocks of an Xception, with a logit for every patch",
                "L. Chai et al., What makes fake images detectable? Understanding properties that "
                "generalize, ECCV 2020",
                "patchfor:PatchForensics",
            ),
            Method(
                "aeroblade",
                "distance of an image to what an autoencoder of a diffusion model gives back of it",
                "J. Ricker et al., AEROBLADE: Training-Free Detection of Latent Diffusion Images Using "
                "Autoencoder Reconstruction Error, CVPR 2024",
                "aeroblade:Aeroblade",
            ),
            Method(
                "dire",
                "ResNet-50 on the difference of an image to what such an autoencoder gives back of it",
                "Z. Wang et al., DIRE for Diffusion-Generated Image Detection, ICCV 2023",
                "dire:Dire",
            ),
            Method(
                "lnp",
                "ResNet-50 on the noise that a denoiser finds, and on its spectrum",
                "B. Liu et al., Detecting Generated Images by Real Images, ECCV 2022",
                "lnp:Lnp",
            ),
            Method(
                "lgrad",
                "ResNet-50 on the gradient of a GAN's discriminator by the image",
                "C. Tan et al., Learning on Gradients: Generalized Artifacts Representation for "
                "GAN-Generated Images Detection, CVPR 2023",
                "lgrad:Lgrad",
            ),
        )
    }
)


def find_method(name: object) -> Method:
    """A method by name; None stands for the default.

    Raises:
        UsageError: if there is none of that name.
    """
    name = DEFAULT_METHOD if name is None else name
    if isinstance(name, str) and name in METHODS:
        return METHODS[name]
    close = get_close_matches(str(name), METHODS, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(METHODS)}"
    raise UsageError(f"method: {name!r} is none; {hint}")


def recipe_of(method: Method) -> Mapping[str, Any]:
    """The settings of a method's recipe that are not the defaults of all."""
    return method.preset if method.reads_tower else method.network_type.recipe


def hyperparameters_of(method: Method, given: Mapping[str, Any]) -> dict[str, Any]:
    """All hyperparameters of a method as plain data: its paper's, but for those given.

    Raises:
        UsageError: naming one that it does not have, or that is impossible.
    """
    kind = method.settings_type
    if kind is None:
        if given:
            raise UsageError(f"hyperparameters: {method.name} has none; its settings are those of the recipe")
        return {}
    try:
        return dict(plain(asdict(parse(kind, given))))
    except ValueError as error:
        raise UsageError(f"{method.name}: {error}") from error


def read_instrument(method: Method, place: Path | None) -> Instrument | None:
    """The network of others that a method looks through.

    Args:
        method: the method.
        place: the file or folder that was given for it; None if none was.

    Returns:
        None if the method needs none.

    Raises:
        UsageError: if it needs one and none was given, or what was given is none; or if it needs none.
    """
    kind = None if method.reads_tower else method.network_type.looks_through
    if kind is None:
        if place is not None:
            raise UsageError(f"instrument: {method.name} looks through no network of others; leave it out")
        return None
    if place is None:
        raise UsageError(f"{method.name}: needs {kind.needed}; fetch it, and name it with --instrument")
    try:
        return kind.read(place)
    except UsageError as error:
        raise UsageError(f"instrument: {error}; {method.name} needs {kind.needed}") from error


def build_network(
    method: Method, hyperparameters: Mapping[str, Any], instrument: Mapping[str, Tensor] | None = None
) -> MethodNetwork:
    """The network of a method that reads no image tower, float32 on the CPU, with random weights.

    Args:
        method: the method.
        hyperparameters: its own.
        instrument: tensors of what it looks through, if it does.

    Raises:
        UsageError: if a hyperparameter is unknown or impossible, or the instrument is none for it.
    """
    kind: Any = method.network_type  # each takes settings of its own type
    settings = parse(kind.settings_type, hyperparameters_of(method, hyperparameters))
    network: MethodNetwork = (
        kind(settings) if kind.looks_through is None else kind(settings, instrument or {})
    )
    return network


def choose_precision_of(method: Method, name: str, device: torch.device) -> str:
    """Precision by name; only what reads an image tower calculates in others than float32.

    Raises:
        UsageError: if the name is unknown, or the method or the machine cannot calculate so.
    """
    from aigdetect.model.towers.arithmetic import choose_precision

    if method.reads_tower:
        return choose_precision(name, device)
    if name not in ("auto", "float32"):
        choose_precision(name, device)  # an unknown name is told as such
        raise UsageError(f"precision {name}: {method.name} calculates in float32; use auto or float32")
    return "float32"
