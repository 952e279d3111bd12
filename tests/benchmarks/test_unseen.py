from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from sklearn.metrics import roc_auc_score

from aigdetect.data.layouts import Sample, find_samples
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
    return unseen.Told(samples, np.array(logits), np.array(folds), rng.normal(logits))


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
    for mine, others in zip(
        (kept.logits, kept.folds, kept.changed), (made.logits, made.folds, made.changed), strict=True
    ):
        np.testing.assert_array_equal(mine, others)
    other = make_recipe({"head_penalty": 3.0, "views": ["whole"]})
    assert unseen.load(file, unseen.about(other, made.samples), samples) is None
    assert unseen.load(file, unseen.about(recipe, made.samples[1:]), samples) is None
    file.write_text("[]")  # as before settings were kept
    assert unseen.load(file, of, samples) is None


def test_what_a_fold_leaves_out_is_scored_as_it_is_and_changed(
    tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    for label in ("real", "fake"):
        for group in range(2):
            folder = tmp_path / "data" / label / f"{label}{group}"
            folder.mkdir(parents=True)
            for index in range(5):
                Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(folder / f"{index}.png")
    samples = find_samples(tmp_path / "data").samples
    settings = {
        **{
            "backbone": "timm/test_vit",
            "blocks": 1,
            "head_blocks": 2,
            "head_penalty": 0.3,
            "views": ["whole"],
        },
        **{"epochs": 0, "folds": 2, "plain_copy": True, "precision": "float32"},
    }
    nothing = {f"{name}_probability": 0.0 for name in ("resize", "encode", "flip", "blur", "jpeg")}

    def tell(folder: str, copies: int, augmentation: dict[str, float]) -> unseen.Told:
        augmented = {"augmentation": {"symmetric": True, **augmentation}}
        recipe = make_recipe({**settings, **augmented, "copies": copies})
        return unseen.cross_fit(recipe, samples, tmp_path / folder, tmp_path / "tables", tiny_weights)

    changed, same, plain = tell("a", 2, {"encode_probability": 1.0}), tell("b", 2, nothing), tell("c", 1, {})
    assert len(changed.samples) == len(same.samples) == len(plain.samples) == 20
    np.testing.assert_allclose(same.changed, same.logits, atol=1e-5)
    assert np.abs(changed.changed - changed.logits).min() > 1e-4
    assert (plain.of_changed, changed.of_changed is None) == (None, False)
    unseen._print(Console(width=500), {"changed": changed, "same": same, "plain": plain})
    rows = [line.split("│") for line in capsys.readouterr().out.splitlines() if line.count("│") > 5]
    told = {row[1].strip(): [cell.strip() for cell in row[-3:-1]] for row in rows}
    assert told["same"][0] == f"{unseen.figures(same)['mean AUC']:.3f}"
    assert told["same"][1] != ""
    assert told["plain"] == ["", ""]


def test_trials_that_need_decoders_are_left_out_without_them(tmp_path: Path) -> None:
    file = Path(unseen.__file__).with_suffix(".yaml")
    without, given = unseen.read_trials(file), unseen.read_trials(file, tmp_path)
    assert [each.recipe.aligned for each in without] == [()] * len(without)
    assert {each.recipe.aligned for each in given} == {(), (str(tmp_path),)}
    assert len(given) > len(without)
