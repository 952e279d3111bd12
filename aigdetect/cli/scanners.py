"""The two ways in which ``aigdetect scan`` decodes and scores: in this program, and on a Ray cluster."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from pathlib import Path

from aigdetect.cli.options import terminal
from aigdetect.model.calibration import Verdict
from aigdetect.model.card import shipped_models
from aigdetect.scanning.decoding.workers import Processes, start_server
from aigdetect.scanning.engines import Engine, Threads, default_workers
from aigdetect.scanning.preparation import Preparation
from aigdetect.scanning.scanner import LocalScanner, ModelRequest, Scanner, load_others


def in_this_program(
    wanted: ModelRequest,
    also: Sequence[ModelRequest],
    prepare: Preparation,
    workers: int | None,
    timeout: float,
) -> AbstractContextManager[Scanner]:
    """A model in this process, loaded on entry; what decodes begins to start at once, in the background.

    Args:
        wanted: the model.
        also: further models.
        prepare: what is done with each file before it is scored.
        workers: processes that decode; 0 for threads, None for the default.
        timeout: seconds that decoding one file may take.
    """
    return _in_this_program(wanted, also, _engine(prepare, workers, timeout))


@contextmanager
def _in_this_program(
    wanted: ModelRequest, also: Sequence[ModelRequest], engine: Engine
) -> Generator[Scanner, None, None]:
    with closing(engine):
        detector = wanted.load(say=terminal.say, warn=terminal.warn)
        others = load_others(also, say=terminal.say, warn=terminal.warn)
        yield LocalScanner(detector, engine, others)


def _engine(prepare: Preparation, workers: int | None, timeout: float) -> Engine:
    """Worker processes, whose start goes on in the background; threads if asked for or if there is no way."""
    if workers == 0:
        return Threads(prepare, default_workers())
    try:
        start_server(pictures=prepare.pictures)
    except OSError as error:
        terminal.warn(f"no worker processes ({error.strerror}): a broken file can end the scan")
        return Threads(prepare, workers or default_workers())
    return Processes(prepare, workers or default_workers(), timeout=timeout)


@contextmanager
def on_a_cluster(
    wanted: ModelRequest,
    also: Sequence[ModelRequest],
    prepare: Preparation,
    workers: int | None,
    timeout: float,
    *,
    address: str | None,
    heat_maps: Sequence[Verdict],
) -> Generator[Scanner, None, None]:
    """Models on the machines of a Ray cluster.

    Args:
        wanted: the model.
        also: further models.
        prepare: what is done with each file before it is scored.
        workers: processes that decode for each model; 0 for none, None for the default.
        timeout: seconds that decoding one file may take.
        address: the cluster; None for the default.
        heat_maps: verdicts of the images whose heat maps are wanted.
    """
    from aigdetect.scanning.cluster import joined, share
    from aigdetect.scanning.remote import Job

    with joined(address):
        from aigdetect.scanning.dispatch import ClusterScanner

        room = share(wanted.device)
        decoders = max(1, min(default_workers(), room.cpus)) if workers is None else workers
        device = "cuda" if room.gpus else wanted.device
        models = (replace(_for_other_machines(each), device=device) for each in (wanted, *also))
        job = Job(next(models), prepare, decoders, timeout, tuple(heat_maps), tuple(models))
        with closing(ClusterScanner(job, room, warn=terminal.warn)) as scanner:
            for line in scanner.loaded.said:
                terminal.say(line)
            for line in scanner.loaded.warned:
                terminal.warn(line)
            yield scanner


def _for_other_machines(wanted: ModelRequest) -> ModelRequest:
    """The same where the current folder is another one."""
    return replace(
        wanted,
        model=wanted.model if wanted.model in shipped_models() else str(Path(wanted.model).absolute()),
        weights=wanted.weights and wanted.weights.absolute(),
    )
