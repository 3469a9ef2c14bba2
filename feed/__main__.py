"""``python -m feed`` is the command ``feed``."""

from feed.cli import main

if __name__ == "__main__":
    main()
