"""What a worker gives up before it sees a file: the network, other files, other programs and processes.

Linux alone lets a process give these up for good without help from its administrator: Landlock for files, a
filter of system calls (seccomp) for the rest. Both are asked of the kernel directly: what wraps them for
Python is either years old or weeks.
https://docs.kernel.org/userspace-api/landlock.html
https://docs.kernel.org/userspace-api/seccomp_filter.html
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import PIL

_NO_NEW_PRIVILEGES = 38  # prctl

# -- Landlock, the same numbers on all processors ----------------------------------------------------------

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1
_PATH_BENEATH = 1
_WRITE_FILE, _READ_FILE, _READ_FOLDER = 1 << 1, 1 << 2, 1 << 3
_ACCESSES = {1: 13, 2: 14, 3: 15, 5: 16}  # kinds of access to files known from each version on
_TCP, _TCP_SINCE = 0b11, 4
_OUTSIDE, _OUTSIDE_SINCE = 0b11, 6  # abstract sockets, and signals to processes that are not so restricted

# -- seccomp -----------------------------------------------------------------------------------------------

_NAMES = (
    *("socket", "connect", "bind", "execve", "execveat", "ptrace", "bpf"),
    *("process_vm_readv", "process_vm_writev", "io_uring_setup", "pidfd_getfd"),
)
"""Refused: the network, other programs, other processes, and what would get around this."""

# architecture as the kernel numbers it, the number of seccomp, and those of the names above
_CALLS = {
    "x86_64": (0xC000003E, 317, (41, 42, 49, 59, 322, 101, 321, 310, 311, 425, 438)),
    "aarch64": (0xC00000B7, 277, (198, 203, 200, 221, 281, 117, 280, 270, 271, 425, 438)),
}
_OTHER_TABLE = 0x40000000  # numbers from here on are those of x32, a second way to every call
_SET_FILTER, _ALL_THREADS = 1, 1
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050000 | 13  # with the error "permission denied"
_LOAD, _IF_EQUAL, _IF_FROM, _RETURN = 0x20, 0x15, 0x35, 0x06


def enclose() -> tuple[str, ...]:
    """Give up, for this process and for good, what decoding does not need.

    Libraries can still be read, so that what is imported late can be; files that were opened before, or are
    handed over, stay usable.

    Returns:
        what holds from now on, in words; empty where the system has no such thing.
    """
    if not sys.platform.startswith("linux"):
        return ()
    if _libc().prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        return ()
    held = []
    if _without_files(_needed()):
        held.append("no files but libraries")
    if _without_calls():
        held.append("no network, no other programs")
    return tuple(held)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _needed() -> Iterator[str]:
    """Files and folders that decoding may read: libraries, and the signers that the user trusts."""
    from aigdetect.evidence.c2pa import ANCHORS

    yield from (sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    yield from (sys.prefix, sys.base_prefix)
    yield from (str(Path(package.__file__ or "").parents[1]) for package in (PIL, np))
    yield str(Path(__file__).parents[2])
    yield from ("/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/lib", "/lib64", "/etc/ld.so.cache")
    yield from ("/dev/null", "/dev/urandom", "/sys/devices/system/cpu")
    if os.environ.get(ANCHORS):
        yield os.environ[ANCHORS]


def _without_files(needed: Iterable[str]) -> bool:
    """Allow nothing of files but to read some; whether the kernel has agreed."""
    libc = _libc()
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)
    if version < 1:
        return False
    accesses = max(count for since, count in _ACCESSES.items() if since <= version)
    asked = [
        (1 << accesses) - 1,
        *([_TCP] if version >= _TCP_SINCE else []),
        *([_OUTSIDE] if version >= _OUTSIDE_SINCE else []),
    ]
    attributes = struct.pack(f"{len(asked)}Q", *asked)
    rules = libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if rules < 0:
        return False
    try:
        for path in needed:
            _allow(libc, rules, path)
        return bool(libc.syscall(_RESTRICT_SELF, rules, 0) == 0)
    finally:
        os.close(rules)


def _allow(libc: ctypes.CDLL, rules: int, path: str) -> None:
    """Let a file, or all that is in a folder, be read; one that is not there needs no rule."""
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if Path(path).is_dir():
            access = _READ_FILE | _READ_FOLDER
        else:
            access = _READ_FILE | (_WRITE_FILE if path == os.devnull else 0)
        libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, struct.pack("=Qi", access, place), 0)
    finally:
        os.close(place)


def _without_calls() -> bool:
    """Refuse system calls that reach out of this process; whether the kernel has agreed."""
    machine = platform.machine()
    if machine not in _CALLS or sys.maxsize < 1 << 32:
        return False
    architecture, seccomp, numbers = _CALLS[machine]
    steps = [
        (_LOAD, 0, 0, 4),  # the architecture
        (_IF_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),  # the number of the call
        (_IF_FROM, len(numbers) + 1, 0, _OTHER_TABLE),
        *((_IF_EQUAL, len(numbers) - at, 0, number) for at, number in enumerate(numbers)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    code = b"".join(struct.pack("=HBBI", *step) for step in steps)
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("HxxxxxxQ", len(steps), ctypes.addressof(buffer))
    done = _libc().syscall(seccomp, _SET_FILTER, _ALL_THREADS, program)
    return bool(done == 0)
