"""The training run on samples: what its images look like to the frozen trunk, the folds, and the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from aigdetect.data.layouts import Sample
from aigdetect.images.views import first_of_scales
from aigdetect.model.network import MoleNetwork
from aigdetect.training.distributed import ALONE, Group
from aigdetect.training.folds import Fold
from aigdetect.training.head_start import Features, read_features
from aigdetect.training.held_out import HeldOut
from aigdetect.training.kinds import fit_kinds
from aigdetect.training.loop import Loop
from aigdetect.training.material import Material, choose_material
from aigdetect.training.out_of_fold import score_out_of_fold
from aigdetect.training.recipe import Recipe
from aigdetect.training.source import Part, Source
from aigdetect.training.state import State, first_state
from aigdetect.training.supply import Supply, copies_kept, open_supply
from aigdetect.training.watching import Epoch, Watch


@dataclass(frozen=True)
class Trainer:
    """Trains a network on samples.

    Attributes:
        network: on its device, its tower in the precision wanted; trained in place.
        recipe: the settings.
        training: samples to learn from.
        validation: samples held out.
        folder: of the model to come.
        workers: threads that decode.
        backbone: digest of the tower's weights.
        tables: folder where outputs of the frozen tower are kept, and stay; None for one in ``folder``.
        watch: who is told; of a group, only the first process tells anything.
        group: the processes that train together, each with the same network and samples.
        folds: divisions of the training samples; with them, the validation samples are those training samples
            that are scored where they are left out.
        save: given the state at the beginning, after the folds, and as the loop says; of a group, only the
            first process saves.
        save_every: as for the loop.
    """

    network: MoleNetwork
    recipe: Recipe
    training: Sequence[Sample]
    validation: Sequence[Sample]
    folder: Path
    workers: int
    backbone: str = ""
    tables: Path | None = None
    watch: Watch = field(default_factory=Watch)
    group: Group = ALONE
    folds: Sequence[Fold] = ()
    save: Callable[[State], None] = lambda state: None
    save_every: int | None = None

    def run(self, state: State | None = None) -> Epoch:
        """Fit the head if the recipe asks for it, then train over all epochs.

        Args:
            state: go on from here; None from the beginning.

        Returns:
            the held-out logits of the weights that are to be kept, which are in the network then.

        Raises:
            DataError: if too many images cannot be read, or the loss is no number any more.
            UsageError: if the tokens do not fit where they are to be kept.
        """
        if state is None:
            state = self._first_state()
            self._save(state)
        unsaid: list[str] = []
        watch = self.watch if self.group.first else Watch(unread=unsaid.append)
        with self._supply(watch) as supply:
            features = self._features(supply.source, watch) if not state.epoch else None
            if features is not None and self.network.kinds is not None:
                fit_kinds(self.network, features, self.training, self.group)
                state = replace(state, adapter=self.network.adapter_state())
            if self.folds and state.out_of_fold is None:
                state = replace(state, out_of_fold=self._out_of_fold(supply, features, state, watch))
                self._save(state)
            loop = Loop(
                self.network,
                self.recipe,
                self._material(range(len(self.training)), supply.source),
                state,
                watch=watch,
                group=self.group,
                validate=None if self.folds else partial(self._validate, supply.held_out, watch, unsaid),
                save=self._save if self.group.first else None,
                save_every=self.save_every,
            )
            if features is not None:
                loop.fit_head(features)
            del features  # they may be large, and no other head is fitted
            last = loop.run()
        if state.out_of_fold is not None:
            watch.epoch(state.out_of_fold)
        epoch = last or state.out_of_fold
        assert epoch is not None  # images were held out, or there were folds
        return epoch

    def cross_fit(self) -> Epoch:
        """Train the models of the folds alone.

        Returns:
            what they say of the images that each of them left out.

        Raises:
            DataError: as :meth:`run`.
            UsageError: likewise.
        """
        with self._supply(self.watch) as supply:
            features = self._features(supply.source, self.watch)
            return self._out_of_fold(supply, features, self._first_state(), self.watch)

    def _first_state(self) -> State:
        torch.manual_seed(self.recipe.seed)
        return first_state(self.network)

    def _supply(self, watch: Watch) -> AbstractContextManager[Supply]:
        return open_supply(
            self.network,
            self.recipe,
            self.training,
            self.validation,
            backbone=self.backbone,
            folder=self.folder,
            tables=self.tables,
            workers=self.workers,
            watch=watch,
            group=self.group,
        )

    def _out_of_fold(self, supply: Supply, features: Features | None, state: State, watch: Watch) -> Epoch:
        return score_out_of_fold(
            self.folds,
            self.validation,
            supply.held_out,
            partial(self._train_fold, supply.source, features, state),
            epochs=self.recipe.epochs,
            watch=watch,
        )

    def _train_fold(
        self, source: Source, features: Features | None, state: State, kept: Tensor, watch: Watch
    ) -> None:
        material = self._material(kept.tolist(), Part(source, kept))
        loop = Loop(self.network, self.recipe, material, state, watch=watch, group=self.group)
        if features is not None:
            loop.fit_head(features)
        loop.run()

    def _validate(self, held_out: HeldOut, watch: Watch, unsaid: list[str], number: int) -> Epoch:
        """Held-out logits; the first process says what the others could not."""
        epoch = held_out.epoch(number)
        for text in self.group.texts_of_all(unsaid):
            watch.unread(text)
        unsaid.clear()
        return epoch

    def _features(self, source: Source, watch: Watch) -> Features | None:
        """What heads are fitted on, once for all: it comes from the frozen tower; None if none is fitted."""
        if self.recipe.head_penalty is None:
            return None
        return read_features(
            self.network,
            source,
            copies=len(copies_kept(self.recipe)),
            views=len(first_of_scales(self.recipe.views)),
            batch_size=self.recipe.batch_size,
            group=self.group,
            stage=watch.stage,
            advance=watch.advance,
        )

    def _material(self, chosen: Sequence[int], source: Source) -> Material:
        device = self.network.head.weight.device
        return choose_material(self.training, chosen, source, balanced=self.recipe.balanced, device=device)

    def _save(self, state: State) -> None:
        if self.group.first:
            self.save(state)
