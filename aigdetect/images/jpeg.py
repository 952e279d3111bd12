"""How strongly a JPEG was compressed, by its quantisation table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

# Luma quantisation table of quality 50, row by row (ITU-T T.81, table K.1).
_LUMA = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
).reshape(1, 64)


def jpeg_quality(table: Sequence[int]) -> int:
    """Estimate the quality behind a JPEG's luma quantisation table.

    Args:
        table: 64 steps row by row, as Pillow gives them.

    Returns:
        The quality, 1 to 100, whose libjpeg table is nearest by mean squared error (as ``compute_qf.py`` of
        UnbiasedGenImage does it); tables of other encoders get their nearest equivalent.
    """
    distance = np.square(_libjpeg_tables() - np.asarray(table, dtype=np.float64)).mean(axis=1)
    return int(distance.argmin()) + 1


def _libjpeg_tables() -> npt.NDArray[np.int64]:
    quality = np.arange(1, 101).reshape(100, 1)
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    tables: npt.NDArray[np.int64] = np.clip((_LUMA * scale + 50) // 100, 1, 255)
    return tables
