"""``python -m aigdetect``."""

from aigdetect.cli.app import main

if __name__ == "__main__":
    main()
