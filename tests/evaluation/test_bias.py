from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data as photographs

from aigdetect.data.facts import ImageFacts
from aigdetect.data.layouts import Sample
from aigdetect.errors import UsageError
from aigdetect.evaluation.bias import BiasAudit, Parity, Share, audit_bias, combined_auc, parse_parity
from aigdetect.images import perturb
from aigdetect.images.views import center_view

PHOTO = photographs.astronaut()


def save(path: Path, number: int, size: tuple[int, int], **options: object) -> Sample:
    """One part of a photograph, another for each number, labelled by the name of its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    top, left = 5 * number, 9 * number
    part = Image.fromarray(PHOTO[top : top + size[1], left : left + size[0]])
    part.save(path, **options)  # type: ignore[arg-type]
    return Sample(str(path), int(path.parent.name == "fake"), "g", root=str(path.parents[1]))


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """JPEGs of many sizes against PNGs of one, and two files that cannot be read."""
    folder = tmp_path_factory.mktemp("leaky")
    exif = Image.Exif()
    exif[0x0110] = "camera"
    samples = [
        save(folder / f"real/{i}.jpg", i, (100 + i, 80), quality=80 + i % 3, exif=exif if i < 6 else b"")
        for i in range(12)
    ]
    samples += [save(folder / f"fake/{i}.png", i, (64, 64)) for i in range(15)]
    for name in ("real/no.jpg", "fake/no.png"):
        (folder / name).write_bytes(b"no image")
        samples.append(Sample(str(folder / name), 0, "g", root=str(folder)))
    return samples


@pytest.fixture(scope="module")
def after(leaky: list[Sample]) -> BiasAudit:
    return audit_bias(leaky, parity=parse_parity("jpeg:90", size=72))


def aucs(audit: BiasAudit) -> dict[str, float]:
    return {leak.fact: leak.auc for leak in audit.leaks}


def test_the_format_leak_is_named(leaky: list[Sample]) -> None:
    audit = audit_bias(leaky)
    assert audit.warnings[0] == (
        "format alone separates the classes with AUC 1.00: real JPEG 100 %; generated PNG 100 %"
    )
    assert audit.warnings[-1] == "all facts of the files together separate the classes with AUC 1.00"
    exif = "EXIF alone separates the classes with AUC 0.75"
    assert f"{exif}: real with 50 %, without 50 %; generated without 100 %" in audit.warnings
    assert (audit.unreadable, audit.parity, audit.traps) == (2, "", ())


def test_what_the_files_of_a_class_are(leaky: list[Sample]) -> None:
    real, generated = audit_bias(leaky).classes
    assert (real.label, real.images, generated.label, generated.images) == (0, 12, 1, 15)
    assert real.formats == (Share("JPEG", 1.0),)
    assert generated.sizes == (Share("64x64", 1.0),)
    assert real.sizes == (Share("100x80", 1 / 12), Share("101x80", 1 / 12), Share("102x80", 1 / 12))
    assert generated.qualities is None
    assert real.qualities is not None
    assert (real.qualities.low, real.qualities.median, real.qualities.high, real.qualities.count) == (
        80,
        81,
        82,
        12,
    )
    assert (real.widths.median, real.heights.median) == (105.5, 80)
    assert real.aspects.median == pytest.approx(105.5 / 80)
    sizes = [Path(sample.path).stat().st_size / 64**2 for sample in leaky if sample.path.endswith(".png")][
        :15
    ]
    assert generated.bytes_per_pixel.median == pytest.approx(np.median(sizes))
    assert (real.exif, generated.exif) == (0.5, 0)


def test_parity_leaves_neither_format_nor_quality_nor_size(after: BiasAudit) -> None:
    found = aucs(after)
    assert found.pop("bytes per pixel") < 1
    assert set(found) == {"format", "exact size", "width", "height", "aspect ratio", "JPEG quality", "EXIF"}
    assert set(found.values()) == {0.5}
    for one in after.classes:
        assert one.formats == (Share("JPEG", 1.0),)
        assert one.sizes == (Share("72x72", 1.0),)
        assert one.qualities is not None
        assert (one.qualities.low, one.qualities.high) == (90, 90)
        assert one.exif == 0
    assert (after.parity, after.unreadable) == ("jpeg:90", 2)


def test_what_parity_cannot_undo_is_said(after: BiasAudit) -> None:
    assert after.traps == (
        "100 % of the real images and 0 % of the generated images came in a lossy format: "
        "encoded twice now, they keep traces of the first time",
        "0 % of the real images and 100 % of the generated images were smaller than 72 pixels "
        "and have been enlarged",
        "what the images show, and what was done to them before they were saved, is as it was",
    )


def test_no_trap_where_there_is_none(tmp_path: Path) -> None:
    samples = [
        save(tmp_path / f"{side}/{i}.png", i, (80, 80)) for side in ("real", "fake") for i in range(10)
    ]
    audit = audit_bias(samples, parity=parse_parity("webp:75", size=64))
    assert len(audit.traps) == 1
    assert audit.classes[0].formats == (Share("WEBP", 1.0),)
    assert audit.warnings == ()


def test_traps_count_what_was_decoded_by_its_shorter_side(tmp_path: Path) -> None:
    samples = [save(tmp_path / f"real/{i}.jpg", i, (80, 50)) for i in range(10)]
    samples += [save(tmp_path / f"fake/{i}.png", i, (80, 80)) for i in range(10)]
    cut = Path(samples[10].path)
    cut.write_bytes(cut.read_bytes()[:60])  # its header still tells its size
    samples.append(save(tmp_path / "fake/10.jpg", 10, (80, 80)))
    audit = audit_bias(samples, parity=parse_parity("jpeg:90", size=64))
    assert audit.unreadable == 1
    assert audit.traps[0].startswith(
        "100 % of the real images and 10 % of the generated images came in a lossy"
    )
    assert audit.traps[1].startswith("100 % of the real images and 0 % of the generated images were smaller")


def test_warnings_after_parity_say_so(tmp_path: Path) -> None:
    flat = tmp_path / "real"
    flat.mkdir()
    samples = []
    for i in range(10):  # even surfaces against photographs: what they show tells them apart
        Image.new("RGB", (80, 80), (i, i, i)).save(flat / f"{i}.png")
        samples.append(Sample(str(flat / f"{i}.png"), 0, "g", root=str(tmp_path)))
        samples.append(save(tmp_path / f"fake/{i}.png", i, (80, 80)))
    audit = audit_bias(samples, parity=parse_parity("jpeg:90", size=64))
    assert audit.warnings[0].startswith(
        "after jpeg:90, bytes per pixel alone separates the classes with AUC 1"
    )
    assert audit.warnings[1].startswith("after jpeg:90, all facts of the files together")


def test_one_class_and_none(leaky: list[Sample]) -> None:
    reals = [sample for sample in leaky if sample.path.endswith(".jpg")]
    for parity in (None, parse_parity("jpeg:90", size=64)):
        audit = audit_bias(reals, parity=parity)
        assert [one.label for one in audit.classes] == [0]
        assert (audit.leaks, audit.warnings) == ((), ())
        assert audit.combined.value is None
        assert audit.combined.reason == "under 10 generated images"
    nothing = audit_bias([])
    assert (nothing.classes, nothing.leaks, nothing.combined.reason) == ((), (), "under 10 real images")


def test_audit_examines_a_fixed_choice(leaky: list[Sample]) -> None:
    some = audit_bias(leaky, per_class=10)
    assert sum(one.images for one in some.classes) + some.unreadable == 20
    assert audit_bias(reversed(leaky), per_class=10) == some


# -- the logistic model -----------------------------------------------------------------------------------


def test_facts_that_tell_little_alone_tell_much_together() -> None:
    rng = np.random.default_rng(0)
    facts = []
    for i in range(400):
        # bigger files of the generated images, if seen against their width
        width = int(np.exp(rng.uniform(5, 7)))
        density = np.exp(np.log(width) - 6 + 0.2 * (i % 2) + rng.normal(0, 0.05))
        facts.append(ImageFacts(i % 2, "PNG", width, width, float(density)))
    together = combined_auc(facts).value
    assert together is not None
    assert together > 0.95


def test_many_facts_of_few_images_do_not_overfit() -> None:
    found = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        facts = [
            ImageFacts(
                label=i % 2,
                format=str(rng.choice(["JPEG", "PNG", "WEBP", "HEIF"])),
                width=int(rng.integers(100, 1000)),
                height=int(rng.integers(100, 1000)),
                bytes_per_pixel=float(rng.uniform(0.1, 2)),
                jpeg_quality=int(rng.integers(50, 100)),
                exif=bool(rng.integers(2)),
            )
            for i in range(40)
        ]
        found.append(combined_auc(facts).value)
    assert 0.4 < np.mean(np.array(found, dtype=float)) < 0.6


@pytest.mark.parametrize(
    "change",
    [
        {"format": "WEBP"},
        {"exif": True},
        {"bytes_per_pixel": 0.5},
        {"jpeg_quality": 75},
        {"width": 300, "height": 300},
        {"width": 400, "height": 100},
        {"width": 200, "height": 201},  # between the others, and always the same
    ],
    ids=lambda change: "-".join(change),
)
def test_every_fact_is_seen(change: dict[str, Any]) -> None:
    usual = [
        ImageFacts(0, "JPEG", width, 40_000 // width, 1.0, jpeg_quality=90) for width in (190, 199, 201, 210)
    ]
    odd = [replace(each, label=1, **change) for each in usual]
    together = combined_auc((usual + odd) * 20).value
    assert together is not None
    assert together > 0.95


def test_a_shape_between_the_others_is_seen() -> None:
    ratios = np.linspace(-1, 1, 101)  # upright to lying, all of one area
    sizes = [(round(1000 * np.exp(r / 2)), round(1000 * np.exp(-r / 2))) for r in ratios]
    facts = [ImageFacts(int(abs(r) < 0.4), "PNG", *size, 1.0) for r, size in zip(ratios, sizes, strict=True)]
    together = combined_auc(facts).value
    assert together is not None
    assert together > 0.95


def test_equal_facts_tell_nothing() -> None:
    assert combined_auc([ImageFacts(i % 2, "PNG", 64, 64, 1.0) for i in range(40)]).value == 0.5


# -- parity -----------------------------------------------------------------------------------------------


def test_parity_crops_and_encodes() -> None:
    for text, encode in (("jpeg:90", perturb.jpeg), ("webp:75", perturb.webp)):
        parity = parse_parity(text)
        assert str(parity) == text
        view = center_view(PHOTO, 224)
        assert np.array_equal(parity(PHOTO), encode(view, parity.quality))
        with Image.open(io.BytesIO(parity.encode(PHOTO))) as image:
            assert np.array_equal(np.asarray(image.convert("RGB")), parity(PHOTO))
    assert parse_parity("jpeg:90", size=48)(PHOTO[:20, :40]).shape == (48, 48, 3)


def test_parity_is_read() -> None:
    assert parse_parity("jpeg:90", size=448) == Parity("jpeg", 90, 448)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("png", "'png' is not jpeg:QUALITY or webp:QUALITY"),
        ("", "'' is not jpeg:QUALITY"),
        ("jpeg", "'jpeg' has no quality from 1 to 100, such as jpeg:90"),
        ("jpeg:0", "has no quality from 1 to 100"),
        ("webp:101", "has no quality from 1 to 100, such as webp:90"),
        ("jpeg:9\u0661", "has no quality"),
        ("jpeg:90:1", "has no quality"),
    ],
)
def test_what_cannot_be_used_is_one_line(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_parity(text)
    assert str(caught.value).startswith("--parity: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
