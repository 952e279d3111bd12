"""Spectra as plain data: rows for JSON, arrays for NumPy files."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

import aigdetect
from aigdetect.spectrum.analysis import Analysis
from aigdetect.spectrum.fourier import frequencies, radial_profile
from aigdetect.spectrum.peaks import Peak
from aigdetect.spectrum.sets import Comparison, Method, SetSpectrum


def image_row(path: str, analysis: Analysis) -> dict[str, Any]:
    """What was found in one image, ready for JSON."""
    return {"path": path, "status": "done", "average": "power", **analysis.as_dict()}


def error_row(path: str, reason: str) -> dict[str, Any]:
    """A file that could not be taken in, ready for JSON."""
    return {"path": path, "status": "error", "error": reason}


def set_row(
    one: SetSpectrum,
    name: str,
    method: Method,
    peaks: Sequence[Peak],
    false_alarm_rate: float,
    *,
    reference: str | None = None,
    comparison: Comparison | None = None,
) -> dict[str, Any]:
    """What was found in one set, ready for JSON."""
    profile = radial_profile(one.power())
    row: dict[str, Any] = {
        "path": one.folder,
        "status": "done",
        "name": name,
        "images": one.images_at(one.size),
        "smaller": one.images - one.images_at(one.size),
        "failed": one.failed,
        "size": one.size,
        "mixed_sizes": one.mixed,
        **{key: value for key, value in asdict(method).items() if key != "tile"},
        "tiles_averaged": one.averages[one.size].count,
        "false_alarm_rate": false_alarm_rate,
        "profile": {"frequency": profile.frequency.tolist(), "power": profile.power.tolist()},
        "peaks": [peak.as_dict() for peak in peaks],
    }
    if comparison is not None:
        row |= {
            "reference": reference,
            "compared_size": comparison.size,
            "distance_db": comparison.distance_db,
            "distance_by_chance_db": comparison.by_chance_db,
        }
    return row


def image_arrays(analysis: Analysis) -> dict[str, NDArray[Any]]:
    """Arrays of one image.

    Returns:
        ``frequency`` ``(N,)`` of both axes in cycles per pixel; ``power`` and ``strength`` ``(N, N)``,
        centred; ``autocorrelation`` ``(N, N)``; ``profile_frequency`` and ``profile_power``; ``peaks``
        ``(P, 5)`` with fy, fx, period, height in dB and p-value in each row; ``explanations`` ``(P,)`` text.
    """
    return {
        "frequency": frequencies(analysis.size),
        "power": analysis.power,
        "strength": analysis.strength,
        "autocorrelation": analysis.autocorrelation,
        "profile_frequency": analysis.profile.frequency,
        "profile_power": analysis.profile.power,
        "peaks": _peak_rows(analysis.peaks),
        "explanations": _texts([peak.explanation for peak in analysis.peaks]),
    }


def set_arrays(
    sets: Sequence[SetSpectrum], names: Sequence[str], comparisons: Sequence[Comparison] = ()
) -> dict[str, NDArray[Any]]:
    """Arrays of many sets.

    Returns:
        ``names`` ``(S,)`` text; ``images`` ``(S,)``; for the set at place ``i`` from 0 on ``frequency_i``
        ``(N,)`` and ``power_i`` ``(N, N)``, centred; with a reference also ``difference_i`` in dB, and
        ``distance_db`` ``(S,)``.
    """
    arrays: dict[str, NDArray[Any]] = {
        "names": _texts(names),
        "images": np.array([one.images_at(one.size) for one in sets]),
    }
    for place, one in enumerate(sets):
        arrays[f"frequency_{place}"] = frequencies(one.size)
        arrays[f"power_{place}"] = one.power()
    if comparisons:
        arrays["distance_db"] = np.array([one.distance_db for one in comparisons])
        arrays |= {f"difference_{place}": one.difference for place, one in enumerate(comparisons)}
    return arrays


def as_npz(arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, str]) -> bytes:
    """Arrays as a NumPy file; facts come along as ``(F, 2)`` text, with the program's version."""
    data = io.BytesIO()
    pairs = [*facts.items(), ("Software", f"aigdetect {aigdetect.__version__}")]
    np.savez_compressed(data, allow_pickle=False, facts=np.array(pairs, np.str_), **arrays)
    return data.getvalue()


def _peak_rows(peaks: Sequence[Peak]) -> NDArray[np.float64]:
    rows = [(peak.fy, peak.fx, peak.period, peak.height_db, peak.p_value) for peak in peaks]
    return np.array(rows, np.float64).reshape(len(rows), 5)


def _texts(texts: Sequence[str]) -> NDArray[Any]:
    return np.array(list(texts), np.str_)
