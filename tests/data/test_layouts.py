from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from aigdetect.data.layouts import (
    DataSet,
    GeneratorCount,
    Ignored,
    Sample,
    count_by_generator,
    find_samples,
    require_both_classes,
)
from aigdetect.errors import DataError, UsageError

LSUN = """airplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person
pottedplant sheep sofa train tvmonitor"""


def plant(root: Path, *names: str) -> Path:
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    return root


def told(data: DataSet) -> list[str]:
    """One word per image: key, class, generator and split."""
    return [
        f"{s.key} {'ai' if s.label else 'real'} {s.generator}{' ' + s.split if s.split else ''}"
        for s in data.samples
    ]


def generators(samples: Iterable[Sample]) -> set[tuple[str, int]]:
    return {(s.generator, s.label) for s in samples}


# 0_real and 1_fake


def test_generators_under_the_root_with_and_without_classes(tmp_path: Path) -> None:
    root = plant(
        tmp_path / "test",
        "biggan/0_real/1.png",
        "biggan/1_fake/2.png",
        "stylegan/car/0_real/3.png",
        "stylegan/car/1_fake/4.png",
        "stylegan/bedroom/1_fake/5.png",
    )
    data = find_samples(root)
    assert data.kind == "0_real/1_fake folders"
    assert told(data) == [
        "biggan/0_real/1.png real biggan",
        "biggan/1_fake/2.png ai biggan",
        "stylegan/bedroom/1_fake/5.png ai stylegan",
        "stylegan/car/0_real/3.png real stylegan",
        "stylegan/car/1_fake/4.png ai stylegan",
    ]
    assert all(Path(s.path).is_file() for s in data.samples)


def test_paths_begin_with_the_root_as_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, "set/0_real/1.png")
    monkeypatch.chdir(tmp_path)
    for root in ("set", "./set", "set/", "set//"):
        (sample,) = find_samples(root).samples
        assert sample.path.startswith(root)
        assert sample.key == "0_real/1.png"
    monkeypatch.chdir(tmp_path / "set")
    (sample,) = find_samples(".").samples
    assert (sample.key, sample.generator) == ("0_real/1.png", "set")


@pytest.mark.parametrize("above", ["train", "train/progan", "progan_train", "datasets/train/progan"])
def test_training_tree_of_cnndetection_is_progan(tmp_path: Path, above: str) -> None:
    root = plant(
        tmp_path / "CNNDetection",
        *(f"{above}/{name}/{side}/1.png" for name in LSUN.split() for side in ("0_real", "1_fake")),
    )
    data = find_samples(root)
    assert len(data.samples) == 40
    assert generators(data.samples) == {("progan", 0), ("progan", 1)}
    assert data.splits == ("train",)


def test_training_tree_pointed_at_directly(tmp_path: Path) -> None:
    root = plant(tmp_path, "CNN/train/cat/0_real/1.png", "CNN/train/cat/1_fake/1.png")
    for place in ("CNN", "CNN/train", "CNN/train/cat"):
        assert generators(find_samples(root / place).samples) == {("progan", 0), ("progan", 1)}, place


def test_train_and_val_of_cnndetection(tmp_path: Path) -> None:
    root = plant(tmp_path, "train/cat/0_real/1.png", "val/train/1_fake/2.png", "val/dog/1_fake/3.png")
    assert told(find_samples(root)) == [
        "train/cat/0_real/1.png real progan train",
        "val/dog/1_fake/3.png ai progan val",
        "val/train/1_fake/2.png ai progan val",
    ]


def test_the_class_named_train_is_no_split(tmp_path: Path) -> None:
    root = plant(tmp_path / "progan", "train/0_real/1.png", "cat/1_fake/2.png")
    assert told(find_samples(root)) == ["cat/1_fake/2.png ai progan", "train/0_real/1.png real progan"]


def test_pointing_at_one_generator_names_it(tmp_path: Path) -> None:
    root = plant(
        tmp_path,
        "test/stylegan/car/0_real/1.png",
        "test/cyclegan/horse/1_fake/1.png",
        "test/biggan/1_fake/1.png",
    )
    for name in ("stylegan", "cyclegan", "biggan"):
        (sample,) = find_samples(root / "test" / name).samples
        assert sample.generator == name


def test_another_generator_in_a_train_tree_keeps_its_name(tmp_path: Path) -> None:
    root = plant(tmp_path, "train/stylegan3/cat/1_fake/1.png", "sd15/train/cat/1_fake/1.png")
    assert generators(find_samples(root).samples) == {("stylegan3", 1), ("sd15", 1)}


def test_mirror_names(tmp_path: Path) -> None:
    root = plant(
        tmp_path,
        "progan_train/horse/0_real/1.png",
        "progan_val/horse/1_fake/1.png",
        "CNN_synth_testset/san/1_fake/1.png",
    )
    assert told(find_samples(root)) == [
        "CNN_synth_testset/san/1_fake/1.png ai san test",
        "progan_train/horse/0_real/1.png real progan train",
        "progan_val/horse/1_fake/1.png ai progan val",
    ]


@pytest.mark.parametrize("above", ["", "diffusion_datasets/"])
def test_reals_shared_between_generators(tmp_path: Path, above: str) -> None:
    names = ["imagenet/0_real", "laion/0_real", "guided/1_fake", "ldm_200_cfg/1_fake", "dalle/1_fake"]
    data = find_samples(plant(tmp_path, *(f"{above}{name}/1.png" for name in names)))
    assert generators(data.samples) == {
        ("imagenet", 0), ("laion", 0), ("guided", 1), ("ldm_200_cfg", 1), ("dalle", 1)
    }  # fmt: skip


def test_generator_named_by_a_word_for_a_class(tmp_path: Path) -> None:
    root = plant(tmp_path, "deepfake/0_real/1.png", "deepfake/1_fake/2.png", "gan/1_fake/2.png")
    assert generators(find_samples(root).samples) == {("deepfake", 0), ("deepfake", 1), ("gan", 1)}


# GenImage


def test_genimage_as_documented_and_as_extracted(tmp_path: Path) -> None:
    root = plant(
        tmp_path / "GenImage",
        "Midjourney/train/ai/1_midjourney_2.png",
        "Midjourney/val/nature/ILSVRC2012_val_1.JPEG",
        "stable_diffusion_v_1_4/imagenet_ai_0419_sdv4/train/ai/033_sdv4_00152.png",
        "stable_diffusion_v_1_4/imagenet_ai_0419_sdv4/train/nature/n01440764_1.JPEG",
        "ADM/imagenet_ai_0508_adm/val/ai/375_adm_64.PNG",
    )
    data = find_samples(root)
    assert data.kind == "GenImage ai/nature"
    assert [line.split(maxsplit=1)[1] for line in told(data)] == [
        "ai ADM val",
        "ai Midjourney train",
        "real Midjourney val",
        "ai stable_diffusion_v_1_4 train",
        "real stable_diffusion_v_1_4 train",
    ]
    assert data.splits == ("train", "val")
    assert {s.split for s in find_samples(root, split="train").samples} == {"train"}


@pytest.mark.parametrize(
    ("root", "level"),
    [
        ("sdv4", "train/ai"),
        ("sdv4", "imagenet_ai_0419_sdv4/train/ai"),
        ("sdv4/train", "ai"),
        ("sdv4/imagenet_ai_0419_sdv4/train", "ai"),
        ("sdv4", "imagenet_ai/val/ai"),
    ],
)
def test_genimage_pointed_at_one_generator(tmp_path: Path, root: str, level: str) -> None:
    plant(tmp_path / root, f"{level}/1.png")
    (sample,) = find_samples(tmp_path / root).samples
    assert (sample.generator, sample.label) == ("sdv4", 1)


# real and fake


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["real/coco/1.jpg", "fake/sd1/2.webp"], {("coco", 0), ("sd1", 1)}),
        (["sd1/real/1.jpg", "sd1/fake/2.jpg", "dalle/fake/3.jpg"], {("sd1", 0), ("sd1", 1), ("dalle", 1)}),
        (["REAL/1.jpg", "FAKE/2.jpg"], {("mine", 0), ("mine", 1)}),
        (["train/REAL/1.jpg", "test/FAKE/2.jpg"], {("mine", 0), ("mine", 1)}),
        (["Photos/1.jpg", "AI-generated/flux/2.jpg"], {("mine", 0), ("flux", 1)}),
        (["0/1.jpg", "1/2.jpg"], {("mine", 0), ("mine", 1)}),
        (["sd1/0/1.jpg", "sd1/1/2.jpg"], {("sd1", 0), ("sd1", 1)}),
        (["real/images/cat/1.jpg", "fake/cat/2.jpg"], {("mine", 0), ("mine", 1)}),
        (["real/photos/1.jpg", "fake/photo/2.jpg"], {("photos", 0), ("photo", 1)}),
        (["nature/coco/1.jpg", "ai/FLUX.1-dev/2.jpg"], {("coco", 0), ("FLUX.1-dev", 1)}),
        (["fake/0/1.jpg", "fake/1/2.jpg", "real/0/3.jpg", "real/1/4.jpg"], {("mine", 0), ("mine", 1)}),
        (["real/coco_train/1.jpg", "fake/sd/2.jpg"], {("coco_train", 0), ("sd", 1)}),
    ],
)
def test_real_and_fake_folders(tmp_path: Path, names: list[str], expected: set[tuple[str, int]]) -> None:
    data = find_samples(plant(tmp_path / "mine", *names))
    assert len(data.samples) == len(names)
    assert generators(data.samples) == expected


def test_split_above_or_below_the_class(tmp_path: Path) -> None:
    root = plant(tmp_path, "real/train/coco/1.jpg", "training/fake/sd/2.jpg", "fake/validation/sd/3.jpg")
    assert told(find_samples(root)) == [
        "fake/validation/sd/3.jpg ai sd val",
        "real/train/coco/1.jpg real coco train",
        "training/fake/sd/2.jpg ai sd train",
    ]


def test_split_in_the_name_of_the_class(tmp_path: Path) -> None:
    root = plant(
        tmp_path / "mine",
        "train_real/coco/1.jpg",
        "train_fake/2.jpg",
        "Test-REAL/3.jpg",
        "fake_test/sd/4.jpg",
        "ai_generated_val/5.jpg",
        "train_0/6.jpg",
    )
    data = find_samples(root)
    assert data.kind == "real/fake folders"
    assert told(data) == [
        "Test-REAL/3.jpg real mine test",
        "ai_generated_val/5.jpg ai mine val",
        "fake_test/sd/4.jpg ai sd test",
        "train_fake/2.jpg ai mine train",
        "train_real/coco/1.jpg real coco train",
    ]
    assert data.ignored.unlabelled == 1
    (alone,) = find_samples(tmp_path / "mine" / "train_fake").samples
    assert (alone.label, alone.generator) == (1, "mine")


def test_shards_are_no_classes(tmp_path: Path) -> None:
    root = plant(tmp_path, "0/1.jpg", "1/2.jpg", "2/3.jpg")
    with pytest.raises(DataError, match=r"3 images .* but no folder says real or fake"):
        find_samples(root)


def test_contradictory_folders_are_refused(tmp_path: Path) -> None:
    root = plant(tmp_path, "real/fake/1.jpg", "fake/real/2.jpg")
    plant(tmp_path, "real/real/1.jpg", "fake/fake/1.jpg")
    with pytest.raises(DataError, match="both a real and a fake folder"):
        find_samples(root)


def test_root_that_is_itself_a_class(tmp_path: Path) -> None:
    root = plant(tmp_path / "progan" / "0_real", "1.png", "0001/2.png")
    data = find_samples(root)
    assert data.kind == "one folder of real images"
    assert [(s.label, s.generator) for s in data.samples] == [(0, "progan"), (0, "progan")]


def test_own_name_of_the_root_counts_only_if_nothing_below_speaks(tmp_path: Path) -> None:
    data = find_samples(plant(tmp_path / "photos", "fake/1.png", "misc/2.png"))
    assert [s.label for s in data.samples] == [1]
    assert data.ignored.unlabelled == 1


# What is left out, and hostile names


def test_what_is_no_image_is_counted(tmp_path: Path) -> None:
    root = plant(
        tmp_path,
        "real/a.b.c.PNG", "real/notes.txt", "real/.hidden.png", "real/Thumbs.db", "real/.git/1.png",
        "__MACOSX/real/1.png", "real/.DS_Store", "manifest.csv", "loose.png", "fake/1.JPEG",
    )  # fmt: skip
    (root / "fake/empty.png").touch()
    (root / "fake/gone.png").symlink_to("nowhere")
    (root / "fake/self").symlink_to("self")
    (root / "real/digest").write_bytes(b"\x89PNG\r\n\x1a\n")
    data = find_samples(root)
    assert told(data) == [
        f"fake/1.JPEG ai {root.name}",
        f"real/a.b.c.PNG real {root.name}",
        f"real/digest real {root.name}",
    ]
    assert str(data.ignored) == (
        "2 not images, 1 empty, 1 in no real or fake folder, "
        "2 symbolic links (--follow-symlinks follows them)"
    )
    assert str(find_samples(root, follow_symlinks=True).ignored) == (
        "2 not images, 1 empty, 2 broken links or unreadable, 1 in no real or fake folder"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="other systems restrict names")
def test_hostile_names(tmp_path: Path) -> None:
    plant(tmp_path, "real/new\nline.png", "real/=cmd.png", "fake/g\x1b[31m/1.png")
    odd = os.fsencode(tmp_path) + b"/real/caf\xe9.png"
    Path(os.fsdecode(odd)).write_bytes(b"x")
    data = find_samples(os.fsencode(tmp_path))  # type: ignore[arg-type]  # bytes work too
    assert {s.generator for s in data.samples} == {"g\x1b[31m", tmp_path.name}
    assert odd in {os.fsencode(s.path) for s in data.samples}
    assert all(s.key.count("/") >= 1 for s in data.samples)


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    store = plant(tmp_path / "store", "1.png", "2.png")
    root = plant(tmp_path / "farm", "ldm/1_fake/1.png")
    (root / "ldm/0_real").symlink_to(store)
    (root / "guided").mkdir()
    (root / "guided/0_real").symlink_to(store)
    (root / "guided/1_fake").mkdir()
    (root / "guided/1_fake/one.png").symlink_to(store / "1.png")
    (root / "ldm/1_fake/up").symlink_to(root)
    (store / "again").symlink_to(store)
    data = find_samples(root, follow_symlinks=True)
    assert count_by_generator(data.samples) == (
        GeneratorCount("guided", real=2, generated=1),
        GeneratorCount("ldm", real=2, generated=1),
    )


def test_links_inside_folders_are_counted_unless_they_are_followed(tmp_path: Path) -> None:
    store = plant(tmp_path / "store", "1.png", "2.png")
    root = plant(tmp_path / "farm", "0_real/own.png", "1_fake/own.png")
    (root / "0_real/linked.png").symlink_to(store / "1.png")
    (root / "1_fake/linked").symlink_to(store)
    data = find_samples(root)
    assert (len(data.samples), data.ignored) == (2, Ignored(links=2))
    assert len(find_samples(root, follow_symlinks=True).samples) == 5
    (tmp_path / "link").symlink_to(root)  # what is named is followed
    assert len(find_samples(tmp_path / "link").samples) == 2
    only = tmp_path / "only" / "0_real"
    only.mkdir(parents=True)
    (only / "1.png").symlink_to(store / "1.png")
    with pytest.raises(DataError, match=r"1 symbolic links \(--follow-symlinks follows them\)"):
        find_samples(only.parent)


def test_order_depends_on_names_only(tmp_path: Path) -> None:
    names = [f"real/s{i}/{j}.png" for i in range(5) for j in range(5)]
    one = find_samples(plant(tmp_path / "one" / "x", *names))
    other = find_samples(plant(tmp_path / "other" / "x", *reversed(names)))
    assert told(one) == told(other)


# Splits


def test_split_without_split_levels_does_nothing(tmp_path: Path) -> None:
    root = plant(tmp_path, "real/1.png", "fake/2.png")
    assert find_samples(root, split="train").samples == find_samples(root).samples


def test_pick_counts_what_it_leaves_out(tmp_path: Path) -> None:
    data = find_samples(plant(tmp_path, "train/real/1.png", "train/fake/1.png", "val/fake/1.png"))
    part = data.pick("val")
    assert [s.split for s in part.samples] == ["val"]
    assert str(part.ignored) == "2 of another split"
    with pytest.raises(DataError, match=r"no test images in .*: it holds train and val"):
        data.pick("test")
    with pytest.raises(UsageError, match="unknown split 'dev'"):
        data.pick("dev")


# Errors


def test_missing_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder, list or archive"):
        find_samples(tmp_path / "absent")
    with pytest.raises(DataError, match="no images found"):
        find_samples(tmp_path)
    plant(tmp_path, "real/notes.txt")
    with pytest.raises(DataError, match=r"no images found in .* \(1 not images\)"):
        find_samples(tmp_path)


def test_errors_are_one_line(tmp_path: Path) -> None:
    root = plant(tmp_path / "new\nline", "1.png")
    with pytest.raises(DataError) as caught:
        find_samples(root)
    assert "\n" not in str(caught.value)


def test_one_class_is_found_but_can_be_refused(tmp_path: Path) -> None:
    real = find_samples(plant(tmp_path / "a", "real/1.png"))
    fake = find_samples(plant(tmp_path / "b", "fake/1.png"))
    require_both_classes(real, fake)
    with pytest.raises(DataError, match=r"only real images found in .*: training needs both classes"):
        require_both_classes(real)
    with pytest.raises(DataError, match=r"only generated images found .* add real images"):
        require_both_classes(fake)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_unreadable_folder_stops(tmp_path: Path) -> None:
    root = plant(tmp_path, "real/1.png", "fake/2.png")
    (root / "fake").chmod(0)
    try:
        with pytest.raises(DataError, match="cannot read the folder"):
            find_samples(root)
    finally:
        (root / "fake").chmod(0o700)


# CSV


def write(root: Path, text: str | bytes, name: str = "list.csv") -> Path:
    file = root / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_csv_with_all_columns_in_any_order(tmp_path: Path) -> None:
    root = plant(tmp_path, "x/1.png", "x/2.png", "x/3.png")
    text = (
        "split,how,Label,PATH,generator\n"
        'train,"cut, kept",0,x/1.png,coco\n'
        "validation,,1,./x/2.png,sd1\n"
        f",,Fake,{root}/x/3.png,\n"
    )
    data = find_samples(write(root, text))
    assert data.kind == "CSV"
    assert told(data) == [
        "x/1.png real coco train",
        "x/2.png ai sd1 val",
        f"x/3.png ai {root.name}",
    ]
    assert [s.path for s in data.samples] == [f"{root}/x/{i}.png" for i in (1, 2, 3)]
    assert len(find_samples(root / "list.csv", split="val").samples) == 1


def test_csv_with_kind_and_repository(tmp_path: Path) -> None:
    plant(tmp_path, "1.png", "2.png")
    text = "path,Kind,label,repository,sure\n1.png, photograph ,0,owner/name,3\n2.png,,1,,2\n"
    data = find_samples(write(tmp_path, text))
    assert [(s.key, s.label, s.repository, s.kind) for s in data.samples] == [
        ("1.png", 0, "owner/name", "photograph"),
        ("2.png", 1, "", ""),
    ]
    (sample,) = find_samples(write(tmp_path, "path,label\n1.png,0\n")).samples
    assert (sample.repository, sample.kind) == ("", "")


@pytest.mark.parametrize("label", ["0", "real", "REAL", "nature", "0_real", "0.0", " 0 "])
def test_csv_words_for_real(tmp_path: Path, label: str) -> None:
    plant(tmp_path, "1.png")
    assert find_samples(write(tmp_path, f"path,label\n1.png,{label}\n")).samples[0].label == 0


@pytest.mark.parametrize("label", ["1", "fake", "AI", "generated", "1_fake", "1.0", "ai-generated"])
def test_csv_words_for_generated(tmp_path: Path, label: str) -> None:
    plant(tmp_path, "1.png")
    assert find_samples(write(tmp_path, f"path,label\n1.png,{label}\n")).samples[0].label == 1


@pytest.mark.parametrize(
    "content",
    [
        b"path;label\n1.png;0\n",
        b"path\tlabel\r\n1.png\t0\r\n",
        b"path|label\n1.png|0",
        b"\xef\xbb\xbfpath,label\n1.png,0\n",
        b'"path","label"\n\n"1.png","0"\n,\n',
        "path,label\n1.png,0\n".encode("utf-16"),
        b"image,class,split\n1.png,0,\n",
        b"filename,label\n1.png,real\n",
        b"filename,typ\n1.png,real\n",
    ],
)
def test_csv_dialects(tmp_path: Path, content: bytes) -> None:
    plant(tmp_path, "1.png")
    (sample,) = find_samples(write(tmp_path, content)).samples
    assert (sample.key, sample.label, sample.generator) == ("1.png", 0, tmp_path.name)


def test_csv_of_peers_with_typ(tmp_path: Path) -> None:
    plant(tmp_path, "1.png", "2.png", "3.png")
    data = find_samples(write(tmp_path, "filename,typ\n1.png,real\n2.png,glide\n3.png,real_esrgan\n"))
    assert [(s.label, s.generator) for s in data.samples] == [
        (0, tmp_path.name),
        (1, "glide"),
        (1, "real_esrgan"),
    ]
    data = find_samples(write(tmp_path, "filename,typ,label\n1.png,real,0\n2.png,glide,1\n"))
    assert [(s.label, s.generator) for s in data.samples] == [(0, tmp_path.name), (1, "glide")]


def test_csv_leaves_out_empty_and_repeated_files(tmp_path: Path) -> None:
    plant(tmp_path, "1.png", "noextension")
    (tmp_path / "empty.png").touch()
    data = find_samples(write(tmp_path, "path,label\n1.png,0\n./1.png,0\nempty.png,1\nnoextension,1\n"))
    assert [s.key for s in data.samples] == ["1.png", "noextension"]
    assert str(data.ignored) == "1 empty, 1 named twice"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems restrict names")
def test_csv_with_hostile_names(tmp_path: Path) -> None:
    names = [b"caf\xe9.png", b"new\nline.png", b"a,b;c.png", b" spaces .png"]
    for name in names:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(b"x")
    rows = b"".join(b'"' + name + b'",1\n' for name in names)
    data = find_samples(write(tmp_path, b"path,label\n" + rows))
    assert [os.fsencode(s.key) for s in data.samples] == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\n1.png,0\n2.png,1\n", "line 3: no such file: '2.png'"),
        ("path,label\n\n1.png,maybe\n", "line 3: unknown label 'maybe'"),
        ("path,label\n1.png\n", "line 2: unknown label ''"),
        ("path,label\n,0\n", "line 2: no path"),
        ("path,label,split\n1.png,0,fold3\n", "line 2: unknown split 'fold3'"),
        ("path,label\n1.png,0\n1.png,1\n", "line 3: '1.png' has another label on line 2"),
        ('path,label\n1.png,0\n"2.png,1\n', "line 3: .*check the quotes"),
        ("path,label\nfolder,0\n", "line 2: no such file: 'folder'"),
        ("path,score\n1.png,0.4\n", "first line must name the columns path,label.*'path,score'"),
        ("1.png,0\n", "first line must name the columns"),
        ("path,label\n", "no images found"),
        ("", "first line must name the columns"),
        ("\x89PNG\x00\x00", "is no list of images"),
    ],
)
def test_csv_errors(tmp_path: Path, text: str, message: str) -> None:
    plant(tmp_path, "1.png", "folder/x.png")
    with pytest.raises(DataError, match=message) as caught:
        find_samples(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_csv_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, "1.png")
    write(tmp_path, "path,label\n1.png,0\n")
    monkeypatch.chdir(tmp_path)
    (sample,) = find_samples("list.csv").samples
    assert (sample.path, sample.key, sample.generator) == ("1.png", "1.png", tmp_path.name)


def test_csv_agrees_with_the_folders(tmp_path: Path) -> None:
    root = plant(tmp_path / "set", "real/coco/1.jpg", "fake/sd1/2.webp")
    manifest = write(root, "path,label,generator\nreal/coco/1.jpg,0,coco\nfake/sd1/2.webp,1,sd1\n")
    by_folder, by_csv = find_samples(root), find_samples(manifest)
    assert sorted(told(by_folder)) == sorted(told(by_csv))
    assert {s.path for s in by_folder.samples} == {s.path for s in by_csv.samples}


def test_a_column_of_true_and_false_as_pandas_writes_it(tmp_path: Path) -> None:
    plant(tmp_path, "1.png", "2.png")
    data = find_samples(write(tmp_path, "path,is_ai\n1.png,False\n2.png,True\n"))
    assert told(data) == [f"1.png real {tmp_path.name}", f"2.png ai {tmp_path.name}"]


# JSON Lines


def test_json_lines_say_what_a_csv_says(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).write_bytes(b"x")
    rows = [
        {
            "image_path": "a.png",
            "label": 1,
            "generator": "sdxl",
            "split": "val",
            "group": "o/r",
            "kind": "photo",
        },
        {"image_path": "b.png", "is_ai": False, "generator": None},
        {"image_path": "c.png", "label": "real", "source": "coco", "other": [1, 2]},
    ]
    text = "\n".join(json.dumps(row) for row in rows) + "\n\n"
    data = find_samples(write(tmp_path, text, "list.jsonl"))
    assert data.kind == "JSON Lines"
    told_ = [(s.key, s.label, s.generator, s.split, s.repository, s.kind) for s in data.samples]
    assert told_[0] == ("a.png", 1, "sdxl", "val", "o/r", "photo")
    assert told_[1][:2] == ("b.png", 0)
    assert told_[2][:3] == ("c.png", 0, "coco")
    header = "path,label,generator,split,group,kind"
    lines = [",".join(map(str, row)) for row in told_]
    same = find_samples(write(tmp_path, "\n".join([header, *lines]), "list.csv"))
    assert same.samples == data.samples


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"path": "a.png", "label": 1}\n[1]', "line 2: not an object of JSON"),
        ('{"path": "a.png", "label": 1', "line 1: not an object of JSON"),
        ('{"path": "a.png"}', "line 1: unknown label ''"),
        ('{"label": 0}', "line 1: no path"),
    ],
)
def test_json_lines_errors(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(DataError, match=message):
        find_samples(write(tmp_path, text, "list.jsonl"))


# roots given as one class


def test_a_root_given_as_one_class_whatever_names_say(tmp_path: Path) -> None:
    """DRCT: generated images under the split of COCO that they were made of, beside COCO itself."""
    files = ["MSCOCO/train2017/1.jpg", "DRCT-2M/ldm-text2im-large-256/train2017/1.png", "cameras/leica/1.jpg"]
    files += ["cameras/1_fake/1.jpg"]
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    found = [
        find_samples(tmp_path / "MSCOCO/train2017", label=0),
        find_samples(tmp_path / "DRCT-2M/ldm-text2im-large-256/train2017", label=1),
        find_samples(tmp_path / "cameras", label=0),
    ]
    told_ = [[(s.generator, s.label, s.key) for s in data.samples] for data in found]
    assert told_[0] == [("MSCOCO", 0, "1.jpg")]
    assert told_[1] == [("ldm-text2im-large-256", 1, "1.png")]
    assert sorted(told_[2])[-1] == ("leica", 0, "leica/1.jpg")
    assert {label for _, label, _ in told_[2]} == {0}
    assert [data.kind for data in found] == [
        "all given as real",
        "all given as generated",
        "all given as real",
    ]
    with pytest.raises(DataError, match="no such folder"):
        find_samples(tmp_path / "cameras/leica/1.jpg", label=0)
