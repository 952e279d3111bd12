from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from aigdetect.data.audit import Leak, audit, measure_leaks
from aigdetect.data.facts import ImageFacts, choose_some, facts_of, read_facts
from aigdetect.data.layouts import Sample
from aigdetect.images.compression import jpeg_quality


def facts(
    label: int,
    count: int,
    *,
    format: str = "PNG",
    size: tuple[int, int] = (64, 64),
    density: float = 1.0,
    quality: int | None = None,
    exif: bool = False,
) -> list[ImageFacts]:
    return [ImageFacts(label, format, *size, density, quality, exif)] * count


def leak(which: str, data: list[ImageFacts]) -> Leak:
    return next(leak for leak in measure_leaks(data) if leak.fact == which)


def test_format_that_gives_the_class_away() -> None:
    data = facts(0, 81, format="JPEG") + facts(0, 19, format="PNG") + facts(1, 100, format="WEBP")
    assert str(leak("format", data)) == (
        "format alone separates the classes with AUC 1.00: real JPEG 81 %, PNG 19 %; generated WEBP 100 %"
    )


def test_format_auc_by_hand() -> None:
    # real: 80 JPEG, 20 PNG; generated: 30 JPEG, 70 PNG. P(generated scores higher) + half the ties =
    # 0.7 * 0.8 + (0.7 * 0.2 + 0.3 * 0.8) / 2 = 0.56 + 0.19
    data = facts(0, 80, format="JPEG") + facts(0, 20) + facts(1, 30, format="JPEG") + facts(1, 70)
    assert leak("format", data).auc == pytest.approx(0.75)
    assert leak("format", data).warns


def test_same_facts_tell_nothing() -> None:
    leaks = measure_leaks(facts(0, 20, quality=90) + facts(1, 20, quality=90))
    assert {leak.fact for leak in leaks} == {
        "format", "exact size", "width", "height", "aspect ratio", "bytes per pixel", "JPEG quality", "EXIF"
    }  # fmt: skip
    assert all(leak.auc == 0.5 and not leak.warns for leak in leaks)


def test_numbers_by_hand_in_either_direction() -> None:
    # of the pairs, 0.5 are larger and 0.5 equal: 0.5 + 0.5 / 2
    small, large = facts(0, 10, density=1.0), facts(0, 10, density=3.0)
    assert leak("bytes per pixel", small + facts(1, 10, density=2.0)).auc == 1
    assert leak("bytes per pixel", large + facts(1, 10, density=2.0)).auc == 1
    assert leak("bytes per pixel", small + large + facts(1, 10, density=2.0)).auc == 0.5
    assert leak("bytes per pixel", small + large + facts(1, 20, density=3.0)).auc == 0.75


def test_fixed_size_between_varied_ones() -> None:
    # by rank the sides say nothing; that the size is always the same says everything
    varied = [fact for i in range(-20, 20) for fact in facts(0, 1, size=(500 + 2 * i + 1, 500))]
    data = varied + facts(1, 40, size=(500, 500))
    assert leak("width", data).auc == 0.5
    assert leak("exact size", data).auc == 1
    assert leak("exact size", data).detail == "real other 100 %; generated 500x500 100 %"


def test_sizes_that_never_repeat_tell_nothing() -> None:
    data = [fact for i in range(40) for fact in facts(i % 2, 1, size=(100 + i, 100))]
    assert leak("exact size", data).auc == 0.5


def test_quality_is_compared_among_jpegs() -> None:
    data = facts(0, 10, format="JPEG", quality=96) + facts(1, 10, format="JPEG", quality=75)
    assert leak("JPEG quality", data + facts(1, 50)).auc == 1
    assert leak("JPEG quality", data + facts(1, 50)).count == 20
    assert leak("format", data + facts(1, 50)).count == 70
    assert leak("JPEG quality", data).detail == "real 96 (mostly 96 to 96); generated 75 (mostly 75 to 75)"


def test_metadata_leaves_no_traces_in_the_pixels() -> None:
    data = facts(0, 30, exif=True) + facts(0, 10) + facts(1, 40)
    assert leak("EXIF", data).auc == 0.875
    assert leak("EXIF", data).detail == "real with 75 %, without 25 %; generated without 100 %"
    assert leak("EXIF", data).warns
    assert not leak("EXIF", data).marks_pixels
    assert all(leak.marks_pixels for leak in measure_leaks(data) if leak.fact != "EXIF")


def test_too_few_images_give_no_figure() -> None:
    assert measure_leaks(facts(0, 9) + facts(1, 100)) == ()
    assert measure_leaks(facts(0, 100)) == ()
    assert measure_leaks([]) == ()


def test_worst_first() -> None:
    data = facts(0, 20, format="JPEG") + facts(1, 20, size=(64, 32))
    aucs = [leak.auc for leak in measure_leaks(data)]
    assert aucs == sorted(aucs, reverse=True)


@pytest.mark.parametrize("quality", [*range(1, 101, 7), 50, 95, 100])
def test_quality_of_pillow_jpegs(quality: int) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as image:
        found = jpeg_quality(image.quantization[0])
    assert found == quality


def save(path: Path, **options: object) -> Sample:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 20), "teal").save(path, **options)  # type: ignore[arg-type]
    return Sample(str(path), int(path.parent.name == "fake"), "g", root=str(path.parents[1]))


def test_facts_of_a_file(tmp_path: Path) -> None:
    sample = save(tmp_path / "fake/1.png", format="JPEG", quality=83)  # the name lies
    size = Path(sample.path).stat().st_size
    assert read_facts(sample) == ImageFacts(1, "JPEG", 40, 20, size / 800, 83)
    webp = read_facts(save(tmp_path / "real/1.webp"))
    assert webp is not None
    assert (webp.label, webp.format, webp.jpeg_quality) == (0, "WEBP", None)


def test_exif_is_seen(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0110] = "camera"
    for name in ("1.jpg", "1.png", "1.webp", "1.heic"):
        read = read_facts(save(tmp_path / "real" / name, exif=exif))
        assert read is not None
        assert read.exif, name
        bare = read_facts(save(tmp_path / "fake" / name))
        assert bare is not None
        assert not bare.exif, name


def test_facts_of_a_file_in_memory(tmp_path: Path) -> None:
    sample = save(tmp_path / "fake/1.jpg", quality=71)
    data = Path(sample.path).read_bytes()
    assert facts_of(data, 1) == read_facts(sample)
    assert facts_of(data[:20], 1) is None


def test_choice_does_not_depend_on_the_order() -> None:
    samples = [Sample(f"/d/{i}", i % 3 // 2, "g", root="/d") for i in range(30)]
    chosen = choose_some(samples, per_class=12)
    assert [sample.label for sample in chosen] == [0] * 12 + [1] * 10
    assert choose_some(reversed(samples), per_class=12) == chosen
    assert choose_some(samples, per_class=12, seed=1) != chosen


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0", "icc_profile": b"odd"},
        {"save_all": True, "append_images": [Image.new("RGB", (40, 20))]},
    ],
    ids=["plain", "extended", "animated"],
)
def test_the_two_kinds_of_webp_are_told_apart(tmp_path: Path, options: dict[str, object]) -> None:
    for lossless, format in ((False, "WEBP"), (True, "lossless WEBP")):
        read = read_facts(save(tmp_path / "real/1.webp", lossless=lossless, **options))
        assert read is not None
        assert read.format == format


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n\0\0", b"\xff\xd8\xff\xdb\0\x05\1"])
def test_unreadable_files_are_no_facts(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "1.png").write_bytes(content)
    assert read_facts(Sample(str(tmp_path / "1.png"), 0, "g")) is None
    assert read_facts(Sample(str(tmp_path / "absent.png"), 0, "g")) is None


@pytest.mark.parametrize(("name", "format"), [("1.heic", "HEIF"), ("1.avif", "AVIF"), ("1.jxl", "JXL")])
def test_modern_formats(tmp_path: Path, name: str, format: str) -> None:
    read = read_facts(save(tmp_path / "real" / name))
    assert read is not None
    assert (read.format, read.width, read.height) == (format, 40, 20)


def test_bombs_are_not_opened(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("L", (1, 1)).save(buffer, "BMP")
    header = bytearray(buffer.getvalue())
    header[18:26] = (60_000).to_bytes(4, "little") * 2
    (tmp_path / "1.bmp").write_bytes(header)
    assert read_facts(Sample(str(tmp_path / "1.bmp"), 0, "g")) is None


def test_audit_of_files(tmp_path: Path) -> None:
    samples = [save(tmp_path / f"real/{i}.jpg", quality=90) for i in range(12)]
    samples += [save(tmp_path / f"fake/{i}.png") for i in range(12)]
    (tmp_path / "real/bad.jpg").write_bytes(b"bad")
    samples.append(Sample(str(tmp_path / "real/bad.jpg"), 0, "g", root=str(tmp_path)))
    result = audit(samples)
    assert (result.examined, result.unreadable) == (24, 1)
    assert {leak.fact for leak in result.warnings} == {"format", "bytes per pixel"}
    assert result.warnings[0].auc == 1


def test_training_is_not_warned_of_what_a_detector_cannot_see(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0110] = "camera"
    samples = [save(tmp_path / f"real/{i}.png", exif=exif) for i in range(12)]
    samples += [save(tmp_path / f"fake/{i}.png", pnginfo=_text_as_long_as(exif)) for i in range(12)]
    result = audit(samples)
    assert [leak.fact for leak in result.leaks if leak.warns] == ["EXIF"]
    assert result.warnings == ()


def _text_as_long_as(exif: Image.Exif) -> PngInfo:
    info = PngInfo()
    info.add(b"teXt", exif.tobytes().removeprefix(b"Exif\0\0"))
    return info


def test_audit_reads_a_fixed_choice(tmp_path: Path) -> None:
    samples = [save(tmp_path / f"{side}/{i}.png") for side in ("real", "fake") for i in range(15)]
    some = audit(iter(samples), per_class=10)
    assert some.examined == 20
    assert audit(reversed(samples), per_class=10) == some
