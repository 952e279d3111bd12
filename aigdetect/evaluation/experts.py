"""What goes on inside a model: which expert the routers choose for which images, and how experts see them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from aigdetect.data.dataset import batched, map_ordered
from aigdetect.data.layouts import Sample
from aigdetect.data.split import shuffle_key
from aigdetect.errors import DataError, ImageError, UsageError
from aigdetect.images.views import Pixels
from aigdetect.model.detector import Detector
from aigdetect.model.mole import LowRankMixture, Routing, collect_routing
from aigdetect.model.network import MoleNetwork
from aigdetect.model.towers.tower import Beside

Floats = NDArray[np.float32]
T = TypeVar("T")

LEAST_POINTS = 10
"""With fewer images no map is drawn: t-SNE would show nothing but its own start."""

_COMPONENTS = 50  # principal components that t-SNE starts from, as its authors advise
_PERPLEXITY = 30.0
_MLP = re.compile(r"block(\d+)_mlp")


@dataclass(frozen=True, slots=True)
class ExpertLoad:
    """What one router did with the images of one generator or source.

    Attributes:
        place: bypass of the router, ``"block9_mlp"`` or ``"block9_attention_query"``.
        generator: generator, or source of real images; None for all images of the class.
        label: 1 for generated, 0 for real.
        images: how many images.
        load: share of their tokens that went to each separate expert, 0 to 1, sum 1.
        gate: mean gate of each separate expert over all their tokens, 0 to 1, sum 1.
    """

    place: str
    generator: str | None
    label: int
    images: int
    load: tuple[float, ...]
    gate: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class FeatureMap:
    """Where t-SNE puts images by the frozen MLP's output plus the output of one expert.

    Attributes:
        place: bypass of the expert, always beside an MLP.
        expert: its name, as in `ExpertStudy.names`.
        points: ``(n, 2)`` float32, in the order of `ExpertStudy.mapped`.
    """

    place: str
    expert: str
    points: Floats


@dataclass(frozen=True, slots=True)
class ExpertStudy:
    """What goes on inside one model.

    Attributes:
        model: name of the model.
        names: names of all experts, the shared one (if any) first.
        separate: names of the separate experts alone, in the order of `ExpertLoad.load`.
        places: bypasses in the order in which they run.
        loads: by place, then real before generated, all images of a class before its generators.
        mapped: the images on the maps, as pairs of generator or source and label.
        maps: by place, then expert; none with under `LEAST_POINTS` images or without bypasses beside MLPs.
        token: what stands for an image on the maps: ``"class token"`` or ``"mean of all tokens"``.
        images: how many images were read.
        unreadable: how many could not be.
    """

    model: str
    names: tuple[str, ...]
    separate: tuple[str, ...]
    places: tuple[str, ...]
    loads: tuple[ExpertLoad, ...]
    mapped: tuple[tuple[str, int], ...]
    maps: tuple[FeatureMap, ...]
    token: str
    images: int
    unreadable: int

    @property
    def least_used(self) -> tuple[ExpertLoad, int]:
        """The load of a whole class with the smallest share of any expert, and that expert's index."""
        whole = (load for load in self.loads if load.generator is None)
        least = min(whole, key=lambda load: min(load.load))
        return least, int(np.argmin(least.load))


def has_experts(detector: Detector) -> bool:
    """Whether the model has separate experts, and so anything to study."""
    network = detector.network
    return isinstance(network, MoleNetwork) and bool(network.bypasses and network.config.mixture.expert_ranks)


def choose_images(samples: Iterable[Sample], *, per_group: int = 100, seed: int = 0) -> tuple[Sample, ...]:
    """Some images of every generator and class: the same ones on every machine.

    Args:
        samples: labelled images.
        per_group: images of each generator and class at most.
        seed: another seed chooses others.

    Returns:
        The chosen images, sorted by class, generator and a random order that ``seed`` fixes.
    """
    groups: defaultdict[tuple[int, str], list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample.label, sample.generator].append(sample)
    return tuple(
        sample
        for _, group in sorted(groups.items())
        for sample in sorted(group, key=lambda each: (shuffle_key(each, seed=seed), each.path))[:per_group]
    )


def study_experts(
    detector: Detector,
    samples: Sequence[Sample],
    *,
    load_views: Callable[[Sample], Pixels],
    points: int = 500,
    seed: int = 0,
    workers: int = 2,
    on_image: Callable[[], None] = lambda: None,
) -> ExpertStudy:
    """Run images through a model and look at its routers and experts.

    A feature on a map is the output of the block's frozen MLP plus that of one expert, scaled but not gated,
    at the class token; of towers without one, the mean over all tokens.

    Args:
        detector: a model with separate experts, see `has_experts`.
        samples: labelled images, such as `choose_images` gives.
        load_views: views ``(V, S, S, 3)`` uint8 of an image, as `Detector.view` makes them; the first is
            looked at. Raises ImageError for what cannot be read, which is left out and counted. Called in
            threads.
        points: images on the maps at most, about as many of every generator and class.
        seed: of the choice of those images and of t-SNE.
        workers: threads that decode.
        on_image: called after every image.

    Raises:
        UsageError: if the model has no separate experts.
        DataError: if no image could be read.

    Source: paper, figure 7; L. van der Maaten, G. Hinton, Visualizing data using t-SNE, 2008.
    """
    network = detector.network
    if not isinstance(network, MoleNetwork) or not has_experts(detector):
        raise UsageError(f"{detector.card.name}: has no separate experts to look into; leave it out")
    on_map = set(choose_images(samples, per_group=_fair_share(samples, points), seed=seed))
    recorder = _Recorder(network)
    read: list[Sample] = []
    unreadable = 0
    for batch in batched(
        map_ordered(partial(_named_views, load_views), samples, workers=workers), detector.batch_size
    ):
        views = [item for item in batch if not isinstance(item, ImageError)]
        unreadable += len(batch) - len(views)
        if views:
            read += [sample for sample, _ in views]
            wanted = np.array([sample in on_map for sample, _ in views])
            pixels = torch.from_numpy(np.stack([of_image[0] for _, of_image in views])).to(detector.device)
            recorder.run(pixels, keep=wanted)
        for _ in batch:
            on_image()
    if not read:
        raise DataError("no image could be read: there is nothing to look at inside the model")
    mapped = tuple((sample.generator, sample.label) for sample in read if sample in on_map)
    separate = network.config.mixture.expert_ranks
    names = recorder.names
    return ExpertStudy(
        model=detector.card.name,
        names=names,
        separate=names[len(names) - len(separate) :],
        places=tuple(recorder.places),
        loads=tuple(_loads(read, recorder)),
        mapped=mapped,
        maps=tuple(_maps(recorder, seed)) if len(mapped) >= LEAST_POINTS else (),
        token="class token" if network.tower.has_class_token else "mean of all tokens",
        images=len(read),
        unreadable=unreadable,
    )


def tsne(features: NDArray[np.floating[Any]], *, seed: int = 0) -> Floats:
    """Map of some points in the plane by scikit-learn's t-SNE, from their first principal components.

    Args:
        features: ``(n, d)``, at least two points.
        seed: of the components and of t-SNE.

    Returns:
        ``(n, 2)`` float32; all zero if all points are one.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    count, width = features.shape
    if not np.ptp(features, axis=0).any():
        return np.zeros((count, 2), dtype=np.float32)
    centred = features - features.mean(axis=0)
    components = PCA(min(_COMPONENTS, count, width), random_state=seed).fit_transform(centred)
    perplexity = min(_PERPLEXITY, (count - 1) / 3)
    mapped = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(components)
    return np.asarray(mapped, dtype=np.float32)


class _Recorder:
    """Runs views through a network and keeps, per image, what its routers and experts did.

    Attributes:
        places: bypasses in the order in which they run.
        names: names of all experts, the shared one first.
        loads: for each run ``(B, places, N)``, share of the tokens that chose each expert.
        gates: likewise, the mean gate of each expert.
        features: by place and expert, for each run the features ``(B', d)`` of the images to keep.
    """

    def __init__(self, network: MoleNetwork) -> None:
        self.network = network
        self.places = list(network.bypasses)
        mixture = network.config.mixture
        separate = [f"expert {i} (rank {rank})" for i, rank in enumerate(mixture.expert_ranks, start=1)]
        self.names = (*((f"shared (rank {mixture.shared_rank})",) if mixture.shared_rank else ()), *separate)
        self.loads: list[Floats] = []
        self.gates: list[Floats] = []
        self.features: defaultdict[tuple[str, str], list[Floats]] = defaultdict(list)

    def run(self, views: Tensor, *, keep: NDArray[np.bool_]) -> None:
        """Take in views ``(B, S, S, 3)`` uint8; ``keep`` ``(B,)`` says of which the features are kept."""
        with torch.inference_mode(), collect_routing() as routings, self._hooks(torch.from_numpy(keep)):
            self.network(views)
        chosen, gates = zip(*map(_per_image, routings), strict=True)
        if len(routings) != len(self.places):
            raise RuntimeError(f"{len(routings)} routers ran, there are {len(self.places)}")
        self.loads.append(torch.stack(chosen, dim=1).cpu().numpy())
        self.gates.append(torch.stack(gates, dim=1).cpu().numpy())

    @contextmanager
    def _hooks(self, keep: Tensor) -> Iterator[None]:
        """Listen to the MLPs with a bypass beside them, as long as the block lasts."""
        handles = []
        try:
            for place in self.places:
                if (found := _MLP.fullmatch(place)) is None:
                    continue
                beside = cast(Beside, cast(Any, self.network.tower.blocks[int(found[1])]).mlp)
                bypass = cast(LowRankMixture, self.network.bypasses[place])
                outputs: list[Tensor] = []
                handles += [
                    beside.base.register_forward_hook(partial(_note_output, outputs)),
                    # the bypass runs after the MLP and sees the tokens in their full precision
                    bypass.register_forward_hook(partial(self._note_features, place, outputs, keep)),
                ]
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _note_features(
        self,
        place: str,
        outputs: list[Tensor],
        keep: Tensor,
        bypass: nn.Module,
        inputs: tuple[Tensor, ...],
        output: Tensor,
    ) -> None:
        x, frozen = (self._of_image(tokens[keep.to(tokens.device)]) for tokens in (inputs[0], outputs.pop()))
        for name, expert in zip(self.names, _expert_outputs(cast(LowRankMixture, bypass), x), strict=True):
            self.features[place, name].append((frozen + expert).cpu().numpy())

    def _of_image(self, tokens: Tensor) -> Tensor:
        """Tokens ``(B, T, d)`` to what stands for each image, ``(B, d)`` float32."""
        return self.network.tower.class_token(tokens).float()


def _note_output(outputs: list[Tensor], layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    outputs.append(output)


def _expert_outputs(bypass: LowRankMixture, x: Tensor) -> Iterator[Tensor]:
    """Output ``(B, out_width)`` of every expert for ``x`` ``(B, in_width)``, scaled, not gated."""
    hidden = F.linear(x, bypass.down) * bypass.channel_scale
    ranks = list(bypass.config.ranks)
    for channels, up in zip(
        torch.split(hidden, ranks, dim=-1), torch.split(bypass.up, ranks, dim=-1), strict=True
    ):
        yield F.linear(channels, up)


def _per_image(routing: Routing) -> tuple[Tensor, Tensor]:
    """Load and mean gate of every expert, each ``(B, N)`` float32, from the routing of ``(B, T)`` tokens."""
    load = F.one_hot(routing.chosen, routing.gates.shape[-1]).float().mean(dim=1)
    return load, routing.gates.mean(dim=1)


def _loads(read: Sequence[Sample], recorder: _Recorder) -> Iterator[ExpertLoad]:
    loads, gates = np.concatenate(recorder.loads), np.concatenate(recorder.gates)
    groups: defaultdict[tuple[int, str | None], list[int]] = defaultdict(list)
    for index, sample in enumerate(read):
        groups[sample.label, None].append(index)
        groups[sample.label, sample.generator].append(index)
    order = sorted(groups, key=lambda group: (group[0], group[1] is not None, group[1] or ""))
    for number, place in enumerate(recorder.places):
        for label, generator in order:
            members = groups[label, generator]
            load, gate = (
                tuple(float(share) for share in values[members, number].mean(axis=0, dtype=np.float64))
                for values in (loads, gates)
            )
            yield ExpertLoad(place, generator, label, len(members), load, gate)


def _maps(recorder: _Recorder, seed: int) -> Iterator[FeatureMap]:
    for (place, name), parts in recorder.features.items():
        yield FeatureMap(place, name, tsne(np.concatenate(parts), seed=seed))


def _fair_share(samples: Sequence[Sample], points: int) -> int:
    """Images per generator and class for ``points`` in all at most, but one of each at least."""
    groups = {(sample.label, sample.generator) for sample in samples}
    return max(1, points // max(1, len(groups)))


def _named_views(load_views: Callable[[Sample], Pixels], sample: Sample) -> tuple[Sample, Pixels]:
    return sample, load_views(sample)
