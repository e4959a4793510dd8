"""Everything that travels to a board keeps Python 3.6 syntax and its standard library's modules."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tunebench.harness.artifacts.gather import travelling_workloads


def main() -> int:
    """Run vermin over the agent and exactly those files of workloads/ that the payload holds."""
    root = Path(__file__).resolve().parent.parent
    paths = [
        str(root / "targets" / "agent"),
        *(str(root / name) for name in sorted(travelling_workloads()) if name.endswith(".py")),
    ]
    vermin = str(Path(sys.executable).with_name("vermin"))
    options = ["--target=3.6-", "--no-tips", "--violations", "--eval-annotations"]
    return subprocess.call([vermin, *options, *paths])


if __name__ == "__main__":
    sys.exit(main())
