"""C2PA content credentials: what they claim, who signed them, and whether they hold; never from the network.

The checking is c2pa-python's; this module asks it the right way and keeps what it says.
https://spec.c2pa.org/specifications/specifications/2.2/specs/C2PA_Specification.html
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from aigdetect.evidence.findings import MAX_ITEMS, Strength, clip
from aigdetect.evidence.manifests import Manifest, Role, read_manifests

ANCHORS = "AIGDETECT_C2PA_ANCHORS"
"""Environment variable that names a file of certificates (PEM) of the signers to be trusted."""

_MAX_JSON = 32 << 20
_CERTIFICATE = ("signingCredential.invalid", "signingCredential.expired", "signingCredential.ocsp.revoked")
_ELSEWHERE = "Remote: "
_UNTRUSTED = "signingCredential.untrusted"


@dataclass(frozen=True)
class Credentials:
    """Content credentials, and what came of checking them.

    Attributes:
        state: ``"Trusted"``, ``"Valid"``, ``"Invalid"``, ``"unreadable"``, or ``"not checked"`` where the
            library cannot be loaded.
        strength: the same in this program's words.
        reasons: why they are not trusted or not valid: codes of the C2PA specification, or an error.
        manifests: what is claimed: the manifest of the file first, then those of what it was made from.
    """

    state: str
    strength: Strength
    reasons: tuple[str, ...] = ()
    manifests: tuple[Manifest, ...] = ()

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
        }


def read_credentials(file: bytes | BinaryIO) -> Credentials | None:
    """Read and check the content credentials embedded in a file; never raises, never uses the network.

    Args:
        file: the whole file, in memory or open.

    Returns:
        what they say; None if there are none in the file itself.
    """
    anchors, problems = _anchors()
    try:
        store = _read_store(BytesIO(file) if isinstance(file, bytes) else file, anchors)
        return None if store is None else _credentials(store, problems)
    except (ImportError, OSError, MemoryError) as error:  # says nothing against the file
        return Credentials("not checked", Strength.TEXT, (_said(error),))
    except Exception as error:  # noqa: BLE001 - whatever it is, the credentials could not be read
        if str(error).startswith(_ELSEWHERE):
            return None
        return Credentials("unreadable", Strength.BROKEN, (_said(error),))


def _said(error: Exception) -> str:
    return clip(str(error) or type(error).__name__)


def _credentials(store: Mapping[str, Any], problems: tuple[str, ...]) -> Credentials:
    """Credentials out of the library's report."""
    results = store.get("validation_results") or {}
    own_codes = list(_codes(results.get("activeManifest")))
    part_codes = list(_part_codes(store))
    state = str(store.get("validation_state", "Invalid"))
    # a state that what it was made from accounts for says nothing against the file's own manifest
    own = _strength("Valid" if state == "Invalid" and part_codes and own_codes else state, own_codes)
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
        return Path(path).read_text(encoding="ascii"), ()
    except (OSError, ValueError):
        return "", (clip(f"the list of trusted signers cannot be read ({ANCHORS}={path})"),)


def _read_store(file: BinaryIO, anchors: str) -> Mapping[str, Any] | None:
    """What the library says of the manifests in a file, as it says it."""
    import c2pa

    with c2pa.Context.from_dict(offline_settings(anchors)) as context:
        reader = c2pa.Reader.try_create(None, file, context=context)
        if reader is None:
            return None
        with reader:
            text = reader.json()
    store = json.loads(text) if len(text) <= _MAX_JSON else None
    if not isinstance(store, dict):
        raise ValueError("too large")
    return store


def offline_settings(anchors: str) -> dict[str, Any]:
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


def _codes(part: Mapping[str, Any] | None) -> Iterator[str]:
    """Codes of everything that did not hold in one part of the report."""
    for failure in ((part or {}).get("failure") or [])[:100]:
        yield clip(str(failure.get("code")))


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
