"""What is to be measured and how: from paths, names and settings to checked data, models and operations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aigdetect.data.layouts import find_samples
from aigdetect.data.origins import origins_of
from aigdetect.errors import UsageError
from aigdetect.evaluation.benchmark import Benchmark, build_benchmark, describe_data, take_split
from aigdetect.evaluation.bias import Parity, parse_parity
from aigdetect.evaluation.families import read_families
from aigdetect.evaluation.foreign import ForeignScores, parse_scores_option, read_scores
from aigdetect.evaluation.fusion import FUSED, require_origins
from aigdetect.evaluation.protocols import Protocol, find_protocol
from aigdetect.evaluation.results import FoundData
from aigdetect.evaluation.robustness import Operation, parse_operations
from aigdetect.evaluation.score_samples import AS_THEY_ARE
from aigdetect.images.opening import MAX_PIXELS
from aigdetect.metrics.bootstrap import RESAMPLES
from aigdetect.model.card import ModelCard, find_model_folder, read_card


@dataclass(frozen=True, slots=True)
class Request:
    """What a user asks for.

    Attributes:
        data: data sets, in any layout.
        real: folders in which all images are real.
        fake: folders in which all are generated.
        models: models by name or folder.
        scores: files of other detectors' scores, as ``NAME=FILE``.
        protocol: name of the protocol.
        split: split to measure on; None for the protocol's.
        families: file with further generators.
        parity: such as ``"jpeg:90"``; None for no such run.
        robustness: operations such as ``"all"`` or ``"blur,jpeg:65"``; None for none.
        resamples: behind each interval; 0 for none.
        seed: of every choice.
        follow_symlinks: whether links inside folders are followed.
        max_pixels: images of more pixels are not decoded.
        fuse: whether what the models say together is measured, too.
    """

    data: tuple[Path, ...]
    real: tuple[Path, ...] = ()
    fake: tuple[Path, ...] = ()
    models: tuple[str, ...] = ()
    scores: tuple[str, ...] = ()
    protocol: str = "ours"
    split: str | None = None
    families: Path | None = None
    parity: str | None = None
    robustness: str | None = None
    resamples: int = RESAMPLES
    seed: int = 0
    follow_symlinks: bool = False
    max_pixels: int = MAX_PIXELS
    fuse: bool = False


@dataclass(frozen=True, slots=True)
class Model:
    """A model to be evaluated.

    Attributes:
        name: as shown, unique among the detectors.
        folder: the model folder.
        card: its card.
    """

    name: str
    folder: Path
    card: ModelCard


def find_models(names: Sequence[str]) -> tuple[Model, ...]:
    """Models by name or folder; those of one name are numbered.

    Raises:
        UsageError: if there is no such model.
        ModelError: if its card is damaged.
    """
    found: list[Model] = []
    seen: Counter[str] = Counter()
    for name in names:
        folder = find_model_folder(name)
        card = read_card(folder)
        seen[card.name] += 1
        shown = card.name if seen[card.name] == 1 else f"{card.name} #{seen[card.name]}"
        found.append(Model(shown, folder, card))
    return tuple(found)


def _require_own_names(models: Sequence[Model], foreign: Sequence[str]) -> None:
    """Refuse a file of scores that would go by the name of another detector."""
    counts = Counter([*(model.name for model in models), *foreign])
    for name in foreign:
        if counts[name] > 1:
            option = "--fuse" if name == FUSED else "--scores"
            raise UsageError(f"{option}: {name!r} is the name of another detector; choose another one")


def parity_operation(parity: Parity) -> Operation:
    """Parity as an operation on every image, under a name that no operation of the suite has."""
    return Operation(f"parity {parity.size} {parity.codec}", parity.quality, parity)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured, and how.

    Attributes:
        request: what was asked for.
        found: what was found, by root.
        benchmark: the sets of images.
        protocol: how images are prepared.
        models: models.
        foreign: files of scores.
        parity: what is done to both classes in a second run, if one was asked for.
        operations: those of the robustness suite.
    """

    request: Request
    found: tuple[FoundData, ...]
    benchmark: Benchmark = field(repr=False)
    protocol: Protocol
    models: tuple[Model, ...]
    foreign: tuple[ForeignScores, ...]
    parity: Parity | None
    operations: tuple[Operation, ...]

    @property
    def forms(self) -> tuple[Operation, ...]:
        """Everything that is done to the images before they are scored: nothing, parity, the operations."""
        parity = (parity_operation(self.parity),) if self.parity else ()
        return (AS_THEY_ARE, *parity, *self.operations)


def make_plan(request: Request) -> Plan:
    """Find and check all that was asked for; no image is decoded and no model is loaded.

    Raises:
        UsageError: if a setting, a file of scores or a name cannot be used.
        DataError: if a data set cannot be read.
        ModelError: if a model's card is damaged.
    """
    protocol = find_protocol(request.protocol)
    families = read_families(request.families)
    operations = parse_operations(request.robustness) if request.robustness else ()
    models = find_models(request.models)
    if (request.parity or operations) and not models:
        raise UsageError("--parity and --robustness need a --model: the scores in a file are fixed")
    if request.fuse and len(models) < 2:
        raise UsageError("--fuse: needs two models at least; name each with --model")
    files = [parse_scores_option(text) for text in request.scores]
    _require_own_names(models, [name for name, _ in files] + [FUSED] * request.fuse)
    sides = [model.card.preprocess.size for model in models]
    parity = parse_parity(request.parity, size=max(sides)) if request.parity else None
    labelled = ((request.data, None), (request.real, 0), (request.fake, 1))
    data = [
        found.pick(request.split) if request.split else take_split(found, protocol.splits)
        for roots, label in labelled
        for found in (
            find_samples(root, label=label, follow_symlinks=request.follow_symlinks) for root in roots
        )
    ]
    benchmark = build_benchmark(data, families, per_class=protocol.per_class, seed=request.seed)
    if request.fuse:  # said before anything is scored
        samples = benchmark.samples
        require_origins([sample.label for sample in samples], origins_of(samples))
    return Plan(
        request,
        tuple(describe_data(each) for each in data),
        benchmark,
        protocol,
        models,
        tuple(read_scores(name, file, benchmark.samples) for name, file in files),
        parity,
        operations,
    )
