"""Gathers generation parameters from all texts of a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from aigdetect.evidence.generators import library, own
from aigdetect.evidence.generators.comfy import read_comfy
from aigdetect.evidence.generators.generation import Generation
from aigdetect.evidence.generators.packed import unpack
from aigdetect.evidence.text import Text

_MAX_FOUND = 4

# what the library would take for another program's comes before it, what it does not know comes after it
_READERS: tuple[Callable[[Mapping[str, str], str], Generation | None], ...] = (
    own.read_swarmui,
    own.read_tensor_art,
    own.read_ruined_fooocus,
    own.read_civitai,
    library.read_infotext,
    read_comfy,
    library.read_invokeai,
    library.read_novelai,
    own.read_novelai,
    own.read_easy_diffusion,
    own.read_draw_things,
    own.read_midjourney,
    own.read_last_line,
    own.read_any_object,
)
_SIGNS = ("{", "Steps: ", "Job ID: ", '"')


def read_generations(texts: Iterable[Text]) -> tuple[Generation, ...]:
    """Read generation parameters, at most one set from each place in the file.

    Args:
        texts: all texts of the file. Only those that are built as a program is known to build them count;
            what a caption says in words does not.
    """
    places: dict[str, dict[str, str]] = {}
    for text in texts:
        for key, value in unpack(text):
            places.setdefault(text.where, {}).setdefault(key, value)
    found = (_read(each, where) for where, each in places.items())
    return tuple(each for each in found if each)[:_MAX_FOUND]


def _read(texts: Mapping[str, str], where: str) -> Generation | None:
    if "prompt" not in texts and not any(sign in text for text in texts.values() for sign in _SIGNS):
        return None  # plain words: the library need not be loaded
    return next((found for reader in _READERS if (found := reader(texts, where))), None)
