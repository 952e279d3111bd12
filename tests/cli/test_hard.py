"""A scan of files that break or fool image tools, where that collection lies beside the checkout."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import command_forks
import pytest

from aigdetect.images.find import find_files

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("AIGDETECT_DATA", REPOSITORY.parent / "shared" / "data"))


def test_one_row_for_each_image_and_never_a_traceback(tiny_model: Any) -> None:
    folder = DATA / "hard"
    if not folder.is_dir():
        pytest.skip(f"HOSTILE FILES NOT SCANNED: no folder {folder} (AIGDETECT_DATA names another place)")
    options = ["--model", tiny_model.folder, "--weights", tiny_model.weights, "--device", "cpu", "--json"]
    done = command_forks.run("scan", folder, *options, text=False)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    images = [item.path for item in find_files([str(folder)]) if item.kind == "image"]
    assert [record["path"] for record in records] == images
    assert len(images) > 100
    for record in records:
        scored = record["status"] == "scored"
        assert scored == (record["error"] is None) == (record["logit"] is not None)
        assert "\n" not in (record["error"] or "")
    errors = [record for record in records if record["status"] == "error"]
    assert 20 < len(errors) < len(records) / 2
    assert all(record["path"].encode() in done.stderr for record in errors)
