"""Which keys can sign and check, and what is said of others."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from aigdetect.errors import UsageError
from aigdetect.scanning.signature import is_signed, read_private_key, read_public_key, sign_file

OWN = Ed25519PrivateKey.from_private_bytes(bytes(32))


def _private(
    key: Ed25519PrivateKey | X25519PrivateKey, encryption: KeySerializationEncryption | None = None
) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


def _public(key: Ed25519PrivateKey | X25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_a_signature_holds_for_these_bytes_and_this_key(tmp_path: Path) -> None:
    for name, data in (("private", _private(OWN)), ("public", _public(OWN)), ("file", b"said")):
        (tmp_path / name).write_bytes(data)
    sign_file(tmp_path / "file", tmp_path / "file.sig", read_private_key(tmp_path / "private"))
    signature = (tmp_path / "file.sig").read_bytes()
    public = read_public_key(tmp_path / "public")
    assert len(signature) == 64
    assert is_signed(b"said", signature, public)
    assert not is_signed(b"Said", signature, public)
    assert not is_signed(b"said", signature[:-1], public)
    assert not is_signed(b"said", b"", public)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (_public(OWN), "is no private key as PEM"),
        (b"", "is no private key as PEM"),
        (_private(OWN)[:60], "is no private key as PEM"),
        (_private(X25519PrivateKey.from_private_bytes(bytes(32))), "is no Ed25519 key"),
        (_private(OWN, BestAvailableEncryption(b"secret")), "the key is encrypted"),
    ],
    ids=["public", "empty", "cut", "other", "encrypted"],
)
def test_keys_that_cannot_sign(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "key").write_bytes(data)
    with pytest.raises(UsageError, match=message):
        read_private_key(tmp_path / "key")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (_private(OWN), "is no public key as PEM"),
        (_public(X25519PrivateKey.from_private_bytes(bytes(32))), "is no Ed25519 key"),
    ],
    ids=["private", "other"],
)
def test_keys_that_cannot_check(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "key").write_bytes(data)
    with pytest.raises(UsageError, match=message):
        read_public_key(tmp_path / "key")
