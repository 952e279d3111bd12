"""What kind of picture an image is: the kinds that are told apart, and the words of data sets for them."""

from __future__ import annotations

from aigdetect.data.layouts.words import fold_name

#: kinds of pictures, in the order in which a model's card names them
KINDS = ("photograph", "face", "drawing", "screenshot", "document", "render", "scientific")
_WORDS = {
    "photo": "photograph",
    "old_photograph": "photograph",
    "aerial": "photograph",
    "portrait": "face",
    "painting": "drawing",
    "illustration": "drawing",
    "art": "drawing",
    "chart": "screenshot",
    "meme": "screenshot",
    "scan": "document",
    "game": "render",
    "microscopy": "scientific",
}


def kind_of(word: str) -> str | None:
    """The kind that a data set's word stands for; None if it says none of them, such as ``"mixed"``."""
    folded = fold_name(word)
    return folded if folded in KINDS else _WORDS.get(folded)
