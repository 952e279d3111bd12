"""Runs the command-line program in processes that need not load torch each: one process loads it, and forks.

As a script it reads jobs from standard input, one line of JSON each: a list of processes that run together.
:class:`Forks` is the other end.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Done:
    """How a process ended: a negative status is the signal that killed it."""

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Job:
    """One process.

    ``kill``: module, attribute and a number: SIGKILL comes when that is called for the so manieth time.
    ``largest_file``: files can grow no longer, as on a full disk.
    """

    arguments: list[str]
    cwd: str
    kill: tuple[str, str, int] | None = None
    largest_file: int | None = None
    environment: dict[str, str] = field(default_factory=dict)


class Forks:
    """The process that forks."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "120"},
        )

    def run(self, *arguments: object, cwd: Path, **options: Any) -> Done:
        """Run the program once."""
        return self.together(Job([str(argument) for argument in arguments], str(cwd), **options))[0]

    def together(self, *jobs: Job) -> list[Done]:
        """Run several processes at a time."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([asdict(job) for job in jobs]) + "\n")
        self._process.stdin.flush()
        return [Done(**done) for done in json.loads(self._process.stdout.readline())]

    def close(self) -> None:
        """End it."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(60)


def _killed_at(module: str, attribute: str, number: int) -> None:
    *owners, name = attribute.split(".")
    owner = functools.reduce(getattr, owners, importlib.import_module(module))
    original, left = getattr(owner, name), [number]

    @functools.wraps(original)
    def counted(*arguments: Any, **options: Any) -> Any:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)

    setattr(owner, name, counted)


def _child(job: Job, output: list[int]) -> None:
    for descriptor, target in zip(output, (1, 2), strict=True):
        os.dup2(descriptor, target)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(job.cwd)
    os.environ |= job.environment
    sys.argv = ["aigdetect", *job.arguments]
    if job.kill:
        _killed_at(*job.kill)
    if job.largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job.largest_file, job.largest_file))
    from aigdetect.cli.app import main

    status: Any = 70
    try:
        main()
    except SystemExit as ended:
        status = ended.code
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(status or 0))


def _serve() -> None:
    import matplotlib.figure
    import timm
    import torch
    import torch.distributed

    import aigdetect.training.run  # noqa: F401

    torch.set_num_threads(1)
    assert matplotlib
    assert timm
    for line in sys.stdin:
        running = []
        for job in [Job(**told) for told in json.loads(line)]:
            files = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115
            child = os.fork()
            if not child:
                _child(job, [file.fileno() for file in files])
            running.append((child, files))
        done = []
        for child, files in running:
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            told = []
            for file in files:
                file.seek(0)
                told.append(file.read().decode(errors="replace"))
                file.close()
            done.append(asdict(Done(status, *told)))
        sys.stdout.write(json.dumps(done) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
