"""``python -m tunebench``: the same command as ``tunebench``."""

from tunebench.harness.cli.app import main

if __name__ == "__main__":
    main()
