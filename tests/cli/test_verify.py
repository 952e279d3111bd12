"""``aigdetect verify`` on a case that a scan has written, as it is and after something has happened to it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import command_forks
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)
from PIL import Image

REPOSITORY = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
HOSTILE = os.fsdecode(b"\xff\x1b[31m\n\t\xe2\x80\xaea.png")
INPUTS = ("images/a.png", "images/b.png", f"images/{HOSTILE}", "gone.png")


def run(command: list[object], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=ENVIRONMENT,
        cwd=cwd,
    )


def scan(cwd: Path, *args: object) -> subprocess.CompletedProcess[str]:
    return command_forks.run("scan", *args, cwd=cwd, script=command_forks.FAKE)


def verify(cwd: Path, *args: object) -> subprocess.CompletedProcess[str]:
    return command_forks.run("verify", *args, cwd=cwd)


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images and the case of their scan, one of whose inputs could not be read."""
    place = tmp_path_factory.mktemp("scanned")
    (place / "images").mkdir()
    for index, name in enumerate(INPUTS[:3]):
        Image.new("RGB", (40, 40), (20 * index, 0, 0)).save(place / name, "PNG")
    done = command_forks.run(
        *("scan", "images", "gone.png", "--case", "case", "--workers", "0"),
        cwd=place,
        script=command_forks.FAKE,
    )
    assert done.returncode == 1, done.stderr
    return place


@pytest.fixture
def place(scanned: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(scanned, tmp_path / "place"))


def test_a_sound_case(place: Path) -> None:
    done = verify(place, "case")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    digest = hashlib.sha256((place / "case" / "manifest.json").read_bytes()).hexdigest()
    assert f"manifest: SHA-256 {digest}\n" in done.stderr
    assert "1 inputs could not be read by the scan, and have no digest\n" in done.stderr
    assert done.stderr.endswith("sound; 4 inputs and 5 outputs in the manifest\n")


def test_a_case_that_was_killed_and_ended_is_sound(place: Path) -> None:
    command = ["images", "--case", "killed", "--workers", "0"]
    done = command_forks.run(
        "scan", *command, cwd=place, script=command_forks.FAKE, kill=("aigdetect.files", "Draft.finish", 1)
    )
    assert done.returncode == -9
    (place / "killed" / "heatmaps").mkdir(exist_ok=True)
    for name in ("heatmaps/.aigdetect-0.part", ".aigdetect-0.part-wal"):
        (place / "killed" / name).touch()
    assert len(list((place / "killed").glob(".aigdetect-*"))) == 2
    assert scan(place, *command, "--resume").returncode == 0
    done = verify(place, "killed")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def _append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\0")


def _link(path: Path) -> None:
    path.rename(path.parents[1] / "elsewhere")
    path.symlink_to(path.parents[1] / "elsewhere")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "acts",
    [
        [
            (_append, "images/a.png", "changed\tinput\timages/a.png"),
            (Path.unlink, "images/b.png", "missing\tinput\timages/b.png"),
            (_append, f"images/{HOSTILE}", "changed\tinput\timages/\\udcff\\x1b[31m\\n\\t\\u202ea.png"),
            (_link, "case/report.html", "changed\toutput\treport.html\tis no file of its own"),
            (Path.unlink, "case/results.csv", "missing\toutput\tresults.csv"),
            (_append, "case/results.jsonl", "changed\toutput\tresults.jsonl"),
            (_append, "case/run.log", "changed\toutput\trun.log"),
        ],
        [
            (_pipe, "images/b.png", "changed\tinput\timages/b.png\tis no regular file"),
            (_pipe, "case/results.csv", "changed\toutput\tresults.csv\tis no file of its own"),
            (Path.touch, "case/.hidden", "added\toutput\t.hidden"),
            (Path.touch, "case/heatmaps/\x1b.png", "added\toutput\theatmaps/\\x1b.png"),
            (Path.touch, "case/results.journal-wal", "added\toutput\tresults.journal-wal"),
        ],
    ],
    ids=["changed", "added"],
)
def test_what_differs_is_named(place: Path, acts: list[tuple[Callable[[Path], object], str, str]]) -> None:
    (place / "case" / "heatmaps").mkdir(exist_ok=True)
    for act, name, _ in acts:
        act(place / name)
    done = verify(place, "case", "--quiet")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines() == [line for *_, line in acts]


def test_json_has_a_line_for_each_difference_and_a_summary(place: Path) -> None:
    _append(place / "images" / HOSTILE)
    (place / "case" / "results.csv").unlink()
    (place / "case" / "added").touch()
    done = verify(place, "case", "--json")
    assert done.returncode == 1
    *lines, summary = map(json.loads, done.stdout.splitlines())
    assert [(each["role"], each["path"], each["state"]) for each in lines] == [
        ("input", f"images/{HOSTILE}", "changed"),
        ("output", "results.csv", "missing"),
        ("output", "added", "added"),
    ]
    assert summary == {
        "case": "case",
        "manifest_sha256": hashlib.sha256((place / "case" / "manifest.json").read_bytes()).hexdigest(),
        "signature": "none",
        "sound": False,
        "inputs": 4,
        "outputs": 5,
        "same": 6,
        "unknown": 1,
        "changed": 1,
        "missing": 1,
        "unreadable": 0,
        "added": 1,
    }


def test_relative_inputs_are_found_from_the_root_that_is_named(place: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = verify(elsewhere, place / "case", "--root", place)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    done = verify(elsewhere, place / "case")
    assert done.returncode == 1
    assert f"warning: no input was found in {elsewhere}; --root says where their paths begin\n" in done.stderr


def test_a_manifest_that_cannot_be_trusted_to_be_one(place: Path) -> None:
    manifest = place / "case" / "manifest.json"
    whole = manifest.read_bytes()
    for data, message in (
        (whole[:-3], "damaged in or before line"),
        (
            whole.replace(b'version": 1', b'version": 2', 1),
            "is of version 2, and this program knows those up to 1",
        ),
    ):
        manifest.write_bytes(data)
        done = verify(place, "case")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"error: {Path('case', 'manifest.json')}: {message}")
        assert done.stderr.count("\n") == 1


def test_where_there_is_no_case(place: Path) -> None:
    for path, more in (
        ("images", "scan --case --resume"),
        ("nowhere", "name the folder"),
        ("case/run.log", ""),
    ):
        done = verify(place, path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"error: {path}")
        assert more in done.stderr
        assert done.stderr.count("\n") == 1


def test_it_loads_nothing_heavy(place: Path) -> None:
    code = (
        "import sys\n"
        "from aigdetect.cli.app import main\n"
        "sys.argv = ['aigdetect', 'verify', 'case']\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    print(end.code)\n"
        "heavy = {'torch', 'numpy', 'PIL', 'yaml', 'cryptography'}\n"
        "print(heavy & {name.partition('.')[0] for name in sys.modules})\n"
    )
    done = run([sys.executable, "-c", code], place)
    assert done.stdout == "0\nset()\n", done.stderr


@pytest.fixture
def signed(place: Path) -> Path:
    """A signed case beside the pairs of keys ``own`` and ``other``."""
    for name in ("own", "other"):
        key = Ed25519PrivateKey.generate()
        (place / f"{name}.pem").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        (place / f"{name}.pub").write_bytes(
            key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
    done = scan(place, "images/a.png", "--case", "signed", "--sign", "own.pem", "--workers", "0")
    assert done.returncode == 0, done.stderr
    return place


def test_a_signed_case(signed: Path) -> None:
    manifest = signed / "signed" / "manifest.json"
    public = load_pem_public_key((signed / "own.pub").read_bytes())
    assert isinstance(public, Ed25519PublicKey)
    public.verify((signed / "signed" / "manifest.json.sig").read_bytes(), manifest.read_bytes())
    done = verify(signed, "signed", "--key", "own.pub")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "signature: valid\n" in done.stderr
    done = verify(signed, "signed")
    assert (done.returncode, done.stdout) == (0, "")
    assert "signature: not checked; --key names the public key to check it with\n" in done.stderr
    line = "changed\toutput\tmanifest.json.sig\tis no signature of this manifest with this key\n"
    done = verify(signed, "signed", "--key", "other.pub")
    assert (done.returncode, done.stdout) == (1, line)
    own = signed / "signed" / "manifest.json.sig"
    os.truncate(own, 1 << 34)  # the signature, and then nothing but a hole
    done = verify(signed, "signed", "--key", "own.pub")
    assert (done.returncode, done.stdout) == (1, line)
    os.truncate(own, 64)
    manifest.write_bytes(manifest.read_bytes().replace(b'"started": "2', b'"started": "3', 1))
    done = verify(signed, "signed", "--key", "own.pub", "--json")
    assert done.returncode == 1
    summary = json.loads(done.stdout.splitlines()[-1])
    assert (summary["signature"], summary["sound"], summary["changed"]) == ("invalid", False, 1)
    done = verify(signed, "case", "--key", "own.pub")
    assert (done.returncode, done.stdout) == (
        1,
        "missing\toutput\tmanifest.json.sig\tthe manifest is not signed\n",
    )


def test_a_case_that_goes_on_is_signed_anew_or_no_more(signed: Path) -> None:
    signature = signed / "signed" / "manifest.json.sig"
    before = signature.read_bytes()
    again = ["images/a.png", "images/b.png", "--case", "signed", "--workers", "0"]
    assert scan(signed, *again, "--resume", "--sign", "own.pem").returncode == 0
    assert signature.read_bytes() != before
    assert verify(signed, "signed", "--key", "own.pub").returncode == 0
    done = scan(signed, *again, "--force")
    assert done.returncode == 0, done.stderr
    assert not signature.exists()


def test_a_key_that_cannot_sign_is_refused_before_anything_is_written(signed: Path) -> None:
    for key, message in (("own.pub", "is no private key as PEM"), ("nowhere", "the key cannot be read")):
        done = scan(signed, "images/a.png", "--case", "new", "--sign", key)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"error: {key}: {message}")
        assert done.stderr.count("\n") == 1
    done = scan(signed, "images/a.png", "--sign", "own.pem")
    assert (done.returncode, done.stderr) == (
        2,
        "error: --sign: signs the manifest of a case; only with --case\n",
    )
    assert not (signed / "new").exists()
