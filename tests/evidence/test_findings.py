"""Texts of bytes that are none."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aigdetect.evidence.findings import decoded

PARTS = (b"a", b"\xc3", b"\xa9", b"\xe2\x82\xac", b"\xf0\x9f", b"\xed\xa0\x80", b"\xff", b"\0", b"\x80")


@given(st.lists(st.sampled_from(PARTS)).map(b"".join))
def test_what_is_no_text_comes_out_as_escapes(data: bytes) -> None:
    assert decoded(data) == data.decode("utf-8", "backslashreplace")
