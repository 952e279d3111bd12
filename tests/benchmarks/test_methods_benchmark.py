"""The benchmark of all methods, on two of them and planted images."""

from __future__ import annotations

from pathlib import Path

import command_forks
from planted import write_data
from tiny_pairs import write_averaging_pair

REPOSITORY = Path(__file__).resolve().parents[2]

SETTINGS = """
all: {batch_size: 8}
freqdct: {size: 32}
freqdct-cnn: {size: 32, epochs: 2}
npr: {size: 32, network: test_resnet, epochs: 3, lr: 0.002}
aeroblade: {size: 64, pretrained: false}
"""


def test_methods_are_trained_once_and_measured_under_each_condition(tmp_path: Path) -> None:
    write_data(tmp_path / "train", "upsampled", count=20)
    write_data(tmp_path / "test", "upsampled", count=10, seed=1)
    (tmp_path / "settings.yaml").write_text(SETTINGS)
    write_averaging_pair(tmp_path / "pair", "mean")

    def run() -> str:
        done = command_forks.run(
            *("--train", "train", "--test", "test", "--out", "models", "--device", "cpu"),
            *("--methods", "freqdct,freqdct-cnn,npr,aeroblade,dire", "--instrument", "aeroblade=pair"),
            *("--settings", "settings.yaml"),
            cwd=tmp_path,
            script=REPOSITORY / "benchmarks" / "methods.py",
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    first = run()
    cards = {path: path.stat().st_mtime_ns for path in tmp_path.glob("models/*/model.yaml")}
    assert {path.parent.name for path in cards} == {"freqdct", "freqdct-cnn", "npr", "aeroblade"}
    assert "dire: left out; name what it looks through with --instrument dire=PATH" in first
    tables = first.split("20 images: ")
    assert [table.split()[0] for table in tables[1:]] == ["clean", "jpeg:75", "resize:0.5"]
    rows = {line.split("│")[1].strip(): line.split("│")[2:] for line in tables[1].splitlines() if "│" in line}
    assert float(rows["freqdct"][0]) == 1.0
    # the paper's third table has it, by the shallow CNN
    assert [rows[name][-2].strip() for name in ("freqdct", "freqdct-cnn")] == ["", "52.9"]
    run()
    assert cards == {path: path.stat().st_mtime_ns for path in cards}
