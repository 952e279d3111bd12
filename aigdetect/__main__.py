"""``python -m aigdetect``, and where the console script begins."""

import sys

_INTERRUPTED = 130


def main() -> None:
    """Load the program, run it and end at once; an interrupt while it loads ends it like any other."""
    try:
        from aigdetect.cli.app import main as program
        from aigdetect.cli.console import end_at_once, output_is_written
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    try:
        program()
    except SystemExit as end:
        if isinstance(end.code, int) and (end.code == _INTERRUPTED or output_is_written()):
            end_at_once(end.code)
        raise  # the interpreter says what could not be written


if __name__ == "__main__":
    main()
