"""Tensors of a file one by one, and what of the file is in memory."""

from __future__ import annotations

import mmap
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakSet

import pytest
import torch
from safetensors.torch import save_file
from tiny import MEAN, STD, plain_base
from torch import Tensor

from aigdetect.errors import WeightsError
from aigdetect.model.precision.linear import can_pack
from aigdetect.model.towers import cliptower
from aigdetect.model.towers.arithmetic import precisions_of, prepare_tower
from aigdetect.model.towers.vit import PlainVit
from aigdetect.model.towers.wrap import wrap_tower
from aigdetect.model.weights import tensorfile
from aigdetect.model.weights.tensorfile import TensorFile
from aigdetect.model.weights.towerfile import file_digest, load_tower_state, tensors_digest

CPU = torch.device("cpu")


@pytest.fixture(params=[False, True], ids=["read", "mapped"])
def mapped(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether all tensors are large enough to be mapped."""
    if request.param:
        monkeypatch.setattr(tensorfile, "_LARGE", 1)
    return bool(request.param)


def some_tensors() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {
        "matrix": torch.randn(30, 40),
        "half": torch.randn(7).half(),
        "brain": torch.randn(2, 3, 4).bfloat16(),
        "double": torch.randn(5).double(),
        "scalar": torch.tensor(2.5),
        "none": torch.empty(0, 4),
        "index": torch.arange(9),
        "bits": torch.tensor([True, False]),
    }


class Mapping(mmap.mmap):
    """What is mapped, as long as it is."""

    alive: ClassVar[WeakSet[Mapping]] = WeakSet()

    def __init__(self, *_: object, **__: object) -> None:
        self.alive.add(self)


@pytest.fixture
def mappings(monkeypatch: pytest.MonkeyPatch) -> WeakSet[Mapping]:
    monkeypatch.setattr(Mapping, "alive", WeakSet())
    monkeypatch.setattr(tensorfile.mmap, "mmap", Mapping)
    return Mapping.alive


@pytest.mark.usefixtures("mapped")
def test_tensors_come_back_as_they_were_written(tmp_path: Path) -> None:
    tensors, path = some_tensors(), tmp_path / "some.safetensors"
    save_file(tensors, path)
    with TensorFile(path) as file:
        assert file.entries.keys() == tensors.keys()
        found = {name: file.tensor(name) for name in file.entries}
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


@pytest.mark.usefixtures("mapped")
def test_the_digest_of_a_file_is_that_of_its_tensors(tmp_path: Path) -> None:
    tensors, path = some_tensors(), tmp_path / "some.safetensors"
    save_file({f"visual.{name}": tensor for name, tensor in tensors.items()}, path)
    assert file_digest(path) == tensors_digest(tensors) == tensors_digest(load_tower_state(path))


def test_what_is_written_to_a_tensor_does_not_reach_the_file(tmp_path: Path, mapped: bool) -> None:
    path = tmp_path / "some.safetensors"
    save_file(some_tensors(), path)
    before = path.read_bytes()
    with TensorFile(path) as file:
        tensor = file.tensor("matrix")
    tensor.zero_()
    assert torch.equal(tensor, torch.zeros(30, 40))
    assert path.read_bytes() == before


def test_a_file_that_is_shorter_or_of_another_type_than_it_says(tmp_path: Path) -> None:
    path = tmp_path / "some.safetensors"
    save_file(some_tensors(), path)
    with TensorFile(path) as file:
        path.write_bytes(path.read_bytes()[:-8])
        with pytest.raises(EOFError, match="shorter"):
            file.tensor(max(file.entries, key=lambda name: file.entries[name].begin))
    with pytest.raises(WeightsError, match="not a readable safetensors file"):
        load_tower_state(path)
    header = b'{"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}'
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0")
    with pytest.raises(WeightsError, match="F8_E4M3"):
        load_tower_state(path)


def test_a_tensor_that_is_let_go_of_leaves_memory_by_itself(
    tmp_path: Path, mappings: WeakSet[Mapping]
) -> None:
    path = tmp_path / "two.safetensors"
    save_file({"first": torch.ones(1 << 19), "second": torch.ones(1 << 18), "third": torch.ones(9)}, path)
    state = load_tower_state(path)
    assert len(mappings) == 2
    del state["first"]
    assert len(mappings) == 1
    assert float(state["second"].sum()) == 1 << 18
    state.clear()
    assert len(mappings) == 0


@pytest.mark.skipif(not can_pack(), reason="PACKING NOT TESTED: not on this processor, or this torch")
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_matrices_leave_memory_block_by_block_while_they_are_packed(
    tmp_path: Path, mappings: WeakSet[Mapping], monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    if precision not in precisions_of(CPU):
        pytest.skip("INT8 NOT TESTED: not on this processor, or this torch")
    monkeypatch.setattr(tensorfile, "_LARGE", 1)
    like, path = plain_base(), tmp_path / "tower.safetensors"
    save_file(like.state_dict(), path)
    with torch.device("meta"):
        base = PlainVit(like.shape)
    base.load_state_dict(load_tower_state(path), assign=True)
    tower = wrap_tower(base, mean=MEAN, std=STD, name="tiny")
    # how each block begins, and how many tensors leave with it: in integers, those of its norms, too
    begins, gone = {"float32": ("fold_quick_gelu", 8), "int8": ("quantise_attention", 12)}[precision]
    left, begin = [], getattr(cliptower, begins)

    def beginning(*arguments: Any) -> None:
        left.append(len(mappings))
        begin(*arguments)

    monkeypatch.setattr(cliptower, begins, beginning)
    prepare_tower(tower, precision, CPU)
    left.append(len(mappings))
    assert [before - after for before, after in pairwise(left)] == [gone] * len(tower.blocks)
