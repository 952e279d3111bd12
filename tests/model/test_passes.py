"""Views on their way through a network."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from aigdetect.model.passes import Batches, OneByOne

CPU = torch.device("cpu")


@pytest.fixture
def views() -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (11, 4, 4, 3), dtype=np.uint8))


def mean(batch: torch.Tensor) -> torch.Tensor:
    return batch.float().mean(dim=(1, 2, 3))[:, None]


def firsts(views: list[np.ndarray]) -> list[int]:
    """Views that are the only ones of their images."""
    return [0] * len(views)


class Device:
    """A network on a device that has memory for so many views."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.sizes: list[int] = []

    def __call__(self, batch: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(batch))
        if len(batch) > self.room:
            raise torch.OutOfMemoryError("out of memory")
        return mean(batch)


def test_batches_are_filled_up_and_come_back_in_order(views: list[np.ndarray]) -> None:
    device = Device(room=4)
    passes = Batches(device, CPU, 4)
    np.testing.assert_allclose(
        passes.outputs(views, firsts(views)), [[view.mean()] for view in views], rtol=1e-5
    )
    assert device.sizes == [4, 4, 4]
    assert len(passes.outputs([], firsts([]))) == 0


def test_out_of_memory_begins_the_whole_call_again_with_half_the_batch(views: list[np.ndarray]) -> None:
    device = Device(room=8)
    passes = Batches(device, CPU, 8)
    passes.outputs(views[:3], firsts(views[:3]))
    device.room, device.sizes = 2, []
    small = Batches(Device(room=2), CPU, 2)
    np.testing.assert_array_equal(passes.outputs(views, firsts(views)), small.outputs(views, firsts(views)))
    assert passes.batch_size == 2
    assert device.sizes == [8, 4] + 6 * [2]


def test_out_of_memory_after_some_batches_leaves_none_of_the_old_size(views: list[np.ndarray]) -> None:
    sizes: list[int] = []

    def network(batch: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        sizes.append(len(batch))
        if len(sizes) == 2:
            raise torch.OutOfMemoryError("out of memory")
        # what differs with the batch size, as rounding does
        return mean(batch) + len(batch)

    np.testing.assert_allclose(
        Batches(network, CPU, 4).outputs(views, firsts(views)), [[v.mean() + 2] for v in views], rtol=1e-5
    )
    assert sizes == [4, 4] + 6 * [2]


def test_no_memory_for_a_single_view_is_raised(views: list[np.ndarray]) -> None:
    with pytest.raises(torch.OutOfMemoryError):
        Batches(Device(room=0), CPU, 4).outputs(views, firsts(views))


@pytest.fixture
def two_threads() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_views_are_spread_over_threads_and_come_back_in_order(views: list[np.ndarray]) -> None:
    seen: set[tuple[int, int, int]] = set()
    both = threading.Barrier(2, timeout=20)

    def network(batch: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        both.wait()  # so the views are two at a time
        seen.add((threading.get_ident(), len(batch), torch.get_num_threads()))
        return mean(batch)

    passes = OneByOne(network, 8)
    for _ in range(2):
        np.testing.assert_allclose(
            passes.outputs(views[:10], firsts(views[:10])), [[v.mean()] for v in views[:10]], rtol=1e-5
        )
    assert {(size, threads) for _, size, threads in seen} == {(1, 1)}
    assert len(seen) == 2
    assert torch.get_num_threads() == 2
    inherited: list[int] = []
    thread = threading.Thread(target=lambda: inherited.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert inherited == [2]


@pytest.mark.usefixtures("two_threads")
def test_what_one_view_raises_reaches_the_caller(views: list[np.ndarray]) -> None:
    def network(_batch: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no such view")

    with pytest.raises(RuntimeError, match="no such view"):
        OneByOne(network, 8).outputs(views, firsts(views))


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(
    "make", [lambda network: OneByOne(network, 8), lambda network: Batches(network, CPU, 4)]
)
def test_every_view_comes_with_its_place(views: list[np.ndarray], make) -> None:
    def network(batch: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
        assert len(batch) == len(scales)
        return torch.cat([mean(batch), 1000.0 * scales[:, None]], dim=1)

    scales = [index % 3 for index in range(len(views))]
    expected = [[view.mean(), 1000 * place] for view, place in zip(views, scales, strict=True)]
    np.testing.assert_allclose(make(network).outputs(views, scales), expected, rtol=1e-5)
