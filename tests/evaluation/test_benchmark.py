"""A tree for each layout of the field, from files to the sets of a benchmark."""

from __future__ import annotations

from pathlib import Path

import pytest

from aigdetect.data.layouts import find_samples
from aigdetect.errors import DataError
from aigdetect.evaluation.benchmark import Benchmark, build_benchmark, describe_data, take_split
from aigdetect.evaluation.families import read_families
from aigdetect.evaluation.protocols import PROTOCOLS
from aigdetect.evaluation.results import BenchmarkSet


def plant(root: Path, folders: dict[str, int], ending: str = "png") -> Path:
    """Files that are images by their names; nothing here decodes them."""
    for folder, count in folders.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            (root / folder / f"{index}.{ending}").write_bytes(b"x")
    return root


def build(*roots: Path, per_class: int | None = None, seed: int = 0) -> Benchmark:
    data = [take_split(find_samples(root), PROTOCOLS["ours"].splits) for root in roots]
    return build_benchmark(data, read_families(), per_class=per_class, seed=seed)


def told(benchmark: Benchmark) -> list[tuple[str, str, int, int, str]]:
    """Name, family, real and generated images, and where the real ones are from."""
    return [(s.name, s.family, len(s.real), len(s.generated), s.reals) for s in benchmark.sets]


def paths(benchmark: Benchmark, places: tuple[int, ...], root: Path) -> list[str]:
    return [str(Path(benchmark.images[place].path).relative_to(root)) for place in places]


def test_an_image_given_in_both_classes_is_refused(tmp_path: Path) -> None:
    plant(tmp_path / "data", {"real": 2, "fake/gan": 2})
    for label in (0, 1):
        rows = f"path,label\ndata/real/0.png,{label}\ndata/fake/gan/{label}.png,1\n"
        (tmp_path / f"{label}.csv").write_text(rows)
    with pytest.raises(DataError, match=r"real/0.png: is given both as real and as generated; give it once"):
        build(tmp_path / "0.csv", tmp_path / "1.csv")


# -- layouts ------------------------------------------------------------------------------------------------


def test_cnndetection_pools_nested_classes(tmp_path: Path) -> None:
    root = plant(
        tmp_path / "test",
        {
            "progan/cat/0_real": 2,
            "progan/cat/1_fake": 3,
            "progan/dog/0_real": 1,
            "progan/dog/1_fake": 1,
            "biggan/0_real": 2,
            "biggan/1_fake": 1,
            "crn/0_real": 1,
            "crn/1_fake": 1,
        },
    )
    benchmark = build(root)
    assert told(benchmark) == [
        ("ProGAN", "GAN", 3, 4, "own"),
        ("BigGAN", "GAN", 2, 1, "own"),
        ("CRN", "perceptual loss", 1, 1, "own"),
    ]
    progan = benchmark.sets[0]
    assert paths(benchmark, progan.real, root) == [
        "progan/cat/0_real/0.png",
        "progan/cat/0_real/1.png",
        "progan/dog/0_real/0.png",
    ]


def test_univfd_shares_reals_and_pairs_them_as_its_code_does(tmp_path: Path) -> None:
    root = plant(
        tmp_path / "diffusion_datasets",
        {
            "imagenet/0_real": 2,
            "laion/0_real": 3,
            "guided/1_fake": 4,
            "ldm_200/1_fake": 1,
            "ldm_200_cfg/1_fake": 1,
            "glide_100_27/1_fake": 1,
            "dalle/1_fake": 2,
        },
    )
    assert told(build(root)) == [
        ("Guided", "diffusion", 2, 4, "imagenet"),
        ("LDM 200 steps", "diffusion", 3, 1, "laion"),
        ("LDM 200 steps with CFG", "diffusion", 3, 1, "laion"),
        ("GLIDE 100-27", "diffusion", 3, 1, "laion"),
        ("DALL-E", "autoregressive", 3, 2, "laion"),
    ]


@pytest.mark.parametrize("level", ["", "imagenet_ai_0419_sdv4/"])
def test_genimage_takes_the_validation_split(tmp_path: Path, level: str) -> None:
    root = plant(
        tmp_path / "GenImage",
        {
            f"stable_diffusion_v_1_4/{level}train/ai": 5,
            f"stable_diffusion_v_1_4/{level}train/nature": 5,
            f"stable_diffusion_v_1_4/{level}val/ai": 2,
            f"stable_diffusion_v_1_4/{level}val/nature": 3,
        },
    )
    plant(root, {"ADM/val/ai": 1, "ADM/val/nature": 1}, ending="PNG")
    benchmark = build(root)
    assert told(benchmark) == [
        ("ADM", "diffusion", 1, 1, "own"),
        ("Stable Diffusion 1.4", "diffusion", 3, 2, "own"),
    ]
    assert {each.layout for each in benchmark.sets} == {"GenImage ai/nature"}


def test_dalle2_in_a_root_of_its_own(tmp_path: Path) -> None:
    root = plant(tmp_path / "dalle2", {"0_real": 2, "1_fake": 3})
    assert told(build(root)) == [("DALL-E 2", "diffusion", 2, 3, "own")]


def test_real_and_fake_folders_by_source(tmp_path: Path) -> None:
    root = plant(tmp_path / "x", {"real/coco": 2, "real/art": 1, "fake/kolors": 1, "fake/minDALL_E": 2})
    assert told(build(root)) == [
        ("Kolors", "diffusion", 3, 1, "art, coco"),
        ("minDALL-E", "autoregressive", 3, 2, "art, coco"),
    ]


def test_a_csv(tmp_path: Path) -> None:
    plant(tmp_path, {"a": 3})
    table = tmp_path / "list.csv"
    table.write_text("path,label,generator\na/0.png,1,Midjourney\na/1.png,0,photos\na/2.png,real,photos\n")
    assert told(build(table)) == [("Midjourney", "diffusion", 2, 1, "photos")]


# -- what disks hold ----------------------------------------------------------------------------------------


def test_dot_files_upper_case_and_empty_files(tmp_path: Path) -> None:
    root = plant(tmp_path / "t", {"biggan/0_real": 1, "biggan/1_fake": 1}, ending="PNG")
    (root / ".DS_Store").write_bytes(b"x")
    (root / "biggan" / ".DS_Store").write_bytes(b"x")
    (root / "biggan" / "1_fake" / "empty.png").write_bytes(b"")
    (root / "biggan" / "1_fake" / "a.b.JPG").write_bytes(b"x")
    (root / "biggan" / "notes.txt").write_text("notes")
    assert told(build(root)) == [("BigGAN", "GAN", 1, 2, "own")]
    found = describe_data(find_samples(root))
    assert found.counts == (("biggan", 1, 2),)
    assert found.ignored == "1 not images, 1 empty"


def test_a_missing_side_is_not_filled_from_another_generator(tmp_path: Path) -> None:
    root = plant(
        tmp_path / "g",
        {"Midjourney/val/ai": 2, "Midjourney/val/nature": 2, "VQDM/val/ai": 3, "wukong/val/nature": 1},
    )
    # wukong's folder holds real images alone: they are shared with what has none
    assert told(build(root)) == [
        ("Midjourney", "diffusion", 2, 2, "own"),
        ("VQDM", "diffusion", 1, 3, "wukong"),
    ]
    other = plant(tmp_path / "h", {"Midjourney/ai": 2, "Midjourney/nature": 2, "VQDM/ai": 3})
    assert told(build(other)) == [
        ("Midjourney", "diffusion", 2, 2, "own"),
        ("VQDM", "diffusion", 0, 3, ""),
    ]


def test_real_images_alone_are_sets_by_source(tmp_path: Path) -> None:
    root = plant(tmp_path / "news", {"real/agency": 2, "real/readers": 1})
    assert told(build(root)) == [("agency", "real", 2, 0, "own"), ("readers", "real", 1, 0, "own")]
    assert {image.family for image in build(root).images} == {""}


# -- several roots ------------------------------------------------------------------------------------------


def test_reals_in_another_root(tmp_path: Path) -> None:
    real = plant(tmp_path / "photos" / "real", {"coco": 2}).parent
    fake = plant(tmp_path / "made" / "fake", {"kolors": 1}).parent
    assert told(build(fake, real)) == [("Kolors", "diffusion", 2, 1, "coco")]


def test_one_generator_in_two_roots_is_two_sets(tmp_path: Path) -> None:
    ours = plant(tmp_path / "one", {"biggan/0_real": 1, "biggan/1_fake": 2})
    genimage = plant(tmp_path / "two", {"BigGAN/val/ai": 3, "BigGAN/val/nature": 4})
    assert told(build(ours, genimage)) == [
        ("BigGAN (BigGAN)", "GAN", 4, 3, "own"),
        ("BigGAN (biggan)", "GAN", 1, 2, "own"),
    ]
    twice = build(ours, plant(tmp_path / "three", {"biggan/0_real": 1, "biggan/1_fake": 1}))
    names = [each.name for each in twice.sets]
    assert len(set(names)) == 2
    assert all(name.startswith("BigGAN (") and "biggan)" in name for name in names)


def test_an_image_in_two_roots_is_scored_once(tmp_path: Path) -> None:
    root = plant(tmp_path / "t", {"biggan/0_real": 2, "biggan/1_fake": 2})
    assert len(build(root, root).images) == 4


# -- limits -------------------------------------------------------------------------------------------------


def members(benchmark: Benchmark, each: BenchmarkSet, root: Path) -> tuple[list[str], list[str]]:
    return paths(benchmark, each.real, root), paths(benchmark, each.generated, root)


def test_limits_draw_by_seed_and_share_what_is_shared(tmp_path: Path) -> None:
    root = plant(tmp_path / "t", {"real/laion": 30, "fake/ldm_200": 25, "fake/dalle": 5})
    first = build(root, per_class=10)
    assert [(len(s.real), len(s.generated), s.left_out) for s in first.sets] == [(10, 10, 35), (10, 5, 20)]
    assert first.sets[0].real == first.sets[1].real
    assert len(first.images) == 25
    moved = tmp_path / "elsewhere"
    root.rename(moved)
    again = build(moved, per_class=10)
    assert [members(again, s, moved) for s in again.sets] == [members(first, s, root) for s in first.sets]
    other = build(moved, per_class=10, seed=1)
    assert members(other, other.sets[0], moved) != members(again, again.sets[0], moved)
