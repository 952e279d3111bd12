"""The trainable network: frozen tower, bypasses beside its last blocks, one linear head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from aigdetect.errors import ModelError
from aigdetect.model.mole import collecting_routing
from aigdetect.model.tower import AdapterConfig, ImageTower, adapt


class MoleNetwork(nn.Module):
    """Image in, logit out; a positive logit means generated.

    The forward pass is cut in two: :meth:`trunk` holds all that never trains, so that its output can be kept,
    and :meth:`tail` the rest.

    Attributes:
        tower: frozen image tower, with bypasses put in.
        bypasses: the bypasses by place.
        head: linear layer from the projected, not normalised, embedding to one logit; float32.
        first_block: index of the first adapted block; the number of blocks if none is.

    Args:
        tower: changed in place.
        config: which blocks are adapted, and how.

    Raises:
        UsageError: if the adapter does not fit the tower.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, tower: ImageTower, config: AdapterConfig) -> None:
        super().__init__()
        self.tower = tower
        self.config = config
        self.first_block = config.first_block(len(tower.blocks))
        self.bypasses = adapt(tower, config)
        self.head = nn.Linear(tower.embed_dim, 1)
        self.register_buffer("mean", 255 * torch.tensor(tower.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(tower.std).view(3, 1, 1), persistent=False)

    def normalise(self, views: Tensor) -> Tensor:
        """Views ``(B, S, S, 3)`` uint8, 0..255, to the tower's input ``(B, 3, S, S)``, float32."""
        return (views.permute(0, 3, 1, 2).float() - self.mean) / self.std

    @torch.no_grad()
    def trunk(self, views: Tensor) -> Tensor:
        """The part before anything trains.

        Args:
            views: ``(B, S, S, 3)`` uint8, 0..255.

        Returns:
            tokens ``(B, T, d)`` that enter the first adapted block or, if none is adapted, the embedding
            ``(B, embed_dim)``; float32, without gradient.
        """
        tokens = self.tower.stem(self.normalise(views))
        if not self.bypasses:
            return self.tower.finish(tokens, start=0)
        return self.tower.run_blocks(tokens, stop=self.first_block)

    def tail(self, trunk: Tensor) -> Tensor:
        """Output of :meth:`trunk` to logits ``(B,)``, float32."""
        embedding = trunk
        if self.bypasses and (self.training or collecting_routing()):
            # the router of the last block is wanted for every token
            embedding = self.tower.embed(self.tower.run_blocks(trunk, start=self.first_block))
        elif self.bypasses:
            embedding = self.tower.finish(trunk, start=self.first_block)
        with torch.autocast(embedding.device.type, enabled=False):
            return cast(Tensor, self.head(embedding.float())).squeeze(-1)

    def forward(self, views: Tensor) -> Tensor:
        """Views ``(B, S, S, 3)`` uint8, 0..255, to logits ``(B,)``, float32."""
        return self.tail(self.trunk(views))

    def trainable(self) -> dict[str, nn.Parameter]:
        """All parameters that train, by name: ``block9_mlp.down`` ..., ``head.weight``, ``head.bias``."""
        named = dict(self.bypasses.named_parameters())
        named.update({f"head.{name}": parameter for name, parameter in self.head.named_parameters()})
        return named

    def adapter_state(self) -> dict[str, Tensor]:
        """Copy of the trainable part, float32 on the CPU, as the file of a model folder holds it."""
        return {
            name: parameter.detach().to("cpu", torch.float32, copy=True)
            for name, parameter in self.trainable().items()
        }

    def load_adapter_state(self, state: Mapping[str, Tensor]) -> None:
        """Fill the trainable part; every tensor must be there, and fit.

        Raises:
            ModelError: naming the first tensor that is missing, left over or misshapen.
        """
        trainable = self.trainable()
        for name in sorted(trainable.keys() | state.keys()):
            if name not in state:
                raise ModelError(f"adapter: tensor {name!r} is missing; restore the model folder")
            if name not in trainable:
                raise ModelError(
                    f"adapter: tensor {name!r} has no place in this model; restore the model folder"
                )
            if state[name].shape != trainable[name].shape:
                raise ModelError(
                    f"adapter: tensor {name!r} has shape {tuple(state[name].shape)}, "
                    f"expected {tuple(trainable[name].shape)}; restore the model folder"
                )
        with torch.no_grad():
            for name, parameter in trainable.items():
                parameter.copy_(state[name])
