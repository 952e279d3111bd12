"""Runs programs in processes that need not load their libraries each: one process loads them, and forks.

As a script it reads from standard input, one line of JSON each: jobs to start together, or the number of a
process to wait for or to look at. :class:`Forks` is the other end; :func:`run` and :func:`start` stand in for
:func:`subprocess.run` and :class:`subprocess.Popen`.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import json
import multiprocessing.util
import os
import resource
import runpy
import signal
import subprocess
import sys
import tempfile
import time
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
# what a fork of a fork can do of what subprocess.run can
FORKED = {"cwd", "env", "stdout", "stderr", "capture_output", "text", "check"}


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
    new_session: bool = False


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
        return [each.end() for each in self.start(*jobs)]

    def start(self, *jobs: Job) -> list[Started]:
        """Start several processes at a time, and wait for none."""
        common = {**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "120"}
        told = [asdict(job) | {"environment": common | job.environment} for job in jobs]
        return [Started(self, pid) for pid in self.ask(start=told)]

    def ask(self, **question: Any) -> Any:
        """One question to the process that forks, and its answer."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


class Started:
    """A process that runs, or has ended: as much of :class:`subprocess.Popen` as tests ask for, in bytes."""

    def __init__(self, forks: Forks, pid: int) -> None:
        self._forks = forks
        self._end: tuple[int, bytes, bytes] | None = None
        self.pid = pid

    def end(self, timeout: float | None = None) -> tuple[int, bytes, bytes]:
        """Status, standard output and standard error, once it has ended."""
        if timeout is None:
            self._look(wait=True)
        else:
            late = time.monotonic() + timeout
            while self.poll() is None:
                if time.monotonic() > late:
                    raise subprocess.TimeoutExpired(str(self.pid), timeout)
                time.sleep(0.01)
        assert self._end
        return self._end

    @property
    def returncode(self) -> int | None:
        return self._end and self._end[0]

    def poll(self) -> int | None:
        self._look(wait=False)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        return self.end(timeout)[0]

    def communicate(self, timeout: float | None = None) -> tuple[bytes, bytes]:
        return self.end(timeout)[1:]

    def _look(self, *, wait: bool) -> None:
        if self._end is None and (told := self._forks.ask(end=self.pid, wait=wait)):
            status, stdout, stderr = told
            self._end = status, stdout.encode("latin-1"), stderr.encode("latin-1")

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


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
    started = start(*arguments, cwd=cwd, env=env, script=script, input=input.decode("latin-1"), **options)
    stdout, stderr = started.communicate()
    return subprocess.CompletedProcess(
        arguments, started.returncode, *((stdout.decode(), stderr.decode()) if text else (stdout, stderr))
    )


def start(
    *arguments: object,
    cwd: Path | str = ".",
    env: dict[str, str] | None = None,
    script: Path | None = None,
    **options: Any,
) -> Started:
    """Start the program, or a script."""
    job = Job(
        [os.fsdecode(each) if isinstance(each, bytes) else str(each) for each in arguments],
        os.path.abspath(cwd),  # noqa: PTH100 - bytes, too
        environment=env or {},
        script=script and str(script),
        **options,
    )
    return forks(*(LIGHT if script == FAKE else HEAVY)).start(job)[0]


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


_run_anew = subprocess.run


def _run_forked(command: Any, **options: Any) -> subprocess.CompletedProcess[Any]:
    """Stands in for :func:`subprocess.run` inside a fork: what is ours becomes a fork of the fork."""
    program = command[:3] == [sys.executable, "-m", "aigdetect"]
    script = command[0] == sys.executable and command[1].endswith(".py")
    if not (program or script) or options.keys() - FORKED:
        return _run_anew(command, **options)
    job = Job(
        command[3 if program else 2 :],
        os.fspath(options.get("cwd") or Path.cwd()),
        environment=dict(options.get("env") or os.environ),
        script=None if program else command[1],
    )
    captured = subprocess.PIPE if options.get("capture_output") else None
    pipes = [options.get(name, captured) for name in ("stdout", "stderr")]
    files = [tempfile.TemporaryFile() if pipe == subprocess.PIPE else pipe for pipe in pipes]  # noqa: SIM115
    child = _fork(job, [number if file is None else file.fileno() for number, file in enumerate(files, 1)])
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    told: list[Any] = []
    for pipe, file in zip(pipes, files, strict=True):
        told.append(None)
        if pipe == subprocess.PIPE:
            file.seek(0)
            told[-1] = file.read().decode() if options.get("text") else file.read()
    done = subprocess.CompletedProcess(command, status, *told)
    if options.get("check"):
        done.check_returncode()
    return done


def _spawn_forked(path: bytes, arguments: list[Any], passed: list[int]) -> int:
    """Stands in for what multiprocessing starts its servers with, which would load everything anew."""
    del path
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        for descriptor in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208
            if descriptor > 2 and descriptor not in passed:
                with contextlib.suppress(OSError):  # that of the list itself
                    os.close(descriptor)
        exec(arguments[-1], {})
        status = 0
    finally:
        os._exit(status)


def _fork(job: Job, output: list[int]) -> int:
    """Start a job whose output goes to two descriptors; its number."""
    child = os.fork()
    if not child:
        _child(job, output)
    return child


def _child(job: Job, output: list[int]) -> None:
    for descriptor, target in zip(output, (1, 2), strict=True):
        os.dup2(descriptor, target)
    with tempfile.TemporaryFile() as given:
        given.write(job.input.encode("latin-1"))
        given.seek(0)
        os.dup2(given.fileno(), 0)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - until it ends
    if job.new_session:
        os.setsid()
    signal.alarm(SECONDS)
    subprocess.run = _run_forked
    if Path("/proc/self/fd").exists():
        multiprocessing.util.spawnv_passfds = _spawn_forked
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
    running: dict[int, list[Any]] = {}
    for line in sys.stdin:
        question = json.loads(line)
        if "start" in question:
            answer: Any = []
            for job in [Job(**told) for told in question["start"]]:
                files = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115
                child = _fork(job, [file.fileno() for file in files])
                running[child] = files
                answer.append(child)
        else:
            answer = None
            child, status = os.waitpid(question["end"], 0 if question["wait"] else os.WNOHANG)
            if child:
                answer = [os.waitstatus_to_exitcode(status)]
                for file in running.pop(child):
                    file.seek(0)
                    answer.append(file.read().decode("latin-1"))
                    file.close()
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
