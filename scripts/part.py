"""Run one part of what is checked: ``python scripts/part.py PART [PYTEST-ARGUMENTS]``. The Makefile and tox call it.

Each test runs in one part only, but those that ``lowest`` and ``newest`` run again with other versions of Python and of
dependencies. ``test`` is what a contributor runs on every save. ``rest`` is what it left out, and
what it skipped as its environment lacks a tool. ``coverage`` counts the lines that the fast tests reach.

Every run of pytest leaves a JUnit file in ``.tox/junit``, from which ``scripts/slowest.py`` makes its list.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
JUNIT = ROOT / ".tox" / "junit"
PACKAGES = ("harness", "targets", "workloads", "reports")
FLOOR = 85  # per cent of the lines and branches of the host's packages

_NO_TESTS = 5  # pytest's exit code
_ELSEWHERE = "not emulated and not faults and not demo"
_FAST = f"not slow and not alone and not browser and not openssh and {_ELSEWHERE}"
_ALONE = f"alone and {_ELSEWHERE}"
_REST = f"(slow or browser or openssh) and not alone and {_ELSEWHERE}"
#: Where the code meets a dependency: what these show is whether another version has what we use. `make lowest ARGS=tests`
#: and `make newest ARGS=tests` run all fast tests so; minutes of CI are for what differs.
_MEET_DEPENDENCIES = (
    *(f"tests/harness/cli/test_{name}.py" for name in ("app", "completion", "registry", "report")),  # typer, rich
    "tests/harness/hil/test_plugin.py",  # pytest and its plugins
    "tests/harness/config", "tests/harness/record", "tests/reports/records",  # pydantic
    "tests/reports/results", "tests/reports/history/test_index.py", "tests/reports/test_summary.py",  # pandas, DuckDB
    "tests/reports/stats", "tests/reports/render",  # NumPy, SciPy, Jinja2
    "tests/targets/client", "tests/targets/meters", "tests/targets/transport",  # paramiko, fabric, asyncssh, httpx
    "tests/api",
)  # fmt: skip
#: What a newer Python may break beside these: the agent, which runs on whatever Python a board has (its readers of texts
#: less than what asks the system).
_MEET_PYTHON = (
    *_MEET_DEPENDENCIES,
    *(f"tests/targets/agent/{room}" for room in ("environment", "job", "linux")),
)
#: Two at a time: most wait for a board. What fails beside others must pass alone.
_TWO = ("-n", "2", "--dist", "worksteal")
#: Slow tests, and those that meet a dependency, leave a fifth of two CPUs idle so: they start processes and wait.
_THREE = ("-n", "3", "--dist", "worksteal")


#: Files of `rest` with a test of forty seconds and more, some of which only wait. They go first, to one process of the
#: three, and the others take what it has left: none of them begins when all else is done.
_LONG = (
    "tests/docs/test_readme.py",
    "tests/harness/board/test_meter.py",
    "tests/harness/campaign/test_language.py",
    "tests/harness/campaign/test_networks.py",
    "tests/harness/campaign/test_own_methods.py",
    "tests/harness/campaign/test_partition.py",
    "tests/harness/campaign/test_thousand_boards.py",
    "tests/harness/campaign/test_update_transfer.py",
    "tests/harness/lab/test_wheelhouse.py",
    "tests/reports/results/test_crash_states.py",
    "tests/workloads/prepare/test_artefacts.py",
)


class Failed(Exception):
    """A command ended with another code than 0; it has said why."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exit code {code}")
        self.code = code


class Nothing(Failed):
    """pytest found no test to run."""


def run(*command: str) -> None:
    """Run a command of this environment.

    Raises:
        Nothing: it was pytest, and there was nothing to do.
        Failed: it ended with another code than 0.
    """
    code = subprocess.run(command, check=False, cwd=ROOT).returncode
    if code:
        raise Nothing(code) if code == _NO_TESTS and "pytest" in command else Failed(code)


def pytest(name: str, marks: str, *args: str, at_once: Sequence[str] = (), second_look: bool = True) -> None:
    """Run the tests that have these marks; with a second look, those that fail are tried once more, alone.

    Args:
        name: of the JUnit file.
        marks: pytest's ``-m``.
        args: more arguments of pytest.
        at_once: pytest-xdist's arguments; none: one test after the other.
        second_look: whether what fails is tried once more, and named.
    """
    words = ["-m", marks, f"--junitxml={JUNIT / name}.xml", *at_once, *args]
    how = ["scripts/second_look.py"] if second_look else ["-m", "pytest", "-q"]
    run(sys.executable, *how, *words)


def lint(args: Sequence[str]) -> None:
    """Check style, types, contracts of imports, the syntax of what travels, and dependencies."""
    run("ruff", "check", ".")
    run("ruff", "format", "--check", ".")
    run("mypy")
    run("lint-imports")
    run(sys.executable, "scripts/check_travelling_syntax.py")
    run(sys.executable, "scripts/audit.py")
    # High severity only: ruff's rules S are bandit's own, and each exception to them stands in its line.
    run("bandit", "-q", "-lll", "-r", *PACKAGES)


def test(args: Sequence[str]) -> None:
    """Run the fast tests."""
    pytest("test", _FAST, "--timeout=120", "--durations=8", *args, at_once=_TWO)


def lowest(args: Sequence[str]) -> None:
    """Run the fast tests that meet a dependency, on the lowest versions that pyproject.toml allows."""
    versions()
    pytest("lowest", _FAST, "--timeout=120", *(args or _MEET_DEPENDENCIES), at_once=_THREE)


def newest(args: Sequence[str]) -> None:
    """Run the fast tests that meet a dependency, and the agent's, under this Python; without torch."""
    versions()
    name = f"newest-{sys.version_info[0]}.{sys.version_info[1]}"
    pytest(name, _FAST, "--timeout=120", *(args or _MEET_PYTHON), at_once=_THREE)


def versions() -> None:
    """Print the Python and the direct dependencies that tests run with."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        required = tomllib.load(file)["project"]["dependencies"]
    names = [re.match(r"[\w.-]+", line).group() for line in required]  # type: ignore[union-attr]
    listed = ", ".join(f"{name} {metadata.version(name)}" for name in names)
    print(f"Python {sys.version.split()[0]}; {listed}", flush=True)


def rest(args: Sequence[str]) -> None:
    """Run what the fast tests left out or skipped."""
    skipped = skipped_by(JUNIT / "test.xml")
    if skipped:
        # Where the environment has no more tools than theirs they are skipped again, and cost nothing.
        with contextlib.suppress(Nothing):
            pytest("skipped", _FAST, "--timeout=600", *skipped, second_look=False)
    files = naming("slow", "browser", "openssh", "openssh_server", "every_server")
    chosen = args or sorted(files, key=lambda file: file not in _LONG)
    pytest("rest", _REST, "--timeout=600", "--durations=12", *chosen, at_once=_THREE)
    pytest("alone", _ALONE, "--timeout=600", *naming("alone"))


def coverage(args: Sequence[str]) -> None:
    """Count the lines and branches that the fast tests reach; what compares times is counted by no test of these."""
    run("coverage", "erase")
    words = ["-q", "-m", _FAST, "--timeout=600", *_TWO, *args]
    try:
        run(sys.executable, "-m", "coverage", "run", "-m", "pytest", *words)
    finally:
        run("coverage", "combine", "-q")
        run("coverage", "report", f"--fail-under={FLOOR}")


def skipped_by(report: Path) -> list[str]:
    """Return the tests that a run of pytest skipped, by their ids; none where there is no report of it."""
    if not report.exists():
        return []
    ids = []
    for case in ET.parse(report).getroot().iter("testcase"):  # noqa: S314 - our own file
        if case.find("skipped") is not None:
            module, name = case.attrib["classname"], case.attrib["name"]
            # A module that is skipped as a whole stands there by its name alone: all of its tests.
            ids.append(f"{_path(module)}::{name}" if module else _path(name))
    return ids


def naming(*marks: str) -> list[str]:
    """Return the files of tests that name a mark: to collect all others, too, takes each worker ten seconds."""
    named = re.compile(rf"\bmark\.(?:{'|'.join(marks)})\b")
    paths = sorted((ROOT / "tests").rglob("test_*.py"))
    return [str(path.relative_to(ROOT)) for path in paths if named.search(path.read_text(encoding="utf-8"))]


def _path(module: str) -> str:
    return f"{module.replace('.', '/')}.py"


def emulated(args: Sequence[str]) -> None:
    """Boot the emulated board and measure on it; ``-s``, since minutes of work show what they do."""
    words = ("-s", "--durations=0", "tests/targets/virtual", *args)
    pytest("emulated", "emulated", *words, second_look=False)


def faults(args: Sequence[str]) -> None:
    """Run the fault matrix in its short form, and two minutes of random faults."""
    words = ("-s", "--timeout=2700", "--durations=0", "tests/faults", *args)
    pytest("faults", "faults", *words, second_look=False)


def demo(args: Sequence[str]) -> None:
    """Run ``make demo`` and look at what it ends with."""
    pytest("demo", "demo", "-s", "tests/harness/cli", *args, second_look=False)


def bench(args: Sequence[str]) -> None:
    """Measure what the harness costs, and a step on each engine, in short; the figures of docs are of whole runs."""
    few = ["--repetitions", "6"]
    for words in (
        ["benchmarks.overhead", *few],
        ["benchmarks.overhead", "--openssh", *few],
        ["benchmarks.overhead", "--openssh", "--transport", "openssh", *few],
        ["benchmarks.overhead", "--dropbear", *few],
        ["benchmarks.sampler", "--blocks", "4"],
        # Eight nights of the gate's rehearsal; the figures in docs/history.md are of sixty in each of two labs.
        ["benchmarks.gate_nights", "--nights", "8", "--seeds", "1"],
        ["benchmarks.report_scale"],
        ["benchmarks.finetune_steps", *(args or ["--rounds", "2", "--datasets", "fan-damage1", "har-hapt"])],
    ):
        run(sys.executable, "-m", *words)


PARTS: dict[str, Callable[[Sequence[str]], None]] = {
    part.__name__: part
    for part in (lint, test, lowest, newest, rest, coverage, emulated, faults, demo, bench)
}


def main(words: Sequence[str]) -> int:
    """Run the part that is asked for and return its exit code."""
    if not words or words[0] not in PARTS:
        sys.stderr.write(f"usage: python scripts/part.py {'|'.join(PARTS)} [PYTEST-ARGUMENTS]\n")
        return 2
    # Tools stand beside this Python, whether its environment is active or not.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    JUNIT.mkdir(parents=True, exist_ok=True)
    try:
        # tox lets no Python write bytecode beside sources that tests make. Ours is compiled once: a test that starts the
        # command would do that each time, a quarter of what its start costs.
        run(sys.executable, "-m", "compileall", "-q", "tunebench", *PACKAGES)
        PARTS[words[0]](words[1:])
    except Failed as failed:
        return failed.code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
