"""What videos say of themselves: credentials, XMP and tags, with no more than the metadata read."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
from pathlib import Path

import pytest
from clips import make_clip
from signed_images import GENERATED, created, make_authority, sign

from aigdetect.evidence.findings import Finding, Kind, Says, Strength
from aigdetect.evidence.provenance import Provenance
from aigdetect.formats.jumbf import MANIFEST_UUID, MARK
from aigdetect.scanning.footage import read_video_provenance

XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
SOURCE_TYPE = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    b'Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"/>'
    b"</rdf:RDF></x:xmpmeta>"
)


def read(data: bytes, name: str = "MP4") -> Provenance:
    return read_video_provenance(io.BytesIO(data), name)


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", [200] * 3).read_bytes()


def test_credentials_of_an_mp4_are_checked(clip: bytes) -> None:
    signed = sign(clip, "video/mp4", make_authority(), created(GENERATED, "Video Maker"))
    found = read(signed)
    assert found.c2pa is not None
    assert found.c2pa.strength is Strength.UNTRUSTED
    (claim,) = found.ai_claims
    assert (claim.where, claim.says) == ("C2PA", Says.GENERATED)
    changed = bytearray(signed)
    changed[signed.rindex(b"mdat") + 40] ^= 1
    broken = read(bytes(changed)).c2pa
    assert broken is not None
    assert broken.strength is Strength.BROKEN


def test_xmp_is_read_where_it_belongs_and_nowhere_else(clip: bytes) -> None:
    found = read(clip + box(b"uuid", XMP_UUID + SOURCE_TYPE))
    assert [claim.says for claim in found.ai_claims] == [Says.GENERATED]
    assert not read(clip + box(b"free", XMP_UUID + SOURCE_TYPE)).ai_claims
    at = clip.index(b"moov") - 4
    size = int.from_bytes(clip[at : at + 4], "big")
    inner = clip[at + 8 : at + size] + box(b"udta", box(b"XMP_", SOURCE_TYPE))
    moved = clip[:at] + box(b"moov", inner) + clip[at + size :]
    assert [claim.where for claim in read(moved).ai_claims] == ["XMP"]


@pytest.mark.parametrize("name", ["clip.mp4", "clip.webm"])
def test_tags_name_the_camera_or_the_maker(tmp_path: Path, name: str) -> None:
    container = "MP4" if name.endswith("mp4") else "WEBM"
    tags = {"make": "Fairphone", "model": "FP5"}
    found = read(make_clip(tmp_path / name, [200] * 3, tags=tags).read_bytes(), container)
    assert Finding(Kind.CAMERA, f"{container} tag", "Fairphone FP5", Says.CAPTURED) in found.findings
    tags = {"make": "Meta AI", "model": "Ray-Ban Meta Smart Glasses"}
    found = read(make_clip(tmp_path / name, [200] * 3, tags=tags).read_bytes(), container)
    assert (found.ai_claims, found.contradictions) == ([], ())
    tags = {"make": "OpenAI", "model": "Sora"}
    found = read(make_clip(tmp_path / name, [200] * 3, tags=tags).read_bytes(), container)
    assert [claim.claim for claim in found.ai_claims] == ["OpenAI Sora"]


def test_labels_and_workflows_in_tags_are_read(tmp_path: Path) -> None:
    label = json.dumps({"Label": "1", "ContentProducer": "Maker"})
    found = read(make_clip(tmp_path / "a.mp4", [200] * 3, tags={"AIGC": label}).read_bytes())
    assert [claim.claim for claim in found.ai_claims] == ["AIGC label: AI-generated, by Maker"]
    graph = {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "wan.safetensors"}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox runs", "clip": ["1", 1]}},
        "3": {
            "class_type": "KSampler",
            "inputs": {
                **{"seed": 7, "steps": 20, "sampler_name": "euler", "model": ["1", 0]},
                **{"positive": ["2", 0], "negative": ["2", 0]},
            },
        },
    }
    comment = json.dumps({"prompt": json.dumps(graph), "workflow": {}})
    found = read(make_clip(tmp_path / "b.mp4", [200] * 3, tags={"comment": comment}).read_bytes())
    (generation,) = found.generation
    assert (generation.tool, generation.prompt) == ("ComfyUI", "a fox runs")
    plain = read(make_clip(tmp_path / "c.mp4", [200] * 3, tags={"comment": "made with AI"}).read_bytes())
    assert not plain.ai_claims


@pytest.mark.parametrize("name", ["MP4", "MOV", "WEBM", "AVI", "MPEG-TS"])
def test_whatever_the_bytes_are_there_is_an_answer(clip: bytes, name: str) -> None:
    for data in (b"", clip[:700], b"\0" * 5000, b"\xff" * 5000, clip[::-1]):
        assert not read(data, name).ai_claims


def test_only_metadata_are_read_of_a_file_of_any_size(tmp_path: Path) -> None:
    path = tmp_path / "large.mp4"
    with path.open("wb") as file:
        file.write(box(b"ftyp", b"isom\0\0\2\0isomiso2") + struct.pack(">I4sQ", 1, b"mdat", (1 << 40) + 16))
        file.seek(1 << 40, 1)
        file.write(box(b"uuid", XMP_UUID + SOURCE_TYPE))
    with path.open("rb", buffering=0) as file:
        found = read_video_provenance(file, "MP4")  # type: ignore[arg-type]
    assert [claim.says for claim in found.ai_claims] == [Says.GENERATED]


def test_boxes_of_metadata_are_kept_up_to_a_size_and_credentials_behind_it_found(tmp_path: Path) -> None:
    path = tmp_path / "boxes.mp4"
    with path.open("wb") as file:
        file.write(box(b"ftyp", b"isom\0\0\2\0isomiso2"))
        for _ in range(30):
            file.write(struct.pack(">I4s", 8 << 20, b"uuid"))
            file.seek((8 << 20) - 8, 1)
        file.write(box(b"uuid", MANIFEST_UUID + bytes(4) + b"manifest\0" + bytes(12) + b"jumb" + MARK))
    tracemalloc.start()
    with path.open("rb", buffering=0) as file:
        found = read_video_provenance(file, "MP4")  # type: ignore[arg-type]
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 150 << 20
    assert "boxes more than 32 MiB" in found.notes
    assert found.c2pa is not None
