"""How steady a verdict is: the score again after changes that any image goes through on its way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from aigdetect.images import perturb
from aigdetect.images.views import Pixels
from aigdetect.model.calibration import Verdict


@dataclass(frozen=True)
class Change:
    """A mild change to an image.

    Attributes:
        name: what it is, in a word or two.
        apply: ``(H, W, 3)`` uint8 pixels to ``(H', W', 3)`` uint8 pixels, the same every time.
    """

    name: str
    apply: Callable[[Pixels], Pixels]


MILD = (
    Change("JPEG 90", partial(perturb.jpeg, quality=90)),
    Change("resize 0.9", partial(perturb.rescale, factor=0.9)),
    Change("blur 0.5", partial(perturb.gaussian_blur, sigma=0.5)),
)
"""The changes after which an image is scored again."""


@dataclass(frozen=True)
class Stability:
    """What a model says of an image after each of :data:`MILD`, in that order.

    Attributes:
        logits: outputs of the network.
        verdicts: in one word each.
    """

    logits: tuple[float, ...]
    verdicts: tuple[Verdict, ...]

    def against(self, verdict: Verdict) -> tuple[str, ...]:
        """The changes after which the verdict is another one, each with that verdict."""
        return tuple(
            f"{other} after {change.name}"
            for change, other in zip(MILD, self.verdicts, strict=True)
            if other != verdict
        )

    def as_dict(self) -> dict[str, Any]:
        """An object for JSON, one key per change."""
        return {
            change.name: {"logit": logit, "verdict": verdict}
            for change, logit, verdict in zip(MILD, self.logits, self.verdicts, strict=True)
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Stability:
        """What :meth:`as_dict` gave."""
        after = [plain[change.name] for change in MILD]
        return cls(tuple(one["logit"] for one in after), tuple(one["verdict"] for one in after))

    def summary(self) -> str:
        """One short line of text."""
        return "; ".join(
            f"{change.name}: {verdict} ({logit:+.3f})"
            for change, logit, verdict in zip(MILD, self.logits, self.verdicts, strict=True)
        )
