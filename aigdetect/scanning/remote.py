"""What lives on a machine of a cluster: a model with its own decoders, which scans the files it is given."""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from aigdetect.images.find import Found
from aigdetect.model.calibration import Verdict
from aigdetect.scanning.decoding.workers import TIMEOUT, Processes
from aigdetect.scanning.engines import Threads
from aigdetect.scanning.heat import with_heat_map
from aigdetect.scanning.model_in_use import ModelInUse
from aigdetect.scanning.pipeline import Result
from aigdetect.scanning.preparation import Preparation, Prepared
from aigdetect.scanning.scanner import LocalScanner, ModelRequest, load_others
from aigdetect.scanning.settings import Settings


@dataclass(frozen=True)
class Job:
    """All that a worker must know before its first file.

    Attributes:
        wanted: the model.
        prepare: what is done with each file before it is scored.
        decoders: processes that read and decode; 0 does it in a thread of the worker.
        timeout: seconds that a file may take.
        heat_maps: verdicts of the images whose heat maps are drawn.
        also: further models.
    """

    wanted: ModelRequest
    prepare: Preparation
    decoders: int = 1
    timeout: float = TIMEOUT
    heat_maps: tuple[Verdict, ...] = ()
    also: tuple[ModelRequest, ...] = ()


@dataclass(frozen=True)
class Loaded:
    """A worker that is ready.

    Attributes:
        host: the machine's name.
        model: what scores.
        also: further models by what they are called.
        settings: what the rows depend on, with the worker's own version of the program.
        said: what the search for weights said, line by line.
        warned: warnings, one line each.
    """

    host: str
    model: ModelInUse
    also: Mapping[str, ModelInUse]
    settings: Settings
    said: tuple[str, ...]
    warned: tuple[str, ...]


class Worker:
    """Scans runs of files; made into an actor by :mod:`aigdetect.scanning.dispatch`.

    Args:
        job: what it must know.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        # the decoding processes would each import Ray again, as Python does with the main module
        sys.modules["__main__"].__file__ = None

    def load(self) -> Loaded:
        """Load the model and start to decode.

        Raises:
            AigdetectError: if it cannot be loaded here.
        """
        job, said, warned = self._job, list[str](), list[str]()
        detector = job.wanted.load(say=said.append, warn=warned.append)
        also = load_others(job.also, say=said.append, warn=warned.append)
        engine = (
            Processes(job.prepare, job.decoders, timeout=job.timeout)
            if job.decoders
            else Threads(job.prepare, 1)
        )
        self._scanner = LocalScanner(detector, engine, also)
        settings = Settings.of_model(
            self._scanner.model,
            fpr=job.wanted.fpr,
            max_pixels=job.prepare.max_pixels,
            stability=job.prepare.stability,
            also=self._scanner.also,
        )
        scanner = self._scanner
        return Loaded(socket.gethostname(), scanner.model, scanner.also, settings, tuple(said), tuple(warned))

    def scan(self, items: Sequence[Found]) -> list[Result]:
        """Results of files, in order, without what the model saw of them."""
        with closing(self._scanner.results(items, None)) as results:
            return [self._complete(result) for result in results]

    def _complete(self, result: Result) -> Result:
        drawn = with_heat_map(result, self._scanner.heat_map, self._job.heat_maps)
        return replace(drawn, prepared=_without_views(drawn.prepared))


def _without_views(prepared: Prepared) -> Prepared:
    """What is known of a file without what the model saw of it."""
    frames = tuple(map(_without_views, prepared.frames))
    return replace(prepared, view=None, variants=(), frames=frames, also=())
