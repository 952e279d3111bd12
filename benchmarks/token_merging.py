"""Would fewer tokens do? ``python benchmarks/token_merging.py --data A --state FOLDER --merge FIRST:COUNT``.

Merges the tokens that are most alike inside the blocks of the frozen tower (Bolya et al. 2023, "Token
Merging: Your ViT But Faster": bipartite matching by keys between attention and MLP, sizes weighed in
attention): COUNT of them in each block from FIRST (counted from 0) on, or in so many blocks. Prints, by the
protocol of unseen.py, what a head on the class tokens of such a tower is worth beside one on a tower with all
its tokens, and how many times as many views a second the tower then takes, in turns with all tokens.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from unseen import Told, Trial, cross_fit, difference, figures, leave, load, save

from aigdetect.data.layouts import Sample, find_samples
from aigdetect.model.base import Network
from aigdetect.model.network import MoleNetwork
from aigdetect.model.towers.attention import SelfAttention, attend
from aigdetect.model.towers.build import load_tower
from aigdetect.model.towers.tower import AdapterConfig, ImageTower
from aigdetect.training.recipe import make_recipe

SETTINGS = {
    "views": ["whole"],
    "blocks": 0,
    "head_blocks": 9,
    "head_penalty": 0.3,
    "balanced": True,
    "epochs": 0,
    "copies": 1,
    "plain_copy": True,
    "folds": 5,
    "cache": "disk",
}
VIEWS = 8


def match(metric: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Which tokens to merge into which: every second one may go, into the most similar of the others.

    Args:
        metric: ``(B, T, c)``, by whose angle tokens are alike; the first is the class token, which stays.
        count: how many to merge.

    Returns:
        indices ``(B, ...)`` among the tokens of even place that stay, of those that go, and the indices among
        the odd ones into which these go.
    """
    metric = metric / metric.norm(dim=-1, keepdim=True)
    alike = metric[:, ::2] @ metric[:, 1::2].transpose(1, 2)
    alike[:, 0] = -torch.inf
    best, target = alike.max(dim=-1)
    order = best.argsort(dim=-1, descending=True)
    going = order[:, :count]
    return order[:, count:].sort(dim=-1).values, going, target.gather(1, going)


def merge(tokens: Tensor, matched: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Sums of the tokens ``(B, T, d)`` that come together, ``(B, T - count, d)``."""
    staying, going, target = (index[..., None].expand(-1, -1, tokens.shape[-1]) for index in matched)
    even, odd = tokens[:, ::2], tokens[:, 1::2]
    return torch.cat([even.gather(1, staying), odd.scatter_add(1, target, even.gather(1, going))], dim=1)


@dataclass(frozen=True)
class MergePlan:
    """Which blocks merge, and how many tokens.

    Attributes:
        first: index of the first block that merges.
        count: tokens that each of them merges, at most half of those that it gets.
        blocks: how many of them do.
    """

    first: int
    count: int
    blocks: int = 99

    @classmethod
    def parse(cls, text: str) -> MergePlan:
        """Of ``FIRST:COUNT`` or ``FIRST:COUNT:BLOCKS``."""
        return cls(*(int(part) for part in text.split(":")))

    def __str__(self) -> str:
        """In words; blocks are counted from 1."""
        every = "each block from" if self.blocks > 1 else "block"
        last = f" to {self.first + self.blocks}" if 1 < self.blocks < 99 else ""
        return f"{self.count} merged in {every} {self.first + 1}{last}"


class Merging:
    """Lets the blocks of a tower merge tokens; how many patches each token stands for goes along.

    Args:
        tower: changed in place.
        plan: which blocks merge, and how many tokens.
    """

    def __init__(self, tower: ImageTower, plan: MergePlan) -> None:
        self._sizes: Tensor | None = None
        for index, block in enumerate(tower.blocks):
            if index >= plan.first:
                count = plan.count if index - plan.first < plan.blocks else 0
                cast(Any, block).forward = partial(self._run, block, count, begins=index == plan.first)

    def _run(self, block: Any, count: int, tokens: Tensor, *, begins: bool) -> Tensor:
        if begins or self._sizes is None:
            self._sizes = tokens.new_ones((*tokens.shape[:2], 1))
        sizes, attention = self._sizes, cast(SelfAttention, block.attn)
        q, k, v = attention._project(block.ln_1(tokens))
        mixed = attend(q, k, v, sizes.log().transpose(1, 2)[:, None].to(q.dtype)).transpose(1, 2).flatten(2)
        tokens = tokens + attention.out_proj(mixed)
        if count := min(count, (tokens.shape[1] - 1) // 2):
            matched = match(k.float().mean(dim=1), count)
            self._sizes = merge(sizes, matched)
            tokens = merge(tokens * sizes, matched) / self._sizes
        return tokens + block.mlp(block.ln_2(tokens))  # type: ignore[no-any-return]


def merge_in(network: Network, *, plan: MergePlan) -> None:
    """Let a network's tower merge tokens."""
    Merging(cast(MoleNetwork, network).tower, plan)


def evaluate(
    samples: Sequence[Sample],
    trial: Trial,
    state: Path,
    tables: Path,
    change: Callable[[Network], None] = leave,
) -> Told:
    """What heads on a tower say of images of origins that they never saw; kept in the state folder."""
    done = state / f"{trial.name}.json"
    if not done.exists():
        save(cross_fit(trial.recipe, samples, state, tables, change), done)
    return load(done, {sample.path: sample for sample in samples})


def speed_up(plan: MergePlan, rounds: int) -> float:
    """How many times as many views a second the real tower takes, all tokens and merged ones in turns."""
    views = torch.randint(0, 256, (VIEWS, 224, 224, 3), dtype=torch.uint8)
    networks = []
    for merges in (False, True):
        tower, _ = load_tower("ViT-B-16")
        network = MoleNetwork(tower, AdapterConfig(blocks=0), head_blocks=9).eval()
        network.prepare("float32", torch.device("cpu"))
        if merges:
            merge_in(network, plan=plan)
        networks.append(network)
    best = [float("inf")] * 2
    for _ in range(rounds):
        for place, network in enumerate(networks):
            begin = time.perf_counter()
            for view in views:
                network.trunk(view[None])
            best[place] = min(best[place], time.perf_counter() - begin)
    return best[0] / best[1]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--data", action="append", required=True, help="data set in any layout that train takes"
    )
    parser.add_argument("--state", type=Path, required=True, help="folder of finished trials and of outputs")
    parser.add_argument("--cache-folder", type=Path, help="as for train, for the tower with all its tokens")
    parser.add_argument(
        "--merge", action="append", required=True, metavar="FIRST:COUNT[:BLOCKS]", help="may be given again"
    )
    parser.add_argument("--samples-per-group", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    samples = [sample for root in options.data for sample in find_samples(root).samples]
    options.state.mkdir(parents=True, exist_ok=True)
    recipe = replace(make_recipe(SETTINGS), samples_per_group=options.samples_per_group)
    all_tokens = evaluate(
        samples,
        Trial(f"all tokens, {options.samples_per_group}", recipe),
        options.state,
        options.cache_folder or options.state / "tables",
    )
    table = Table(title=f"{len(all_tokens.samples)} images of origins never seen")
    for column in ("tokens", *figures(all_tokens), "to all tokens", "views a second"):
        table.add_column(column, justify="right")
    table.add_row("all", *(f"{value:.3f}" for value in figures(all_tokens).values()), "", "1.00")
    for each in options.merge:
        plan = MergePlan.parse(each)
        tables = options.state / f"tables {each.replace(':', ' ')}"
        trial = Trial(f"{plan}, {options.samples_per_group}", recipe)
        told = evaluate(samples, trial, options.state, tables, partial(merge_in, plan=plan))
        shift = "{:+.4f} ({:+.4f}..{:+.4f})".format(*difference(told, all_tokens))
        rate = speed_up(plan, options.rounds)
        table.add_row(str(plan), *(f"{value:.3f}" for value in figures(told).values()), shift, f"{rate:.2f}")
    Console(width=280).print(table)


if __name__ == "__main__":
    main()
