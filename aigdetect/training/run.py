"""One training run: its folder, who takes part and who is told, and the checkpoint that it goes on from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from torch import Tensor

from aigdetect.errors import DataError, UsageError
from aigdetect.files import remove_partial
from aigdetect.locks import alone_in
from aigdetect.model.base import Network
from aigdetect.model.card import CARD_NAME, ModelCard, read_card
from aigdetect.training.callbacks import LOG_NAME, NOBODY, CollapseWatch, Log, Watch, chain, tensorboard_watch
from aigdetect.training.checkpoint import Checkpoint, Checkpoints, RunIdentity, State, first_state, from_bytes
from aigdetect.training.distributed import ALONE, Group
from aigdetect.training.recipe import DEFAULT_OPTIONS, Recipe, RunOptions, make_recipe
from aigdetect.training.token_store import remove_tables


@dataclass(frozen=True)
class Run:
    """A training run; its stages share it, and each process of a group has its own.

    Attributes:
        folder: of the model to come; log and checkpoints lie there, too.
        identity: what is trained, and on what.
        options: how it is carried out.
        group: the processes that train together.
        watch: who is told what the run does; of a group, only the first process tells anything.
        begun: the checkpoint that it goes on from; None: from the beginning.
        log: what is written of it; None: neither log nor checkpoints are.
    """

    folder: Path
    identity: RunIdentity
    options: RunOptions = DEFAULT_OPTIONS
    group: Group = ALONE
    watch: Watch = NOBODY
    begun: Checkpoint | None = None
    log: Log | None = None

    def finished_card(self) -> ModelCard | None:
        """The card of a run that is to be resumed, and has come to its end already; else None.

        Raises:
            ModelError: if the card cannot be read.
            UsageError: if it is that of another run, or does not say so.
        """
        path, done = self.folder / CARD_NAME, b""
        if self.group.first and self.options.resume and not Checkpoints(self.folder).present():
            done = b"1" * path.exists()
        if not self.group.bytes_from_first(done):
            return None
        card = read_card(self.folder)
        if not (images := card.data.get("digest")):
            raise UsageError(f"{path}: does not say of which images; choose another --out, or add --force")
        told = RunIdentity(
            make_recipe(card.recipe).defining(),
            # without a backbone, recipe and images are enough: what else the run began with is no backbone
            card.backbone_digest if card.has_backbone else self.identity.backbone,
            images,
            decoders=card.data.get("decoders", ""),
            instrument=card.data.get("instrument", {}).get("digest", ""),
        )
        self.identity.require_same(told, str(path))
        return card

    @contextmanager
    def opened(self) -> Iterator[Run]:
        """Keep other runs out of the folder, which is made if need be, while the block runs.

        Yields:
            the run, with the checkpoint that it goes on from, and the command line that it was begun with.

        Raises:
            DataError: if the processes see different images.
            UsageError: if the folder or a checkpoint cannot be used, or another run is in it.
        """
        if self.group.first:
            _make(self.folder)
        with alone_in(self.folder) if self.group.first else nullcontext():
            self.group.wait()
            if len(set(self.group.texts_of_all([self.identity.images]))) > 1:
                raise DataError(
                    "the processes of the run see different images; give all of them the same data"
                )
            begun = self._find_checkpoint()
            yield self if begun is None else replace(self, begun=begun, identity=begun.run)

    @contextmanager
    def recorded(self) -> Iterator[Run]:
        """Write log, checkpoints and TensorBoard's files while the block runs; the first process does.

        Yields:
            the run that does.

        Raises:
            UsageError: if the log cannot be used, or TensorBoard's files cannot be written.
        """
        if not self.group.first:
            yield self
            return
        log_bytes, step = (self.begun.log_bytes, self.begun.state.step) if self.begun else (0, 0)
        with ExitStack() as stack:
            log = Log(self.folder / LOG_NAME, keep=log_bytes)
            stack.callback(log.close)
            collapse = CollapseWatch(self.watch.warn)
            watches = [Watch(step=log.step, epoch=log.epoch), self.watch, Watch(step=collapse.step)]
            if self.options.tensorboard:
                watches.append(stack.enter_context(tensorboard_watch(self.options.tensorboard, after=step)))
            yield replace(self, watch=chain(*watches), log=log)

    def of_fold(self, name: str) -> Run:
        """The run for a model that is not its own: no step or epoch of it is told, and nothing recorded."""
        watch = self.watch
        stage = partial(_tell_stage, watch, f"{name}: ")
        told = Watch(stage=stage, advance=watch.advance, unread=watch.unread, warn=watch.warn)
        return replace(self, watch=told, log=None)

    def first_state(
        self, network: Network, recipe: Recipe, weights: Mapping[str, Tensor] | None = None
    ) -> State:
        """Where the run goes on from; the beginning of a run is saved before anything else.

        Args:
            network: as it was made.
            recipe: the settings.
            weights: what the run begins with, by name; None: with those of the network.
        """
        if self.begun is not None:
            return self.begun.state
        state = first_state(network, recipe.seed, weights)
        self.save(state)
        return state

    def save(self, state: State) -> None:
        """Write a checkpoint, where the run is recorded; the first of a run takes the place of all others.

        Raises:
            UsageError: if it cannot be written; those before it are still there.
        """
        if self.log is None:
            return
        checkpoints = Checkpoints(self.folder)
        checkpoints.write(Checkpoint(self.identity, state, self.log.settle()))
        if not state.epoch:
            checkpoints.drop_older()

    def _find_checkpoint(self) -> Checkpoint | None:
        """Clear away what a killed run left, and find the checkpoint to go on from."""
        checkpoints, data = Checkpoints(self.folder), b""
        if self.group.first:
            remove_partial(self.folder)
            if self.options.resume:
                data = checkpoints.read()
            else:
                remove_tables(self.folder)
        data = self.group.bytes_from_first(data)
        if not data:
            return None
        found = from_bytes(data)
        self.identity.require_same(found.run, str(checkpoints.newest))
        return found


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be made ({error.strerror}); choose another --out") from error


def _tell_stage(watch: Watch, prefix: str, name: str, total: int) -> None:
    watch.stage(prefix + name, total)
