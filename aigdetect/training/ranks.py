"""Which of several processes this is, as torchrun and its like tell it; asked before torch is loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping

from aigdetect.errors import UsageError


def environment_rank(environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """Rank and number of the processes as torchrun and its like tell them; ``(0, 1)`` where none started us.

    Raises:
        UsageError: if the environment contradicts itself.
    """
    if "WORLD_SIZE" not in environment or "MASTER_ADDR" not in environment:
        return 0, 1
    try:
        rank, size = int(environment["RANK"]), int(environment["WORLD_SIZE"])
    except (KeyError, ValueError) as error:
        raise UsageError(
            "RANK and WORLD_SIZE: not both whole numbers; start the run with torchrun"
        ) from error
    return rank, size
