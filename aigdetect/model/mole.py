"""The bypass: a mixture of low-rank experts beside a frozen layer, its router and its load-balancing loss.

With ``x`` the input of the layer, the bypass adds (paper section 3.2)::

    (alpha/r) B A x + sum_i [i = argmax g] g_i (alpha_i/r_i) B_i A_i x,    g = softmax(W_g x)

The ranks of all experts are small together, so no token is gathered: one product brings every token down to
the channels of all experts, a mask and a gate per token silence the channels of the experts not chosen, and
one product brings the channels back up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aigdetect.errors import UsageError
from aigdetect.model.precision.basis import Reading, Writing


@dataclass(frozen=True)
class MixtureConfig:
    """Shape of one bypass.

    Attributes:
        shared_rank: rank of the expert that every token uses; 0 for none.
        expert_ranks: ranks of the separate experts, of which each token uses one; empty for none.
        alpha: scaling constant of every expert, whose output is multiplied by ``alpha / rank``;
            None means ``alpha = rank``, a scale of 1.

    Raises:
        UsageError: if a rank or alpha is out of range, or if there is no expert at all.
    """

    shared_rank: int = 8
    expert_ranks: tuple[int, ...] = (4, 8, 16)
    alpha: float | None = None

    def __post_init__(self) -> None:
        if self.shared_rank < 0:
            raise UsageError(f"shared_rank: {self.shared_rank} is below 0; 0 means no shared expert")
        if any(rank <= 0 for rank in self.expert_ranks):
            raise UsageError(f"expert_ranks: {list(self.expert_ranks)} holds a rank below 1")
        if not self.shared_rank and not self.expert_ranks:
            raise UsageError(
                "shared_rank and expert_ranks: 0 and none leave nothing to train; adapt 0 blocks"
            )
        if self.alpha is not None and not (math.isfinite(self.alpha) and self.alpha > 0):
            raise UsageError(f"alpha: {self.alpha} is not a number above 0")

    @property
    def ranks(self) -> tuple[int, ...]:
        """Ranks of all experts, the shared one first."""
        return ((self.shared_rank,) if self.shared_rank else ()) + self.expert_ranks


@dataclass(frozen=True)
class Routing:
    """What the router of one bypass did with a batch.

    Attributes:
        gates: softmax of the router, float32 ``(..., N)``, differentiable.
        chosen: index of the separate expert used by each token, int64 ``(...)``.
    """

    gates: Tensor
    chosen: Tensor


_collected: ContextVar[list[Routing] | None] = ContextVar("collected", default=None)


@contextmanager
def collect_routing() -> Iterator[list[Routing]]:
    """Collect the routing of every bypass that runs inside the block, in the order in which they run.

    The layers between a bypass and the caller know nothing of routers, so it cannot travel as a return value;
    and kept on the module it would outlive its batch.
    """
    routings: list[Routing] = []
    token = _collected.set(routings)
    try:
        yield routings
    finally:
        _collected.reset(token)


def collecting_routing() -> bool:
    """Whether this code runs inside :func:`collect_routing`."""
    return _collected.get() is not None


def may_rest(*bypasses: nn.Module) -> bool:
    """Whether none of these bypasses need run: all are idle, and nobody collects their routing."""
    return all(bypass.idle for bypass in bypasses) and not collecting_routing()


class LowRankMixture(nn.Module):
    """Shared and token-routed low-rank experts from ``in_width`` to ``out_width``.

    Parameters are packed over the experts, the shared one first, with ``R`` the sum of all ranks:

    - ``down`` ``(R, in_width)``: the matrices ``A``, Kaiming-uniform at the start;
    - ``up`` ``(out_width, R)``: the matrices ``B``, zero at the start, so that a fresh bypass adds exactly 0;
    - ``router`` ``(N, in_width)``: ``W_g``, without bias; None if there is no separate expert.

    They stay as they are (float32 in training) whatever the precision of the input: the two products run in
    the input's precision (or autocast's), the router and its softmax always in float32.

    Args:
        in_width: channels of a token that comes in.
        out_width: channels of a token that goes out.
        config: ranks and scaling.
    """

    #: whether it is known to add nothing, so that it need not run; see :meth:`settle`
    idle = False
    channel_scale: Tensor
    channel_expert: Tensor
    down_offset: Tensor | None
    router_offset: Tensor | None

    def __init__(self, *, in_width: int, out_width: int, config: MixtureConfig) -> None:
        super().__init__()
        self.config = config
        ranks = config.ranks
        self.down = nn.Parameter(torch.empty(sum(ranks), in_width))
        self.up = nn.Parameter(torch.empty(out_width, sum(ranks)))
        experts = len(config.expert_ranks)
        self.router = nn.Parameter(torch.empty(experts, in_width)) if experts else None
        scales = [1.0 if config.alpha is None else config.alpha / rank for rank in ranks]
        self.register_buffer("channel_scale", _per_channel(scales, ranks), persistent=False)
        owners = _per_channel(list(range(experts)), config.expert_ranks)
        self.register_buffer("channel_expert", owners, persistent=False)
        # what down and router give of an input of zeros, after rewrite()
        self.register_buffer("down_offset", None, persistent=False)
        self.register_buffer("router_offset", None, persistent=False)
        self.initialize_parameters()

    def initialize_parameters(self) -> None:
        """Set ``down`` and ``router`` at random (Kaiming-uniform, as in LoRA) and ``up`` to zero."""
        # each expert's A has the same fan-in, so one call over the packed rows equals one call per expert
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))
        nn.init.zeros_(self.up)
        if self.router is not None:
            nn.init.kaiming_uniform_(self.router, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """Output of the bypass, to be added to the layer's own.

        Args:
            x: tokens ``(..., in_width)``, any floating dtype.

        Returns:
            ``(..., out_width)`` in the dtype of ``x`` (or autocast's).
        """
        offset = None if self.down_offset is None else self.down_offset.to(x.dtype)
        hidden = F.linear(x, self.down.to(x.dtype), offset)
        weight = self.channel_scale
        if self.router is not None:
            routing = self.route(x)
            if (collected := _collected.get()) is not None:
                collected.append(routing)
            weight = weight * self._channel_gates(routing)
        return F.linear(hidden * weight.to(hidden.dtype), self.up.to(x.dtype))

    def settle(self) -> None:
        """See whether it adds nothing, for scoring only: the parameters must not change any more."""
        self.idle = not bool(self.up.any())

    @torch.no_grad()
    def rewrite(self, *, read: Reading | None = None, write: Writing | None = None) -> None:
        """Take another input or give another output, for scoring only: the parameters are no adapter's then.

        Args:
            read: changes ``down`` and ``router``; None where the input stays.
            write: changes ``up``; None where the output stays.
        """
        if read is not None:
            self.down.data, self.down_offset = read(self.down)
            if self.router is not None:
                self.router.data, self.router_offset = read(self.router)
        if write is not None:
            self.up.data = write(self.up)

    def route(self, x: Tensor) -> Routing:
        """Choose one separate expert for every token of ``x`` ``(..., in_width)``; float32 inside.

        Raises:
            ValueError: if there is no separate expert to choose.
        """
        if self.router is None:
            raise ValueError("this bypass has no separate experts, so nothing to route")
        with torch.autocast(x.device.type, enabled=False):
            gates = F.linear(x.float(), self.router.float(), self.router_offset).softmax(dim=-1)
        return Routing(gates=gates, chosen=gates.argmax(dim=-1))

    def _channel_gates(self, routing: Routing) -> Tensor:
        """Gate of every channel, float32 ``(..., R)``: 1 if shared, the gate if chosen, 0 otherwise."""
        gate = routing.gates.max(dim=-1, keepdim=True).values
        mask = self.channel_expert == routing.chosen.unsqueeze(-1)
        separate = torch.where(mask, gate, 0.0)
        shared = separate.new_ones((*separate.shape[:-1], self.config.shared_rank))
        return torch.cat([shared, separate], dim=-1)


def _per_channel(values: list[float] | list[int], ranks: tuple[int, ...]) -> Tensor:
    """One value per expert, repeated over the channels of that expert."""
    return torch.tensor([value for value, rank in zip(values, ranks, strict=True) for _ in range(rank)])


def count_chosen(routing: Routing) -> Tensor:
    """How many tokens chose each separate expert, int64 ``(N,)``."""
    return torch.bincount(routing.chosen.flatten(), minlength=routing.gates.shape[-1])


def load_balancing_loss(routing: Routing, share: Tensor | None = None) -> Tensor:
    """Load-balancing loss of one block, ``N * sum_j f_j P_j`` over all tokens of a batch (paper section 3.2).

    ``f_j`` is the share of tokens that chose expert ``j`` (no gradient), ``P_j`` its mean gate.

    Args:
        routing: what the router did.
        share: ``f``, float32 ``(N,)``, where the routing is that of a part of the batch; None: its own.

    Returns:
        float32 scalar: 1 for uniform routing, ``N`` if every token chooses one expert with gate 1. Over parts
        of a batch, with the ``share`` of the whole, the mean weighted by tokens is the loss of the whole, and
        so are the gradients.
    """
    gates = routing.gates.flatten(end_dim=-2)
    if share is None:
        counts = count_chosen(routing)
        share = counts / counts.sum()
    return gates.shape[-1] * (share * gates.mean(dim=0)).sum()
