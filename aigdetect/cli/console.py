"""The two consoles (results and messages), progress, and how an error becomes an exit status."""

from __future__ import annotations

import atexit
import io
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO, cast

from aigdetect.errors import AigdetectError, UsageError
from aigdetect.text import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


class Exit(IntEnum):
    """Exit statuses that every command shares."""

    DONE = 0
    SOME_FAILED = 1
    NOTHING_DONE = 2
    FLAGGED = 3
    INTERRUPTED = 130
    READER_GONE = 141  # what a shell says of a program that a closed pipe has ended


@dataclass
class Terminal:
    """Results go to standard output, everything else to standard error.

    Attributes:
        quiet: only errors are said.
        debug: errors come with their traceback.
        listeners: are told every line that is said, also those that ``quiet`` suppresses.
    """

    quiet: bool = False
    debug: bool = False
    listeners: list[Callable[[str], None]] = field(default_factory=list)

    def results(self) -> Console:
        """Console of results, on standard output."""
        from rich.console import Console

        # file names are data: neither markup, emoji codes nor highlighting may touch them
        return Console(markup=False, emoji=False, highlight=False, soft_wrap=not sys.stdout.isatty())

    def messages(self) -> Console:
        """Console of messages and progress, on standard error."""
        from rich.console import Console

        file = cast(TextIO, _Messages(sys.stderr))
        return Console(file=file, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """Say one line on standard error, unless quiet."""
        self._tell(text)
        self.show(text)

    def show(self, text: str) -> None:
        """As :meth:`say`, of what listeners know from elsewhere."""
        if not self.quiet:
            self._write(text)

    def warn(self, text: str) -> None:
        """Say a warning on standard error, unless quiet."""
        self.say(f"warning: {text}")

    def show_log(self, level: int) -> None:
        """Say what the program logs from ``level`` on.

        Facts of the run come from ``logging.INFO`` on, tracebacks of single files from ``logging.DEBUG`` on.
        """
        log = logging.getLogger("aigdetect")
        if not any(isinstance(handler, _ToTerminal) for handler in log.handlers):
            log.addHandler(_ToTerminal(self))
        log.setLevel(min(level, log.level or level))

    def reset(self) -> None:
        """Forget the common options of a program that has ended: its process may go on."""
        self.quiet = self.debug = False
        log = logging.getLogger("aigdetect")
        for handler in [handler for handler in log.handlers if isinstance(handler, _ToTerminal)]:
            log.removeHandler(handler)
            log.setLevel(logging.NOTSET)

    def error(self, error: BaseException) -> None:
        """Say one line about an error, with its traceback if asked for."""
        if self.debug and error.__traceback__:
            # line by line: what an error says can come out of a file
            for line in "".join(traceback.format_exception(error)).splitlines():
                self._write(line)
        text = str(error) if isinstance(error, AigdetectError) else f"{type(error).__name__}: {error}"
        self._tell(f"error: {text}")
        self._write(f"error: {text}")

    @contextmanager
    def progress(
        self, description: str, total: int | None = None, *, hidden: bool = False
    ) -> Iterator[Progress]:
        """Progress bar on standard error; drawn only on a terminal, and not if hidden."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = self.messages()
        bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}", markup=False),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            redirect_stdout=False,  # results must not end up among the messages
            disable=hidden or self.quiet or not console.is_terminal,
        )
        bar.add_task(description, total=total, speed="")
        with bar:
            yield bar

    def _tell(self, text: str) -> None:
        for listener in self.listeners:
            listener(printable(text))

    @staticmethod
    def _write(text: str) -> None:
        messages = _Messages(sys.stderr)
        messages.write(printable(text) + "\n")
        messages.flush()


class _Messages:
    """Standard error, of which what cannot be written is lost: a message must not cost a row."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


class _ToTerminal(logging.Handler):
    """Shows the log in a form that cannot drive the terminal."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__()
        self._terminal = terminal

    def emit(self, record: logging.LogRecord) -> None:
        for line in self.format(record).splitlines():
            self._terminal.show(line)


def run(program: object, terminal: Terminal) -> int:
    """Run the command-line program and turn whatever ends it into an exit status.

    Args:
        program: the callable that Typer made of the application.
        terminal: consoles, filled with the common options while the program runs.
    """
    if sys.stderr is None:
        # closed; no file that is opened may get its number, to which libraries write
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - until the process ends
    try:
        return _status(program, terminal)
    finally:
        terminal.reset()
        _drop_messages()


def _status(program: object, terminal: Terminal) -> int:
    if sys.stdout is None:
        terminal.error(UsageError("standard output is closed; open it, if only to /dev/null"))
        return Exit.NOTHING_DONE
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # no locale may stop a file name
    try:
        status = program(standalone_mode=False)  # type: ignore[operator]
    except AigdetectError as error:
        terminal.error(error)
        if not output_is_written():
            drop_output()  # or flushing it at exit would fail again, and change the status
        return Exit.NOTHING_DONE
    except KeyboardInterrupt:
        return _interrupted(terminal)
    except BrokenPipeError:
        return _reader_gone()
    except SystemExit as ended:
        # what Typer and Rich make of a broken pipe
        if isinstance(ended.__context__, BrokenPipeError):
            return _reader_gone()
        raise
    except Exception as error:  # noqa: BLE001 - the last net: a user never meets a traceback unasked
        if type(error).__name__ == "Abort":  # what older Typer makes of an interrupt
            return _interrupted(terminal)
        if (code := _usage_status(error)) is not None:
            return code
        terminal.error(error)
        if not terminal.debug:
            terminal.say("this is a fault of the program: please report it with the output of --debug")
        return Exit.NOTHING_DONE
    if status == Exit.INTERRUPTED:  # what Typer makes of an interrupt
        return _interrupted(terminal)
    return int(status) if isinstance(status, int) else Exit.DONE


def end_at_once(status: int) -> NoReturn:
    """End the process after what has been asked for at its exit, but free nothing and wait for no thread.

    To free a model and the libraries below it takes the interpreter a second, and more memory than scoring
    did; a thread inside a decoder could hold it for minutes, too long for someone who has pressed Ctrl-C.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # pressed again, it must not cut this short
    atexit._run_exitfuncs()
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


def output_is_written() -> bool:
    """Whether all results that were printed have gone where they were to go."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        return False
    return True


def drop_output() -> None:
    """Send standard output nowhere, once its reader has gone: flushing it at exit must not fail again."""
    _to_nowhere(sys.__stdout__.fileno() if sys.__stdout__ else 1)


def _drop_messages() -> None:
    """Drop messages that could not be written: flushing them at exit must not fail, and change the status."""
    try:
        sys.stderr.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            _to_nowhere(sys.stderr.fileno())


def _to_nowhere(descriptor: int) -> None:
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, descriptor)
    os.close(devnull)


def _interrupted(terminal: Terminal) -> int:
    terminal.say("interrupted: everything finished so far is on disk")
    return Exit.INTERRUPTED


def _reader_gone() -> int:
    """Whoever read our output has gone: stop quietly, as other tools do, but never say that all is done."""
    drop_output()
    return Exit.READER_GONE


def _usage_status(error: Exception) -> int | None:
    """Status of an error that the option parser raised, after it has shown itself; None for any other."""
    if hasattr(error, "show") and hasattr(error, "exit_code"):
        with suppress(OSError, ValueError):
            error.show()
        return int(error.exit_code)
    return int(error.exit_code) if type(error).__name__ == "Exit" and hasattr(error, "exit_code") else None
