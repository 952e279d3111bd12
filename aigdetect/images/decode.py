"""Turn the bytes of an image file into upright 8-bit sRGB pixels, or into one clear error.

The bytes may be hostile. The pixel count is checked before any pixels are decoded; only decoders that work
inside the process are asked, each directly and not through ``Image.open``, whose limits are global; nothing
global is changed while decoding, so that threads may decode at the same time.
"""

from __future__ import annotations

import contextlib
import re
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import product
from typing import Any, cast

import numpy as np
import pillow_heif
import pillow_jxl  # noqa: F401 - registers itself with Pillow
from PIL import Image, ImageCms, ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from aigdetect.errors import ImageError
from aigdetect.images.find import HEAD_BYTES, sniff
from aigdetect.images.jpeg import jpeg_quality

MAX_PIXELS = 100_000_000
"""Images of more pixels are refused unless the caller allows them."""

MIN_SIDE = 32
"""Images with a shorter side hold too little to be scored."""

LOW_RESOLUTION_SIDE = 224
"""Images with a shorter side are noted as low resolution: the model sees them enlarged."""

_MAX_FRAMES = 1000  # frames are counted no further
_MAX_SCANS = 32  # passes over the whole of a progressive JPEG of MAX_PIXELS; encoders write ten
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
_JPEG_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # no stuffing, restart or fill
_CUT_SHORT = re.compile("truncated|end of file|premature|requires a buffer|out of range", re.IGNORECASE)
_VECTOR = frozenset({"SVG", "EPS", "WMF", "EMF"})

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112
_NEW_SUBFILE_TYPE, _BITS_PER_SAMPLE, _TILE_WIDTH, _TILE_LENGTH, _DNG_VERSION = 254, 258, 322, 323, 50706

_PROFILE_SPACE = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab ": "LAB"}

Image.init()
pillow_heif.register_heif_opener()
# Pillow warns of odd metadata and big images on standard error. Silenced once, here: the standard library's
# way of silencing a single call is not safe with threads.
warnings.filterwarnings("ignore", module=r"PIL\.|pillow_")


@dataclass(frozen=True)
class DecodedImage:
    """An image ready to be looked at.

    Attributes:
        pixels: ``uint8`` array of shape ``(height, width, 3)``, sRGB 0..255, upright; its own memory.
        format: container by content: ``"JPEG"``, ``"PNG"``, ``"WEBP"``, ``"HEIF"``, ``"AVIF"``, ``"JXL"``...
        width: in pixels, as displayed.
        height: in pixels, as displayed.
        notes: what was done to the pixels, or limits what they tell; a few words each.
    """

    pixels: np.ndarray[Any, np.dtype[np.uint8]]
    format: str
    width: int
    height: int
    notes: tuple[str, ...]


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS) -> DecodedImage:
    """Decode the first frame of an image file, by content alone.

    Args:
        data: the whole file.
        max_pixels: refuse images of more pixels than this, by their header.

    Returns:
        upright sRGB pixels: orientation applied, colour profile converted, alpha laid over white, deeper
        samples scaled to 8 bits.

    Raises:
        ImageError: for any file that cannot be decoded, with what its header told.
    """
    image = _open(data, max_pixels)
    with _failures_named(image.format or "", image.size):
        notes = _notes_on_file(image, data)
        image.load()
        _check_size(image.size, max_pixels)  # HEIF may turn out larger than its header said
        if image.format == "PNG" and "transparency" in image.info:
            image.info["transparency"] = _eight_bit_key(image.info["transparency"], image.mode, data[24])
        return _render(image, notes)


def from_image(image: Image.Image) -> DecodedImage:
    """Treat an image that is in memory, or was opened by Pillow, as :func:`decode` treats a file.

    Raises:
        ImageError: if its pixels cannot be decoded.
    """
    with _failures_named(image.format or "", image.size):
        image.load()
        return _render(image, [])


def require_scorable(image: DecodedImage) -> None:
    """Refuse an image with less than :data:`MIN_SIDE` pixels on its short side.

    Raises:
        ImageError: if it is too small to score.
    """
    if min(image.width, image.height) < MIN_SIDE:
        raise ImageError(
            f"too small to score: {image.width}x{image.height} pixels, at least {MIN_SIDE} on the short side",
            format=image.format,
            width=image.width,
            height=image.height,
        )


# -- opening ---------------------------------------------------------------------------------------------


def _open(data: bytes, max_pixels: int) -> ImageFile.ImageFile:
    """Read the header; no pixels yet, except where a plugin decodes them at once, after its own check."""
    failure: ImageError | None = None
    head = data[:16].ljust(16, b"\0")  # some plugins take this much for granted
    for name in _FORMATS:
        factory, accept = Image.OPEN.get(name, (None, None))
        if factory is None or (accept and accept(head) is not True):
            continue
        try:
            with _failures_named(name):
                return _open_as(name, data, max_pixels)
        except ImageError as error:
            if error.width is not None:  # it was this format indeed
                raise
            # a failure tells something only where a signature had matched
            failure = failure or (error if accept else None)
    raise _unreadable(data, failure)


def _open_as(name: str, data: bytes, max_pixels: int) -> ImageFile.ImageFile:
    for size in _sizes_before_opening(name, data):
        with _failures_named(name, size):
            _check_size(size, max_pixels)
    try:
        image = _factory(name, data)
    except Exception:
        if name != "PNG":
            raise
        image = _factory(name, _essential_png(data))  # what is broken may be metadata only
    with _failures_named(image.format or name, image.size):
        _check_size(image.size, min(max_pixels, _MAX_PIXELS_SLOW) if name in _SLOW else max_pixels)
        _check_cost(image, data, max_pixels)
    return image


def _factory(name: str, data: bytes) -> ImageFile.ImageFile:
    if name == "JXL":
        # without its box the codestream has no metadata to unpack and no JPEG to rebuild; it carries the
        # orientation, which the decoder applies
        data = _jxl_codestream(data)
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
    if name:
        state = f"broken {name}: no usable header" if name in _FORMATS else f"format not supported: {name}"
        return ImageError(state, format=name)
    for pattern, message in _NOT_IMAGES:
        if pattern.match(head):
            return ImageError(message)
    return failure or ImageError("not an image, or of an unknown format")


@contextlib.contextmanager
def _failures_named(name: str, size: tuple[int, int] | tuple[None, None] = (None, None)) -> Iterator[None]:
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
    text = _one_line(said.partition(". ")[0], 120)  # what follows is advice to programmers
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    if isinstance(error, Image.DecompressionBombError):
        return "too large: it holds a picture of more pixels than allowed"
    if isinstance(error, (EOFError, struct.error)) or _CUT_SHORT.search(text):
        return "file is truncated"
    if not text or "not identified" in text:
        return f"broken {name}: no usable header"
    return f"broken {name or 'image'}: {text}"


def _one_line(text: str, length: int) -> str:
    """Printable text on one line: it may come out of the file."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= length else text[: length - 3] + "..."


# -- limits ----------------------------------------------------------------------------------------------


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise ImageError(f"too large: {width}x{height} pixels, the limit is {max_pixels} in all")


def _check_cost(image: ImageFile.ImageFile, data: bytes, max_pixels: int) -> None:
    """Refuse what would cost far more time or memory than its size lets expect, and raw photographs."""
    if image.format == "TIFF":
        tags = cast(Any, image).tag_v2
        preview = tags.get(_NEW_SUBFILE_TYPE, 0)
        if _DNG_VERSION in tags or data[8:10] == b"CR" or (isinstance(preview, int) and preview & 1):
            raise ImageError("format not supported: camera raw; develop it to JPEG or TIFF first")
        tile = tags.get(_TILE_WIDTH, 0), tags.get(_TILE_LENGTH, 0)
        if all(isinstance(side, int) for side in tile):
            _check_size(tile, max_pixels)
        covered = sum(
            (right - left) * (bottom - top) for left, top, right, bottom in map(_extents, image.tile)
        )
        if covered < image.width * image.height:  # Pillow would leave the rest black
            raise ImageError("broken TIFF: it lacks strips or tiles")
    if image.format == "FITS" and any(tile[0] == "fits_gzip" for tile in image.tile):
        raise ImageError("format not supported: compressed FITS")  # older Pillow inflates it without bound
    if image.info.get("progressive"):
        scans = _count_jpeg_scans(data)
        if scans > _MAX_SCANS and scans * image.width * image.height > _MAX_SCANS * MAX_PIXELS:
            raise ImageError(f"too costly: {scans} scans of {image.width}x{image.height} pixels")


def _extents(tile: Any) -> tuple[int, int, int, int]:
    return cast("tuple[int, int, int, int]", tuple(tile[1]))


def _sizes_before_opening(name: str, data: bytes) -> Iterator[tuple[int, int]]:
    """The sizes to check before the plugin is asked, where it decodes on opening or opens what it holds."""
    if name == "GIF":
        yield struct.unpack_from("<HH", data, 6)
    if name == "WEBP":
        yield from _webp_canvas(data)
    if name == "JXL":
        size, animated = _jxl_header(_jxl_codestream(data))
        yield size
        if animated:  # its decoder would go through all frames, however many, and give the last
            raise ImageError("format not supported: animated JPEG XL", width=size[0], height=size[1])
    if name in {"ICO", "ICNS"}:
        for match in re.finditer(rb"\x89PNG\r\n\x1a\n....IHDR(.{8})", data, re.DOTALL):
            yield struct.unpack(">II", match[1])
        for match in re.finditer(rb"ihdr(.{8})|\xff\x4f\xff\x51....(.{8})", data, re.DOTALL):
            yield struct.unpack(">II", match[1] or match[2])
    if name == "ICO":
        for entry in range(struct.unpack_from("<H", data, 4)[0]):
            (offset,) = struct.unpack_from("<I", data, 18 + 16 * entry)
            if data[offset : offset + 4] == b"\x28\0\0\0" and len(data) >= offset + 12:
                width, height = struct.unpack_from("<ii", data, offset + 4)
                yield abs(width), abs(height) // 2  # the mask below the picture counts as height


def _jxl_codestream(data: bytes) -> bytes:
    """The codestream of a JPEG XL file, out of its boxes if it has any."""
    if data.startswith(b"\xff\x0a"):
        return data
    parts = []
    for kind, body in _boxes(data):
        if kind == b"jxlc":
            return body
        if kind == b"jxlp":
            parts.append(body[4:])
    return b"".join(parts)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data):
        size, kind, start = *struct.unpack_from(">I4s", data, at), at + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start)
            start += 8
        end = at + size if size else len(data)
        if end < start:
            return
        yield kind, data[start:end]
        at = end


def _count_jpeg_scans(data: bytes) -> int:
    scans, at = 0, 2
    while marker := _JPEG_MARKER.search(data, at):
        if marker[0] == b"\xff\xd9":
            break
        scans += marker[0] == b"\xff\xda"
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    return scans


def _webp_canvas(data: bytes) -> Iterator[tuple[int, int]]:
    """The canvas of a WebP, of which the decoder allocates two on opening."""
    if data[12:16] == b"VP8X":
        yield (
            1 + int.from_bytes(data[24:27], "little"),
            1 + int.from_bytes(data[27:30], "little"),
        )
    elif data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        yield 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif data[12:16] == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        yield width & 0x3FFF, height & 0x3FFF


def _jxl_header(codestream: bytes) -> tuple[tuple[int, int], bool]:
    """Width and height as coded, and whether it is animated (ISO/IEC 18181-1, SizeHeader and on)."""
    bits = int.from_bytes(codestream[2:32], "little")

    def take(count: int) -> int:
        nonlocal bits
        value = bits & ((1 << count) - 1)
        bits >>= count
        return value

    def side(small: int) -> int:
        return (take(5) + 1) * 8 if small else take((9, 13, 18, 30)[take(2)]) + 1

    def size() -> tuple[int, int]:
        small = take(1)
        height = side(small)
        ratio = take(3)
        numerator, denominator = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio]
        return (height * numerator // denominator if ratio else side(small)), height

    displayed = size()
    if take(1) or not take(1):  # all metadata at its defaults, or no extra fields
        return displayed, False
    take(3)  # orientation
    if take(1):
        size()  # intrinsic size
    return displayed, not take(1) and bool(take(1))  # a preview, which nobody writes, would come between


def _essential_png(data: bytes) -> bytes:
    """A PNG without the chunks that are not needed to show its pixels the right way up."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    parts, at = [data[:8]], 8
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if kind in {b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT", b"IEND"}:
            parts.append(data[at : at + size + 12])
        at += size + 12
    return b"".join(parts)


# -- notes -----------------------------------------------------------------------------------------------


def _notes_on_file(image: ImageFile.ImageFile, data: bytes) -> list[str]:
    notes = []
    frames = _count_frames(image, data)
    if frames > 1:
        notes.append(f"first frame of {frames if frames <= _MAX_FRAMES else f'more than {_MAX_FRAMES}'}")
    if isinstance(image, JpegImageFile):
        quality = _jpeg_quality(image)
        if quality is not None and quality < 50:
            notes.append(f"strong compression (JPEG quality about {quality})")
    if image.format == "PNG" and not image.info.get("icc_profile") and b"iCCP" in data[: data.find(b"IDAT")]:
        notes.append("colour profile ignored: unreadable")
    return notes


def _notes_on_pixels(rgb: Image.Image) -> list[str]:
    notes = []
    if min(rgb.size) < LOW_RESOLUTION_SIDE:
        notes.append("low resolution")
    if all(low == high for low, high in cast("tuple[tuple[int, int], ...]", rgb.getextrema())):
        notes.append("uniform image: no content")
    return notes


def _count_frames(image: ImageFile.ImageFile, data: bytes) -> int:
    """Frames or pages, counted to little more than :data:`_MAX_FRAMES` and without decoding any."""
    if image.format == "PSD":
        return 1  # its frames are layers, and Pillow reads the merged picture
    if image.format == "GIF":
        return _count_gif_frames(data)
    if image.format == "TIFF":
        return _count_tiff_pages(data)
    frames = getattr(image, "n_frames", 1)
    return frames if isinstance(frames, int) else 1


def _count_gif_frames(data: bytes) -> int:
    def colours(flags: int) -> int:
        return 3 << (flags & 7) + 1 if flags & 0x80 else 0

    frames = 0
    with contextlib.suppress(IndexError):
        at = 13 + colours(data[10])
        while frames <= _MAX_FRAMES and data[at] in b"!,":
            if data[at : at + 1] == b",":
                frames += 1
                at += 11 + colours(data[at + 9])
            else:
                at += 2
            while data[at]:
                at += data[at] + 1
            at += 1
    return frames


def _count_tiff_pages(data: bytes) -> int:
    pages = 1
    with contextlib.suppress(Exception):  # a broken second page is no business of the first
        image = _factory("TIFF", data)
        while pages <= _MAX_FRAMES:
            image.seek(pages)
            pages += 1
    return pages


def _jpeg_quality(image: JpegImageFile) -> int | None:
    """The libjpeg quality whose luminance table is nearest to the image's, 1..100."""
    table = image.quantization.get(image.layer[0][3]) if image.layer else None
    if table is None or len(table) != 64:
        return None
    return jpeg_quality(table)


# -- pixels ----------------------------------------------------------------------------------------------


def _render(image: Image.Image, notes: list[str]) -> DecodedImage:
    """What is displayed of a loaded image; ``notes`` are carried on."""
    colour, alpha = _colour_and_alpha(image, notes)
    rgb = _over_white(_to_srgb(colour, image.info.get("icc_profile"), notes), alpha, notes)
    orientation = _UPRIGHT.get(_orientation(image))
    if orientation is not None:
        rgb = rgb.transpose(orientation)
    return DecodedImage(
        pixels=np.array(rgb),
        format=image.format or "",
        width=rgb.width,
        height=rgb.height,
        notes=(*notes, *_notes_on_pixels(rgb)),
    )


def _orientation(image: Image.Image) -> int:
    """EXIF orientation that is still to be applied; 1 if unreadable or out of range."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - broken metadata must not stop an image
        return 1
    return value if isinstance(value, int) and value in _UPRIGHT else 1


def _colour_and_alpha(image: Image.Image, notes: list[str]) -> tuple[Image.Image, Image.Image | None]:
    """Split into 8-bit colour (mode L, RGB, CMYK or LAB) and alpha (mode L), if any."""
    if image.mode == "I" or image.mode == "F" or image.mode.startswith("I;16"):
        return _deep_grey(image, notes)
    if image.mode in {"LA", "La"}:
        grey, alpha = (image if image.mode == "LA" else image.convert("LA")).split()
        return grey, alpha
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return rgba.convert("RGB"), rgba.getchannel("A")
    if image.mode in {"L", "RGB", "CMYK", "LAB"}:
        return image, None
    return image.convert("L" if image.mode == "1" else "RGB"), None


def _eight_bit_key(key: Any, mode: str, depth: int) -> Any:
    """The transparent colour of a PNG in the 8 bits that Pillow reduced or widened its samples to."""
    if mode == "RGB" and depth == 16:
        return tuple(value >> 8 for value in key)
    if mode == "L" and depth < 8:
        return key * 255 // ((1 << depth) - 1)
    return key


def _deep_grey(image: Image.Image, notes: list[str]) -> tuple[Image.Image, Image.Image | None]:
    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        bottom, top = 0.0, float((1 << _sample_bits(image)) - 1)
    else:
        bottom, top = _range(values, image.mode)
        notes.append(f"{'floating-point' if image.mode == 'F' else 'integer'} values scaled to 8 bits")
    precision = np.float32 if image.mode.startswith("I;16") else np.float64  # enough, in half the memory
    clipped = np.clip(np.nan_to_num(values.astype(precision), nan=bottom), bottom, top)
    grey = Image.fromarray(np.rint((clipped - bottom) * (255 / (top - bottom))).astype(np.uint8))
    key = image.info.get("transparency")
    if isinstance(key, int):
        return grey, Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8))
    return grey, None


def _sample_bits(image: Image.Image) -> int:
    """12 for the TIFF files that keep 12-bit samples in 16 bits, else 16."""
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (16,))
    return 12 if bits == (12,) else 16


def _range(values: np.ndarray[Any, Any], mode: str) -> tuple[float, float]:
    """The usual range of samples that holds the finite values, or theirs if none does."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    for top in (1.0, 255.0, 65535.0) if mode == "F" else (255.0, 65535.0):
        if low >= 0 and high <= top:
            return 0.0, top
    return low, high if high > low else low + 1


def _to_srgb(image: Image.Image, profile: object, notes: list[str]) -> Image.Image:
    """Convert colours (mode L, RGB, CMYK or LAB) to sRGB, through the embedded profile if it can be used."""
    if isinstance(profile, bytes) and profile:
        try:
            return _through_profile(image, profile, notes)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError, KeyError):
            notes.append("colour profile ignored: unreadable")
    return image if image.mode == "RGB" else image.convert("RGB")


def _through_profile(image: Image.Image, profile: bytes, notes: list[str]) -> Image.Image:
    source = ImageCms.ImageCmsProfile(BytesIO(profile))
    mode = _PROFILE_SPACE[source.profile.xcolor_space]
    if mode == "RGB" and image.mode == "L":
        image = image.convert("RGB")
    if mode != image.mode:
        notes.append("colour profile ignored: made for other colours than the image's")
        return image.convert("RGB")
    transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    if _changes_nothing(transform, mode):
        return image.convert("RGB")
    notes.append(f"converted from {_profile_name(source)} to sRGB")
    return transform.apply(image)


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether a profile is sRGB by what it does: its name tells little, and such pixels stay untouched."""
    if mode not in {"L", "RGB"}:
        return False
    levels = range(0, 256, 17)
    samples = list(product(levels, repeat=3)) if mode == "RGB" else [(level,) * 3 for level in levels]
    before = Image.fromarray(np.array([samples], np.uint8)).convert(mode)
    after = transform.apply(before)
    return int(np.abs(np.asarray(after, np.int16) - np.asarray(before.convert("RGB"), np.int16)).max()) <= 2


def _profile_name(profile: ImageCms.ImageCmsProfile) -> str:
    try:
        return _one_line(ImageCms.getProfileDescription(profile), 60) or "an unnamed profile"
    except ImageCms.PyCMSError:
        return "an unnamed profile"


def _over_white(rgb: Image.Image, alpha: Image.Image | None, notes: list[str]) -> Image.Image:
    if alpha is None or cast("tuple[int, int]", alpha.getextrema())[0] == 255:
        return rgb
    notes.append("alpha flattened over white")
    white = Image.new("RGB", rgb.size, (255, 255, 255))
    white.paste(rgb, mask=alpha)
    return white
