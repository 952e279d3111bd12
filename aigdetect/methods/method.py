"""What the methods share whose whole network is trained, and lies in the model folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from aigdetect.errors import UsageError, WeightsError
from aigdetect.methods.instrument import InstrumentKind
from aigdetect.model.base import Network, Statistics
from aigdetect.model.head import Head
from aigdetect.parsing import STRICT_KEYS, plain

#: of pixels that are only brought from 0..255 to 0..1
PLAIN: Statistics = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
#: what networks trained on ImageNet expect
IMAGENET: Statistics = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class MethodNetwork(Network):
    """A method: fixed preprocessing (:meth:`trunk`), a body that trains, if there is one, and a linear head.

    A subclass says what it is by its class attributes, and gives :meth:`trunk` and :meth:`read`.

    Attributes:
        settings_type: dataclass of its hyperparameters, the paper's by default; one is the view's ``size``.
        recipe: settings of its recipe that are not the defaults of all, by name.
        looks_through: networks of others that it needs; None if it needs none. One that does takes their
            tensors behind its settings, and holds them, frozen, as ``instrument``.
        settings: its hyperparameters.
        body: what trains before the head; not there in a :class:`FeatureNetwork`.

    Args:
        settings: see the attribute.
        width: numbers that the head reads.
        statistics: the normalisation of pixels.
    """

    settings_type: ClassVar[type[Any]]
    recipe: ClassVar[Mapping[str, Any]]
    looks_through: ClassVar[InstrumentKind | None] = None
    body: nn.Module
    mean: Tensor
    std: Tensor

    def __init__(self, settings: Any, *, width: int, statistics: Statistics = PLAIN) -> None:
        super().__init__()
        self.settings = settings
        self.bypasses = nn.ModuleDict()
        self.kinds = None
        self.kind_names = ()
        self.head = Head(blocks=0, width=width)
        self._statistics = statistics
        for name, values in zip(("mean", "std"), statistics, strict=True):
            self.register_buffer(name, 255 * torch.tensor(values).view(3, 1, 1), persistent=False)

    @property
    def size(self) -> int:
        """See :attr:`Network.size`."""
        return int(self.settings.size)

    @property
    def statistics(self) -> Statistics:
        """See :attr:`Network.statistics`."""
        return self._statistics

    @property
    def pretrained(self) -> str | None:
        """Name of the model of timm whose weights the body begins with; None: with random ones."""
        return None

    def begin_with(self, state: Mapping[str, Tensor]) -> None:
        """Give ``body`` the weights of :attr:`pretrained`, without what it has no place for (a classifier).

        Raises:
            WeightsError: if one is missing or has another shape.
        """
        own = self.body.state_dict()
        counts = {name for name, tensor in own.items() if not tensor.is_floating_point()}
        for name in sorted(own.keys() - counts):
            if name not in state or state[name].shape != own[name].shape:
                raise WeightsError(f"{self.pretrained}: tensor {name!r} is missing or has another shape")
        self.body.load_state_dict({**own, **{name: state[name] for name in own.keys() - counts}})

    def normalise(self, pixels: Tensor) -> Tensor:
        """Pixels ``(B, S, S, 3)``, 0..255, to ``(B, 3, S, S)`` float32, normalised."""
        return (pixels.permute(0, 3, 1, 2).float() - self.mean) / self.std

    def prepare(self, precision: str, device: torch.device, *, train: bool = False) -> None:
        """See :meth:`Network.prepare`: all is float32."""

    def frozen_settings(self) -> Mapping[str, Any]:
        """See :meth:`Network.frozen_settings`; what does not train is told by its digest."""
        told = {"method": type(self).__name__, "hyperparameters": plain(asdict(self.settings))}
        frozen: list[Tensor] = [value for value in self.parameters() if not value.requires_grad]
        if self.looks_through is not None:
            frozen += self.get_submodule("instrument").buffers()
        if frozen:
            digest = hashlib.sha256()
            for tensor in frozen:
                digest.update(tensor.detach().to("cpu", torch.float32).contiguous().numpy().data)
            told["frozen"] = digest.hexdigest()
        return told

    def trainable(self) -> dict[str, nn.Parameter]:
        """See :meth:`Network.trainable`."""
        return {name: value for name, value in self.named_parameters() if value.requires_grad}

    @property
    def normalises_batches(self) -> bool:
        """Whether what it learns of an image depends on the others of the batch."""
        return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in self.modules())

    def _own(self) -> Mapping[str, Tensor]:
        # means and variances that batch normalisation has seen are part of what was learnt; counts are not
        return {
            name: tensor
            for name, tensor in self.state_dict(keep_vars=True).items()
            if tensor.is_floating_point()
        }


class FeatureNetwork(MethodNetwork):
    """A method without a body: :meth:`trunk` gives features ``(B, F)``, and the head alone is trained."""

    def read(self, trunk: Tensor) -> Tensor:
        """See :meth:`Network.read`."""
        return trunk

    def overlap(self, features: Tensor) -> int:
        """See :meth:`Network.overlap`: the features are the trunk's output."""
        return features[0].numel()


class PixelNetwork(MethodNetwork):
    """A method that trains as a whole: what is kept of an image is its view, as it is.

    What comes before ``body``, :meth:`preprocess`, costs little and takes more room than the view, so it is
    done each time.
    """

    row_dtype = torch.uint8
    fits_head = False

    def trunk(self, views: Tensor) -> Tensor:
        """See :meth:`Network.trunk`: the views as they are."""
        return views

    def preprocess(self, pixels: Tensor) -> Tensor:
        """Pixels ``(B, S, S, 3)``, 0..255, to the body's input, float32; by default only normalised."""
        return self.normalise(pixels)

    def read(self, trunk: Tensor) -> Tensor:
        """See :meth:`Network.read`."""
        return self.body(self.preprocess(trunk))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class PretrainedSettings:
    """Hyperparameters of a :class:`PretrainedNetwork`, to which a method gives its paper's values.

    Attributes:
        size: side of the crop in pixels.
        network: network of timm, with the tag of the weights that it begins with.
        pretrained: whether it begins with them.

    Raises:
        UsageError: if the size is too small.
    """

    __pydantic_config__: ClassVar[Any] = STRICT_KEYS
    size: int
    network: str
    pretrained: bool = True

    def __post_init__(self) -> None:
        if self.size < 32:
            raise UsageError(f"size: {self.size} is below 32")


class PretrainedNetwork(PixelNetwork):
    """A method whose body is a network of timm that begins with weights of ImageNet."""

    settings: PretrainedSettings

    @property
    def pretrained(self) -> str | None:
        """See :attr:`MethodNetwork.pretrained`."""
        return self.settings.network if self.settings.pretrained else None
