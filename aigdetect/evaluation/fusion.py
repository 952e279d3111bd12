"""Several detectors as one: what they say of an image together, by a regression that never saw its origin.

Source: N. Brümmer et al., Fusion of Heterogeneous Speaker Recognition Systems in the STBU Submission for the
NIST Speaker Recognition Evaluation 2006, 2007: linear logistic regression; here with origins left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aigdetect.errors import DataError
from aigdetect.metrics.measure import Floats, Ints

#: what the detector goes by that others are fused into
FUSED = "fused"
#: strength of scikit-learn's L2 penalty on standardised logits: a detector that adds nothing is drawn to 0
PENALTY = 1.0


def require_origins(labels: Sequence[int], origins: Sequence[int]) -> None:
    """Refuse images of which no origin can be left out.

    Raises:
        DataError: if those of a class come from one origin.
    """
    of_class = Counter(label for label, _ in set(zip(labels, origins, strict=True)))
    if min(of_class[0], of_class[1]) < 2:
        raise DataError("--fuse: needs images of two generators and of two sources of real ones at least")


def fuse_left_out(logits: Floats, labels: Ints, origins: Sequence[int]) -> Floats:
    """Fused logits of images, each by a logistic regression on the images of all other origins.

    Classes count alike, and within a class every origin.

    Args:
        logits: ``(N, M)`` of M detectors.
        labels: ``(N,)``, 1 for generated, 0 for real.
        origins: what is left out together, for each image (:func:`aigdetect.data.origins.origins_of`).

    Returns:
        ``(N,)`` float64.

    Raises:
        DataError: as :func:`require_origins`.
    """
    from sklearn.linear_model import LogisticRegression

    require_origins(labels.tolist(), origins)
    places = np.asarray(origins)
    fused = np.zeros(len(labels))
    for origin in np.unique(places):
        out = places == origin
        known = labels[~out]
        mean, scale = logits[~out].mean(axis=0), logits[~out].std(axis=0) + 1e-9
        model = LogisticRegression(C=1 / PENALTY)
        weights = _weights(known, places[~out])
        model.fit((logits[~out] - mean) / scale, known, sample_weight=weights)
        fused[out] = model.decision_function((logits[out] - mean) / scale)
    return fused


def _weights(labels: Ints, origins: NDArray[np.int64]) -> Floats:
    """Weight of each image ``(n,)``, with a mean of 1."""
    groups = list(zip(labels.tolist(), origins.tolist(), strict=True))
    counts = Counter(groups)
    of_class = Counter(label for label, _ in counts)
    weights: Floats = np.array([1 / (counts[group] * of_class[group[0]]) for group in groups])
    weights *= len(weights) / weights.sum()
    return weights
