"""``python -m tunebench.workloads.run``: the entry point on the board."""

import sys

from tunebench.workloads.run.job import main

if __name__ == "__main__":
    sys.exit(main())
