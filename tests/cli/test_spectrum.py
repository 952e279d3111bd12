"""``aigdetect spectrum`` as users meet it: a process, pictures, numbers, streams and an exit status."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import command_forks
import numpy as np
import pytest
from PIL import Image

from aigdetect.cli.app import app
from aigdetect.cli.console import run
from aigdetect.cli.spectrum import Averaging, Channel, Residual, Tiles, Window
from aigdetect.spectrum.progress import Keeper, Progress
from aigdetect.spectrum.residual import RESIDUALS

PROGRAM = [sys.executable, "-m", "aigdetect", "spectrum"]
# the backend needs a screen that is not there: figures must not care
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(Path(__file__).parents[2]),
    "COLUMNS": "100",
    "MPLBACKEND": "TkAgg",
}
ODD_NAMES = [
    b" spaces  .png",
    b"-rf.png",
    b"new\nline.png",
    b"\x1b[2J\x1b]0;owned\x07.png",
    b"not utf-8 \xff\xfe.png",
    "наука 画像 🖼.png".encode(),
    b"$\\frac{1}{.png",
    b"[bold red]markup[nope] :smile:.png",
    b"n" * 255,
]
PEAK_KEYS = {"fy", "fx", "period", "height_db", "p_value", "explanation"}

Result = subprocess.CompletedProcess[bytes]


def make(path: Path, *, height: int = 64, width: int = 64, seed: int = 0, stripes: float = 0.0) -> Path:
    """Noise, with a wave of period 4 across."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(128, 12, (height, width, 3)) + stripes * np.cos(np.pi / 2 * np.arange(width))[:, None]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "PNG")
    return path


def spectrum(*args: str | bytes | Path, **options: Any) -> Result:
    return command_forks.run("spectrum", *args, env={"COLUMNS": "100"}, text=False, **options)


def rows(output: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as stored:
        return dict(stored)


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """The program inside this process, where starting one for each case would take too long."""

    def call(*args: object) -> tuple[int, str, str]:
        from aigdetect.cli.options import terminal

        status = run(lambda **options: app([*map(str, args)], **options), terminal)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


# --- one image ---------------------------------------------------------------------------------------------


def test_one_image_as_numbers_and_as_a_picture(tmp_path: Path) -> None:
    image = make(tmp_path / "a.png", height=130, width=200, stripes=12)
    out, npz = tmp_path / "out.png", tmp_path / "out.npz"
    result = spectrum(image, "--json", "--out", out, "--npz", npz, "--window", "hann")
    assert (result.returncode, result.stderr) == (0, b"")
    (row,) = rows(result.stdout)
    assert (row["path"], row["status"], row["width"], row["height"], row["size"]) == (
        *(str(image), "done", 200, 130, 128),
    )
    assert (row["average"], row["residual"], row["channel"], row["window"]) == (
        *("power", "median", "luminance", "hann"),
    )
    (peak,) = row["peaks"][:1]
    assert set(peak) == PEAK_KEYS
    assert (peak["fy"], abs(peak["fx"])) == (pytest.approx(0, abs=0.004), pytest.approx(0.25, abs=0.004))
    assert peak["period"] == pytest.approx(4, abs=0.07)
    assert peak["p_value"] < 0.01 < peak["height_db"]
    assert "prove" not in peak["explanation"]
    with Image.open(out) as picture:
        picture.load()
        assert min(picture.size) > 1000
        assert {name: picture.info[name] for name in ("Averaging", "Residual", "Tile", "Window")} == {
            "Averaging": "power",
            "Residual": "median",
            "Tile": "128",
            "Window": "hann",
        }
        assert picture.info["Software"].startswith("aigdetect ")
        assert picture.info["Title"] == str(image)
    assert arrays(npz)["power"].shape == (128, 128)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.png", "out.npz", "out.png"]


def test_lines_where_there_is_no_terminal(tmp_path: Path) -> None:
    striped, plain = make(tmp_path / "a.png", stripes=12), make(tmp_path / "b.png")
    result = spectrum(striped, plain)
    assert (result.returncode, result.stderr) == (0, b"")
    *peaks, last = [line.split("\t") for line in result.stdout.decode().splitlines()]
    assert last == [str(plain), "no peak stands out"]
    assert {len(cells) for cells in peaks} == {7}
    assert peaks[0][:2] == [str(striped), "0.0000"]
    assert abs(float(peaks[0][2])) == pytest.approx(0.25, abs=0.01)


def test_settings_reach_the_analysis(tmp_path: Path, here: Any) -> None:
    image = make(tmp_path / "a.png", height=200, width=140)
    options = "--residual gaussian --channel rgb --tile 64 --tiles average --false-alarm-rate 0.2"
    status, out, _ = here("spectrum", image, "--json", *options.split())
    row = json.loads(out)
    assert status == 0
    assert (row["residual"], row["channel"], row["size"], row["tiles"], row["false_alarm_rate"]) == (
        *("gaussian", "rgb", 64, 6, 0.2),
    )


# --- several images, and bad ones --------------------------------------------------------------------------


def test_bad_images_are_named_and_the_others_done(tmp_path: Path) -> None:
    good = [make(tmp_path / name, seed=seed) for seed, name in enumerate(("1.png", "sub/1.png"))]
    (tmp_path / "text.png").write_text("this is no image at all, whatever its name")
    broken = make(tmp_path / "broken.png")
    broken.write_bytes(broken.read_bytes()[:400])
    make(tmp_path / "tiny.png", height=63, width=500)
    Image.new("RGB", (100, 100), (9, 9, 9)).save(tmp_path / "uniform.png")
    Image.new("1", (4000, 4000)).save(tmp_path / "huge.png")
    bad = [tmp_path / f"{name}.png" for name in ("text", "broken", "tiny", "uniform", "huge", "missing")]
    out = tmp_path / "out"
    result = spectrum(good[0], *bad, good[1], "--json", "--npz", out, "--max-pixels", "9000000")
    assert result.returncode == 1
    found = rows(result.stdout)
    assert [row["path"] for row in found] == [str(path) for path in (good[0], *bad, good[1])]
    assert [row["status"] for row in found] == ["done", *["error"] * 6, "done"]
    said = result.stderr.decode().splitlines()
    assert said == [f"error: {row['path']}: {row['error']}" for row in found[1:-1]]
    for line, reason in zip(
        said, ("text", "", "too small", "zero everywhere", "too large", "no such file"), strict=True
    ):
        assert reason in line
    assert sorted(entry.name for entry in out.iterdir()) == ["1.png-2.npz", "1.png.npz"]
    alone = spectrum(*bad[2:4])
    assert (alone.returncode, alone.stdout, len(alone.stderr.splitlines())) == (2, b"", 2)


def test_odd_names_drive_nothing_and_come_back(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    names = [os.fsdecode(name) for name in ODD_NAMES]
    for name in names:
        make(folder / name)
    result = spectrum(*(folder / name for name in names), "--json", "--npz", out)
    assert (result.returncode, result.stderr) == (0, b"")
    assert [os.fsencode(row["path"]) for row in rows(result.stdout)] == [
        os.fsencode(folder / name) for name in names
    ]
    assert result.stdout.isascii()
    assert len(list(out.iterdir())) == len(names)
    as_set = spectrum(folder, folder / "none \x1b[2J", "--out", tmp_path / "sheets")
    assert as_set.returncode == 1
    assert b"\x1b" not in as_set.stdout + as_set.stderr
    assert rb"none \x1b[2J: no such file" in as_set.stderr
    assert [entry.name for entry in (tmp_path / "sheets").iterdir()] == ["sets.png"]


def test_debug_shows_where_an_image_failed(tmp_path: Path, here: Any) -> None:
    status, out, err = here("spectrum", tmp_path / "none", "--debug")
    assert (status, out) == (2, "")
    assert "Traceback" in err
    assert err.endswith("none: no such file or directory\n")


# --- folders -----------------------------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Two sets of which one is striped, and a reference."""
    for seed in range(4):
        make(tmp_path / "data" / "plain" / f"{seed}.png", seed=seed)
        make(tmp_path / "data" / "striped" / f"{seed}.png", seed=seed + 10, stripes=6)
        make(tmp_path / "camera" / str(seed) / "a.png", seed=seed + 20)
    (tmp_path / "data" / "plain" / "bad.png").write_text("no image")
    make(tmp_path / "data" / "striped" / "large.png", height=300, width=300, seed=30, stripes=6)
    return tmp_path / "data"


def test_folders_side_by_side(folders: Path, tmp_path: Path) -> None:
    out, npz, reference = tmp_path / "sheet.png", tmp_path / "sheet.npz", tmp_path / "camera"
    result = spectrum(folders, "--json", "--out", out, "--npz", npz, "--reference", reference)
    assert result.returncode == 1
    failed, plain, striped = rows(result.stdout)
    assert (failed["path"], failed["status"]) == (str(folders / "plain" / "bad.png"), "error")
    assert (plain["name"], plain["images"], plain["failed"], plain["peaks"]) == ("plain", 4, 1, [])
    assert (striped["images"], striped["size"], striped["mixed_sizes"]) == (5, 64, True)
    assert set(striped["peaks"][0]) == PEAK_KEYS
    assert abs(striped["peaks"][0]["fx"]) == pytest.approx(0.25, abs=0.008)
    for one in (plain, striped):
        assert one["distance_db"] == pytest.approx(one["distance_by_chance_db"], rel=0.15)
    with Image.open(out) as picture:
        assert picture.info["Reference"] == str(reference)
        assert picture.info["Averaging"] == "power"
    stored = arrays(npz)
    assert stored["names"].tolist() == ["plain", "striped"]
    assert stored["distance_db"].tolist() == [plain["distance_db"], striped["distance_db"]]
    said = result.stderr.decode().splitlines()
    assert said[0] == "1 folder, 4 images"
    assert said[1].startswith(f"error: {folders / 'plain' / 'bad.png'}: ")
    assert said[2] == "2 folders, 9 images; 1 could not be used"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["camera", "data", "sheet.npz", "sheet.png"]


def test_coherent_is_another_figure_and_says_so(folders: Path, here: Any) -> None:
    status, out, err = here("spectrum", folders / "striped", "--json", "--average", "coherent", "--quiet")
    (row,) = rows(out.encode())
    assert (status, err, row["average"]) == (0, "", "coherent")
    assert row["peaks"][0]["height_db"] > 15


def test_images_and_folders_together(folders: Path, tmp_path: Path, here: Any) -> None:
    status, out, _ = here(
        *("spectrum", folders, tmp_path / "camera/0/a.png", "--depth", 0, "--npz", tmp_path / "o", "--quiet")
    )
    assert status == 1
    assert out.split("\t")[0] == str(tmp_path / "camera/0/a.png")
    assert sorted(entry.name for entry in (tmp_path / "o").iterdir()) == ["a.png.npz", "sets.npz"]
    assert arrays(tmp_path / "o" / "sets.npz")["images"].tolist() == [9]


def test_a_folder_without_an_image(tmp_path: Path, here: Any) -> None:
    (tmp_path / "empty").mkdir()
    status, out, err = here("spectrum", tmp_path / "empty")
    assert (status, out, err) == (2, "", f"error: no image in {tmp_path / 'empty'}\n")


# --- stopped and resumed -----------------------------------------------------------------------------------


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """A folder that keeps the program busy for seconds."""
    for seed in range(36):
        make(tmp_path / "data" / "ab"[seed % 2] / f"{seed}.png", height=128, width=128, seed=seed)
    return tmp_path / "data"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_was_ended_goes_on_to_the_same_average(
    slow: Path, tmp_path: Path, here: Any, how: int
) -> None:
    options = ["--residual", "nlm", "--npz"]
    state = tmp_path / "part.npz.state"
    ended = command_forks.start("spectrum", slow, *options, tmp_path / "part.npz")
    deadline = time.monotonic() + 60
    while not state.exists():
        assert time.monotonic() < deadline
        assert ended.poll() is None
        time.sleep(0.01)
    ended.send_signal(how)
    _, said = ended.communicate(timeout=60)
    assert ended.returncode == (-signal.SIGKILL if how == signal.SIGKILL else 130)
    assert not (tmp_path / "part.npz").exists()
    if how == signal.SIGINT:
        assert said.splitlines()[-1] == b"interrupted: everything finished so far is on disk"
    done = json.loads(arrays(state)["head"].tobytes())["position"]
    assert 0 < done < 36
    status, _, err = here("spectrum", slow, *options, tmp_path / "part.npz")
    assert status == 2
    assert "--resume" in err
    assert here("spectrum", slow, *options, tmp_path / "part.npz", "--resume")[0] == 0
    assert not state.exists()
    assert here("spectrum", slow, *options, tmp_path / "whole.npz", "--workers", 1)[0] == 0
    whole, part = arrays(tmp_path / "whole.npz"), arrays(tmp_path / "part.npz")
    assert whole.keys() == part.keys()
    for name in whole:
        np.testing.assert_array_equal(whole[name], part[name])


def test_what_is_left_of_a_reference_alone_is_gone_on_with_or_dropped(
    folders: Path, tmp_path: Path, here: Any
) -> None:
    out, state = tmp_path / "o.npz", tmp_path / "o.npz.state-reference"
    arguments = ["spectrum", tmp_path / "camera", "--reference", folders / "striped", "--npz", out, "--quiet"]
    Keeper(state).save(Progress({}, position=1, digest="of other files"))
    status, _, err = here(*arguments)
    assert (status, err.count("\n")) == (2, 1)
    assert f"{state}: holds an interrupted run; go on with --resume" in err
    assert "belongs to a run with another method" in here(*arguments, "--resume")[2]
    assert here(*arguments, "--force")[0] == 0
    assert not state.exists()


def test_a_run_that_found_nothing_leaves_nothing_to_go_on_with(
    folders: Path, tmp_path: Path, here: Any
) -> None:
    broken = tmp_path / "broken" / "a.png"
    broken.parent.mkdir()
    for arguments in ([broken.parent], [tmp_path / "camera", "--reference", broken.parent]):
        broken.write_bytes(b"no image")
        assert here("spectrum", *arguments, "--npz", tmp_path / "o.npz")[0] == 2
        assert not [*tmp_path.glob("o.npz*")]
        make(broken)
        assert here("spectrum", *arguments, "--npz", tmp_path / "o.npz")[0] == 0
        (tmp_path / "o.npz").unlink()


# --- bad usage ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["IMAGE", "--average", "coherent"], "--average: is for folders"),
        (["IMAGE", "--resume"], "--resume: is for folders"),
        (["IMAGE", "--depth", "1"], "--depth: is for folders"),
        (["FOLDER", "--resume"], "--resume: needs --out or --npz"),
        (["IMAGE", "--tile", "100"], "power of two from 64 on, not 100"),
        (["IMAGE", "--tile", "32"], "power of two from 64 on, not 32"),
        (["IMAGE", "--false-alarm-rate", "1"], "--false-alarm-rate: 1.0 is not between 0 and 1"),
        (["IMAGE", "--reference", "IMAGE"], "is not a folder"),
        (["FOLDER", "--reference", "NONE"], "is not a folder"),
        (["IMAGE", "--out", "IMAGE"], "is one of the files to be read; name another file to write to"),
        (["IMAGE", "--out", "NONE/a.png"], "cannot be written (no folder"),
        (["IMAGE", "IMAGE", "--out", "IMAGE"], "cannot be made a folder for 2 files"),
        (["IMAGE", "--npz", "-"], "name a file"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_done(
    tmp_path: Path, here: Any, options: list[str], said: str
) -> None:
    image = make(tmp_path / "folder" / "a.png")
    places = {"IMAGE": image, "FOLDER": image.parent, "NONE": tmp_path / "none"}
    arguments = [
        str(places[option]) if option in places else option.replace("NONE", str(places["NONE"]))
        for option in options
    ]
    before = image.read_bytes()
    status, out, err = here("spectrum", *arguments)
    assert (status, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1
    assert image.read_bytes() == before
    assert not (tmp_path / "none").exists()


def test_too_many_folders(tmp_path: Path, here: Any) -> None:
    for number in range(65):
        make(tmp_path / "data" / f"{number:02}" / "a.png")
    status, _, err = here("spectrum", tmp_path / "data")
    assert status == 2
    assert "65 folders hold images, and 64 fit on a sheet" in err
    assert here("spectrum", tmp_path / "data", "--depth", 0, "--quiet")[0] == 0


def test_output_is_overwritten_only_by_force(tmp_path: Path, here: Any) -> None:
    image, out = make(tmp_path / "a.png"), tmp_path / "o.npz"
    assert here("spectrum", image, "--npz", out)[0] == 0
    assert here("spectrum", image, "--npz", out)[0] == 2
    out.write_bytes(b"")
    assert here("spectrum", image, "--npz", out, "--force")[0] == 0
    out.write_bytes(b"precious")
    status, _, err = here("spectrum", image, "--npz", out, "--force")
    assert status == 2
    assert "was not written by aigdetect" in err
    out.unlink()
    assert here("spectrum", image, "--npz", out)[0] == 0
    assert here("spectrum", image, "--npz", out, "--force")[0] == 0
    assert arrays(out)["power"].shape == (64, 64)


def test_no_picture_is_replaced_but_one_that_was_drawn(tmp_path: Path, here: Any) -> None:
    image, other, drawn = make(tmp_path / "a.png"), make(tmp_path / "b.png"), tmp_path / "drawn.png"
    before = image.read_bytes(), other.read_bytes()
    assert here("spectrum", image, "--out", drawn)[0] == 0
    assert here("spectrum", image, "--out", drawn, "--force")[0] == 0
    (tmp_path / "link.png").symlink_to(drawn)
    for out, read in ((image, image), (other, image), (tmp_path / "link.png", drawn)):
        assert here("spectrum", read, "--out", out, "--force")[0] == 2
    assert (image.read_bytes(), other.read_bytes()) == before


def test_options_name_what_the_library_knows() -> None:
    from typing import get_args

    from aigdetect.spectrum import fourier, residual

    assert tuple(kind.value for kind in Residual) == RESIDUALS
    assert tuple(kind.value for kind in Channel) == get_args(residual.Channel)
    assert tuple(kind.value for kind in Tiles) == get_args(residual.Tiling)
    assert tuple(kind.value for kind in Averaging) == get_args(fourier.Mode)
    assert tuple(kind.value for kind in Window) == ("none", *get_args(fourier.Window))


def test_help_names_every_exit_status(here: Any) -> None:
    status, out, _ = here("spectrum", "--help")
    text = re.sub(r"\s+", " ", out)
    assert status == 0
    for part in ("0 all done", "1 some inputs failed", "2 nothing done", "130 interrupted"):
        assert part in text


# --- on a terminal -----------------------------------------------------------------------------------------


def in_terminal(*args: str | Path, answer: bytes = b"", **environment: str) -> tuple[int, bytes]:
    """Run on a terminal of 100 columns that answers what kind of terminal it is."""
    pty = pytest.importorskip("pty")
    pid, terminal = pty.fork()
    if pid == 0:
        import fcntl
        import termios

        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 1000, 800))
        os.execvpe(PROGRAM[0], [*PROGRAM, *map(str, args)], {**ENVIRONMENT, "TERM": "xterm", **environment})
    output = b""
    while True:
        if not select.select([terminal], [], [], 60)[0]:
            os.kill(pid, signal.SIGKILL)
            raise AssertionError(output)
        try:
            part = os.read(terminal, 1 << 16)
        except OSError:  # how Linux says that the other end has gone
            part = b""
        if not part:
            break
        output += part
        if answer and b"\x1b[c" in part:
            os.write(terminal, answer)
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), output


def test_blocks_and_a_table_where_no_picture_can_be_shown(tmp_path: Path) -> None:
    name = "striped \x1b]0;owned\x07.png"
    status, output = in_terminal(make(tmp_path / name, stripes=12), NO_COLOR="1")
    text = output.decode()
    assert status == 0
    assert "█" in text
    assert "cycles per pixel" in text
    assert re.search(r"0\.0000 +[+-]0\.25\d\d +4\.0\d ", text)
    assert "\x1bP" not in text
    assert "owned\x07" not in text
    assert not re.search(r"\x1b\[[0-9;]*3[1-7]m", text)


def test_a_picture_where_the_terminal_can_show_one(tmp_path: Path) -> None:
    status, output = in_terminal(make(tmp_path / "a.png"), answer=b"\x1b[?62;4;22c")
    assert status == 0
    assert b"\x1bP" in output  # the beginning of a sixel picture
    assert "█".encode() not in output
    assert b"no peak stands out" in output


def test_a_table_of_sets_and_no_bar_left_behind(folders: Path, tmp_path: Path) -> None:
    status, output = in_terminal(folders, "--reference", tmp_path / "camera", NO_COLOR="1")
    assert status == 1
    text = re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", output).decode()
    assert re.search(r"striped +5 +64 +\d+ +\d", text)
    assert "in brackets" in text


def test_dumb_terminals_are_not_asked(tmp_path: Path) -> None:
    status, output = in_terminal(make(tmp_path / "a.png"), TERM="dumb", PYTHONIOENCODING="ascii")
    assert status == 0
    assert b"\x1b" not in output
    assert b"####" in output
