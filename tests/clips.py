"""Small videos, made with PyAV: each frame is of one red, by which the tests tell them apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av", reason="VIDEO NOT TESTED: PyAV is not installed")

FRAMES_PER_SECOND = 10


def make_clip(
    path: Path,
    reds: Sequence[int],
    *,
    size: tuple[int, int] = (64, 48),
    every: int = 10,
    tags: Mapping[str, str] | None = None,
) -> Path:
    """Write H.264 in MP4 or VP9 in WebM, by the name of the file.

    Args:
        path: the file.
        reds: one for each frame.
        size: width and height.
        every: how many frames there are from one key frame to the next.
        tags: of the container.
    """
    webm = path.suffix == ".webm"
    with av.open(str(path), "w", options={} if webm else {"movflags": "use_metadata_tags"}) as container:
        stream = container.add_stream(
            "libvpx-vp9" if webm else "libx264",
            rate=FRAMES_PER_SECOND,
            options={"deadline": "realtime", "cpu-used": "8"} if webm else {"sc_threshold": "0"},
        )
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.gop_size = every
        container.metadata.update(tags or {})
        for red in reds:
            # half of it another colour: a frame without content would be noted
            pixels = np.zeros((size[1], size[0], 3), np.uint8)
            pixels[..., 0] = red
            pixels[size[1] // 2 :, :, 2] = 90
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path
