"""Gathers generation parameters from all texts of a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from aigdetect.evidence.fields import Field, Unread
from aigdetect.evidence.generators import known_programs, programs
from aigdetect.evidence.generators.comfy import read_comfy
from aigdetect.evidence.generators.generation import Generation
from aigdetect.evidence.generators.nested import unpack

_MAX_FOUND = 4

# what the library would take for another program's comes before it, what it does not know comes after it
_READERS: tuple[Callable[[Mapping[str, str], str], Generation | None], ...] = (
    programs.read_swarmui,
    programs.read_tensor_art,
    programs.read_ruined_fooocus,
    programs.read_civitai,
    known_programs.read_infotext,
    read_comfy,
    known_programs.read_invokeai,
    known_programs.read_novelai,
    programs.read_novelai,
    programs.read_easy_diffusion,
    programs.read_draw_things,
    programs.read_midjourney,
    programs.read_extras,
    programs.read_last_line,
    programs.read_any_object,
)
_SIGNS = ("{", "Steps: ", "Job ID: ", '"', "Postprocess ", "Upscale: ")
_GROUPS = ("EXIF", "text")
_XMP_TEXTS = ("exif:UserComment", "dc:description")

MAX_TIMES = 5
"""How many texts of one name are read, each with its neighbours of the same turn."""


def read_generations(fields: Iterable[Field]) -> tuple[Generation, ...]:
    """Read generation parameters, one set from each place in the file, or more where a name comes twice.

    Args:
        fields: all fields of the file. Only texts that are built as a program is known to build them count;
            what a caption says in words does not.
    """
    places: dict[tuple[str, int], dict[str, str]] = {}
    times: Counter[tuple[str, str]] = Counter()
    for field in filter(_is_read, fields):
        for key, value in unpack(field):
            # the first text of a name may be a decoy: one that comes again is read apart
            time = times[field.where, key]
            if time < MAX_TIMES:
                times[field.where, key] += 1
                places.setdefault((field.where, time), {})[key] = value
    found = (_read(each, where) for (where, _), each in places.items())
    return tuple(dict.fromkeys(each for each in found if each))[:_MAX_FOUND]


def repeated(fields: Iterable[Field]) -> list[Unread]:
    """Texts of one name that are too many for all of them to be read."""
    times = Counter((field.where, field.name[:40]) for field in fields if _is_read(field))
    most = f"more than {MAX_TIMES} times"
    return [Unread(where, f"{name} {most}") for (where, name), count in times.items() if count > MAX_TIMES]


def _is_read(field: Field) -> bool:
    return field.group in _GROUPS or field.name in _XMP_TEXTS


def _read(texts: Mapping[str, str], where: str) -> Generation | None:
    if "prompt" not in texts and not any(sign in text for text in texts.values() for sign in _SIGNS):
        return None  # plain words: the library need not be loaded
    return next((found for reader in _READERS if (found := reader(texts, where))), None)
