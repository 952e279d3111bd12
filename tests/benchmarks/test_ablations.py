"""The ablations: the paper's tables as data, and a whole run on a tiny tower and 16 images."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import command_forks
import numpy as np
import pytest
from PIL import Image

from aigdetect.errors import UsageError
from aigdetect.evaluation.published import published_tables
from aigdetect.training.recipe import make_recipe

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "benchmarks"))

import ablation_tables as tables  # noqa: E402


def by_key() -> dict[str, tables.Ablation]:
    return {table.key: table for table in tables.read_ablations()}


# -- the paper's tables -------------------------------------------------------------------------------------


def test_every_row_is_a_recipe() -> None:
    found = by_key()
    assert list(found) == ["blocks", "modules", "ranks", "backbones", "sizes"]
    recipes = [make_recipe(row.settings) for table in found.values() for row in table.rows]
    assert len(recipes) == 9 + 5 + 8 + 4 + 6


def test_rows_that_the_paper_prints_twice_agree() -> None:
    found = by_key()
    rows = {(key, row.name): row for key, table in found.items() for row in table.rows}
    best = rows["blocks", "Last 3"].published["ViT-B-32"].average_precision
    for place in (("modules", "(e) Ours"), ("ranks", "8 | 4 8 16"), ("backbones", "CLIP ViT-B/32")):
        assert rows[place].published["ViT-B-32"].average_precision == best


@pytest.mark.parametrize("backbone", ["ViT-B-32", "ViT-B-16", "ViT-L-14"])
def test_means_are_those_of_the_papers_first_table(backbone: str) -> None:
    """Means over the paper's own figures by generator, which stand in another file."""
    table = next(table for table in published_tables() if table.key == "table1")
    name = f"MoLE ({backbone[:5]}/{backbone[6:]})"
    values = dict(zip(table.columns, next(r for r in table.rows if r.name == name).values, strict=True))
    gans = ("progan", "cyclegan", "biggan", "stylegan", "gaugan", "stargan")
    diffusion = [value for key, value in values.items() if key.startswith(("guided", "ldm", "glide"))]
    expected = (
        statistics.fmean(values[key] for key in gans),
        statistics.fmean(diffusion),
        values["dalle"],
        statistics.fmean(values.values()),
    )
    row = next(row for row in by_key()["backbones"].rows if backbone in row.published)
    assert row.published[backbone].average_precision == pytest.approx(expected, abs=0.006)


def test_rows_of_a_backbone() -> None:
    found = tables.read_ablations()
    (blocks,) = tables.choose(found, backbone="ViT-L-14", keys=["blocks"])
    names = [row.name for row in blocks.rows]
    assert names == ["None, nearest neighbour", "Last 2", "Last 3", "Last 4", "Last 6"]
    (blocks,) = tables.choose(found, backbone="ViT-B-16", keys=["blocks"])
    assert [row.name for row in blocks.rows if row.published] == [
        *("None", "Last 1", "Last 2", "Last 3", "Last 4", "Last 5", "All")
    ]
    last = blocks.rows[-1]
    assert tables.published_of(blocks, last, "ViT-B-16") == ("ViT-B-32", last.published["ViT-B-32"])
    (sizes,) = tables.choose(found, backbone="ViT-B-16", keys=["sizes"], sizes=[10, 20])
    assert [row.settings for row in sizes.rows] == [{"samples": 10}, {"samples": 20}]
    with pytest.raises(UsageError, match="'depth'"):
        tables.choose(found, backbone="ViT-B-16", keys=["depth"])
    with pytest.raises(UsageError, match="'Last 99'"):
        tables.choose(found, backbone="ViT-B-16", rows=["Last 99"])


def test_mean_and_spread() -> None:
    spread = tables.over_seeds([1.0, 2.0, 6.0])
    assert spread is not None
    assert (spread.mean, spread.deviation) == (3.0, pytest.approx(np.std([1, 2, 6], ddof=1)))
    assert tables.over_seeds([4.0]) == tables.Spread(4.0, None)
    assert tables.over_seeds([4.0, None]) is tables.over_seeds([]) is None


def test_agreement_of_orders() -> None:
    assert tables.rank_agreement([1, 2, 3], [10, 20, 30]) == pytest.approx(1)
    assert tables.rank_agreement([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert tables.rank_agreement([1, 2], [1, 2]) is None
    assert tables.rank_agreement([1, 1, 1], [1, 2, 3]) is None


# -- a whole run --------------------------------------------------------------------------------------------


def plant(root: Path, generators: tuple[str, ...]) -> None:
    rng = np.random.default_rng(len(generators))
    stripes = 120 * (np.arange(48) // 3 % 2)[None, :, None]
    for name in generators:
        for label, pattern in (("0_real", 0), ("1_fake", stripes)):
            folder = root / name / label
            folder.mkdir(parents=True)
            for index in range(4):
                pixels = rng.integers(0, 120, (48, 48, 3)) + pattern
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index}.png")


def ablate(work: Path, tiny_model: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    fixed = ["--data", "train", "--test", "test", "--state", "state", "--epochs", "1", "--device", "cpu"]
    tower = ["--backbone", tiny_model.backbone, "--weights", str(tiny_model.weights)]
    script = REPOSITORY / "benchmarks" / "ablations.py"
    return command_forks.run(*fixed, *tower, *arguments, cwd=work, script=script)


def test_runs_once_and_tells_all(tmp_path: Path, tiny_model: Any) -> None:
    plant(tmp_path / "train", ("progan",))
    plant(tmp_path / "test", ("stargan", "dalle"))
    rows = ["--rows", "Last 1", "--rows", "None, nearest neighbour"]
    done = ablate(tmp_path, tiny_model, "--tables", "blocks", *rows)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("seed 0: ") == 2
    (table,) = json.loads((tmp_path / "state" / "results.json").read_text())["tables"]
    nearest, trained = table["rows"]
    assert (nearest["name"], nearest["trainable"], nearest["published"]) == (
        "None, nearest neighbour",
        0,
        None,
    )
    # stripes beside noise: the nearest embedding tells them apart without training
    assert nearest["average_precision"]["average"]["mean"] == 100
    figures = {name: value and value["mean"] for name, value in trained["average_precision"].items()}
    assert figures["diffusion"] is None
    assert figures["average"] == pytest.approx((figures["GAN"] + figures["autoregressive"]) / 2)
    assert trained["runs"][0]["by_generator"].keys() == {"StarGAN", "DALL-E"}
    assert trained["published"]["average_precision"]["average"] == 90.81
    trains = 75 * 64 + 64 + 1
    assert 0 < trained["trainable"] == pytest.approx(100 * trains / (trains + tower_size()))
    assert "paper, ViT-B-32" in done.stdout
    assert "90.81" in done.stdout
    again = ablate(tmp_path, tiny_model, "--tables", "blocks", *rows)
    assert (again.returncode, again.stderr, again.stdout) == (0, "", done.stdout)


def tower_size() -> int:
    import timm

    base = timm.create_model("test_vit", num_classes=0)
    return sum(parameter.numel() for parameter in base.parameters())


def test_what_cannot_be_done_is_one_line(tmp_path: Path, tiny_model: Any) -> None:
    done = ablate(tmp_path, tiny_model, "--seeds", "a,b")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: --seeds: 'a,b' is not a list of whole numbers such as 0,1,2\n"
