"""C2PA content credentials: what they claim, who signed them, and whether they hold; never from the network.

The checking is c2pa-python's; this module asks it the right way and keeps what it says.
https://spec.c2pa.org/specifications/specifications/2.2/specs/C2PA_Specification.html
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from aigdetect.evidence.binding import MISMATCH, MISMATCHES, is_bound, moved_back
from aigdetect.evidence.findings import MAX_ITEMS, Strength, clip
from aigdetect.evidence.manifests import Manifest, Role, read_manifests
from aigdetect.formats import jpeg, png
from aigdetect.formats.jumbf import Store, stores

ANCHORS = "AIGDETECT_C2PA_ANCHORS"
"""Environment variable that names a file of certificates (PEM) of the signers to be trusted."""

_MAX_JSON = 32 << 20
_CERTIFICATE = ("signingCredential.invalid", "signingCredential.expired", "signingCredential.ocsp.revoked")
_ELSEWHERE = "Remote: "
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_MEDIA_TYPES = {
    jpeg.SIGNATURE: "image/jpeg",
    png.SIGNATURE: "image/png",
    b"RIFF": "image/webp",
    b"GIF8": "image/gif",
}
_TRUSTED, _UNTRUSTED = "signingCredential.trusted", "signingCredential.untrusted"


@dataclass(frozen=True)
class Credentials:
    """Content credentials, and what came of checking them.

    Attributes:
        state: ``"Trusted"``, ``"Valid"``, ``"Invalid"``, ``"unreadable"``, or ``"not checked"`` where the
            library cannot be loaded.
        strength: the same in this program's words.
        reasons: why they are not trusted or not valid: codes of the C2PA specification, or an error.
        manifests: what is claimed: the manifest of the file first, then those of what it was made from.
        outside: where they lie if that is not where they belong, in words; then the rest of the file was
            checked against what they say of it.
    """

    state: str
    strength: Strength
    reasons: tuple[str, ...] = ()
    manifests: tuple[Manifest, ...] = ()
    outside: str = ""

    @property
    def failures(self) -> tuple[str, ...]:
        """The reasons apart from whom to trust."""
        return tuple(reason for reason in self.reasons if reason != _UNTRUSTED)

    def as_dict(self) -> dict[str, Any]:
        """An object for JSON."""
        return {
            "validation_state": self.state,
            "strength": self.strength.value,
            "reasons": list(self.reasons),
            "manifests": [manifest.as_dict() for manifest in self.manifests],
            **({"outside": self.outside} if self.outside else {}),
        }


def read_credentials(file: bytes | BinaryIO) -> Credentials | None:
    """Read and check the content credentials embedded in a file; never raises, never uses the network.

    Args:
        file: the whole file, in memory or open; only in memory they are looked for outside their place.

    Returns:
        what they say; None if there are none in the file itself.
    """
    anchors, problems = _anchors()
    found = _read(file, anchors, problems)
    if not isinstance(file, bytes) or not (found is None or _astray(found)):
        return found
    elsewhere = (_read_outside(file, store, anchors, problems) for store in stores(file))
    outside = [each for each in elsewhere if each is not None]
    intact = next((each for each in outside if each.strength is not Strength.BROKEN), None)
    return intact or found or next(iter(outside), None)


def _astray(found: Credentials) -> bool:
    """Whether what is wrong with credentials may be that they are not where they were, or not all of them."""
    return found.state == "unreadable" or not MISMATCHES.isdisjoint(found.failures)


def _read(file: bytes | BinaryIO, anchors: str, problems: tuple[str, ...]) -> Credentials | None:
    """The credentials where they belong."""
    try:
        report = _read_report(BytesIO(file) if isinstance(file, bytes) else file, anchors)
        return None if report is None else _credentials(report, problems)
    except (ImportError, OSError, MemoryError) as error:  # says nothing against the file
        return Credentials("not checked", Strength.TEXT, (_said(error),))
    except Exception as error:  # noqa: BLE001 - whatever it is, the credentials could not be read
        if str(error).startswith(_ELSEWHERE):
            return None
        return Credentials("unreadable", Strength.BROKEN, (_said(error),))


def _read_outside(data: bytes, store: Store, anchors: str, problems: tuple[str, ...]) -> Credentials | None:
    """The credentials in a store outside its place; None if they cannot be said to be those of the file."""
    try:
        found = _credentials(_report_outside(data, store, anchors), problems)
    except Exception as error:  # noqa: BLE001 - as above
        found = Credentials("unreadable", Strength.BROKEN, (_said(error),))
    if store.by_itself and found.strength is Strength.BROKEN:
        return None
    return replace(found, outside=store.where)


def _report_outside(data: bytes, store: Store, anchors: str) -> Mapping[str, Any]:
    """The library's report on a store, as if it were in its place."""
    named = next((name for beginning, name in _MEDIA_TYPES.items() if data.startswith(beginning)), None)
    with open_reader(BytesIO(data), anchors, store.data, named) as reader:
        report, details = parsed(reader.json()), parsed(reader.detailed_json())
    codes = set(_codes((report.get("validation_results") or {}).get("activeManifest")))
    if MISMATCH in codes and is_bound(data, store, details):
        return _without(report, MISMATCH)
    if codes & MISMATCHES and (moved := moved_back(data, store, details)):
        return _read_report(BytesIO(moved), anchors) or report
    return report


def _without(report: Mapping[str, Any], code: str) -> Mapping[str, Any]:
    """A report without a failure of the file's own manifest."""
    own = dict(report["validation_results"]["activeManifest"])
    own["failure"] = [each for each in own["failure"] if each.get("code") != code]
    codes = set(_codes(own))
    state = "Trusted" if not codes else "Valid" if codes == {_UNTRUSTED} else "Invalid"
    results = {**report["validation_results"], "activeManifest": own}
    return {**report, "validation_results": results, "validation_state": state}


def _said(error: Exception) -> str:
    return clip(str(error) or type(error).__name__)


def _credentials(store: Mapping[str, Any], problems: tuple[str, ...]) -> Credentials:
    """Credentials out of the library's report."""
    checked = (store.get("validation_results") or {}).get("activeManifest")
    own_codes = list(_codes(checked))
    part_codes = list(_part_codes(store))
    state = str(store.get("validation_state", "Invalid"))
    # a state that what it was made from accounts for says nothing against the file's own manifest
    excused = state == "Invalid" and bool(part_codes)
    own = _strength(_own_state(checked, own_codes) if excused else state, own_codes)
    parts = max(own, _strength("Valid", part_codes), key=lambda each: each.rank) if part_codes else own
    return Credentials(
        state=state,
        strength=own,
        reasons=(*problems, *dict.fromkeys((*own_codes, *part_codes)))[:MAX_ITEMS],
        manifests=tuple(
            manifest.checked(own if manifest.role is Role.FILE else parts)
            for manifest in read_manifests(store)
        ),
    )


def _anchors() -> tuple[str, tuple[str, ...]]:
    """The certificates of those to be trusted, and what is wrong with the list if it cannot be read."""
    path = os.environ.get(ANCHORS)
    if not path:
        return "", ()
    try:
        anchors, all_read = _certificates(Path(path).read_bytes())
    except OSError:
        anchors, all_read = "", False
    if anchors and all_read:
        return anchors, ()
    how = "can be read in part only" if anchors else "cannot be read"
    return anchors, (clip(f"the list of trusted signers {how} ({ANCHORS}={path})"),)


@lru_cache(maxsize=1)
def _certificates(data: bytes) -> tuple[str, bool]:
    """The sound certificates in a list (PEM), and whether these are all: others make the library fail."""
    from cryptography.x509 import load_pem_x509_certificate

    sound = []
    found = _PEM.findall(data)
    for each in found:
        with suppress(ValueError):
            load_pem_x509_certificate(each)
            sound.append(each.decode("ascii"))
    return "\n".join(sound), 0 < len(sound) == len(found)


def _read_report(file: BinaryIO, anchors: str) -> Mapping[str, Any] | None:
    """The library's report on the credentials where they belong; None if there are none."""
    with open_reader(file, anchors) as reader:
        return None if reader is None else parsed(reader.json())


@contextmanager
def open_reader(
    file: BinaryIO, anchors: str = "", store: bytes | None = None, media_type: str | None = None
) -> Iterator[Any]:
    """The library's reader of the credentials in a file, kept from the network.

    Args:
        file: open for reading.
        anchors: certificates of those to be trusted, PEM.
        store: the manifest store, if it is not to be looked for in the file.
        media_type: of the file; the library finds it out, but not for all that it does.

    Yields:
        a ``c2pa.Reader``; None if there are no credentials.
    """
    import c2pa

    with c2pa.Context.from_dict(_offline_settings(anchors)) as context:
        reader = c2pa.Reader.try_create(media_type, file, store, context=context)
        with reader or nullcontext():
            yield reader


def parsed(text: str) -> Mapping[str, Any]:
    """A report of the library; ValueError if it is too long, or none."""
    report = json.loads(text) if len(text) <= _MAX_JSON else None
    if not isinstance(report, dict):
        raise ValueError("too large")
    return report


def _offline_settings(anchors: str) -> dict[str, Any]:
    """Settings that keep the library from the network, and name whom to trust."""
    settings: dict[str, Any] = {
        "verify": {
            "remote_manifest_fetch": False,
            "ocsp_fetch": False,
            "verify_trust": True,
            "verify_timestamp_trust": True,
        },
        "core": {"allowed_network_hosts": [], "max_decompressed_manifest_size_in_mb": 16},
    }
    if anchors:
        settings["trust"] = {"trust_anchors": anchors}
    return settings


def _codes(part: Mapping[str, Any] | None, outcome: str = "failure") -> Iterator[str]:
    """Codes of everything that did not hold in one part of the report, or of another outcome."""
    for each in ((part or {}).get(outcome) or [])[:100]:
        yield clip(str(each.get("code")))


def _own_state(checked: Mapping[str, Any] | None, codes: list[str]) -> str:
    """The state of the file's own manifest by itself: where nothing failed, its signer must have passed."""
    if codes:
        return "Valid"
    return "Trusted" if _TRUSTED in _codes(checked, "success") else "Invalid"


def _part_codes(store: Mapping[str, Any]) -> Iterator[str]:
    """Codes of what did not hold in the manifests of ingredients, now, or already when they were put in."""
    deltas = (store.get("validation_results") or {}).get("ingredientDeltas") or []
    for delta in deltas[:MAX_ITEMS]:
        yield from _codes(delta.get("validationDeltas"))
    for manifest in list((store.get("manifests") or {}).values())[:MAX_ITEMS]:
        for ingredient in (manifest.get("ingredients") or [])[:MAX_ITEMS]:
            yield from _codes((ingredient.get("validation_results") or {}).get("activeManifest"))
            yield from _codes({"failure": ingredient.get("validation_status")})


def _strength(state: str, codes: list[str]) -> Strength:
    """How far a manifest can be trusted in which these codes did not hold."""
    if state == "Trusted":
        return Strength.TRUSTED
    others = set(codes) - {_UNTRUSTED}
    if not others:
        return Strength.UNTRUSTED if state == "Valid" else Strength.BROKEN
    return Strength.UNACCEPTED if others <= set(_CERTIFICATE) else Strength.BROKEN
