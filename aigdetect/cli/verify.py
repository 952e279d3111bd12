"""``aigdetect verify``: whether a case is still what its manifest says."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aigdetect.cli.console import Exit
from aigdetect.cli.options import Debug, Json, Quiet, terminal
from aigdetect.cli.printing import put
from aigdetect.text import printable

if TYPE_CHECKING:
    from aigdetect.scanning.verification import Checked, Signature, State

_SIGNATURES: dict[Signature, str] = {
    "valid": "valid",
    "invalid": "not valid: key or manifest is another one",
    "missing": "missing",
    "unchecked": "not checked; --key names the public key to check it with",
    "none": "none; compare the digest with the one that the scan said",
}

_FAULTS: dict[Signature, tuple[State, str]] = {
    "invalid": ("changed", "is no signature of this manifest with this key"),
    "missing": ("missing", "the manifest is not signed"),
}


def verify(
    case: Annotated[Path, typer.Argument(metavar="CASE", help="The folder that scan --case wrote.")],
    root: Annotated[
        Path,
        typer.Option(
            "--root", metavar="FOLDER", help="Where relative paths of inputs begin (default: where you are)."
        ),
    ] = Path(),
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="FILE", help="Ed25519 public key (PEM) of who should have signed."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> int:
    """Compare every input and every output of a case with its manifest.

    Each file that changed, is missing, cannot be read or was added to the
    case folder gets a line. What has come to lie beside the inputs is not
    looked for: a manifest names the images that were scanned, no folders.

    With --key, the manifest must be signed with the private key to it.

    Exit status: 0 sound; 1 something differs, each of it named; 2 there is
    no case, its manifest is damaged or of a later version, or the key
    cannot be used.
    """
    from aigdetect.files import sha256_of
    from aigdetect.scanning.manifest import MANIFEST, SIGNATURE, open_manifest, read_entries
    from aigdetect.scanning.verification import DIFFERING, STATES, Checked, check_case, check_signature

    public = None
    if key:
        from aigdetect.scanning.signature import read_public_key

        public = read_public_key(key)
    counts: Counter[str] = Counter()
    roles: Counter[str] = Counter()
    with open_manifest(case) as manifest:
        # all of it is read before a file is judged by any of it
        for entry in read_entries(manifest, case / MANIFEST):
            roles[entry.role] += 1
        manifest.seek(0)
        sha256 = sha256_of(manifest)
        inputs: Counter[str] = Counter()
        signature = check_signature(case, manifest, public)
        if signature in _FAULTS:
            state, reason = _FAULTS[signature]
            counts[state] += 1
            _show(Checked("output", SIGNATURE, state, reason), as_json=as_json)
        with terminal.progress("verifying", roles.total(), hidden=sys.stdout.isatty()) as bar:
            for checked in check_case(case, manifest, root=root):
                counts[checked.state] += 1
                if checked.role == "input":
                    inputs[checked.state] += 1
                if checked.differs:
                    _show(checked, as_json=as_json)
                bar.update(bar.task_ids[0], advance=1)
    differing = {state: counts[state] for state in DIFFERING if counts[state]}
    if as_json:
        summary: dict[str, object] = {
            "case": str(case),
            "manifest_sha256": sha256,
            "signature": signature,
            "sound": not differing,
            "inputs": roles["input"],
            "outputs": roles["output"],
            **{str(state): counts[state] for state in STATES},
        }
        put(json.dumps(summary) + "\n")
    if inputs["missing"] and set(inputs) <= {"missing", "unknown"}:
        terminal.warn(f"no input was found in {root.absolute()}; --root says where their paths begin")
    if counts["unknown"]:
        terminal.say(f"{counts['unknown']} inputs could not be read by the scan, and have no digest")
    terminal.say(f"manifest: SHA-256 {sha256}")
    terminal.say(f"signature: {_SIGNATURES[signature]}")
    told = ", ".join(f"{count} {state}" for state, count in differing.items())
    terminal.say(
        f"{'not sound: ' + told if differing else 'sound'}; "
        f"{roles['input']} inputs and {roles['output']} outputs in the manifest"
    )
    return Exit.SOME_FAILED if differing else Exit.DONE


def _show(checked: Checked, *, as_json: bool) -> None:
    if as_json:
        put(json.dumps(asdict(checked)) + "\n")
        return
    cells = [checked.state, checked.role, checked.path, *([checked.reason] if checked.reason else [])]
    put("\t".join(map(printable, cells)) + "\n")
