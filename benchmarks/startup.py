"""How long things take that should take no time: ``python -m benchmarks.startup``.

Prints medians, side by side in one run: an interpreter that does nothing, the help of the command line, and a trivial
pytest run without our plugin and with it unused. Rounds alternate between them, so that a
busy moment meets all alike. The help may take 0.4 s, the unused plugin 0.1 s.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_TEST = "def test_trivial():\n    pass\n"


def commands(folder: Path) -> dict[str, list[str]]:
    """Return what is timed: name -> command line."""
    (folder / "test_trivial.py").write_text(_TEST, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_trivial.py"]
    return {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import tunebench": [sys.executable, "-c", "import tunebench"],
        "tunebench --help": [sys.executable, "-m", "tunebench", "--help"],
        "tunebench run --help": [sys.executable, "-m", "tunebench", "run", "--help"],
        "pytest without the plugin": [*pytest, "-p", "no:tunebench"],
        "pytest, the plugin unused": pytest,
    }


def seconds(command: list[str], folder: Path) -> float:
    """Return how long a command takes, s.

    Raises:
        SystemExit: it fails; its output tells why.
    """
    began_s = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=os.environ, capture_output=True, text=True, check=False)
    took_s = time.perf_counter() - began_s
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return took_s


def main() -> None:
    """Time all commands in turn and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="how often each is run [9]")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        timed = commands(Path(name))
        for command in timed.values():
            seconds(command, Path(name))  # byte code is written now, and files are read into memory
        took_s: dict[str, list[float]] = {title: [] for title in timed}
        for _ in range(rounds):
            for title, command in timed.items():
                took_s[title].append(seconds(command, Path(name)))
    print(f"{'':28} {'median':>8} {'fastest':>8}   of {rounds}, s")
    for title, values in took_s.items():
        print(f"{title:28} {statistics.median(values):8.3f} {min(values):8.3f}")
    pairs = zip(took_s["pytest, the plugin unused"], took_s["pytest without the plugin"], strict=True)
    print(f"{'the unused plugin':28} {statistics.median(used - bare for used, bare in pairs):8.3f}")


if __name__ == "__main__":
    main()
