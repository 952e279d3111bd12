"""Some of the broken files of benchmarks/fuzz.py: they are decoded or refused, and nothing else happens."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import fuzz
import fuzz_metadata

RICH = fuzz_metadata.rich_files()


def test_seeds_are_whole_files_of_many_formats() -> None:
    from aigdetect.images.sniff import sniff

    whole = fuzz.seeds()
    assert {"JPEG", "PNG", "WEBP", "GIF", "AVIF", "HEIF", "TIFF", "BMP", "JPEG2000"} <= set(map(sniff, whole))
    assert {fuzz.try_one(data) for data in whole} <= {"decoded", "refused"}


@pytest.mark.filterwarnings("ignore")  # pytest sets aside the filters that the program has
@pytest.mark.parametrize("first", [0, 150, 300])
def test_broken_files_are_decoded_or_refused(first: int) -> None:
    seen = fuzz.try_inputs(range(first, first + 150), seed=1)
    assert seen.faults == ()
    assert seen.slowest < fuzz.SECONDS
    assert seen.outcomes["decoded"] > 10
    assert seen.outcomes["refused"] > 10


@pytest.mark.parametrize("kind", RICH)
def test_metadata_of_broken_files_are_read_as_far_as_they_go(kind: str) -> None:
    assert fuzz_metadata.read_metadata(RICH[kind]) == ""
    for number in range(60):
        assert fuzz_metadata.read_metadata(fuzz.broken(number, 3, [RICH[kind]])) == "", number


@pytest.mark.parametrize("kind", RICH)
def test_metadata_of_files_that_end_inside_their_header(kind: str) -> None:
    for length in range(40):
        assert fuzz_metadata.read_metadata(RICH[kind][:length]) == "", length


def test_the_same_number_is_the_same_input() -> None:
    whole = fuzz.seeds()
    assert fuzz.broken(7, 1, whole) == fuzz.broken(7, 1, whole)
    assert fuzz.broken(7, 1, whole) != fuzz.broken(7, 2, whole)
