"""A process of the background load: it says that it runs, and keeps a core busy until it is killed."""

import sys


def main() -> None:
    """Compute for ever, with little memory and no system calls."""
    sys.stdout.write("busy\n")
    sys.stdout.flush()
    while True:
        sum(range(500))


if __name__ == "__main__":
    main()
