"""Plain data, as JSON gives it, into dataclasses: each value is of its field's type, or refused."""

from __future__ import annotations

import types
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

_LARGEST = 1 << 53  # of whole numbers, either way: what every reader of JSON can tell apart


class FormError(ValueError):
    """Data that are not of the form agreed on."""


def read_form(form: type[T], plain: object) -> T:
    """An instance of a dataclass out of what ``dataclasses.asdict`` made of one, through JSON.

    Fields may be strings, numbers, truth values, None, enums, literals, dataclasses, runs of these
    (``tuple[X, ...]``) and choices between them.

    Args:
        form: the dataclass.
        plain: what it is to be made of.

    Raises:
        FormError: if a field is missing, unknown, or of another type.
    """
    value: T = _checked(form, plain)
    return value


def _checked(hint: Any, plain: object) -> Any:
    """A value of a declared type.

    Raises:
        FormError: if it is of another.
    """
    origin, choices = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _one_of(choices, plain)
    if origin is tuple and isinstance(plain, list):
        return tuple(_checked(choices[0], each) for each in plain)
    if origin is Literal and isinstance(plain, str) and plain in choices:
        return plain
    if hint is float and type(plain) in (int, float):
        return plain
    if hint is int and type(plain) is int and abs(plain) < _LARGEST:
        return plain
    if hint in (str, bool, type(None)) and type(plain) is hint:
        return plain
    if is_dataclass(hint) and isinstance(plain, dict):
        return _instance(hint, plain)
    if isinstance(hint, type) and issubclass(hint, Enum) and isinstance(plain, str):
        try:
            return hint(plain)
        except ValueError:
            pass
    raise FormError(f"{type(plain).__name__} is no {hint}")


def _one_of(choices: tuple[Any, ...], plain: object) -> Any:
    for choice in choices:
        try:
            return _checked(choice, plain)
        except FormError:
            continue
    raise FormError(f"{type(plain).__name__} is none of {choices}")


def _instance(form: Any, plain: dict[str, object]) -> Any:
    hints = _hints(form)
    if plain.keys() != hints.keys():
        raise FormError(f"not the fields of {form.__name__}")
    return form(**{name: _checked(hint, plain[name]) for name, hint in hints.items()})


@cache
def _hints(form: Any) -> dict[str, Any]:
    """The types of a dataclass's fields."""
    declared = get_type_hints(form)
    return {field.name: declared[field.name] for field in fields(form)}
