"""``python -m mfvjax``: the command line, where its script is not on the path."""

from mfvjax.cli import main

if __name__ == "__main__":
    main()
