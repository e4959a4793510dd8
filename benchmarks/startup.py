"""How long things take that should take no time: ``python -m benchmarks.startup``.

Prints medians, elapsed and of the processor, side by side in one run: an interpreter that does nothing, the help of the
command line, and a trivial pytest run without our plugin and with it unused. Rounds alternate between them, so that a
busy moment meets all alike. On a quiet machine the help may take 0.4 s, the unused plugin 0.1 s.
"""

from __future__ import annotations

import argparse
import resource
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


def seconds(command: list[str], folder: Path) -> tuple[float, float]:
    """Return how long a command takes, and how much of a processor it uses meanwhile, both in seconds.

    Raises:
        SystemExit: it fails; its output tells why.
    """
    before, began_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    took_s, after = time.perf_counter() - began_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return took_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Time all commands in turn and print a row for each."""
    parser = argparse.ArgumentParser(description="How long things take that should take no time.")
    parser.add_argument("--rounds", type=int, default=9, help="how often each is run [9]")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        timed = commands(Path(name))
        for command in timed.values():
            seconds(command, Path(name))  # byte code is written now, and files are read into memory
        times: dict[str, list[tuple[float, float]]] = {title: [] for title in timed}
        for _ in range(rounds):
            for title, command in timed.items():
                times[title].append(seconds(command, Path(name)))
    print(f"{'medians of ' + str(rounds) + ', s':28} {'elapsed':>8} {'CPU':>8}")
    for title, values in times.items():
        _print_row(title, values)
    used, bare = times["pytest, the plugin unused"], times["pytest without the plugin"]
    _print_row("  difference", [(a[0] - b[0], a[1] - b[1]) for a, b in zip(used, bare, strict=True)])


def _print_row(title: str, values: list[tuple[float, float]]) -> None:
    elapsed_s, cpu_s = (statistics.median(column) for column in zip(*values, strict=True))
    print(f"{title:28} {elapsed_s:8.3f} {cpu_s:8.3f}")


if __name__ == "__main__":
    main()
