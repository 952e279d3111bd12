"""Memory that was freed, given back to the system."""

from __future__ import annotations

import ctypes
from contextlib import suppress


def give_back_freed_memory() -> None:
    """Let the system have what was freed; where the C library is not glibc, nothing happens.

    While large matrices come and go and small ones stay, glibc keeps most of what was freed: between what
    stays, nothing large fits in again.
    """
    with suppress(AttributeError, OSError, TypeError):  # no glibc, or no way to ask
        ctypes.CDLL(None).malloc_trim(0)
