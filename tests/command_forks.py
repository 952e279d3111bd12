"""Runs programs in processes that need not load their libraries each: one process loads them, and forks.

As a script it reads jobs from standard input, one line of JSON each: a list of processes that run together.
:class:`Forks` is the other end, and :func:`run` stands in for :func:`subprocess.run`.
"""

from __future__ import annotations

import functools
import gc
import importlib
import json
import os
import resource
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
FAKE = REPOSITORY / "tests" / "cli" / "fake_aigdetect.py"
# what the program loads when it trains and draws; without torch, what the stand-in for the model loads
HEAVY = (
    *("timm", "open_clip", "matplotlib.figure", "torch.distributed", "aigdetect.cli.app"),
    *("aigdetect.cli.calibrate", "aigdetect.cli.evaluate", "aigdetect.cli.spectrum", "aigdetect.cli.train"),
    *("aigdetect.evaluation.from_plan", "aigdetect.scanning.page.write", "aigdetect.scanning.pipeline"),
    *("aigdetect.spectrum.analysis", "aigdetect.spectrum.figures", "aigdetect.training.train_model"),
)
LIGHT = (
    *(
        "aigdetect.cli.app",
        "aigdetect.cli.scan",
        "aigdetect.scanning.decoding.workers",
        "aigdetect.scanning.ledger",
    ),
    "aigdetect.scanning.page.write",
)
SECONDS = 900


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
    ``drawn``: whether a training draws its curves, see :mod:`plain_curves`.
    ``script``: what runs, if not the command-line program.
    ``environment``: what differs from the tests' own.
    """

    arguments: list[str]
    cwd: str
    kill: tuple[str, str, int] | None = None
    largest_file: int | None = None
    environment: dict[str, str] = field(default_factory=dict)
    drawn: bool = True
    script: str | None = None
    input: str = ""


class Forks:
    """The process that forks, once it has loaded some modules; it ends with this one."""

    def __init__(self, *modules: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # a backend that needs a screen which is not there: figures must not care
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "MPLBACKEND": "TkAgg"},
        )

    def run(self, *arguments: object, cwd: Path, **options: Any) -> Done:
        """Run the program once."""
        return self.together(Job([str(argument) for argument in arguments], str(cwd), **options))[0]

    def together(self, *jobs: Job) -> list[Done]:
        """Run several processes at a time."""
        return [
            Done(status, stdout.decode(errors="replace"), stderr.decode(errors="replace"))
            for status, stdout, stderr in self.outputs(*jobs)
        ]

    def outputs(self, *jobs: Job) -> list[tuple[int, bytes, bytes]]:
        """As :meth:`together`, byte for byte."""
        assert self._process.stdin
        assert self._process.stdout
        common = {**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "120"}
        asked = [asdict(job) | {"environment": common | job.environment} for job in jobs]
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return [
            (status, stdout.encode("latin-1"), stderr.encode("latin-1"))
            for status, stdout, stderr in json.loads(self._process.stdout.readline())
        ]


forks = functools.cache(Forks)


def run(
    *arguments: object,
    cwd: Path | str = ".",
    env: dict[str, str] | None = None,
    script: Path | None = None,
    input: bytes = b"",
    text: bool = True,
    **options: Any,
) -> subprocess.CompletedProcess[Any]:
    """Run the program, or a script, to its end: what :func:`subprocess.run` returns, and much sooner."""
    words = [os.fsdecode(each) if isinstance(each, bytes) else str(each) for each in arguments]
    job = Job(
        words,
        os.path.abspath(cwd),  # noqa: PTH100 - bytes, too
        environment=env or {},
        script=script and str(script),
        input=input.decode("latin-1"),
        **options,
    )
    ((status, stdout, stderr),) = forks(*(LIGHT if script == FAKE else HEAVY)).outputs(job)
    if not text:
        return subprocess.CompletedProcess(words, status, stdout, stderr)
    return subprocess.CompletedProcess(words, status, stdout.decode(), stderr.decode())


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
    with tempfile.TemporaryFile() as given:
        given.write(job.input.encode("latin-1"))
        given.seek(0)
        os.dup2(given.fileno(), 0)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - until it ends
    signal.alarm(SECONDS)
    os.chdir(job.cwd)
    os.environ.clear()
    os.environ.update(job.environment)
    sys.argv = [job.script or "aigdetect", *job.arguments]
    if not job.drawn:
        importlib.import_module("aigdetect.training.model_folder").draw_curves = importlib.import_module(
            "plain_curves"
        ).write_curves
    if job.kill:
        _killed_at(*job.kill)
    if job.largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job.largest_file, job.largest_file))
    status: Any = 0
    try:
        if job.script:
            sys.path.insert(0, str(Path(job.script).parent))
            runpy.run_path(job.script, run_name="__main__")
        else:
            importlib.import_module("aigdetect.cli.app").main()
    except SystemExit as ended:
        status = ended.code
    except BaseException:  # noqa: BLE001 - as the interpreter would
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(status or 0))


def _serve() -> None:
    for module in sys.argv[1:]:
        importlib.import_module(module)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    gc.freeze()  # what it holds is shared with all that it forks
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
                told.append(file.read().decode("latin-1"))
                file.close()
            done.append([status, *told])
        sys.stdout.write(json.dumps(done) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
