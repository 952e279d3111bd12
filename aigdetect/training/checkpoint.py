"""Where a run stands, and checkpoints of it on disk: two generations that it can go on from bit for bit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from aigdetect.data.layouts import Sample
from aigdetect.errors import UsageError
from aigdetect.files import write_atomically, writing
from aigdetect.model.base import Network
from aigdetect.parsing import STRICT_KEYS, parse
from aigdetect.training.callbacks import Epoch

VERSION = 3
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Best:
    """The best epoch so far.

    Attributes:
        epoch: its number.
        quality: of its held-out logits, see :attr:`aigdetect.training.callbacks.Epoch.quality`.
        adapter: the weights at its end.
    """

    epoch: int
    quality: tuple[float, float]
    adapter: Mapping[str, Tensor] = field(repr=False)


@dataclass(frozen=True)
class State:
    """Where a run stands.

    Attributes:
        epoch: number of the epoch under way, from 1; 0 before anything was done, one more than there are if
            all are done.
        batches: batches of it that are done.
        step: steps that were taken.
        best: the best epoch so far; None before the first.
        adapter: the weights.
        moments: state of AdamW, by parameter and moment: ``step``, ``exp_avg``, ``exp_avg_sq``.
        random: state of torch's generators, by device.
        out_of_fold: what the models of the folds said; None without folds.
    """

    epoch: int
    batches: int
    step: int
    best: Best | None
    adapter: Mapping[str, Tensor] = field(repr=False)
    moments: Mapping[str, Mapping[str, Tensor]] = field(repr=False)
    random: Mapping[str, Tensor] = field(repr=False)
    out_of_fold: Epoch | None = None


def first_state(network: Network, seed: int, weights: Mapping[str, Tensor] | None = None) -> State:
    """Where a run stands at its beginning.

    Args:
        network: as it was made.
        seed: of torch's own generators, from now on.
        weights: what the run begins with; None: with those of the network.
    """
    torch.manual_seed(seed)
    # not into the network: what is kept of the frozen tower must not depend on what a run begins with
    adapter = network.adapter_state() if weights is None else weights
    return State(0, 0, 0, None, adapter, {}, random_state())


def moments_of(network: Network, optimiser: torch.optim.Optimizer) -> dict[str, dict[str, Tensor]]:
    """Copies of AdamW's state, on the CPU; empty before the first step."""
    return {
        name: {moment: optimiser.state[parameter][moment].to("cpu", copy=True) for moment in _MOMENTS}
        for name, parameter in network.trainable().items()
        if parameter in optimiser.state
    }


def set_moments(
    network: Network, optimiser: torch.optim.Optimizer, moments: Mapping[str, Mapping[str, Tensor]]
) -> None:
    """Put back what :func:`moments_of` gave."""
    trainable = network.trainable()
    for name, of_parameter in moments.items():
        parameter = trainable[name]
        optimiser.state[parameter] = {
            # AdamW counts its steps on the CPU
            moment: value.to("cpu" if moment == "step" else parameter.device, copy=True)
            for moment, value in of_parameter.items()
        }


def random_state() -> dict[str, Tensor]:
    """State of torch's own generators; those of order and augmentation follow from the seed."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: Mapping[str, Tensor]) -> None:
    """Put back what :func:`random_state` gave, for the devices that are here."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


@dataclass(frozen=True)
class RunIdentity:
    """What a run trains on, and how: a checkpoint of another run is not taken up.

    Attributes:
        recipe: the settings that define the model, see :meth:`aigdetect.training.recipe.Recipe.defining`.
        backbone: digest of the backbone's weights.
        images: digest of the images' names, classes, contents and order; see :func:`digest_images`.
        command: command line that began the run.
        decoders: digest of the decoders through which images come back; see
            :func:`aigdetect.training.reconstructions.digest_decoders`.
        instrument: digest of what the method looks through; empty if it looks through nothing.
    """

    __pydantic_config__: ClassVar[Any] = STRICT_KEYS
    recipe: Mapping[str, Any]
    backbone: str
    images: str
    command: str = ""
    decoders: str = ""
    instrument: str = ""

    def require_same(self, other: RunIdentity, place: str) -> None:
        """Refuse to go on with what another run left.

        Raises:
            UsageError: naming the first setting that differs.
        """
        mine, theirs = (json.loads(json.dumps(dict(run.recipe))) for run in (self, other))
        for name in sorted(mine.keys() | theirs.keys()):
            if mine.get(name) != theirs.get(name):
                raise UsageError(
                    f"{name}: {mine.get(name)} is not the {theirs.get(name)} of {place}; resume with the "
                    "recipe it began with, or start anew with --force"
                )
        for what, same in (
            ("backbone's weights", self.backbone == other.backbone),
            ("images", self.images == other.images),
            ("decoders", self.decoders == other.decoders),
            ("weights of its instrument", self.instrument == other.instrument),
        ):
            if not same:
                raise UsageError(
                    f"{place}: was begun on other {what} than those given now; resume with the same, or "
                    "start anew with --force"
                )


@dataclass(frozen=True)
class Checkpoint:
    """A run, where it stands, and how much of its log belongs to that."""

    run: RunIdentity
    state: State
    log_bytes: int


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of a model folder.

    Attributes:
        folder: the folder.
        stem: beginning of the files' names; a folder may hold those of several runs.
    """

    folder: Path
    stem: str = "checkpoint"

    @property
    def newest(self) -> Path:
        """The file that is there while a run goes on."""
        return self.folder / f"{self.stem}.safetensors"

    @property
    def _next(self) -> Path:
        return self.folder / f"{self.stem}-next.safetensors"

    @property
    def _previous(self) -> Path:
        return self.folder / f"{self.stem}-previous.safetensors"

    def present(self) -> list[Path]:
        """The files that are there, the newest first."""
        return [path for path in (self._next, self.newest, self._previous) if path.exists()]

    def write(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint; the one before stays beside it.

        Raises:
            UsageError: if it cannot be written; those before it are still there.
        """
        write_atomically(self._next, to_bytes(checkpoint))
        with writing(self.newest):
            if self.newest.exists():
                self.newest.replace(self._previous)
            self._next.replace(self.newest)

    def read(self) -> bytes:
        """The newest checkpoint that is not damaged; empty if none was ever written.

        Raises:
            UsageError: if all that are there are damaged, or one is of another version.
        """
        present = self.present()
        for path in present:
            data = path.read_bytes()
            try:
                from_bytes(data)
            except OtherVersionError as error:
                raise UsageError(
                    f"{path}: {error}; resume with the aigdetect that wrote it, or start anew with --force"
                ) from error
            except ValueError:
                continue
            return data
        if present:
            raise UsageError(f"{present[0]}: damaged, and so is every older one; start anew with --force")
        return b""

    def drop_older(self) -> None:
        """Remove all but the newest: they belong to another run."""
        self._previous.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove all of them, the oldest first: what is left is always the newest."""
        for path in reversed(self.present()):
            path.unlink()


def digest_images(*groups: Iterable[Sample], contents: Mapping[str, bytes]) -> str:
    """Digest of lists of images: names within the data sets, classes, generators, contents and order.

    Repositories and kinds of pictures count where they are known: folds go by those, and these are learnt.

    Args:
        groups: the lists.
        contents: digest of each image's content by path.
    """
    digest = hashlib.sha256()
    for group in groups:
        for sample in group:
            content = contents.get(sample.path, b"").hex()
            text = f"{sample.label}\0{sample.generator}\0{sample.key}\0{content}\0"
            if sample.repository or sample.kind:
                text += f"{sample.repository}\0{sample.kind}\0"
            digest.update(text.encode("utf-8", "surrogatepass"))
        digest.update(b"\0\0\0")
    return digest.hexdigest()


class OtherVersionError(ValueError):
    """A checkpoint that is whole, and written by a program of another version."""


@dataclass(frozen=True)
class _Header:
    """The part of a checkpoint that is no tensor."""

    __pydantic_config__: ClassVar[Any] = STRICT_KEYS
    version: int
    run: RunIdentity
    epoch: int
    batches: int
    step: int
    log_bytes: int
    best_epoch: int | None = None
    best_quality: tuple[float, float] | None = None
    # names of the parameters that AdamW has a state of
    moments: tuple[str, ...] = field(default=())
    out_of_fold: Epoch | None = None


def to_bytes(checkpoint: Checkpoint) -> bytes:
    """A checkpoint as a safetensors file, with the digest of all that it holds."""
    state, best = checkpoint.state, checkpoint.state.best
    header = _Header(
        version=VERSION,
        run=checkpoint.run,
        epoch=state.epoch,
        batches=state.batches,
        step=state.step,
        log_bytes=checkpoint.log_bytes,
        best_epoch=None if best is None else best.epoch,
        best_quality=None if best is None else best.quality,
        moments=tuple(state.moments),
        out_of_fold=state.out_of_fold,
    )
    groups: dict[str, Mapping[str, Tensor]] = {"adapter": state.adapter, "random": state.random}
    if best is not None:
        groups["best"] = best.adapter
    groups |= {f"moments/{name}": of_parameter for name, of_parameter in state.moments.items()}
    tensors = {
        f"{group}/{name}": tensor.contiguous() for group, of in groups.items() for name, tensor in of.items()
    }
    text = json.dumps(asdict(header))
    return save(tensors, {"checkpoint": text, "sha256": _digest(text, tensors)})


def from_bytes(data: bytes) -> Checkpoint:
    """What :func:`to_bytes` made.

    Raises:
        OtherVersionError: if it is of another version.
        ValueError: if it is damaged.
    """
    try:
        tensors = load(data)
        told = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
        text = told["checkpoint"]
        if told["sha256"] != _digest(text, tensors):
            raise ValueError("damaged")
    except (SafetensorError, KeyError, TypeError) as error:
        raise ValueError("not a checkpoint") from error
    content = json.loads(text)
    # before what another version has more, or less, of is taken for damage
    if (version := content.get("version")) != VERSION:
        raise OtherVersionError(f"checkpoint version {version} is not {VERSION}, the one this program reads")
    header = parse(_Header, content)
    best = None
    if header.best_epoch is not None and header.best_quality is not None:
        best = Best(header.best_epoch, header.best_quality, _group(tensors, "best"))
    state = State(
        epoch=header.epoch,
        batches=header.batches,
        step=header.step,
        best=best,
        adapter=_group(tensors, "adapter"),
        moments={name: _group(tensors, f"moments/{name}") for name in header.moments},
        random=_group(tensors, "random"),
        out_of_fold=header.out_of_fold,
    )
    return Checkpoint(header.run, state, header.log_bytes)


def _group(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    prefix = f"{name}/"
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}


def _digest(text: str, tensors: dict[str, Tensor]) -> str:
    return hashlib.sha256(text.encode() + save(dict(sorted(tensors.items())))).hexdigest()
