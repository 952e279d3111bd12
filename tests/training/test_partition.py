from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from aigdetect.data.layouts import DataSet, Sample
from aigdetect.errors import DataError, UsageError
from aigdetect.training.partition import draw_samples, split_data
from aigdetect.training.recipe import Recipe, make_recipe

SAMPLES = [
    Sample(f"{label}/{i}.png", label, "g") for label, count in ((0, 30), (1, 12)) for i in range(count)
]


def test_all_are_taken_as_they_are() -> None:
    assert draw_samples(SAMPLES, make_recipe()) == SAMPLES


def test_a_number_of_each_class() -> None:
    drawn = draw_samples(SAMPLES, make_recipe({"samples_per_class": 12}))
    assert Counter(sample.label for sample in drawn) == {0: 12, 1: 12}
    other = draw_samples(SAMPLES, make_recipe({"samples_per_class": 12, "seed": 1}))
    assert set(other) != set(drawn) <= set(SAMPLES)
    fewer = draw_samples(SAMPLES, make_recipe({"samples_per_class": 3}))
    assert set(fewer) < set(drawn)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"samples": 43}, "samples: 43 is more than the 42 training images"),
        ({"samples_per_class": 13}, "samples_per_class: 13 is more than the 12 generated training images"),
    ],
)
def test_more_than_there_are(settings: dict[str, int], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        draw_samples(SAMPLES, make_recipe(settings))


def test_images_of_one_class_alone_are_not_learnt_from(tmp_path: Path) -> None:
    def of(seed: int) -> Recipe:
        return make_recipe({"samples": 3, "seed": seed, "folds": 2})

    images = []
    for label in (0, 1):
        for index in range(10):
            path = tmp_path / f"{label}-{index}.png"
            path.write_bytes(f"{label}{index}".encode())
            images.append(Sample(str(path), label, f"g{label}", root=str(tmp_path)))
    data = DataSet(str(tmp_path), "list", tuple(images))
    drawn = [{each.label for each in draw_samples(images, of(seed))} for seed in range(40)]
    alone, both = (next(seed for seed in range(40) if len(drawn[seed]) == count) for count in (1, 2))
    with pytest.raises(DataError, match="samples: all 3 images drawn are of one class"):
        split_data([data], of(alone))
    assert len(split_data([data], of(both)).training) == 3
