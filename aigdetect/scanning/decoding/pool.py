"""Processes that answer one call each at a time, in bytes; one that dies or is late fails its own call alone.

Each has a connection of its own, so that none can read or answer another's calls, and shares no lock with
the others, so that none can hold them up, however it ends.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from multiprocessing import reduction
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from aigdetect.images.read import open_without_waiting
from aigdetect.scanning.decoding.form import FormError
from aigdetect.scanning.decoding.limits import begin_work

T = TypeVar("T")

_CALLS_PER_WORKER = 2000  # whatever a decoder leaks goes with its process
_TRIES = 3  # to start a worker
_GRACE = 2.0  # seconds within which a worker that was killed, or has closed its connection, must have ended
_HANDS_OVER = os.name == "posix"  # whether open files can be handed to a process in a few lines
# one arena: each thread of a decoder would reserve address space for its own, and count against the limit
_ENVIRONMENT = {"MALLOC_ARENA_MAX": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
_log = logging.getLogger(__name__)


class WorkerDiedError(Exception):
    """A worker ended in the middle of a call.

    Attributes:
        status: its exit status: below 0 the number of a signal.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class WorkerLateError(Exception):
    """A call took longer than it may."""


class NoWorkerError(Exception):
    """No worker could be started."""


@dataclass(frozen=True)
class Call(Generic[T]):
    """What a worker is to do.

    Attributes:
        answer: called in the worker with the connection, ``args``, and the open ``file`` by name.
        args: further arguments of it.
        receive: takes what it says from the connection, in this process; raises FormError for anything else.
        seconds: how long it may take; infinity for as long as it takes.
        path: a file that is opened for it, where files can be handed over; None for none.
    """

    answer: Callable[..., None]
    args: tuple[Any, ...]
    receive: Callable[[Connection], T]
    seconds: float
    path: str | None = None


class Pool:
    """Worker processes, each looked after by a thread of this one.

    Args:
        workers: how many.
        memory: bytes that each may take beyond what it has when it starts.
        known: sent to each as it starts, so that the modules which calls need are imported by then.
    """

    def __init__(self, workers: int, memory: int, known: object = None) -> None:
        self._memory = memory
        self._known = known
        self._calls: queue.SimpleQueue[tuple[Call[Any], Future[Any]] | None] = queue.SimpleQueue()
        self._alive: set[_Worker] = set()
        self._closed = False
        self._held: str | None = None
        self._changing = threading.Lock()
        self._threads = [threading.Thread(target=self._look_after, daemon=True) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    def submit(self, call: Call[T]) -> Future[T]:
        """Have a call answered by the next worker that is free.

        Returns:
            what came of it, or ``WorkerDiedError``, ``WorkerLateError``, ``NoWorkerError``, ``FormError`` if
            the worker said what it may not, or ``OSError`` if the file cannot be opened.
        """
        future: Future[T] = Future()
        self._calls.put((call, future))
        return future

    def close(self) -> None:
        """End the workers at once, whatever they are doing."""
        with self._changing:
            self._closed = True
            for worker in self._alive:
                worker.kill()
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()

    def _look_after(self) -> None:
        """Hand calls to a worker, one after the other, and start a new one whenever it has ended."""
        worker: _Worker | None = None
        while (next_call := self._calls.get()) is not None and not self._closed:
            call, future = next_call
            try:
                if worker is None or not worker.can_go_on:
                    self._end(worker)
                    worker = self._start()
                future.set_result(worker.ask(call))
            except BaseException as error:  # noqa: BLE001 - it is for who waits for the answer
                future.set_exception(error)
        self._end(worker)

    def _start(self) -> _Worker:
        """A worker that is ready.

        Raises:
            NoWorkerError: if none can be started.
        """
        for _ in range(_TRIES):
            worker = None
            with contextlib.suppress(OSError, EOFError):
                with self._changing:
                    if self._closed:
                        break
                    worker = _Worker(self._memory, self._known)
                    self._alive.add(worker)
                self._tell(worker.wait_until_ready())
                return worker
            self._end(worker)
        raise NoWorkerError

    def _tell(self, held: str) -> None:
        """Log what holds, once."""
        if held != self._held:
            self._held = held
            _log.info("decoding processes have %s", held or "no bounds but of time on this system")

    def _end(self, worker: _Worker | None) -> None:
        if worker is not None:
            worker.end()
            with self._changing:
                self._alive.discard(worker)


class _Worker:
    """One process, and the connection to it; for one thread, save :meth:`kill`."""

    _starting = threading.Lock()  # Python's account of processes is not made for several threads

    def __init__(self, memory: int, known: object) -> None:
        context = process_context()
        self._connection, there = context.Pipe()
        self._process: BaseProcess = context.Process(  # type: ignore[attr-defined]
            target=_serve, args=(there, memory, known), name="decoder", daemon=True
        )
        with self._starting, contextlib.closing(there):
            self._process.start()
        self._late = False
        self._left = _CALLS_PER_WORKER

    def wait_until_ready(self) -> str:
        """Wait until it can take calls.

        Returns:
            what its system holds it to.

        Raises:
            EOFError: if it has ended.
            OSError: likewise.
        """
        return self._connection.recv_bytes(1000).decode("ascii", "replace")

    @property
    def can_go_on(self) -> bool:
        """Whether it lives, and has not worked for too long."""
        return self._left > 0 and not wait([self._process.sentinel], 0)

    def ask(self, call: Call[T]) -> T:
        """Have a call answered; raises as :meth:`Pool.submit` says."""
        with _opened(call.path) as file:
            self._left -= 1
            # no timer knows a later time, nor that there is no limit
            timer = threading.Timer(min(call.seconds, threading.TIMEOUT_MAX), self._stop)
            timer.daemon = True
            timer.start()
            try:
                self._connection.send((call.answer, call.args, file is not None))
                if file is not None:
                    reduction.send_handle(self._connection, file, self._process.pid)
                return call.receive(self._connection)
            except (EOFError, OSError):
                raise self._why_ended() from None
            except BaseException:  # what follows would be understood as the answer to the next call
                self._left = 0
                raise
            finally:
                timer.cancel()

    def end(self) -> None:
        """End the process, and wait until it has."""
        self.kill()
        wait([self._process.sentinel], _GRACE)
        self._status()
        self._connection.close()

    def kill(self) -> None:
        """End the process at once; from any thread."""
        if not wait([self._process.sentinel], 0):  # else its number may be another's by now
            self._process.kill()

    def _stop(self) -> None:
        self._late = True
        self.kill()

    def _why_ended(self) -> Exception:
        self._left = 0
        ended = wait([self._process.sentinel], _GRACE)
        if self._late:
            return WorkerLateError()
        if not ended:
            return FormError("a worker said more than there can be to say")
        return WorkerDiedError(self._status())

    def _status(self) -> int:
        with self._starting:
            return self._process.exitcode or 0


@contextlib.contextmanager
def _opened(path: str | None) -> Iterator[int | None]:
    """A descriptor of a file; None where there is no file, or no way to hand it over."""
    if path is None or not _HANDS_OVER:
        yield None
        return
    file = open_without_waiting(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        yield file
    finally:
        os.close(file)


def process_context() -> BaseContext:
    """How workers are started: from a server, or one by one where there is none."""
    methods = multiprocessing.get_all_start_methods()
    return multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")


def preload(modules: list[str]) -> None:
    """Begin to load modules in the background, in the process from which workers are started.

    Without effect if it was called before, or where processes cannot be started in this way.

    Raises:
        OSError: if no process can be started.
    """
    if "forkserver" in multiprocessing.get_all_start_methods():
        from multiprocessing import forkserver

        forkserver.set_forkserver_preload(modules)
        with _inherited():
            forkserver.ensure_running()


@contextlib.contextmanager
def _inherited() -> Iterator[None]:
    """Start a process deaf to the keyboard's interrupt, and with libraries told to take little memory."""
    kept = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update(_ENVIRONMENT)
    handler: Any = None
    with contextlib.suppress(ValueError):  # another thread than the main one may not
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
        for name, value in kept.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


# -- inside a worker ---------------------------------------------------------------------------------------


def _serve(connection: Connection, memory: int, known: object) -> None:
    """Answer calls until there are no more; what comes from the program is trusted, not what goes there."""
    del known
    held = begin_work(memory, keep=[connection.fileno()])
    # the program has gone, or goes, and needs no answer
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        connection.send_bytes("; ".join(held).encode())
        while True:
            answer, args, handed = connection.recv()
            answer(connection, *args, file=reduction.recv_handle(connection) if handed else None)
