"""Text of unknown origin made fit to be shown."""

from __future__ import annotations


def printable(text: str) -> str:
    """Text that cannot drive a terminal or turn a line around.

    Control, format and surrogate characters, and spaces other than the common one, come out as escapes.
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode("ascii")
        for char in text
    )


def shorten(text: str, width: int) -> str:
    """Cut text in the middle to ``width`` characters at most; its end tells more and keeps more."""
    if len(text) <= width:
        return text
    head = width // 3
    return f"{text[:head]}…{text[len(text) - (width - head - 1) :]}"


def one_line(text: str, length: int) -> str:
    """Printable text on one line, cut at its end to ``length`` characters at most."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= length else text[: length - 3] + "..."
