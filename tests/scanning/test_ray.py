"""Scans on a Ray cluster: its two machines are processes here, its rows those of a scan in one program."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import command_forks
import numpy as np
import pytest
from command_forks import Done, Forks, Started
from PIL import Image

from aigdetect.errors import ModelError, UsageError
from aigdetect.images.find import Found, find_files
from aigdetect.images.views import Picture, Pixels
from aigdetect.model.calibration import Calibration
from aigdetect.model.card import AdapterCard, ModelCard, Preprocess
from aigdetect.scanning.cluster import Share, joined, require_ray, share_of
from aigdetect.scanning.opinion import Opinion
from aigdetect.scanning.preparation import Preparation
from aigdetect.scanning.record import Record
from aigdetect.scanning.remote import Job
from aigdetect.scanning.scanner import ModelRequest

REPOSITORY = Path(__file__).parents[2]
CRASH, KILL = 200, 201
IMAGES = 30

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None or not Path("/proc/self/task").exists(),
    reason="RAY IS NOT TESTED: it is not installed, or this is not Linux",
)


# --- a cluster ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster of two machines with one processor each, that dies with this process."""
    with pytest.MonkeyPatch.context() as patch:
        # the machines find the program, and what the tests put in its place
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, [REPOSITORY, *Path(__file__).parents[:2]])))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")
        patch.delenv("RAY_ADDRESS", raising=False)
        from ray.cluster_utils import Cluster

        cluster = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": 0, "include_dashboard": False}
        )
        cluster.add_node(num_cpus=1, num_gpus=0)
        yield cluster.address
        cluster.shutdown()


def actors() -> list[int]:
    """The processes of this process's workers: others may run a cluster, too."""
    found = []
    for pid in descendants(os.getpid()):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::Worker"):
                found.append(pid)
    return sorted(found)


def descendants(pid: int) -> set[int]:
    """All processes below one."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    below: set[int] = set()
    while more := {child for child, parent in parents.items() if parent in {pid, *below}} - below:
        below |= more
    return below


def wait_for(condition: Callable[[], object], seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


# --- a stand-in for the model ------------------------------------------------------------------------------


CARD = ModelCard(
    name="red",
    backbone="none",
    backbone_digest="b" * 64,
    preprocess=Preprocess(8, (0.5,) * 3, (0.5,) * 3, ("center_crop",)),
    adapter=AdapterCard(0, (), 0, (), None, 0),
    adapter_sha256="a" * 64,
    calibration=Calibration(1.0, 0.0, 100, 100, (-1.0,), (1.0,)),
)


@dataclass
class Red:
    """A detector that says the red of a view."""

    batch_size: int = 2
    precision: str = "float32"
    device: str = "cpu"
    weights_digest: str = "b"
    thresholds: Any = None
    card: ModelCard = CARD

    def view(self, picture: Picture, /) -> Pixels:
        raise AssertionError("decoded elsewhere")

    def score_views(self, views: Sequence[Pixels], /) -> list[Any]:
        return [
            SimpleNamespace(
                logit=float(view[0, 0, 0]), score=0.5, log10_lr=0.0, verdict="uncertain", kind=None, notes=()
            )
            for view in views
        ]


@dataclass(frozen=True)
class Reds(ModelRequest):
    """Loads it, in no time."""

    model: str = "red"

    def load(self, **_: Any) -> Any:
        return Red()


@dataclass(frozen=True)
class Various(Reds):
    """No two workers are alike."""

    def load(self, **_: Any) -> Any:
        return Red(precision=f"float{os.getpid()}")


@dataclass(frozen=True)
class Missing(Reds):
    """The model is not there."""

    def load(self, **_: Any) -> Any:
        raise ModelError("no such model here")


@dataclass(frozen=True)
class Fatal(Reds):
    """Ends the worker."""

    def load(self, **_: Any) -> Any:
        os._exit(1)


def first_pixel(picture: Picture) -> Pixels:
    """The view of a file; some bring down the process that decodes them."""
    pixels = np.asarray(picture)
    red = int(pixels[0, 0, 0])
    if red in (CRASH, KILL):
        os.kill(os.getpid(), signal.SIGSEGV if red == CRASH else signal.SIGKILL)
    return pixels[:1, :1]


def make(path: Path, red: int) -> str:
    Image.new("RGB", (40, 40), (red, 0, 0)).save(path)
    return str(path)


class Unknown:
    """Remembers nothing."""

    def find(self, sha256: str, path: str, /) -> Record | None:
        return None


def scan(
    address: str,
    found: Iterable[Found],
    wanted: ModelRequest,
    count: int = 2,
    *,
    prepare: Preparation | None = None,
    **job: Any,
) -> Iterator[Record]:
    with joined(address):
        from aigdetect.scanning.dispatch import ClusterScanner

        asked = Job(wanted, prepare or Preparation(first_pixel), **job)
        share = Share(cpus=1, gpus=0, count=count)
        with closing(ClusterScanner(asked, share, warn=print)) as scanner:
            for result in scanner.results(found, Unknown()):
                yield result.record


# --- rows --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Program:
    """The program with a tiny model, in a folder."""

    model: Any
    forks: Forks
    folder: Path

    def run(self, *args: object) -> Done:
        return self.forks.run("scan", *args, *self._options(), cwd=self.folder)

    def start(self, *args: object) -> Started:
        return command_forks.start("scan", *args, *self._options(), cwd=self.folder)

    def _options(self) -> list[object]:
        return ["--model", self.model.folder, "--weights", self.model.weights, "--device", "cpu"]


@pytest.fixture
def program(tiny_model: Any, forks: Forks, tmp_path: Path) -> Program:
    return Program(tiny_model, forks, tmp_path)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Images of noise, two of them the same, and what is none."""
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for place in range(IMAGES):
        pixels = rng.integers(0, 256, (60 + place, 100, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{place:02}.{'png' if place % 3 else 'jpg'}")
    (folder / os.fsdecode(b"\xff =copy\n.png")).write_bytes((folder / "01.png").read_bytes())
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "gone.png").symlink_to("nowhere")
    (folder / "notes.txt").write_text("no image")
    Image.new("RGB", (20, 20)).save(folder / "small.png")
    return folder


@pytest.mark.ray
@needs_ray
def test_a_worker_is_killed_and_all_is_as_in_one_program(
    images: Path, tmp_path: Path, program: Program, address: str
) -> None:
    what = ["images", "images/gone.png", "--stability", "--batch-size", "1", "--offline"]
    here = program.run(*what, "--case", "here")
    running = program.start(*what, "--case", "there", "--engine", "ray", "--ray-address", address)
    rows = tmp_path / "there/results.jsonl"
    wait_for(lambda: (rows.exists() and rows.stat().st_size) or running.poll() is not None)
    os.kill(actors()[0], signal.SIGKILL)
    early = len(rows.read_bytes().splitlines())
    out, said = running.communicate(timeout=400)
    assert (here.status, running.returncode) == (1, 1), here.stderr + said.decode()
    # nothing of Ray's is heard; how long it takes to start depends on what else this machine does
    heard = [line for line in said.decode().splitlines() if "no worker is ready" not in line]
    assert out == b""
    assert sum("died: others do again" in line for line in heard) == 1
    assert len(heard) == len(here.stderr.splitlines()) + 1
    maps = sorted(f"heatmaps/{path.name}" for path in (tmp_path / "here/heatmaps").iterdir())
    assert maps
    assert sorted(f"heatmaps/{path.name}" for path in (tmp_path / "there/heatmaps").iterdir()) == maps
    for name in ("results.jsonl", "results.csv", *maps):
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
    pages = [(tmp_path / case / "report.html").read_text(encoding="utf-8") for case in ("here", "there")]
    assert pages[0].count("data:image/") == pages[1].count("data:image/") > 2 * IMAGES
    count = len(rows.read_bytes().splitlines())
    assert 0 < early <= count - 12
    # what one engine left the other takes up, and tries again what may be there by now
    again = program.run(*what, "--case", "there", "--resume").stderr
    assert f"{count - 1} of these rows from before; 1 made anew" in again, again


@pytest.mark.ray
@needs_ray
def test_an_interrupt_leaves_rows_and_no_process(images: Path, tmp_path: Path, program: Program) -> None:
    """On a cluster of its own."""
    for place in range(150):
        (images / f"n{place}.png").write_bytes((images / "01.png").read_bytes())
    running = program.start(
        "images", "--stability", "--batch-size", "1", "--jsonl", "o.jsonl", "--engine", "ray"
    )
    rows = tmp_path / "o.jsonl"
    wait_for(lambda: (rows.exists() and rows.stat().st_size) or running.poll() is not None)
    below = descendants(running.pid)
    assert len(below) > 3
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=100)
    assert running.returncode == 130
    assert said.splitlines()[-1] == b"interrupted: everything finished so far is on disk"
    lines = [json.loads(line) for line in rows.read_bytes().splitlines()]
    assert 0 < len(lines) < 150
    wait_for(lambda: not [pid for pid in below if Path(f"/proc/{pid}").exists()], 60)


# --- workers -----------------------------------------------------------------------------------------------


@pytest.mark.ray
@needs_ray
def test_endless_files_some_of_which_bring_decoders_down(tmp_path: Path, address: str) -> None:
    paths = [make(tmp_path / f"{red}.png", red) for red in (1, 2, CRASH, 3)]
    asked = itertools.count()
    endless = (Found(paths[place % 4], "image") for place in asked)
    records = list(itertools.islice(scan(address, endless, Reds()), 40))
    assert [record.path for record in records] == paths * 10
    assert [record.logit for record in records] == [1, 2, None, 3] * 10
    assert {record.error for record in records} == {None, "the decoder crashed (SIGSEGV)"}
    # two workers, a few blocks of eight for each
    assert next(asked) <= 40 + 2 * 4 * 8


@pytest.mark.ray
@needs_ray
def test_a_file_that_kills_every_worker(tmp_path: Path, address: str) -> None:
    for place in range(20):
        make(tmp_path / f"{place:02}.png", KILL if place == 9 else place)
    prepare = Preparation(first_pixel, also=(first_pixel,))
    records = list(scan(address, find_files([tmp_path]), Reds(), decoders=0, prepare=prepare, also=(Reds(),)))
    assert [record.path for record in records] == [str(tmp_path / f"{place:02}.png") for place in range(20)]
    assert [record.error for record in records] == [
        "every worker that scanned it died" if place == 9 else None for place in range(20)
    ]
    assert [record.logit for record in records if not record.error] == [*range(9), *range(10, 20)]
    assert [record.also for record in records] == [
        (Opinion("red"),) if place == 9 else (Opinion("red", 0.5, "uncertain"),) for place in range(20)
    ]


@pytest.mark.ray
@needs_ray
@pytest.mark.parametrize(
    ("wanted", "count", "message"),
    [
        (Missing(), 1, "no such model here"),
        (Fatal(), 1, "workers die as they start"),
        (Various(), 2, "rows would differ"),
    ],
)
def test_workers_that_cannot_work(
    tmp_path: Path, address: str, wanted: ModelRequest, count: int, message: str
) -> None:
    paths = [make(tmp_path / f"{red}.png", red) for red in range(9)]
    found = (Found(path, "image") for path in itertools.chain.from_iterable(itertools.repeat(paths)))
    with pytest.raises((UsageError, ModelError), match=message) as caught:
        list(scan(address, found, wanted, count))
    assert "\n" not in str(caught.value)


# --- what each worker gets ---------------------------------------------------------------------------------


def test_a_worker_takes_a_machine_or_a_gpu() -> None:
    small, large = {"CPU": 8.0}, {"CPU": 16.0, "memory": 1e9}
    gpus = {"CPU": 32.0, "GPU": 4.0}
    assert share_of([small, large, {"CPU": 0.0}], "auto") == Share(8, 0, 3)
    assert share_of([small, gpus], "auto") == share_of([small, gpus], "cuda") == Share(8, 1, 4)
    assert share_of([small, gpus], "cpu") == Share(8, 0, 5)
    assert share_of([], "auto") == Share(1, 0, 1)
    with pytest.raises(UsageError, match="no GPU"):
        share_of([small], "cuda")


# --- what is refused ---------------------------------------------------------------------------------------


def test_ray_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'aigdetect\[ray\]'"):
        require_ray()


@pytest.mark.parametrize("kind", ["closed", "ray://127.0.0.1:10001", "127.0.0.1:port"])
def test_a_cluster_that_cannot_be_reached(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    address = f"127.0.0.1:{port}" if kind == "closed" else kind
    with pytest.raises(UsageError, match=f"^Ray cluster {address}: .*$"), joined(address):
        pass


@pytest.mark.ray
@needs_ray
@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["--ray-address", "auto"], "error: --ray-address: only with --engine ray"),
        (["--engine", "ray", "--ray-address", "127.0.0.1:x"], "error: Ray cluster 127.0.0.1:x: "),
    ],
)
def test_nothing_is_begun(
    images: Path, tmp_path: Path, program: Program, args: list[str], error: str
) -> None:
    done = program.run("images", "--jsonl", "o.jsonl", *args)
    assert done.status == 2
    assert done.stderr.startswith(error)
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "o.jsonl").exists()
