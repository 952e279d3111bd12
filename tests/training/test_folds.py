from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aigdetect.data.layouts import Sample
from aigdetect.errors import DataError
from aigdetect.training.folds import leave_out, make_folds


def samples(real: dict[str, int], generated: dict[str, int]) -> list[Sample]:
    return [
        Sample(f"{label}/{name}/{index}.png", label, name)
        for label, groups in enumerate((real, generated))
        for name, count in groups.items()
        for index in range(count)
    ]


counts = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(4, 9), min_size=1)


@settings(max_examples=60, deadline=None)
@given(real=counts, generated=counts, folds=st.integers(2, 4), seed=st.integers(0, 3))
def test_every_image_is_left_out_once_and_never_learnt_from_there(
    real: dict[str, int], generated: dict[str, int], folds: int, seed: int
) -> None:
    images = samples(real, generated)
    made = make_folds(images, [None] * len(images), folds, seed=seed)
    assert torch.cat([fold.left_out for fold in made]).sort().values.tolist() == list(range(len(images)))
    for fold in made:
        assert sorted([*fold.kept.tolist(), *fold.left_out.tolist()]) == list(range(len(images)))
        assert {images[index].label for index in fold.kept.tolist()} == {0, 1}


def test_where_few_are_scored_folds_are_as_ever() -> None:
    images = samples({"coco": 9, "faces": 6, "maps": 5}, {"gan": 5, "ldm": 4, "sd": 3})
    scored = list(range(0, len(images), 3))
    all_scored, few_scored = (
        make_folds(images, [None] * len(images), 3, seed=0, scored=chosen) for chosen in (None, scored)
    )
    for whole, few in zip(all_scored, few_scored, strict=True):
        assert few.kept.tolist() == whole.kept.tolist()
        expected = [index for index in whole.left_out.tolist() if index in scored]
        assert [scored[place] for place in few.left_out.tolist()] == expected


def test_generators_and_sources_of_real_images_are_left_out_whole() -> None:
    images = samples(
        {"coco": 9, "faces": 6, "maps": 5, "scans": 4}, {"gan": 5, "ldm": 4, "sd": 3, "dalle": 2}
    )
    folds = make_folds(images, [None] * len(images), 3, seed=0)
    whole = Counter((sample.label, sample.generator) for sample in images)
    for fold in folds:
        out = Counter((images[i].label, images[i].generator) for i in fold.left_out.tolist())
        assert all(count == whole[group] for group, count in out.items())
    for label, expected in ((0, [6, 9, 9]), (1, [4, 5, 5])):
        sizes = [sum(images[i].label == label for i in fold.left_out.tolist()) for fold in folds]
        assert sorted(sizes) == expected


def test_what_shares_a_repository_or_a_name_is_left_out_together() -> None:
    groups = [("sd15", 1, "a/b"), ("sdxl", 1, "a/b"), ("bing", 1, "c/2023"), ("bing", 1, "d/2024")]
    groups += [("old", 1, "d/2024"), ("gan", 1, ""), ("coco", 0, "a/b"), ("maps", 0, "e/f"), ("gan", 0, "")]
    images = [
        Sample(f"{label}/{name}/{number}/{index}.png", label, name, repository=repository)
        for number, (name, label, repository) in enumerate(groups)
        for index in range(3)
    ]
    for fold in make_folds(images, [None] * len(images), 3, seed=0):
        out = {groups[index // 3] for index in fold.left_out.tolist()}
        for together in (groups[0:2] + groups[6:7], groups[2:5], [groups[5], groups[8]]):
            assert len(out & set(together)) in (0, len(together))


def test_a_class_of_few_sources_is_shared_out_while_the_other_is_left_out_whole() -> None:
    images = samples({"coco": 9, "faces": 6}, {"gan": 5, "ldm": 4, "sd": 3, "dalle": 2})
    for fold in make_folds(images, [None] * len(images), 3, seed=0):
        out = Counter(images[index].generator for index in fold.left_out.tolist())
        assert (out.pop("coco"), out.pop("faces")) == (3, 2)
        assert all(count == {"gan": 5, "ldm": 4, "sd": 3, "dalle": 2}[name] for name, count in out.items())


def test_fewer_generators_than_folds_are_shared_out() -> None:
    images = samples({"coco": 8}, {"progan": 8})
    for fold in make_folds(images, [None] * len(images), 4, seed=1):
        assert sum(images[index].label for index in fold.left_out.tolist()) == 2


def test_what_was_made_of_an_image_goes_with_it_and_is_never_scored() -> None:
    images = [*samples({"coco": 6}, {"gan": 4, "ldm": 4}), *samples({}, {"autoencoder": 3})]
    parents = [None] * 14 + [0, 3, 5]
    seen = []
    for fold in make_folds(images, parents, 2, seed=0):
        kept, left_out = set(fold.kept.tolist()), set(fold.left_out.tolist())
        assert not left_out & {14, 15, 16}
        for child, parent in ((14, 0), (15, 3), (16, 5)):
            assert (child in kept) == (parent in kept)
        seen += sorted(left_out)
    assert sorted(seen) == list(range(14))


def test_each_origin_can_be_left_out_by_itself() -> None:
    images = samples({"coco": 4, "faces": 1}, {"gan": 2, "ldm": 2, "sd": 1})
    images = [replace(image, repository="r" if image.generator in ("gan", "ldm") else "") for image in images]
    parents = [None] * len(images) + [0]
    folds = make_folds([*images, Sample("made.png", 1, "made")], parents, "origins", seed=0)
    assert [{images[index].generator for index in fold.left_out.tolist()} for fold in folds] == [
        {"coco"},
        {"faces"},
        {"gan", "ldm"},
        {"sd"},
    ]
    assert [10 in fold.kept for fold in folds] == [False, True, True, True]
    for fold in folds:
        assert sorted([*fold.kept.tolist(), *fold.left_out.tolist()])[:10] == list(range(10))


def test_a_fold_without_a_class_to_learn_from_is_refused() -> None:
    images = samples({"coco": 4}, {"gan": 1})
    with pytest.raises(DataError, match="2 folds leave no image of one class"):
        make_folds(images, [None] * len(images), 2, seed=0)
    with pytest.raises(DataError, match="one origin left out leaves no image of one class"):
        make_folds(images, [None] * len(images), "origins", seed=0)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2, 0.25, 1 / 3, 0.4, 0.5, 0.6, 0.8, 0.9, 0.95])
def test_as_large_a_share_is_left_out_as_was_asked_for(share: float) -> None:
    images = samples({"one": 60}, {"gan": 60, "ldm": 60})
    kept, left_out = leave_out(images, share=share, seed=0)
    assert sorted(each.path for each in (*kept, *left_out)) == sorted(each.path for each in images)
    for label, count in ((0, 60), (1, 120)):
        assert sum(each.label == label for each in left_out) == pytest.approx(count * share, abs=2)


def test_whole_origins_make_up_the_share_where_there_are_enough() -> None:
    images = samples(dict.fromkeys("abcde", 10), dict.fromkeys("fghij", 10))
    _, left_out = leave_out(images, share=0.4, seed=0)
    counts = Counter((each.label, each.generator) for each in left_out)
    assert sorted(label for label, _ in counts) == [0, 0, 1, 1]
    assert set(counts.values()) == {10}
