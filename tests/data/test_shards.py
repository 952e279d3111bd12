"""Archives of images as data sets: labelled as the folder they were made of; hostile ones are refused."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import struct
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aigdetect.data import dataset
from aigdetect.data.layouts import DataSet, entries, find_samples
from aigdetect.errors import DataError, ImageError, UsageError
from aigdetect.images import members

pa = pytest.importorskip("pyarrow", reason="TABLES OF IMAGES NOT TESTED: pyarrow is not installed")
pq = pytest.importorskip("pyarrow.parquet")


def image(seed: int, *, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


TREE = {
    "biggan/0_real/1.png": image(1),
    "biggan/1_fake/1.png": image(2),
    "stylegan/car/0_real/3.png": image(3),
    "stylegan/car/1_fake/4.png": image(4),
    "stylegan/cat/1_fake/a.jpg": image(5, form="JPEG"),
}


def told(data: DataSet) -> list[tuple[str, int, str, str, bytes]]:
    return [(s.key, s.label, s.generator, s.split, dataset.load_bytes(s)) for s in data.samples]


def write_tar(path: Path, files: Mapping[str, bytes], mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def write_folder(path: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def write_parquet(
    path: Path, files: Mapping[str, bytes], columns: Mapping[str, object] | None = None, **options: object
) -> Path:
    held = [{"bytes": data, "path": name} for name, data in files.items()]
    pq.write_table(pa.table({"image": held, **(columns or {})}), path, row_group_size=2, **options)
    return path


def write_arrow(path: Path, table: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    return path


# what is in them


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tar.bz2", "tar.xz", "parquet", "arrow"])
def test_an_archive_gives_what_the_folder_gives_that_it_was_made_of(tmp_path: Path, ending: str) -> None:
    folder = find_samples(write_folder(tmp_path / "set", TREE))
    place = tmp_path / f"set.{ending}"
    backwards = dict(reversed(TREE.items()))  # the order in an archive counts for nothing
    if ending == "parquet":
        write_parquet(place, backwards)
    elif ending == "arrow":
        write_arrow(place, pa.table({"image": [{"bytes": d, "path": n} for n, d in backwards.items()]}))
    else:
        write_tar(place, backwards, "w" if ending == "tar" else f"w:{ending[4:]}")
    archive = find_samples(place)
    assert told(archive) == told(folder)
    assert archive.samples[0].path == f"{place}/biggan/0_real/1.png"
    assert archive.kind == ("tar archive" if "tar" in ending else "table of images")


def test_shards_in_a_folder_name_its_folders_together(tmp_path: Path) -> None:
    names = list(TREE)
    for number in range(3):
        part = {name: TREE[name] for name in names[number::3]}
        write_tar(tmp_path / "shards" / f"train-{number:06}.tar", part)
    write_tar(tmp_path / "shards" / "val-000000.tar", {"biggan/1_fake/9.png": image(9)})
    data = find_samples(tmp_path / "shards")
    expected = {
        s.key: (s.label, s.generator) for s in find_samples(write_folder(tmp_path / "f", TREE)).samples
    }
    assert {s.key: (s.label, s.generator) for s in data.pick("train").samples} == expected
    assert [s.key for s in data.pick("val").samples] == ["biggan/1_fake/9.png"]
    assert {s.root for s in data.samples} == {str(path) for path in (tmp_path / "shards").iterdir()}


def test_samples_of_webdataset_are_labelled_by_what_lies_beside_them(tmp_path: Path) -> None:
    place = write_tar(
        tmp_path / "set-000000.tar",
        {
            "0001.jpg": image(1, form="JPEG"),
            "0001.json": json.dumps({"label": 1, "generator": "flux", "group": "a", "kind": "face"}).encode(),
            "0001.txt": b"a face",
            "0002.seg.png": image(2),
            "0002.cls": b"0\n",
            "0003.png": image(3),
            "0003.json": b'{"caption": "nobody says what it is"}',
        },
    )
    data = find_samples(place)
    assert [(s.key, s.label, s.generator, s.repository, s.kind) for s in data.samples] == [
        ("0001.jpg", 1, "flux", "a", "face"),
        ("0002.seg.png", 0, "set", "", ""),
    ]
    assert str(data.ignored) == "1 not images, 1 in no real or fake folder"


def test_of_names_with_dots_the_nearest_file_tells(tmp_path: Path) -> None:
    place = write_tar(
        tmp_path / "set.tar",
        {
            "sd1.5_1.png": image(1),
            "sd1.5_1.cls": b"1",
            "sd1.5_2.png": image(2),
            "sd1.5_2.cls": b"0",
            "a/sd1.5_3.png": image(3),
            "a/sd1.5_3.png.json": b'{"label": 0, "generator": "coco"}',
            "a/sd1.json": b'{"label": 1, "split": "val"}',
        },
    )
    assert [(s.key, s.label, s.generator, s.split) for s in find_samples(place).samples] == [
        ("sd1.5_1.png", 1, "set", ""),
        ("sd1.5_2.png", 0, "set", ""),
        ("a/sd1.5_3.png", 0, "coco", "val"),
    ]


@pytest.mark.parametrize(
    ("labels", "kind"), [([0.0, 1.0], pa.float64()), (["real", "fake"], pa.string_view())], ids=str
)
def test_labels_of_a_table_are_read_whatever_their_type(tmp_path: Path, labels: list[Any], kind: Any) -> None:
    files = {"fake/0.png": image(0), "fake/1.png": image(1)}  # what a column says counts for more
    place = write_parquet(tmp_path / "set.parquet", files, {"label": pa.array(labels, kind)})
    assert [s.label for s in find_samples(place).samples] == [0, 1]


def test_rows_of_a_table_are_labelled_by_its_columns(tmp_path: Path) -> None:
    files = {f"{number}.png": image(number) for number in range(4)}
    place = write_parquet(
        tmp_path / "set.parquet",
        files,
        {
            "label": ["real", "fake", "fake", "real"],
            "generator": ["coco", "flux", None, "coco"],
            "split": ["train", "train", "validation", "test"],
        },
    )
    assert [(s.key, s.label, s.generator, s.split) for s in find_samples(place).samples] == [
        ("0.png", 0, "coco", "train"),
        ("1.png", 1, "flux", "train"),
        ("2.png", 1, "set", "val"),
        ("3.png", 0, "coco", "test"),
    ]


def test_a_data_set_of_hugging_face_is_read_as_it_was_saved(tmp_path: Path) -> None:
    """The files that `datasets.DatasetDict.save_to_disk` writes: names of classes stand in the metadata."""
    features = {"label": {"names": ["fake", "real"], "_type": "ClassLabel"}, "image": {"_type": "Image"}}
    about = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    for number, split in enumerate(("train", "test")):
        held = [{"bytes": image(2 * number + row), "path": "same.png"} for row in range(2)]
        table = pa.table({"image": held, "label": [0, 1]}).replace_schema_metadata(about)
        write_arrow(tmp_path / "set" / split / "data-00000-of-00001.arrow", table)
        write_arrow(tmp_path / "set" / split / "cache-1234.arrow", table)
        (tmp_path / "set" / split / "state.json").write_text("{}")
    (tmp_path / "set" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    data = find_samples(tmp_path / "set")
    assert [(s.key, s.label, s.split) for s in data.samples] == [
        ("same.png", 1, "test"),
        ("2/same.png", 0, "test"),  # rows of one name are two images
        ("same.png", 1, "train"),
        ("2/same.png", 0, "train"),
    ]
    assert dataset.load_bytes(data.pick("test").samples[0]) == image(2)


def test_all_images_of_an_archive_as_of_one_class(tmp_path: Path) -> None:
    files = {"a/1.png": image(1), "fake/2.png": image(2), "3.png": image(3)}
    data = find_samples(write_tar(tmp_path / "flux.tar", files), label=0)
    assert told(data) == told(find_samples(write_folder(tmp_path / "flux", files), label=0))
    assert [(s.key, s.label, s.generator) for s in data.samples] == [
        ("3.png", 0, "flux"),
        ("a/1.png", 0, "a"),
        ("fake/2.png", 0, "fake"),
    ]


def test_a_folder_of_images_is_no_folder_of_archives(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "set", {"real/1.png": image(1), "fake/2.png": image(2)})
    write_tar(root / "real" / "backup.tar", TREE)
    data = find_samples(root)
    assert [s.key for s in data.samples] == ["fake/2.png", "real/1.png"]
    assert str(data.ignored) == "1 not images"


# archives are hostile


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_what_is_no_image_and_what_leads_elsewhere_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(image(9))
    place = tmp_path / "set.tar"
    with tarfile.open(place, "w") as archive:

        def add(name: str, data: bytes) -> None:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))

        add("real/1.png", image(1))
        add("./fake/../fake/2.png", image(2))
        add("../secret.png", image(3))
        add("real/../../../secret.png", image(3))
        add(str(tmp_path / "secret.png"), image(3))
        add("/".join("a" * 100) + "/real/1.png", image(3))
        add("real/1.png", image(4))  # again
        add("real/no-ending", image(5))
        add("real/notes.txt", b"notes")
        add("real/empty.png", b"")
        add("real/broken.png", b"no image")
        add("real/.hidden.png", image(3))
        archive.addfile(special("real/link.png", tarfile.SYMTYPE, str(tmp_path / "secret.png")))
        archive.addfile(special("real/hard.png", tarfile.LNKTYPE, "../secret.png"))
        archive.addfile(special("real/device.png", tarfile.CHRTYPE))
        archive.addfile(special("real/pipe.png", tarfile.FIFOTYPE))
        archive.addfile(special("empty-folder", tarfile.DIRTYPE))
    before = sorted(tmp_path.iterdir())
    data = find_samples(place)
    assert [s.key for s in data.samples] == ["fake/2.png", "real/1.png", "real/broken.png", "real/no-ending"]
    assert dataset.load_bytes(data.samples[1]) == image(1)  # the first of a name
    with pytest.raises(ImageError):
        dataset.load_pixels(data.samples[2])
    assert str(data.ignored) == (
        "1 not images, 1 empty, 4 broken links or unreadable, 1 named twice, 4 of unfit names"
    )
    assert sorted(tmp_path.iterdir()) == before  # nothing was unpacked


def header(name: str, size: bytes, kind: bytes = b"0") -> bytes:
    block = bytearray(512)
    block[: len(name)] = name.encode()
    block[100:108], block[108:116], block[116:124] = b"0000644\0", b"0000000\0", b"0000000\0"
    block[124:136], block[136:148], block[148:156] = (
        size.ljust(12, b"\0"),
        b"0".rjust(11, b"0") + b"\0",
        b" " * 8,
    )
    block[156:157] = kind
    block[257:265] = b"ustar\x0000"
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    return bytes(block)


def huge(size: int) -> bytes:
    """A size as GNU writes those that octal digits cannot hold."""
    return b"\x80" + size.to_bytes(11, "big") if size >= 0 else b"\xff" + (256**11 + size).to_bytes(11, "big")


GOOD = header("real/1.png", b"00000000001\0") + b"x" + bytes(511)
HOSTILE = {
    "nothing": b"",
    "no tar": b"no tar" * 1000,
    "a header cut off": GOOD + header("real/2.png", b"00000000001\0")[:100],
    "a header damaged": GOOD + b"\xff" * 1024,
    "a file cut off": header("real/1.png", b"00000002000\0") + b"x" * 100,
    "an endless file": GOOD + header("real/notes", huge(1 << 62)),
    "a step back": GOOD + header("real/2.png", huge(-1024)),
    "a name without end": header("././@LongLink", huge(1 << 40), b"L") + b"a" * 2048,
    "a record without end": header("pax", b"77777777777\0", b"x") + b"1000000000 path=a" + bytes(2048),
    "records in records": header("pax", b"00000000000\0", b"x") * 3000 + GOOD,
    "what is told without end": header("real/1.json", b"00010000000\0") + bytes(1 << 21) + bytes(1024),
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_damaged_or_hostile_archive_is_one_clear_error(
    tmp_path: Path, what: str, pack: Callable[[bytes], bytes]
) -> None:
    place = tmp_path / "set.tar"
    place.write_bytes(pack(HOSTILE[what]))
    with pytest.raises(DataError, match=r"set\.tar") as raised:
        find_samples(place)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("1.json", b"[" * 100_000, "does not say of an image what it should"),
        ("1.json", b"[1]", "does not say of an image what it should"),
        ("1.json", b"0" * (1 << 21), "does not say of an image what it should"),
        ("1.cls", b"\xff", "does not say of an image what it should"),
        ("1.cls", b"7", "unknown label '7'"),
    ],
)
def test_what_is_told_and_cannot_be_understood_is_named(
    tmp_path: Path, name: str, data: bytes, said: str
) -> None:
    place = write_tar(tmp_path / "set.tar", {"1.png": image(1), name: data})
    with pytest.raises(DataError, match=rf"set\.tar', '1\.\w+': {said}"):
        find_samples(place)


def test_what_is_told_of_no_image_does_not_matter(tmp_path: Path) -> None:
    beside = {"notes.json": b"[" * 9, "all.json": b"0" * (1 << 21), "other.cls": b"7", "2.json": b"{}"}
    data = find_samples(write_tar(tmp_path / "set.tar", {"real/1.png": image(1), **beside}))
    assert [(s.key, s.label) for s in data.samples] == [("real/1.png", 0)]
    assert str(data.ignored) == "4 not images"


def test_more_than_images_would_be_does_not_come_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "_ALLOWANCE", 1 << 20)
    bomb = {f"real/{number}.png": bytes(1 << 20) for number in range(8)}
    with pytest.raises(DataError, match=r"holds more than 100 times its own size|larger than it can be"):
        find_samples(write_tar(tmp_path / "set.tar.gz", bomb, "w:gz"))
    with pytest.raises(DataError, match="holds more than 100 times its own size"):
        find_samples(write_parquet(tmp_path / "set.parquet", bomb, compression="zstd"))


def test_no_room_for_copies_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(spool: members.Spool, data: bytes) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(members.Spool, "add", full)
    with pytest.raises(DataError, match=r"cannot be copied to .* \(No space left on device\); let TMPDIR"):
        find_samples(write_tar(tmp_path / "set.tar.gz", TREE, "w:gz"))


def test_an_archive_that_changes_is_not_read_on(tmp_path: Path) -> None:
    place = write_tar(tmp_path / "set.tar", TREE)
    data = find_samples(place)
    before = data.samples[0].fingerprint
    write_tar(place, {**TREE, "biggan/0_real/2.png": image(7)})
    with pytest.raises(ImageError, match="the archive has changed"):
        dataset.load_bytes(data.samples[0])
    assert data.samples[0].fingerprint != before


TABLES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no table": (lambda path: path.write_bytes(b"no table" * 99), "cannot read the table"),
    "cut off": (
        lambda path: path.write_bytes(write_parquet(path, TREE).read_bytes()[:-200]),
        "cannot read the table",
    ),
    "no images": (lambda path: pq.write_table(pa.table({"a": [1]}), path), "has no column of images"),
    "two columns": (
        lambda path: pq.write_table(pa.table({"a": [b"1"], "b": [b"2"]}), path),
        r"has several columns \(a, b\) of images",
    ),
    "other labels": (
        lambda path: write_parquet(path, {"1.png": image(1)}, {"label": ["cat"]}), "unknown label 'cat'",
    ),
    "no bytes": (
        lambda path: pq.write_table(pa.table({"image": [{"bytes": None, "path": "/etc/hostname"}]}, pa.schema(
            [("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))])), path),
        "no images found in .* \\(1 broken links or unreadable\\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", TABLES)
def test_a_table_that_cannot_be_used_is_one_clear_error(tmp_path: Path, what: str) -> None:
    make, said = TABLES[what]
    place = tmp_path / "set.parquet"
    make(place)
    with pytest.raises(DataError, match=said) as raised:
        find_samples(place)
    assert len(str(raised.value).splitlines()) == 1


def test_lengths_in_arrow_are_not_believed(tmp_path: Path) -> None:
    data = image(1)
    place = write_arrow(tmp_path / "set.arrow", pa.table({"image": [data, data], "label": ["real", "fake"]}))
    raw = place.read_bytes()
    offsets = struct.pack("<3i", 0, len(data), 2 * len(data))
    assert raw.count(offsets) == 1
    place.write_bytes(raw.replace(offsets, struct.pack("<3i", 0, 1 << 30, 2 * len(data))))
    with pytest.raises(DataError, match="cannot read the table"):
        find_samples(place)


def test_names_in_a_table_lead_nowhere(tmp_path: Path) -> None:
    names = ["../../etc/passwd", "/etc/passwd", "a\0b", "good.png"]
    place = write_parquet(
        tmp_path / "set.parquet",
        {str(n): image(n) for n in range(4)},
        {"path": names, "label": ["real", "fake", "real", "fake"]},
    )
    assert [s.key for s in find_samples(place).samples] == ["0", "1", "2", "good.png"]


def test_without_pyarrow_a_table_names_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = write_parquet(tmp_path / "set.parquet", TREE)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"pip install 'aigdetect\[parquet\]'"):
        find_samples(place)


def test_a_spool_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    data = find_samples(write_tar(tmp_path / "set.tar.gz", TREE, "w:gz"))
    assert dataset.load_bytes(data.samples[0]) == TREE["biggan/0_real/1.png"]
    del data
    assert list((tmp_path / "tmp").iterdir()) == []
    shutil.rmtree(tmp_path / "tmp")
