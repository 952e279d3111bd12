"""A training run in its folder: its log and its checkpoints, from the beginning or from a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from aigdetect.data.layouts import Sample
from aigdetect.errors import DataError, UsageError
from aigdetect.files import remove_partial
from aigdetect.model.base import Network
from aigdetect.model.card import CARD_NAME, ModelCard, read_card
from aigdetect.training.checkpoint import Checkpoint, Checkpoints, RunIdentity, from_bytes
from aigdetect.training.distributed import ALONE, Group
from aigdetect.training.folds import Fold
from aigdetect.training.log import LOG_NAME, Log
from aigdetect.training.recipe import Recipe, make_recipe
from aigdetect.training.state import State
from aigdetect.training.tensorboard import tensorboard_watch
from aigdetect.training.token_store import remove_tables
from aigdetect.training.trainer import Trainer
from aigdetect.training.watching import CollapseWatch, Epoch, Watch, chain


@dataclass(frozen=True)
class Session:
    """How a run is carried out; none of it changes what comes out.

    Attributes:
        group: the processes that train together.
        workers: threads that decode.
        tables: folder where outputs of the frozen tower are kept for this run and others; None keeps them
            for this run alone.
        resume: go on from the folder's checkpoint, if there is one.
        save_every: write a checkpoint after every so many steps, besides those after every epoch.
        tensorboard: folder for TensorBoard's files; None writes none.
        watch: who is told what the run does.
    """

    group: Group = ALONE
    workers: int = 2
    tables: Path | None = None
    resume: bool = False
    save_every: int | None = None
    tensorboard: Path | None = None
    watch: Watch = field(default_factory=Watch)

    def train(
        self,
        network: Network,
        recipe: Recipe,
        training: Sequence[Sample],
        validation: Sequence[Sample],
        folder: Path,
        run: RunIdentity,
        folds: Sequence[Fold] = (),
        calibration: Sequence[Sample] = (),
        initial: Mapping[str, Tensor] | None = None,
        contents: Mapping[str, bytes] | None = None,
    ) -> tuple[Epoch, RunIdentity]:
        """Train, with a log and checkpoints in the folder; the checkpoints stay there.

        Args:
            network: trained in place.
            recipe: the settings.
            training: samples to learn from.
            validation: samples held out.
            folder: where log and checkpoints lie, and, if nowhere else, what is kept; it must exist.
            run: what the run is.
            folds: as for the trainer.
            calibration: likewise.
            initial: likewise.
            contents: likewise.

        Returns:
            as :meth:`aigdetect.training.trainer.Trainer.run`, and the run as it was begun.

        Raises:
            DataError: as for the trainer, or if the processes see different images.
            UsageError: as for the trainer, or if a checkpoint or the log cannot be used or written.
        """
        if len(set(self.group.texts_of_all([run.images]))) > 1:
            raise DataError("the processes of the run see different images; give all of them the same data")
        checkpoints = Checkpoints(folder)
        found = self._begin(checkpoints, run)
        if found:
            run = found.run
        with ExitStack() as stack:
            watches = [self.watch, Watch(step=CollapseWatch(self.watch.warn).step)]
            if self.group.first:
                log = Log(folder / LOG_NAME, keep=found.log_bytes if found else 0)
                stack.callback(log.close)
                watches.insert(0, Watch(step=log.step, epoch=log.epoch))
                if self.tensorboard:
                    step = found.state.step if found else 0
                    watches.append(stack.enter_context(tensorboard_watch(self.tensorboard, after=step)))

            def save(state: State) -> None:
                checkpoints.write(Checkpoint(run, state, log.settle()))
                if not state.epoch:
                    checkpoints.drop_older()

            trainer = Trainer(
                network,
                recipe,
                training,
                validation,
                folder,
                self.workers,
                backbone=run.backbone,
                tables=self.tables,
                watch=chain(*watches),
                group=self.group,
                folds=folds,
                calibration=calibration,
                initial=initial,
                contents=contents or {},
                save=save,
                save_every=self.save_every,
            )
            return trainer.run(found.state if found else None), run

    def _begin(self, checkpoints: Checkpoints, run: RunIdentity) -> Checkpoint | None:
        """Clear away what a killed run left, and find the checkpoint to go on from."""
        data = b""
        if self.group.first:
            remove_partial(checkpoints.folder)
            if self.resume:
                data = checkpoints.read()
            else:
                remove_tables(checkpoints.folder)
        data = self.group.bytes_from_first(data)
        if not data:
            return None
        found = from_bytes(data)
        run.require_same(found.run, str(checkpoints.newest))
        return found

    def require_same(self, folder: Path, run: RunIdentity) -> None:
        """Refuse to go on with what another run has left in a folder.

        Raises:
            UsageError: if a checkpoint is that of another run.
        """
        if self.group.first and self.resume:
            checkpoints = Checkpoints(folder)
            if data := checkpoints.read():
                run.require_same(from_bytes(data).run, str(checkpoints.newest))

    def finished(self, folder: Path, run: RunIdentity) -> ModelCard | None:
        """The card of a run that is to be resumed, and has come to its end already; else None.

        Raises:
            ModelError: if the card cannot be read.
            UsageError: if it is that of another run, or does not say so.
        """
        done = b""
        if self.group.first and self.resume and not Checkpoints(folder).present():
            done = b"1" * (folder / CARD_NAME).exists()
        if not self.group.bytes_from_first(done):
            return None
        card, path = read_card(folder), folder / CARD_NAME
        if not (images := card.data.get("digest")):
            raise UsageError(f"{path}: does not say of which images; choose another --out, or add --force")
        recipe = make_recipe(card.recipe).defining()
        # without a backbone, recipe and images are enough: what else the run began with is no backbone
        backbone = card.backbone_digest if card.has_backbone else run.backbone
        decoders = card.data.get("decoders", "")
        instrument = card.data.get("instrument", {}).get("digest", "")
        run.require_same(
            RunIdentity(recipe, backbone, images, decoders=decoders, instrument=instrument), str(path)
        )
        return card
