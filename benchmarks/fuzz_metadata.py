"""What benchmarks/fuzz.py breaks for the readers of metadata, and how it has all of them read a file.

The files have every kind of metadata that their container takes. Of a file, whatever it claims to be, each
walker walks all and yields nothing that is not there; then everything is read that ``scan`` and
``inspect --raw`` read, by all rules.
"""

from __future__ import annotations

import io
import json
import resource
import struct
import time
import zlib
from collections.abc import Callable, Iterable
from itertools import islice

import pillow_heif
import pillow_jxl  # noqa: F401 - registers itself
from PIL import Image, ImageCms, PngImagePlugin

from aigdetect.evidence.provenance import read_provenance
from aigdetect.evidence.raw_fields import read_raw_fields
from aigdetect.formats import boxes, gif, jpeg, jumbf, photoshop, png, riff, samsung, tiff
from aigdetect.formats.block import MAX_BLOCKS, Block, cut
from aigdetect.formats.items import items

SECONDS = 3.0
"""Most time of a processor for the metadata of one small file."""

MEMORY = 256 << 20
"""Most that the process may grow by for it, in bytes."""

pillow_heif.register_heif_opener()

# -- files -------------------------------------------------------------------------------------------------

_XMP = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
    b' xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:xmpNote="http://ns.adobe.com/xmp/note/"'
    b' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    b' xmlns:TC260="http://www.tc260.org.cn/ns/AIGC/1.0/" xmp:CreatorTool="Midjourney"'
    b' xmpNote:HasExtendedXMP="0123456789ABCDEF0123456789ABCDEF"'
    b' Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"'
    b' TC260:AIGC="{&quot;Label&quot;:&quot;1&quot;}"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)
_PARAMETERS = "a cat\nNegative prompt: a dog\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 64x64"
_GRAPH = json.dumps(
    {
        "3": {"class_type": "KSampler", "inputs": {"seed": 1, "steps": 9, "positive": ["4", 0]}},
        "4": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat"}},
    }
)
_DREAMINA = '{"aigc_info":{"source_info":"dreamina"},"data":{"product":"dreamina","exportType":"generation"}}'


def rich_files() -> dict[str, bytes]:
    """Small whole files by their kind, with all the metadata that it takes."""
    exif, icc = _exif(), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    named = {"exif": exif, "icc_profile": icc}
    plain_jxl = _saved("JXL", use_container=True, exif=exif)
    return {
        "JPEG": _jpeg(_saved("JPEG", **named, comment=b"{" + _DREAMINA.encode())),
        "PNG": _png(_saved("PNG", pnginfo=_texts(), **named)),
        "WebP": _webp(_saved("WEBP", xmp=_XMP, **named)),
        "GIF": _gif(_saved("GIF", comment=_PARAMETERS.encode())),
        "TIFF": _tiff(icc),
        "BMP": _saved("BMP"),
        "HEIC": _saved("HEIF", exif=exif, xmp=_XMP) + _box(b"uuid", _UUID + _STORE),
        "AVIF": _saved("AVIF", exif=exif, xmp=_XMP),
        "JPEG XL": plain_jxl + _box(b"xml ", _XMP) + _box(b"brob", b"Exif" + bytes(9)) + _STORE,
        "PSD": _psd(),
    }


def _saved(kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.radial_gradient("L").resize((48, 40)).convert("RGB").save(out, kind, **options)
    return out.getvalue()


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, kind) + content


_STORE = _box(
    b"jumb", _box(b"jumd", b"c2pa\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71\3c2pa\0") + _box(b"cbor", b"\xa0")
)
_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481") + bytes(4) + b"manifest\0" + bytes(8)


def _exif() -> bytes:
    exif = Image.Exif()
    exif.update({0x010F: "Canon", 0x0110: "EOS", 0x0131: "Midjourney", 0x0132: "2024:05:06 07:08:09"})
    exif.update({0x010E: "Signature: " + "ab+/" * 20, 0x013B: "6f1d2c3a-0000-4000-8000-000000000000"})
    deeper = exif.get_ifd(0x8769)
    deeper.update({0x9003: "2024:05:06 07:08:09", 0x9286: b"UNICODE\0" + _PARAMETERS.encode("utf-16-be")})
    exif.get_ifd(0x8825).update({0x0001: "N", 0x001D: "2024:05:06"})
    return exif.tobytes()


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _resources() -> bytes:
    records = b"".join(
        struct.pack(">BBBH", 0x1C, 2, number, len(text)) + text
        for number, text in ((110, b"Made with AI"), (80, b"Midjourney"), (40, b"FBMD0123456789ab"))
    )
    kinds = (
        (photoshop.IPTC, records),
        (photoshop.EXIF, _exif()[6:]),
        (photoshop.XMP, _XMP),
        (0x0425, bytes(16)),
    )
    return b"".join(
        b"8BIM" + struct.pack(">HHI", kind, 0, len(content)) + content + b"\0" * (len(content) % 2)
        for kind, content in kinds
    )


def _jpeg(data: bytes) -> bytes:
    extended = struct.pack(">II", len(_XMP), 0) + _XMP
    name = b"http://ns.adobe.com/xmp/extension/\0" + b"0123456789ABCDEF0123456789ABCDEF"
    packets = [b"JP\0\1" + struct.pack(">I", number) + _STORE[:8] for number in (1, 2)]
    content = b'SEFT{"genAIType":1}'
    block = struct.pack("<HHI", 0, 0x0BA1, 24) + b"PhotoEditor_Re_Edit_Data" + content
    directory = b"SEFH" + struct.pack("<IIHHII", 101, 1, 0, 0x0BA1, len(block), len(block))
    segments = (
        _segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + _XMP),
        _segment(0xE1, name + extended),
        _segment(0xED, b"Photoshop 3.0\0" + _resources()),
        _segment(0xEB, packets[0] + _STORE[8:40]),
        _segment(0xE9, b'AIGC{"Label":"1","ContentProducer":"x"}'),
    )
    late = _segment(0xEB, packets[1] + _STORE[40:])
    trailer = block + directory + struct.pack("<I", len(directory)) + b"SEFT"
    return data[:2] + b"".join(segments) + data[2:-2] + late + data[-2:] + late + trailer


def _texts() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", _PARAMETERS)
    info.add_text("prompt", _GRAPH, zip=True)
    info.add_itxt("XML:com.adobe.xmp", _XMP.decode())
    info.add_text("AIGC", '{"Label":"1"}')
    info.add_text("Raw profile type xmp", f"\nxmp\n{len(_XMP):8}\n{_XMP.hex()}\n")
    return info


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content), kind) + content + struct.pack(">I", zlib.crc32(kind + content))


def _png(data: bytes) -> bytes:
    extra = (
        _chunk(b"tIME", struct.pack(">HBBBBB", 2024, 5, 6, 7, 8, 9)),
        _chunk(b"cHRM", struct.pack(">8I", *range(8))),
        _chunk(b"caBX", _STORE),
    )
    return data[:33] + b"".join(extra) + data[33:] + _chunk(b"caBX", _STORE) + b"trailer"


def _webp(data: bytes) -> bytes:
    chunk = b"C2PA" + struct.pack("<I", len(_STORE)) + _STORE + b"\0" * (len(_STORE) % 2)
    return b"RIFF" + struct.pack("<I", len(data) - 8 + len(chunk)) + data[8:] + chunk


def _gif(data: bytes) -> bytes:
    packet = b"!\xff\x0bXMP DataXMP" + _XMP + b"\1" + bytes(range(255, -1, -1)) + b"\0"
    parts = (_STORE[at : at + 255] for at in range(0, len(_STORE), 255))
    store = b"!\xff\x0bC2PA_GIF\1\0\0" + b"".join(bytes([len(part)]) + part for part in parts) + b"\0"
    return data[:-1] + packet + store + data[-1:]


def _tiff(icc: bytes) -> bytes:
    exif = Image.Exif()
    exif.load(_exif())
    exif.update(
        {0x02BC: _XMP, 0x8649: _resources(), 0x83BB: _resources()[12:80], 0xCD41: _STORE, 0x8773: icc}
    )
    return _saved("TIFF", exif=exif)


def _psd() -> bytes:
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 4, 4, 8, 3)
    resources = _resources()
    return header + bytes(4) + struct.pack(">I", len(resources)) + resources + bytes(4) + bytes(2 + 48)


# -- readers -----------------------------------------------------------------------------------------------

_WALKERS: tuple[Callable[[bytes], Iterable[Block]], ...] = (
    *(png.chunks, jpeg.segments, riff.chunks, gif.blocks, boxes.boxes, samsung.entries),
    lambda data: (entry.value for entry in tiff.entries(data)),
    lambda data: (block for _, block in photoshop.resources(cut(data, "", data.find(b"8BIM"), len(data)))),
    lambda data: (block for _, block in jpeg.segments_behind(data, 0, b"\xebJP")),
    lambda data: (
        item
        for box in boxes.boxes(data)
        if box.kind == "meta"
        for item in items(data, box, ("Exif", "application/rdf+xml", "hvc1", "av01"), 1 << 20)
    ),
)


def read_metadata(data: bytes) -> str:
    """Read all of it in all ways; what is wrong with that, in words."""
    start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for walk in _WALKERS:
        for block in islice(walk(data), MAX_BLOCKS + 1):
            joined = block.data.obj is not data  # of several parts: it has an end of its own nowhere
            if len(block.data) > block.length or (block.data and not joined and block.end > len(data)):
                return f"a block that is not there: {block}"
    for store in jumbf.stores(data):
        if any(not 0 <= begin < end for begin, end in store.pieces):
            return f"a store that is not there: {store}"
    json.dumps(read_provenance(data).as_dict())
    for field in read_raw_fields(data).fields:
        if field.offset < 0 or field.length < 0:
            return f"a field that is nowhere: {field}"
    if (spent := time.process_time() - start) > SECONDS:
        return f"took {spent:.1f} s"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    return f"took {grown >> 20} MiB" if grown > MEMORY else ""
