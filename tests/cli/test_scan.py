"""``aigdetect scan`` as users meet it: a process, files with odd names, streams and an exit status."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import command_forks
import pytest
from PIL import Image

FAKE = [sys.executable, str(Path(__file__).with_name("fake_aigdetect.py"))]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
AI, UNCERTAIN, REAL_PHOTO = 250, 150, 5
MODESTY = "absence of detection is no proof of authenticity"
ODD_NAMES = [
    b"plain.png",
    b" spaces  .png",
    b"-rf.png",
    b"=1+1.png",
    b"@SUM(A1).png",
    b"new\nline.png",
    b"tab\tand\rreturn.png",
    b"\x1b[2J\x1b]0;owned\x07.png",
    b"not utf-8 \xff\xfe.png",
    "наука 画像 🖼.png".encode(),
    b"quote\"and'comma,;.png",
    b"[bold red]markup[nope] :smile:.png",
    b"%s{0}\\n.png",
    b"n" * 251 + b".png",
]

Result = subprocess.CompletedProcess[bytes]


def make(path: Path, red: int = REAL_PHOTO, size: int = 64) -> None:
    image = Image.new("RGB", (size, size), (red, 0, 0))
    image.putpixel((size - 1, size - 1), (red, 0, 1))  # of one colour, it would be uncertain
    with path.open("wb") as file:
        image.save(file, "PNG")


def aigdetect(*args: str | bytes | Path, program: Sequence[str] = FAKE, **options: Any) -> Result:
    environment = {**ENVIRONMENT, **options.pop("env", {})}
    return subprocess.run(
        [*program, *args], capture_output=True, check=False, timeout=120, env=environment, **options
    )


def scan(*args: str | bytes | Path, script: Path | None = command_forks.FAKE, **options: Any) -> Result:
    return command_forks.run("scan", *args, script=script, text=False, **options)


def rows(output: bytes | Path) -> list[dict[str, Any]]:
    data = output if isinstance(output, bytes) else output.read_bytes()
    return [json.loads(line) for line in data.splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images, one of each verdict, and a text."""
    made = tmp_path / "images"
    made.mkdir()
    make(made / "a.png", AI)
    make(made / "b.png", UNCERTAIN)
    make(made / "c.png", REAL_PHOTO)
    (made / "notes.txt").write_text("no image")
    return made


# --- start-up ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("args", [["--help"], ["scan", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(args: list[str]) -> None:
    code = (
        "import sys, runpy\n"
        f"sys.argv = ['aigdetect', *{args!r}]\n"
        "try: runpy.run_module('aigdetect', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'numpy', 'PIL', 'open_clip', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_help_names_every_exit_status() -> None:
    text = b" ".join(scan("--help", env={"COLUMNS": "120"}).stdout.split())
    for part in (b"0 all done", b"1 some inputs failed", b"2 nothing done", b"3 with --fail-on ai", b"130"):
        assert part in text


def test_usage_errors_do_not_load_the_model(folder: Path) -> None:
    code = (
        "import sys\nfrom aigdetect.cli.app import app\nfrom aigdetect.cli.console import run\n"
        "from aigdetect.cli.options import terminal\n"
        f"sys.argv = ['aigdetect', 'scan', {str(folder / 'none')!r}, '--model', 'no-such-model']\n"
        "status = run(app, terminal)\nassert 'torch' not in sys.modules\nsys.exit(status)"
    )
    result = aigdetect(program=[sys.executable, "-c", code])
    assert result.returncode == 2
    assert b"error: model 'no-such-model'" in result.stderr


# --- what comes out ----------------------------------------------------------------------------------------


def test_lines_where_there_is_no_terminal(folder: Path) -> None:
    result = scan(folder)
    assert result.returncode == 0
    assert [line.split("\t")[:4] for line in result.stdout.decode().splitlines()] == [
        [str(folder / "a.png"), "ai", "0.9804", "+1.00"],
        [str(folder / "b.png"), "uncertain", "0.5882", "+0.00"],
        [str(folder / "c.png"), "real", "0.0196", "-1.45"],
    ]
    summary = result.stderr.decode().splitlines()
    assert summary[0].startswith("3 scored: 1 ai, 1 uncertain, 1 real; 1 other file passed over (")
    assert summary[-1] == MODESTY


def test_json_on_standard_output(folder: Path) -> None:
    result = scan(folder, "--json")
    assert [Path(row["path"]).name for row in rows(result.stdout)] == ["a.png", "b.png", "c.png"]
    assert rows(result.stdout)[0]["sha256"] == hashlib.sha256((folder / "a.png").read_bytes()).hexdigest()
    assert scan(folder, "--jsonl", "-").stdout == result.stdout
    assert scan(folder, "--jsonl", "-", "--json").stdout == result.stdout


def test_csv_on_standard_output(folder: Path) -> None:
    lines = list(csv.DictReader(scan(folder, "--csv", "-").stdout.decode().splitlines()))
    assert [row["verdict"] for row in lines] == ["ai", "uncertain", "real"]
    assert [float(row["logit"]) for row in lines] == [10.0, 0.0, -14.5]


def test_files_and_nothing_on_standard_output(folder: Path, tmp_path: Path) -> None:
    result = scan(folder, "--csv", tmp_path / "o.csv", "--jsonl", tmp_path / "o.jsonl")
    assert (result.returncode, result.stdout) == (0, b"")
    assert f"written to {tmp_path / 'o.csv'}, {tmp_path / 'o.jsonl'}" in result.stderr.decode()
    with (tmp_path / "o.csv").open(encoding="utf-8", newline="") as file:
        assert [row["path"] for row in csv.DictReader(file)] == [
            row["path"] for row in rows(tmp_path / "o.jsonl")
        ]


def test_quiet_says_only_errors(folder: Path) -> None:
    result = scan(folder, "--quiet")
    assert result.stderr == b""
    assert len(result.stdout.splitlines()) == 3


@pytest.mark.parametrize(
    "args", [["--csv", "-", "--json"], ["--csv", "-", "--jsonl", "-"], ["--csv", "x", "--jsonl", "./x"]]
)
def test_two_forms_for_one_output_are_refused(folder: Path, tmp_path: Path, args: list[str]) -> None:
    result = scan(folder, *args, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith(b"error: ")
    assert not (tmp_path / "x").exists()


def test_an_existing_file_is_refused_unless_forced(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("precious")
    result = scan(folder, "--csv", out)
    assert result.returncode == 2
    assert result.stderr.decode() == f"error: {out}: exists; use --force or another name\n"
    assert out.read_text() == "precious"
    result = scan(folder, "--csv", out, "--force")
    assert result.returncode == 2
    assert result.stderr.decode() == (
        f"error: {out}: was not written by aigdetect, and is not replaced; name another file\n"
    )
    assert out.read_text() == "precious"
    out.unlink()
    assert scan(folder, "--csv", out).returncode == 0
    assert scan(folder / "a.png", "--csv", out, "--force").returncode == 0
    assert len(out.read_text().splitlines()) == 2


@pytest.mark.parametrize("kind", ["--csv", "--jsonl", "--html"])
def test_no_picture_is_ever_replaced(folder: Path, tmp_path: Path, kind: str) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    for place in (folder, *folder.glob("*.png")):  # as if a shell had put names in the place of *.png
        result = scan(kind, folder / "a.png", place, "--force")
        assert result.returncode == 2
        assert result.stderr.startswith(f"error: {folder / 'a.png'}: ".encode())
        assert result.stderr.count(b"\n") == 1
    (tmp_path / "link").symlink_to(folder / "b.png")
    (tmp_path / "hard").hardlink_to(folder / "c.png")
    for name in ("link", "hard"):
        result = scan(folder / "b.png", folder / "c.png", kind, tmp_path / name, "--force")
        assert result.returncode == 2
        assert b"is one of the files to be read; name another" in result.stderr
    assert scan(folder, "--case", tmp_path / "case", "--csv", folder / "a.png", "--force").returncode == 2
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_journal_takes_no_strangers_place(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out.csv.journal").write_bytes((folder / "a.png").read_bytes())
    result = scan(folder, "--csv", tmp_path / "out.csv")
    assert result.returncode == 2
    assert b"out.csv.journal: was not written by aigdetect" in result.stderr
    assert (tmp_path / "out.csv.journal").read_bytes() == (folder / "a.png").read_bytes()


def test_outputs_among_the_images_are_not_scanned(folder: Path) -> None:
    for _ in range(2):
        result = scan(folder, "--csv", folder / "out.png", "--html", folder / "page.gif", "--force")
        assert result.returncode == 0
        assert b"3 scored" in result.stderr
    listed = "\n".join(str(path) for path in folder.iterdir())
    result = scan("-", "--csv", folder / "out.png", "--force", input=listed.encode())
    assert b"3 scored" in result.stderr


# --- what goes in ------------------------------------------------------------------------------------------


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A folder of files with odd names."""
    made = tmp_path / "odd"
    made.mkdir()
    for name in ODD_NAMES:
        make(made / os.fsdecode(name))
    return made


def test_names_come_back_byte_for_byte(odd: Path) -> None:
    found = [os.fsencode(Path(row["path"]).name) for row in rows(scan(odd, "--json").stdout)]
    assert found == sorted(ODD_NAMES)


def test_names_as_arguments(odd: Path) -> None:
    result = scan("--json", "--", *ODD_NAMES, cwd=odd)
    assert [os.fsencode(row["path"]) for row in rows(result.stdout)] == ODD_NAMES


@pytest.mark.parametrize("option", ["-0", "--null"])
def test_names_as_a_list_with_nul(odd: Path, option: str) -> None:
    result = scan("-", option, "--json", cwd=odd, input=b"\0".join(ODD_NAMES) + b"\0")
    assert [os.fsencode(row["path"]) for row in rows(result.stdout)] == ODD_NAMES


def test_names_as_a_list_of_lines(odd: Path) -> None:
    names = [name for name in ODD_NAMES if b"\n" not in name]
    result = scan("-", "--json", cwd=odd, input=b"\n".join(names))
    assert [os.fsencode(row["path"]) for row in rows(result.stdout)] == names


def test_no_name_breaks_csv_or_makes_a_formula(odd: Path) -> None:
    output = scan("--csv", "-", "--", *ODD_NAMES, cwd=odd).stdout
    assert b"\x1b" not in output
    cells = [row["path"] for row in csv.DictReader(output.decode("utf-8").splitlines(keepends=True))]
    assert len(cells) == len(ODD_NAMES)
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


@pytest.mark.parametrize(("locale", "encoding"), [("C", ""), ("C", "ascii"), ("C.UTF-8", "latin-1")])
def test_no_name_breaks_the_lines(odd: Path, locale: str, encoding: str) -> None:
    result = aigdetect("scan", odd, env={"LC_ALL": locale, "PYTHONIOENCODING": encoding})
    assert result.returncode == 0
    assert len(result.stdout.splitlines()) == len(ODD_NAMES)
    assert b"\x1b" not in result.stdout + result.stderr
    assert b"[bold red]markup[nope] :smile:.png" in result.stdout


def test_a_file_given_twice_is_scanned_once(folder: Path) -> None:
    assert len(rows(scan(folder, folder / "a.png", folder, "--json").stdout)) == 3


def test_links_that_are_passed_over_are_named(folder: Path, tmp_path: Path) -> None:
    links = tmp_path / "links"
    links.mkdir()
    for path in folder.glob("*.png"):
        (links / path.name).symlink_to(path)
    result = scan(links)
    assert result.returncode == 2
    assert b"0 unreadable, 3 symbolic links (--follow-symlinks follows them)" in result.stderr
    assert len(rows(scan(links, "--json", "--follow-symlinks").stdout)) == 3
    (folder / "link.png").symlink_to(folder / "a.png")
    (folder / "._a.png").write_bytes(b"\0\5\x16\7" + bytes(99))
    result = scan(folder, folder / "._a.png")
    assert result.returncode == 0
    assert b"; 1 other file, 1 companion file of macOS (._), 1 symbolic link (--follow" in result.stderr


def test_a_list_made_by_powershell(folder: Path) -> None:
    listed = "\ufeff" + "".join(f"{path}\r\n" for path in sorted(folder.glob("*.png")))
    for coding in ("utf-8", "utf-16-le"):
        result = scan("-", "--json", input=listed.encode(coding))
        assert (result.returncode, len(rows(result.stdout))) == (0, 3)


@pytest.mark.parametrize("option", ["--case", "--heatmap"])
def test_a_name_that_no_file_can_have_is_a_row(folder: Path, tmp_path: Path, option: str) -> None:
    listed = f"{folder / 'b.png'}\nbad\0x/o.jsonl\n{folder / 'c.png'}\n"
    out = tmp_path / "o.jsonl"
    result = scan("-", option, tmp_path / "made", "--jsonl", out, "--workers", "0", input=listed.encode())
    assert result.returncode == 1, result.stderr
    assert [row["error"] for row in rows(out)] == [None, "embedded null byte", None]


def test_a_heat_map_that_cannot_be_drawn_ends_nothing(folder: Path, tmp_path: Path) -> None:
    result = scan(folder / "a.png", "--heatmap", tmp_path / "made", "--json", "--workers", "0", "--debug")
    assert result.returncode == 0, result.stderr
    (row,) = rows(result.stdout)
    # the stand-in has no network that could be asked for parts of an image
    assert row["notes"][-1].startswith("heat map not drawn: AttributeError: ")
    assert b"Traceback" in result.stderr
    assert not (tmp_path / "made").exists()


def test_an_image_that_is_too_large_names_the_option(tmp_path: Path) -> None:
    make(tmp_path / "a.png")
    (row,) = rows(scan(tmp_path, "--json", "--max-pixels", "4095", "--workers", "0").stdout)
    assert row["error"] == "too large: 64x64 pixels, the limit is 4095 in all; --max-pixels allows more"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_is_no_file_is_passed_over(folder: Path) -> None:
    os.mkfifo(folder / "pipe.png")
    os.mknod(folder / "socket.png", stat.S_IFSOCK | 0o600)
    (folder / "loop").mkdir()
    (folder / "loop" / "back").symlink_to(folder)
    (folder / "loop" / "self.png").symlink_to("self.png")
    (folder / "loop" / "nowhere.png").symlink_to("nothing")
    for options in ([], ["--follow-symlinks"]):
        result = scan(folder, "--json", *options)
        assert result.returncode == 0
        assert [Path(row["path"]).name for row in rows(result.stdout)] == ["a.png", "b.png", "c.png"]
    result = scan(folder / "pipe.png", folder / "socket.png", folder / "loop" / "self.png", "--json")
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 4


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_a_row(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0)
    result = scan(folder, "--json")
    assert result.returncode == 1
    assert [row["error"] for row in rows(result.stdout) if row["status"] == "error"] == ["permission denied"]


# --- exit status -------------------------------------------------------------------------------------------


def test_some_failed(folder: Path) -> None:
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    result = scan(folder, folder / "missing.png", "--json")
    assert result.returncode == 1
    failed = [row for row in rows(result.stdout) if row["status"] == "error"]
    assert [Path(row["path"]).name for row in failed] == ["broken.png", "missing.png"]
    for row in failed:
        assert f"error: {row['path']}: {row['error']}" in result.stderr.decode()
    assert "2 could not be scored" in result.stderr.decode()


def test_nothing_to_scan(folder: Path, tmp_path: Path) -> None:
    for name in "abc":
        (folder / f"{name}.png").unlink()
    out = tmp_path / "out.csv"
    result = scan(folder, "--csv", out)
    assert (result.returncode, result.stdout) == (2, b"")
    assert result.stderr.decode() == "error: no image to scan: 0 unreadable, 1 other file\n"
    result = scan(tmp_path / "missing", "--csv", out)
    assert result.returncode == 2
    assert (
        result.stderr.decode().splitlines()[0] == f"error: {tmp_path / 'missing'}: no such file or directory"
    )
    assert not out.exists()


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["x", "--fail-on", "real"],
        ["x", "--batch-size", "0"],
        ["x", "--fpr", "2"],
        ["x", "--nope"],
        ["x", "--shard", "3/2"],
        ["x", "--timeout", "0"],
    ],
)
def test_bad_usage(args: list[str]) -> None:
    result = scan(*args)
    assert (result.returncode, result.stdout) == (2, b"")
    assert b"Traceback" not in result.stderr


def test_flagged_only_if_asked_for(folder: Path) -> None:
    assert scan(folder).returncode == 0
    assert scan(folder, "--fail-on", "ai").returncode == 3
    assert scan(folder / "b.png", folder / "c.png", "--fail-on", "ai").returncode == 0


def test_flagged_goes_before_failed(folder: Path) -> None:
    (folder / "broken.png").write_bytes(b"")
    assert scan(folder).returncode == 1
    assert scan(folder, "--fail-on", "ai").returncode == 3
    (folder / "a.png").unlink()
    assert scan(folder, "--fail-on", "ai").returncode == 1


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 120  # beside whatever else runs
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_an_interrupt_keeps_what_is_finished(tmp_path: Path) -> None:
    for index in range(40):
        make(tmp_path / f"{index:02}.png")
    out = tmp_path / "out.csv"
    process = command_forks.start(
        *("scan", tmp_path, "--csv", out, "--html", tmp_path / "page.html"),
        script=command_forks.FAKE,
        env={"FAKE_DELAY": "0.2"},
    )
    wait_for(lambda: out.exists() and len(out.read_bytes().splitlines()) > 4)
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=120)
    assert process.returncode == 130
    assert b"interrupted: everything finished so far is on disk" in messages
    assert b"page" not in messages.replace(os.fsencode(tmp_path), b"")
    assert not (tmp_path / "page.html").exists()
    assert b"Traceback" not in messages
    with out.open(encoding="utf-8", newline="") as file:
        written = list(csv.DictReader(file))
    assert 4 <= len(written) < 40
    assert all(row["precision"] == "float32" for row in written)


@pytest.mark.parametrize("args", [["--json"], ["--csv", "-"], []])
def test_a_reader_that_goes_away_ends_the_scan_quietly(folder: Path, args: list[str]) -> None:
    for index in range(30):
        make(folder / f"{index:02}.png")
    process = subprocess.Popen(
        [*FAKE, "scan", folder, *args, "--quiet"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**ENVIRONMENT, "FAKE_DELAY": "0.05"},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=120) == 141  # not 0: not all is done


@pytest.mark.parametrize(("first", "status"), [(AI, 3), (REAL_PHOTO, 141)])
def test_a_reader_that_goes_away_hides_no_flag(folder: Path, first: int, status: int) -> None:
    for index in range(12):
        make(folder / f"{index:02}.png", first)
    process = subprocess.Popen(
        [*FAKE, "scan", folder, "--json", "--fail-on", "ai", "--quiet", "--workers", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**ENVIRONMENT, "FAKE_DELAY": "0.05"},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=120) == status


def test_files_are_finished_even_if_the_reader_goes_away(folder: Path, tmp_path: Path) -> None:
    for index in range(30):
        make(folder / f"{index:02}.png")
    out = tmp_path / "out.csv"
    process = subprocess.Popen(
        [*FAKE, "scan", folder, "--json", "--csv", out, "--fail-on", "ai"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**ENVIRONMENT, "FAKE_DELAY": "0.05"},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    messages = process.stderr.read()
    assert process.wait(timeout=120) == 3
    assert messages.startswith(b"33 scored")
    assert len(out.read_bytes().splitlines()) == 34


# --- streams that take in, or give, nothing ----------------------------------------------------------------


def in_shell(redirections: str, *args: str | Path) -> Result:
    """The program with its streams as a shell arranges them."""
    return aigdetect("scan", *args, program=["bash", "-c", f'exec "$@" {redirections}', "bash", *FAKE])


@pytest.mark.parametrize("redirections", ["2>/dev/full", "2>&-", "2> >(exec <&-)"])
def test_messages_that_cannot_be_written_cost_no_row(folder: Path, tmp_path: Path, redirections: str) -> None:
    out = tmp_path / "o.jsonl"
    missing = [tmp_path / f"missing{index}.png" for index in range(3)]
    result = in_shell(redirections, *missing, folder, "--jsonl", out, "--workers", "0")
    assert (result.returncode, result.stdout, result.stderr) == (1, b"", b"")
    assert [Path(row["path"]).name for row in rows(out)] == [
        *(path.name for path in missing),
        *("a.png", "b.png", "c.png"),
    ]
    result = in_shell(redirections, folder, "--json", "--workers", "0")
    assert (result.returncode, len(rows(result.stdout))) == (0, 3)
    assert in_shell(redirections, "--no-such-option").returncode == 2


def test_a_terminal_that_goes_away_costs_no_row(folder: Path, tmp_path: Path) -> None:
    import pty

    main, sub = pty.openpty()
    out = tmp_path / "o.jsonl"
    make(folder / "d.png")
    paths = [folder / f"{name}.png" for name in ("a", "b", "c", "missing", "d")]  # two images are a batch
    process = subprocess.Popen(
        [*FAKE, "scan", *paths, "--jsonl", out, "--workers", "0"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=sub,
        env={**ENVIRONMENT, "FAKE_DELAY": "0.5", "TERM": "xterm"},
        start_new_session=True,
    )
    os.close(sub)
    wait_for(lambda: out.exists() and len(rows(out)) > 0)
    os.close(main)
    assert process.wait(timeout=120) == 1
    assert [row["path"] for row in rows(out)] == list(map(str, paths))


def test_streams_that_are_closed_are_said_to_be(folder: Path) -> None:
    for redirections, said in {
        ">&-": b"error: standard output is closed; open it, if only to /dev/null\n",
        "<&-": b"error: -: standard input is closed; give it a list of paths\n",
    }.items():
        result = in_shell(redirections, "-" if "<" in redirections else folder)
        assert (result.returncode, result.stdout, result.stderr) == (2, b"", said)


# --- on a terminal -----------------------------------------------------------------------------------------


def on_terminal(*args: str | bytes | Path, width: int = 100, **env: str) -> str:
    """What a terminal shows of the program's standard output and error together."""
    import fcntl
    import pty
    import struct
    import termios

    main, sub = pty.openpty()
    fcntl.ioctl(sub, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    environment = {**ENVIRONMENT, "TERM": "xterm-256color", **env}
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        environment.pop(name, None) if name not in env else None
    process = subprocess.Popen(
        [*FAKE, "scan", *args], stdin=sub, stdout=sub, stderr=sub, env=environment, start_new_session=True
    )
    os.close(sub)
    shown = b""
    try:
        while part := os.read(main, 65536):
            shown += part
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(main)
    process.wait(timeout=120)
    return shown.decode()


def test_a_table_in_colour(folder: Path) -> None:
    shown = on_terminal(folder)
    lines = [line for line in shown.splitlines() if ".png" in line]
    assert len(lines) == 3
    assert "\x1b[1;31mai" in lines[0]
    assert "\x1b[33muncertain" in lines[1]
    assert "\x1b[32mreal" in lines[2]
    assert MODESTY in shown


def test_no_colour_if_not_wanted(folder: Path) -> None:
    shown = on_terminal(folder, NO_COLOR="1")
    assert "\x1b[31m" not in shown
    assert "\x1b[1;31m" not in shown


def test_a_table_cannot_be_driven_by_names(odd: Path) -> None:
    shown = on_terminal(odd, NO_COLOR="1", width=200)
    assert r"\x1b[2J\x1b]0;owned\x07.png" in shown
    assert "\x1b[2J\x1b]0" not in shown
    assert "[bold red]markup[nope] :smile:.png" in shown
    assert sum(".png" in line for line in shown.splitlines()) == len(ODD_NAMES)


def test_a_long_path_is_cut_in_the_middle(folder: Path) -> None:
    deep = folder / ("x" * 100)
    deep.mkdir()
    make(deep / "the-end.png")
    shown = on_terminal(deep, NO_COLOR="1", width=80)
    (line,) = [line for line in shown.splitlines() if "the-end.png" in line]
    assert "…" in line
    assert len(line.rstrip()) <= 80


def test_a_long_scan_shows_first_what_to_look_at(tmp_path: Path) -> None:
    for index in range(70):
        make(tmp_path / f"{index:02}.png", REAL_PHOTO)
    make(tmp_path / "z.png", AI)
    make(tmp_path / "zz.png", AI + 5)
    (tmp_path / "y.png").write_bytes(b"")
    shown = on_terminal(tmp_path, NO_COLOR="1", width=200)
    table = [line for line in shown.splitlines() if ".png" in line and "error: " not in line]
    names = [Path(line.split()[0]).name for line in table]
    assert names[:3] == ["zz.png", "z.png", "y.png"]
    assert len(names) == 50
    assert "50 of 73 rows, those to look at first; all of them: --csv FILE" in shown


def test_json_on_a_terminal_is_not_mixed_with_a_progress_bar(folder: Path) -> None:
    shown = on_terminal(folder, "--json", "--quiet")
    assert [json.loads(line)["verdict"] for line in shown.splitlines()] == ["ai", "uncertain", "real"]


# --- with a model ------------------------------------------------------------------------------------------


def test_a_model_scores_real_files(folder: Path, tmp_path: Path, tiny_model: Any) -> None:
    options = ["--model", tiny_model.folder, "--weights", tiny_model.weights, "--offline", "--device", "cpu"]
    options += ["--precision", "float32", "--json"]
    result = scan(folder, *options, script=None)
    assert result.returncode == 0, result.stderr.decode()
    found = rows(result.stdout)
    assert [row["status"] for row in found] == ["scored"] * 3
    assert {row["precision"] for row in found} == {"float32"}
    assert all(0 <= row["score"] <= 1 for row in found)
    alone = scan(folder / "b.png", *options, "--workers", "1", script=None)
    assert rows(alone.stdout)[0] == found[1]


def test_a_precision_that_the_model_cannot_have(folder: Path, tmp_path: Path, tiny_model: Any) -> None:
    out = tmp_path / "out.csv"
    options = ["--model", tiny_model.folder, "--weights", tiny_model.weights, "--device", "cpu", "--csv", out]
    result = scan(folder, *options, "--precision", "int8", script=None)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith(b"error: precision int8: ")
    assert b"; use " in result.stderr
    assert b"Traceback" not in result.stderr
    assert not out.exists()


def test_weights_that_are_not_there(folder: Path, tmp_path: Path, tiny_model: Any) -> None:
    out = tmp_path / "out.csv"
    options = ["--model", tiny_model.folder, "--weights", tmp_path / "none.safetensors", "--csv", out]
    result = scan(folder, *options, script=None)
    assert result.returncode == 2
    assert b"none.safetensors" in result.stderr
    assert b"Traceback" not in result.stderr
    assert not out.exists()


# --- hostile metadata --------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", ["0", "1"])
def test_metadata_without_end_cost_neither_digest_nor_score(tmp_path: Path, workers: str) -> None:
    path = tmp_path / "a.gif"
    Image.new("RGB", (64, 64), (REAL_PHOTO, 0, 0)).save(path)
    empty = b"!\xff\x0bXMP DataXMP\0" * 60_000  # each of them says that XMP follows
    data = path.read_bytes()
    path.write_bytes(data[:-1] + empty + data[-1:] + bytes(3 << 20))
    start = time.monotonic()
    (row,) = rows(scan(path, "--json", "--workers", workers, "--timeout", "10").stdout)
    assert time.monotonic() - start < 15
    assert (row["status"], row["sha256"]) == ("scored", hashlib.sha256(path.read_bytes()).hexdigest())


# --- damaged files -----------------------------------------------------------------------------------------


def test_an_image_of_one_colour_is_uncertain(tmp_path: Path) -> None:
    for name, red in (("ai.png", 250), ("real.png", REAL_PHOTO)):
        Image.new("RGB", (300, 300), (red, 0, 0)).save(tmp_path / name)
    for row in rows(scan(tmp_path, "--json").stdout):
        assert (row["verdict"], row["notes"]) == ("uncertain", ["uniform image: no content"])


def test_truncated_files_are_scored_from_what_is_there(tmp_path: Path) -> None:
    noise = Image.effect_noise((300, 400), 20).point(lambda value: value // 8)
    image = Image.merge("RGB", (noise.point(lambda value: 250), noise, noise))
    image.save(tmp_path / "whole.png")
    data = (tmp_path / "whole.png").read_bytes()
    for name, share in (("more", 0.7), ("less", 0.3), ("nothing", 0.01)):
        (tmp_path / f"{name}.png").write_bytes(data[: int(len(data) * share)])
    done = scan(tmp_path, "--json", "--workers", "0", "--stability")
    found = {Path(row["path"]).stem: row for row in rows(done.stdout)}
    assert done.returncode == 1
    assert {name: row["verdict"] for name, row in found.items()} == {
        "whole": "ai",
        "more": "ai",
        "less": "uncertain",
        "nothing": None,
    }
    assert found["less"]["logit"] == found["whole"]["logit"]
    assert re.fullmatch(r"truncated: 3\d % of the image missing", found["more"]["notes"][0])
    assert re.fullmatch(r"truncated: 7\d % of the image missing", found["less"]["notes"][0])
    assert {(row["width"], row["height"]) for row in found.values()} == {(300, 400)}
    assert {row["sha256"] for row in found.values()} == {
        hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()
    }
