"""``python -m aigdetect``, and where the console script begins."""

import sys


def main() -> None:
    """Load the program and run it; an interrupt while it loads ends it like any other."""
    try:
        from aigdetect.cli.app import main as program
    except KeyboardInterrupt:
        sys.exit(130)
    program()


if __name__ == "__main__":
    main()
