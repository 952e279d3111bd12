"""The shared training code on methods: what is begun with, gone on from, resumed and refused."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from instruments import write_instruments
from planted import learn, texture, write_data
from safetensors.torch import load_file, save_file
from tiny_discriminator import write_discriminator
from tiny_pairs import write_averaging_pair, write_pair

from aigdetect.data.layouts import find_samples
from aigdetect.errors import ModelError, UsageError, WeightsError
from aigdetect.files import file_sha256
from aigdetect.methods.loading import load_detector, load_network
from aigdetect.methods.pretrained import find_pretrained
from aigdetect.methods.registry import build_network, find_method
from aigdetect.model.card import ADAPTER_NAME, card_digest, read_card, write_card
from aigdetect.model.heatmap import heatmap
from aigdetect.model.standalone import TOLERANCE, export_model
from aigdetect.training.callbacks import NOBODY, Step, Watch
from aigdetect.training.distributed import ALONE, Group
from aigdetect.training.partition import split_data
from aigdetect.training.recipe import RunOptions, make_recipe
from aigdetect.training.starting_point import InitialModel, find_initial_model, find_instrument
from aigdetect.training.train_model import train_model

pytestmark = [
    pytest.mark.usefixtures("plain_curves"),
    pytest.mark.filterwarnings("ignore:.*too few for a false-"),
    pytest.mark.filterwarnings("ignore:.*no better than chance"),
]

NPR: dict[str, Any] = {"size": 32, "network": "test_resnet", "epochs": 2, "lr": 2e-3}
SPOT: dict[str, Any] = {"size": 32, "network": "test_resnet.r160_in1k", "epochs": 1}
HALF = {"blur_probability": 0.5, "jpeg_probability": 0.5}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data") / "images", "upsampled", count=15)


@pytest.fixture(scope="module")
def instruments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_instruments(tmp_path_factory.mktemp("instruments"))


def train(
    data: Path,
    folder: Path,
    method: str,
    *,
    weights: Path | None = None,
    resume: bool = False,
    checkpoint_every: int | None = None,
    initial: InitialModel | None = None,
    instrument: Path | None = None,
    group: Group = ALONE,
    watch: Watch = NOBODY,
    **settings: Any,
) -> Any:
    recipe = make_recipe(
        initial.settings() if initial else {}, {"method": method, "batch_size": 8, **settings}
    )
    return train_model(
        split_data([find_samples(data)], recipe),
        recipe,
        folder,
        RunOptions("cpu", weights, offline=True, resume=resume, checkpoint_every=checkpoint_every),
        initial=initial,
        instrument=find_instrument(method, initial, instrument),
        group=group,
        watch=watch,
    )


class StoppedError(Exception):
    pass


def test_a_run_that_was_stopped_ends_in_the_same_file(data: Path, tmp_path: Path) -> None:
    whole = train(data, tmp_path / "whole", "npr", **NPR)

    def stop(step: Step) -> None:
        if step.step == 4:
            raise StoppedError

    with pytest.raises(StoppedError):
        train(data, tmp_path / "again", "npr", checkpoint_every=1, watch=Watch(step=stop), **NPR)
    again = train(data, tmp_path / "again", "npr", resume=True, **NPR)
    assert again.adapter_sha256 == whole.adapter_sha256
    # means and variances of batch normalisation are among what was kept
    held = load_file(tmp_path / "again" / ADAPTER_NAME)
    means = [tensor for name, tensor in held.items() if name.endswith("running_mean")]
    assert means
    assert all(tensor.any() for tensor in means)
    finished = train(data, tmp_path / "again", "npr", resume=True, **NPR)
    assert finished.as_dict() == again.as_dict()


def test_another_method_is_another_run(data: Path, tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        train(data, tmp_path / "m", "npr", watch=Watch(epoch=_stop), **NPR)
    with pytest.raises(UsageError, match="is not the"):
        train(data, tmp_path / "m", "cnnspot", resume=True, pretrained=False, **NPR)


def _stop(epoch: object) -> None:
    raise StoppedError


def test_folds_leave_batch_normalisation_as_it_began(data: Path, tmp_path: Path) -> None:
    plain = train(data, tmp_path / "plain", "npr", folds=2, **NPR)
    assert list(plain.metrics) == ["out of fold", "rates"]
    # the model itself is the one that is trained on the same images without folds
    recipe = make_recipe({"method": "npr", "batch_size": 8, "folds": 2, **NPR})
    split = split_data([find_samples(data)], recipe)
    alone = replace(recipe, folds=None)
    other = train_model(
        replace(split, validation=split.training), alone, tmp_path / "alone", RunOptions("cpu")
    )
    assert other.adapter_sha256 == plain.adapter_sha256


def test_a_body_begins_with_given_weights(data: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    classifier = timm.create_model("test_resnet", pretrained=False, num_classes=7)
    save_file(classifier.state_dict(), tmp_path / "imagenet.safetensors")
    found = find_pretrained("test_resnet", file=tmp_path / "imagenet.safetensors", offline=True, say=print)
    assert found is not None
    network = build_network(find_method("cnnspot"), {"size": 32, "network": "test_resnet"})
    network.begin_with(found.state)
    for name, tensor in network.body.state_dict().items():
        torch.testing.assert_close(tensor, classifier.state_dict()[name])
    card = train(data, tmp_path / "m", "cnnspot", weights=tmp_path / "imagenet.safetensors", **SPOT)
    digest = file_sha256(tmp_path / "imagenet.safetensors")
    assert card.data["begun with"] == f"test_resnet.r160_in1k (SHA-256 {digest})"
    assert not card.has_backbone


def test_without_weights_a_body_begins_with_random_ones_and_that_is_said(data: Path, tmp_path: Path) -> None:
    said: list[str] = []
    card = train(data, tmp_path / "m", "cnnspot", watch=Watch(warn=said.append), **SPOT)
    assert "no weights of test_resnet.r160_in1k are at hand" in said[0]
    assert card.data["begun with"] == "random weights"


def test_weights_of_another_network_are_refused(data: Path, tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="is missing or has another shape"):
        train(data, tmp_path / "m", "cnnspot", weights=tmp_path / "other.safetensors", **SPOT)
    (tmp_path / "text.safetensors").write_text("text")
    with pytest.raises(WeightsError, match="not a safetensors file"):
        train(data, tmp_path / "m", "cnnspot", weights=tmp_path / "text.safetensors", **SPOT)


def test_a_run_goes_on_from_a_model_of_the_method_alone(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "first", "npr", **NPR)
    initial = find_initial_model(str(tmp_path / "first"))
    card = train(data, tmp_path / "second", "npr", initial=initial, epochs=1)
    assert card.hyperparameters == initial.card.hyperparameters
    assert card.data["from"]["adapter"] == initial.card.adapter_sha256
    with pytest.raises(UsageError, match="which the run begins with"):
        initial.require_fit(make_recipe(initial.settings(), {"size": 64}))


def test_what_learns_from_whole_batches_learns_in_one_process(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="npr: learns from batches as a whole"):
        train(data, tmp_path / "m", "npr", group=Group(rank=0, size=2), **NPR)


def test_a_body_that_trains_has_no_head_to_fit(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="head_penalty: npr"):
        train(data, tmp_path / "m", "npr", head_penalty=0.1, **NPR)


def test_a_card_of_a_method_that_is_not_known_is_one_line(data: Path, tmp_path: Path) -> None:
    card = learn("freqdct", data, tmp_path / "m", size=16)
    assert card_digest(card) != card_digest(replace(card, hyperparameters={"size": 8}))
    write_card(tmp_path / "m", replace(card, method="later"))
    with pytest.raises(ModelError, match="'later' is none"):
        load_detector(tmp_path / "m", device="cpu")


def test_a_card_without_a_method_is_the_mixtures_and_has_the_digest_it_had() -> None:
    card = read_card(Path(__file__).resolve().parents[2] / "models" / "mole-vit-b16")
    assert card.method == "mole"
    told = card.as_dict()
    del told["method"], told["hyperparameters"]
    text = json.dumps(told, sort_keys=True, default=str)
    assert card_digest(card) == hashlib.sha256(text.encode()).hexdigest()


def test_a_heat_map_shows_what_each_part_says_as_a_view(data: Path, tmp_path: Path) -> None:
    learn("freqdct", data, tmp_path / "m", size=16)
    detector = load_detector(tmp_path / "m", device="cpu")
    pixels = texture(np.random.default_rng(3))
    heat = heatmap(detector, pixels)
    first = detector.logits([pixels[None, :16, :16]])[0]
    assert heat.relevance[0, 0] == pytest.approx(first * detector.card.calibration.slope, rel=1e-4)


def test_univfd_is_the_mixture_without_a_block(data: Path, tiny_weights: Path, tmp_path: Path) -> None:
    settings = {"backbone": "timm/test_vit", "epochs": 1, "copies": 1, "precision": "float32"}
    options: dict[str, Any] = {"weights": tiny_weights, **settings}
    card = train(data, tmp_path / "univfd", "univfd", **options)
    probe = train(data, tmp_path / "probe", "mole", blocks=0, augmentation=dict(HALF), **options)
    assert card.adapter_sha256 == probe.adapter_sha256
    assert (card.method, card.has_backbone, probe.method) == ("univfd", True, "mole")
    detector = load_detector(tmp_path / "univfd", device="cpu", weights=tiny_weights)
    assert detector.card.method == "univfd"


TINY: dict[str, Any] = {"size": 32, "network": "test_resnet", "pretrained": False, "epochs": 1}


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("freqdct", {"size": 32}),
        ("cooccurrence", {"size": 32, "levels": 16, "hidden": 4, "epochs": 1}),
        ("aeroblade", {"size": 32, "pretrained": False}),
        ("dire", TINY),
        ("lnp", TINY),
        ("lgrad", TINY),
    ],
)
def test_a_model_of_a_method_is_exported(
    method: str, settings: dict[str, Any], data: Path, instruments: dict[str, Path], tmp_path: Path
) -> None:
    card = learn(method, data, tmp_path / "m", instrument=instruments.get(method), **settings)
    network, found = load_network(
        tmp_path / "m", card, weights=None, offline=True, say=print, warn=pytest.fail
    )
    assert found is None
    assert export_model(network, card, tmp_path / "m.pt2", "torch") <= TOLERANCE


# --- what a method looks through ---------------------------------------------------------------------------

DIRE: dict[str, Any] = {**NPR, "pretrained": False}


def test_a_model_folder_holds_what_the_method_looks_through(data: Path, tmp_path: Path) -> None:
    write_averaging_pair(tmp_path / "pair", "mean")
    card = train(data, tmp_path / "first", "dire", instrument=tmp_path / "pair", **DIRE)
    digest = hashlib.sha256(
        b"".join(
            (tmp_path / "pair" / f"mean_{part}.safetensors").read_bytes() for part in ("encoder", "decoder")
        )
    ).hexdigest()
    assert card.data["instrument"] == {"name": "mean", "digest": digest}
    (tmp_path / "pair").rename(tmp_path / "gone")
    view = texture(np.random.default_rng(0))[:32, :32]
    (score,) = load_detector(tmp_path / "first", device="cpu").score(view)
    # a run that goes on from it looks through the same
    initial = find_initial_model(str(tmp_path / "first"))
    again = train(data, tmp_path / "second", "dire", initial=initial, epochs=1)
    assert again.data["instrument"] == card.data["instrument"]
    held = [load_file(tmp_path / name / ADAPTER_NAME) for name in ("first", "second")]
    frozen = [name for name in held[0] if name.startswith("instrument.")]
    assert frozen
    assert all(torch.equal(held[0][name], held[1][name]) for name in frozen)
    assert load_detector(tmp_path / "second", device="cpu").score(view) != [score]
    with pytest.raises(UsageError, match="which the run begins with, decides on it"):
        find_instrument("dire", initial, tmp_path / "gone")


def test_a_run_is_not_resumed_with_another_instrument(data: Path, tmp_path: Path) -> None:
    write_averaging_pair(tmp_path / "mean", "tae")
    write_pair(tmp_path / "random", "tae", seed=0)
    model = tmp_path / "m"
    with pytest.raises(StoppedError):
        train(data, model, "dire", watch=Watch(epoch=_stop), instrument=tmp_path / "mean", **DIRE)
    with pytest.raises(UsageError, match="was begun on other weights of its instrument"):
        train(data, model, "dire", resume=True, instrument=tmp_path / "random", **DIRE)
    train(data, model, "dire", resume=True, instrument=tmp_path / "mean", **DIRE)
    with pytest.raises(UsageError, match="was begun on other weights of its instrument"):
        train(data, model, "dire", resume=True, instrument=tmp_path / "random", **DIRE)


def test_what_is_kept_of_images_depends_on_the_instrument(tmp_path: Path) -> None:
    write_averaging_pair(tmp_path / "mean", "tae")
    write_pair(tmp_path / "random", "tae", seed=0)
    told = []
    for name in ("mean", "random"):
        found = find_instrument("dire", None, tmp_path / name)
        assert found is not None
        network = build_network(find_method("dire"), {"size": 32, "network": "test_resnet"}, found.state)
        told.append(network.frozen_settings())
    for blur in (True, False):  # which is no parameter
        write_discriminator(tmp_path / "d.safetensors", 32, blur=blur)
        found = find_instrument("lgrad", None, tmp_path / "d.safetensors")
        assert found is not None
        settings = {"size": 32, "network": "test_resnet"}
        told.append(build_network(find_method("lgrad"), settings, found.state).frozen_settings())
    assert len({each["frozen"] for each in told}) == 4
    assert "frozen" not in build_network(find_method("npr"), {"size": 32}).frozen_settings()


@pytest.mark.parametrize("method", ["aeroblade", "dire"])
def test_an_instrument_that_is_not_there_is_one_line_that_says_what_to_fetch(
    method: str, tmp_path: Path
) -> None:
    for place in (None, tmp_path / "none", tmp_path):
        with pytest.raises(UsageError, match=r"taesd_encoder\.safetensors") as caught:
            find_instrument(method, None, place)
        assert len(str(caught.value).splitlines()) == 1
    (tmp_path / "x_encoder.safetensors").write_text("text")
    (tmp_path / "x_decoder.safetensors").write_text("text")
    with pytest.raises(UsageError, match="are no pair of a tiny autoencoder"):
        find_instrument(method, None, tmp_path)
    with pytest.raises(UsageError, match="npr looks through no network of others"):
        find_instrument("npr", None, tmp_path)
    with pytest.raises(UsageError, match="mole looks through no network of others"):
        find_instrument("mole", None, tmp_path)


def test_a_damaged_instrument_in_a_model_folder_is_named(data: Path, tmp_path: Path) -> None:
    write_averaging_pair(tmp_path / "pair", "mean")
    card = train(data, tmp_path / "m", "dire", instrument=tmp_path / "pair", **DIRE)
    held = load_file(tmp_path / "m" / ADAPTER_NAME)
    del held["instrument.0.decoder.5.weight"]
    save_file(held, tmp_path / "m" / ADAPTER_NAME)
    digest = file_sha256(tmp_path / "m" / ADAPTER_NAME)
    write_card(tmp_path / "m", replace(card, adapter_sha256=digest))
    with pytest.raises(ModelError, match="no tiny autoencoder"):
        load_detector(tmp_path / "m", device="cpu")
