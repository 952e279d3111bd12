"""Several processes that train one model, as torchrun starts them, on this machine's CPU."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_forks import REPOSITORY, Done, Forks, Job
from PIL import Image

from aigdetect.errors import PeerError, UsageError
from aigdetect.training.distributed import Group
from aigdetect.training.ranks import environment_rank

RECIPE = {
    "backbone": "timm/test_vit",
    "blocks": 2,
    "shared_rank": 2,
    "expert_ranks": [1, 2, 2],
    "balance_weight": 1.0,
    "epochs": 2,
    "batch_size": 8,
    "lr": 0.01,
    "precision": "float32",
}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images in numbers that no two processes share evenly, one of them broken."""
    root = tmp_path_factory.mktemp("group")
    rng = np.random.default_rng(0)
    board = 100 * (np.indices((64, 72)).sum(axis=0) // 4 % 2)[..., None]
    for kind, pattern, count in (("real", 0, 23), ("fake", board, 18)):
        folder = root / "data" / kind
        folder.mkdir(parents=True)
        for index in range(count):
            base = rng.integers(0, 150, (1, 1, 3)) + rng.integers(0, 40, (64, 72, 3))
            Image.fromarray((base + pattern).astype(np.uint8)).save(folder / f"{index}.png")
    broken = root / "data" / "real" / "5.png"
    broken.write_bytes(broken.read_bytes()[:200])
    return root


def options(work: Path, weights: Path, out: str, **settings: Any) -> list[str]:
    (work / f"{out}.yaml").write_text(json.dumps({**RECIPE, **settings}))
    named = ["--data", "data", "--config", f"{out}.yaml", "--out", out]
    return ["train", *named, "--weights", str(weights), "--device", "cpu"]


def together(forks: Forks, work: Path, arguments: list[str], size: int, **options: Any) -> list[Done]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return forks.together(
        *(
            Job(
                arguments,
                str(work),
                environment={**common, "RANK": str(rank)},
                drawn=False,
                **options.get(f"of_{rank}", {}),
            )
            for rank in range(size)
        )
    )


def steps(folder: Path) -> np.ndarray:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return np.array(
        [
            [line["loss"], line["bce"], line["balance"], *np.ravel(line["load"])]
            for line in lines
            if line["type"] == "step"
        ]
    )


KERNEL = {"head_kernel": "quadratic", "head_loss": "squares", "head_penalty": 1e-2}


@pytest.mark.parametrize(
    ("size", "settings"),
    [
        (2, {"cache": "none"}),
        (2, {"cache": "memory", "copies": 2, "head_penalty": 0.1, "accumulate": 3, "balanced": True}),
        # without held-out images, too, all processes say what they could not read
        (2, {"cache": "none", "folds": 2}),
        (2, {"cache": "disk", "folds": 2, **KERNEL}),
        # some processes get no image of a batch
        (3, {"batch_size": 2, "cache": "disk", "epochs": 1, "balanced_batches": True}),
    ],
)
def test_several_processes_are_one(
    forks: Forks, work: Path, tiny_weights: Path, size: int, settings: dict[str, Any]
) -> None:
    """Each process sees a part of every batch: two of them do what one does with batches twice as large."""
    name = f"{size}-{settings['cache']}-{settings.get('folds')}"
    (alone,) = together(forks, work, options(work, tiny_weights, f"{name}-alone", **settings), 1)
    assert alone.status == 1, alone.stderr  # one image could not be read
    first, *others = together(forks, work, options(work, tiny_weights, name, **settings), size)
    assert first.status == 0, first.stderr
    assert first.stdout == f"{name}\n"
    assert f"in {size} processes" in first.stderr
    assert "5.png" in first.stderr
    assert [(other.stdout, other.stderr) for other in others] == [("", "")] * (size - 1)
    expected = steps(work / f"{name}-alone")
    assert len(expected) >= 8
    np.testing.assert_allclose(steps(work / name), expected, rtol=1e-5, atol=1e-5)
    assert sorted(path.name for path in (work / name).iterdir()) == [
        "adapter.safetensors",
        "curves.png",
        "log.jsonl",
        "model.yaml",
        "training.sha256",
    ]


def test_a_process_that_dies_ends_the_run_with_a_clear_line(
    forks: Forks, work: Path, tiny_weights: Path
) -> None:
    kill = {"kill": ("aigdetect.training.engine", "compute_gradients", 7)}
    arguments = [*options(work, tiny_weights, "dies"), "-q"]
    first, second = together(forks, work, arguments, 2, of_1=kill)
    assert second.status == -signal.SIGKILL
    assert first.status == 2
    assert first.stderr.splitlines()[-1] == (
        "error: process 0 of 2: another process of the run has ended; "
        "see what it said, then go on with --resume"
    )
    assert "Traceback" not in first.stderr
    # and the run goes on, with another number of processes
    (resumed,) = together(forks, work, [*arguments, "--resume"], 1)
    assert resumed.status == 1, resumed.stderr
    assert len(steps(work / "dies")) == 8


@pytest.mark.parametrize(
    ("said", "elsewhere"),
    [
        ("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:4711", True),
        ("Timed out waiting 7200000ms for send operation to complete", True),
        ("CUDA out of memory. Tried to allocate 20.00 MiB", False),
        ("The size of tensor a (3) must match the size of tensor b (4)", False),
    ],
)
def test_what_is_wrong_here_is_not_taken_for_what_is_wrong_elsewhere(
    monkeypatch: pytest.MonkeyPatch, said: str, elsewhere: bool
) -> None:
    def fail(tensor: torch.Tensor) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr(torch.distributed, "all_reduce", fail)
    with pytest.raises(
        PeerError if elsewhere else RuntimeError, match="has ended" if elsewhere else None
    ) as e:
        Group(1, 2).wait()
    assert isinstance(e.value, PeerError) == elsewhere


def test_an_error_names_its_process(forks: Forks, work: Path, tiny_weights: Path) -> None:
    arguments = [*options(work, tiny_weights, "limited", cache="disk"), "-q"]
    _, second = together(forks, work, arguments, 2, of_1={"largest_file": 1000})
    assert second.status == 2
    assert second.stderr.startswith("error: process 1 of 2: cache: ")


def test_torchrun(work: Path, tiny_weights: Path) -> None:
    arguments = options(work, tiny_weights, "torchrun", epochs=1)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*torchrun, "--nproc-per-node", "2", "-m", "aigdetect", *arguments],
        cwd=work,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "torchrun\n"
    assert "in 2 processes" in done.stderr
    assert len(steps(work / "torchrun")) == 4
    assert (work / "torchrun" / "model.yaml").exists()


def test_what_the_environment_tells() -> None:
    told = {"RANK": "1", "WORLD_SIZE": "3", "MASTER_ADDR": "10.0.0.1"}
    assert environment_rank(told) == (1, 3)
    assert environment_rank({}) == (0, 1)
    assert environment_rank({"WORLD_SIZE": "3"}) == (0, 1)
    for odd in ({**told, "RANK": "one"}, {"WORLD_SIZE": "3", "MASTER_ADDR": ""}):
        with pytest.raises(UsageError, match="torchrun"):
            environment_rank(odd)
