"""Every field with its place: what stands there is what was written."""

from __future__ import annotations

import io
import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from metadata_files import (
    camera,
    exif,
    iptc_record,
    jpeg_segment,
    jpeg_with,
    photoshop,
    png,
    png_chunk,
    png_with,
    saved,
    xmp,
)
from PIL import Image, ImageCms
from signed_images import created, make_authority, sign

from aigdetect.evidence.packets import MAX_PROPERTIES, read_properties
from aigdetect.evidence.raw_blocks import RawField
from aigdetect.evidence.raw_fields import MAX_FIELDS, read_raw_fields


def named(data: bytes, name: str) -> list[RawField]:
    return [field for field in read_raw_fields(data).fields if field.name == name]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_wherever_it_stands(kind: str) -> None:
    made = exif({**camera(), 0x0112: 6}, {0x9003: "2024:05:06 07:08:09", 0x829A: 0.004})
    data = saved(kind, exif=made)
    [model] = named(data, "Model")
    assert (model.group, model.value) == ("IFD0", "Canon EOS R5")
    assert data[model.offset : model.offset + model.length] == b"Canon EOS R5\0"
    assert [field.value for field in named(data, "Orientation")] == ["6"]
    if kind == "TIFF":  # Pillow leaves the second directory out of it
        return
    [taken] = named(data, "DateTimeOriginal")
    assert (taken.group, taken.value) == ("ExifIFD", "2024:05:06 07:08:09")
    assert data[taken.offset : taken.offset + taken.length] == b"2024:05:06 07:08:09\0"
    assert named(data, "ExifByteOrder")[0].value in ("II", "MM")
    assert named(data, "ExposureTime")[0].value == "0.004"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_xmp_wherever_it_stands(kind: str) -> None:
    packet = xmp('xmp:CreatorTool="A Program"', "<dc:format>image/png</dc:format>")
    data = saved(kind, tiffinfo={700: packet}) if kind == "TIFF" else saved(kind, xmp=packet)
    if kind == "PNG":
        data = png_with(png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet))
    [tool] = named(data, "CreatorTool")
    assert (tool.group, tool.value) == ("XMP-xmp", "A Program")
    assert data[tool.offset : tool.offset + tool.length] == b'CreatorTool="A Program"'
    [form] = named(data, "Format")
    assert (form.group, form.value) == ("XMP-dc", "image/png")
    assert data[form.offset : form.offset + form.length] == b"<dc:format>image/png"


def test_structures_and_lists_of_xmp() -> None:
    history = (
        '<xmpMM:History><rdf:Seq><rdf:li stEvt:action="saved"/>'
        "<rdf:li><rdf:Description><stEvt:action>edited</stEvt:action></rdf:Description></rdf:li>"
        "</rdf:Seq></xmpMM:History><dc:subject><rdf:Bag><rdf:li>a</rdf:li><rdf:li>b</rdf:li></rdf:Bag></dc:subject>"
    )
    found = [(group, name, value) for group, name, value, *_ in read_properties(xmp(elements=history))]
    assert found == [
        ("XMP-xmpMM", "HistoryAction", "saved"),
        ("XMP-xmpMM", "HistoryAction", "edited"),
        ("XMP-dc", "Subject", "a"),
        ("XMP-dc", "Subject", "b"),
    ]


def test_entities_are_refused_and_what_comes_before_counts() -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + xmp('xmp:Label="&b;"')
    assert list(read_properties(bomb)) == []
    assert [each[1] for each in read_properties(xmp('xmp:Label="a"') + b"& junk")] == ["Label"]
    many = xmp(elements="<xmp:Label>a</xmp:Label>" * (2 * MAX_PROPERTIES))
    assert len(list(read_properties(many))) == MAX_PROPERTIES


def test_a_tag_of_many_attributes_costs_little_time_and_each_has_its_place() -> None:
    packet = xmp(" ".join(f'xmp:n{number}="{number}"' for number in range(8000)))
    start = time.process_time()
    found = list(read_properties(packet))
    assert time.process_time() - start < 1
    assert len(found) == MAX_PROPERTIES
    for _, name, value, at, length in found:
        assert packet[at : at + length].decode() == f'{name.lower()}="{value}"'


def test_iptc_and_resources_of_photoshop() -> None:
    data = jpeg_with(photoshop(iptc_record(80, b"Jane") + iptc_record(25, b"a") + iptc_record(25, b"b")))
    [line] = named(data, "By-line")
    assert (line.group, line.value) == ("IPTC", "Jane")
    assert data[line.offset : line.offset + line.length] == iptc_record(80, b"Jane")
    assert [field.value for field in named(data, "Keywords")] == ["a", "b"]
    assert [field.group for field in named(data, "IPTCData")] == ["Photoshop"]


def test_texts_and_header_of_a_png() -> None:
    data = png(Software="A Program", Comment="x" * 5000)
    [program] = named(data, "Software")
    assert (program.group, program.value) == ("PNG", "A Program")
    assert data[program.offset : program.offset + program.length] == b"Software\0A Program"
    assert len(named(data, "Comment")[0].value) == 200
    assert named(png(packed=True, Software="A Program"), "Software")[0].value == "A Program"
    assert [named(data, name)[0].value for name in ("ImageWidth", "BitDepth")] == ["40", "8"]
    assert named(data + b"junk", "trailer")[0] == RawField("PNG", "trailer", "", len(data), 4)


def test_a_colour_profile() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        data = saved(kind, icc_profile=profile)
        assert named(data, "ProfileDescription")[0].value.startswith("sRGB"), kind
        assert named(data, "ColorSpaceData")[0].value == "RGB"


def test_blocks_of_other_containers() -> None:
    gif = saved("GIF", comment=b"hello")
    [comment] = named(gif, "Comment")
    assert comment.value == "hello"
    assert gif[comment.offset : comment.offset + 2] == b"!\xfe"
    webp = saved("WEBP", lossless=True)
    assert [named(webp, name)[0].value for name in ("ImageWidth", "ImageHeight")] == ["40", "40"]
    avif = saved("AVIF")
    assert {field.name for field in read_raw_fields(avif).fields} >= {"ftyp", "meta", "mdat"}
    [brand] = named(avif, "MajorBrand")
    assert (brand.value, avif[brand.offset : brand.offset + brand.length]) == ("avif", b"avif")
    assert named(avif, "ImageWidth")[0].value == "40"
    assert read_raw_fields(b"").fields == read_raw_fields(b"text").fields == ()


def test_the_segments_of_a_jpeg_cover_it() -> None:
    data = jpeg_with(jpeg_segment(0xFE, b"a comment")) + b"trailer"
    fields = [
        field for field in read_raw_fields(data).fields if field.group == "JPEG" and field.name.isupper()
    ]
    assert fields[0] == RawField("JPEG", "SOI", "", 0, 2)
    assert named(data, "Comment")[0].value == "a comment"
    assert named(data, "trailer")[0] == RawField("JPEG", "trailer", "", len(data) - 7, 7)


def test_directories_that_name_each_other_end() -> None:
    loop = b"II*\0\x08\0\0\0" + b"\0\0" + struct.pack("<I", 8)
    assert [field.name for field in read_raw_fields(loop).fields] == ["ExifByteOrder"]
    entries = b"".join(struct.pack("<HHII", 0x014A, 4, 1, 8) for _ in range(60_000))
    start = time.process_time()
    found = read_raw_fields(b"II*\0\x08\0\0\0" + struct.pack("<H", 60_000) + entries).fields
    assert 0 < len(found) <= MAX_FIELDS
    assert time.process_time() - start < 2


def test_more_fields_than_are_listed() -> None:
    data = saved("PNG")[:33] + png_chunk(b"tEXt", b"a\0b") * (3 * MAX_FIELDS)
    assert len(read_raw_fields(data).fields) == MAX_FIELDS
    assert read_raw_fields(data).limit == f"more than {MAX_FIELDS} fields"
    assert read_raw_fields(saved("PNG")).limit == ""


def test_many_entries_with_the_same_bytes_cost_little_time() -> None:
    count, length = 4000, 8 << 20
    entries = b"".join(struct.pack("<HHII", 0x9000 + i, 7, length, 1 << 16) for i in range(count))
    data = (b"II*\0\x08\0\0\0" + struct.pack("<H", count) + entries).ljust((1 << 16) + length, b"\0")
    start = time.process_time()
    assert len(read_raw_fields(data).fields) == count + 1
    assert time.process_time() - start < 2


def test_a_list_that_takes_too_long_says_so() -> None:
    found = read_raw_fields(saved("PNG"), seconds=0)
    assert (len(found.fields), found.limit) == (1, "it takes too long")


@given(
    st.sampled_from(["JPEG", "PNG", "WEBP", "TIFF", "GIF", "AVIF"]),
    st.integers(0, 2000),
    st.binary(min_size=1, max_size=60),
)
def test_damage_anywhere(kind: str, at: int, damage: bytes) -> None:
    options = {} if kind == "GIF" else {"exif": exif({**camera(), 0x0131: "x" * 30})}
    data = bytearray(sample(kind, **options))
    data[at : at + len(damage)] = damage
    for field in read_raw_fields(bytes(data)).fields:
        assert field.offset >= 0
        assert field.length >= 0
        assert len(field.value) <= 400


def sample(kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 40), "red").save(out, kind, **options)
    return out.getvalue()


def test_the_header_of_a_bmp() -> None:
    data = saved("BMP")
    found = {field.name: field.value for field in read_raw_fields(data).fields}
    assert (found["ImageWidth"], found["ImageHeight"], found["BitDepth"]) == ("40", "40", "24")
    assert found["FileSize"] == str(len(data))
    assert read_raw_fields(data[:20]).fields[-1].name == "HeaderSize"


def test_what_photoshop_says_of_itself() -> None:
    def text(name: str) -> bytes:
        return struct.pack(">I", len(name)) + name.encode("utf-16-be")

    def resource(number: int, content: bytes) -> bytes:
        padded = content + b"\0" * (len(content) % 2)
        return b"8BIM" + struct.pack(">HHI", number, 0, len(content)) + padded

    version = struct.pack(">IB", 1, 1) + text("Adobe Photoshop") + text("Adobe Photoshop 2024")
    resources = resource(0x0421, version) + resource(0x0406, struct.pack(">hHHB", 8, 1, 1, 0))
    data = jpeg_with(jpeg_segment(0xED, b"Photoshop 3.0\0" + resources))
    [writer], [reader] = named(data, "WriterName"), named(data, "ReaderName")
    assert (writer.value, reader.value) == ("Adobe Photoshop", "Adobe Photoshop 2024")
    place = data[reader.offset : reader.offset + reader.length]
    assert place.decode("utf-16-be") == "Adobe Photoshop 2024"
    assert [field.value for field in named(data, "PhotoshopQuality")] == ["12"]
    assert [field.value for field in named(data, "HasRealMergedData")] == ["1"]


def test_the_images_of_a_multi_picture_file() -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    out = io.BytesIO()
    frames[0].save(out, "MPO", save_all=True, append_images=frames[1:])
    data = out.getvalue()
    assert [field.value for field in named(data, "NumberOfImages")] == ["2"]
    starts = [int(field.value) for field in named(data, "MPImageStart")]
    sizes = [int(field.value) for field in named(data, "MPImageLength")]
    assert starts[0] == 0
    assert data[starts[1] :][:3] == b"\xff\xd8\xff"
    assert starts[1] + sizes[1] == len(data)
    assert [field.group for field in named(data, "MPImageStart")] == ["MPImage1", "MPImage2"]


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "avif"])
def test_the_boxes_of_credentials(kind: str) -> None:
    data = sign(saved(kind), f"image/{kind}", make_authority(), created())
    labels = named(data, "JUMDLabel")
    assert [label.value for label in labels][:1] == ["c2pa"]
    assert {"c2pa.assertions", "c2pa.claim.v2", "c2pa.signature"} & {label.value for label in labels}
    for label in labels:
        assert data[label.offset : label.offset + label.length].decode() == label.value
    assert named(data, "JUMDType")[0].value == "c2pa"


def test_of_credentials_in_several_segments_the_first_is_listed() -> None:
    authority, data = make_authority(), saved("JPEG")
    for _ in range(3):
        data = sign(saved("JPEG"), "image/jpeg", authority, created(), parent=data)
    begins = [each.offset for each in named(data, "APP11 JUMBF")]
    assert len(begins) > 1
    assert all(begins[0] < label.offset < begins[1] for label in named(data, "JUMDLabel"))


def test_boxes_in_boxes_without_end_cost_little() -> None:
    inner = b""
    for _ in range(3000):
        inner = struct.pack(">I4s", len(inner) + 8, b"jumb") + inner
    data = png_with(png_chunk(b"caBX", inner), png_chunk(b"caBX", b"\0\0\0\x08jumb" * 100_000))
    start = time.process_time()
    read_raw_fields(data)
    assert time.process_time() - start < 3
