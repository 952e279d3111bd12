"""What ``aigdetect train`` says of data, recipes and disks that are no good."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from command_forks import Done, Forks
from PIL import Image

from aigdetect.data.layouts import find_samples
from aigdetect.errors import UsageError
from aigdetect.locks import alone_in
from aigdetect.training.partition import split_data
from aigdetect.training.recipe import RunOptions, make_recipe
from aigdetect.training.train_model import train_model

RECIPE = {"backbone": "timm/test_vit", "blocks": 1, "epochs": 1}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for kind in ("real", "fake"):
        folder = tmp_path / "data" / kind
        folder.mkdir(parents=True)
        for index in range(12):
            pixels = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{index}.png")
    return tmp_path


def train(forks: Forks, work: Path, weights: Path, *more: object, limit: int | None = None) -> Done:
    arguments = ["--data", "data", "--out", "m", "--backbone", "timm/test_vit", "--weights", weights]
    device = ["--device", "cpu", "--epochs", "1", "--blocks", "1", "-q"]
    return forks.run("train", *arguments, *device, *more, cwd=work, largest_file=limit)


def refused(done: Done) -> str:
    """The one line that is said when nothing can be done."""
    assert done.status == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def test_an_empty_folder(forks: Forks, work: Path, tiny_weights: Path) -> None:
    shutil.rmtree(work / "data")
    (work / "data").mkdir()
    assert "no images" in refused(train(forks, work, tiny_weights))
    assert not (work / "m").exists()


def test_one_class_only(forks: Forks, work: Path, tiny_weights: Path) -> None:
    shutil.rmtree(work / "data" / "fake")
    assert "only real images" in refused(train(forks, work, tiny_weights))


def test_a_folder_of_text_files(forks: Forks, work: Path, tiny_weights: Path) -> None:
    for path in (work / "data").rglob("*.png"):
        path.with_suffix(".txt").write_text("no image")
        path.unlink()
    assert "no images" in refused(train(forks, work, tiny_weights))


def test_a_corrupt_image_among_good_ones_is_named(forks: Forks, work: Path, tiny_weights: Path) -> None:
    broken = work / "data" / "real" / "7.png"
    broken.write_bytes(broken.read_bytes()[:300])
    for cache in ("memory", "none"):
        done = train(forks, work, tiny_weights, "--cache", cache, "--out", cache, "--epochs", "3")
        assert (done.status, done.stdout) == (1, f"{cache}\n")
        assert (work / cache / "model.yaml").exists()
    loud = forks.run(
        *("train", "--data", "data", "--out", "loud", "--blocks", "1", "--epochs", "2", "--cache", "none"),
        *("--backbone", "timm/test_vit", "--weights", tiny_weights, "--device", "cpu"),
        cwd=work,
    )
    assert loud.status == 1
    assert loud.stderr.count("7.png") == 1
    assert "images that could not be read and were left out: 1" in loud.stderr


def test_too_many_corrupt_images(forks: Forks, work: Path, tiny_weights: Path) -> None:
    for index in range(4):
        (work / "data" / "real" / f"{index}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes([index]))
    said = refused(train(forks, work, tiny_weights))
    assert "more than 5% of" in said
    assert ".png" in said


def test_copies_and_images_in_both_classes_are_named(forks: Forks, work: Path, tiny_weights: Path) -> None:
    data = work / "data"
    shutil.copy(data / "real/3.png", data / "real/again.png")
    shutil.copy(data / "real/4.png", data / "fake/none.png")
    arguments = ("--data", "data", "--out", "m", "--backbone", "timm/test_vit", "--weights", tiny_weights)
    done = forks.run("train", *arguments, "--device", "cpu", "--epochs", "1", "--blocks", "1", cwd=work)
    assert done.status == 0, done.stderr
    assert "copies of other images left out: 1, such as data/real/again.png of data/real/3.png" in done.stderr
    for name in ("real/4.png", "fake/none.png"):
        assert f"left out: data/{name}: its content is given both as real and as generated" in done.stderr
    assert "training on 19 images, 4 held out" in done.stderr
    for index in range(4):
        shutil.copy(data / f"real/{index}.png", data / f"fake/{100 + index}.png")
    said = refused(train(forks, work, tiny_weights, "--out", "many"))
    assert "11 of 30 images are given both as real and as generated, such as data/real/0.png and" in said


def test_data_to_validate_on_shares_no_image(forks: Forks, work: Path, tiny_weights: Path) -> None:
    shutil.copytree(work / "data", work / "own")
    for kind in ("real", "fake"):
        for index in range(6):
            (work / "own" / kind / f"{index}.png").unlink()
    arguments = ("--data", "data", "--validation-data", "own", "--out", "m", "--weights", tiny_weights)
    rest = ("--backbone", "timm/test_vit", "--device", "cpu", "--epochs", "1", "--blocks", "1")
    done = forks.run("train", *arguments, *rest, cwd=work)
    assert done.status == 0, done.stderr
    assert "left out of training: 12 images that are among those to validate on, too, such as " in done.stderr
    assert "training on 12 images, 12 held out" in done.stderr
    assert "24 images, " in done.stderr  # the estimate
    assert "kept in memory" in done.stderr
    refusal = train(forks, work, tiny_weights, "--validation-data", "own", "--folds", "2", "--out", "n")
    assert "folds: with them the model is calibrated on the images that it learns from" in refused(refusal)


@pytest.mark.parametrize(
    ("limit", "more", "named"),
    [
        (2_000, [], "m/checkpoint-next.safetensors: cannot be written (File too large)"),
        (200_000, ["--cache", "disk"], "do not fit into m/.tokens (File too large); use fewer copies"),
        (30_000, ["--shared-rank", "1", "--expert-ranks", "none"], "curves.png: cannot be written"),
    ],
)
def test_a_full_disk(
    forks: Forks, work: Path, tiny_weights: Path, limit: int, more: list[str], named: str
) -> None:
    assert named in refused(train(forks, work, tiny_weights, *more, limit=limit))
    assert not list((work / "m").glob(".*"))


@pytest.mark.parametrize(
    ("recipe", "named"),
    [
        ("a: [", "recipe.yaml: not valid YAML"),
        ("- 1", "recipe.yaml: not a mapping of settings to values"),
        ("epoch: 3", "epoch: unknown setting"),
        ("lr: -0.1", "lr: -0.1 is not a number above 0"),
        ("lr: .inf", "lr: inf is not a number above 0"),
        ("expert_ranks: [4, 0]", "expert_ranks: [4, 0] holds a rank below 1"),
        ("keep: first", "keep: 'first' is none of last, best"),
        ("accumulate: 33", "accumulate: 33 is more than the 32 images of a step"),
        ("samples_per_class: 100", "samples_per_class: 100 is more than the 10 real training images"),
        ("{cache: disk, cache_budget: 1000}", "cache_budget: 0.0 GiB are fewer than"),
    ],
)
def test_a_wrong_recipe(forks: Forks, work: Path, tiny_weights: Path, recipe: str, named: str) -> None:
    (work / "recipe.yaml").write_text(recipe)
    assert named in refused(train(forks, work, tiny_weights, "--config", "recipe.yaml"))


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--blocks", "99"], "blocks: 99 is more than the"),
        (["--cache-budget", "much"], "--cache-budget: 'much' is not a size"),
        (
            ["--cache-folder", "t", "--cache", "memory"],
            "t: nothing is kept in a folder with",
        ),
        (["--seed", str(10**23)], "seed: 100000000000000000000000 is above"),
        (["--lr", "1e30", "--epochs", "9"], "the run has diverged"),
    ],
)
def test_options_that_cannot_be(
    forks: Forks, work: Path, tiny_weights: Path, more: list[str], named: str
) -> None:
    assert named in refused(train(forks, work, tiny_weights, *more))


def test_an_impossible_adapter_is_said_before_a_long_look_at_the_data(
    forks: Forks, work: Path, tiny_weights: Path
) -> None:
    done = train(forks, work, tiny_weights, "--expert-ranks", "0", "--data", "none")
    assert "expert_ranks: [0] holds a rank below 1" in refused(done)


@pytest.mark.parametrize("more", [[], ["--force"], ["--resume"]])
def test_a_folder_that_another_run_is_writing_into(
    forks: Forks, work: Path, tiny_weights: Path, more: list[str]
) -> None:
    (work / "m").mkdir()
    with alone_in(work / "m"):
        assert "m: another run is writing into it" in refused(train(forks, work, tiny_weights, *more))
    assert not list((work / "m").iterdir())


def test_a_run_that_starts_while_another_one_looks_at_its_data(work: Path, tiny_weights: Path) -> None:
    split = split_data([find_samples(work / "data")], make_recipe(RECIPE))
    (work / "m").mkdir()
    with alone_in(work / "m"), pytest.raises(UsageError, match="another run is writing into it"):
        train_model(split, make_recipe(RECIPE), work / "m", RunOptions("cpu", tiny_weights))
