"""The limits of a worker, set by itself before its first file."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable
from multiprocessing.connection import wait
from pathlib import Path

from aigdetect.scanning.decoding.sandbox import enclose


def begin_work(memory: int, keep: Iterable[int] = ()) -> tuple[str, ...]:
    """Set the limits of a worker; call it inside the worker.

    Args:
        memory: bytes that it may take beyond what it has now.
        keep: descriptors that it needs; all others are closed, where they would be inherited.

    Returns:
        what holds on this system, in words.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # ends it even in the middle of a decoder
    sentinel = _end_with_parent()
    bounded = _limit_memory(memory)
    _let_go({*keep, *sentinel})
    return (*(("bounded memory",) if bounded else ()), *enclose())


def _end_with_parent() -> tuple[int, ...]:
    """Make the kernel end this process when its parent goes, whatever it is doing then.

    Returns:
        the descriptor that says so, if it is one.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return ()
    try:
        import fcntl
    except ImportError:  # Windows
        threading.Thread(target=_wait_for, args=(parent.sentinel,), daemon=True).start()
        return ()
    # the sentinel is a pipe whose other end only the parent has: SIGIO comes when it closes
    sentinel: int = parent.sentinel
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(sentinel, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(sentinel, fcntl.F_SETFL, fcntl.fcntl(sentinel, fcntl.F_GETFL) | os.O_ASYNC)
    if not parent.is_alive():
        os._exit(1)
    return (sentinel,)


def _wait_for(sentinel: int) -> None:
    """End this process when another has ended; a decoder that holds Python's lock delays that."""
    wait([sentinel])
    os._exit(1)


def _limit_memory(size: int) -> bool:
    """Let this process take ``size`` bytes more than it has; whether the system can hold it to that."""
    try:
        import resource
    except ImportError:  # Windows
        return False
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # pixels of evidence stay out of core files
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:  # not Linux
        return False
    limit = pages * resource.getpagesize() + size
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    return True


def _let_go(keep: set[int]) -> None:
    """Close what was inherited: the terminal, standard output, where rows may go, and helpers' pipes.

    What C libraries say of broken files is not for the terminal.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    if nothing > 2:
        os.close(nothing)
    try:
        import resource
    except ImportError:  # Windows, where descriptors are not inherited
        return
    used = sorted({0, 1, 2, *keep})
    last = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 1 << 16)
    for before, after in zip(used, [*used[1:], last], strict=True):
        os.closerange(before + 1, after)
