"""The few exceptions that users meet: each message is one line that says what, where and what to do."""

from __future__ import annotations


class AigdetectError(Exception):
    """Base of every error that reaches a user; ``str(error)`` is one clear line."""


class UsageError(AigdetectError):
    """An option, a value or a path given by the user cannot be used."""


class ImageError(AigdetectError):
    """One image cannot be read or scored; a scan records it in that image's row and goes on.

    Attributes:
        format: container format by content (``"JPEG"``, ``"PNG"``...), empty if it was not recognised.
        width: width in pixels if the header could be read, else None.
        height: height in pixels if the header could be read, else None.
        passing: whether another attempt may do better: the file was not at fault.
    """

    def __init__(
        self,
        message: str,
        *,
        format: str = "",
        width: int | None = None,
        height: int | None = None,
        passing: bool = False,
    ) -> None:
        super().__init__(message)
        self.format = format
        self.width = width
        self.height = height
        self.passing = passing


class TooLargeError(ImageError):
    """An image has more pixels than allowed; the limit can be set."""


class CameraRawError(ImageError):
    """A raw photograph is to be developed before its pixels can be seen; it may hold a preview."""


class DataError(AigdetectError):
    """A training or evaluation data set cannot be used."""


class WeightsError(AigdetectError):
    """The weights of a backbone cannot be found, fetched or trusted."""


class ModelError(AigdetectError):
    """A model folder cannot be loaded, or does not fit the backbone or the program."""


class PeerError(AigdetectError):
    """Another process of a run that is shared among several has ended or cannot be reached."""
