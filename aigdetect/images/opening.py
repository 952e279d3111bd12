"""Read the header of an image file and refuse what would cost too much, before any pixel is decoded.

Only decoders that work inside the process are asked, each directly and not through ``Image.open``, whose
limits are global; nothing global is changed while decoding, so that threads may decode at the same time.
"""

from __future__ import annotations

import contextlib
import re
import struct
import warnings
from collections.abc import Iterator
from io import BytesIO
from typing import Any, cast

import pillow_heif
import pillow_jxl  # noqa: F401 - registers itself with Pillow
from PIL import Image, ImageFile

from aigdetect.errors import CameraRawError, ImageError, TooLargeError
from aigdetect.formats.jpeg import count_scans
from aigdetect.images import headers
from aigdetect.images.sniff import HEAD_BYTES, sniff, sniff_video
from aigdetect.text import one_line

MAX_PIXELS = 200_000_000
"""Images of more pixels are refused unless the caller allows them; the largest phones make so many."""

MAX_FRAMES = 1000
"""Frames are counted to little more than this."""

_MAX_SCANS = 32  # passes over the whole of a progressive JPEG of _MANY_PIXELS; encoders write ten
_MANY_PIXELS = 100_000_000
_SLOW = frozenset({"QOI", "BLP", "MSP", "XPM"})  # decoded by Pillow in Python, a second or so per megapixel
_MAX_PIXELS_SLOW = 20_000_000

# Tried in this order. Left out: EPS runs Ghostscript, IPTC opens whatever it contains, WMF, BUFR, GRIB, HDF5
# and MPEG have no decoder, IMT takes text for an image. The last three have no signature.
_FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "AVIF", "HEIF", "JXL", "TIFF", "BMP", "JPEG2000", "PSD", "QOI", "ICO"),
    *("CUR", "ICNS", "DDS", "PPM", "FITS", "DIB", "SGI", "SUN", "PCX", "DCX", "BLP", "FTEX", "FLI", "GBR"),
    *("MSP", "MCIDAS", "PIXAR", "XPM", "XBM", "XVTHUMB", "IM", "SPIDER", "PCD", "TGA"),
)

_NOT_IMAGES = (
    (re.compile(rb"%PDF-"), "not an image: a PDF document"),
    (re.compile(rb"%!|\xc5\xd0\xd3\xc6"), "not a raster image: PostScript, which is never run"),
    (re.compile(rb"PK\x03\x04"), "not an image: a ZIP archive"),
    (re.compile(rb"\s*<(?:!doctype html|html)", re.IGNORECASE), "not an image: an HTML page"),
    (re.compile(rb"[\t\n\r\x20-\x7e]{16,}\Z"), "not an image: text"),
)
_CUT_SHORT = re.compile("truncated|end of file|premature|requires a buffer|out of range", re.IGNORECASE)
_TRUNCATED = "file is truncated"
_RAW = frozenset({"RAF", "RW2", "ORF", "CR3", "X3F", "MRW"})
_RAW_REFUSED = "format not supported: camera raw; develop it to JPEG or TIFF first"
_VECTOR = frozenset({"SVG", "EPS", "WMF", "EMF"})
_NEW_SUBFILE_TYPE, _TILE_WIDTH, _TILE_LENGTH, _DNG_VERSION = 254, 322, 323, 50706

Image.init()
pillow_heif.register_heif_opener()
# Pillow warns of odd metadata and big images on standard error. Silenced once, here: the standard library's
# way of silencing a single call is not safe with threads.
warnings.filterwarnings("ignore", module=r"PIL\.|pillow_")


def open_image(data: bytes, max_pixels: int) -> ImageFile.ImageFile:
    """Read the header; no pixels yet, except where a plugin decodes them at once, after its own check.

    Raises:
        ImageError: if the file is no image that can be decoded, or is larger than allowed.
    """
    failure: ImageError | None = None
    head = data[:16].ljust(16, b"\0")  # some plugins take this much for granted
    for name in _FORMATS:
        factory, accept = Image.OPEN.get(name, (None, None))
        if factory is None or (accept and accept(head) is not True):
            continue
        try:
            with failures_named(name):
                return _open_as(name, data, max_pixels)
        except ImageError as error:
            if error.width is not None:  # it was this format indeed
                raise
            # a failure tells something only where a signature had matched
            failure = failure or (error if accept else None)
    raise _unreadable(data, failure)


def _open_as(name: str, data: bytes, max_pixels: int) -> ImageFile.ImageFile:
    for size in headers.sizes_before_opening(name, data):
        with failures_named(name, size):
            check_size(size, max_pixels)
    try:
        image = _factory(name, data)
    except Exception:
        if name != "PNG":
            raise
        image = _factory(name, headers.essential_png(data))  # what is broken may be metadata only
    with failures_named(image.format or name, image.size):
        check_size(image.size, min(max_pixels, _MAX_PIXELS_SLOW) if name in _SLOW else max_pixels)
        _check_cost(image, data, max_pixels)
    return image


def _factory(name: str, data: bytes) -> ImageFile.ImageFile:
    if name == "JXL":
        # without its box the codestream has no metadata to unpack and no JPEG to rebuild; it carries the
        # orientation, which the decoder applies
        data = headers.jxl_codestream(data)
    return Image.OPEN[name][0](BytesIO(data), "")


def _unreadable(data: bytes, failure: ImageError | None) -> ImageError:
    head = data[:HEAD_BYTES]
    name = sniff(head)
    if not data:
        return ImageError("file is empty")
    if name in _VECTOR:
        return ImageError(f"not a raster image: {name} is a vector drawing", format=name)
    if failure and failure.format == name:
        return failure
    if data.startswith(b"\xff\xd8"):
        return ImageError("broken JPEG: junk after its first marker", format="JPEG")
    if name in _RAW:
        return CameraRawError(_RAW_REFUSED, format=name)
    if name:
        state = f"broken {name}: no usable header" if name in _FORMATS else f"format not supported: {name}"
        return ImageError(state, format=name)
    if sniff_video(head):
        return ImageError("not an image: a video; scan --video looks at its key frames")
    for pattern, message in _NOT_IMAGES:
        if pattern.match(head):
            return ImageError(message)
    return failure or ImageError("not an image, or of an unknown format")


@contextlib.contextmanager
def failures_named(name: str, size: tuple[int, int] | tuple[None, None] = (None, None)) -> Iterator[None]:
    """Turn whatever a decoder throws into an :class:`ImageError` that says what the header told."""
    try:
        yield
    except ImageError as error:
        error.format = error.format or name
        if error.width is None:
            error.width, error.height = size
        raise
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # a panic in a Rust decoder is no Exception
        raise ImageError(_reason(error, name), format=name, width=size[0], height=size[1]) from error


def _reason(error: BaseException, name: str) -> str:
    said = re.sub(r"<[^<>]* at 0x[0-9a-fA-F]+>", "file", str(error))
    text = one_line(said.partition(". ")[0], 120)  # what follows is advice to programmers
    if isinstance(error, MemoryError):
        return "out of memory while decoding it"
    if isinstance(error, Image.DecompressionBombError):
        return "too large: it holds a picture of more pixels than allowed"
    if isinstance(error, (EOFError, struct.error)) or _CUT_SHORT.search(text):
        return _TRUNCATED
    if not text or "not identified" in text:
        return f"broken {name}: no usable header"
    return f"broken {name or 'image'}: {text}"


def damage_named(error: BaseException, name: str) -> str:
    """In a word or two, what is wrong with a file that can be decoded in part."""
    return "truncated" if _reason(error, name) == _TRUNCATED else f"damaged {name}".strip()


def check_size(size: tuple[int, int], max_pixels: int) -> None:
    """Refuse an image of more than ``max_pixels`` pixels.

    Raises:
        TooLargeError: saying the size and the limit.
    """
    width, height = size
    if width * height > max_pixels:
        raise TooLargeError(f"too large: {width}x{height} pixels, the limit is {max_pixels} in all")


def _check_cost(image: ImageFile.ImageFile, data: bytes, max_pixels: int) -> None:
    """Refuse what would cost far more time or memory than its size lets expect, and raw photographs."""
    if image.format == "TIFF":
        tags = cast(Any, image).tag_v2
        preview = tags.get(_NEW_SUBFILE_TYPE, 0)
        if _DNG_VERSION in tags or data[8:10] == b"CR" or (isinstance(preview, int) and preview & 1):
            raise CameraRawError(_RAW_REFUSED)
        tile = tags.get(_TILE_WIDTH, 0), tags.get(_TILE_LENGTH, 0)
        if all(isinstance(side, int) for side in tile):
            check_size(tile, max_pixels)
        covered = sum(
            (right - left) * (bottom - top) for left, top, right, bottom in map(_extents, image.tile)
        )
        if covered < image.width * image.height:  # Pillow would leave the rest black
            raise ImageError("broken TIFF: it lacks strips or tiles")
    if image.format == "FITS" and any(tile[0] == "fits_gzip" for tile in image.tile):
        raise ImageError("format not supported: compressed FITS")  # older Pillow inflates it without bound
    if image.info.get("progressive"):
        most = max(_MAX_SCANS, _MAX_SCANS * _MANY_PIXELS // max(1, image.width * image.height))
        if count_scans(data, most + 1) > most:
            raise ImageError(f"too costly: more than {most} scans of {image.width}x{image.height} pixels")


def _extents(tile: Any) -> tuple[int, int, int, int]:
    return cast("tuple[int, int, int, int]", tuple(tile[1]))


def count_frames(image: ImageFile.ImageFile, data: bytes) -> int:
    """Frames or pages, counted to little more than :data:`MAX_FRAMES` and without decoding any."""
    if image.format == "PSD":
        return 1  # its frames are layers, and Pillow reads the merged picture
    if image.format == "GIF":
        return headers.count_gif_frames(data, most=MAX_FRAMES)
    if image.format == "TIFF":
        return _count_tiff_pages(data)
    frames = getattr(image, "n_frames", 1)
    return frames if isinstance(frames, int) else 1


def _count_tiff_pages(data: bytes) -> int:
    pages = 1
    with contextlib.suppress(Exception):  # a broken second page is no business of the first
        image = _factory("TIFF", data)
        while pages <= MAX_FRAMES:
            image.seek(pages)
            pages += 1
    return pages
