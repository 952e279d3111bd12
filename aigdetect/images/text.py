"""Text out of a file, made fit for one line."""


def one_line(text: str, length: int) -> str:
    """Printable text on one line: it may come out of the file."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= length else text[: length - 3] + "..."
