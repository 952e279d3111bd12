"""Tensors that are kept from run to run, and a tower whose layers are."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import clip_tower, plain_tower
from torch import Tensor, nn

from aigdetect.model.network import MoleNetwork
from aigdetect.model.precision import kept
from aigdetect.model.precision.int8 import WholeLinear
from aigdetect.model.precision.kept import KeptTensors, keep_nothing
from aigdetect.model.towers import quantise
from aigdetect.model.towers.build import load_tower
from aigdetect.model.towers.tower import AdapterConfig, ImageTower


class Maker:
    """Makes tensors, and counts how often."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> tuple[Tensor, ...]:
        self.made += 1
        generator = torch.Generator().manual_seed(0)
        # so large that it is mapped into memory
        large = torch.randint(-127, 128, (1100, 1000), dtype=torch.int8, generator=generator)
        return large, torch.rand(7, generator=generator), torch.tensor(0.5), torch.empty(0, 3)


@pytest.fixture
def maker() -> Maker:
    return Maker()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "folder"


def assert_right(tensors: tuple[Tensor, ...]) -> None:
    for one, other in zip(tensors, Maker()(), strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)


def test_what_was_made_once_is_not_made_again(folder: Path, maker: Maker) -> None:
    for _ in range(3):
        assert_right(KeptTensors(folder)("layer", maker))
    assert maker.made == 1
    KeptTensors(folder)("another", maker)
    assert maker.made == 2
    assert sorted(path.name for path in folder.iterdir()) == ["another.safetensors", "layer.safetensors"]


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def change_a_value(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def fill_with_rubbish(path: Path) -> None:
    path.write_bytes(b"\xff" * 5000)


def let_all_write(path: Path) -> None:
    path.chmod(0o666)


@pytest.mark.parametrize(
    "break_it",
    [
        cut_off,
        change_a_value,
        empty,
        fill_with_rubbish,
        pytest.param(
            let_all_write, marks=pytest.mark.skipif(os.name == "nt", reason="MODES NOT TESTED: Unix's")
        ),
    ],
)
def test_what_is_broken_is_made_again_and_kept_anew(
    folder: Path, maker: Maker, break_it: Callable[[Path], None]
) -> None:
    keep = KeptTensors(folder)
    keep("layer", maker)
    break_it(folder / "layer.safetensors")
    for _ in range(2):
        assert_right(keep("layer", maker))
    assert maker.made == 2


@pytest.mark.parametrize(
    ("where", "what"), [(kept, "_made_with"), (os, "getuid")], ids=["other versions", "another user"]
)
def test_what_others_have_made_is_made_again(
    folder: Path, maker: Maker, monkeypatch: pytest.MonkeyPatch, where: Any, what: str
) -> None:
    if not hasattr(where, what):
        pytest.skip("USERS NOT TESTED: this system has no numbers for them")
    keep, now = KeptTensors(folder), getattr(where, what)()
    keep("layer", maker)
    monkeypatch.setattr(where, what, lambda: now + type(now)(1))
    assert_right(keep("layer", maker))
    assert maker.made == 2


def test_a_file_of_other_tensors_under_the_same_name_is_made_again(folder: Path, maker: Maker) -> None:
    keep = KeptTensors(folder)
    keep("layer", maker)
    keep("other", lambda: (torch.ones(3),))
    (folder / "other.safetensors").replace(folder / "layer.safetensors")
    assert_right(keep("layer", maker))
    assert maker.made == 2


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path: Path, maker: Maker) -> None:
    (tmp_path / "file").write_text("no folder")
    for _ in range(2):
        assert_right(KeptTensors(tmp_path / "file" / "folder")("layer", maker))
    assert maker.made == 2


def test_a_write_that_fails_leaves_nothing_behind(
    folder: Path, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", full)
    assert_right(KeptTensors(folder)("layer", maker))
    assert list(folder.iterdir()) == []


def test_several_at_once_get_the_same(folder: Path) -> None:
    makers = [Maker() for _ in range(8)]
    with ThreadPoolExecutor(len(makers)) as pool:
        for tensors in pool.map(lambda maker: KeptTensors(folder)("layer", maker), makers):
            assert_right(tensors)
    assert [path.name for path in folder.iterdir()] == ["layer.safetensors"]


# --- towers ------------------------------------------------------------------------------------------------


def layers_of(tower: ImageTower, seed: int, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """All that a tower in integers, and its bypasses, are made of."""
    found: list[Tensor] = []

    class Recorded(nn.Module):
        def __init__(self, base: nn.Linear | WholeLinear, *_: object, **__: object) -> None:
            super().__init__()
            found.extend((base if isinstance(base, WholeLinear) else WholeLinear.of(base)).tensors)

    for name in ("NormedInt8", "TokenInt8"):
        monkeypatch.setattr(quantise, name, Recorded)
    network = MoleNetwork(tower, AdapterConfig(blocks=2, modules=("attention", "mlp")))
    torch.manual_seed(seed)
    for bypass in network.bypasses.values():
        for parameter in bypass.parameters():
            nn.init.normal_(parameter)
    network.tower.quantise()
    for bypass in network.bypasses.values():
        found.extend(bypass.parameters())
        found.extend(offset for offset in (bypass.down_offset, bypass.router_offset) if offset is not None)
    return [each.detach().clone() for each in (*found, network.tower.turn_back(torch.eye(32)))]


@pytest.mark.parametrize("make", [plain_tower, clip_tower])
def test_layers_that_were_kept_are_the_same_bit_for_bit_and_need_no_weights(
    make: Callable[[], ImageTower], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = layers_of(make(), 1, monkeypatch)
    assert len(expected) > 4 * 4 * 3
    written, again = make(), make()
    for tower in (written, again):
        tower.keep = KeptTensors(folder)
    for layer in (*again.attentions, *again.mlps):
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
    for tower in (written, again):
        found = layers_of(tower, 1, monkeypatch)
        assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_bypasses_of_another_model_are_not_taken_for_those_that_were_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    towers = [plain_tower() for _ in range(2)]
    for tower in towers:
        tower.keep = KeptTensors(folder)
    first, second = (layers_of(tower, seed, monkeypatch) for seed, tower in enumerate(towers))
    fresh = layers_of(plain_tower(), 1, monkeypatch)
    assert all(torch.equal(one, other) for one, other in zip(second, fresh, strict=True))
    assert not all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_only_beside_a_cached_backbone_something_is_kept(tiny_model: Any, cached_tower: Any) -> None:
    cached, found = load_tower(tiny_model.backbone, offline=True)
    assert isinstance(cached.keep, KeptTensors)
    assert cached.keep._folder.parent == found.path.parent
    given, _ = load_tower(tiny_model.backbone, file=tiny_model.weights)
    assert given.keep is keep_nothing
