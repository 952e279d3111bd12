"""``aigdetect inspect``: claims and headers of real files, without torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import command_forks
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from aigdetect.evidence.provenance import read_provenance

REPOSITORY = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
HOSTILE = os.fsdecode(b"\xff\x1b[31m\n.png")
PARAMETERS = "a cat\x1b[2J\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 40x30, Model: sd"


def inspect(cwd: Path, *args: object) -> subprocess.CompletedProcess[str]:
    return command_forks.run("inspect", *args, cwd=cwd)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A photograph on its side, a generated image with a hostile name, a broken file, a link, a text."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0112] = "Canon", "EOS 5D", 6
    Image.new("RGB", (60, 40)).save(tmp_path / "camera.jpg", exif=exif)
    info = PngInfo()
    info.add_text("parameters", PARAMETERS)
    Image.new("RGB", (40, 30)).save(tmp_path / HOSTILE, "PNG", pnginfo=info)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "link.jpg").symlink_to("camera.jpg")
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_a_folder_as_json(place: Path) -> None:
    done = inspect(place, ".", "gone.jpg", "--json")
    assert done.returncode == 1
    rows = {row["path"]: row for row in map(json.loads, done.stdout.splitlines())}
    broken, camera, generated = (f".{os.sep}{name}" for name in ("broken.png", "camera.jpg", HOSTILE))
    assert set(rows) == {broken, camera, generated, "gone.jpg"}
    assert [rows[camera][name] for name in ("format", "width", "height", "error")] == ["JPEG", 40, 60, None]
    for path in (camera, generated):
        data = (place / path).read_bytes()
        assert rows[path]["bytes"] == len(data)
        assert rows[path]["provenance"] == read_provenance(data).as_dict()
    assert rows[camera]["provenance"]["exif"]["model"] == "EOS 5D"
    assert rows[generated]["provenance"]["findings"][0]["says"] == "AI-generated"
    assert rows[broken]["error"] == "file is truncated"
    assert [line for line in done.stderr.splitlines() if line.startswith("error: ")] == [
        f"error: {broken}: file is truncated",
        f"error: gone.jpg: {rows['gone.jpg']['error']}",
    ]
    assert "1 symbolic links passed over" in done.stderr


def test_what_people_see_cannot_drive_the_terminal(place: Path) -> None:
    done = inspect(place, HOSTILE, "link.jpg")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert lines[0] == "\\udcff\\x1b[31m\\n.png"
    assert lines[1].strip().startswith("PNG, 40 x 30, ")
    assert "AI-generated; plain text that anyone can write" in done.stdout
    assert "link.jpg" in lines
    assert any("EOS 5D" in line for line in lines)


def test_raw_names_every_field_with_its_place(place: Path) -> None:
    done = inspect(place, "camera.jpg", "--raw", "--json")
    row = json.loads(done.stdout)
    data = (place / "camera.jpg").read_bytes()
    [model] = [field for field in row["fields"] if field["name"] == "Model"]
    assert data[model["offset"] : model["offset"] + model["length"]] == b"EOS 5D\0"
    assert "fields" not in json.loads(inspect(place, "camera.jpg", "--json").stdout)
    lines = inspect(place, "camera.jpg", HOSTILE, "--raw").stdout.splitlines()
    assert any(line.split() == [str(model["offset"]), "7", "IFD0", "Model", "EOS", "5D"] for line in lines)
    assert any("PNG parameters" in line for line in lines)
    assert not any("\x1b" in line for line in lines)


def test_how_a_jpeg_is_built(place: Path) -> None:
    lines = inspect(place, "camera.jpg").stdout.splitlines()
    assert "  JPEG, tables: standard" in lines
    assert "  JPEG, quality: 75" in lines


def test_where_there_is_no_image(place: Path) -> None:
    done = inspect(place, "gone.jpg")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == "error: no image to inspect"


def test_it_loads_nothing_that_it_does_not_need(place: Path) -> None:
    code = (
        "import sys\n"
        "from aigdetect.cli.app import main\n"
        "sys.argv = ['aigdetect', 'inspect', sys.argv[1]]\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    print(end.code)\n"
        "heavy = {'torch', 'torchvision', 'open_clip', 'timm', 'numpy', 'scipy', 'skimage', 'matplotlib',\n"
        "         'yaml', 'c2pa', 'sd_parsers', 'exifread', 'aigdetect.cli.scan', 'aigdetect.cli.train',\n"
        "         'aigdetect.cli.evaluate', 'aigdetect.evidence.raw_fields', 'aigdetect.images.video'}\n"
        "print(sorted(heavy & {part for name in sys.modules for part in (name, name.partition('.')[0])}))\n"
    )
    Image.new("RGB", (40, 40), "red").save(place / "plain.png")
    for name, needed in (("camera.jpg", ["exifread"]), ("plain.png", [])):
        done = subprocess.run(
            [sys.executable, "-c", code, name],
            cwd=place,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.splitlines()[-2:] == ["0", str(needed)]
