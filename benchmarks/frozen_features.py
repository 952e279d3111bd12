"""What a head reads of images through the frozen tower, kept in files: many heads can be tried on it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from aigdetect.data.dataset import Reading, batched, load_pixels, map_ordered, training_views
from aigdetect.data.layouts import Sample
from aigdetect.errors import ImageError
from aigdetect.evaluation.robustness import Operation
from aigdetect.images.views import Pixels, take_views
from aigdetect.model.arithmetic import choose_precision, prepare_tower
from aigdetect.model.build import load_tower
from aigdetect.model.detector import choose_device
from aigdetect.model.network import MoleNetwork
from aigdetect.model.tower import AdapterConfig
from aigdetect.training.aligned import Aligned, list_aligned, make_aligned
from aigdetect.training.recipe import Recipe

_BATCH = 8


class FrozenFeatures:
    """Normalised class tokens of all blocks of one backbone, ``F`` channels in all.

    A head on the last ``k`` blocks reads the last ``k / blocks`` of the channels.

    Attributes:
        width: channels of one block's class token.

    Args:
        recipe: backbone and precision.
        folder: where files are kept; made if it is not there.
        workers: threads that decode.
    """

    def __init__(self, recipe: Recipe, folder: Path, *, workers: int = 2) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._workers = folder, workers
        self._device = choose_device("auto")
        tower, found = load_tower(recipe.backbone)
        self._network = MoleNetwork(tower, AdapterConfig(blocks=0), head_blocks=len(tower.blocks)).eval()
        precision = choose_precision(recipe.precision, self._device)
        prepare_tower(tower, precision, self._device)
        self._network.to(self._device)
        self.width = tower.width
        self._base = [found.digest, precision]

    def of_training(self, samples: Sequence[Sample], recipe: Recipe) -> Tensor:
        """Features ``(N, copies, F)`` float16 of the training views that the recipe makes."""
        make = partial(
            training_views,
            copies=range(recipe.copies),
            size=self._network.tower.image_size,
            augmentation=recipe.augmentation,
            seed=recipe.seed,
            views=recipe.views,
        )
        settings = [asdict(recipe.augmentation), recipe.copies, recipe.seed, recipe.views]
        return self._kept("training views", samples, settings, make)

    def of_scan(self, samples: Sequence[Sample], views: Sequence[str], operation: Operation | None) -> Tensor:
        """Features ``(N, V, F)`` float16 of the views of a scan, after an operation on the whole image."""

        def make(sample: Sample) -> Pixels:
            pixels = load_pixels(sample)
            changed = operation.apply(pixels) if operation else pixels
            return take_views(changed, views, self._network.tower.image_size)

        return self._kept(f"views {operation or 'clean'}", samples, [list(views), str(operation)], make)

    def aligned(self, samples: Sequence[Sample], recipe: Recipe) -> list[Aligned]:
        """The images that autoencoders make of the real ones; see `aigdetect.training.aligned`."""
        key = self._key([*map(_name, samples)], [recipe.aligned_images, recipe.seed])
        folder = self._folder / f"aligned-{key}"
        make_aligned(
            samples,
            folder,
            recipe.aligned,
            count=recipe.aligned_images,
            seed=recipe.seed,
            reading=Reading.of("real", samples, self._workers, print),
            stage=lambda name, total: print(f"{name}: {total}", flush=True),
        )
        return list_aligned(samples, folder, recipe.aligned, count=recipe.aligned_images, seed=recipe.seed)

    def _kept(
        self,
        what: str,
        samples: Sequence[Sample],
        settings: Sequence[object],
        make: Callable[[Sample], Iterable[Pixels]],
    ) -> Tensor:
        path = self._folder / f"{self._key([*map(_name, samples)], settings)}.npy"
        if not path.exists():
            rows = [
                self._features(views)
                for views in track(
                    map_ordered(make, samples, workers=self._workers), what, total=len(samples)
                )
            ]
            partial_path = path.with_suffix(".part.npy")
            np.save(partial_path, torch.stack(rows).numpy())
            partial_path.replace(path)
        return torch.from_numpy(np.load(path, mmap_mode="c"))

    @torch.inference_mode()
    def _features(self, views: Iterable[Pixels] | ImageError) -> Tensor:
        if isinstance(views, ImageError):
            raise views
        parts = []
        for batch in batched(views, _BATCH):
            tensor = torch.from_numpy(np.stack(batch)).to(self._device)
            parts.append(self._network.head.features(self._network.read(self._network.trunk(tensor))))
        return torch.cat(parts).half().cpu()

    def _key(self, names: Sequence[str], settings: Sequence[object]) -> str:
        text = json.dumps([self._base, list(names), settings], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _name(sample: Sample) -> str:
    return f"{sample.label} {sample.generator} {sample.key}"
