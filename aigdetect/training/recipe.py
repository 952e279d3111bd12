"""The recipe, every setting of a training run from defaults, a YAML file and options; and how it is run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal

import yaml

from aigdetect.data.augment import Augmentation
from aigdetect.errors import UsageError
from aigdetect.images.opening import MAX_PIXELS
from aigdetect.images.views import check_views
from aigdetect.methods.registry import find_method, hyperparameters_of, recipe_of
from aigdetect.model.card import DEFAULT_METHOD, HEAD_KERNELS, HEAD_VIEWS
from aigdetect.parsing import STRICT_KEYS, parse, plain, read_yaml

SCHEDULES = ("cosine", "constant")
CACHES = ("auto", "memory", "disk", "none")
KEEPS = ("last", "best")
HEAD_LOSSES = ("logistic", "squares")
#: ways in which the decoder of an autoencoder doubles the resolution: strided transposed convolutions, or
#: convolutions whose channels become pixels
UPSAMPLINGS = ("transposed", "shuffle")
#: what torch takes
_LARGEST_SEED = 2**63 - 1
#: settings that say how a run is carried out: the model is the same whatever they are, up to rounding
MEANS = ("accumulate", "cache", "cache_budget")
#: settings of methods that read an image tower; others have none of them
OF_TOWERS = (
    *("backbone", "blocks", "modules", "shared_rank", "expert_ranks", "alpha", "head_blocks", "depth"),
    *("merged_share", "merge_after", "head_views", "head_kernel", "balance_weight"),
)

#: settings that recipes did not always have, and what was done without them: a run begun then can go on
_NEWER = {
    **{"method": DEFAULT_METHOD, "depth": None, "merged_share": 0.0, "merge_after": 0},
    **{"head_loss": "logistic", "head_kernel": "linear"},
}


@dataclass(frozen=True)
class Recipe:
    """All settings of a training run; the defaults are the paper's where it gives them.

    Attributes:
        method: name of the detector, out of :data:`aigdetect.methods.registry.METHODS`.
        hyperparameters: of a method that has some of its own, by name; :data:`OF_TOWERS` mean nothing to it.
        backbone: name of the image tower.
        blocks: how many of the last blocks are adapted; 0 is the linear probe, None adapts all.
        modules: what is adapted in each: ``mlp``, ``attention`` or both.
        shared_rank: rank of the shared expert; 0 for none.
        expert_ranks: ranks of the separate experts; empty for none.
        alpha: scaling constant; None for a scale of 1.
        head_blocks: the head reads the class tokens of so many last blocks; 0: the embedding, as in the
            paper.
        depth: so many of the tower's blocks are used, from the first on, as if it had no others; with
            ``head_blocks``. None: all.
        merged_share: share of its tokens that each block merges with those most like them, which makes the
            tower quicker; see :mod:`aigdetect.model.towers.merging`. 0: none.
        merge_after: how many blocks come before the first that merges.
        head_penalty: L2 penalty under which the head is first fitted to the frozen tower, until it converges;
            None: it starts at random, as in the paper.
        head_loss: what that fit minimises beside the penalty: ``logistic`` or ``squares``; see
            :func:`aigdetect.training.head_fit.fit_head`.
        head_views: with views of two scales, whether they share the head's weights or each scale has its
            ``own``; see :class:`aigdetect.model.head.Head`.
        head_kernel: what the head's logit is linear in: ``linear``, what the tower says; ``quadratic``,
            that and products of its principal components, see
            :class:`aigdetect.model.quadratic_features.QuadraticFeatures`, which needs ``head_loss: squares``.
        source_penalty: with ``head_penalty``, weight of the variance between the sources of real images; see
            :func:`aigdetect.training.head_fit.fit_head`.
        aligned: real training images also come back as generated ones, through autoencoders that are trained
            here and upsample in these ways, names out of :data:`UPSAMPLINGS`, or through those of a folder,
            named by its path (:mod:`aigdetect.model.decoders`).
        aligned_images: so many of them for each way.
        initial: SHA-256 of the adapter of the model that the run begins with; None: it begins anew.
        views: what the model sees of an image in a scan, names out of :data:`aigdetect.images.views.VIEWS`;
            in training one view of each scale (:func:`aigdetect.images.views.scales_of`): a crop at random
            stands for all crops.
        balanced: weigh the images so that both classes count alike, and within a class a generator or source
            by the square root of its number of images.
        balanced_batches: half of every batch is of each class; the images of a class come in rounds, so that
            those of the smaller one are seen more often, and ``balanced`` weighs within the classes alone.
            Else the images come in a random order.
        epochs: passes over the training images; 0, with ``head_penalty``, leaves the fitted head as it is.
        steps: stop after so many steps, if the epochs have more; None: never.
        batch_size: images per step, over all processes and micro batches.
        accumulate: parts (micro batches) in which a step goes over its images, to need less memory; the step
            is the same.
        lr: AdamW's learning rate at its highest.
        head_rate: the head's learning rate as a share of ``lr``; 0 leaves a fitted head as it is, and trains
            the experts alone.
        weight_decay: AdamW's decoupled weight decay.
        schedule: ``cosine`` (to 0 over the run) or ``constant``.
        warmup: share of the steps over which the learning rate rises from 0.
        balance_weight: weight of the load-balancing loss.
        seed: of the split, the initial weights, the order and the augmentation.
        samples: train on this many images, drawn uniformly; None for all.
        samples_per_class: train on this many images of each class, drawn uniformly; None for all.
        samples_per_group: train on at most this many images of each generator or source; None for all.
        validation: share of the images held out within each generator, by which the model is calibrated.
        hold_out: generators and sources that are held out whole, in place of that share of their class.
        folds: train on all images, and calibrate on what so many other models say, each trained in the same
            way without some of them (see `aigdetect.training.folds`); ``origins``: as many as there are
            origins, each without one of them; None: on the images held out.
        scored_per_group: with ``folds``, score at most this many images of each generator or source; None for
            all. Where a model sees more views in a scan than in training, those cost most.
        patience: stop after so many epochs without a better average precision on the held-out images; None:
            never.
        keep: which weights become the model: the ``last``, or the ``best`` by that measure (of epochs alike
            in it, the one of the lower loss). For ``patience`` and ``best``, images are held out by which
            nothing is calibrated: whole origins, as many as make up the share ``validation`` of each class.
        copies: augmented copies of each image; the epochs take them in turn.
        plain_copy: the first of them is the image as it is, through the views of a scan.
        cache: where what the frozen tower makes of the images is kept: ``memory``, ``disk``, ``none``,
            or ``auto`` (memory if they are small enough).
        cache_budget: most bytes that the kept tokens may take; None: for ``auto``
            :data:`aigdetect.training.token_store.AUTO_BYTES`, and otherwise what there is.
        precision: of the frozen tower: ``auto``, ``float32`` or ``bfloat16``; what trains is float32.
        max_pixels: images of more pixels cannot be read.
        augmentation: random operations on the training views.

    Raises:
        UsageError: naming key and value, if a value is impossible.
    """

    __pydantic_config__: ClassVar[Any] = STRICT_KEYS

    method: str = DEFAULT_METHOD
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    backbone: str = "ViT-B-16"
    blocks: int | None = 3
    modules: tuple[str, ...] = ("mlp",)
    shared_rank: int = 8
    expert_ranks: tuple[int, ...] = (4, 8, 16)
    alpha: float | None = None
    head_blocks: int = 0
    depth: int | None = None
    merged_share: float = 0.0
    merge_after: int = 0
    head_views: str = "shared"
    head_kernel: str = "linear"
    head_penalty: float | None = None
    head_loss: str = "logistic"
    source_penalty: float = 0.0
    aligned: tuple[str, ...] = ()
    aligned_images: int = 400
    initial: str | None = None
    views: tuple[str, ...] = ("center_crop",)
    balanced: bool = False
    balanced_batches: bool = False
    epochs: int = 8
    steps: int | None = None
    batch_size: int = 32
    accumulate: int = 1
    lr: float = 6e-4
    head_rate: float = 1.0
    weight_decay: float = 0.01
    schedule: str = "cosine"
    warmup: float = 0.05
    balance_weight: float = 0.01
    seed: int = 0
    samples: int | None = None
    samples_per_class: int | None = None
    samples_per_group: int | None = None
    validation: float = 0.2
    hold_out: tuple[str, ...] = ()
    folds: int | Literal["origins"] | None = None
    scored_per_group: int | None = None
    patience: int | None = None
    keep: str = "last"
    copies: int = 8
    plain_copy: bool = False
    cache: str = "auto"
    cache_budget: int | None = None
    precision: str = "auto"
    max_pixels: int = MAX_PIXELS
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        for name, value in find_method(self.method).fixed.items():
            if getattr(self, name) != value:
                raise UsageError(f"{name}: {getattr(self, name)} is not the {value} of {self.method}")
        for name, least in (
            ("epochs", 0),
            ("head_blocks", 0),
            ("depth", 1),
            ("merge_after", 0),
            ("batch_size", 1),
            ("steps", 1),
            ("accumulate", 1),
            ("copies", 1),
            ("seed", 0),
            ("samples", 2),
            ("samples_per_class", 1),
            ("samples_per_group", 1),
            ("scored_per_group", 1),
            ("patience", 1),
            ("cache_budget", 0),
            ("aligned_images", 1),
            ("folds", 2),
            ("max_pixels", 1),
        ):
            value = getattr(self, name)
            if isinstance(value, int) and value < least:
                raise UsageError(f"{name}: {value} is below {least}")
        if self.seed > _LARGEST_SEED:
            raise UsageError(f"seed: {self.seed} is above {_LARGEST_SEED}")
        if not self.epochs and self.head_penalty is None:
            raise UsageError("epochs: 0 leaves nothing to train; give head_penalty, too")
        if self.accumulate > self.batch_size:
            raise UsageError(
                f"accumulate: {self.accumulate} is more than the {self.batch_size} images of a step"
            )
        if self.samples is not None and self.samples_per_class is not None:
            raise UsageError(f"samples_per_class: {self.samples_per_class} beside samples; give one of them")
        for name in ("lr", "head_penalty"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"{name}: {value} is not a number above 0")
        try:
            check_views(self.views)
        except ValueError as error:
            raise UsageError(str(error)) from error
        for name in ("weight_decay", "balance_weight", "source_penalty", "head_rate"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{name}: {getattr(self, name)} is not a number from 0 on")
        if not 0 <= self.warmup < 1:
            raise UsageError(f"warmup: {self.warmup} is not in 0..1")
        if not 0 <= self.merged_share <= 0.5:
            raise UsageError(f"merged_share: {self.merged_share} is not in 0..0.5")
        if not 0 < self.validation < 1:
            raise UsageError(f"validation: {self.validation} is not between 0 and 1")
        for way in self.aligned:
            if way not in UPSAMPLINGS and not Path(way).is_absolute():
                raise UsageError(
                    f"aligned: {way!r} is none of {', '.join(UPSAMPLINGS)}, and no absolute path of a folder"
                )
        if self.depth is not None and not self.head_blocks:
            raise UsageError("depth: needs head_blocks, too; the embedding is that of the whole tower")
        if self.scored_per_group is not None and self.folds is None:
            raise UsageError("scored_per_group: needs folds, too")
        for name, idle in (("source_penalty", 0.0), ("head_loss", "logistic")):
            if getattr(self, name) != idle and self.head_penalty is None:
                raise UsageError(f"{name}: needs head_penalty, too")
        if self.head_kernel == "quadratic":
            if self.head_penalty is None and self.initial is None:
                raise UsageError("head_kernel: needs head_penalty, too")
            if self.head_penalty is not None and (self.head_loss != "squares" or self.source_penalty):
                raise UsageError("head_kernel: quadratic needs head_loss: squares, and no source_penalty")
        if self.folds is not None and self.selects:
            raise UsageError("folds: with them no image is held out by which an epoch could be the best one")
        if self.initial is not None and not self.epochs:
            raise UsageError("epochs: 0 leaves the model that the run begins with as it is")
        if self.folds is not None and self.hold_out:
            raise UsageError("hold_out: with folds nothing is held out; leave one of them out")
        for name, choices in (
            ("schedule", SCHEDULES),
            ("cache", CACHES),
            ("keep", KEEPS),
            ("head_views", HEAD_VIEWS),
            ("head_kernel", HEAD_KERNELS),
            ("head_loss", HEAD_LOSSES),
        ):
            if getattr(self, name) not in choices:
                raise UsageError(f"{name}: {getattr(self, name)!r} is none of {', '.join(choices)}")

    @property
    def selects(self) -> bool:
        """Whether an epoch is chosen by what held-out images say of it."""
        return self.keep == "best" or self.patience is not None

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as a YAML file would hold it, without what means nothing to the method."""
        unused = ("hyperparameters",) if find_method(self.method).reads_tower else OF_TOWERS
        return {name: value for name, value in asdict(self).items() if name not in unused}

    def defining(self) -> dict[str, Any]:
        """The settings that define the model, as plain data: not :data:`MEANS`, nor the default method."""
        return {
            name: value
            for name, value in self.as_dict().items()
            if name not in MEANS and not (name in _NEWER and value == _NEWER[name])
        }


@dataclass(frozen=True)
class RunOptions:
    """How a run is carried out; none of it changes what comes out, but the device's rounding.

    Attributes:
        device: as for :func:`aigdetect.load_detector`.
        weights: file with the backbone's weights; None searches for them.
        offline: look for weights on this machine only.
        workers: threads that decode.
        cache_folder: where outputs of the frozen tower are kept for this run and others; None keeps them for
            this run alone.
        resume: go on from the folder's checkpoint, if there is one.
        checkpoint_every: write a checkpoint after every so many steps, besides those after every epoch.
        tensorboard: folder for TensorBoard's files; None writes none.
        command: command line to note in the card.
    """

    device: str = "auto"
    weights: Path | None = None
    offline: bool = False
    workers: int = 2
    cache_folder: Path | None = None
    resume: bool = False
    checkpoint_every: int | None = None
    tensorboard: Path | None = None
    command: str = ""


DEFAULT_OPTIONS = RunOptions()


def read_recipe(path: Path) -> dict[str, Any]:
    """Read the settings of a YAML file; :func:`make_recipe` checks them.

    Raises:
        UsageError: if it cannot be read or is no mapping.
    """
    try:
        data = read_yaml(path)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise UsageError(f"{path}: not a mapping of settings to values")
    return data


def read_settings(texts: Iterable[str]) -> dict[str, Any]:
    """Settings of the form ``key=value``, the value as in a YAML file; :func:`make_recipe` checks them.

    Raises:
        UsageError: naming the text that is none.
    """
    settings: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        try:
            settings[name.strip()] = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError):  # the latter of dates that there are not
            equals = ""
        if not equals or not name.strip():
            raise UsageError(f"--set: {text!r} is not a setting such as blur_probability=0.2")
    return settings


def write_recipe(recipe: Recipe) -> str:
    """A recipe as the text of a YAML file that :func:`read_recipe` reads."""
    return yaml.safe_dump(plain(recipe.as_dict()), sort_keys=False, default_flow_style=None)


def make_recipe(*layers: Mapping[str, Any]) -> Recipe:
    """Recipe from the defaults and layers of settings, later ones over earlier ones.

    Args:
        layers: settings by name; those of the augmentation may stand in a mapping ``augmentation`` or beside
            the others, and those of the method in ``hyperparameters`` likewise. The method's own recipe goes
            before all of them.

    Raises:
        UsageError: naming key and value, for an unknown key or an impossible value.
    """
    method = find_method(next((layer["method"] for layer in reversed(layers) if "method" in layer), None))
    own = {each.name for each in fields(method.settings_type)} if method.settings_type else set()
    settings: dict[str, Any] = {}
    nested: dict[str, dict[str, Any]] = {"augmentation": {}, "hyperparameters": {}}
    for layer in (recipe_of(method), *layers):
        for name, inner in nested.items():
            given = layer.get(name) or {}
            if not isinstance(given, Mapping):
                raise UsageError(f"{name}: {given!r} is not a mapping of settings to values")
            inner |= given
        for name, value in layer.items():
            if not method.reads_tower and name in OF_TOWERS:
                raise UsageError(f"{name}: {value} says nothing to the method {method.name}; leave it out")
            if name in _AUGMENTATION or name in own:
                nested["augmentation" if name in _AUGMENTATION else "hyperparameters"][name] = value
            elif name not in nested:
                settings[str(name)] = value
    nested["hyperparameters"] = hyperparameters_of(method, nested["hyperparameters"])
    try:
        return parse(Recipe, {**settings, **nested})
    except ValueError as error:
        raise UsageError(str(error)) from error


_AUGMENTATION = {item.name for item in fields(Augmentation)}
