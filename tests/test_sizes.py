from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigdetect.parsing import parse_size


@given(
    st.integers(0, 10**6), st.sampled_from(["", "B", "K", "M", "G", "T"]), st.sampled_from(["", "B", "iB"])
)
def test_sizes_are_powers_of_1024(number: int, unit: str, end: str) -> None:
    ends = end if unit in ("K", "M", "G", "T") else ""
    expected = number * 1024 ** max(0, "BKMGT".index(unit or "B"))
    assert parse_size(f"{number}{unit}{ends}") == expected
    assert parse_size(f" {number} {unit.lower()}{ends} ") == expected


def test_fractions() -> None:
    assert parse_size("1.5G") == 3 << 29


@pytest.mark.parametrize("text", ["", "G", "-1", "1X", "1e9", "1 G B", "much", "1KiBs"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)
