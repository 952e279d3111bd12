"""The trainable network: frozen tower, bypasses beside its last blocks, and a head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, cast

import torch
from torch import Tensor, nn

from aigdetect.errors import UsageError
from aigdetect.model.base import Network, Statistics
from aigdetect.model.head import Head
from aigdetect.model.mole import LowRankMixture, collecting_routing
from aigdetect.model.towers.arithmetic import prepare_tower
from aigdetect.model.towers.tower import AdapterConfig, ImageTower, adapt


class MoleNetwork(Network):
    """Frozen tower, bypasses and head; without an adapted block the linear probe of Ojha et al.

    Attributes:
        tower: frozen image tower, with bypasses put in.
        bypasses: the bypasses by place.
        head: from the embedding or from class tokens to one logit.
        kinds: from the class tokens of blocks before the first adapted one, as far as the head reads them, to
            one logit for each kind of picture; None if the model tells no kinds apart.
        kind_names: their names.
        first_block: index of the first adapted block; the number of blocks if none is.
        first_token: index of the first block whose class token the head reads; the number of blocks if it
            reads the embedding.

    Args:
        tower: changed in place.
        config: which blocks there are, which of them are adapted, and how.
        head_blocks: the head reads the class tokens of so many last blocks; 0 for the embedding.
        head_sets: see :class:`aigdetect.model.head.Head`.
        head_kernel: see there.
        kinds: names of the kinds of pictures that are told apart; empty for none.

    Raises:
        UsageError: if the adapter or the head does not fit the tower, the head reads the embedding of a tower
            that was cut, or kinds are wanted and the head reads no class token of a block before the first
            adapted one.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        tower: ImageTower,
        config: AdapterConfig,
        *,
        head_blocks: int = 0,
        head_sets: int = 1,
        head_kernel: str = "linear",
        kinds: Sequence[str] = (),
    ) -> None:
        super().__init__()
        tower.cut(config.depth)
        tower.merge_tokens(config.merging)
        self.tower = tower
        self.config = config
        self.depth = len(tower.blocks)
        if config.depth is not None and not head_blocks:
            raise UsageError("depth: needs head_blocks, too; the embedding is that of the whole tower")
        if not 0 <= head_blocks <= self.depth:
            raise UsageError(f"head_blocks: {head_blocks} is not in 0..{self.depth}, the blocks of the tower")
        self.first_block = config.first_block(self.depth)
        self.first_token = self.depth - head_blocks
        self.bypasses = adapt(tower, config)
        width = tower.width if head_blocks else tower.embed_dim
        self.head = Head(blocks=head_blocks, width=width, sets=head_sets, kernel=head_kernel)
        if kinds and not self.frozen_tokens:
            raise UsageError(
                "kinds: need a head (head_blocks) on class tokens of blocks that are not adapted"
            )
        self.kind_names = tuple(kinds)
        self.kinds = nn.Linear(self.frozen_tokens * width, len(kinds)) if kinds else None
        self.register_buffer("mean", 255 * torch.tensor(tower.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(tower.std).view(3, 1, 1), persistent=False)

    @property
    def size(self) -> int:
        """See :attr:`Network.size`."""
        return self.tower.image_size

    @property
    def statistics(self) -> Statistics:
        """See :attr:`Network.statistics`."""
        return self.tower.mean, self.tower.std

    def prepare(self, precision: str, device: torch.device, *, train: bool = False) -> None:
        """See :meth:`Network.prepare`; the tower cannot be turned back or moved afterwards."""
        prepare_tower(self.tower, precision, device, trained_from=self.first_block if train else None)

    def settle(self) -> None:
        """Find bypasses that add nothing, which then need not run: for scoring only."""
        for bypass in self.bypasses.values():
            cast(LowRankMixture, bypass).settle()

    def frozen_settings(self) -> Mapping[str, Any]:
        """See :meth:`Network.frozen_settings`."""
        return {
            "adapted_from": self.first_block if self.bypasses else None,
            "head_blocks": self.head.blocks,
            # without them as before towers could be cut or merge: what was kept then is found
            **({} if self.config.depth is None else {"depth": self.depth}),
            **(asdict(self.config.merging) if self.config.merging.share else {}),
        }

    def overlap(self, features: Tensor) -> int:
        """See :meth:`Network.overlap`: class tokens of blocks before the first adapted one."""
        kept = self.frozen_tokens if self.bypasses else features.shape[1]
        return features[0, :kept].numel() if self.head.blocks or not self.bypasses else 0

    @property
    def frozen_tokens(self) -> int:
        """How many of the class tokens that the head reads never change in training, the first ones."""
        return max(0, self.first_block - self.first_token)

    def normalise(self, views: Tensor) -> Tensor:
        """Views ``(B, S, S, 3)`` uint8, 0..255, to the tower's input ``(B, 3, S, S)``, float32."""
        return (views.permute(0, 3, 1, 2).float() - self.mean) / self.std

    @torch.no_grad()
    def trunk(self, views: Tensor) -> Tensor:
        """The part before anything trains.

        Args:
            views: ``(B, S, S, 3)`` uint8, 0..255.

        Returns:
            float32, without gradient. If a block is adapted: the tokens ``(B, T, d)`` that enter the first
            adapted one, and after them the class tokens of earlier blocks that the head reads,
            ``(B, T + k, d)`` in all. If none is: what the head reads.
        """
        tokens = self.tower.stem(self.normalise(views))
        if not self.bypasses:
            return self._read(tokens, start=0, kept=[])
        kept = []
        for index in range(self.first_block):
            tokens = self.tower.run_blocks(tokens, index, index + 1)
            if index >= self.first_token:
                kept.append(self.tower.class_token(tokens))
        return torch.cat([tokens, torch.stack(kept, dim=1)], dim=1) if kept else tokens

    def read(self, trunk: Tensor) -> Tensor:
        """Output of :meth:`trunk` to what the head reads.

        Returns:
            the embedding ``(B, embed_dim)``, or class tokens ``(B, head_blocks, d)``.
        """
        if not self.bypasses:
            return trunk
        tokens, kept = trunk.tensor_split([trunk.shape[1] - self.frozen_tokens], dim=1)
        return self._read(tokens, start=self.first_block, kept=list(kept.unbind(dim=1)))

    def _read(self, tokens: Tensor, *, start: int, kept: list[Tensor]) -> Tensor:
        """Tokens that enter block ``start`` to what the head reads; ``kept`` are earlier class tokens."""
        # the router of the last block is wanted for every token
        whole = bool(self.bypasses) and (self.training or collecting_routing())
        for index in range(start, self.depth):
            last = index == self.depth - 1 and not whole
            tokens = (
                self.tower.last_block(tokens) if last else self.tower.run_blocks(tokens, index, index + 1)
            )
            if index >= self.first_token:
                kept.append(self.tower.class_token(tokens))
        return self.tower.turn_back(torch.stack(kept, dim=1)) if kept else self.tower.embed(tokens)

    def outputs(self, views: Tensor, scales: Tensor | None = None) -> Tensor:
        """Logits as of :meth:`forward`, and beside them those of the kinds of pictures.

        Args:
            views: see there.
            scales: see there.

        Returns:
            ``(B, 1 + K)`` float32.
        """
        read = self.read(self.trunk(views))
        logits = self.head(read, scales)[:, None]
        if self.kinds is None:
            return logits  # type: ignore[no-any-return]
        return torch.cat([logits, self.kinds(self.kind_features(read))], dim=1)

    def kind_features(self, read: Tensor) -> Tensor:
        """What tells kinds apart, ``(B, F)`` float32, out of what the head reads (:meth:`read`)."""
        return self.head.normalised(read[:, : self.frozen_tokens])

    def trainable(self) -> dict[str, nn.Parameter]:
        """All parameters that train, by name: ``block9_mlp.down`` ..., ``head.weight``, ``head.bias``."""
        named = dict(self.bypasses.named_parameters())
        named.update({f"head.{name}": parameter for name, parameter in self.head.named_parameters()})
        return named

    def _own(self) -> dict[str, Tensor]:
        """All that is not the tower's; what is fitted, and takes no steps, too."""
        own: dict[str, Tensor] = {**self.trainable()}
        own.update({f"head.{name}": tensor for name, tensor in self.head.state_dict().items()})
        if self.kinds is not None:
            own.update({f"kinds.{name}": parameter for name, parameter in self.kinds.named_parameters()})
        return own
