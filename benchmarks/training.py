"""Training speed beside a plain loop with peft, in one run: ``python benchmarks/training.py DATA``.

Three ways to train the same adapter on the same images: ours with the output of the frozen blocks kept, ours
without, and the loop that one would write by hand: open_clip's tower, ``peft``'s low-rank layers as weight
updates of the same MLPs, a linear head, AdamW. Each way runs in a process of its own, and the ways take
turns, so that a drifting machine hurts all alike. Prints images per second from the second epoch on (the
median over epochs and rounds), the ratio to the plain loop, by the clock and by processor time (which other
programs on the machine do not stretch), what comes before the first epoch (filling what is kept), the whole
run, and the peak memory of the process.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import nn
from whole_update import WithUpdate

from aigdetect.data.augment import Augmentation
from aigdetect.data.dataset import batched, copies_of_views, map_ordered
from aigdetect.data.facts import choose_some
from aigdetect.data.layouts import Sample, find_samples, require_both_classes
from aigdetect.errors import AigdetectError, ImageError, UsageError
from aigdetect.images.views import Pixels
from aigdetect.model.towers.build import build_base
from aigdetect.model.weights.backbones import parse_backbone
from aigdetect.model.weights.find_weights import find_weights, load_tower_state
from aigdetect.training.callbacks import Step, Watch
from aigdetect.training.partition import Split
from aigdetect.training.recipe import RunOptions, make_recipe
from aigdetect.training.train_model import train_model

WAYS = ("kept", "not kept", "plain loop")
Clocks = tuple[float, float]
"""Seconds by the clock and by the processor."""

_RANK = 8
_WORKERS = 2


@dataclass(frozen=True)
class Times:
    """What one process took.

    Attributes:
        before: seconds before the first epoch, without loading the tower.
        epochs: seconds of each epoch, without validation.
        processor: processor seconds of each epoch, of all threads.
        memory: peak memory of the process in bytes.
    """

    before: float
    epochs: list[float]
    processor: list[float]
    memory: int


# -- the plain loop -----------------------------------------------------------------------------------------


def plain_loop(samples: Sequence[Sample], options: argparse.Namespace) -> Times:
    """Train as one would by hand."""
    import peft

    # the library's tower, where we have one of our own, too
    spec = replace(parse_backbone(options.backbone), shape=None)
    tower: Any
    tower, normalisation = build_base(spec)
    tower.load_state_dict(load_tower_state(find_weights(spec, file=options.weights).path))
    tower.requires_grad_(False).eval()
    clip = spec.library == "open_clip"
    blocks = tower.transformer.resblocks if clip else tower.blocks
    width = tower.transformer.width if clip else tower.embed_dim
    size = (tower.image_size if clip else tower.patch_embed.img_size)[0]
    for block in list(blocks)[len(blocks) - options.blocks :]:
        block.mlp = WithUpdate(block.mlp, width)
    config = peft.LoraConfig(r=_RANK, lora_alpha=_RANK, target_modules=["update"])
    peft.inject_adapter_in_model(config, tower)
    head = nn.Linear(tower.output_dim if clip else tower.num_features, 1)
    mean, std = (255 * torch.tensor(normalisation[name]).view(3, 1, 1) for name in ("mean", "std"))
    trained = [p for p in (*tower.parameters(), *head.parameters()) if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=6e-4)
    labels = torch.tensor([float(sample.label) for sample in samples])
    ends = [_clocks()]
    for epoch in range(options.epochs):
        for places in batched(torch.randperm(len(samples)).tolist(), options.batch_size):
            views = torch.from_numpy(
                np.stack(list(_views([samples[place] for place in places], epoch, size)))
            )
            images = (views.permute(0, 3, 1, 2).float() - mean) / std
            loss = F.binary_cross_entropy_with_logits(head(tower(images)).squeeze(-1), labels[places])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        ends.append(_clocks())
    return _times(0.0, ends[:-1], ends[1:])


def _views(samples: Sequence[Sample], epoch: int, size: int) -> Iterator[Pixels]:
    def view(sample: Sample) -> Pixels:
        views = copies_of_views(sample, [epoch], size=size, augmentation=Augmentation(), seed=0)[0]
        return np.asarray(views[0])

    for made in map_ordered(view, samples, workers=_WORKERS):
        if isinstance(made, ImageError):
            raise made
        yield made


# -- ours ---------------------------------------------------------------------------------------------------


def ours(samples: Sequence[Sample], options: argparse.Namespace, *, kept: bool) -> Times:
    """Train as ``aigdetect train`` does."""
    recipe = make_recipe(
        {
            "backbone": options.backbone,
            "blocks": options.blocks,
            "shared_rank": _RANK,
            "expert_ranks": [],
            "epochs": options.epochs,
            "copies": options.copies,
            "batch_size": options.batch_size,
            "cache": "memory" if kept else "none",
            "precision": "float32",
        }
    )
    began: list[Clocks] = []
    ended: list[Clocks] = []
    first: list[float] = []

    def stage(name: str, total: int) -> None:
        first.append(time.perf_counter())
        if name.startswith("epoch"):
            began.append(_clocks())

    def step(done: Step) -> None:
        del ended[done.epoch - 1 :]
        ended.append(_clocks())

    # one image of each class, so that validation costs next to nothing
    held_out = tuple(next(s for s in samples if s.label == label) for label in (0, 1))
    with tempfile.TemporaryDirectory() as folder:
        train_model(
            Split(tuple(samples), held_out),
            recipe,
            Path(folder) / "model",
            RunOptions("cpu", options.weights, workers=_WORKERS),
            watch=Watch(stage=stage, step=step),
        )
    return _times(began[0][0] - first[0], began, ended)


def _clocks() -> Clocks:
    return time.perf_counter(), time.process_time()


def _times(before: float, began: Sequence[Clocks], ended: Sequence[Clocks]) -> Times:
    wall, processor = (
        [end[clock] - start[clock] for start, end in zip(began, ended, strict=True)] for clock in (0, 1)
    )
    return Times(before, wall, processor, _peak_memory())


def _peak_memory() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


# -- the comparison -----------------------------------------------------------------------------------------


def measure(options: argparse.Namespace) -> dict[str, list[Times]]:
    """Times of every way, a process for each, in turns and in the opposite order every second round."""
    times: dict[str, list[Times]] = {way: [] for way in WAYS}
    for number in range(options.rounds):
        for way in WAYS if number % 2 == 0 else WAYS[::-1]:
            sys.stderr.write(f"round {number + 1}: {way}\n")
            done = subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], "--way", way], stdout=subprocess.PIPE, check=False
            )
            if done.returncode:
                raise UsageError(f"{way}: ended with status {done.returncode}")
            times[way].append(Times(**json.loads(done.stdout)))
    return times


def show(times: dict[str, list[Times]], images: int, console: Console) -> None:
    """Print one row per way."""
    speeds = {way: [images / s for each in runs for s in each.epochs[1:]] for way, runs in times.items()}
    loads = {
        way: statistics.median(s for each in runs for s in each.processor[1:]) for way, runs in times.items()
    }
    plain = WAYS[-1]
    table = Table(title=f"{images} images, {torch.get_num_threads()} threads, float32")
    titles = ("images/s", "lowest", "highest", "to plain", "by processor", "before, s", "whole run, s")
    for title in ("way", *titles, "peak, MiB"):
        table.add_column(title, justify="left" if title == "way" else "right")
    for way, runs in times.items():
        median = statistics.median(speeds[way])
        table.add_row(
            way,
            *(f"{value:.1f}" for value in (median, min(speeds[way]), max(speeds[way]))),
            f"{median / statistics.median(speeds[plain]):.2f}",
            f"{loads[plain] / loads[way]:.2f}",
            f"{statistics.median(each.before for each in runs):.1f}",
            f"{statistics.median(each.before + sum(each.epochs) for each in runs):.1f}",
            f"{max(each.memory for each in runs) / 2**20:.0f}",
        )
    console.print(table)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path, help="labelled images, in any layout that train takes")
    parser.add_argument("--images", type=int, default=64, help="how many, half of each class")
    parser.add_argument("--epochs", type=int, default=3, help="2 or more")
    parser.add_argument("--copies", type=int, default=2, help="augmented copies that are kept")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--backbone", default="ViT-B-16")
    parser.add_argument("--weights", type=Path, help="file with the backbone's weights")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    try:
        if options.epochs < 2:
            raise UsageError("--epochs: the first one is not counted; give 2 or more")
        data = find_samples(options.data)
        require_both_classes(data)
        samples = choose_some(data.samples, per_class=options.images // 2)
        if options.way is None:
            show(measure(options), len(samples), Console(width=120))
            return 0
        kept = options.way == "kept"
        plain = options.way == "plain loop"
        times = plain_loop(samples, options) if plain else ours(samples, options, kept=kept)
    except AigdetectError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(json.dumps(asdict(times)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
