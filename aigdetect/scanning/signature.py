"""Signatures of manifests: Ed25519, over the bytes of the file, raw in a file beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from aigdetect.errors import UsageError
from aigdetect.files import write_atomically, writing
from aigdetect.images.read import why_failed

SIGNATURE_BYTES = 64
_MOST = 1 << 16  # bytes of a key file; a key has little more than a hundred
_OTHER = "is no Ed25519 key"


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """Read an Ed25519 private key as PEM (PKCS #8), such as ``openssl genpkey -algorithm ed25519`` gives.

    Raises:
        UsageError: if it cannot be read, is another kind of key or is encrypted.
    """
    key = _read_key(path, lambda data: load_pem_private_key(data, None), "private")
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{path}: {_OTHER}")
    return key


def read_public_key(path: Path) -> Ed25519PublicKey:
    """Read an Ed25519 public key as PEM, such as ``openssl pkey -pubout`` gives.

    Raises:
        UsageError: if it cannot be read or is another kind of key.
    """
    key = _read_key(path, load_pem_public_key, "public")
    if not isinstance(key, Ed25519PublicKey):
        raise UsageError(f"{path}: {_OTHER}")
    return key


def _read_key(path: Path, load: Callable[[bytes], object], word: str) -> object:
    try:
        with path.open("rb") as file:  # it may be a pipe
            return load(file.read(_MOST))
    except OSError as error:
        raise UsageError(f"{path}: the key cannot be read ({why_failed(error)})") from error
    except TypeError as error:
        raise UsageError(f"{path}: the key is encrypted; name one that is not") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(f"{path}: is no {word} key as PEM") from error


def sign_file(path: Path, signature: Path, key: Ed25519PrivateKey) -> None:
    """Write the signature of a file, :data:`SIGNATURE_BYTES` long.

    Args:
        path: the file.
        signature: where to write, whole or not at all.
        key: signs.

    Raises:
        UsageError: if the file cannot be read or the signature not written.
    """
    with writing(signature):
        data = path.read_bytes()
    write_atomically(signature, key.sign(data))


def is_signed(data: bytes, signature: bytes, key: Ed25519PublicKey) -> bool:
    """Whether a signature is that of these bytes by the owner of this key."""
    try:
        key.verify(signature, data)
    except InvalidSignature:
        return False
    return True
