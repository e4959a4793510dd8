"""A process from the server is what a cold one is: its code, its signals, its streams, its folder, its environment."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ctrl_c, warm
from tests.warm.client import cold_because, warm_up

COMMAND = (sys.executable, "-m", "tunebench")
SESSION = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:hypothesispytest")

ASKS = """
import os, pathlib, random, signal, sys, tempfile, uuid

def test_it(capfd):
    with capfd.disabled():
        print("\\n" + repr({
            "cwd": os.getcwd(), "first": sys.path[0], "argv": sys.argv[1:], "umask": os.umask(0),
            "home": str(pathlib.Path.home()), "own": os.environ.get("OWN"), "size": len(os.environ),
            "int": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
            "pipe": signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN,
            "leads": os.getsid(0) == os.getpid(), "parent": os.getppid(), "temporary": tempfile.gettempdir(),
            "encodings": [
                (s.encoding, s.errors, s.line_buffering, s.write_through) for s in (sys.__stdout__, sys.__stderr__)
            ],
            "open": sorted(os.listdir("/proc/self/fd"))[:3], "threads": len(os.listdir("/proc/self/task")),
            "main": sys.modules["__main__"].__spec__.name, "executable": sys.executable,
        }))
"""


@pytest.fixture(scope="module", autouse=True)
def forks() -> None:
    """Warm both servers up, or skip: else the first processes would be cold."""
    for module in ("tunebench", "pytest"):
        server = warm_up(module)
        if server is None or not server.alone:
            pytest.skip("no process of this machine forks another's child")


def asked(run, folder: Path, **more) -> str:
    (folder / "test_asks.py").write_text(ASKS)
    (folder / "pytest.ini").write_text("[pytest]\n")
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    env |= {"HOME": str(folder), "OWN": "\udce9 ü", "TMPDIR": str(folder)}
    done = run(
        [*SESSION, "-q"], cwd=folder, env=env, capture_output=True, check=True, preexec_fn=ctrl_c.heed, **more
    )
    assert cold_because([*SESSION], env, str(folder), ctrl_c.heed) is None
    return next(line for line in done.stdout.decode().splitlines() if line.startswith("{"))


@pytest.mark.parametrize("more", [{}, {"start_new_session": True}, {"umask": 0o077}], ids=str)
def test_what_a_process_can_ask_of_itself_is_what_a_cold_one_is_told(tmp_path, more):
    assert asked(warm.run, tmp_path, **more) == asked(subprocess.run, tmp_path, **more)


def test_it_is_warm_and_this_process_waits_for_it_itself(tmp_path):
    process = warm.Popen([*COMMAND, "--version"], cwd=tmp_path, stdout=subprocess.PIPE)
    assert process.cold is None
    assert os.waitpid(process.pid, 0) == (process.pid, 0)
    assert process.communicate()[0].startswith(b"tunebench ")


@pytest.mark.parametrize("words", [["--version"], ["raport"], ["verify", "/nowhere"], []], ids=str)
def test_codes_and_both_streams_are_those_of_a_cold_start(tmp_path, words):
    results = [
        run([*COMMAND, *words], cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
        for run in (warm.run, subprocess.run)
    ]  # fmt: skip
    first, second = ((done.returncode, done.stdout, done.stderr) for done in results)
    assert first == second


def test_input_and_a_terminal_reach_it(tmp_path):
    line = b"04-22-2024 12:00:00 RAM 1/2MB VDD_IN 4556mW/4556mW"
    done = warm.run(
        [*COMMAND, "sensors", "parse", "tegrastats", "-"], input=line, capture_output=True, check=False
    )
    assert b"4.556 W" in done.stdout + done.stderr
    control, terminal = pty.openpty()
    process = warm.Popen([*COMMAND, "--help"], cwd=tmp_path, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    shown = b""
    try:
        while block := os.read(control, 65536):
            shown += block
    except OSError:
        pass  # Linux's end of a pseudo-terminal
    os.close(control)
    assert process.wait(60) == 0
    assert b"\x1b[" in shown  # colours: it knows that it is a terminal


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_as_they_end_a_cold_one(tmp_path, number):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_waits.py").write_text(
        "import time\ndef test_it(capfd):\n    with capfd.disabled():\n        print('now', flush=True)\n"
        "    time.sleep(60)\n"
    )
    codes = []
    for popen in (warm.Popen, subprocess.Popen):
        process = popen([*SESSION], cwd=tmp_path, stdout=subprocess.PIPE, preexec_fn=ctrl_c.heed)
        while b"now" not in process.stdout.readline():
            pass
        process.send_signal(number)
        process.communicate(timeout=60)
        codes.append(process.returncode)
        assert getattr(process, "cold", None) is None
    assert codes[0] == codes[1]


@pytest.mark.parametrize(
    ("words", "env", "why"),
    [
        ((sys.executable, "-c", "pass"), {}, "another program"),
        ((sys.executable, "-X", "dev", *COMMAND[1:]), {}, "another program"),
        (("/usr/bin/python3", *COMMAND[1:]), {}, "another program"),
        (COMMAND, {"PYTHONIOENCODING": "ascii"}, "another PYTHONIOENCODING"),
        (COMMAND, {"PYTHONPATH": "/elsewhere"}, "another PYTHONPATH"),
        (COMMAND, {"LC_ALL": "C"}, "another LC_ALL"),
        (COMMAND, {"PANDAS_COPY_ON_WRITE": "0"}, "an import reads PANDAS_COPY_ON_WRITE"),
        (COMMAND, {"COVERAGE_PROCESS_START": "x"}, "options of its own"),
        (COMMAND, {"HOME": "/elsewhere", "COLUMNS": "99"}, None),
    ],
)
def test_what_a_fork_cannot_show_starts_cold(tmp_path, words, env, why):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    reason = cold_because(list(words), {**kept, **env}, str(tmp_path))
    assert reason is None if why is None else why in reason


def test_a_folder_with_a_module_of_a_librarys_name_starts_cold(tmp_path):
    (tmp_path / "statistics.py").write_text("")
    assert "statistics" in cold_because(list(COMMAND), dict(os.environ), str(tmp_path))
    (tmp_path / "statistics.py").rename(tmp_path / "statistics.ini")
    assert cold_because(list(COMMAND), dict(os.environ), str(tmp_path)) is None


def test_a_function_before_the_start_and_descriptors_beside_the_three_start_cold(tmp_path):
    with open(os.devnull) as file:
        for more in ({"preexec_fn": lambda: None}, {"pass_fds": (file.fileno(),)}, {"process_group": 0}):
            process = warm.Popen([*COMMAND, "--version"], stdout=subprocess.DEVNULL, **more)
            assert process.wait(60) == 0
            assert process.cold


def test_a_folder_that_is_not_there_is_told_as_subprocess_tells_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        warm.run([*COMMAND, "--version"], cwd=tmp_path / "nowhere")
