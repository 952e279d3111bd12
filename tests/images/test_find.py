"""Finding images: every one once, in a fixed order, whatever lies on the way."""

# ruff: noqa: PTH102, PTH118, PTH119 - paths are tested as the bytes they are

from __future__ import annotations

import io
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from aigdetect.images import find
from aigdetect.images.find import COMPANION, VIDEO, Found, find_files
from aigdetect.images.path_list import read_list
from aigdetect.images.sniff import EXTENSIONS, claims_image, looks_like_image, sniff

ROOT = Path(__file__).resolve().parents[2]
PNG = b"\x89PNG\r\n\x1a\n" + bytes(60)

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX files")


def fill(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def found(*paths: str | Path, follow: bool = False) -> list[tuple[str, str]]:
    return [(item.path, item.kind) for item in find_files(paths, follow_symlinks=follow)]


def names(root: Path, *paths: str | Path, follow: bool = False) -> list[tuple[str, str]]:
    return [(os.path.relpath(path, root), kind) for path, kind in found(*(paths or (root,)), follow=follow)]


# -- the walk --------------------------------------------------------------------------------------------


def test_images_by_name_or_content_and_others_counted(tmp_path: Path) -> None:
    files = {"a.JPG": b"", "b": PNG, "c.txt": PNG, "d.txt": b"words", "e.pdf": b"%PDF-1.7", "f.svg": b""}
    root = fill(tmp_path, files)
    assert names(root) == [
        ("a.JPG", "image"),
        ("b", "image"),
        ("c.txt", "image"),
        ("d.txt", "other"),
        ("e.pdf", "other"),
        ("f.svg", "image"),
    ]


def test_order_is_that_of_the_bytes_of_each_name(tmp_path: Path) -> None:
    files = ["b/1.png", "b/0.png", "a.png", "B.png", "é.png", "b.png", "a/z.png", ".hidden.png"]
    root = fill(tmp_path, dict.fromkeys(files, b""))
    expected = [".hidden.png", "B.png", "a/z.png", "a.png", "b/0.png", "b/1.png", "b.png", "é.png"]
    assert [name for name, _ in names(root)] == [str(Path(name)) for name in expected]


def test_paths_are_joined_as_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, {"x/a.png": b"", "y.png": b""})
    monkeypatch.chdir(tmp_path)
    assert found(".") == [(os.path.join(".", "x", "a.png"), "image"), (os.path.join(".", "y.png"), "image")]
    assert found("x", "./y.png") == [(os.path.join("x", "a.png"), "image"), ("./y.png", "image")]


def test_a_file_named_by_the_user_is_an_image(tmp_path: Path) -> None:
    root = fill(tmp_path, {"notes.txt": b"words"})
    assert found(root / "notes.txt") == [(str(root / "notes.txt"), "image")]


def test_missing_paths_are_errors_and_the_walk_goes_on(tmp_path: Path) -> None:
    root = fill(tmp_path, {"a.png": b""})
    items = list(find_files([root / "gone", "nul\0byte", "", "\ud800", root / "a.png"]))
    assert [item.kind for item in items] == ["error"] * 4 + ["image"]
    assert items[0].reason == "no such file or directory"
    assert all(item.reason.isprintable() for item in items)


def test_the_same_file_is_given_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = fill(tmp_path, {"a/b/1.png": b"", "a/2.png": b"", "a/3.txt": b"words"})
    monkeypatch.chdir(root)
    one, two, three = (os.path.join("a", name) for name in (os.path.join("b", "1.png"), "2.png", "3.txt"))
    assert found(two, "./a/2.png", root / two, "a/b/../2.png") == [(two, "image")]
    assert found("a", one, "a/b", "a") == [(two, "image"), (three, "other"), (one, "image")]
    assert found("a/b", two, "a") == [("a/b/1.png", "image"), (two, "image"), (three, "other")]
    # a text was only counted with its folder: named, it gets its row
    assert found("a", three, three)[2:] == [(one, "image"), (three, "image")]


@posix
def test_any_bytes_make_a_name(tmp_path: Path) -> None:
    odd = [
        b"\xff\xfe.png",
        b"new\nline.png",
        b"\x1b[31m.png",
        b"=1+1.png",
        b"-rf.png",
        b" .png",
        b"\xe2\x80\xae.png",
    ]
    odd.append(b"a" * 251 + b".png")
    for name in odd:
        Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))).write_bytes(PNG)
    assert [os.path.basename(os.fsencode(path)) for path, _ in found(tmp_path)] == sorted(odd)
    given = [os.path.join(os.fsencode(tmp_path), name) for name in odd]
    listed = read_list(io.BytesIO(b"\0".join(given)), null=True)
    assert [os.fsencode(item.path) for item in find_files(listed)] == given


# -- links, pipes, permissions ---------------------------------------------------------------------------


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    root = fill(tmp_path, {"real/1.png": b"", "tree/2.png": b""})
    (root / "tree" / "folder").symlink_to(root / "real")
    (root / "tree" / "link.png").symlink_to(root / "real" / "1.png")
    (root / "tree" / "loop").symlink_to(root / "tree")
    (root / "tree" / "none.png").symlink_to(root / "nowhere")
    (root / "tree" / "self").symlink_to(root / "tree" / "self")
    return root


@posix
def test_links_inside_folders_are_not_followed(linked: Path) -> None:
    tree = linked / "tree"
    assert names(tree) == [
        ("2.png", "image"),
        ("folder", "other"),
        ("link.png", "other"),
        ("loop", "other"),
        ("none.png", "other"),
        ("self", "other"),
    ]
    assert {item.reason for item in find_files([tree]) if item.kind == "other"} == {"symbolic link"}


@posix
def test_links_are_followed_on_demand_and_loops_end(linked: Path) -> None:
    tree = linked / "tree"
    assert names(tree, follow=True) == [
        ("2.png", "image"),
        ("folder/1.png", "image"),
        ("link.png", "image"),
        ("none.png", "other"),
        ("self", "other"),
    ]


@posix
def test_links_named_by_the_user_are_followed(linked: Path) -> None:
    tree = linked / "tree"
    assert names(tree, tree / "folder", tree / "link.png") == [
        ("folder/1.png", "image"),
        ("link.png", "image"),
    ]
    assert names(tree, tree, tree / "link.png")[-1] == ("link.png", "image")
    assert [item.kind for item in find_files([tree / "self", tree / "none.png"])] == ["error"] * 2


@posix
def test_links_from_everywhere_to_everywhere_are_no_explosion(tmp_path: Path) -> None:
    folders = [tmp_path / f"{index:02}" for index in range(12)]
    for folder in folders:
        fill(folder, {"a.png": b""})
    for folder in folders:
        for other in folders:
            (folder / f"to-{other.name}").symlink_to(other)
    assert len(found(tmp_path, follow=True)) == 12


@posix
def test_pipes_and_devices_are_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "pipe.png")
    assert names(tmp_path) == [("pipe", "other"), ("pipe.png", "other")]
    assert list(find_files([tmp_path / "pipe.png", "/dev/null"])) == [
        Found(str(tmp_path / "pipe.png"), "error", "not a regular file"),
        Found("/dev/null", "error", "not a regular file"),
    ]


@posix
def test_a_pipe_that_took_a_files_place_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert find._head(str(tmp_path / "pipe")) == b""


def test_what_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = fill(tmp_path, {"a/1.png": b"", "b": b"", "c.png": b""})
    real = os.scandir

    def refuse(path: str) -> object:
        if os.path.basename(path) == "a":
            raise PermissionError(13, "Permission denied")
        return real(path)

    def vanished(path: str) -> bytes:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr(find, "_head", vanished)
    items = list(find_files([root]))
    assert [(os.path.basename(item.path), item.kind, item.reason) for item in items] == [
        ("a", "error", "permission denied"),
        ("b", "error", "no such file or directory"),
        ("c.png", "image", ""),
    ]


@posix
def test_deep_trees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(3000):  # deeper than Python's stack and than a path may be long
        os.mkdir("d")
        os.chdir("d")
    Path("last.png").write_bytes(PNG)
    os.chdir(tmp_path)
    (tmp_path / "e.png").write_bytes(PNG)
    try:
        items = list(find_files(["."]))
    finally:
        subprocess.run(["rm", "-rf", "d"], cwd=tmp_path, check=True)
    assert [item.kind for item in items] == ["error", "image"]
    assert items[0].reason == "file name too long"


def test_memory_does_not_grow_with_the_number_of_files(tmp_path: Path) -> None:
    for folder in range(20):
        fill(tmp_path, {f"{folder:02}/{index}.png": b"" for index in range(50)})

    def peak(*paths: Path) -> int:
        tracemalloc.start()
        for _ in find_files(paths):
            pass
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    assert peak(tmp_path) < 2 * peak(tmp_path / "00") + 20_000


def test_the_walk_is_lazy(tmp_path: Path) -> None:
    root = fill(tmp_path, {"a.png": b"", "b.png": b""})

    def endless() -> Iterator[Path]:
        while True:
            yield root / "a.png"
            yield root / "b.png"

    walk = find_files(endless())
    assert [os.path.basename(next(walk).path) for _ in range(2)] == ["a.png", "b.png"]


# -- lists -----------------------------------------------------------------------------------------------


def test_lists_of_lines() -> None:
    data = b"a b.png\n\ncaf\xc3\xa9.png\r\n\r\n\xff.png\n  lead.png\nlast.png"
    expected = [b"a b.png", b"caf\xc3\xa9.png", b"\xff.png", b"  lead.png", b"last.png"]
    assert [os.fsencode(path) for path in read_list(io.BytesIO(data))] == expected


@posix
@given(st.lists(st.binary(min_size=1, max_size=50).filter(lambda name: b"\0" not in name)))
def test_lists_with_nul_bring_any_name_back(names: list[bytes]) -> None:
    for data in (b"\0".join(names), b"".join(name + b"\0" for name in names)):
        assert [os.fsencode(path) for path in read_list(io.BytesIO(data), null=True)] == names


def test_lists_longer_than_a_chunk() -> None:
    names = [f"{index:05}" * 30 for index in range(5000)]
    assert list(read_list(io.BytesIO("\0".join(names).encode()), null=True)) == names


def test_lists_are_read_as_they_come() -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as stream, os.fdopen(writer, "wb", buffering=0) as sink:
        sink.write(b"first\0")
        assert next(read_list(stream, null=True)) == "first"
        sink.write(b"second\n")
        assert next(read_list(stream)) == "second"


# -- what is an image ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["a.jpg", "A.JPEG", "x/y.HeIc", "b.avif", "c.jxl", "d.tar.png", "e.DNG", "f.svg"]
)
def test_names_that_claim_an_image(name: str) -> None:
    assert claims_image(name)


@pytest.mark.parametrize(
    "name", ["png", ".png", "a.png.txt", "jpg/readme", "a.pdf", "a.", "", "a.zip", "a.json"]
)
def test_names_that_do_not(name: str) -> None:
    assert not claims_image(name)


def test_every_extension_of_the_decoders_is_known() -> None:
    import aigdetect.images.decode  # noqa: F401 - registers them

    # documents, data and films; names that other trades use too (.fit, .gbr, .iim, .im, .pcd are also
    # sport tracks, circuit boards, ... and .vst a plug-in): these are found by content, if at all
    not_claimed = {
        *(".pdf", ".ps", ".mpg", ".mpeg", ".h5", ".hdf", ".grib", ".bufr", ".palm"),
        *(".fit", ".gbr", ".iim", ".im", ".vst"),
    }
    missing = {name for name in Image.registered_extensions() if name[1:] not in EXTENSIONS}
    assert missing <= not_claimed


@pytest.mark.parametrize(
    "format",
    [
        *("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "ICO", "ICNS", "DDS", "QOI", "AVIF", "HEIF", "JXL"),
        *("JPEG2000", "XBM", "PPM"),
    ],
)
def test_content_of_what_pillow_writes(format: str) -> None:
    import aigdetect.images.decode  # noqa: F401 - registers them

    buffer = io.BytesIO()
    Image.new("1" if format == "XBM" else "RGB", (64, 64)).save(buffer, format)
    assert sniff(buffer.getvalue()[: find.HEAD_BYTES]) == format


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"8BPS\0\1" + bytes(20), "PSD"),
        (b"gimp xcf v011\0", "XCF"),
        (b"SIMPLE  =                    T", "FITS"),
        (b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- a --><svg xmlns="">', "SVG"),
        (b"<!DOCTYPE svg PUBLIC>", "SVG"),
        (b"P5\n# made by hand\n3 4\n255\n", "PPM"),
        (b"Pf\n3 4\n-1.0\n", "PPM"),
        (b"P7\nWIDTH 3\n", "PPM"),
        (bytes(2048) + b"PCD_IPI", "PCD"),
        (b"BPG\xfb", "BPG"),
        (b"\0\0\0\x18ftypcrx ", "CR3"),
        (b"FUJIFILMCCD-RAW 0201", "RAF"),
    ],
)
def test_content_of_what_pillow_does_not_write(head: bytes, name: str) -> None:
    assert sniff(head) == name


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"BMW drivers are people too, and write files that begin with BM.",
        b"#define X 1\n#include <stdio.h>\n",
        b"P1 is the first problem",
        b"P6 of 10 people",
        b"<html><svg></svg></html>",
        b'<?xml version="1.0"?><feed><svg/></feed>',
        b"%PDF-1.7",
        b"PK\x03\x04" + bytes(30),
        b"\x7fELF" + bytes(60),
        b"\0\1\0\0\0\x0f\x80\0\3" + bytes(30),  # a TrueType font
        b"\0\0\1\0" + bytes(60),
        b"\0\0\0\x20ftypisom" + bytes(20),  # a film
        b"RIFF\0\0\0\0WAVEfmt ",
        b'{"a": 1}',
        b"II*",
        b"\x0a\x05\x01\x08",  # PCX has no more than this
        bytes(4096),
    ],
)
def test_content_that_is_no_image(head: bytes) -> None:
    assert not looks_like_image(head)


@settings(max_examples=500)
@given(st.binary(max_size=64))
def test_random_bytes_are_no_image(head: bytes) -> None:
    assert not looks_like_image(b"\x01" + head)  # the first byte of none of the signatures
    sniff(head)


@pytest.mark.parametrize(
    "head",
    [
        b"<!--" * 1024,
        b"<?xml" * 800,
        b"<!---->" * 585,
        b" " * 4096,
        b"P6" + b" " * 4094,
        b"P6" + b"#\n" * 2047,
        b"P6" + b" 1" * 2047,
        b"Pf" + b" 1." * 1360,
        b"#define " + b"_width" * 680,
        b"/*" * 2048,
    ],
)
def test_hostile_text_is_sniffed_quickly(head: bytes) -> None:
    program = f"from aigdetect.images.sniff import sniff; sniff({head!r})"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=5, cwd=ROOT)


def test_finding_needs_no_decoder() -> None:
    program = "import sys, aigdetect.images.find; print({'PIL', 'numpy', 'torch'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout == "set()\n"


def test_videos_are_counted_and_one_that_is_named_is_an_error(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"\0\0\0\x18ftypisom\0\0\2\0isomiso2")
    assert list(find_files([tmp_path])) == [Found(str(clip), "other", VIDEO)]
    assert list(find_files([clip])) == [Found(str(clip), "image")]
    clip.write_bytes(b"\0\0\0\x18ftypheic\0\0\2\0mif1heic")  # a picture, whatever its name says
    assert [found.kind for found in find_files([tmp_path])] == ["image"]


def test_companion_files_of_macos_are_passed_over(tmp_path: Path) -> None:
    companion = b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(100)
    (tmp_path / "._a.jpg").write_bytes(companion)
    (tmp_path / "._b.jpg").write_bytes(b"\xff\xd8\xff\xe0 an image that hides")
    (tmp_path / "c.jpg").write_bytes(companion)
    kinds = [(Path(item.path).name, item.kind, item.reason) for item in find_files([tmp_path])]
    assert kinds == [("._a.jpg", "other", COMPANION), ("._b.jpg", "image", ""), ("c.jpg", "image", "")]
    (named,) = find_files([tmp_path / "._a.jpg"])
    assert named.reason == COMPANION


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lists_as_powershell_writes_them(coding: str, end: str) -> None:
    names = ["a.jpg", "наука 画像 🖼.png", "", "Ċ and ਊ.png", *(f"{index}.jpg" for index in range(20_000))]
    mark = {"utf-16-le": "\ufeff", "utf-16-be": "\ufeff"}.get(coding, "")
    data = (mark + "".join(name + end for name in names)).encode(coding)
    assert list(read_list(io.BytesIO(data))) == [name for name in names if name]
    assert list(read_list(io.BytesIO(data.removesuffix(end.encode(coding[:9]))))) == [
        name for name in names if name
    ]
