from __future__ import annotations

import pickle

import numpy as np
import pytest
from skimage import data as photographs
from sklearn.metrics import average_precision_score

from aigdetect.errors import UsageError
from aigdetect.evaluation.robustness import SUITE, Operation, parse_operations, summarise
from aigdetect.images import perturb
from aigdetect.metrics.measure import Figure

PHOTO = photographs.astronaut()[100:190, 150:250]


def names(text: str) -> list[str]:
    return [str(operation) for operation in parse_operations(text)]


def test_names_and_levels() -> None:
    assert names("blur") == ["blur:1", "blur:2", "blur:3", "blur:4"]
    assert names("jpeg:65, blur:2.5") == ["jpeg:65", "blur:2.5"]
    assert names("jpeg") == [f"jpeg:{quality}" for quality in range(90, 29, -10)]
    assert names("jpeg:50,jpeg:50.0,crop:0.9,crop") == ["jpeg:50", "crop:0.9", "crop:0.75", "crop:0.5"]


def test_all_is_the_whole_suite() -> None:
    every = parse_operations("all")
    assert [(operation.name, operation.level) for operation in every] == [
        (name, level) for name, kind in SUITE.items() for level in kind.levels
    ]
    assert {operation.name for operation in every} >= {
        *("blur", "jpeg", "webp", "resize", "noise", "crop", "double-jpeg", "screenshot", "screenshot-jpeg")
    }
    assert names(",".join(map(str, every))) == list(map(str, every))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("blurr", "'blurr' is not one of: all, blur, jpeg"),
        ("", "'' is not one of"),
        ("blur,", "'' is not one of"),
        ("all,blur", "'all' is not one of"),
        ("jpeg:", "jpeg:: '' is not a number"),
        ("jpeg:high", "'high' is not a number"),
        ("jpeg:0", "jpeg:0 is not in 1..100"),
        ("webp:101", "webp:101 is not in 1..100"),
        ("jpeg:50.5", "jpeg:50.5 is not a whole number"),
        ("blur:nan", "blur:nan is not in"),
        ("crop:1.5", "crop:1.5 is not in 0.01..1"),
    ],
)
def test_what_cannot_be_used_is_one_line(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_operations(text)
    assert str(caught.value).startswith("--robustness: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_operations_are_those_of_training() -> None:
    for text, expected in {
        "blur:2": perturb.gaussian_blur(PHOTO, 2),
        "jpeg:50": perturb.jpeg(PHOTO, 50),
        "webp:50": perturb.webp(PHOTO, 50),
        "resize:0.5": perturb.resize_back(PHOTO, 0.5),
        "noise:5": perturb.gaussian_noise(PHOTO, 5),
        "crop:0.75": perturb.random_crop(PHOTO, 0.75),
        "double-jpeg:75": perturb.double_jpeg(PHOTO, 90, 75),
        "screenshot:0.5": perturb.screenshot(PHOTO, 0.5),
        "screenshot-jpeg:0.5": perturb.screenshot(PHOTO, 0.5, 85),
    }.items():
        (operation,) = parse_operations(text)
        assert np.array_equal(operation.apply(PHOTO), expected), text


def test_every_level_differs_from_every_other_and_repeats_itself() -> None:
    results = {}
    for operation in parse_operations("all"):
        result = operation.apply(PHOTO)
        assert result.dtype == np.uint8
        assert result.shape[2] == 3
        assert np.array_equal(pickle.loads(pickle.dumps(operation)).apply(PHOTO), result), operation
        results[result.shape, result.tobytes()] = str(operation)
    assert len(results) == len(parse_operations("all"))


# -- summary ----------------------------------------------------------------------------------------------

LABELS = np.repeat([0, 1], 50)
CLEAN = np.concatenate([np.linspace(0, 0.5, 50), np.linspace(0.45, 1, 50)])
BLUR, JPEG = parse_operations("blur:1,jpeg:50")
ALL = {"all": np.full(100, True)}


def test_clean_images_come_first() -> None:
    clean, blurred = summarise(LABELS, CLEAN, [(BLUR, CLEAN - 0.1)], groups=ALL, threshold=0.47)
    assert (clean.name, clean.level, blurred.name, blurred.level) == ("clean", 0, "blur", 1)
    for each in (clean, blurred):  # a shift of all scores moves no ranks
        figure = each.average_precision["all"]
        assert figure.value == pytest.approx(average_precision_score(LABELS, CLEAN))
        assert figure.low < figure.value < figure.high  # type: ignore[operator]
    assert clean.accuracy["all"].value == pytest.approx(((CLEAN > 0.47) == LABELS).mean())
    assert blurred.accuracy["all"].value == pytest.approx(((CLEAN > 0.57) == LABELS).mean())
    assert clean.drift == Figure(0, 0, 0, "none of 50 real images changed sides")


def test_drift_by_hand() -> None:
    after = CLEAN.copy()
    after[:10] = 0.9  # ten of fifty reals rise above the threshold
    after[49] = 0.1  # one falls below it
    _, blurred = summarise(LABELS, CLEAN, [(BLUR, after)], groups=ALL, threshold=0.495, resamples=4000)
    assert blurred.false_positive_rate.value == pytest.approx(10 / 50)
    assert blurred.drift.value == pytest.approx(9 / 50)
    # as by drawing the paired differences anew
    steps = np.repeat([1, -1, 0], [10, 1, 39])
    rng = np.random.default_rng(1)
    plain = np.percentile(rng.choice(steps, (4000, 50)).mean(axis=1), [2.5, 97.5])
    assert (blurred.drift.low, blurred.drift.high) == pytest.approx(tuple(plain), abs=0.021)
    _, blurred = summarise(LABELS, CLEAN, [(BLUR, after)], groups={}, threshold=0.495, resamples=0)
    assert blurred.drift == Figure(9 / 50)


def test_groups() -> None:
    gan = np.concatenate([np.full(50, True), np.arange(50) < 25])
    diffusion = np.concatenate([np.full(50, True), np.arange(50) >= 25])
    after = np.where(np.arange(100) >= 75, 0.0, CLEAN)
    clean, blurred = summarise(
        LABELS, CLEAN, [(BLUR, after)], groups={"GAN": gan, "diffusion": diffusion}, threshold=0.47
    )
    assert list(blurred.average_precision) == list(blurred.accuracy) == ["GAN", "diffusion"]
    assert blurred.average_precision["GAN"] == clean.average_precision["GAN"]
    assert blurred.average_precision["diffusion"].value == pytest.approx(
        average_precision_score(LABELS[diffusion], after[diffusion])
    )
    assert blurred.accuracy["diffusion"].value == pytest.approx(47 / 75)


def test_only_reals() -> None:
    labels, scores = np.zeros(20, int), np.linspace(0, 1, 20)
    clean, noisy = summarise(labels, scores, [(JPEG, 1 - scores)], groups={"all": labels == 0}, threshold=0.9)
    assert noisy.average_precision["all"] == clean.average_precision["all"]
    assert noisy.average_precision["all"].reason == "no generated images"
    assert noisy.false_positive_rate.value == pytest.approx(2 / 20)
    assert noisy.drift.value == 0
    assert noisy.drift.low < 0 < noisy.drift.high  # type: ignore[operator]


def test_no_reals_no_scores_few_images() -> None:
    everyone = np.full(3, True)
    (clean,) = summarise([1, 1, 1], [0.1, 0.2, 0.3], [], groups={"all": everyone}, threshold=0.5)
    assert (clean.drift.value, clean.drift.reason) == (None, "no real images")
    assert clean.false_positive_rate.reason == "no real images"
    scores = [0.1, np.nan, 0.3]
    _, failed = summarise(
        [0, 0, 1], [0.1, 0.2, 0.3], [(JPEG, scores)], groups={"all": everyone}, threshold=0.15
    )
    assert failed.drift.reason == "1 of 2 scores are not numbers"
    assert failed.average_precision["all"].reason == "1 of 3 scores are not numbers"
    (few,) = summarise([0, 0, 1], [0.1, 0.2, 0.3], [], groups={"all": everyone}, threshold=0.15)
    assert (few.drift.value, few.drift.low) == (0, None)


def test_scores_must_fit() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        summarise(LABELS, CLEAN, [(JPEG, CLEAN[1:])], groups=ALL, threshold=0.5)


def test_operation_reads_as_it_is_written() -> None:
    assert str(Operation("crop", 0.75, perturb.flip)) == "crop:0.75"
    assert str(Operation("blur", 2.0, perturb.flip)) == "blur:2"
