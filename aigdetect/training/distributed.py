"""Several processes that train one model: who they are, and what they tell one another."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

import torch
import torch.distributed as dist
from torch import Tensor

from aigdetect.errors import PeerError
from aigdetect.training.ranks import environment_rank

#: a process waits so long for the others, which may have slower disks; one that dies is noticed at once
PATIENCE = timedelta(hours=2)
# how gloo, which has no class of its own for it, says that a connection has ended
_GONE = re.compile(r"connection|peer|socket|broken pipe|timed ?out", re.IGNORECASE)
_HERE = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True)
class Group:
    """The processes of a run; alone, every method is free and changes nothing.

    Tensors on the CPU travel through gloo, those on a GPU through NCCL. Every process must call the same
    methods in the same order.

    Attributes:
        rank: number of this process, from 0.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Whether there is no other process."""
        return self.size == 1

    def bounds(self, count: int) -> list[int]:
        """Where the shares of the processes in ``count`` things begin, and after them ``count``."""
        return [count * rank // self.size for rank in range(self.size + 1)]

    def share_of(self, count: int) -> range:
        """Which of ``count`` things are this process's."""
        return [range(*ends) for ends in pairwise(self.bounds(count))][self.rank]

    def add(self, tensor: Tensor) -> None:
        """Put the sum over all processes into ``tensor``, the same bits everywhere."""
        if not self.alone:
            with self._others():
                dist.all_reduce(tensor)

    def copy_from_first(self, tensor: Tensor) -> None:
        """Put the first process's values into ``tensor``."""
        if not self.alone:
            with self._others():
                dist.broadcast(tensor, src=0)

    def bytes_from_first(self, data: bytes) -> bytes:
        """What the first process passed as ``data``."""
        if self.alone:
            return data
        size = torch.tensor([len(data)])
        self.copy_from_first(size)
        buffer = torch.zeros(int(size), dtype=torch.uint8)
        if self.first and data:
            buffer = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        if len(buffer):
            self.copy_from_first(buffer)
        return buffer.numpy().tobytes()

    def rows_of_all(self, rows: Tensor) -> Tensor:
        """Rows ``(n, ...)`` of every process, one under the other by rank; ``n`` may differ."""
        if self.alone:
            return rows
        counts, padded = self._padded(rows)
        parts = [torch.empty_like(padded) for _ in counts]
        with self._others():
            dist.all_gather(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    def rows_to_first(self, rows: Tensor) -> Tensor:
        """As :meth:`rows_of_all` on the first process; the others get their own rows back."""
        if self.alone:
            return rows
        counts, padded = self._padded(rows)
        parts = [torch.empty_like(padded) for _ in counts] if self.first else None
        with self._others():
            dist.gather(padded, parts, dst=0)
        if parts is None:
            return rows
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    def texts_of_all(self, texts: Sequence[str]) -> list[str]:
        """Texts of every process, by rank."""
        if self.alone:
            return list(texts)
        lines = "".join(json.dumps(text) + "\n" for text in texts).encode("ascii")
        rows = self.rows_of_all(torch.tensor(list(lines), dtype=torch.uint8))
        return [json.loads(line) for line in bytes(rows.tolist()).splitlines()]

    def wait(self) -> None:
        """Go on when every process has come here."""
        self.add(torch.zeros(1))

    def _padded(self, rows: Tensor) -> tuple[list[int], Tensor]:
        """Row counts of every process, and the rows filled up to the largest of them."""
        counts = torch.zeros(self.size, dtype=torch.int64)
        counts[self.rank] = len(rows)
        self.add(counts)
        padded = rows.new_zeros((int(counts.max()), *rows.shape[1:]))
        padded[: len(rows)] = rows
        return counts.tolist(), padded

    @contextmanager
    def _others(self) -> Generator[None, None, None]:
        try:
            yield
        except RuntimeError as error:
            # what is wrong here, such as too little memory, must not be taken for what is wrong elsewhere
            if not isinstance(error, dist.DistError) and not _GONE.search(str(error)):
                raise
            raise PeerError(
                f"process {self.rank} of {self.size}: another process of the run has ended; see what it "
                "said, then go on with --resume"
            ) from error


ALONE = Group()


@contextmanager
def joined() -> Iterator[Group]:
    """The group that the environment tells of, while the block runs.

    A process with a GPU takes the one of its number on its machine, ``LOCAL_RANK``.

    Raises:
        PeerError: if the others cannot be reached.
        UsageError: if the environment contradicts itself.
    """
    rank, size = environment_rank()
    if size == 1:
        yield ALONE
        return
    if os.environ["MASTER_ADDR"] in _HERE:
        # gloo would look for the machine's own name, which not every resolver knows
        for name in {"lo", "lo0"} & {name for _, name in socket.if_nameindex()}:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        backend = "cpu:gloo,cuda:nccl"
    try:
        dist.init_process_group(backend, rank=rank, world_size=size, timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise PeerError(f"process {rank} of {size}: cannot reach the others ({error})") from error
    yield Group(rank, size)
    # after an error the others may never answer: the connections close with the process
    dist.destroy_process_group()
