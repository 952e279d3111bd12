"""Decoding: exact pixels for every mode, and one clear error for everything else."""

from __future__ import annotations

import csv
import io
import os
import struct
import subprocess
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps, TiffImagePlugin

from aigdetect.errors import ImageError
from aigdetect.images.decode import MIN_SIDE, DecodedImage, decode, from_image, require_scorable

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("AIGDETECT_DATA", ROOT.parent / "shared" / "data"))
HARD = DATA / "hard"


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def gradient(width: int = 256, height: int = 240) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    planes = (x * 255 // (width - 1), y * 255 // (height - 1), (x + y) * 255 // (width + height - 2))
    return Image.fromarray(np.stack(planes, axis=-1).astype(np.uint8))


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *chunks: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    body = b"".join(chunks) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + body


def check_error(error: ImageError) -> None:
    message = str(error)
    assert message
    assert message.isprintable()
    assert len(message) < 200
    assert " at 0x" not in message
    assert error.__traceback__


def check_image(image: DecodedImage) -> None:
    assert image.pixels.dtype == np.uint8
    assert image.pixels.shape == (image.height, image.width, 3)
    assert image.format
    assert all(note.isprintable() for note in image.notes)


# -- formats ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("BMP", {}),
        ("PPM", {}),
        ("TGA", {}),
        ("QOI", {}),
        ("SGI", {}),
        ("PCX", {}),
        ("DDS", {}),
        ("JPEG2000", {"irreversible": False}),
        ("JXL", {"lossless": True}),
        ("HEIF", {"quality": -1, "chroma": 444, "matrix_coefficients": 0}),
    ],
)
def test_lossless_formats_give_the_pixels_back(format: str, options: dict[str, object]) -> None:
    image = decode(encoded(gradient(), format, **options))
    assert image.format == format
    assert (image.width, image.height) == (256, 240)
    assert image.notes == ()
    np.testing.assert_array_equal(image.pixels, np.asarray(gradient()))


@pytest.mark.parametrize("format", ["JPEG", "AVIF", "HEIF", "WEBP", "JXL"])
def test_lossy_formats_come_close(format: str) -> None:
    image = decode(encoded(gradient(), format, quality=90))
    assert image.format == format
    assert np.abs(image.pixels.astype(int) - np.asarray(gradient())).mean() < 6


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK"])
def test_colour_modes_convert_as_pillow_does(mode: str) -> None:
    data = encoded(gradient().convert(mode), "TIFF")
    expected = Image.open(io.BytesIO(data)).convert("RGB")
    np.testing.assert_array_equal(decode(data).pixels, np.asarray(expected))


def test_lab() -> None:
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.buildTransform(srgb, lab, "RGB", "LAB").apply(gradient())
    expected = np.asarray(image.convert("RGB"))
    image.info.clear()  # with the profile and without
    for data in (encoded(image, "TIFF"), encoded(image, "TIFF", icc_profile=b"")):
        assert np.abs(decode(data).pixels.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("mode", ["YCbCr", "HSV", "RGBX", "RGBa", "La", "PA"])
def test_modes_that_few_files_or_none_have(mode: str) -> None:
    by_way_of = {"RGBa": "RGBA", "La": "LA", "PA": "P"}.get(mode, mode)
    image = gradient().convert(by_way_of)
    expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(from_image(image.convert(mode)).pixels, expected)


def test_adobe_cmyk_jpeg_is_not_inverted() -> None:
    paper = Image.new("CMYK", (64, 64), (0, 0, 0, 0))
    paper.paste((255, 255, 255, 255), (0, 0, 32, 64))
    pixels = decode(encoded(paper, "JPEG", quality=100)).pixels
    assert pixels[:, :24].max() < 8
    assert pixels[:, 40:].min() > 247


def test_an_image_in_memory_is_shown_as_its_file_is() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(gradient().convert("RGBA"), exif=exif, icc_profile=matrix_profile(DISPLAY_P3, 2.2, "P3"))
    image, expected = from_image(Image.open(io.BytesIO(data))), decode(data)
    np.testing.assert_array_equal(image.pixels, expected.pixels)
    assert image.notes == expected.notes
    np.testing.assert_array_equal(from_image(gradient()).pixels, np.asarray(gradient()))
    with pytest.raises(ImageError, match="truncated"):
        from_image(Image.open(io.BytesIO(encoded(gradient(), "JPEG")[:-200])))


# -- deep samples ----------------------------------------------------------------------------------------


def test_sixteen_bit_grey_is_rounded() -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    for format in ("PNG", "TIFF"):
        image = decode(encoded(Image.fromarray(values), format))
        expected = np.rint(values / 257).astype(np.uint8)
        np.testing.assert_array_equal(image.pixels, np.repeat(expected[..., None], 3, axis=-1))
        assert image.notes == ()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_zero_is_white_in_a_tiff_that_says_so(dtype: type) -> None:
    ramp = np.tile(np.arange(256, dtype=dtype), (40, 1)) * dtype(257 if dtype == np.uint16 else 1)
    data = encoded(Image.fromarray(ramp), "TIFF")
    black_is_zero = struct.pack("<HHIHH", 262, 3, 1, 1, 0)
    assert data.count(black_is_zero) == 1
    image = decode(data.replace(black_is_zero, struct.pack("<HHIHH", 262, 3, 1, 0, 0)))
    assert image.pixels[0, :, 0].tolist() == list(range(255, -1, -1))


@pytest.mark.parametrize(("top", "expected"), [(1.0, 255), (255.0, 255), (65535.0, 255), (1e9, 255)])
def test_floating_point_is_scaled_from_its_usual_range(top: float, expected: int) -> None:
    ramp = np.tile(np.linspace(0, top, 256, dtype=np.float32), (256, 1))
    image = decode(encoded(Image.fromarray(ramp), "TIFF"))
    assert image.pixels[0, :, 0].tolist() == list(range(expected + 1))
    assert "floating-point values scaled to 8 bits" in image.notes


def test_floating_point_without_sense_decodes_to_something() -> None:
    for value in (np.nan, np.inf, -np.inf, 3.4e38, -3.4e38):
        ramp = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1))
        ramp[0] = value
        check_image(decode(encoded(Image.fromarray(ramp), "TIFF")))
    check_image(decode(encoded(Image.fromarray(np.full((40, 40), np.nan, np.float32)), "TIFF")))


def test_thirty_two_bit_integers_are_scaled() -> None:
    ramp = np.tile(np.arange(-128, 128, dtype=np.int32) * 1000, (40, 1))
    image = decode(encoded(Image.fromarray(ramp), "TIFF"))
    assert image.pixels[0, [0, 255], 0].tolist() == [0, 255]
    assert "integer values scaled to 8 bits" in image.notes


# -- alpha -----------------------------------------------------------------------------------------------


def over_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    alpha = alpha[..., None].astype(int)
    return (2 * (colour.astype(int) * alpha + 255 * (255 - alpha)) + 255) // 510


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_alpha_is_laid_over_white(mode: str, format: str) -> None:
    image = gradient().convert(mode[:-1])
    alpha = np.add.outer(np.arange(240), np.arange(256)).astype(np.uint8)
    image.putalpha(Image.fromarray(alpha))
    decoded = decode(
        encoded(image, format, **({"lossless": True, "exact": True} if format == "WEBP" else {}))
    )
    colour = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(decoded.pixels, over_white(colour, alpha))
    assert decoded.notes == ("alpha flattened over white",)


def test_opaque_alpha_is_not_worth_a_note() -> None:
    image = decode(encoded(gradient().convert("RGBA")))
    assert image.notes == ()
    np.testing.assert_array_equal(image.pixels, np.asarray(gradient()))


def test_palette_with_alpha() -> None:
    image = Image.new("P", (64, 64), 1)
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.paste(2, (0, 0, 32, 64))
    pixels = decode(encoded(image, transparency=bytes([255, 128, 0]))).pixels
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[0, 63].tolist() == [127, 255, 127]
    pixels = decode(encoded(image, "GIF", transparency=2)).pixels
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[0, 63].tolist() == [0, 255, 0]


@pytest.mark.parametrize(
    ("depth", "colour", "samples", "key", "opaque"),
    [
        (8, 0, b"\x40\x80", b"\x00\x40", 0x80),
        (4, 0, b"\x5a", b"\x00\x05", 0xAA),
        (2, 0, b"\x60", b"\x00\x01", 0xAA),
        (1, 0, b"\x40", b"\x00\x01", 0x00),
        (16, 0, b"\x40\x01\x80\x80", b"\x40\x01", 0x80),
        (8, 2, b"\x40\x41\x42\x80\x80\x80", b"\x00\x40\x00\x41\x00\x42", 0x80),
        (16, 2, b"\x40\x01\x41\x01\x42\x01" + b"\x80\x80" * 3, b"\x40\x01\x41\x01\x42\x01", 0x80),
    ],
)
def test_png_transparent_colour(depth: int, colour: int, samples: bytes, key: bytes, opaque: int) -> None:
    if depth == 1:
        samples = b"\x80"  # the first pixel is the transparent one everywhere
    image = decode(png(2, 1, depth, colour, b"\0" + samples, chunk(b"tRNS", key)))
    assert image.pixels[0, 0].tolist() == [255, 255, 255]
    assert image.pixels[0, 1].tolist() == [opaque] * 3
    assert "alpha flattened over white" in image.notes


# -- orientation -----------------------------------------------------------------------------------------

# how to store an upright picture so that a viewer that obeys the tag shows it upright
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "JPEG"])
@pytest.mark.parametrize("orientation", range(10))
def test_orientation_gives_the_upright_image(format: str, orientation: int) -> None:
    upright = gradient(300, 240)
    stored = upright.transpose(STORED[orientation]) if orientation in STORED else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decode(encoded(stored, format, exif=exif, lossless=True, quality=100, subsampling=0))
    assert (image.width, image.height) == (300, 240)
    difference = np.abs(image.pixels.astype(int) - np.asarray(upright))
    assert difference.max() <= (6 if format == "JPEG" else 0)


@pytest.mark.parametrize("format", ["AVIF", "HEIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_heif_and_avif_is_applied_once(format: str, orientation: int) -> None:
    upright = gradient(300, 240)
    stored = upright.transpose(STORED[orientation]) if orientation in STORED else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decode(encoded(stored, format, exif=exif.tobytes(), quality=95))
    assert (image.width, image.height) == (300, 240)
    assert np.abs(image.pixels.astype(int) - np.asarray(upright)).mean() < 4


def test_orientation_agrees_with_pillow_on_xmp() -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r tiff:Orientation="6"/></x:xmpmeta>'
    data = encoded(gradient(), "JPEG", xmp=xmp)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert (decode(data).width, decode(data).height) == expected.size


@pytest.mark.parametrize(
    "exif",
    [b"Exif\0\0junk", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x99" * 99],
)
def test_broken_exif_does_not_stop_decoding(exif: bytes) -> None:
    assert decode(encoded(gradient(), "JPEG", exif=exif)).width == 256


# -- colour profiles -------------------------------------------------------------------------------------


def matrix_profile(primaries: list[tuple[float, float, float]], gamma: float, name: str) -> bytes:
    """A minimal ICC version 2 display profile; ``primaries`` are the D50 XYZ of red, green and blue."""

    def xyz(values: tuple[float, ...]) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))

    curve = b"curv\0\0\0\0" + struct.pack(">IHxx", 1, round(gamma * 256))
    text = name.encode() + b"\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78),
        b"wtpt": xyz((0.9642, 1.0, 0.8249)),
        **{kind: xyz(values) for kind, values in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)},
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    offset, table, body = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for kind, value in tags.items():
        value += bytes(-len(value) % 4)
        table += struct.pack(">4sII", kind, offset + len(body), len(value))
        body += value
    header = struct.pack(">I4sI4s4s4s", offset + len(body), b"lcms", 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + table + body


DISPLAY_P3 = [(0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841)]


def test_wide_gamut_is_converted() -> None:
    profile = matrix_profile(DISPLAY_P3, 2.2, "Wide\x1b[31m test")
    image = decode(encoded(gradient(), icc_profile=profile))
    reference = ImageCms.profileToProfile(
        gradient(), ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
    )
    np.testing.assert_array_equal(image.pixels, np.asarray(reference))
    assert np.abs(image.pixels.astype(int) - np.asarray(gradient())).max() > 20
    assert image.notes == ("converted from Wide [31m test to sRGB",)


def test_alpha_is_kept_out_of_the_conversion() -> None:
    profile = matrix_profile(DISPLAY_P3, 2.2, "P3")
    image = gradient().convert("RGBA")
    image.putalpha(128)
    reference = decode(encoded(gradient(), icc_profile=profile)).pixels
    pixels = decode(encoded(image, icc_profile=profile)).pixels
    np.testing.assert_array_equal(pixels, over_white(reference, np.full(reference.shape[:2], 128)))


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_srgb_profile_leaves_pixels_alone(mode: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = decode(encoded(gradient().convert(mode), icc_profile=profile))
    np.testing.assert_array_equal(image.pixels, np.asarray(gradient().convert(mode).convert("RGB")))
    assert image.notes == ()


def test_profile_that_cannot_be_used_is_ignored() -> None:
    image = decode(encoded(gradient(), icc_profile=b"not a profile"))
    np.testing.assert_array_equal(image.pixels, np.asarray(gradient()))
    assert image.notes == ("colour profile ignored: unreadable",)
    profile = matrix_profile(DISPLAY_P3, 2.2, "P3")
    image = decode(encoded(gradient().convert("CMYK"), "TIFF", icc_profile=profile))
    assert image.notes == ("colour profile ignored: made for other colours than the image's",)


# -- frames, compression, size ---------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF", "AVIF", "MPO"])
def test_first_frame_is_taken_and_said_so(format: str) -> None:
    frames = [Image.new("RGB", (256, 256), (80 * i, 0, 0)) for i in range(3)]
    frames[0].paste((250, 250, 250), (0, 0, 128, 128))
    image = decode(encoded(frames[0], format, save_all=True, append_images=frames[1:]))
    assert "first frame of 3" in image.notes
    assert image.pixels[10, 10].min() > 240
    assert image.pixels[200, 200].max() < 10


def test_endless_frames_are_counted_to_a_bound() -> None:
    header = b"GIF89a" + struct.pack("<HHBBB", 40, 40, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    frame = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x4c\x01\x00"
    start = time.process_time()
    image = decode(header + frame * 500_000 + b";")
    assert time.process_time() - start < 2
    assert "first frame of more than 1000" in image.notes


@pytest.mark.filterwarnings("ignore:Image appears to be a malformed MPO")
@pytest.mark.parametrize("index", [b"", b"MM", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\0\x09"])
def test_a_broken_index_of_further_pictures_is_noted(index: bytes) -> None:
    whole = encoded(gradient(), "JPEG")
    segment = b"MPF\0" + index
    image = decode(whole[:2] + b"\xff\xe2" + struct.pack(">H", len(segment) + 2) + segment + whole[2:])
    assert image.notes == ("first frame of an unknown number: their index is broken",)
    assert np.array_equal(image.pixels, decode(whole).pixels)


@pytest.mark.parametrize("quality", [5, 10, 30, 49, 50, 75, 95])
def test_strong_compression_is_noted(quality: int) -> None:
    notes = decode(encoded(gradient(), "JPEG", quality=quality)).notes
    expected = (f"strong compression (JPEG quality about {quality})",) if quality < 50 else ()
    assert notes == expected


def test_small_and_uniform_images_are_noted() -> None:
    image = decode(encoded(Image.new("RGB", (300, 223), (9, 9, 9))))
    assert image.notes == ("low resolution", "uniform image: no content")
    assert image.doubtful


@pytest.mark.parametrize("place", [(0, 0), (299, 0), (150, 150), (20, 299)])
def test_one_other_pixel_is_content(place: tuple[int, int]) -> None:
    image = Image.new("RGB", (300, 300), (9, 9, 9))
    image.putpixel(place, (9, 9, 10))
    assert not decode(encoded(image)).notes


def test_too_small_to_score() -> None:
    require_scorable(decode(encoded(gradient(MIN_SIDE, 500))))
    image = decode(encoded(gradient(MIN_SIDE - 1, 500)))
    with pytest.raises(
        ImageError, match="too small to score: 31x500 pixels, at least 32 on the short"
    ) as caught:
        require_scorable(image)
    assert (caught.value.format, caught.value.width, caught.value.height) == ("PNG", 31, 500)


# -- bombs -----------------------------------------------------------------------------------------------


def jxl_header(width: int, height: int) -> bytes:
    bits, at = 0, 0
    for value, count in ((0, 1), (3, 2), (height - 1, 30), (0, 3), (3, 2), (width - 1, 30), (1, 1)):
        bits |= value << at
        at += count
    return b"\xff\x0a" + bits.to_bytes(64, "little")


def tiff_header(width: int, height: int, *more: tuple[int, int]) -> bytes:
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    tags = ((256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (279, 8))
    for tag, value in (*tags, (278, height), *more):
        directory[tag] = value
    buffer = io.BytesIO(b"II*\0\x08\0\0\0")
    buffer.seek(8)
    directory.save(buffer)
    return buffer.getvalue() + bytes(64)


def icon(embedded: bytes, kind: int = 1) -> bytes:
    return struct.pack("<HHHBBBBHHII", 0, kind, 1, 16, 16, 0, 0, 1, 32, len(embedded), 22) + embedded


HUGE_PNG = png(60000, 60000, 8, 2, b"\0" * 1000)
BOMBS = {
    "PNG": HUGE_PNG,
    "GIF": b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b"," + bytes(40),
    "TIFF": tiff_header(60000, 60000),
    "TIFF tile": tiff_header(100, 100, (322, 65520), (323, 65520), (324, 8), (325, 8)),
    "BMP": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 0, 0, 0, 54, 40, 60000, 60000, 1, 24, 0, 0, 0, 0, 0, 0),
    "WEBP": b"RIFF\x40\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\x3f\0" * 2 + bytes(40),
    "JXL": jxl_header(60000, 60000),
    "QOI": b"qoif" + struct.pack(">IIBB", 60000, 60000, 3, 0) + b"\xfd" * 100,
    "ICO": icon(HUGE_PNG),
    "ICO DIB": icon(struct.pack("<IiiHHIIiiII", 40, 60000, 120000, 1, 32, 0, 0, 0, 0, 0, 0)),
    "ICNS": b"icns" + struct.pack(">I4sI", len(HUGE_PNG) + 16, b"ic10", len(HUGE_PNG) + 8) + HUGE_PNG,
    "PPM": b"P6 60000 60000 255\n" + bytes(100),
    "TGA": struct.pack("<BBBHHBHHHHBB", 0, 0, 10, 0, 0, 0, 0, 0, 60000, 60000, 24, 0) + bytes(99),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_by_their_header(name: str) -> None:
    with pytest.raises(
        ImageError, match=r"^too large: \d+x\d+ pixels, the limit is [12]0{7,8} in all$"
    ) as caught:
        decode(BOMBS[name])
    assert caught.value.format == name.split()[0]
    assert caught.value.width


def test_pixel_limit_can_be_moved() -> None:
    data = encoded(gradient())
    assert decode(data, max_pixels=256 * 240).width == 256
    with pytest.raises(ImageError, match="too large: 256x240 pixels, the limit is 61439 in all"):
        decode(data, max_pixels=256 * 240 - 1)


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_png_metadata_bombs_do_not_stop_decoding(kind: bytes) -> None:
    squeezed = zlib.compress(bytes(100_000_000), 9)
    prefix = {b"zTXt": b"Comment\0\0", b"iTXt": b"Comment\0\1\0\0\0", b"iCCP": b"profile\0\0"}[kind]
    data = encoded(gradient())
    start = time.process_time()
    image = decode(data[:33] + chunk(kind, prefix + squeezed) + data[33:])
    assert time.process_time() - start < 2
    np.testing.assert_array_equal(image.pixels, np.asarray(gradient()))
    assert image.notes == (("colour profile ignored: unreadable",) if kind == b"iCCP" else ())


def test_progressive_scan_bombs_are_refused() -> None:
    data = encoded(gradient(), "JPEG", progressive=True)
    frame = data.index(b"\xff\xc2")
    header = data[: frame + 5] + struct.pack(">HH", 9000, 9000) + data[frame + 9 :]
    with pytest.raises(ImageError, match="too costly: more than 39 scans of 9000x9000 pixels"):
        decode(header.removesuffix(b"\xff\xd9") + b"\xff\xda\0\3\0" * 36 + b"\xff\xd9")


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is measured in kilobytes on Linux only")
def test_bombs_take_no_memory(tmp_path: Path) -> None:
    for index, data in enumerate(BOMBS.values()):
        (tmp_path / str(index)).write_bytes(data)
    program = """
import resource, sys
from pathlib import Path
from aigdetect.errors import ImageError
from aigdetect.images.decode import decode
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in Path(sys.argv[1]).iterdir():
    try:
        decode(path.read_bytes())
    except ImageError:
        pass
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert int(done.stdout) < 40
    assert done.stderr == ""


VIDEO = "not an image: a video; scan --video looks at its key frames"


# -- what cannot be decoded ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "file is empty"),
        (b"%PDF-1.7\n", "not an image: a PDF document"),
        (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
            "not a raster image: PostScript, which is never run",
        ),
        (b'<?xml version="1.0"?>\n<svg width="9">', "not a raster image: SVG is a vector drawing"),
        (b"PK\x03\x04" + bytes(30), "not an image: a ZIP archive"),
        (b"\n<!DOCTYPE html><p>404", "not an image: an HTML page"),
        (b"Dear diary, today I have seen an image.\n", "not an image: text"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", VIDEO),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", VIDEO),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01" + bytes(40), VIDEO),
        (b"RIFF\0\0\0\0AVI LIST", VIDEO),
        (b"G" + (bytes(187) + b"G") * 3, VIDEO),
        (b"gimp xcf v011" + bytes(99), "format not supported: XCF"),
        (bytes(999), "not an image, or of an unknown format"),
        (b"\xff\xd8", "broken JPEG: junk after its first marker"),
    ],
)
def test_what_is_no_image_is_named(data: bytes, message: str) -> None:
    with pytest.raises(ImageError) as caught:
        decode(data)
    assert str(caught.value) == message


def test_camera_raw_is_not_judged_by_its_preview() -> None:
    for raw in (tiff_header(40, 40, (50706, 1)), tiff_header(40, 40, (254, 1))):
        with pytest.raises(ImageError, match=r"^format not supported: camera raw; develop it"):
            decode(raw)


def camera_raw(preview: bytes, thumbnail: bytes, *, order: str = "<", orientation: int = 6) -> bytes:
    """As cameras write it: a thumbnail first, the picture further down, and raw data beside it."""
    mark = b"II*\0" if order == "<" else b"MM\0*"

    def directory(at: int, *entries: tuple[int, int, int], follows: int = 0) -> bytes:
        body = struct.pack(f"{order}H", len(entries))
        for tag, kind, value in sorted(entries):
            packed = struct.pack(order + ("Hxx" if kind == 3 else "I"), value)
            body += struct.pack(f"{order}HHI", tag, kind, 1) + packed
        return body + struct.pack(f"{order}I", follows)

    lossless = preview.replace(b"\xff\xc0", b"\xff\xc3", 1) + bytes(1000)
    first = 8
    size = len(directory(0, *[(0, 4, 0)] * 9))
    second, third = first + size, first + 2 * size
    data = first + 3 * size
    one = directory(
        first,
        (256, 4, 64),
        (257, 4, 60),
        (254, 4, 1),
        (259, 3, 6),
        (273, 4, data),
        (279, 4, len(thumbnail)),
        (274, 3, orientation),
        (330, 4, second),
        (258, 3, 8),
        follows=third,
    )
    two = directory(second, (513, 4, data + len(thumbnail)), (514, 4, len(preview)))
    three = directory(
        third, (259, 3, 7), (273, 4, data + len(thumbnail) + len(preview)), (279, 4, len(lossless))
    )
    head = mark + struct.pack(f"{order}I", first)
    return head + one + two.ljust(size, b"\0") + three.ljust(size, b"\0") + thumbnail + preview + lossless


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_preview_of_a_raw_photograph(order: str) -> None:
    preview, thumbnail = encoded(gradient(256, 240), "JPEG"), encoded(gradient(64, 60), "JPEG")
    raw = camera_raw(preview, thumbnail, order=order)
    with pytest.raises(ImageError, match=r"^format not supported: camera raw; develop it"):
        decode(raw)
    found, plain = decode(raw, partial=True), decode(preview)
    assert (found.format, found.width, found.height) == ("TIFF", 240, 256)
    assert found.notes == ("camera raw: what was scored is its preview of 240x256 pixels",)
    assert np.array_equal(found.pixels, np.rot90(plain.pixels, -1))
    exif = Image.Exif()
    exif[0x0112] = 1  # the preview itself says that it lies as it should
    upright = decode(camera_raw(encoded(gradient(), "JPEG", exif=exif), thumbnail, order=order), partial=True)
    assert upright.width == 256


def test_the_previews_of_fujifilm_and_panasonic() -> None:
    preview = encoded(gradient(), "JPEG")
    raf = (
        b"FUJIFILMCCD-RAW 0201".ljust(84, b"\0") + struct.pack(">II", 100, len(preview)) + bytes(8) + preview
    )
    entry = struct.pack("<HHII", 0x2E, 7, len(preview), 26)
    rw2 = b"IIU\0" + struct.pack("<IH", 8, 1) + entry + bytes(4) + preview
    for name, data in (("RAF", raf), ("RW2", rw2)):
        found = decode(data, partial=True)
        assert (found.format, found.width) == (name, 256)
        assert found.notes[0].startswith("camera raw: ")
        with pytest.raises(ImageError, match="camera raw"):
            decode(data[:28], partial=True)


def olympus(
    preview: bytes, *, mark: bytes = b"IIRO", note: bytes = b"OLYMPUS\0II\3\0", orientation: int = 6
) -> bytes:
    """As their cameras write it: the picture is named in the notes, whose places count for themselves."""
    order, inner = ">" if mark.startswith(b"MM") else "<", ">" if b"MM" in note else "<"

    def directory(order: str, *entries: tuple[int, int, int, int]) -> bytes:
        packed = (
            struct.pack(f"{order}HHI", tag, kind, count)
            + struct.pack(order + ("Hxx" if kind == 3 else "I"), value)
            for tag, kind, count, value in entries
        )
        return struct.pack(f"{order}H", len(entries)) + b"".join(packed) + bytes(4)

    first = 8
    exif = first + len(directory(order, *[(0, 4, 1, 0)] * 2))
    notes = exif + len(directory(order, (0, 4, 1, 0)))
    settings = len(note) + len(directory(inner, (0, 4, 1, 0)))
    picture = settings + len(directory(inner, *[(0, 4, 1, 0)] * 2))
    return b"".join(
        (
            mark + struct.pack(f"{order}I", first),
            directory(order, (0x0112, 3, 1, orientation), (0x8769, 4, 1, exif)),
            directory(order, (0x927C, 7, picture + len(preview), notes)),
            note,
            directory(inner, (0x2020, 13, 1, settings)),
            directory(inner, (0x0101, 4, 1, picture), (0x0102, 4, 1, len(preview))),
            preview,
        )
    )


@pytest.mark.parametrize(
    ("mark", "note"),
    [
        (b"IIRO", b"OLYMPUS\0II\3\0"),
        (b"IIRS", b"OM SYSTEM\0\0\0II\4\0"),
        (b"MMOR", b"OLYMPUS\0MM\0\3"),
    ],
)
def test_the_preview_of_olympus(mark: bytes, note: bytes) -> None:
    preview = encoded(gradient(256, 240), "JPEG")
    raw = olympus(preview, mark=mark, note=note)
    found, plain = decode(raw, partial=True), decode(preview)
    assert (found.format, found.width, found.height) == ("ORF", 240, 256)
    assert found.notes == ("camera raw: what was scored is its preview of 240x256 pixels",)
    assert np.array_equal(found.pixels, np.rot90(plain.pixels, -1))
    with pytest.raises(ImageError, match="camera raw"):
        decode(raw.replace(note, bytes(len(note))), partial=True)


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def canon_cr3(preview: bytes, *, orientation: int) -> bytes:
    """As Canon's cameras write it: a track with the picture, one with raw data, a box of EXIF."""
    head = box(b"ftyp", b"crx \0\0\0\1crx isom")

    def track(at: int, length: int, *, same: bool) -> bytes:
        sizes = struct.pack(">III", 0, length, 1) if same else struct.pack(">IIII", 0, 0, 1, length)
        table = box(b"stbl", box(b"stsz", sizes), box(b"co64", struct.pack(">IIQ", 0, 1, at)))
        return box(b"trak", box(b"tkhd", bytes(84)), box(b"mdia", box(b"minf", table)))

    exif = struct.pack("<4sIHHHIHxxI", b"II*\0", 8, 1, 0x0112, 3, 1, orientation, 0)
    canon = box(b"uuid", bytes.fromhex("85c0b687820f11e08111f4ce462b6a48"), box(b"CMT1", exif))

    def movie(at: int) -> bytes:
        raw = track(at + len(preview), 500, same=False)
        return box(b"moov", canon, track(at, len(preview), same=True), raw)

    begin = len(head) + len(movie(0)) + 16
    return (
        head + movie(begin) + struct.pack(">I4sQ", 1, b"mdat", 16 + len(preview) + 500) + preview + bytes(500)
    )


def test_the_preview_of_canon() -> None:
    preview = encoded(gradient(256, 240), "JPEG")
    found, plain = decode(canon_cr3(preview, orientation=6), partial=True), decode(preview)
    assert (found.format, found.width, found.height) == ("CR3", 240, 256)
    assert found.notes == ("camera raw: what was scored is its preview of 240x256 pixels",)
    assert np.array_equal(found.pixels, np.rot90(plain.pixels, -1))
    with pytest.raises(ImageError, match="camera raw"):
        decode(canon_cr3(preview, orientation=1)[:300], partial=True)


@pytest.mark.parametrize(
    "whole",
    [
        camera_raw(encoded(gradient(40, 40), "JPEG"), encoded(gradient(16, 16), "JPEG")),
        canon_cr3(encoded(gradient(40, 40), "JPEG"), orientation=1),
        olympus(encoded(gradient(40, 40), "JPEG")),
    ],
    ids=["TIFF", "CR3", "ORF"],
)
def test_damaged_raw_photographs_are_harmless(whole: bytes) -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(rng.integers(1, 8)):
            data[rng.integers(400)] = rng.choice([0, 1, 255, rng.integers(256)])
        try:
            decode(bytes(data), partial=True)
        except ImageError as error:
            check_error(error)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "AVIF", "HEIF", "JXL"])
def test_truncated_files_are_refused(format: str) -> None:
    data = encoded(Image.effect_noise((300, 300), 50).convert("RGB"), format)
    for length in (0.97, 0.5, 0.1):
        with pytest.raises(ImageError) as caught:
            decode(data[: int(len(data) * length)])
        check_error(caught.value)


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"restart_marker_rows": 1}),
        ("PNG", {}),
        ("GIF", {"interlace": 0}),
        ("TIFF", {}),
        ("PPM", {}),
        ("QOI", {}),
        ("BMP", {}),
        ("TGA", {}),
    ],
)
@pytest.mark.parametrize("length", [0.98, 0.7, 0.3])
def test_what_is_there_of_a_truncated_file(format: str, options: dict[str, int], length: float) -> None:
    image = Image.effect_noise((300, 400), 50)
    image = image.convert("P") if format == "GIF" else image.convert("RGB")
    data = encoded(image, format, **options)
    whole, part = decode(data), decode(data[: int(len(data) * length)], partial=True)
    assert (part.width, part.height) == (300, 400)
    height = part.image.height
    assert abs(height / 400 - length) < 0.1
    kept = whole.pixels[-height:] if format in ("BMP", "TGA") else whole.pixels[:height]
    assert np.array_equal(part.pixels, kept)
    assert part.notes[0].endswith(f": {round(100 * (1 - height / 400))} % of the image missing")
    assert part.notes[0].startswith("damaged QOI" if format == "QOI" else "truncated")
    assert part.doubtful == (height < 200)


def test_a_part_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(gradient(256, 240), "PNG", exif=exif)
    part, whole = decode(data[: len(data) * 2 // 3], partial=True), decode(data)
    assert (part.width, part.height) == (whole.width, whole.height) == (240, 256)
    assert np.array_equal(part.pixels, whole.pixels[:, -part.image.width :])


def test_a_progressive_jpeg_without_its_last_passes() -> None:
    data = encoded(gradient(), "JPEG", progressive=True)
    part = decode(data[:-300], partial=True)
    assert part.notes == ("truncated: the last passes over the image are missing, and detail with them",)
    assert part.doubtful
    assert part.image.size == (256, 240)
    first, second = (data.index(b"\xff\xda", at) for at in (0, data.index(b"\xff\xda") + 2))
    with pytest.raises(ImageError, match="truncated"):  # not even the coarsest pass is whole
        decode(data[: (first + second) // 2], partial=True)


def test_next_to_nothing_is_too_little() -> None:
    data = encoded(Image.effect_noise((300, 400), 50), "PNG")
    part = decode(data[: len(data) // 20], partial=True)
    with pytest.raises(ImageError, match="what is left of it is too small to score: 300x"):
        require_scorable(part)
    with pytest.raises(ImageError, match="truncated"):
        decode(data[:100], partial=True)


def test_a_damaged_png_up_to_the_damage() -> None:
    data = bytearray(encoded(Image.effect_noise((300, 400), 50), "PNG"))
    data[len(data) * 3 // 4] ^= 0xFF
    part = decode(bytes(data), partial=True)
    assert part.notes[0].startswith("damaged PNG: ")
    assert not part.doubtful


def test_a_jpeg_with_a_hole() -> None:
    data = encoded(Image.effect_noise((640, 480), 30).convert("RGB"), "JPEG")
    middle = len(data) // 2
    hole = data[:middle] + bytes(3000) + data[middle + 3000 :]
    found = decode(hole, partial=True)
    assert found.notes == ("damaged: 3000 bytes of its pixels are zero, and what follows is displaced",)
    assert found.doubtful
    # zeros to the end are what a download in part leaves
    rest = decode(data[: len(data) * 3 // 4] + bytes(len(data) // 4), partial=True)
    assert rest.notes[0].startswith("truncated: 2")
    assert not rest.doubtful
    assert decode(data + bytes(3000), partial=True).notes == ()


@pytest.mark.parametrize("progressive", [False, True])
def test_zeros_that_mean_nothing_are_no_hole(progressive: bool) -> None:
    flat = encoded(Image.new("L", (4000, 4000), 255), "JPEG", optimize=True, progressive=progressive)
    assert bytes(64) in flat
    assert decode(flat).notes == ("uniform image: no content",)


def test_tiff_that_lacks_strips_is_refused() -> None:
    with pytest.raises(ImageError, match="broken TIFF: it lacks strips or tiles"):
        decode(tiff_header(40, 4000, (278, 10)))


def test_truncated_jpeg_says_so_and_keeps_its_facts() -> None:
    data = encoded(gradient(), "JPEG")
    with pytest.raises(ImageError, match=r"^file is truncated$") as caught:
        decode(data[:-400])
    assert (caught.value.format, caught.value.width, caught.value.height) == ("JPEG", 256, 240)


SEEDS = {
    format: encoded(gradient(48, 40), format, **options)
    for format, options in {
        "JPEG": {"exif": b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"},
        "PNG": {"icc_profile": matrix_profile(DISPLAY_P3, 2.2, "P3")},
        "WEBP": {"lossless": True},
        "GIF": {},
        "TIFF": {"compression": "tiff_lzw"},
        "BMP": {},
        "ICO": {"sizes": [(32, 32)]},
        "JPEG2000": {},
        "AVIF": {},
        "HEIF": {},
        "JXL": {},
        "QOI": {},
        "TGA": {"compression": "tga_rle"},
        "PCX": {},
        "SGI": {},
        "PPM": {},
        "DDS": {},
        "ICNS": {},
    }.items()
}


def decodes_or_says_why(data: bytes) -> None:
    try:
        image = decode(data, max_pixels=1_000_000)
    except ImageError as error:
        check_error(error)
    else:
        check_image(image)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_random_bytes(data: bytes) -> None:
    decodes_or_says_why(data)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(SEEDS)), st.binary(max_size=200))
def test_random_bytes_behind_a_signature(format: str, data: bytes) -> None:
    decodes_or_says_why(SEEDS[format][:16] + data)


@settings(max_examples=600, deadline=None)
@given(
    st.sampled_from(sorted(SEEDS)),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6),
    st.booleans(),
)
def test_flipped_bytes(format: str, changes: list[tuple[float, int]], header_only: bool) -> None:
    data = bytearray(SEEDS[format])
    for place, value in changes:
        data[int(place * (min(len(data), 100) if header_only else len(data)))] = value
    decodes_or_says_why(bytes(data))


def test_threads_do_not_disturb_each_other() -> None:
    profile = matrix_profile(DISPLAY_P3, 2.2, "P3")
    files = [*SEEDS.values(), *BOMBS.values(), encoded(gradient(), icc_profile=profile)]

    def outcome(data: bytes) -> tuple[object, ...]:
        try:
            image = decode(data)
        except ImageError as error:
            return str(error), error.format, error.width
        return image.pixels.tobytes(), image.notes

    limit = Image.MAX_IMAGE_PIXELS
    expected = [outcome(data) for data in files]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(outcome, files * 4)) == expected * 4
    assert limit == Image.MAX_IMAGE_PIXELS


# -- the hostile corpus ----------------------------------------------------------------------------------

# Files whose row in the manifest reads as if their pixels could be scored, and why they are not.
TOO_SMALL_AFTER_ALL = {
    "animated/no_palette.gif",
    "animated/comment_after_last_frame.gif",
    "colour_mode/1bit.tif",
    "format/hopper.ico",
    "format/RGB_8_chroma444.heif",
    "iptc_xmp/Google.jpg",
    "metadata_broken/multiple_exif.jpg",
    "metadata_broken/pr_1994_poc1.jpg",
    "multipage/multipage-mmap.tiff",
}


def test_hard_corpus() -> None:
    if not (HARD / "MANIFEST.tsv").is_file():
        pytest.skip(f"the corpus of hostile files is not at {HARD}: set AIGDETECT_DATA to its parent")
    with (HARD / "MANIFEST.tsv").open(encoding="utf-8", newline="") as manifest:
        rows = list(csv.DictReader(manifest, delimiter="\t"))
    for row in rows:
        start = time.process_time()
        try:
            image = decode((HARD / row["path"]).read_bytes())
        except ImageError as error:
            check_error(error)
            if not may_be_refused(row["should"]):
                pytest.fail(f"{row['path']} refused: {error}")
        else:
            check_image(image)
            check_against(row["path"], row["should"], image)
        assert time.process_time() - start < 2, row["path"]


def may_be_refused(should: str) -> bool:
    return any(word in should for word in ("reject", "error", "refuse"))


def check_against(path: str, should: str, image: DecodedImage) -> None:
    small = min(image.width, image.height) < MIN_SIDE
    if should.startswith("reject") and "or score" not in should and "or note" not in should:
        assert small, f"{path} decoded"
    if should.startswith("score") and not may_be_refused(should) and "too-small" not in should:
        assert not small or path in TOO_SMALL_AFTER_ALL, path
    if "first frame/page" in should:
        assert image.notes[0].startswith("first frame of"), path
    if "no content" in should or "no visible pixels" in should:
        assert "uniform image: no content" in image.notes, path


def test_photographs_of_the_largest_phones_are_not_refused() -> None:
    from aigdetect.images.opening import MAX_PIXELS, open_image

    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "JPEG")
    data = buffer.getvalue()
    at = data.index(b"\xff\xc0") + 5
    for width, height in ((12_000, 9_000), (16_320, 12_240)):
        header = data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]
        assert open_image(header, MAX_PIXELS).size == (width, height)
