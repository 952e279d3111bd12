"""What a scan is asked to do: its options, gathered and checked before anything slow begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from aigdetect.cli.outputs import STDIO, Outputs
from aigdetect.errors import UsageError
from aigdetect.images.opening import MAX_PIXELS
from aigdetect.images.video import MOST, MOST_PER_MINUTE, Sampling, has_decoder
from aigdetect.images.views import take_views
from aigdetect.model.calibration import Verdict
from aigdetect.model.card import DEFAULT_MODEL, find_model_folder, read_card
from aigdetect.scanning.cluster import require_ray
from aigdetect.scanning.heat import ALL, FLAGGED
from aigdetect.scanning.preparation import Preparation
from aigdetect.scanning.scanner import ModelRequest
from aigdetect.scanning.shard import Shard

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


@dataclass(frozen=True)
class Inputs:
    """Which files are scanned.

    Attributes:
        paths: files and folders, and ``-`` for a list on standard input.
        null: that list is separated by NUL bytes.
        follow_symlinks: follow symbolic links inside folders.
        shard: the part of them that is scanned, as given; empty for all.
        video: whether videos are.
        sampling: which of their frames are looked at.
    """

    paths: Sequence[str]
    null: bool
    follow_symlinks: bool
    shard: str
    video: bool
    sampling: Sampling

    @classmethod
    def of_options(
        cls,
        paths: Sequence[str],
        *,
        null: bool,
        follow_symlinks: bool,
        shard: str | None,
        video: bool,
        frames_per_minute: int | None,
        max_frames: int | None,
        seconds: float,
    ) -> Inputs:
        """Those of a command; None for the default.

        Raises:
            UsageError: if options do not go together, or there is nothing to decode videos with.
        """
        if (frames_per_minute or max_frames) and not video:
            raise UsageError("--frames-per-minute, --max-frames: of videos; only with --video")
        if video and not has_decoder():
            raise UsageError("--video: PyAV is not installed; pip install 'aigdetect[video]'")
        sampling = Sampling(frames_per_minute or MOST_PER_MINUTE, max_frames or MOST, seconds=seconds)
        if shard:
            Shard.parse(shard)
        return cls(paths, null, follow_symlinks, shard or "", video, sampling)

    @property
    def named(self) -> list[str]:
        """What is named on the command line."""
        return [path for path in self.paths if path != STDIO]

    @property
    def part(self) -> Shard:
        """The part of the files that is scanned."""
        return Shard.parse(self.shard) if self.shard else Shard(1, 1)


@dataclass(frozen=True)
class Models:
    """What scores.

    Attributes:
        first: the model that the rows are about.
        also: further models, which have columns of their own.
    """

    first: ModelRequest
    also: tuple[ModelRequest, ...] = ()

    @classmethod
    def of_options(
        cls,
        model: str | None,
        also: Sequence[str],
        *,
        device: str,
        precision: str,
        batch_size: int | None,
        fpr: float | None,
        weights: Path | None,
        offline: bool,
    ) -> Models:
        """Those of a command; None for the default.

        Raises:
            UsageError: if there is no such model, or the rate is none.
            ModelError: if a card is damaged.
        """
        if fpr is not None and not 0 <= fpr < 1:
            raise UsageError(f"--fpr: {fpr} is not in 0..1")
        first = ModelRequest(model or DEFAULT_MODEL, device, precision, batch_size, fpr, weights, offline)
        return cls(first, tuple(first.beside(each) for each in also))

    def preparation(
        self, *, max_pixels: int | None, stability: bool, pictures: bool, video: Sampling
    ) -> Preparation:
        """What is done with each file before they score it; arguments are those of :class:`Preparation`.

        Raises:
            UsageError: if there is no such model.
            ModelError: if a card is damaged.
        """
        seen = [read_card(find_model_folder(each.model)).preprocess for each in (self.first, *self.also)]
        first, *others = (partial(take_views, names=each.views, size=each.size) for each in seen)
        return Preparation(
            first,
            max_pixels or MAX_PIXELS,
            stability=stability,
            pictures=pictures,
            video=video,
            also=tuple(others),
        )


@dataclass(frozen=True)
class Execution:
    """Where files are decoded and scored.

    Attributes:
        workers: processes that decode for each model; 0 for none, None for the default.
        timeout: seconds that decoding one file may take.
        on_cluster: on a Ray cluster, and not in this program.
        ray_address: of the cluster; None for the default.

    Raises:
        UsageError: if there is no Ray, or an address without it.
    """

    workers: int | None
    timeout: float
    on_cluster: bool
    ray_address: str | None

    def __post_init__(self) -> None:
        if self.on_cluster:
            require_ray()
        elif self.ray_address:
            raise UsageError("--ray-address: only with --engine ray")


@dataclass(frozen=True)
class Request:
    """All that a scan is asked to do.

    Attributes:
        inputs: which files are scanned.
        outputs: where the rows go.
        models: what scores.
        execution: where that is done.
        stability: score again after mild changes.
        max_pixels: images of more pixels are not decoded; None for the default.
        retry_errors: when going on, try all errors again.
        sign: file of the key that signs the manifest of a case.
        fail_on_ai: end with a status of its own if an image is flagged.

    Raises:
        UsageError: if options do not go together, or an output cannot be written.
    """

    inputs: Inputs
    outputs: Outputs
    models: Models
    execution: Execution
    stability: bool
    max_pixels: int | None
    retry_errors: bool
    sign: Path | None
    fail_on_ai: bool

    def __post_init__(self) -> None:
        if self.retry_errors and not self.outputs.resume:
            raise UsageError("--retry-errors: tries the errors of an earlier scan again; only with --resume")
        if self.sign and not self.outputs.case:
            raise UsageError("--sign: signs the manifest of a case; only with --case")
        self.outputs.check(self.inputs.named)

    @property
    def heat_maps(self) -> tuple[Verdict, ...]:
        """Verdicts of the images whose heat maps are drawn: all if asked for, those flagged in a case."""
        if self.outputs.heatmap_folder is None:
            return ()
        return FLAGGED if self.outputs.case else ALL

    def preparation(self) -> Preparation:
        """What is done with each file before it is scored."""
        return self.models.preparation(
            max_pixels=self.max_pixels,
            stability=self.stability,
            pictures=self.outputs.page is not None,
            video=self.inputs.sampling,
        )

    def key(self) -> Ed25519PrivateKey | None:
        """The key that signs, if one does.

        Raises:
            UsageError: if it cannot be read.
        """
        if self.sign is None:
            return None
        from aigdetect.scanning.signature import read_private_key

        return read_private_key(self.sign)
