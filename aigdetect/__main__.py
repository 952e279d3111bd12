"""``python -m aigdetect``, and where the console script begins."""

import sys

_INTERRUPTED = 130


def main() -> None:
    """Load the program, run it and end; an interrupt while it loads ends it like any other, and at once."""
    try:
        from aigdetect.cli.app import main as program
        from aigdetect.cli.console import end_at_once
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    try:
        program()
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            end_at_once(_INTERRUPTED)
        raise


if __name__ == "__main__":
    main()
