"""The training run on samples: what its images look like to the frozen trunk, the folds, and the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from aigdetect.data.layouts import Sample
from aigdetect.images.views import first_of_scales
from aigdetect.model.base import Network
from aigdetect.training.distributed import ALONE, Group
from aigdetect.training.folds import Fold
from aigdetect.training.head_start import Features, read_features
from aigdetect.training.kind_head import fit_kinds
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
        validation: samples held out, which say after each epoch what it is worth.
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
        calibration: where the best epoch is chosen by the validation samples, others that are held out: what
            the weights that are kept say of these, nothing was chosen by. Else none.
        initial: weights to begin with, by name; None: those of the network, which has not been trained.
        contents: SHA-256 of images by path, as far as they are known; empty for what could not be read.
    """

    network: Network
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
    calibration: Sequence[Sample] = ()
    initial: Mapping[str, Tensor] | None = None
    contents: Mapping[str, bytes] = field(default_factory=dict)

    def run(self, state: State | None = None) -> Epoch:
        """Fit the head if the recipe asks for it, then train over all epochs.

        Args:
            state: go on from here; None from the beginning.

        Returns:
            the held-out logits of the weights that are to be kept, which are in the network then; those of
            the samples for calibration, if there are some.

        Raises:
            DataError: if too many images cannot be read, or the loss is no number any more.
            UsageError: if the tokens do not fit where they are to be kept.
        """
        if state is None:
            state = self._first_state()
            self._save(state)
        watch = self.watch if self.group.first else Watch()
        with self._supply(watch, state) as supply:
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
                validate=None if self.folds else partial(self._validate, supply),
                save=self._save if self.group.first else None,
                save_every=self.save_every,
            )
            if features is not None:
                loop.fit_head(features)
            del features  # they may be large, and no other head is fitted
            last = loop.run()
            if supply.calibrating is not None and last is not None:
                last = supply.calibrating.epoch(last.epoch)
            supply.share()
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
        state = self._first_state()
        with self._supply(self.watch, state) as supply:
            features = self._features(supply.source, self.watch)
            return self._out_of_fold(supply, features, state, self.watch)

    def _first_state(self) -> State:
        torch.manual_seed(self.recipe.seed)
        state = first_state(self.network)
        # not into the network: what is kept of the frozen tower must not depend on what a run begins with
        return state if self.initial is None else replace(state, adapter=self.initial)

    def _supply(self, watch: Watch, state: State) -> AbstractContextManager[Supply]:
        return open_supply(
            self.network,
            self.recipe,
            self.training,
            self.validation,
            self.calibration,
            backbone=self.backbone,
            folder=self.folder,
            tables=self.tables,
            workers=self.workers,
            watch=watch,
            group=self.group,
            contents=self.contents,
            passes=self._passes(state),
        )

    def _passes(self, state: State) -> tuple[int, int]:
        """How many images are still to be trained on, and how many to be scored, over all models."""
        recipe = self.recipe

        def trained(images: int) -> int:
            whole = images * recipe.epochs
            return whole if recipe.steps is None else min(whole, recipe.steps * recipe.batch_size)

        left = max(0, trained(len(self.training)) - state.step * recipe.batch_size)
        if self.folds:
            if state.out_of_fold is None:
                left += sum(trained(len(fold.kept)) for fold in self.folds)
            return left, len(self.validation)
        epochs = max(1, recipe.epochs + 1 - state.epoch)
        return left, epochs * len(self.validation) + len(self.calibration)

    def _out_of_fold(self, supply: Supply, features: Features | None, state: State, watch: Watch) -> Epoch:
        return score_out_of_fold(
            self.folds,
            self.validation,
            supply.held_out,
            partial(self._train_fold, supply, features, state),
            epochs=self.recipe.epochs,
            watch=watch,
        )

    def _train_fold(
        self, supply: Supply, features: Features | None, state: State, kept: Tensor, watch: Watch
    ) -> None:
        material = self._material(kept.tolist(), Part(supply.source, kept))
        loop = Loop(self.network, self.recipe, material, state, watch=watch, group=self.group)
        if features is not None:
            loop.fit_head(features)
        loop.run()
        supply.share()

    def _validate(self, supply: Supply, number: int) -> Epoch:
        epoch = supply.held_out.epoch(number)
        supply.share()
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
        return choose_material(
            self.training,
            chosen,
            source,
            balanced=self.recipe.balanced,
            balanced_batches=self.recipe.balanced_batches,
            device=self.network.head.weight.device,
        )

    def _save(self, state: State) -> None:
        if self.group.first:
            self.save(state)
