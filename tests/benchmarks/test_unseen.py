from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from aigdetect.data.layouts import Sample
from aigdetect.training.recipe import make_recipe

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import unseen


def told(shift: float = 0.0, seed: int = 0) -> unseen.Told:
    """Three generators, and six sources of real images of which one scores high; folds by source."""
    rng = np.random.default_rng(seed)
    samples, logits, folds = [], [], []
    for label, name, count, mean, fold in (
        (1, "gan", 60, 2.0, 0),
        (1, "ldm", 40, 1.0, 1),
        (1, "old", 30, 3.0, 2),
        *((0, f"s{i}", 100, 1.5 if i == 5 else -1.0, i % 3) for i in range(6)),
    ):
        samples += [Sample(f"{name}/{i}", label, name, kind="photograph") for i in range(count)]
        logits += (rng.normal(mean, 1, count) + shift * (name == "ldm")).tolist()
        folds += [fold] * count
    return unseen.Told(samples, np.array(logits), np.array(folds))


def test_the_mean_over_generators_is_that_of_scikit_learn() -> None:
    made = told()
    areas = []
    for name in ("gan", "ldm", "old"):
        chosen = (made.labels == 0) | (made.names == name)
        areas.append(roc_auc_score(made.labels[chosen], made.logits[chosen]))
    found = unseen.figures(made)
    assert found["mean AUC"] == pytest.approx(np.mean(areas))
    assert found["AUC"] == pytest.approx(roc_auc_score(made.labels, made.logits))


def test_a_difference_comes_with_an_interval_over_groups() -> None:
    """Where one generator of three gains, a draw without it gains nothing, one of it alone thrice as much."""
    before, after = told(), told(shift=2.0)
    mean, low, high = unseen.difference(after, before)
    found = [unseen.figures(each)["mean AUC"] for each in (after, before)]
    assert mean == pytest.approx(found[0] - found[1])
    assert low == pytest.approx(0.0, abs=1e-9)
    assert high > 2 * mean
    assert unseen.difference(before, before) == (0.0, 0.0, 0.0)


def test_verdicts_rest_on_the_thresholds_of_the_other_folds() -> None:
    made = told()
    flagged = unseen.verdicts(made, 0.05)
    rates = unseen.by_group(made, flagged == 1, 0)
    # its own fold holds the only source that scores high: the others' thresholds know nothing of it
    assert rates["s5"] > 3 * max(rate for name, rate in rates.items() if name != "s5") > 0
    assert set(np.unique(flagged)) <= {-1, 0, 1}


def test_what_is_kept_of_a_trial_counts_for_its_settings_and_images_alone(tmp_path: Path) -> None:
    made, recipe = told(), make_recipe({"head_penalty": 1.0, "views": ["whole"]})
    samples = {sample.path: sample for sample in made.samples}
    file, of = tmp_path / "trial.json", unseen.about(recipe, made.samples)
    assert unseen.load(file, of, samples) is None
    unseen.save(made, of, file)
    kept = unseen.load(file, of, samples)
    assert kept is not None
    assert kept.samples == made.samples
    np.testing.assert_array_equal([kept.logits, kept.folds], [made.logits, made.folds])
    other = make_recipe({"head_penalty": 3.0, "views": ["whole"]})
    assert unseen.load(file, unseen.about(other, made.samples), samples) is None
    assert unseen.load(file, unseen.about(recipe, made.samples[1:]), samples) is None
    file.write_text("[]")  # as before settings were kept
    assert unseen.load(file, of, samples) is None


def test_trials_that_need_decoders_are_left_out_without_them(tmp_path: Path) -> None:
    file = Path(unseen.__file__).with_suffix(".yaml")
    without, given = unseen.read_trials(file), unseen.read_trials(file, tmp_path)
    assert [each.recipe.aligned for each in without] == [()] * len(without)
    assert {each.recipe.aligned for each in given} == {(), (str(tmp_path),)}
    assert len(given) > len(without)
