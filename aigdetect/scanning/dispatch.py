"""Many workers on a cluster, and one ordered stream of results, each exactly once, whoever dies meanwhile.

Built on Ray's actors and not on Ray Data: a dataset must be listed before it runs, and what it has given to
an actor stays with that actor. When a machine is lost, those files wait for a restart that there is no room
for, and all later rows with them. Here a worker has a few blocks at a time, and what it owed when it died
goes to the others.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from aigdetect.data.dataset import batched
from aigdetect.errors import UsageError
from aigdetect.images.find import Found
from aigdetect.scanning.cluster import Share, last_line
from aigdetect.scanning.heat import HeatMap
from aigdetect.scanning.model_in_use import ModelInUse
from aigdetect.scanning.opinion import Opinion
from aigdetect.scanning.pipeline import Result, log_trace
from aigdetect.scanning.preparation import Prepared
from aigdetect.scanning.record import Record
from aigdetect.scanning.remote import Job, Loaded, Worker
from aigdetect.scanning.scoring import EarlierRecords, like_earlier
from aigdetect.scanning.settings import difference

_BATCHES = 4  # of the model in one block of files
_QUEUE = 2  # blocks that a worker has at a time: the next one must not wait for this process
_AHEAD = 4  # blocks for each worker that may be in the works before the first of them is done
_DEATHS = 2  # of a block's workers until its files are scanned one by one, and then until a file is given up
_FALSE_STARTS = 3  # for each worker that there is to be
_PATIENCE = 60.0  # seconds without a worker after which that is said


@dataclass(eq=False)
class _Block:
    """A run of files, or the blocks into which it was split."""

    items: list[Found]
    deaths: int = 0
    results: list[Result] | None = None
    parts: list[_Block] = field(default_factory=list)

    @property
    def done(self) -> bool:
        return all(part.done for part in self.parts) if self.parts else self.results is not None

    def all_results(self) -> Iterator[Result]:
        return (
            chain.from_iterable(part.all_results() for part in self.parts)
            if self.parts
            else iter(self.results or ())
        )


@dataclass(eq=False)
class _Actor:
    """A worker and what it owes, the oldest first; ``None`` for its report that it is ready."""

    handle: Any
    owed: dict[Any, _Block | None] = field(default_factory=dict)
    host: str = ""  # once it is ready


class ClusterScanner:
    """Scans with workers on the cluster that was joined; see :class:`aigdetect.scanning.scanner.Scanner`.

    Args:
        job: what the workers must know.
        share: how many there are, and what each gets.
        warn: called with one line per warning.

    Raises:
        UsageError: if no worker can be started.
        AigdetectError: if the model cannot be loaded by the first of them that starts.
    """

    def __init__(self, job: Job, share: Share, *, warn: Callable[[str], None]) -> None:
        self._job = job
        self._share = share
        self._warn = warn
        self._actors: list[_Actor] = []
        self._waiting: deque[_Block] = deque()  # given to nobody yet
        self._false_starts = 0
        self._said = False  # that there is no worker yet
        self._loaded: Loaded | None = None
        try:
            for _ in range(share.count):
                self._start()
            while self._loaded is None:
                self._wait(_PATIENCE)
        except BaseException:
            self.close()
            raise

    @property
    def loaded(self) -> Loaded:
        """The first worker that was ready."""
        if self._loaded is None:
            raise RuntimeError("no worker is ready")
        return self._loaded

    @property
    def model(self) -> ModelInUse:
        """The model of every worker."""
        return self.loaded.model

    @property
    def also(self) -> Mapping[str, ModelInUse]:
        """Further models of every worker."""
        return self.loaded.also

    def results(self, found: Iterable[Found], known: EarlierRecords) -> Generator[Result, None, None]:
        """See :class:`aigdetect.scanning.scanner.Scanner`.

        Raises:
            UsageError: if workers die as they start, or differ in what rows depend on.
        """
        window: deque[_Block] = deque()
        for items in batched(found, _BATCHES * self.model.batch_size):
            window.append(_Block(items))
            self._waiting.append(window[-1])
            self._wait(0)
            while window and (window[0].done or len(window) >= _AHEAD * self._share.count):
                yield from self._finished(window, known)
        while window:
            yield from self._finished(window, known)

    def heat_map(self, result: Result) -> HeatMap | None:
        """What its worker has drawn."""
        return result.heat_map

    def close(self) -> None:
        """End the workers at once, whatever they are doing."""
        while self._actors:
            ray.kill(self._actors.pop().handle)

    def _finished(self, window: deque[_Block], known: EarlierRecords) -> Iterator[Result]:
        """The results of the first block, which leaves the window."""
        block = window[0]
        while not block.done:
            self._wait(_PATIENCE)
        window.popleft()
        for item, result in zip(block.items, block.all_results(), strict=True):
            record = result.record.at(item.path)
            log_trace(replace(result.prepared, record=record))
            yield replace(result, record=like_earlier(record, known))

    # -- workers -------------------------------------------------------------------------------------------

    def _start(self) -> None:
        made: Any = ray.remote(
            num_cpus=self._share.cpus, num_gpus=self._share.gpus, scheduling_strategy="SPREAD"
        )
        actor = _Actor(made(Worker).remote(self._job))
        actor.owed[actor.handle.load.remote()] = None
        self._actors.append(actor)

    def _wait(self, seconds: float) -> None:
        """Give out what is waiting, and take in what is done, once something is or the time is over."""
        self._give()
        pending = [ref for actor in self._actors for ref in actor.owed]
        done, _ = ray.wait(pending, num_returns=1, timeout=seconds) if pending else ([], [])
        for ref in done:
            self._take(next(actor for actor in self._actors if ref in actor.owed), ref)
        if seconds and not done and not self._said and not any(actor.host for actor in self._actors):
            self._said = True
            gpu = f" and {self._share.gpus} GPU" if self._share.gpus else ""
            self._warn(
                f"no worker is ready after {seconds:g} s; each waits for {self._share.cpus} free CPUs{gpu} "
                "on one machine, and loads the model there"
            )

    def _give(self) -> None:
        while self._waiting:
            free = [actor for actor in self._actors if actor.host and len(actor.owed) < _QUEUE]
            if not free:
                return
            actor = min(free, key=lambda actor: len(actor.owed))
            block = self._waiting.popleft()
            actor.owed[actor.handle.scan.remote([_absolute(item) for item in block.items])] = block

    def _take(self, actor: _Actor, ref: Any) -> None:
        try:
            outcome = ray.get(ref)
        except RayTaskError as error:
            raise error.cause or error from None
        except RayError as error:
            self._bury(actor, error)
            return
        block = actor.owed.pop(ref)
        if block is None:
            self._welcome(actor, outcome)
        else:
            block.results = outcome

    def _welcome(self, actor: _Actor, loaded: Loaded) -> None:
        self._loaded = first = self._loaded or loaded
        if unlike := difference(first.settings.as_dict(), loaded.settings.as_dict()):
            raise UsageError(
                f"the worker on {first.host} runs with {unlike} as the one on {loaded.host}: rows would "
                "differ; say which with an option, or make the machines alike"
            )
        actor.host = loaded.host
        self._false_starts = 0

    def _bury(self, actor: _Actor, error: RayError) -> None:
        """Give what a dead worker owed to the others, and start a new one."""
        self._actors.remove(actor)
        ray.kill(actor.handle)  # it may only have been out of reach
        owed = [block for block in actor.owed.values() if block is not None]
        if owed:
            owed[:1] = _again(owed[0], tuple(self.also))
        self._waiting.extendleft(reversed(owed))
        if actor.host:
            self._warn(f"a worker on {actor.host} died: others do again what it was doing")
        else:
            self._false_starts += 1
            if self._false_starts >= _FALSE_STARTS * self._share.count:
                raise UsageError(
                    f"workers die as they start; is the program on every machine? ({last_line(error)})"
                )
        self._start()


def _absolute(item: Found) -> Found:
    """A file as workers find it, who run in other folders."""
    if os.path.isabs(item.path):  # noqa: PTH117 - paths stay as given
        return item
    return replace(item, path=f"{Path.cwd()}/{item.path}")


def _again(block: _Block, also: Sequence[str]) -> list[_Block]:
    """What is left to do of a block whose worker died over it.

    Args:
        block: see above.
        also: what further models are called.
    """
    block.deaths += 1
    if block.deaths < _DEATHS:
        return [block]
    if len(block.items) > 1:
        block.parts = [_Block([item]) for item in block.items]
        return block.parts
    record = Record(block.items[0].path, also=tuple(map(Opinion, also)))
    record = record.failed("every worker that scanned it died", "process")
    block.results = [Result(record, Prepared(record))]
    return []
