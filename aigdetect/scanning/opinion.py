"""What further models say beside the one that scores: columns of their own, and part of nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from aigdetect.model.calibration import Verdict


@dataclass(frozen=True)
class Opinion:
    """What a further model says of an image, a frame or a video.

    Attributes:
        model: what the model is called among those that are asked.
        score: calibrated probability of being generated, 0..1, at equal priors; None if it gave none.
        verdict: in one word; None likewise.
    """

    model: str
    score: float | None = None
    verdict: Verdict | None = None

    def as_dict(self) -> dict[str, Any]:
        """An object for JSON."""
        return asdict(self)

    def as_columns(self) -> dict[str, Any]:
        """What a row has of it, by name of column."""
        return dict(zip(opinion_columns([self.model]), (self.score, self.verdict), strict=True))


def opinion_columns(models: Sequence[str]) -> tuple[str, ...]:
    """Names of the columns of further models, in order: score and verdict of each."""
    return tuple(f"{what}_{model}" for model in models for what in ("score", "verdict"))


def opinions_in(row: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Score and verdict of each further model in a row of JSON Lines, by what the model is called."""
    models = (name.removeprefix("score_") for name in row if name.startswith("score_"))
    return {
        model: (row[score], row[verdict])
        for model in models
        for score, verdict in [opinion_columns([model])]
        if verdict in row
    }


def numbered(names: Iterable[str]) -> tuple[str, ...]:
    """Names of models, those from the second of one name on with a number."""
    seen: Counter[str] = Counter()
    told = []
    for name in names:
        seen[name] += 1
        told.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return tuple(told)
