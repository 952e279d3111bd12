"""What a file is by its first bytes, or claims to be by its name.

An image is known by a table of strong signatures. Pillow's own ``accept`` functions are no substitute: they
answer yes to any text that starts with ``BM`` or ``#define``, to many small binary headers, and not at all
for TGA or PCD; general file-type libraries share the two-byte signatures. The formats with no strong
signature are found by name.
"""

from __future__ import annotations

import os
import re
import struct

HEAD_BYTES = 4096
"""How much of a file's beginning :func:`sniff` looks at."""

_DECODED = """
apng avif avifs blp bmp bw cur dcx dds dib fits flc fli fts ftc ftu gif heic heics heif heifs hif icb icns ico
j2c j2k jfi jfif jif jp2 jpc jpe jpeg jpf jpg jpm jps jpx jxl mpo msp pam pbm pcx pfm pgm png pnm ppm psb psd
pxr qoi ras rgb rgba rle sgi tga tif tiff tpic vda webp xbm xpm
"""
_RAW = """
3fr arw cr2 cr3 crw dcr dng erf fff gpr iiq k25 kdc mef mos mrw nef nrw orf pef raf rw2 rwl sr2 srf srw x3f
"""
_NOT_DECODED = """
bpg cin dpx emf eps exr flif hdp hdr iff jng jxr kra mng ora pcd pdn pic pict svg svgz wbmp wdp wmf xcf
"""
EXTENSIONS = frozenset((_DECODED + _RAW + _NOT_DECODED).split())
"""File name extensions, lower case and without the dot, that claim to be an image."""

_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (
        0,
        b"PNG\r\n\x1a\n",
        "PNG",
    ),  # its first byte lost on the way, as happens to files passed on as 7-bit text
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (0, b"MM\0+", "TIFF"),
    (0, b"\xff\x0a", "JXL"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "JXL"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG2000"),
    (0, b"8BPS\0", "PSD"),
    (0, b"qoif", "QOI"),
    (0, b"DDS |\0\0\0", "DDS"),
    (0, b"icns", "ICNS"),
    (0, b"SIMPLE  =", "FITS"),
    (0, b"/* XPM */", "XPM"),
    (0, b"P7 332", "XVTHUMB"),
    (0, b"\x59\xa6\x6a\x95", "SUN"),
    (0, b"BLP1", "BLP"),
    (0, b"BLP2", "BLP"),
    (2048, b"PCD_", "PCD"),
    (0, b"gimp xcf", "XCF"),
    (0, b"BPG\xfb", "BPG"),
    (0, b"FLIF", "FLIF"),
    (0, b"\x76\x2f\x31\x01", "EXR"),
    (0, b"#?RADIANCE", "HDR"),
    (0, b"#?RGBE", "HDR"),
    (0, b"SDPX", "DPX"),
    (0, b"XPDS", "DPX"),
    (0, b"II\xbc", "JXR"),
    (0, b"\x8bJNG\r\n\x1a\n", "JNG"),
    (0, b"\x8aMNG\r\n\x1a\n", "MNG"),
    (0, b"FUJIFILMCCD-RAW", "RAF"),
    (0, b"IIRO", "ORF"),
    (0, b"IIRS", "ORF"),
    (0, b"MMOR", "ORF"),
    (0, b"IIU\0", "RW2"),
    (0, b"FOVb", "X3F"),
    (0, b"\0MRM", "MRW"),
    (0, b"\xc5\xd0\xd3\xc6", "EPS"),
    (0, b"\xd7\xcd\xc6\x9a", "WMF"),
    (40, b" EMF", "EMF"),
)

_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), "HEIF"),
    **dict.fromkeys((b"mif1", b"mif2", b"msf1", b"miaf"), "HEIF"),
    b"crx ": "CR3",
}

_VIDEOS = tuple(
    (re.compile(pattern, re.DOTALL), name)
    for pattern, name in (
        (rb"....ftypqt  |....(?:moov|mdat)", "MOV"),  # the last two: without a brand
        (rb"....ftyp(?:isom|iso[2-9]|mp4[12]|avc1|M4V[ H]|3g[p2].|dash|MSNV|f4v |XAVC)", "MP4"),
        (rb"\x1a\x45\xdf\xa3.{0,40}?\x42\x82.webm", "WEBM"),
        (rb"\x1a\x45\xdf\xa3", "MKV"),
        (rb"RIFF....AVI ", "AVI"),
        (rb"\0\0\x01\xba", "MPEG"),
        (rb"\0\0\x01\xb3", "MPEG-V"),  # a stream of pictures, without a container
        (rb"G.{187}G.{187}G", "MPEG-TS"),
        (rb"FLV\x01", "FLV"),
        (rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "ASF"),  # Windows Media
    )
)

# text formats need more than a magic word to be told from any other text
_PATTERNS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"P[1-6](?:\s|#[^\n]*\n)+\d+(?:\s|#[^\n]*\n)+\d+\s"), "PPM"),
    (re.compile(rb"P7\n(?:#[^\n]*\n)*(?:WIDTH|HEIGHT|DEPTH|MAXVAL|TUPLTYPE) "), "PPM"),
    (re.compile(rb"P[fF]\s+\d+\s+\d+\s+-?[\d.]+\s"), "PPM"),
    (re.compile(rb"\s*(?:/\*[^*]*\*/\s*)?#define\s+\w+_width\s+\d+\s+#define\s+\w+_height\s+\d+"), "XBM"),
)
_SVG_START = re.compile(rb"<!DOCTYPE\s+svg\b|<(?:svg:)?svg\b")

_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)


def claims_image(name: str) -> bool:
    """Whether the file name's extension, in any case, is that of an image format."""
    return os.path.splitext(name)[1][1:].casefold() in EXTENSIONS  # noqa: PTH122 - pathlib costs too much here


def looks_like_image(head: bytes) -> bool:
    """Whether a file that begins with ``head`` (:data:`HEAD_BYTES` or fewer) is an image by its content."""
    return bool(sniff(head))


def sniff_video(head: bytes) -> str:
    """Name the container of a file of moving pictures by its first bytes.

    Args:
        head: as for :func:`sniff`.

    Returns:
        a name such as ``"MP4"``, ``"WEBM"`` or ``"AVI"``; empty if it is none of the common ones.
    """
    return next((name for pattern, name in _VIDEOS if pattern.match(head)), "")


def sniff(head: bytes) -> str:
    """Name the image format of a file by its first bytes, decodable here or not.

    Args:
        head: the first :data:`HEAD_BYTES` of the file, or all of a shorter one.

    Returns:
        a name such as ``"JPEG"``, ``"SVG"`` or ``"XCF"``; empty if it is no image.
    """
    for offset, magic, name in _SIGNATURES:
        if head.startswith(magic, offset):
            return name
    if head.startswith(b"RIFF") and head[8:15] == b"WEBPVP8":
        return "WEBP"
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "")
    if _is_bmp(head):
        return "BMP"
    if head[:4] in (b"\0\0\1\0", b"\0\0\2\0") and _is_icon(head):
        return "ICO" if head[2] == 1 else "CUR"
    if _is_svg(head):
        return "SVG"
    return next((name for pattern, name in _PATTERNS if pattern.match(head)), "")


def _is_bmp(head: bytes) -> bool:
    return (
        head.startswith(b"BM") and len(head) >= 18 and struct.unpack_from("<I", head, 14)[0] in _BMP_HEADERS
    )


def _is_icon(head: bytes) -> bool:
    """A directory of at least one picture, the first of which lies behind the directory."""
    if len(head) < 22:
        return False
    (count,) = struct.unpack_from("<H", head, 4)
    size, offset = struct.unpack_from("<II", head, 14)
    return bool(count and size and head[9] == 0 and offset >= 6 + 16 * count)


def _is_svg(head: bytes) -> bool:
    """XML whose first element, behind declarations and comments, is svg."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    while text.startswith((b"<?", b"<!--")):
        text = text.partition(b"?>" if text.startswith(b"<?") else b"-->")[2].lstrip()
    return bool(_SVG_START.match(text))
