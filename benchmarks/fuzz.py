"""Broken files through decoder and metadata readers: ``python benchmarks/fuzz.py [--inputs N] [--seed N]``.

Small files of every format that Pillow and its plugins write are broken in the ways in which files break and
are made to: bytes changed, lengths set to extremes, parts cut, doubled, moved and mixed with other files,
most of it near the beginning, where the headers are. Each runs in a worker process with the limits of a scan.
Counted are inputs that crash the worker, that run into the time limit, that take more memory than allowed,
that make anything but an ImageError come out, or a walker find what is not there, and whose metadata take too
long by themselves. Exit status 1 if there was any of these; they are kept.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from fuzz_metadata import read_metadata, rich_files
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from aigdetect.errors import ImageError
from aigdetect.images.decode import decode
from aigdetect.scanning.decoding.form import FormError
from aigdetect.scanning.decoding.pool import Call, Pool, WorkerDiedError, WorkerLateError

MEMORY = 3 << 29
SECONDS = 10.0
_BATCH = 100
_LONGEST = 1 << 20
_HEAD = 512
_EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


# -- what is broken ----------------------------------------------------------------------------------------


@cache
def seeds() -> list[bytes]:
    """Small whole files, one or more of each format, with metadata where the format takes it."""
    made: dict[str, bytes] = {}
    for mode in ("RGB", "L", "1", "P", "RGBA", "CMYK", "I;16"):
        image = _picture(mode)
        for name in sorted(Image.SAVE):
            if name in {"PDF", "EPS", "MPEG", "HDF5", "GRIB", "BUFR", "WMF", "PALM"}:
                continue
            file = io.BytesIO()
            try:
                image.save(file, name, **_options(name))
            except (OSError, ValueError, KeyError, TypeError, RuntimeError):
                continue
            made.setdefault(f"{name} {mode}", file.getvalue())
    frames = [_picture("RGB"), _picture("RGB").rotate(90)]
    for name in ("GIF", "PNG", "WEBP", "TIFF", "AVIF"):
        file = io.BytesIO()
        frames[0].save(file, name, save_all=True, append_images=frames[1:])
        made[f"{name} frames"] = file.getvalue()
    for name, options in {
        "progressive": {"progressive": True, "quality": 30},
        "4:4:4": {"subsampling": 0, "quality": 98},
    }.items():
        file = io.BytesIO()
        frames[0].save(file, "JPEG", exif=_exif(), **options)
        made[f"JPEG {name}"] = file.getvalue()
    return list(dict.fromkeys((*made.values(), *rich_files().values())))


def _picture(mode: str) -> Image.Image:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:40, :48]
    grey = (3 * rows + 2 * columns + rng.integers(0, 9, rows.shape)).astype(np.uint8)
    image = Image.fromarray(np.stack([grey, grey[::-1], grey[:, ::-1]], axis=2))
    return Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif.update({0x010F: "Camera", 0x0110: "Model", 0x0131: "Software", 0x0132: "2024:05:06 07:08:09"})
    exif.get_ifd(0x8769).update({0x9003: "2024:05:06 07:08:09", 0x9286: b"UNICODE\0a\0b\0"})
    return exif


def _options(name: str) -> dict[str, object]:
    xmp = (
        b'<?xpacket begin=""?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        b'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool="tool"/></rdf:RDF></x:xmpmeta>'
    )
    if name == "PNG":
        info = PngInfo()
        info.add_text("parameters", "a cat\nSteps: 20, Sampler: Euler, Seed: 1, Size: 64x64, Model: m")
        info.add_text("prompt", '{"3": {"class_type": "KSampler", "inputs": {"seed": 1}}}', zip=True)
        info.add_itxt("XML:com.adobe.xmp", xmp.decode())
        return {"pnginfo": info, "exif": _exif()}
    if name in {"JPEG", "WEBP", "AVIF", "HEIF", "TIFF", "JXL"}:
        return {"exif": _exif().tobytes(), **({"xmp": xmp} if name in {"JPEG", "WEBP"} else {})}
    return {}


def broken(number: int, seed: int, whole: Sequence[bytes]) -> bytes:
    """Input ``number``: one of the whole files, or a piece of two, with one to eight changes."""
    rng = np.random.default_rng([seed, number])
    data = bytearray(whole[number % len(whole)])
    if rng.random() < 0.1:
        other = whole[int(rng.integers(len(whole)))]
        at = int(rng.integers(1, min(len(data), len(other)) + 1))
        data = data[:at] + bytearray(other[at:])
    for _ in range(int(rng.integers(1, 9))):
        _CHANGES[int(rng.integers(len(_CHANGES)))](data, rng)
    return bytes(data)


def _place(data: bytearray, rng: np.random.Generator) -> int:
    limit = min(len(data), _HEAD) if rng.random() < 0.8 else len(data)
    return int(rng.integers(max(1, limit)))


def _set_byte(data: bytearray, rng: np.random.Generator) -> None:
    at = _place(data, rng)
    data[at : at + 1] = bytes([int(rng.integers(256))])


def _flip_bit(data: bytearray, rng: np.random.Generator) -> None:
    at = _place(data, rng)
    if at < len(data):
        data[at] ^= 1 << int(rng.integers(8))


def _set_number(data: bytearray, rng: np.random.Generator) -> None:
    at, width = _place(data, rng), int(rng.choice([1, 2, 4, 8]))
    value = _EXTREMES[int(rng.integers(len(_EXTREMES)))] & (1 << 8 * width) - 1
    data[at : at + width] = value.to_bytes(width, "little" if rng.random() < 0.5 else "big")


def _cut(data: bytearray, rng: np.random.Generator) -> None:
    del data[_place(data, rng) :][: 1 if rng.random() < 0.5 else 64]
    if rng.random() < 0.2:
        del data[int(rng.integers(len(data) + 1)) :]


def _drop(data: bytearray, rng: np.random.Generator) -> None:
    at = _place(data, rng)
    del data[at : at + int(rng.integers(1, 33))]


def _double(data: bytearray, rng: np.random.Generator) -> None:
    at = _place(data, rng)
    data[at:at] = data[at : at + int(rng.integers(1, 129))] * int(rng.integers(1, 5))


def _move(data: bytearray, rng: np.random.Generator) -> None:
    at = _place(data, rng)
    piece = data[at : at + int(rng.integers(1, 65))]
    del data[at : at + len(piece)]
    to = _place(data, rng)
    data[to:to] = piece


_CHANGES: tuple[Callable[[bytearray, np.random.Generator], None], ...] = (
    _set_byte,
    _flip_bit,
    _set_number,
    _set_number,
    _cut,
    _drop,
    _double,
    _move,
)


# -- what is done with it, in a worker ---------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """What became of some inputs.

    Attributes:
        outcomes: how many were decoded, or refused, or what else came out.
        faults: inputs that did what none may do, with what it was.
        slowest: seconds of the slowest.
        peak: highest memory of the worker so far in bytes.
    """

    outcomes: Counter[str]
    faults: tuple[tuple[int, str], ...]
    slowest: float
    peak: int

    @classmethod
    def receive(cls, connection: Connection) -> Seen:
        """What :func:`answer_inputs` sends."""
        outcomes, faults, slowest, peak = json.loads(connection.recv_bytes(_LONGEST))
        return cls(Counter(outcomes), tuple((number, fault) for number, fault in faults), slowest, peak)


def answer_inputs(connection: Connection, numbers: range, seed: int, *, file: int | None = None) -> None:
    """Run inputs in a worker, and say what became of them."""
    seen = try_inputs(numbers, seed)
    connection.send_bytes(json.dumps([seen.outcomes, seen.faults, seen.slowest, seen.peak]).encode())


def try_inputs(numbers: range, seed: int) -> Seen:
    """Run inputs through decoder and metadata readers."""
    whole = seeds()
    outcomes: Counter[str] = Counter()
    faults = []
    slowest = 0.0
    for number in numbers:
        data = broken(number, seed, whole)
        start = time.monotonic()
        outcome = try_one(data)
        slowest = max(slowest, time.monotonic() - start)
        outcomes[outcome] += 1
        if outcome not in {"decoded", "refused"}:
            faults.append((number, outcome))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Seen(outcomes, tuple(faults), slowest, peak)


def try_one(data: bytes) -> str:
    """``decoded``, ``refused``, or what came out that should not."""
    try:
        if wrong := read_metadata(data):
            return f"metadata: {wrong}"
    except BaseException as error:  # noqa: BLE001 - whatever comes out is what is looked for
        return f"metadata: {type(error).__name__}: {error}"
    try:
        decode(data)
    except ImageError as error:
        return "out of memory" if "out of memory" in str(error) else "refused"
    except BaseException as error:  # noqa: BLE001 - likewise
        return f"decoder: {type(error).__name__}: {error}"
    return "decoded"


# -- all of them -------------------------------------------------------------------------------------------


def run(first: int, count: int, seed: int, workers: int) -> Iterator[tuple[range, Seen]]:
    """Run inputs in batches; one that brings its worker down is looked for one by one."""
    batches = [range(at, min(at + _BATCH, first + count)) for at in range(first, first + count, _BATCH)]
    with closing(Pool(workers, MEMORY, known=answer_inputs)) as pool:

        def ask(numbers: range, seconds: float) -> Future[Seen]:
            return pool.submit(Call(answer_inputs, (numbers, seed), Seen.receive, seconds))

        ahead = 4 * workers
        futures = [ask(batch, _BATCH * SECONDS) for batch in batches[:ahead]]
        for place, batch in enumerate(batches):
            if place + ahead < len(batches):
                futures.append(ask(batches[place + ahead], _BATCH * SECONDS))
            try:
                yield batch, futures[place].result()
            except (WorkerDiedError, WorkerLateError, FormError):
                for number in batch:
                    one = range(number, number + 1)
                    yield one, _alone(ask(one, SECONDS), number)


def _alone(future: Future[Seen], number: int) -> Seen:
    try:
        return future.result()
    except WorkerLateError:
        fault = f"took longer than {SECONDS:g} s"
    except WorkerDiedError as error:
        fault = f"crashed (status {error.status})"
    return Seen(Counter({fault: 1}), ((number, fault),), 0.0, 0)


def main() -> int:
    """Run it, print the figures, keep what did harm."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=200_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument(
        "--keep", type=Path, default=Path("fuzz-faults"), help="folder for inputs that did harm"
    )
    args = parser.parse_args()
    whole = seeds()
    print(f"{args.inputs} inputs from {len(whole)} whole files, seed {args.seed}", flush=True)
    outcomes: Counter[str] = Counter()
    slowest, peak, start = 0.0, 0, time.monotonic()
    for numbers, seen in run(args.first, args.inputs, args.seed, args.workers):
        outcomes += seen.outcomes
        slowest, peak = max(slowest, seen.slowest), max(peak, seen.peak)
        for number, fault in seen.faults:
            data = broken(number, args.seed, whole)
            args.keep.mkdir(exist_ok=True)
            (args.keep / f"{number}-{hashlib.sha256(data).hexdigest()[:8]}").write_bytes(data)
            print(f"input {number}: {fault}", flush=True)
        if numbers.stop % 10_000 == 0:
            print(f"{numbers.stop}: {dict(outcomes)}", flush=True)
    faults = sum(outcomes.values()) - outcomes["decoded"] - outcomes["refused"]
    print(
        f"{sum(outcomes.values())} inputs in {time.monotonic() - start:.0f} s: "
        f"{outcomes['decoded']} decoded, {outcomes['refused']} refused, {faults} faults; "
        f"slowest {slowest:.2f} s; highest memory of a worker {peak / 2**20:.0f} MiB"
    )
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
