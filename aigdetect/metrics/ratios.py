"""What likelihood ratios cost whoever believes them."""

from __future__ import annotations

import numpy as np
from scipy import optimize

from aigdetect.metrics.measure import Floats, Ints, Measure, Ranking


def _cllr(ranking: Ranking) -> Floats:
    generated, real = _costs(ranking)
    total = ranking.generated @ generated / ranking.generated_total + ranking.real @ real / ranking.real_total
    return np.asarray(total / 2)


def _costs(ranking: Ranking) -> tuple[Floats, Floats]:
    """Bits that a generated and a real image cost at each score, 0 where there is none, ``(m,)``."""
    natural = ranking.scores * np.log(10)
    there = [counts.reshape(-1, len(natural)).any(axis=0) for counts in (ranking.generated, ranking.real)]
    costs = [np.logaddexp(0, -natural), np.logaddexp(0, natural)]
    generated, real = (np.where(t, cost, 0) / np.log(2) for t, cost in zip(there, costs, strict=True))
    return generated, real


def _certain_and_wrong(ranking: Ranking) -> str:
    finite = all(np.isfinite(cost).all() for cost in _costs(ranking))
    return "" if finite else "infinite: an image with an infinite likelihood ratio is of the other class"


def _minimum_cllr(ranking: Ranking) -> Floats:
    rows = zip(*(c.reshape(-1, len(ranking.scores)) for c in (ranking.generated, ranking.real)), strict=True)
    return np.array([_cllr_after_pav(*row) for row in rows]).reshape(ranking.real.shape[:-1])


def _cllr_after_pav(generated: Ints, real: Ints) -> float:
    there = generated + real > 0
    generated, real = generated[there], real[there]
    ratio = generated.sum() / real.sum()
    blocks = optimize.isotonic_regression(
        generated / (generated + real), weights=generated + real, increasing=False
    ).blocks[:-1]
    ours, theirs = np.add.reduceat(generated, blocks), np.add.reduceat(real, blocks)
    # the ratio of a block is ours / theirs at equal priors; a block of one class costs that class nothing
    bits = np.zeros(2)
    for side, (here, those, odds) in enumerate(((ours, theirs, ratio), (theirs, ours, 1 / ratio))):
        some = here > 0
        bits[side] = here[some] @ np.log2(1 + those[some] / here[some] * odds) / here.sum()
    return float(bits.mean())


CLLR = Measure("cllr", _cllr, objection=_certain_and_wrong)
"""Log-likelihood-ratio cost in bits: 0 for perfect ratios, 1 for ratios that say nothing.

Takes decimal logarithms of likelihood ratios, generated over real, as scores. Source: N. Brümmer, J. du
Preez, Application-independent evaluation of speaker detection, 2006.
"""

MINIMUM_CLLR = Measure("minimum_cllr", _minimum_cllr)
"""Cllr of the best monotone calibration on these very images, by pool adjacent violators; takes any scores.

What `CLLR` is above it was lost in calibration. Source: as `CLLR`.
"""
