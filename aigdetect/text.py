"""Text of unknown origin made fit to be shown."""

from __future__ import annotations


def printable(text: str) -> str:
    """Text that cannot drive a terminal or turn a line around.

    Control, format and surrogate characters, and spaces other than the common one, come out as escapes.
    """
    if text.isprintable():
        return text
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


def score_text(score: float | None) -> str:
    """A calibrated score with four decimals, never 0 or 1: no model is that sure; empty for None."""
    return "" if score is None else f"{min(max(score, 0.0001), 0.9999):.4f}"


def log10_lr_text(log10_lr: float | None) -> str:
    """The decimal logarithm of a likelihood ratio, with its sign; empty for None."""
    return "" if log10_lr is None else f"{log10_lr:+.2f}"
