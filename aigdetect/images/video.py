"""Key frames of a video, in one pass from its beginning: what its header claims of its length is not asked.

Frames between key frames are predicted from others and are not looked at. Containers and codecs are FFmpeg's,
through PyAV (the extra ``video``). The container is chosen by the first bytes of the file, so that no format
is tried which opens other files or addresses, and frames of too many pixels are refused by the decoder.
"""

from __future__ import annotations

import errno
import importlib.util
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Generic, TypeVar

from PIL import Image

from aigdetect.errors import ImageError
from aigdetect.images.decode import DecodedImage, from_image
from aigdetect.images.opening import check_size, failures_named
from aigdetect.text import one_line

MOST_PER_MINUTE = 12
"""Key frames that are looked at for each minute, unless told otherwise."""

MOST = 30
"""Key frames that are looked at in one file, unless told otherwise."""

T = TypeVar("T")

_FORMATS = {
    **dict.fromkeys(("MP4", "MOV"), "mov"),
    **dict.fromkeys(("WEBM", "MKV"), "matroska"),
    **{"AVI": "avi", "MPEG": "mpeg", "MPEG-V": "mpegvideo", "MPEG-TS": "mpegts", "FLV": "flv", "ASF": "asf"},
}
_PROBED = {"probesize": "2000000", "analyzeduration": "2000000", "threads": "1"}
_TURNS = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    -180: Image.Transpose.ROTATE_180,
    -90: Image.Transpose.ROTATE_270,
}
_HIGH_DYNAMIC_RANGE = (16, 18)  # transfer curves of BT.2100: PQ and HLG
_ROUNDING = 1e-3  # seconds: times come in whole ticks of many lengths
_MOST_TAGS = 100


def has_decoder() -> bool:
    """Whether PyAV is installed; it is not imported."""
    return importlib.util.find_spec("av") is not None


@dataclass(frozen=True)
class Sampling:
    """Which key frames of a video are looked at.

    Attributes:
        per_minute: at most so many for each minute.
        most: at most so many in all, spread over the whole of it.
        seconds: after which no further one is looked for.
    """

    per_minute: int = MOST_PER_MINUTE
    most: int = MOST
    seconds: float = math.inf

    def __str__(self) -> str:
        """What rows depend on, in words."""
        return f"{self.per_minute} a minute, {self.most} in all"


class Sample(Generic[T]):
    """At most so many things of a run whose length is not known beforehand, evenly spread.

    When there is one too many, the distance between two of them is doubled, and those that lie too near fall.

    Attributes:
        taken: time in seconds, and what was taken there.

    Args:
        sampling: how many, and how near to one another.
    """

    def __init__(self, sampling: Sampling) -> None:
        self.taken: list[tuple[float, T]] = []
        self._most = sampling.most
        self._distance = 60 / sampling.per_minute

    def wants(self, time: float) -> bool:
        """Whether one at this time is far enough behind the last one."""
        return not self.taken or time >= self.taken[-1][0] + self._distance - _ROUNDING

    def add(self, time: float, thing: T) -> None:
        """Take one that is wanted."""
        self.taken.append((time, thing))
        while len(self.taken) > self._most:
            self._distance *= 2
            everything, self.taken = self.taken, []
            for each in everything:
                if self.wants(each[0]):
                    self.taken.append(each)


@dataclass(frozen=True)
class CodedFrame:
    """A frame as it lies in the file.

    Attributes:
        time: seconds from the first picture of the video.
        key: whether it can be decoded without others.
        packet: PyAV's.
    """

    time: float
    key: bool
    packet: Any


class Video:
    """An open video; see :func:`open_video`.

    Attributes:
        width: in pixels, as the header says.
        height: likewise.
        tags: what the container and its stream of pictures are labelled with, by name.
    """

    def __init__(self, container: Any, name: str, max_pixels: int) -> None:
        self._container = container
        self._name = name
        self._max_pixels = max_pixels
        self._stream = container.streams.best("video")
        if self._stream is None:
            raise ImageError(f"{name} without moving pictures", format=name)
        self._codec = self._stream.codec_context
        if self._codec is None:
            raise ImageError(f"{name} with pictures of an unknown codec", format=name)
        self.width, self.height = int(self._codec.width), int(self._codec.height)
        self.tags = _text_of({**self._stream.metadata, **container.metadata})
        self._codec.thread_count = 1
        self._codec.options = {"max_pixels": str(max_pixels)}

    def frames(self) -> Iterator[CodedFrame]:
        """All that are there, in the order of the file, none of them decoded.

        Raises:
            ImageError: where the file breaks off or is damaged.
        """
        start = (self._stream.start_time or 0) * self._stream.time_base
        with _failures_named(self._name, (self.width, self.height)):
            for packet in self._container.demux(self._stream):
                ticks = packet.dts if packet.pts is None else packet.pts
                if packet.size and ticks is not None:
                    time = max(0.0, float(ticks * packet.time_base - start))
                    yield CodedFrame(time, packet.is_keyframe and not packet.is_corrupt, packet)

    def decode(self, frame: CodedFrame) -> DecodedImage:
        """A key frame as it is displayed.

        Raises:
            ImageError: if it cannot be decoded, or has too many pixels.
        """
        with _failures_named(self._name, (self.width, self.height)):
            check_size((self.width, self.height), self._max_pixels)
            try:
                # the decoder waits for nothing that follows
                pictures = [*self._codec.decode(frame.packet), *self._codec.decode(None)]
            finally:
                if self._codec.is_open:
                    self._codec.flush_buffers()
            if not pictures:
                raise ImageError("key frame without a picture")
            return self._displayed(pictures[0])

    def _displayed(self, picture: Any) -> DecodedImage:
        check_size((picture.width, picture.height), self._max_pixels)
        image = picture.to_image()
        if picture.rotation in _TURNS:
            image = image.transpose(_TURNS[picture.rotation])
        notes = []
        if picture.color_trc in _HIGH_DYNAMIC_RANGE:
            notes.append("high dynamic range, taken as it is stored")
        if picture.interlaced_frame:
            notes.append("interlaced")
        decoded = from_image(image)
        return replace(decoded, format=self._name, notes=(*notes, *decoded.notes))


@contextmanager
def open_video(file: BinaryIO, name: str, max_pixels: int) -> Iterator[Video]:
    """Read the header of a video; it is closed with the block, and the file is not.

    Args:
        file: open for reading, at any place.
        name: its container, as :func:`aigdetect.images.sniff.sniff_video` names it.
        max_pixels: frames of more pixels are not decoded.

    Raises:
        ImageError: if it cannot be read, holds no pictures, or PyAV is missing.
    """
    try:
        import av
    except ImportError as error:
        reason = "a video, and PyAV is missing here; pip install 'aigdetect[video]'"
        raise ImageError(reason, format=name, passing=True) from error
    file.seek(0)
    options = {**_PROBED, "max_pixels": str(max_pixels)}
    with _failures_named(name):
        container = av.open(file, format=_FORMATS[name], options=options)
    with container:
        with _failures_named(name):
            video = Video(container, name, max_pixels)
        yield video


@contextmanager
def _failures_named(name: str, size: tuple[int, int] | tuple[None, None] = (None, None)) -> Iterator[None]:
    """As :func:`aigdetect.images.opening.failures_named`, with FFmpeg's errors in words."""
    with failures_named(name, size):
        try:
            yield
        except Exception as error:
            if not type(error).__module__.startswith("av."):
                raise
            number, text = getattr(error, "errno", None), getattr(error, "strerror", None) or str(error)
            if number == errno.ENOMEM:
                raise MemoryError from error
            raise ImageError(f"broken {name}: {one_line(text[:1].lower() + text[1:], 120)}") from error


def _text_of(tags: Mapping[object, object]) -> dict[str, str]:
    """The first tags, as text."""
    return {str(name): str(value) for name, value in [*tags.items()][:_MOST_TAGS]}
