"""Whether the thumbnail in a file shows the picture that the file holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # loaded for the files that need it
    import numpy as np
    from numpy.typing import NDArray

    Grey = NDArray[np.float32]

LEAST_ALIKE = 0.5
"""Less alike than this, a thumbnail shows another picture."""

LEAST_CONTRAST = 4.0
"""Standard deviation of grey values below which there is nothing to compare."""

_SIDE = 40  # longer side of the thumbnail when compared, in pixels: what survives its own compression
_LONGEST = 2.5  # sides: of a panorama, a thumbnail has a few rows
_PARTS = tuple(step / 20 for step in range(20, 7, -1))  # of the thumbnail, that the picture shows


def similarity(
    thumbnail: NDArray[np.uint8], picture: NDArray[np.uint8], enough: float = LEAST_ALIKE
) -> float | None:
    """How alike a thumbnail and a picture are built, at best or as far as is enough.

    It is the correlation of their grey values, the structure term of SSIM taken over the whole of them. The
    picture may be turned or mirrored against the thumbnail, be as large or a window of it down to two fifths
    of its sides (a thumbnail has bars at its edges, or is older than a crop), and be pulled to its aspect.

    Args:
        thumbnail: ``(h, w, 3)`` uint8.
        picture: ``(H, W, 3)`` uint8.
        enough: no better is looked for, the likeliest ways being tried first.

    Returns:
        -1 to 1; None where either is too flat or too long to say.
    """
    import numpy as np

    small, large = _grey(thumbnail), _grey(picture)
    small = _resized(small, *(max(1, round(side * _SIDE / max(small.shape))) for side in small.shape))
    too_long = any(max(each.shape) > _LONGEST * min(each.shape) for each in (small, large))
    if too_long or min(small.std(), large.std()) < LEAST_CONTRAST:
        return None
    turned = [np.rot90(large, quarter) for quarter in range(4)]
    views = [*turned, *(np.fliplr(view) for view in turned)]
    most = -1.0
    for part in _PARTS:
        for view in views:
            most = max(most, _best(small, view, part))
            if most >= enough:
                return most
    return most


def _best(small: Grey, view: Grey, part: float) -> float:
    """The highest correlation of the view with any window of the thumbnail, a part of its sides at most."""
    import numpy as np

    aspect = view.shape[1] / view.shape[0]
    width = part * min(small.shape[1], small.shape[0] * aspect)
    shapes = {(round(width / aspect), round(width))}
    if part == 1:
        shapes.add(small.shape)
    found = [-1.0]
    for height, width in shapes:
        if min(height, width) < 8:
            continue
        template = _resized(view, height, width)
        template = template - template.mean()
        windows = np.lib.stride_tricks.sliding_window_view(small, template.shape)
        product = np.einsum("ijkl,kl->ij", windows, template, optimize=True)
        spread = windows.std(axis=(2, 3)) * (template.std() * template.size)
        found.append(float(np.max(product / np.maximum(spread, 1e-6 + LEAST_CONTRAST * template.size))))
    return max(found)


def _grey(pixels: NDArray[np.uint8]) -> Grey:
    """Grey values, thinned to a few hundred a side."""
    import numpy as np

    step = max(1, min(pixels.shape[:2]) // 256)
    grey: Grey = pixels[::step, ::step].astype(np.float32).mean(axis=2)
    return grey


def _resized(pixels: Grey, height: int, width: int) -> Grey:
    """By means."""
    import numpy as np
    from PIL import Image

    image = Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX)
    return np.asarray(image)
