from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile, get_sampling
from tiny_pairs import write_pair

from aigdetect.data.dataset import Reading, Unreadable
from aigdetect.data.layouts import Sample
from aigdetect.errors import DataError
from aigdetect.training import autoencoder
from aigdetect.training.recipe import UPSAMPLINGS
from aigdetect.training.reconstructions import list_reconstructions, make_reconstructions


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autoencoder, "_WIDTHS", (8, 16, 24))


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autoencoder, "_STEPS", 4)


def photographs(folder: Path, count: int, side: int = 160) -> list[Sample]:
    folder.mkdir()
    made = []
    for index in range(count):
        noise = np.random.default_rng(index).normal(size=(side // 8, side // 8, 3))
        pixels = np.uint8(255 * (noise - noise.min()) / np.ptp(noise))
        path = folder / f"{index}.png"
        Image.fromarray(pixels).resize((side + 20, side), Image.Resampling.BICUBIC).save(path)
        made.append(Sample(str(path), int(index % 3 == 2), "source", root=str(folder)))
    return made


def make(
    samples: list[Sample], folder: Path, seed: int = 0, count: int = 3, ways: Sequence[str] = UPSAMPLINGS
) -> list[tuple[str, bytes]]:
    reading = Reading("real", Unreadable(100), 1, lambda text: None)
    make_reconstructions(samples, folder, ways, count=count, seed=seed, reading=reading)
    made = list_reconstructions(samples, folder, ways, count=count, seed=seed)
    return [(each.parent.path, Path(each.sample.path).read_bytes()) for each in made]


@pytest.mark.usefixtures("short")
def test_real_images_come_back_as_generated_ones_of_their_size(tmp_path: Path) -> None:
    samples = photographs(tmp_path / "in", 9)
    folder = tmp_path / "out"
    first = make(samples, folder)
    made = list_reconstructions(samples, folder, UPSAMPLINGS, count=3, seed=0)
    assert [each.sample.generator for each in made] == ["autoencoder_transposed"] * 3 + [
        "autoencoder_shuffle"
    ] * 3
    for each in made:
        assert each.sample.label == 1
        assert each.parent.label == 0
        with Image.open(each.sample.path) as image:
            assert image.size == (160, 160)
    assert make(samples, tmp_path / "again") == first
    assert make(samples, tmp_path / "other", seed=1) != first


@pytest.mark.usefixtures("short")
def test_what_is_finished_is_not_made_again(tmp_path: Path) -> None:
    samples = photographs(tmp_path / "in", 9)
    make(samples, tmp_path / "out")
    changed = next((tmp_path / "out").glob("*.image"))
    changed.write_bytes(b"as it was")
    assert b"as it was" in [data for _, data in make(samples, tmp_path / "out")]


@pytest.mark.usefixtures("short")
def test_images_of_the_same_name_in_several_data_sets_all_come_back(tmp_path: Path) -> None:
    samples = [*photographs(tmp_path / "one", 6), *photographs(tmp_path / "two", 6, side=170)]
    reals = [sample.path for sample in samples if not sample.label]
    made = make(samples, tmp_path / "out", count=8)
    assert sorted(parent for parent, _ in made) == sorted(2 * reals)
    assert len({data for _, data in made}) == 16


@pytest.mark.usefixtures("short")
def test_what_was_made_for_another_order_does_not_count(tmp_path: Path) -> None:
    samples = photographs(tmp_path / "in", 9)
    few = make(samples, tmp_path / "out", count=2)
    assert len(few) == 4
    more = make(samples, tmp_path / "out", count=5)
    assert more == make(samples, tmp_path / "anew", count=5)
    assert make(samples, tmp_path / "out", count=2) == few
    others = photographs(tmp_path / "others", 9, side=170)
    assert make(others, tmp_path / "out", count=2) != few


@pytest.mark.usefixtures("short")
def test_an_unreadable_image_is_left_out(tmp_path: Path) -> None:
    samples = photographs(tmp_path / "in", 9)
    Path(samples[0].path).write_bytes(b"no image")
    parents = [parent for parent, _ in make(samples, tmp_path / "out", count=9)]
    assert len(parents) == 2 * 5
    assert samples[0].path not in parents


def test_a_folder_of_decoders_gives_whole_images_and_crops_back(tmp_path: Path) -> None:
    samples = photographs(tmp_path / "in", 9, side=320)
    write_pair(tmp_path / "decoders", "tae", seed=0)
    write_pair(tmp_path / "decoders", "taf", seed=1)
    ways = [str(tmp_path / "decoders")]
    first = make(samples, tmp_path / "out", count=6, ways=ways)
    made = list_reconstructions(samples, tmp_path / "out", ways, count=6, seed=0)
    assert [each.sample.generator for each in made] == ["autoencoder_tae"] * 6 + ["autoencoder_taf"] * 6
    sizes = set()
    for each in made:
        with Image.open(each.sample.path) as image:
            sizes.add(image.size)
    assert len(sizes) > 3
    assert all(side % 8 == 0 and 160 <= side <= 340 for size in sizes for side in size)
    assert make(samples, tmp_path / "again", count=6, ways=ways) == first
    # other weights under the same name are another way
    write_pair(tmp_path / "decoders", "tae", seed=2)
    assert list_reconstructions(samples, tmp_path / "out", ways, count=6, seed=0) == made[6:]


def test_what_comes_back_is_encoded_as_its_parent_was(tmp_path: Path) -> None:
    samples = photographs(tmp_path / "in", 3)
    for sample, (quality, subsampling) in zip(samples, [(60, 2), (93, 0)], strict=False):
        with Image.open(sample.path) as image:
            image.save(sample.path, "JPEG", quality=quality, subsampling=subsampling)
    write_pair(tmp_path / "decoders", "tae", seed=0)
    ways = [str(tmp_path / "decoders")]
    make(samples, tmp_path / "out", ways=ways)
    made = list_reconstructions(samples, tmp_path / "out", ways, count=3, seed=0)
    assert len(made) == 2
    for each in made:
        with Image.open(each.sample.path) as image, Image.open(each.parent.path) as parent:
            assert isinstance(image, JpegImageFile)
            assert isinstance(parent, JpegImageFile)
            assert image.quantization == parent.quantization
            assert get_sampling(image) == get_sampling(parent)


def test_a_jpeg_may_number_its_tables_as_it_likes(tmp_path: Path) -> None:
    samples = photographs(tmp_path / "in", 1)
    with Image.open(samples[0].path) as image:
        image.convert("L").save(samples[0].path, "JPEG", quality=60)
    data = bytearray(Path(samples[0].path).read_bytes())
    data[data.index(b"\xff\xdb") + 4] = 1  # the table's number, and what the one component asks for
    data[data.index(b"\xff\xc0") + 12] = 1
    Path(samples[0].path).write_bytes(data)
    write_pair(tmp_path / "decoders", "tae", seed=0)
    ((_, made),) = make(samples, tmp_path / "out", ways=[str(tmp_path / "decoders")])
    with Image.open(io.BytesIO(made)) as image, Image.open(samples[0].path) as parent:
        assert isinstance(image, JpegImageFile)
        assert isinstance(parent, JpegImageFile)
        assert list(parent.quantization) == [1]
        assert image.quantization == {0: parent.quantization[1]}


def test_a_way_that_is_named_twice_is_one(tmp_path: Path) -> None:
    samples = photographs(tmp_path / "in", 3, side=320)
    write_pair(tmp_path / "decoders", "tae", seed=0)
    way = str(tmp_path / "decoders")
    once = make(samples, tmp_path / "once", ways=[way])
    assert make(samples, tmp_path / "twice", ways=[way, way]) == once


def test_of_a_strip_no_more_is_taken_than_a_decoder_can_bear(tmp_path: Path) -> None:
    samples = photographs(tmp_path / "in", 6)
    for sample in samples:
        with Image.open(sample.path) as image:
            image.resize((9000, 40)).save(sample.path)
    write_pair(tmp_path / "decoders", "tae", seed=0)
    made = make(samples, tmp_path / "out", count=6, ways=[str(tmp_path / "decoders")])
    widths = [Image.open(io.BytesIO(data)).width for _, data in made]
    assert len(widths) == 4
    assert max(widths) == 4 * 448


def test_images_too_small_to_learn_from_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no real training image has sides of 128 pixels"):
        make(photographs(tmp_path / "in", 3, side=64), tmp_path / "out")


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
def test_an_autoencoder_learns_to_give_an_image_back(
    upsampling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autoencoder, "_STEPS", 60)
    ramp = np.linspace(0, 255, 128)
    crops = np.stack([np.broadcast_to(ramp[:, None, None], (128, 128, 3))] * 2).astype(np.uint8)
    used: list[int] = []
    network = autoencoder.fit_autoencoder(crops, upsampling, seed=0, advance=used.append)
    untrained = autoencoder.Autoencoder(upsampling)
    errors = [
        np.abs(each.reconstruct(crops[0]).astype(float) - crops[0]).mean() for each in (network, untrained)
    ]
    assert errors[0] < 0.5 * errors[1]
    assert sum(used) == autoencoder.crops_used() == 480
