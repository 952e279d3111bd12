"""The log of a run: every step and epoch as a line of JSON, and what the curves need of it."""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aigdetect.errors import UsageError
from aigdetect.files import writing
from aigdetect.training.watching import Epoch, Step

LOG_NAME = "log.jsonl"


class Log:
    """Writes steps and epochs to a file as JSON lines.

    Args:
        path: the file.
        keep: so many bytes of what is there stay, the rest goes: what came after a checkpoint happens again.

    Raises:
        UsageError: if the file cannot be written, or is shorter than that.
    """

    def __init__(self, path: Path, *, keep: int = 0) -> None:
        self._path = path
        with writing(path):
            self._file = path.open("ab")
            if self._file.tell() < keep:
                self._file.close()
                raise UsageError(f"{path}: was cut short since the checkpoint; start anew with --force")
            self._file.truncate(keep)

    def step(self, step: Step) -> None:
        """See :attr:`aigdetect.training.watching.Watch.step`."""
        self._write({"type": "step", **asdict(step)})

    def epoch(self, epoch: Epoch) -> None:
        """See :attr:`aigdetect.training.watching.Watch.epoch`."""
        self._write({"type": "epoch", "epoch": epoch.epoch, **epoch.metrics})

    def settle(self) -> int:
        """Bring all lines to the disk.

        Returns:
            bytes of the file.

        Raises:
            UsageError: if they cannot be written.
        """
        with writing(self._path):
            os.fsync(self._file.fileno())
        return self._file.seek(0, os.SEEK_END)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, entry: dict[str, Any]) -> None:
        with writing(self._path):
            self._file.write(json.dumps(entry).encode("ascii") + b"\n")
            self._file.flush()


@dataclass(frozen=True)
class History:
    """A log as arrays.

    Attributes:
        step: ``(S,)`` numbers of the steps.
        bce: ``(S,)`` binary cross-entropy.
        balance: ``(S,)`` load-balancing loss summed over the blocks.
        lr: ``(S,)`` learning rate.
        load: ``(S, B, N)`` share of the tokens by block and expert; ``B`` may be 0.
        epochs: number of the last step before, and held-out figures, of each epoch.
    """

    step: NDArray[np.float64]
    bce: NDArray[np.float64]
    balance: NDArray[np.float64]
    lr: NDArray[np.float64]
    load: NDArray[np.float64]
    epochs: tuple[tuple[int, Mapping[str, float | None]], ...]


def read_history(path: Path) -> History:
    """Read a log line by line."""
    columns = {name: array("d") for name in ("step", "bce", "balance", "lr", "load")}
    epochs: list[tuple[int, Mapping[str, float | None]]] = []
    shape: tuple[int, int] = (0, 0)
    with path.open(encoding="ascii") as lines:
        for line in lines:
            entry = json.loads(line)
            if entry["type"] == "epoch":
                epochs.append((int(columns["step"][-1]) if columns["step"] else 0, entry))
                continue
            for name in ("step", "bce", "balance", "lr"):
                columns[name].append(entry[name])
            columns["load"].extend(share for of_block in entry["load"] for share in of_block)
            shape = (len(entry["load"]), len(entry["load"][0]) if entry["load"] else 0)
    arrays = {name: np.array(column, dtype=np.float64) for name, column in columns.items()}
    load = arrays.pop("load").reshape(len(arrays["step"]), *shape)
    return History(**arrays, load=load, epochs=tuple(epochs))
