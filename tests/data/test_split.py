from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigdetect.data.layouts import Sample
from aigdetect.data.split import shuffle_key, split_by_generator
from aigdetect.errors import UsageError

groups = st.dictionaries(
    st.tuples(st.sampled_from(["progan", "sd1", "coco"]), st.integers(0, 1)), st.integers(1, 40), min_size=1
)
fractions = st.floats(0.01, 0.99)
seeds = st.integers(0, 2**64)


def samples_of(counts: dict[tuple[str, int], int], root: str = "data") -> list[Sample]:
    return [
        Sample(f"{root}/{generator}/{label}/{i}.png", label, generator, root=root)
        for (generator, label), count in counts.items()
        for i in range(count)
    ]


@given(groups, fractions, seeds)
def test_disjoint_and_complete(counts: dict[tuple[str, int], int], fraction: float, seed: int) -> None:
    samples = samples_of(counts)
    training, validation = split_by_generator(samples, fraction=fraction, seed=seed)
    assert not set(training) & set(validation)
    assert sorted([*training, *validation], key=repr) == sorted(samples, key=repr)


@given(groups, fractions, seeds)
def test_share_of_every_group(counts: dict[tuple[str, int], int], fraction: float, seed: int) -> None:
    _, validation = split_by_generator(samples_of(counts), fraction=fraction, seed=seed)
    held_out = Counter((s.generator, s.label) for s in validation)
    for group, count in counts.items():
        if count == 1:
            assert held_out[group] == 0
        else:
            assert 1 <= held_out[group] <= count - 1
            assert abs(held_out[group] - count * fraction) <= 1


@given(groups, seeds)
def test_order_of_the_input_is_no_matter(counts: dict[tuple[str, int], int], seed: int) -> None:
    samples = samples_of(counts)
    shuffled = random.Random(0).sample(samples, len(samples))
    assert split_by_generator(samples, seed=seed) == split_by_generator(shuffled, seed=seed)


def keys(samples: list[Sample]) -> list[str]:
    return [s.key for s in samples]


def test_place_on_disk_is_no_matter() -> None:
    counts = {("sd1", 1): 50, ("coco", 0): 50}
    here = split_by_generator(samples_of(counts, "/here/set"))
    there = split_by_generator(samples_of(counts, "there"))
    assert [keys(side) for side in here] == [keys(side) for side in there]


def test_known_split() -> None:
    # Fixed for good: a change here would mix validation and training images of models already trained
    _, validation = split_by_generator(samples_of({("sd1", 1): 10}))
    assert keys(validation) == ["sd1/1/4.png", "sd1/1/1.png"]


def test_seed_changes_the_split() -> None:
    samples = samples_of({("sd1", 1): 50})
    assert split_by_generator(samples, seed=0) != split_by_generator(samples, seed=1)


def test_one_more_image_moves_few() -> None:
    before, after = (set(split_by_generator(samples_of({("sd1", 1): n}))[1]) for n in (100, 101))
    assert len(before ^ after) <= 2


def test_names_that_are_no_text() -> None:
    odd = Sample("d/\udce9\n.png", 1, "sd1", root="d")
    assert shuffle_key(odd) == shuffle_key(Sample("e/\udce9\n.png", 1, "sd1", root="e"))
    assert len(split_by_generator([odd])[0]) == 1


def test_nothing_to_split() -> None:
    assert split_by_generator([]) == ([], [])


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_fraction_out_of_range(fraction: float) -> None:
    with pytest.raises(UsageError, match=f"between 0 and 1, it is {fraction}"):
        split_by_generator([], fraction=fraction)
