"""Signs images with C2PA credentials, by certificates made on the spot."""

from __future__ import annotations

import datetime
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import c2pa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
CAPTURED = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"


@dataclass(frozen=True)
class Authority:
    """Who signs: certificates of the signer and of the authority over it, and the signer's key; PEM."""

    chain: str
    root: str
    key: str


def make_authority(organisation: str = "Test Images Inc") -> Authority:
    """A root and a signer under it, with the properties that C2PA asks of certificates."""
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "Test Root"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test Root"),
        ]
    )
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COMMON_NAME, "Signer"),
        ]
    )
    start = datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)

    def build(subject: x509.Name, public: ec.EllipticCurvePublicKey, ca: bool) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(root_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + datetime.timedelta(days=20 * 365))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False), critical=True
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False
            )
        )
        if not ca:
            builder = builder.add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
            )
        return builder.sign(root_key, hashes.SHA256())

    root = build(root_name, root_key.public_key(), True)
    signer = build(name, key.public_key(), False)
    pem = serialization.Encoding.PEM
    root_text = root.public_bytes(pem).decode()
    return Authority(
        chain=signer.public_bytes(pem).decode() + root_text,
        root=root_text,
        key=key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode(),
    )


def created(source_type: str | None = None, agent: str | None = None) -> dict[str, Any]:
    """The action that an image begins with."""
    action: dict[str, Any] = {"action": "c2pa.created"}
    if source_type:
        action["digitalSourceType"] = source_type
    if agent:
        action["softwareAgent"] = {"name": agent}
    return action


def sign(
    data: bytes,
    kind: str,
    authority: Authority,
    *actions: dict[str, Any],
    generator: str = "Test Program",
    parent: bytes | None = None,
    relationship: str = "parentOf",
    remote: str | None = None,
    embed: bool = True,
    intent: tuple[Any, ...] = (),
    agents: tuple[dict[str, str], ...] = (),
    boxes: Sequence[tuple[str, bytes]] = (),
) -> bytes:
    """An image with a manifest.

    ``kind`` is its media type, ``agents`` those that actions name by number; ``boxes`` of the container with
    their names bind it by their hashes, where that of the bytes does otherwise.
    """
    listed = {"softwareAgents": list(agents)} if agents else {}
    manifest: dict[str, Any] = {
        "claim_generator_info": [{"name": generator, "version": "1.0"}],
        "format": kind,
        "title": "made by a test",
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": list(actions), **listed}}],
    }
    info = c2pa.C2paSignerInfo(b"es256", authority.chain.encode(), authority.key.encode(), None)
    if boxes:
        hashed = [
            {"names": [name], "hash": [0] if name == "C2PA" else list(sha256(box).digest()), "pad": []}
            for name, box in boxes
        ]
        binding = {"label": "c2pa.hash.boxes", "data": {"alg": "sha256", "boxes": hashed}}
        manifest["assertions"] += [binding]
    settings = {"verify": {"verify_after_sign": False, "remote_manifest_fetch": False, "ocsp_fetch": False}}
    out = io.BytesIO()
    with (
        c2pa.Context.from_dict(settings) as context,
        c2pa.Signer.from_info(info) as signer,
        c2pa.Builder(manifest, context=context) as builder,
    ):
        if parent is not None:
            builder.add_ingredient(
                json.dumps({"title": "parent", "relationship": relationship}), kind, io.BytesIO(parent)
            )
        if intent:
            builder.set_intent(*intent)
        if remote:
            builder.set_remote_url(remote)
        if not embed:
            builder.set_no_embed()
        builder.sign(signer, kind, io.BytesIO(data), out)
    return out.getvalue()
