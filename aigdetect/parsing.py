"""Plain data, as YAML or tables hold it, to frozen dataclasses, with every key and type checked."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO, TypeVar

T = TypeVar("T")

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([BKMGT])?(?:(?<=[KMGT])I?B)?", re.IGNORECASE | re.ASCII)

DELIMITERS = ",;\t|"
"""What may separate the columns of a table, the likeliest first."""

#: what a dataclass says of itself (``__pydantic_config__``) so that unknown keys are refused
STRICT_KEYS = {"extra": "forbid"}


def read_yaml(path: Path) -> Any:
    """Read a YAML file of plain data.

    Raises:
        ValueError: in one line, naming the file, if it cannot be read or is not valid YAML.
    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        try:
            # several times as fast, where PyYAML was built with it
            return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except yaml.YAMLError:
            # takes escaped surrogates, too: bytes of a file name that are no text
            return yaml.safe_load(text)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not valid YAML") from error


def open_table(path: Path) -> TextIO:
    """Open a CSV as spreadsheets and PowerShell write it: UTF-8, with or without a mark, or UTF-16 with one.

    Bytes that are no text come out as surrogates, as in file names; the file may be a pipe.

    Raises:
        OSError: if it cannot be opened.
    """
    file = path.open("rb")
    marks = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    encoding = "utf-16" if file.peek(2).startswith(marks) else "utf-8-sig"
    return io.TextIOWrapper(file, encoding=encoding, errors="surrogateescape", newline="")


def parse_size(text: str) -> int:
    """Bytes from a number with or without a unit: ``500M``, ``1.5GiB``, ``4096``; units are powers of 1024.

    Raises:
        ValueError: if it is no such number.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size such as 500M, 20GiB or a number of bytes")
    number, unit = match.groups()
    return int(float(number) * 1024 ** "BKMGT".index((unit or "B").upper()))


def plain(value: Any) -> Any:
    """Data as YAML and JSON hold it: tuples become lists, and keys texts."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def parse(kind: type[T], data: Mapping[str, Any]) -> T:
    """Build a dataclass, and those inside it, from plain data.

    Raises:
        ValueError: in one line, naming the first key that is missing, unknown or of the wrong type, and its
            value.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_python(dict(data))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place}: {_reason(first)}") from error


def _reason(error: Mapping[str, Any]) -> str:
    if error["type"] == "missing":
        return "is missing"
    if error["type"] == "unexpected_keyword_argument":
        return "unknown setting"
    value = repr(error["input"])
    return f"{value if len(value) <= 60 else value[:57] + '...'}: {error['msg'].lower()}"
