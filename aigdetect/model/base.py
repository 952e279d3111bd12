"""What training, scoring and measuring ask of the network of any method: views in, logits out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from aigdetect.errors import ModelError
from aigdetect.images.views import shares_of
from aigdetect.model.head import Head

#: channel means and standard deviations of a normalisation, RGB, for pixels in 0..1
Statistics = tuple[tuple[float, float, float], tuple[float, float, float]]


class Network(nn.Module, ABC):
    """Views in, logits out; a positive logit means generated.

    The forward pass is cut in three: :meth:`trunk` holds all that never trains, so that its output can be
    kept; :meth:`read` what may train, up to what the head reads; and ``head`` the rest.

    Attributes:
        head: from what :meth:`read` gives to one logit.
        bypasses: experts beside a frozen tower, by place; none for most methods.
        kinds: from a part of what the head reads to one logit for each kind of picture; None if the method
            tells no kinds apart.
        kind_names: their names.
        row_dtype: dtype in which outputs of the trunk are kept without loss; None if they are real numbers,
            kept in the precision of the run.
        fits_head: whether the head can be fitted to what the untrained network says.
    """

    head: Head
    bypasses: nn.ModuleDict
    kinds: nn.Linear | None
    kind_names: tuple[str, ...]
    row_dtype: ClassVar[torch.dtype | None] = None
    fits_head: ClassVar[bool] = True

    @property
    @abstractmethod
    def size(self) -> int:
        """Side of a view in pixels."""

    @property
    @abstractmethod
    def statistics(self) -> Statistics:
        """The normalisation of pixels."""

    @abstractmethod
    def trunk(self, views: Tensor) -> Tensor:
        """The part before anything trains.

        Args:
            views: ``(B, S, S, 3)`` uint8, 0..255.

        Returns:
            ``(B, ...)``, without gradient.
        """

    @abstractmethod
    def read(self, trunk: Tensor) -> Tensor:
        """Output of :meth:`trunk` to what the head reads, ``(B, ...)``; see :meth:`Head.normalised`."""

    @abstractmethod
    def prepare(self, precision: str, device: torch.device, *, train: bool = False) -> None:
        """Make the frozen part ready to calculate, before the network is moved to the device.

        Args:
            precision: what :func:`aigdetect.methods.registry.choose_precision_of` gave.
            device: where it will run.
            train: whether it will be trained.

        Raises:
            UsageError: if it does not calculate so, or not while it trains.
        """

    @abstractmethod
    def frozen_settings(self) -> Mapping[str, Any]:
        """What outputs of the trunk depend on, besides views, weights and precision; as JSON holds it."""

    def untrained(self, trunk: Tensor) -> Tensor:
        """What the head reads before training; empty, ``(B, 0)``, where a head cannot be fitted to it."""
        return self.read(trunk) if self.fits_head else trunk.new_empty(len(trunk), 0)

    def overlap(self, features: Tensor) -> int:
        """How many numbers end the trunk's output for a view, and begin what :meth:`untrained` makes of it.

        Args:
            features: output of :meth:`untrained` for one view ``(1, ...)``.
        """
        return 0

    def tail(self, trunk: Tensor, scales: Sequence[int] | None = None) -> Tensor:
        """Outputs of :meth:`trunk` for all views of images to logits.

        Args:
            trunk: ``(B, V, ...)``.
            scales: number of the scale of each of the V views; None: each is of its own.

        Returns:
            ``(B,)`` float32.
        """
        images, views = trunk.shape[:2]
        read = self.read(trunk.flatten(0, 1))
        return self.judge(read.view(images, views, *read.shape[1:]), scales)

    def training_logits(self, trunk: Tensor) -> Tensor:
        """What the loss is taken of: :meth:`tail`, or several logits of each image ``(B, P)``.

        Args:
            trunk: as for :meth:`tail`, each view of a scale of its own.
        """
        return self.tail(trunk)

    def judge(self, read: Tensor, scales: Sequence[int] | None = None) -> Tensor:
        """What the head reads of all views of images ``(B, V, ...)`` to logits ``(B,)``; see :meth:`tail`."""
        images, views = read.shape[:2]
        scales = range(views) if scales is None else scales
        of_views = torch.tensor(scales, device=read.device).repeat(images)
        logits: Tensor = self.head(read.flatten(0, 1), of_views)
        return (logits.view(images, views) * logits.new_tensor(shares_of(scales))).sum(dim=1)

    def forward(self, views: Tensor, scales: Tensor | None = None) -> Tensor:
        """Logits of single views; that of an image is the mean over its views.

        Args:
            views: ``(B, S, S, 3)`` uint8, 0..255.
            scales: ``(B,)`` int64, number of each view's scale; None: all are of the first.

        Returns:
            ``(B,)`` float32.
        """
        return self.head(self.read(self.trunk(views)), scales)  # type: ignore[no-any-return]

    def outputs(self, views: Tensor, scales: Tensor | None = None) -> Tensor:
        """Logits as of :meth:`forward`, and beside them those of the kinds of pictures, if there are any.

        Args:
            views: see there.
            scales: see there.

        Returns:
            ``(B, 1 + K)`` float32.
        """
        return self(views, scales)[:, None]  # type: ignore[no-any-return]

    @abstractmethod
    def trainable(self) -> dict[str, nn.Parameter]:
        """All parameters that train, by name; those of the head begin with ``head.``."""

    @abstractmethod
    def _own(self) -> Mapping[str, Tensor]:
        """All that a model folder holds, by name: what trains, and what training changes besides."""

    def adapter_state(self) -> dict[str, Tensor]:
        """Copy of what training changes, on the CPU, as the file of a model folder holds it.

        All of it is float32 but what is never more than float16.
        """
        return {
            name: own.detach().to(
                "cpu", own.dtype if own.dtype == torch.float16 else torch.float32, copy=True
            )
            for name, own in self._own().items()
        }

    def load_adapter_state(self, state: Mapping[str, Tensor]) -> None:
        """Fill what training changes; every tensor must be there, and fit.

        Raises:
            ModelError: naming the first tensor that is missing, left over or misshapen.
        """
        own = self._own()
        for name in sorted(own.keys() | state.keys()):
            if name not in state:
                raise ModelError(f"adapter: tensor {name!r} is missing; restore the model folder")
            if name not in own:
                raise ModelError(
                    f"adapter: tensor {name!r} has no place in this model; restore the model folder"
                )
            if state[name].shape != own[name].shape:
                raise ModelError(
                    f"adapter: tensor {name!r} has shape {tuple(state[name].shape)}, "
                    f"expected {tuple(own[name].shape)}; restore the model folder"
                )
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(state[name])
