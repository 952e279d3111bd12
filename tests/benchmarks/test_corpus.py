"""The corpus: built as a process from git repositories of a few images, and from a host on loopback."""

from __future__ import annotations

import csv
import hashlib
import http.server
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import command_forks
import numpy as np
import pytest
from PIL import Image

from aigdetect.data.layouts import find_samples
from aigdetect.model.calibration import Calibration
from aigdetect.model.card import AdapterCard, ModelCard, Preprocess, write_card
from aigdetect.training.partition import draw_samples
from aigdetect.training.recipe import make_recipe

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "benchmarks" / "corpus.py"
COLUMNS = (
    *("group", "label", "kind", "repository", "commit", "path", "blob", "sha256"),
    *("bytes", "width", "height", "format", "sure", "cut", "note"),
)
NO_BLOB = "0" * 40


def encoded(name: str, kind: str = "PNG", size: tuple[int, int] = (40, 32)) -> bytes:
    """An image of noise, other for each name."""
    seed = int.from_bytes(name.encode(), "big")
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def pixels(data: bytes | Path) -> np.ndarray:
    with Image.open(io.BytesIO(data) if isinstance(data, bytes) else data) as image:
        assert image.mode == "RGB"
        return np.asarray(image)


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=nobody", "-c", "user.email=nobody@example.org", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


@dataclass
class World:
    """Repositories, their list, and where the corpus goes."""

    root: Path
    rows: list[dict[str, str]] = field(default_factory=list)
    contents: dict[str, bytes] = field(default_factory=dict)

    @property
    def out(self) -> Path:
        return self.root / "out"

    @property
    def mirror(self) -> Path:
        return self.root / "mirror"

    def repository(self, name: str, files: dict[str, bytes], place: str = "{}/repo") -> dict[str, str]:
        """Make a repository, put its git directory into the mirror, and give its blobs and commit."""
        tree = self.root / "trees" / name
        tree.mkdir(parents=True)
        git(tree, "init", "-q")
        for path, data in files.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(data)
        git(tree, "add", ".")
        git(tree, "commit", "-q", "-m", "images")
        commit = git(tree, "rev-parse", "HEAD")
        blobs = {path: git(tree, "rev-parse", f"HEAD:{path}") for path in files}
        target = self.mirror / place.format(name.replace("/", "+"))
        target.parent.mkdir(parents=True, exist_ok=True)
        (tree / ".git").rename(target)
        for path, data in files.items():
            self.contents[f"/{name}/{commit}/{path}"] = data
        return {"commit": commit, **blobs}

    def add(self, group: str, label: int, repository: str, path: str, data: bytes, **cells: str) -> None:
        row = dict.fromkeys(COLUMNS, "") | {
            "group": group,
            "label": str(label),
            "kind": "photograph",
            "repository": repository,
            "commit": NO_BLOB,
            "path": path,
            "blob": NO_BLOB,
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": str(len(data)),
            "format": "PNG",
            "sure": "3",
        }
        self.rows.append(row | cells)

    def run(self, *arguments: str, command: str = "build") -> subprocess.CompletedProcess[str]:
        """Write the list, and run the command."""
        return command_forks.run(
            *self.words(*arguments, command=command), cwd=self.root, script=SCRIPT, env={"NO_PROXY": "*"}
        )

    def words(self, *arguments: str, command: str) -> list[str]:
        lines = ["\t".join(COLUMNS), *("\t".join(row[name] for name in COLUMNS) for row in self.rows)]
        (self.root / "corpus.tsv").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return [command, *(["corpus.tsv", "--out", "out"] if command == "build" else []), *arguments]

    def started(self, *arguments: str, command: str = "build") -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(SCRIPT), *self.words(*arguments, command=command)],
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "NO_PROXY": "*"},
        )

    def built(self, *arguments: str) -> str:
        """Build, and give what was said."""
        ran = self.run(*arguments)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def from_mirror(self, *arguments: str) -> str:
        return self.built("--mirror", "mirror", "--offline", *arguments)

    def listed(self) -> list[dict[str, str]]:
        with (self.out / "images.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def missing(self) -> dict[str, str]:
        """Reason by path."""
        with (self.out / "missing.tsv").open(encoding="utf-8", newline="") as file:
            return {r["path"]: r["reason"] for r in csv.DictReader(file, delimiter="\t")}

    def images(self) -> dict[str, int]:
        """Times of change of all files of the corpus by relative path."""
        files = (path for path in (self.out / "images").rglob("*") if path.is_file())
        return {str(path.relative_to(self.out)): path.stat().st_mtime_ns for path in files}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def name_of(data: bytes, ending: str) -> str:
    return hashlib.sha256(data).hexdigest()[:16] + ending


@pytest.fixture
def mixed(world: World) -> World:
    """Two repositories in the mirror, with an image for each thing that may happen to one."""
    one = {
        "plain.png": encoded("plain"),
        "a b/täst (1).jpg": encoded("named", "JPEG"),
        "mark.png": encoded("mark"),
        "four.webp": encoded("four", "WEBP", (41, 33)),
        "changed.png": encoded("now"),
    }
    two = {"again.png": one["plain.png"], "moved.png": encoded("moved")}
    blobs = world.repository("some/one", one)
    other = world.repository("some/two.x", two, "{}/repo/.git")
    at = {"commit": blobs["commit"]}
    world.add("gan", 1, "some/one", "plain.png", one["plain.png"], blob=blobs["plain.png"], **at)
    named = "a b/täst (1).jpg"
    world.add("photos", 0, "some/one", named, one[named], blob=blobs[named], format="JPEG", **at)
    cut = {"cut": "bottom-rows:16", **at}
    world.add("gan", 1, "some/one", "mark.png", one["mark.png"], blob=blobs["mark.png"], **cut)
    cut = {"cut": "grid:2x2", "format": "WEBP", **at}
    world.add("sheets", 1, "some/one", "four.webp", one["four.webp"], blob=blobs["four.webp"], **cut)
    was = encoded("was")
    world.add("photos", 0, "some/one", "changed.png", was, blob=blobs["changed.png"], **at)
    world.add("photos", 0, "some/two.x", "again.png", two["again.png"], blob=other["again.png"])
    world.add("photos", 0, "some/two.x", "moved.png", two["moved.png"], commit=other["commit"])
    world.add("photos", 0, "some/two.x", "gone.png", b"gone", commit=other["commit"])
    world.add("photos", 0, "no/where", "nothing.png", b"nothing")
    (world.mirror / "no+where.part" / "repo").mkdir(parents=True)
    return world


def test_images_are_those_of_the_list(mixed: World) -> None:
    said = mixed.from_mirror()
    plain, mark, four = encoded("plain"), encoded("mark"), encoded("four", "WEBP", (41, 33))
    named, moved = encoded("named", "JPEG"), encoded("moved")
    photos = sorted([f"images/photos/{name_of(named, '.jpg')}", f"images/photos/{name_of(moved, '.png')}"])
    parts = [f"images/sheets/{name_of(four, f'-{part}.png')}" for part in range(4)]
    gans = sorted(f"images/gan/{name_of(data, '.png')}" for data in (plain, mark))
    assert [row["path"] for row in mixed.listed()] == [*gans, *photos, *parts]
    assert sorted(mixed.images()) == sorted([*gans, *photos, *parts])

    assert (mixed.out / "images/gan" / name_of(plain, ".png")).read_bytes() == plain
    assert (mixed.out / "images/photos" / name_of(named, ".jpg")).read_bytes() == named
    assert (mixed.out / "images/photos" / name_of(moved, ".png")).read_bytes() == moved
    whole = pixels(mark)
    np.testing.assert_array_equal(pixels(mixed.out / "images/gan" / name_of(mark, ".png")), whole[:-16])
    cut = [pixels(mixed.out / part) for part in parts]
    rebuilt = np.concatenate([np.concatenate(cut[:2], axis=1), np.concatenate(cut[2:], axis=1)])
    np.testing.assert_array_equal(rebuilt, pixels(four))
    assert cut[0].shape == (16, 20, 3)

    assert "6 AI-generated images of 3 files in 2 groups" in said
    assert "2 real images of 2 files in 1 groups" in said
    assert "5 files made, 0 there before" in said
    assert "4 missing" in said
    assert "some/one: 1 other content" in said


def test_list_is_a_data_set(mixed: World) -> None:
    mixed.from_mirror()
    data = find_samples(mixed.out / "images.csv")
    assert Counter((s.generator, s.label) for s in data.samples) == {
        ("gan", 1): 2,
        ("photos", 0): 2,
        ("sheets", 1): 4,
    }
    assert {s.repository for s in data.samples} == {"some/one", "some/two.x"}
    assert {s.kind for s in data.samples} == {"photograph"}


def test_what_is_missing_is_named(mixed: World) -> None:
    mixed.from_mirror()
    assert mixed.missing() == {
        "changed.png": mixed.missing()["changed.png"],
        "again.png": "same content as gan: some/one plain.png",
        "gone.png": "not in the mirror",
        "nothing.png": "no mirror has the repository",
    }
    assert mixed.missing()["changed.png"].startswith("other content")


def test_second_run_makes_nothing_anew(mixed: World) -> None:
    mixed.from_mirror()
    before, listed = mixed.images(), (mixed.out / "images.csv").read_bytes()
    assert "0 files made, 5 there before" in mixed.from_mirror()
    assert (mixed.images(), (mixed.out / "images.csv").read_bytes()) == (before, listed)


@pytest.mark.parametrize("harm", ["changed", "shortened", "gone"])
def test_harmed_images_are_made_again(mixed: World, harm: str) -> None:
    mixed.from_mirror()
    four, plain = encoded("four", "WEBP", (41, 33)), encoded("plain")
    before = {}
    for name in (f"sheets/{name_of(four, '-2.png')}", f"gan/{name_of(plain, '.png')}"):
        path = mixed.out / "images" / name
        before[path] = path.read_bytes()
        if harm == "gone":
            path.unlink()
        else:
            changed = before[path][:-1] + b"?"
            path.write_bytes(changed if harm == "changed" else changed[:-1])
    left = mixed.out / "images/gan/.aigdetect-1-0.part"
    left.write_bytes(b"of a run that was killed")
    assert "2 files made, 3 there before" in mixed.from_mirror()
    assert {path: path.read_bytes() for path in before} == before
    assert not left.exists()


def test_at_most_so_many_of_each_group(world: World) -> None:
    files = {f"{index}.png": encoded(str(index)) for index in range(5)}
    blobs = world.repository("some/one", files, "{}")
    for index, (path, data) in enumerate(files.items()):
        label = int(index < 3)
        cells = {"commit": blobs["commit"], "blob": blobs[path]}
        world.add("gan" if label else "photos", label, "some/one", path, data, **cells)
    chosen = []
    for most in ("1", "2", "9"):
        world.from_mirror("--most", most)
        chosen.append({row["sha256"] for row in world.listed()})
    digests = sorted(row["sha256"] for row in world.rows if row["label"] == "1")
    assert digests[0] in chosen[0]
    assert digests[1] in chosen[1]
    assert chosen[0] < chosen[1] < chosen[2]
    assert [len(each) for each in chosen] == [2, 4, 5]


def test_sources_name_each_file_once(mixed: World) -> None:
    mixed.from_mirror()
    ran = mixed.run("out/images.csv", "--out", "sources.csv", command="list")
    assert ran.returncode == 0, ran.stderr
    with (mixed.root / "sources.csv").open(encoding="utf-8", newline="") as file:
        header, *lines = csv.reader(file)
    assert header == ["repository", "commit", "path", "sha256", "label", "group"]
    assert lines == sorted(lines)
    kept = [row for row in mixed.rows if row["path"] not in mixed.missing()]
    assert sorted(lines) == sorted([row[name] for name in header] for row in kept)
    ran = mixed.run("sources.csv", "--out", "other.csv", command="list")
    assert ran.returncode == 1
    assert "not the images.csv of a corpus" in ran.stderr


def test_the_list_of_a_model_names_what_its_recipe_drew(mixed: World) -> None:
    mixed.from_mirror()
    card = ModelCard(
        name="m",
        backbone="ViT-B-16",
        backbone_digest="0" * 64,
        preprocess=Preprocess(224, (0.5,) * 3, (0.5,) * 3, ("whole",)),
        adapter=AdapterCard(3, ("mlp",), 8, (4, 8, 16), None, 9),
        adapter_sha256="0" * 64,
        calibration=Calibration(1.0, 0.0, 1, 1, (0.0,), (1.0,)),
        recipe={"samples_per_group": 1},
    )
    (mixed.root / "m").mkdir()
    write_card(mixed.root / "m", card)
    ran = mixed.run("out/images.csv", "--out", "sources.csv", "--model", "m", command="list")
    assert ran.returncode == 0, ran.stderr
    with (mixed.root / "sources.csv").open(encoding="utf-8", newline="") as file:
        groups = [row["group"] for row in csv.DictReader(file)]
    drawn = draw_samples(find_samples(mixed.root / "out/images.csv").samples, make_recipe(card.recipe))
    assert sorted(groups) == sorted(sample.generator for sample in drawn)
    assert len(groups) == len(set(groups)) < len(mixed.listed())


# -- the host -----------------------------------------------------------------------------------------------


@contextmanager
def serving(
    contents: dict[str, bytes], *, busy: Collection[str] = (), slow: Collection[str] = ()
) -> Iterator[tuple[str, Counter[str]]]:
    """A host that has contents by path, and what was asked for.

    Paths in ``busy`` answer 503 once; those in ``slow`` never come to an end.
    """
    asked: Counter[str] = Counter()
    ended = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = unquote(self.path)
            asked[path] += 1
            data = contents.get(path)
            code = 404 if data is None else 503 if path in busy and asked[path] == 1 else 200
            self.send_response(code)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            while path in slow and not ended.wait(0.02):
                self.wfile.write(b"x")
            self.wfile.write(data or b"")

        def handle(self) -> None:
            with suppress(ConnectionError):
                super().handle()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


def test_what_no_mirror_has_comes_from_the_host(mixed: World) -> None:
    far = {"far #1.png": encoded("far"), "busy.png": encoded("busy")}
    contents = {f"/far/away/{NO_BLOB}/{path}": data for path, data in far.items()}
    contents[f"/far/away/{NO_BLOB}/long.png"] = bytes(1 << 20)
    for path, data in {**far, "long.png": encoded("long"), "none.png": encoded("none")}.items():
        mixed.add("far", 0, "far/away", path, data)
    busy = f"/far/away/{NO_BLOB}/busy.png"
    with serving(contents, busy={busy}) as (host, asked):
        said = mixed.built("--mirror", "mirror", "--host", host, "--workers", "3")
        assert "7 files made" in said
        assert "0 files made, 7 there before" in mixed.built("--mirror", "mirror", "--host", host)
    for data in far.values():
        assert (mixed.out / "images/far" / name_of(data, ".png")).read_bytes() == data
    missing = mixed.missing()
    assert missing["none.png"] == missing["gone.png"] == "the host says 404 Not Found"
    assert missing["long.png"].startswith("other content")
    assert asked[busy] == 2
    assert asked[f"/far/away/{NO_BLOB}/far #1.png"] == 1
    assert not [path for path in asked if "plain.png" in path]


def test_host_that_is_not_there(world: World) -> None:
    world.add("far", 0, "far/away", "1.png", encoded("far"))
    world.add("far", 0, "far/away", "2.png", encoded("further"))
    with serving({}) as (host, _):
        pass
    world.built("--host", host)
    assert world.missing() == dict.fromkeys(
        ("1.png", "2.png"), "the host cannot be reached (Connection refused)"
    )
    assert world.listed() == []


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
def test_interrupt_leaves_nothing_half_written(mixed: World) -> None:
    path = f"/far/away/{NO_BLOB}/slow.png"
    data = encoded("slow", size=(400, 400))
    mixed.add("far", 0, "far/away", "slow.png", data)
    with serving({path: data}, slow={path}) as (host, asked):
        process = mixed.started("--mirror", "mirror", "--host", host)
        until = time.monotonic() + 60
        while not asked[path] and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on" in errors
    assert len(mixed.images()) == 8
    assert sorted(each.name for each in mixed.out.iterdir()) == ["cuts.tsv", "images"]
    with serving({path: data}) as (host, _):
        assert "1 files made, 5 there before" in mixed.built("--mirror", "mirror", "--host", host)


# -- lists that cannot be used ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"group": "../up"}, "line 3: group cannot be '../up'"),
        ({"repository": "no-owner"}, "line 3: repository cannot be 'no-owner'"),
        ({"sha256": "12"}, "line 3: sha256 cannot be '12'"),
        ({"format": "SVG"}, "line 3: format cannot be 'SVG'"),
        ({"cut": "left:3"}, "line 3: cut cannot be 'left:3'"),
        ({"label": "1"}, "line 3: group photos has another label above"),
    ],
)
def test_bad_rows(world: World, cells: dict[str, str], message: str) -> None:
    world.add("photos", 0, "some/one", "1.png", b"1")
    world.add("photos", 0, "some/one", "2.png", b"2")
    world.rows[1] |= cells
    ran = world.run("--offline")
    assert ran.returncode == 1
    assert message in ran.stderr
    assert not world.out.exists()
