"""C2PA credentials, signed by certificates made here: what they claim, whole and broken."""

from __future__ import annotations

import http.server
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import c2pa
import pytest
from metadata_files import saved
from signed_images import CAPTURED, COMPOSITE, GENERATED, Authority, created, make_authority, sign

from aigdetect.evidence.c2pa import ANCHORS, Credentials, read_credentials
from aigdetect.evidence.claims import credential_claims
from aigdetect.evidence.findings import MAX_TEXT, Finding, Kind, Says, Strength
from aigdetect.evidence.manifests import Manifest, Role, read_manifests
from aigdetect.evidence.provenance import read_provenance

REPOSITORY = Path(__file__).resolve().parents[2]
EDIT = (c2pa.C2paBuilderIntent.EDIT,)
COMPOSE = (c2pa.C2paBuilderIntent.CREATE, c2pa.C2paDigitalSourceType.COMPOSITE)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return make_authority()


@pytest.fixture(scope="module")
def signed(authority: Authority) -> bytes:
    return sign(saved("JPEG"), "image/jpeg", authority, created(GENERATED, "Image Maker"))


def read(data: bytes) -> Credentials:
    found = read_credentials(data)
    assert found is not None
    return found


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff", "gif", "avif"])
def test_credentials_in_every_container(kind: str, authority: Authority) -> None:
    data = sign(saved(kind), f"image/{kind}", authority, created(GENERATED, "Image Maker"))
    found = read_provenance(data)
    assert found.c2pa is not None
    [manifest] = found.c2pa.manifests
    assert (manifest.role, manifest.says) == (Role.FILE, Says.GENERATED)
    assert (manifest.generator, manifest.tool) == ("Test Program", "Image Maker")
    assert (manifest.issuer, manifest.common_name) == ("Test Images Inc", "Signer")
    assert [action.action for action in manifest.actions] == ["c2pa.created"]
    assert manifest.actions[0].source_type == GENERATED


def test_a_signer_on_no_list_is_not_trusted_and_one_on_the_list_is(
    signed: bytes, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = read(signed)
    assert (found.state, found.strength) == ("Valid", Strength.UNTRUSTED)
    assert found.reasons == ("signingCredential.untrusted",)
    (tmp_path / "anchors.pem").write_text(authority.root)
    monkeypatch.setenv(ANCHORS, str(tmp_path / "anchors.pem"))
    found = read(signed)
    assert (found.state, found.strength, found.reasons) == ("Trusted", Strength.TRUSTED, ())
    assert found.manifests[0].strength is Strength.TRUSTED
    (tmp_path / "anchors.pem").write_text(make_authority().root)
    assert read(signed).strength is Strength.UNTRUSTED


def test_a_list_that_cannot_be_read_is_said(signed: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ANCHORS, "/nowhere/anchors.pem")
    found = read(signed)
    assert (found.state, found.strength) == ("Valid", Strength.UNTRUSTED)
    assert "/nowhere/anchors.pem" in found.reasons[0]


@pytest.mark.parametrize("content", ["no certificates", "", "cut off", "key"])
def test_a_list_without_certificates_is_said_and_held_against_no_file(
    content: str, signed: bytes, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anchors = tmp_path / "anchors.pem"
    anchors.write_text({"cut off": authority.root[:300], "key": authority.key}.get(content, content))
    monkeypatch.setenv(ANCHORS, str(anchors))
    found = read(signed)
    assert (found.state, found.strength) == ("Valid", Strength.UNTRUSTED)
    assert found.reasons[0] == f"the list of trusted signers cannot be read ({ANCHORS}={anchors})"[:MAX_TEXT]


def test_of_a_list_the_sound_certificates_count_whatever_is_around_them(
    signed: bytes, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anchors = tmp_path / "anchors.pem"
    monkeypatch.setenv(ANCHORS, str(anchors))
    anchors.write_text(f"# Autorität\n{authority.root}", encoding="utf-8")
    found = read(signed)
    assert (found.strength, found.reasons) == (Strength.TRUSTED, ())
    damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    anchors.write_text(damaged + authority.root)
    found = read(signed)
    assert found.strength is Strength.TRUSTED
    assert "in part only" in found.reasons[0]


@pytest.mark.parametrize(
    ("state", "codes", "strength"),
    [
        ("Invalid", ["signingCredential.untrusted", "signingCredential.expired"], Strength.UNACCEPTED),
        ("Invalid", ["signingCredential.invalid"], Strength.UNACCEPTED),
        ("Invalid", ["signingCredential.expired", "claimSignature.mismatch"], Strength.BROKEN),
        ("Invalid", [], Strength.BROKEN),
        ("Invalid", ["signingCredential.untrusted"], Strength.BROKEN),
    ],
)
def test_a_bad_certificate_is_told_from_broken_contents(
    state: str, codes: list[str], strength: Strength, monkeypatch: pytest.MonkeyPatch
) -> None:
    failure = [{"code": code, "url": "self#jumbf=/c2pa/a/c2pa.signature"} for code in codes]
    store = {"validation_state": state, "validation_results": {"activeManifest": {"failure": failure}}}
    monkeypatch.setattr("aigdetect.evidence.c2pa._read_report", lambda *_: store)
    assert read(b"").strength is strength


def test_changed_pixels_are_signed_but_broken(signed: bytes) -> None:
    changed = bytearray(signed)
    changed[-10] ^= 1
    found = read(bytes(changed))
    assert (found.state, found.strength) == ("Invalid", Strength.BROKEN)
    assert found.failures == ("assertion.dataHash.mismatch",)
    assert "assertion.dataHash.mismatch (signed but broken)" in read_provenance(bytes(changed)).summary()


def test_a_changed_claim_is_signed_but_broken(signed: bytes) -> None:
    found = read(signed.replace(b"Image Maker", b"Image Faker"))
    assert found.strength is Strength.BROKEN
    assert found.failures == ("assertion.hashedURI.mismatch",)


def test_credentials_moved_to_another_image_are_signed_but_broken(authority: Authority) -> None:
    data = sign(saved("PNG"), "image/png", authority, created(CAPTURED))
    other = saved("PNG", "L")
    start = data.index(b"caBX") - 4
    end = start + 12 + int.from_bytes(data[start : start + 4], "big")
    assert read(other[:33] + data[start:end] + other[33:]).strength is Strength.BROKEN


def test_cut_off_credentials_are_signed_but_broken(authority: Authority) -> None:
    data = sign(saved("JPEG"), "image/jpeg", authority, created(GENERATED))
    for end in range(200, data.index(b"\xff\xda"), 1500):
        found = read_provenance(data[:end])
        assert found.c2pa is not None
        assert found.c2pa.strength is Strength.BROKEN
        assert found.findings[0].strength is Strength.BROKEN


def test_what_was_made_from_a_generated_image_is_generated(signed: bytes, authority: Authority) -> None:
    found = read(sign(saved("JPEG"), "image/jpeg", authority, parent=signed, intent=EDIT))
    assert [(each.role, each.says) for each in found.manifests] == [
        (Role.FILE, Says.NOTHING),
        (Role.PARENT, Says.GENERATED),
    ]
    assert {each.strength for each in found.manifests} == {Strength.UNTRUSTED}


def test_a_broken_parent_is_told_from_the_file_itself(signed: bytes, authority: Authority) -> None:
    broken = signed.replace(b"Image Maker", b"Image Faker")
    found = read(sign(saved("JPEG"), "image/jpeg", authority, parent=broken, intent=EDIT))
    assert [(each.role, each.strength) for each in found.manifests] == [
        (Role.FILE, Strength.UNTRUSTED),
        (Role.PARENT, Strength.BROKEN),
    ]
    assert "assertion.hashedURI.mismatch" in found.reasons


@pytest.mark.parametrize("trusted", [False, True])
def test_a_parent_that_was_changed_later_is_told_from_the_file_itself(
    trusted: bool, signed: bytes, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if trusted:
        anchors = tmp_path / "anchors.pem"
        anchors.write_text(authority.root)
        monkeypatch.setenv(ANCHORS, str(anchors))
    whole = sign(saved("JPEG"), "image/jpeg", authority, parent=signed, intent=EDIT)
    found = read(whole.replace(b"Image Maker", b"Image Faker"))
    assert [(each.role, each.strength) for each in found.manifests] == [
        (Role.FILE, Strength.TRUSTED if trusted else Strength.UNTRUSTED),
        (Role.PARENT, Strength.BROKEN),
    ]


def test_what_has_a_generated_part_is_edited(signed: bytes, authority: Authority) -> None:
    data = sign(
        saved("JPEG"), "image/jpeg", authority, parent=signed, relationship="componentOf", intent=COMPOSE
    )
    assert [each.says for each in read(data).manifests] == [Says.NOTHING, Says.EDITED]


def test_what_went_in_as_an_example_says_nothing(signed: bytes, authority: Authority) -> None:
    data = sign(saved("JPEG"), "image/jpeg", authority, parent=signed, relationship="inputTo", intent=COMPOSE)
    assert [each.says for each in read(data).manifests] == [Says.NOTHING, Says.NOTHING]


@pytest.mark.parametrize(
    ("actions", "says"),
    [
        ([created(CAPTURED)], Says.CAPTURED),
        ([created(COMPOSITE)], Says.EDITED),
        ([created(CAPTURED), {"action": "c2pa.edited", "digitalSourceType": GENERATED}], Says.EDITED),
        ([created(None, "Image Creator from Designer")], Says.GENERATED),
        ([created(None, "Adobe Photoshop")], Says.NOTHING),
        ([created(), {"action": "c2pa.edited", "description": "Midjourney was not used"}], Says.NOTHING),
    ],
)
def test_what_actions_say(actions: list[dict[str, object]], says: Says, authority: Authority) -> None:
    assert read(sign(saved("PNG"), "image/png", authority, *actions)).manifests[0].says is says


AI_AGENT = {"name": "gpt-image", "version": "1.0"}


def test_an_agent_named_by_its_number() -> None:
    actions = {"actions": [{"action": "c2pa.created", "softwareAgentIndex": 1}]}
    agents = {"softwareAgents": [{"name": "Adobe Photoshop"}, AI_AGENT]}
    [manifest] = manifests_of({**actions, **agents})
    assert (manifest.tool, manifest.says) == ("gpt-image", Says.GENERATED)
    for number in (-1, 2, "1", None, 1.5, [0]):
        actions["actions"][0]["softwareAgentIndex"] = number
        [manifest] = manifests_of({**actions, **agents})
        assert manifest.says is Says.NOTHING


def test_an_agent_by_its_number_as_the_library_reports_it(authority: Authority) -> None:
    action = {"action": "c2pa.created", "softwareAgentIndex": 1}
    data = sign(saved("PNG"), "image/png", authority, action, agents=({"name": "A"}, AI_AGENT))
    [manifest] = read(data).manifests
    assert (manifest.tool, manifest.says) == ("gpt-image", Says.GENERATED)


def test_what_a_template_says_of_actions() -> None:
    template = {"action": "c2pa.edited", "softwareAgent": AI_AGENT, "digitalSourceType": COMPOSITE}
    [manifest] = manifests_of({"actions": [{"action": "c2pa.edited"}], "templates": [template]})
    assert (manifest.tool, manifest.says) == ("gpt-image", Says.EDITED)
    [manifest] = manifests_of({"actions": [{"action": "c2pa.opened"}], "templates": [template, "?"]})
    assert manifest.says is Says.NOTHING


def test_a_camera_that_generates_images_is_a_contradiction(authority: Authority) -> None:
    found = read_provenance(sign(saved("PNG"), "image/png", authority, created(CAPTURED, "ChatGPT")))
    assert found.findings[0].says is Says.NOTHING
    assert found.contradictions == (
        "C2PA says captured (digitalCapture), but by a program that generates images (ChatGPT)",
    )
    assert not read_provenance(
        sign(saved("PNG"), "image/png", authority, created(CAPTURED, "Pixel Camera"))
    ).contradictions


@pytest.mark.parametrize(
    ("assertions", "said"),
    [
        (
            [("c2pa.actions.v2", {"actions": [{"action": "c2pa.watermarked.bound"}]})],
            "c2pa.watermarked.bound",
        ),
        ([("c2pa.actions", {"actions": [{"action": "c2pa.watermarked"}]})], "c2pa.watermarked"),
        ([("c2pa.soft-binding", {"alg": "com.adobe.trustmark.P", "blocks": []})], "com.adobe.trustmark.P"),
        ([("c2pa.soft-binding__1", {"blocks": []})], "c2pa.soft-binding__1"),
    ],
)
def test_a_declared_watermark(assertions: list[tuple[str, dict[str, object]]], said: str) -> None:
    [manifest] = manifests_of(*(data for _, data in assertions), labels=[label for label, _ in assertions])
    assert manifest.watermarks == (said,)
    credentials = Credentials("Valid", Strength.UNTRUSTED, manifests=(manifest.checked(Strength.UNTRUSTED),))
    findings = list(credential_claims(credentials))
    assert findings[-1] == Finding(
        Kind.WATERMARK,
        "C2PA",
        f"declares a watermark or fingerprint: {said}",
        Says.NOTHING,
        Strength.UNTRUSTED,
    )


def manifests_of(*data: object, labels: Sequence[str] = ()) -> tuple[Manifest, ...]:
    """What is read of a manifest with these assertions, as the library reports it."""
    names = labels or ["c2pa.actions.v2"] * len(data)
    assertions = [{"label": label, "data": each} for label, each in zip(names, data, strict=True)]
    return read_manifests({"active_manifest": "a", "manifests": {"a": {"assertions": assertions}}})


def test_what_is_broken_is_worth_no_more_than_plain_text() -> None:
    assert Strength.BROKEN.rank > Strength.TEXT.rank


def test_without_the_library_nothing_is_held_against_the_file(
    signed: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)
    found = read(signed)
    assert (found.state, found.strength, found.manifests) == ("not checked", Strength.TEXT, ())
    assert "present, not checked" in read_provenance(signed).summary()


def test_no_credentials() -> None:
    assert read_credentials(saved("JPEG")) is None
    assert read_credentials(b"no image") is None or read(b"no image").state == "unreadable"


def test_reading_is_plain_data(signed: bytes) -> None:
    found = json.loads(json.dumps(read(signed).as_dict()))
    assert found["validation_state"] == "Valid"
    assert found["strength"] == Strength.UNTRUSTED.value
    assert found["manifests"][0]["issuer"] == "Test Images Inc"


def test_damaged_credentials_are_harmless(signed: bytes) -> None:
    chance = random.Random(0)
    start, end = signed.index(b"jumb"), signed.index(b"\xff\xdb")
    begun = time.process_time()
    for _ in range(150):
        data = bytearray(signed)
        for _ in range(chance.randint(1, 20)):
            data[chance.randrange(start, end)] = chance.choice((0, 0xFF, chance.randrange(256)))
        read_credentials(bytes(data))
    assert time.process_time() - begun < 15


# -- the network -------------------------------------------------------------------------------------------


@dataclass
class Listener:
    """A local server that notes who comes."""

    url: str
    visitors: list[str] = field(default_factory=list)


@pytest.fixture
def listener() -> Iterator[Listener]:
    noted = Listener("")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            noted.visitors.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    noted.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield noted
    server.shutdown()
    server.server_close()


READ = """
import sys
from pathlib import Path
from aigdetect.evidence.c2pa import read_credentials
from aigdetect.evidence.provenance import read_provenance
data = Path(sys.argv[1]).read_bytes()
print(read_credentials(data))
print(read_provenance(data).summary())
"""

READ_AS_IT_COMES = """
import io, sys
from pathlib import Path
import c2pa
try:
    c2pa.Reader("image/jpeg", io.BytesIO(Path(sys.argv[1]).read_bytes()))
except c2pa.C2paError:
    pass
"""


def run(script: str, path: Path) -> str:
    names = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        cwd=REPOSITORY,
        env=names,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def test_credentials_kept_elsewhere_are_named_and_never_fetched(
    listener: Listener, authority: Authority, tmp_path: Path
) -> None:
    url = f"{listener.url}/manifest.c2pa"
    remote = sign(saved("JPEG"), "image/jpeg", authority, created(GENERATED), remote=url, embed=False)
    path = tmp_path / "remote.jpg"
    path.write_bytes(remote)
    assert url in run(READ, path)
    assert listener.visitors == []
    run(
        READ_AS_IT_COMES, path
    )  # the library left to itself does fetch, so that the listener would have heard
    assert listener.visitors == ["/manifest.c2pa"]


@pytest.mark.parametrize("damage", [b"", b"jumb"])
def test_credentials_both_here_and_elsewhere_are_not_fetched(
    damage: bytes, listener: Listener, authority: Authority, tmp_path: Path
) -> None:
    url = f"{listener.url}/manifest.c2pa"
    data = sign(saved("JPEG"), "image/jpeg", authority, created(GENERATED), remote=url)
    path = tmp_path / "both.jpg"
    path.write_bytes(data.replace(damage, b"jimb") if damage else data)
    assert "C2PA" in run(READ, path)
    assert listener.visitors == []


def test_no_socket_is_opened_by_the_process_itself(signed: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert read(signed).state == "Valid"


def test_the_library_is_loaded_only_for_files_with_credentials() -> None:
    script = (
        "import sys; from aigdetect.evidence.provenance import read_provenance;"
        "read_provenance(open(sys.argv[1], 'rb').read());"
        "print({'c2pa', 'exifread', 'sd_parsers', 'PIL', 'torch'} & set(sys.modules))"
    )
    assert run(script, REPOSITORY / "README.md") == "set()\n"
