"""Images in a column of a table: Parquet, or Arrow as Hugging Face's ``datasets`` saves it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aigdetect.data.layouts.entries import Entry, copied, fit_name
from aigdetect.data.layouts.lists import COLUMNS, PATHS
from aigdetect.data.layouts.words import fold_name
from aigdetect.errors import DataError, UsageError
from aigdetect.images.members import Spool

if TYPE_CHECKING:
    import pyarrow

# rows at a time: of a table that says the same image again and again, no more come out at once
_ROWS = 16
_IMAGES = ("image", "img", "picture", "jpg", "png", "webp")


@dataclass(frozen=True)
class _Columns:
    """Which column of a table holds what.

    Attributes:
        image: name of that of the images.
        others: names of those that tell something of them.
        classes: names of the classes that a column of numbers stands for, by its name.
    """

    image: str
    others: tuple[str, ...]
    classes: Mapping[str, list[str]]


def read_columns(path: str, ignored: Counter[str]) -> list[Entry]:
    """The images of a table, and what the columns of a list's names tell of each.

    A column of images holds bytes, or ``bytes`` and ``path`` together, as ``datasets`` has it; numbers of
    classes are read by the names that it gives them. An image is called by a column of paths, by its own
    path, or by the number of its row. The images are copied out: a row cannot be read by itself.

    Args:
        path: of a file of Parquet, or of Arrow (streamed or not).
        ignored: counts what is left out, by the fields of `aigdetect.data.layouts.sample.Ignored`.

    Raises:
        DataError: if it cannot be read, or has no column of images.
        UsageError: if pyarrow is not installed.
    """
    try:
        import pyarrow as pa
    except ImportError as error:
        raise UsageError(
            f"{path}: needs pyarrow, which is not installed; pip install 'aigdetect[parquet]'"
        ) from error
    spool = Spool()
    entries: dict[str, Entry] = {}
    place = 0
    try:
        for columns, batch in _batches(path):
            for row in batch.to_pylist():
                place += 1
                held = row.pop(columns.image)
                own, data = (held.get("path"), held.get("bytes")) if isinstance(held, dict) else ("", held)
                if not data:  # perhaps a path of the machine where the table was made
                    ignored["empty" if data is not None else "broken"] += 1
                    continue
                told = {
                    fold_name(name): _class(value, columns.classes.get(name)) for name, value in row.items()
                }
                name = _name([told.get(name) for name in PATHS] + [own], place, entries)
                entries[name] = Entry(name, copied(path, spool, data), told, place)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise DataError(f"cannot read the table {path!r}: {reason}") from error
    return list(entries.values())


def _batches(path: str) -> Iterator[tuple[_Columns, pyarrow.RecordBatch]]:
    import pyarrow as pa

    if path.casefold().endswith(".parquet"):
        from pyarrow import parquet

        with parquet.ParquetFile(path) as table:
            columns = _find_columns(path, table.schema_arrow)
            names = [columns.image, *columns.others]
            for batch in table.iter_batches(_ROWS, columns=names, use_threads=False):
                yield columns, batch
        return
    with pa.memory_map(path) as file:
        try:
            batches = reader = pa.ipc.open_stream(file)
        except pa.ArrowInvalid:
            reader = pa.ipc.open_file(file)
            batches = map(reader.get_batch, range(reader.num_record_batches))
        columns = _find_columns(path, reader.schema)
        for batch in batches:
            chosen = batch.select([columns.image, *columns.others])
            chosen.validate(full=True)  # else lengths in it are believed
            for begin in range(0, chosen.num_rows, _ROWS):
                yield columns, chosen.slice(begin, _ROWS)


def _find_columns(path: str, schema: pyarrow.Schema) -> _Columns:
    """What the columns of a table are, by their names and types.

    Raises:
        DataError: if none, or more than one that is not called so, is of images.
    """
    names: list[str] = schema.names
    fields = {name: schema.field(name).type for name in names if names.count(name) == 1}
    holding = [name for name, kind in fields.items() if _holds_images(kind)]
    image = next((name for known in _IMAGES for name in holding if fold_name(name) == known), None)
    if image is None:
        if len(holding) != 1:
            what = "has no column" if not holding else f"has several columns ({', '.join(holding)})"
            raise DataError(f"{path!r}: {what} of images, as bytes; call it image")
        (image,) = holding
    others = [name for name, kind in fields.items() if fold_name(name) in COLUMNS and _is_plain(kind)]
    return _Columns(image, tuple(others), _class_names(schema))


def _holds_images(kind: pyarrow.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _holds_images(kind.field("bytes").type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _is_plain(kind: pyarrow.DataType) -> bool:
    """Whether values are texts, numbers, or true and false."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    numbers = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
    return any(test(kind) for test in (*texts, *numbers))


def _class_names(schema: pyarrow.Schema) -> dict[str, list[str]]:
    """Names of classes by column, as ``datasets`` notes them."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {
            name: [str(each) for each in feature["names"]]
            for name, feature in features.items()
            if isinstance(feature, dict) and isinstance(feature.get("names"), list)
        }
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
        return {}  # not by datasets


def _class(value: object, names: list[str] | None) -> object:
    """A value, or the class that it is the number of."""
    if names is not None and isinstance(value, int) and 0 <= value < len(names):
        return names[value]
    return value


def _name(told: list[object], place: int, taken: Mapping[str, object]) -> str:
    """What an image is called: as the table has it, if that is fit for a name and no other image has it."""
    for text in told:
        if isinstance(text, str) and text and (name := fit_name(text)):
            return f"{place}/{name}" if name in taken else name
    return str(place)
