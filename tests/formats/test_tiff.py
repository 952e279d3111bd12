"""Directories of TIFF structures: whole, in a ring, too many, too long, cut off."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigdetect.formats.tiff import MAX_ENTRIES, entries, read_values

Row = tuple[int, int, int, int]


def directory(rows: Sequence[Row], following: int = 0, order: str = "<", said: int | None = None) -> bytes:
    """A directory: rows of tag, type, count, and value or place."""
    head = struct.pack(f"{order}H", len(rows) if said is None else said)
    body = b"".join(struct.pack(f"{order}HHII", *row) for row in rows)
    return head + body + struct.pack(f"{order}I", following)


def structure(*parts: bytes, order: str = "<") -> bytes:
    """A structure whose first directory is the first part."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(f"{order}I", 8) + b"".join(parts)


def names(data: bytes) -> list[tuple[str, int]]:
    return [(entry.directory, entry.tag) for entry in entries(data)]


@pytest.mark.parametrize("order", ["<", ">"])
def test_directories_below_and_behind_each_other(order: str) -> None:
    size = 2 + 12 + 4
    first = directory([(0x8769, 4, 1, 100), (0x8825, 4, 1, 100 + size)], 100 + 2 * size, order)
    below = directory([(0x9000, 7, 4, 0x30323330)], 0, order)
    position = directory([(0x0000, 1, 4, 0)], 0, order)
    second = directory([(0x0103, 4, 1, 6)], 0, order)
    data = structure(first.ljust(92, b"\0"), below, position, second, order=order)
    assert names(data) == [
        ("IFD0", 0x8769),
        ("IFD0", 0x8825),
        ("ExifIFD", 0x9000),
        ("GPS", 0x0000),
        ("IFD1", 0x0103),
    ]
    assert [entry.numbers() for entry in entries(data)][-1] == (6,)
    assert read_values(data, {0x9000, 0x0103}).keys() == {0x9000}


def test_values_in_the_entry_and_elsewhere() -> None:
    rows = [
        (0x0112, 3, 1, 6),
        (0x011A, 5, 1, 100),
        (0x0129, 5, 1, 108),
        (0x0201, 2, 9, 1000),  # points out of the data
        (0x0202, 99, 3, 0x00636261),  # of no known type: bytes
    ]
    data = structure(directory(rows).ljust(92, b"\0"), struct.pack("<4I", 72, 1, 1, 0))
    by_tag = {entry.tag: entry for entry in entries(data)}
    assert by_tag[0x0112].numbers() == (6,)
    assert by_tag[0x011A].numbers() == (72,)
    assert str(by_tag[0x0129].numbers()) == "(nan,)"
    outside = by_tag[0x0201].value
    assert (outside.whole, outside.offset, outside.length, bytes(outside.data)) == (False, 1000, 9, b"")
    assert (by_tag[0x0202].numbers(), bytes(by_tag[0x0202].value.data)) == ((), b"abc")


def test_each_directory_of_a_ring_once() -> None:
    ring = structure(directory([(0x8769, 4, 1, 8), (0xA005, 4, 1, 8)], 8))
    assert names(ring) == [("IFD0", 0x8769), ("IFD0", 0xA005)]
    pair = structure(
        directory([(0x010F, 3, 1, 1)], 8 + 18),
        directory([(0x0110, 3, 1, 1)], 8),
    )
    assert names(pair) == [("IFD0", 0x010F), ("IFD1", 0x0110)]


def test_a_chain_goes_on_behind_a_directory_of_many() -> None:
    rows = [(0x1000 + n, 3, 1, n) for n in range(5000)]
    first = directory(rows, 8 + 2 + 12 * 5000 + 4)
    found = names(structure(first, directory([(0x0103, 3, 1, 6)])))
    assert len(found) == 4097
    assert found[-1] == ("IFD1", 0x0103)


@pytest.mark.parametrize("said", [3, 60_000])
def test_a_directory_that_says_more_than_there_is(said: int) -> None:
    data = structure(directory([(0x010F, 2, 4, 0x00434241), (0x0110, 3, 1, 1)], said=said))
    assert [tag for _, tag in names(data)] == [0x010F, 0x0110]
    assert bytes(read_values(data, {0x010F})[0x010F].data) == b"ABC\0"


@pytest.mark.parametrize("at", [0, 7, 60, 0xFFFFFFFF])
def test_a_directory_that_is_nowhere(at: int) -> None:
    data = structure(directory([(0x8769, 4, 1, at), (0x010F, 3, 1, 1)], at))
    assert names(data)[:2] == [("IFD0", 0x8769), ("IFD0", 0x010F)]
    assert len(names(data)) == 2


def test_directories_without_end_cost_little() -> None:
    row = (0x014A, 4, 1 << 20, 8)
    many = structure(*[directory([row] * 990, 8 + n * 11_886) for n in range(1, 80)])
    start = time.process_time()
    assert len(names(many)) <= MAX_ENTRIES
    read_values(many, range(1 << 16))
    assert time.process_time() - start < 2


@pytest.mark.parametrize("value", [0x7F800000, 0x7FC00000])
def test_a_place_that_is_no_number(value: int) -> None:
    data = structure(directory([(0x8769, 11, 1, value), (0x010F, 3, 1, 1)]))
    assert names(data) == [("IFD0", 0x8769), ("IFD0", 0x010F)]


@given(data=st.binary(max_size=300), order=st.sampled_from([b"II*\0", b"MM\0*"]), first=st.integers(0, 40))
def test_any_bytes_are_harmless(data: bytes, order: bytes, first: int) -> None:
    whole = order + first.to_bytes(4, "little" if order[:1] == b"I" else "big") + data
    for entry in entries(whole):
        assert entry.value.end <= len(whole) or not entry.value.data
        assert len(entry.value.data) <= entry.value.length
        assert len(entry.numbers()) <= 16
    wanted = {entry.tag for entry in entries(whole)}
    assert read_values(whole, wanted).keys() <= wanted
