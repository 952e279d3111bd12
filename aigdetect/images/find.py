"""Find the images among files, folders and lists, one at a time and in a fixed order.

Whether a file is an image is read from its first bytes by :func:`sniff`, a table of strong signatures.
Pillow's own ``accept`` functions are no substitute: they answer yes to any text that starts with ``BM`` or
``#define``, to many small binary headers, and not at all for TGA or PCD; general file-type libraries share
the two-byte signatures. The formats with no strong signature are found by name.
"""

# paths stay strings as given: pathlib would tidy them, and costs more than the rest of a walk
# ruff: noqa: PTH114, PTH116, PTH118, PTH119, PTH120, PTH122

from __future__ import annotations

import codecs
import os
import re
import stat
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Literal

from aigdetect.images.read import open_without_waiting

if TYPE_CHECKING:
    from aigdetect.images.members import Member

HEAD_BYTES = 4096
"""How much of a file's beginning :func:`sniff` looks at."""

_CHUNK = 1 << 16

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

VIDEO = "video"
"""The reason of a file that holds moving pictures, none of which is looked at."""

LINK = "symbolic link"
"""The reason of what is passed over because links inside folders are not followed."""

COMPANION = "companion file of macOS"
"""The reason of a file ``._name`` beside a file: what macOS keeps of it where it cannot be kept in it."""

_COMPANION_HEAD = b"\0\5\x16\7"

_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)


@dataclass(frozen=True)
class Found:
    """One thing met on the way.

    Attributes:
        path: as given, or joined to the folder as given; ``os.fsencode`` brings back its bytes.
        kind: ``"image"`` deserves a row; so does ``"video"``, where these are asked for; ``"other"`` is only
            counted; ``"error"`` could not be looked at.
        reason: why it is an error or was passed over; one line without the path, empty for images. A file of
            another kind may be :data:`LINK`, :data:`COMPANION` or :data:`VIDEO`.
        inside: where it lies in an archive; None: it is a file by itself.
    """

    path: str
    kind: Literal["image", "video", "other", "error"]
    reason: str = ""
    inside: Member | None = None


def find_files(
    paths: Iterable[str | os.PathLike[str]], *, follow_symlinks: bool = False, videos: bool = False
) -> Iterator[Found]:
    """Walk files and folders, lazily, each folder in the order of its names' bytes.

    A file named in ``paths`` is always an image, unless it is a :data:`COMPANION`: the user asked for it. A
    file inside a folder is one when its name or its content says so. A file reached twice by one absolute
    path is given once; memory grows with ``paths`` and the largest folder, not with the number of files met
    (with ``follow_symlinks``, also with the number of folders, each of which is entered once).

    Args:
        paths: files and folders; a symbolic link named here is followed.
        follow_symlinks: also follow symbolic links met inside folders.
        videos: take videos, known by their content whatever they are called, for what deserves a row.

    Yields:
        what is met; never raises for what is on the disk.
    """
    seen = _Seen(videos)
    for path in map(os.fsdecode, paths):
        try:
            mode = os.stat(path).st_mode
        except (OSError, ValueError) as error:
            yield Found(path, "error", _reason(error))
            continue
        if stat.S_ISDIR(mode):
            yield from _walk(path, seen, follow_symlinks)
        elif not stat.S_ISREG(mode):
            yield Found(path, "error", "not a regular file")
        elif seen.is_new_file(path, follow_symlinks):
            yield _companion(path) or Found(path, "video" if videos and _is_video(path) else "image")


def read_list(stream: BinaryIO, *, null: bool = False) -> Iterator[str]:
    """Read paths from a list, as they come; blank lines are skipped.

    A list of lines may be UTF-8 with a byte order mark, or UTF-16, as PowerShell writes it.

    Args:
        stream: bytes, for example ``sys.stdin.buffer``.
        null: the paths end in NUL (``find -print0``) and not in a newline or CR LF.
    """
    for item in _split(stream, b"\0") if null else _lines(stream):
        path = item if null else item.removesuffix(b"\n").removesuffix(b"\r")
        if path:
            yield os.fsdecode(path)


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Lines, in the coding of file names."""
    first = stream.readline()
    if not first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        yield first.removeprefix(codecs.BOM_UTF8)
        yield from stream
        return
    decoder = codecs.getincrementaldecoder("utf-16")("replace")
    rest = decoder.decode(first)
    read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
    while chunk := read(_CHUNK):
        *lines, rest = (rest + decoder.decode(chunk)).split("\n")
        yield from (os.fsencode(line) for line in lines)
    yield from (os.fsencode(line) for line in (rest + decoder.decode(b"", final=True)).split("\n"))


def claims_image(name: str) -> bool:
    """Whether the file name's extension, in any case, is that of an image format."""
    return os.path.splitext(name)[1][1:].casefold() in EXTENSIONS


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


@dataclass
class _Seen:
    """What was given before; folders stand for all that is in them."""

    videos: bool = False  # whether these are given
    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)

    def is_new_file(self, path: str, follow_symlinks: bool) -> bool:
        """Remember a file named by the user; False if it has been given already."""
        key = _absolute(path)
        if key in self.files:
            return False
        self.files.add(key)
        if not self._inside_folder(key) or (os.path.islink(path) and not follow_symlinks):
            return True
        # inside a folder it was given only if it is an image of itself: now the user insists
        found = _classify(path, self.videos)
        return found.kind == "other" and found.reason != COMPANION

    def is_new_folder(self, key: str) -> bool:
        """Remember a folder named by the user; False if it or one around it has been walked."""
        if key in self.folders or self._inside_folder(key):
            return False
        self.folders.add(key)
        return True

    def _inside_folder(self, key: str) -> bool:
        while self.folders and key != (key := os.path.dirname(key)):
            if key in self.folders:
                return True
        return False


def _absolute(path: str) -> str:
    """The absolute path of a file: links are resolved in its folder, not in its name."""
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)


def _walk(root: str, seen: _Seen, follow: bool) -> Iterator[Found]:
    key = os.path.realpath(root)
    if not seen.is_new_folder(key):
        return
    visited: set[tuple[int, int]] = set()  # only when following: links can make loops
    pending = [(key, _entries(root, visited, follow))]
    while pending:  # an explicit stack: a tree can be deeper than Python's
        folder, entries = pending[-1]
        entry = next(entries, None)
        if entry is None:
            pending.pop()
        elif isinstance(entry, Found):
            yield entry
        elif _is(entry.is_dir, follow):
            key = os.path.join(folder, entry.name)
            if key not in seen.folders:
                pending.append((key, _entries(entry.path, visited, follow)))
        elif not _is(entry.is_file, follow):
            yield Found(entry.path, "other", _why_passed_over(entry))
        elif not seen.files or os.path.join(folder, entry.name) not in seen.files:
            yield _classify(entry.path, seen.videos)


def _entries(folder: str, visited: set[tuple[int, int]], follow: bool) -> Iterator[os.DirEntry[str] | Found]:
    """A folder's entries in order, then a :class:`Found` if the folder could not be read to its end."""
    entries: list[os.DirEntry[str]] = []
    failure = ""
    try:
        if follow and not _first_visit(folder, visited):
            return
        with os.scandir(folder) as listing:
            for entry in listing:  # what was read before an error counts
                entries.append(entry)
    except OSError as error:
        failure = _reason(error)
    yield from sorted(entries, key=lambda entry: os.fsencode(entry.name))
    if failure:
        yield Found(folder, "error", failure)


def _first_visit(folder: str, visited: set[tuple[int, int]]) -> bool:
    info = os.stat(folder)
    identity = (info.st_dev, info.st_ino)
    if identity in visited:
        return False
    visited.add(identity)
    return True


def _is(test: Callable[..., bool], follow: bool) -> bool:
    try:
        return test(follow_symlinks=follow)
    except OSError:  # vanished meanwhile, or a loop of links
        return False


def _why_passed_over(entry: os.DirEntry[str]) -> str:
    return LINK if entry.is_symlink() else "not a regular file"


def _companion(path: str) -> Found | None:
    """A companion file, by name and content; None for any other, or one that cannot be read."""
    if not os.path.basename(path).startswith("._"):
        return None
    try:
        return Found(path, "other", COMPANION) if _head(path).startswith(_COMPANION_HEAD) else None
    except OSError:
        return None


def _is_video(path: str) -> bool:
    """Whether a file is a video by its content; False for one that cannot be read."""
    try:
        head = _head(path)
    except OSError:
        return False
    return not looks_like_image(head) and bool(sniff_video(head))


def _classify(path: str, videos: bool = False) -> Found:
    if companion := _companion(path):
        return companion
    if claims_image(path):
        return Found(path, "video" if videos and _is_video(path) else "image")
    try:
        head = _head(path)
    except OSError as error:
        return Found(path, "error", _reason(error))
    if looks_like_image(head):
        return Found(path, "image")
    if sniff_video(head):
        return Found(path, "video") if videos else Found(path, "other", VIDEO)
    return Found(path, "other")


def _head(path: str) -> bytes:
    with open(path, "rb", buffering=0, opener=open_without_waiting) as file:
        return file.read(HEAD_BYTES) or b""


def _split(stream: BinaryIO, separator: bytes) -> Iterator[bytes]:
    read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)  # read1 gives what is there
    rest = b""
    while chunk := read(_CHUNK):
        *items, rest = (rest + chunk).split(separator)
        yield from items
    yield rest


def _reason(error: OSError | ValueError) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return text[:1].lower() + text[1:]
