"""New thresholds and scores for a trained model from a user's own images, and what their number supports."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scipy import stats

import aigdetect
from aigdetect.data.kinds import kind_of
from aigdetect.data.layouts import Sample, count_by_generator
from aigdetect.data.layouts.shards import find_shards, from_shards
from aigdetect.errors import DataError
from aigdetect.files import write_atomically, writing
from aigdetect.images.find import LINK, find_files
from aigdetect.model.calibration import Calibration, supports
from aigdetect.model.calibration_fit import fit_calibration, with_real_logits
from aigdetect.model.card import ADAPTER_NAME, ModelCard, check_adapter, write_card
from aigdetect.model.learnt import copy_learnt

CONFIDENCE = 0.95
#: a slope below this says that the model ranks the classes no better than chance, or backwards
_LEAST_SLOPE = 1e-5


@dataclass(frozen=True)
class Rate:
    """How many of some images lie on one side of a threshold.

    Attributes:
        count: so many.
        total: of so many.
        low: lower end of the exact two-sided 95 % interval of the rate.
        high: its upper end.
        bound: the rate is below this with 95 % confidence (one-sided); about 3/n where ``count`` is 0.
    """

    count: int
    total: int
    low: float
    high: float
    bound: float

    def as_dict(self) -> dict[str, float]:
        """Plain data for a card, with the share itself; four digits."""
        return {
            "count": self.count,
            "total": self.total,
            "rate": round(self.count / self.total, 4),
            "low": round(self.low, 4),
            "high": round(self.high, 4),
            "bound": round(self.bound, 4),
        }


def exact_rate(count: int, total: int) -> Rate:
    """A rate with Clopper-Pearson's exact bounds.

    Args:
        count: 0 to ``total``.
        total: 1 or more.

    Source: C. Clopper, E. Pearson, The use of confidence or fiducial limits, 1934; for ``count`` 0 the bound
    is the rule of three: J. Hanley, A. Lippman-Hand, If nothing goes wrong, is everything all right?, 1983.
    """
    interval = stats.binomtest(count, total).proportion_ci(CONFIDENCE, method="exact")
    upper = stats.binomtest(count, total, alternative="less").proportion_ci(CONFIDENCE, method="exact").high
    return Rate(count, total, float(interval.low), float(interval.high), float(upper))


def require_support(
    fpr: float, reals: float, *, fnr: float | None = None, generated: float = 0, weighted: bool = False
) -> None:
    """Refuse error rates that so many images cannot show.

    Args:
        fpr: rate at which real images may be called ``ai``.
        reals: number of real images.
        fnr: rate at which generated images may be called ``real``; None asks for none.
        generated: number of generated images.
        weighted: the numbers are of images of equal weight, as many as the weighted ones are worth.

    Raises:
        DataError: in one line, with how many images it takes and which rate those that are there support.
    """
    asked = [("--fpr", fpr, reals, "real")]
    if fnr is not None:
        asked.append(("--fnr", fnr, generated, "generated"))
    for option, rate, count, kind in asked:
        if not count:
            raise DataError(f"no {kind} images to calibrate on: add some")
        if not supports(rate, count):
            needed = math.ceil(1 / rate - 1e-9) - 1 if rate > 0 else None
            least = math.ceil(1000 / (count + 1)) / 1000
            takes = f"takes {needed} {kind} images or more" if needed else "cannot be shown by any number"
            there = f"those that are there, each source counting alike, are worth {count:.0f}"
            there = there if weighted else f"there are {count}"
            instead = f", or use {option} {least:g}" if least < 1 else ""
            raise DataError(f"{option} {rate:g} {takes}, and {there}: add images{instead}")


@dataclass(frozen=True)
class Recalibration:
    """What comes of it.

    Attributes:
        card: of the new model.
        false_alarms: real images of the sample above the threshold ``ai``.
        found: generated ones above it; None if there are none.
        missed: generated ones below the threshold ``real``; None likewise.
    """

    card: ModelCard
    false_alarms: Rate
    found: Rate | None
    missed: Rate | None


def recalibrate(
    card: ModelCard,
    samples: Sequence[Sample],
    logits: Sequence[float],
    *,
    name: str,
    fpr: float,
    fnr: float | None,
    facts: Mapping[str, str],
) -> Recalibration:
    """Calibrate a model anew.

    With images of both classes, scores and both thresholds are new. With real images alone, the threshold
    ``ai`` is; scores and the threshold ``real`` stay what they were. Every source and every generator counts
    alike, as :func:`aigdetect.model.calibration_fit.group_weights` says. What holds a verdict back by kind of
    picture is new for kinds of which the samples name real images enough, and stays for the others.

    Args:
        card: of the model.
        samples: labelled images that the model was not trained on.
        logits: one per sample.
        name: of the new model.
        fpr: rate that the verdict ``ai`` keeps on real images like these.
        fnr: rate that the verdict ``real`` keeps on generated images like these; None for the card's.
        facts: what else is to be known of the logits (command, precision), for the card.

    Raises:
        DataError: if the images cannot support the rates, or the model does not rank generated images above
            real ones, those given or those that it was calibrated on.
    """
    reals = [logit for sample, logit in zip(samples, logits, strict=True) if not sample.label]
    generated = [logit for sample, logit in zip(samples, logits, strict=True) if sample.label]
    groups = [sample.generator for sample in samples]
    before = card.calibration
    fnr = before.fnr if fnr is None else fnr
    asked = fnr if generated else None
    require_support(fpr, len(reals), fnr=asked, generated=len(generated))
    kept = "scores and the threshold real: no generated images were given"
    if generated:
        kinds = [kind_of(sample.kind) for sample in samples]
        fitted = _fitted(logits, [sample.label for sample in samples], groups, kinds)
        shown = {name: kind for name, kind in fitted.kinds.items() if math.isfinite(kind.threshold(fpr))}
        calibration = replace(fitted, kinds={**before.kinds, **shown})
        lacking = [name for name in card.adapter.kinds if name not in shown]
        kept = f"rules for kinds with too few real images: {', '.join(lacking)}" if lacking else ""
    elif not before.informative:
        raise DataError(
            f"{card.name} does not rank generated images above real ones: it has no scores that could stay; "
            "give generated images, too, with --data"
        )
    else:
        calibration = with_real_logits(before, reals, groups)
    calibration = replace(calibration, fpr=fpr, fnr=fnr)
    require_support(
        fpr,
        calibration.real_effective or len(reals),
        fnr=asked,
        generated=calibration.generated_effective or len(generated),
        weighted=True,
    )
    limits = calibration.thresholds()
    false_alarms = exact_rate(sum(logit > limits.ai for logit in reals), len(reals))
    found = missed = None
    if generated:
        found = exact_rate(sum(logit > limits.ai for logit in generated), len(generated))
        missed = exact_rate(sum(logit < limits.real for logit in generated), len(generated))
    rates = {"real_called_ai": false_alarms, "generated_called_ai": found, "generated_called_real": missed}
    # rates beyond the thresholds of before say nothing of these
    metrics = {key: value for key, value in card.metrics.items() if key != "rates"}
    recalibrated = replace(
        card,
        name=name,
        calibration=calibration,
        data={**card.data, "calibration": {**_counts(samples), "kept": kept, **facts}},
        metrics={**metrics, "calibration": {k: rate.as_dict() for k, rate in rates.items() if rate}},
        program=f"aigdetect {aigdetect.__version__}",
    )
    return Recalibration(recalibrated, false_alarms, found, missed)


def _fitted(
    logits: Sequence[float], labels: Sequence[int], groups: Sequence[str], kinds: Sequence[str | None]
) -> Calibration:
    calibration = fit_calibration(logits, labels, groups, kinds)
    if calibration.slope < _LEAST_SLOPE:
        raise DataError(
            "the model does not rank these generated images above these real ones: there is nothing to "
            "calibrate; check that the folders hold what their names say"
        )
    return calibration


def find_reals(root: Path, *, follow_symlinks: bool = False) -> tuple[list[Sample], dict[str, str], int]:
    """Every image below a folder, or one file, as a real one; its source is the folder that holds it.

    Args:
        root: the folder or file, or an archive of images or a folder of such.
        follow_symlinks: also follow symbolic links inside folders.

    Returns:
        the images, what cannot be read, with the reason by path, and how many links were not followed.

    Raises:
        DataError: if an archive cannot be read.
        UsageError: if a library for it is not installed.
    """
    if shards := find_shards(str(root), 0, follow=follow_symlinks):
        data = from_shards(str(root), shards)
        return list(data.samples), {}, data.ignored.links
    found = list(find_files([root], follow_symlinks=follow_symlinks))
    samples = [
        Sample(item.path, 0, Path(item.path).absolute().parent.name or "real", root=str(root))
        for item in found
        if item.kind == "image"
    ]
    errors = {item.path: item.reason for item in found if item.kind == "error"}
    return samples, errors, sum(item.reason == LINK for item in found)


def known_sources(card: ModelCard, samples: Sequence[Sample]) -> list[str]:
    """Names of generators and sources among the samples that the model was trained on, sorted."""
    training: Mapping[str, Mapping[str, int]] = card.data.get("training") or {}
    trained = {(kind, name) for kind, names in training.items() for name in names}
    kinds = ("real", "generated")
    return sorted({s.generator for s in samples if (kinds[s.label], s.generator) in trained})


def write_recalibrated(source: Path, new: Recalibration, folder: Path) -> None:
    """Write the model folder: copies of the adapter and of the list of training images, then the card.

    Args:
        source: folder of the model that was calibrated.
        new: what came of it.
        folder: made if need be; another one than ``source``.

    Raises:
        ModelError: if the adapter is damaged.
        UsageError: if the folder cannot be written.
    """
    adapter = check_adapter(source, new.card).read_bytes()
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / ADAPTER_NAME, adapter)
    copy_learnt(source, folder)
    write_card(folder, new.card)


def _counts(samples: Sequence[Sample]) -> dict[str, dict[str, int]]:
    counts = count_by_generator(samples)
    return {
        "real": {count.generator: count.real for count in counts if count.real},
        "generated": {count.generator: count.generated for count in counts if count.generated},
    }
