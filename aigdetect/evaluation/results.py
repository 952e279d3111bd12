"""What an evaluation found, as it travels from measuring to tables and reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aigdetect.evaluation.bias import BiasAudit
from aigdetect.evaluation.published import PublishedTable
from aigdetect.evaluation.robustness import LevelSummary
from aigdetect.metrics.measure import Figure
from aigdetect.model.calibration import Verdict

MEASURES: dict[str, str] = {
    "average_precision": "average precision",
    "roc_auc": "ROC AUC",
    "accuracy": "accuracy at the model's threshold",
    "balanced_accuracy": "balanced accuracy at the model's threshold",
    "accuracy_at_half": "accuracy at an uncalibrated score of 0.5",
    "best_accuracy": "accuracy at the best threshold",
    "tpr_at_fpr_0.1": "true-positive rate at 0.1 % false positives",
    "tpr_at_fpr_1": "true-positive rate at 1 % false positives",
    "tpr_at_fpr_5": "true-positive rate at 5 % false positives",
    "tpr_at_fpr_10": "true-positive rate at 10 % false positives",
    "equal_error_rate": "equal error rate",
    "expected_calibration_error": "expected calibration error",
    "brier_score": "Brier score",
    "cllr": "log-likelihood-ratio cost",
    "minimum_cllr": "minimum log-likelihood-ratio cost",
    "false_positive_rate": "false-positive rate at the model's threshold",
    "true_positive_rate": "true-positive rate at the model's threshold",
    "false_positive_rate_ai": "share of real images with the verdict ai",
    "true_positive_rate_ai": "share of generated images with the verdict ai",
}
"""Title of every figure of an evaluated set, by its key, in the order in which they are told."""


@dataclass(frozen=True, slots=True)
class EvaluatedImage:
    """An image of the benchmark.

    Attributes:
        path: where it lies; bytes that are not text come as ``os.fsdecode`` gives them.
        label: 1 for generated, 0 for real.
        generator: generator of a generated image, source of a real one, as the data set spells it.
        family: family of the generator; empty for a real image.
    """

    path: str
    label: int
    generator: str
    family: str


@dataclass(frozen=True, slots=True)
class ImageScore:
    """What one detector says of one image; None for what it does not say.

    Attributes:
        score: what images are ranked by, higher for generated: a logit, or whatever a file of scores holds.
        probability: that it was generated, at equal priors, 0..1.
        log10_lr: decimal logarithm of the likelihood ratio, generated over real.
        verdict: ``"ai"``, ``"uncertain"`` or ``"real"``.
        error: why there is no score, in one line; empty if there is one.
    """

    score: float | None = None
    probability: float | None = None
    log10_lr: float | None = None
    verdict: Verdict | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class BenchmarkSet:
    """A generator and the real images it is compared with, as members of `Evaluation.images`.

    Attributes:
        name: as shown, unique in an evaluation; ``"ProGAN"``, or the data set's own spelling.
        generator: key of the generator in the list of families, such as ``"progan"``; or its own spelling.
        family: ``"GAN"`` ... ``"unknown"``; of a set without generated images ``"real"``.
        root: data set that the generator is from.
        layout: its convention in words, such as ``"GenImage ai/nature"``.
        real: places of the real images, ascending.
        generated: places of the generated images, ascending.
        reals: where the real images are from: ``"own"``, or the names of shared sources.
        left_out: images beyond the protocol's limit.
    """

    name: str
    generator: str
    family: str
    root: str
    layout: str
    real: tuple[int, ...] = field(repr=False)
    generated: tuple[int, ...] = field(repr=False)
    reals: str = "own"
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class EvaluatedSet:
    """A detector's figures on one set of images, or a mean over sets.

    Attributes:
        name: of the set, the family, ``"all images"`` or ``"mean over generators"``.
        family: family of the generator; empty for what spans several.
        real: real images with a score; 0 for a mean.
        generated: generated images with a score; 0 for a mean.
        unscored: images without a score.
        figures: by the keys of `MEASURES`; rates of a mean are left out.
    """

    name: str
    family: str
    real: int
    generated: int
    unscored: int
    figures: Mapping[str, Figure]


@dataclass(frozen=True, slots=True)
class Threshold:
    """A score above which an image counts as generated.

    Attributes:
        name: ``"model"`` (the one behind accuracies), ``"ai"`` (the verdict) or ``"half"`` (uncalibrated).
        value: on the scale of `ImageScore.score`.
        origin: where it comes from, in words.
    """

    name: str
    value: float
    origin: str


@dataclass(frozen=True, slots=True)
class EvaluatedDetector:
    """One detector on the whole benchmark.

    Attributes:
        name: as shown, unique in an evaluation.
        kind: ``"model"``, ``"scores"`` (a file of another detector's) or ``"fused"`` (all models as one).
        source: model folder or file.
        scale: what `ImageScore.score` is: ``"logit"``, ``"probability"`` or ``"score"``.
        thresholds: in the order model, ai (models only), half.
        facts: what is to be known of it, such as backbone and digests, as pairs of term and text.
        scores: one per image of `Evaluation.images`, in their order.
        sets: one per set of `Evaluation.sets`, in their order.
        families: mean over the sets of each family, in the order of the families.
        mean: mean over all generators.
        pooled: all images taken as one set.
        robustness: the clean images, then every operation; empty if none was asked for.
        unmatched: rows of a file of scores that fit no image.
    """

    name: str
    kind: str
    source: str
    scale: str
    thresholds: tuple[Threshold, ...]
    facts: tuple[tuple[str, str], ...]
    scores: tuple[ImageScore, ...] = field(repr=False)
    sets: tuple[EvaluatedSet, ...] = field(repr=False)
    families: tuple[EvaluatedSet, ...] = field(repr=False)
    mean: EvaluatedSet = field(repr=False)
    pooled: EvaluatedSet = field(repr=False)
    robustness: tuple[LevelSummary, ...] = field(default=(), repr=False)
    unmatched: int = 0

    def threshold(self, name: str) -> Threshold:
        """Threshold by name.

        Raises:
            KeyError: if the detector has none of that name.
        """
        return {each.name: each for each in self.thresholds}[name]


@dataclass(frozen=True, slots=True)
class Run:
    """All detectors on the images in one form.

    Attributes:
        parity: what was done to both classes first, such as ``"jpeg:90"``; empty for the images as they are.
        audit: what the files alone tell about the classes.
        detectors: models first, then files of scores; after parity only models, which can score anew.
    """

    parity: str
    audit: BiasAudit
    detectors: tuple[EvaluatedDetector, ...]


@dataclass(frozen=True, slots=True)
class FoundData:
    """What was found under one root.

    Attributes:
        root: folder or CSV as it was given.
        kind: the convention in words.
        split: the split that was taken; empty if the data set names none.
        counts: generator or source, real images and generated ones, by name.
        ignored: what was left out, in words; empty if nothing was.
    """

    root: str
    kind: str
    split: str
    counts: tuple[tuple[str, int, int], ...]
    ignored: str


@dataclass(frozen=True, slots=True)
class ProtocolFacts:
    """The protocol as it is to be printed on everything.

    Attributes:
        name: as ``--protocol`` takes it.
        title: in a few words.
        lines: what is done to the images, and which of them are taken.
    """

    name: str
    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A whole evaluation.

    Attributes:
        data: what was found, by root.
        protocol: how images were taken and prepared.
        families: families in the order in which they are told.
        images: the images of all sets, once each.
        sets: generators with their real images, in the order of the tables.
        runs: the images as they are, then after parity if that was asked for.
        published: tables to show beside, if asked for.
        seed: of every choice and resample.
        resamples: behind each interval.
        command: the command line.
        versions: program, Python and libraries with their versions.
        created: when it was finished, UTC, ISO 8601.
    """

    data: tuple[FoundData, ...]
    protocol: ProtocolFacts
    families: tuple[str, ...]
    images: tuple[EvaluatedImage, ...] = field(repr=False)
    sets: tuple[BenchmarkSet, ...] = field(repr=False)
    runs: tuple[Run, ...] = field(repr=False)
    published: tuple[PublishedTable, ...] = ()
    seed: int = 0
    resamples: int = 0
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    created: str = ""

    @property
    def detectors(self) -> tuple[EvaluatedDetector, ...]:
        """All detectors on the images as they are."""
        return self.runs[0].detectors
