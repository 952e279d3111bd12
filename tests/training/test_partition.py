from __future__ import annotations

from collections import Counter

import pytest

from aigdetect.data.layouts import Sample
from aigdetect.errors import UsageError
from aigdetect.training.partition import draw_samples
from aigdetect.training.recipe import make_recipe

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
