"""Output that nobody reads, that a disk refuses or that a terminal cannot show is no reason to stop a campaign."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import warm
from tunebench.harness.campaign.progress import Forgiving
from tunebench.harness.cli.streams import DroppingWriter

COMMAND = (sys.executable, "-m", "tunebench")
FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")


@pytest.fixture
def started(tmp_path, lab, sleep_suite):
    """Function (**streams) -> the real command, running a campaign of two repetitions."""
    home = tmp_path / "home"
    home.mkdir()
    words = [
        *COMMAND,
        "run",
        "-i",
        str(lab("one")),
        "-s",
        str(sleep_suite(["a", "b"], blocks=1, sleep_s=0.2)),
    ]
    children = []

    def start(*more: str, env: dict[str, str] | None = None, **streams) -> subprocess.Popen:
        child = warm.Popen(
            [*words, *more], cwd=tmp_path, env={**os.environ, "HOME": str(home), **(env or {})}, **streams
        )
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()
        child.wait()


def complete(folder: Path) -> bool:
    (path,) = folder.glob("results/**/reps.jsonl")
    return path.read_text().count('"outcome":"ok"') == 2 and path.with_name("run.json").is_file()


# A closed pipe, at every moment


@pytest.mark.slow
@pytest.mark.parametrize(("lines", "merged"), [(0, True), (3, True), (2, False)])
def test_a_reader_that_has_seen_enough_does_not_stop_the_campaign(started, tmp_path, lines, merged):
    other = subprocess.STDOUT if merged else subprocess.PIPE
    child = started(stdout=subprocess.PIPE, stderr=other)
    watched = child.stdout if merged else child.stderr
    for _ in range(lines):
        watched.readline()
    child.stdout.close()
    if not merged:
        child.stderr.close()
    assert child.wait(timeout=100) == 0
    assert complete(tmp_path)


@pytest.mark.slow
def test_head_ends_a_campaign_with_its_own_code(tmp_path, lab, sleep_suite):
    suite = sleep_suite(["a"], blocks=2)
    line = f"set -o pipefail; {sys.executable} -m tunebench run -i {lab('one')} -s {suite} 2>&1 | head -1"
    done = subprocess.run(
        ["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("\n") == 1
    assert list(tmp_path.glob("results/**/run.json"))


@pytest.mark.slow
def test_a_log_collector_that_dies_does_not_stop_the_campaign(started, tmp_path):
    child = started(stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    collector = subprocess.Popen(["cat"], stdin=child.stdout, stdout=subprocess.DEVNULL)
    child.stdout.close()
    end_s = time.monotonic() + 60
    while not list(tmp_path.glob("results/**/reps.jsonl")):
        assert time.monotonic() < end_s
        time.sleep(0.05)
    collector.kill()
    collector.wait()
    assert child.wait(timeout=100) == 0
    assert complete(tmp_path)


@pytest.mark.parametrize(
    "words", [["--help"], ["suites"], ["run", "--help"], ["plan", "--json"]], ids=" ".join
)
def test_a_short_command_with_a_closed_pipe_ends_quietly(tmp_path, lab, words):
    more = ["-i", str(lab("one")), "-s", "demo"] if "plan" in words else []
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*COMMAND, *words, *more],
        cwd=tmp_path,
        check=False,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=100,
    )
    os.close(writing)
    assert done.returncode == 0, done.stderr
    assert "Broken" not in done.stderr
    assert "Exception" not in done.stderr


# A full disk


@FULL
@pytest.mark.slow
@pytest.mark.parametrize("streams", [("stdout",), ("stdout", "stderr")], ids=" ".join)
def test_a_full_disk_below_a_log_does_not_stop_the_campaign(started, tmp_path, streams):
    with open("/dev/full", "w") as full:
        child = started(
            **{**dict.fromkeys(("stdout", "stderr"), subprocess.PIPE), **dict.fromkeys(streams, full)}
        )
        _, errors = child.communicate(timeout=100)
    assert child.returncode == 0, errors
    assert complete(tmp_path)
    if streams == ("stdout",):
        assert b"standard output: No space left on device" in errors


@FULL
@pytest.mark.slow
def test_json_that_is_lost_is_no_success(started, tmp_path):
    with open("/dev/full", "w") as full:
        child = started("--json", stdout=full, stderr=subprocess.PIPE)
        _, errors = child.communicate(timeout=100)
    assert child.returncode == 4, errors
    assert complete(tmp_path)


@FULL
def test_what_a_command_was_to_print_and_could_not_is_told(tmp_path):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, "suites"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=100, check=False
        )
    assert done.returncode == 4
    assert done.stderr == (
        "tunebench: standard output: No space left on device; what was to be printed is not whole\n"
    )


@FULL
def test_a_mistake_keeps_its_code_on_a_full_disk():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, "report", "/nowhere"], stdout=full, stderr=full, timeout=100, check=False
        )
    assert done.returncode == 2


# Closed from the beginning


@pytest.mark.slow
@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_closed_streams_do_not_lend_their_numbers_to_the_results(tmp_path, lab, sleep_suite, closed):
    """The next file that is opened gets the lowest free number: a child that prints would print into the results."""
    suite = sleep_suite(["a", "b"], blocks=1)
    line = f"exec {sys.executable} -m tunebench run -i {lab('one')} -s {suite} {closed}"
    done = subprocess.run(
        ["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert complete(tmp_path)
    checked = warm.run(
        [*COMMAND, "verify", "results"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert "checksum" not in checked.stdout.lower()


# Terminals that cannot show it


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["iso-8859-1", "ascii"])  # has our signs, has none
def test_a_terminal_of_another_character_set_does_not_stop_the_campaign(started, tmp_path, encoding):
    child = started(
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    )
    printed, errors = child.communicate(timeout=100)
    assert child.returncode == 0, errors
    assert complete(tmp_path)
    assert "Results: " in printed.decode(encoding)


@pytest.mark.parametrize("encoding", ["ascii", "us-ascii", "iso-8859-1", "cp437", "koi8-r"])
def test_what_is_printed_can_be_read_in_the_terminals_character_set(encoding):
    """Click would print UTF-8 where it meets ASCII."""
    program = (
        "import typer; from tunebench.harness.cli.streams import Streams; Streams()\n"
        "typer.echo('5 \N{MICRO SIGN}s \N{RIGHTWARDS ARROW} 6'); print('\N{CJK UNIFIED IDEOGRAPH-4E00}')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
        capture_output=True, timeout=100, check=True,
    )  # fmt: skip
    shown = done.stdout.decode(encoding)
    assert shown.startswith("5 ")
    assert shown.endswith("\\u2192 6\n\\u4e00\n")


@pytest.mark.slow
def test_a_real_terminal_of_another_character_set_shows_the_live_table(tmp_path, lab, sleep_suite):
    """A pseudo-terminal, in ISO-8859-1: with the bars that are drawn on a terminal only."""
    import pty

    control, terminal = pty.openpty()
    suite = sleep_suite(["a"], blocks=2)
    child = subprocess.Popen(
        [*COMMAND, "run", "-i", str(lab("one")), "-s", str(suite)],
        cwd=tmp_path, stdin=terminal, stdout=terminal, stderr=terminal,
        env={**os.environ, "PYTHONIOENCODING": "iso-8859-1", "TERM": "xterm"},
    )  # fmt: skip
    os.close(terminal)
    shown = bytearray()
    try:
        while block := os.read(control, 65536):
            shown += block
    except OSError:
        pass  # Linux's end of a pseudo-terminal
    finally:
        os.close(control)
        assert child.wait(timeout=60) == 0, shown.decode("latin-1")
    assert b"Results: " in shown


def test_a_name_that_is_no_utf8_is_shown_by_its_bytes(tmp_path):
    name = os.fsdecode(b"caf\xe9.toml")
    done = subprocess.run(
        [*COMMAND, "run", "-i", name], cwd=tmp_path, capture_output=True, timeout=100, check=False
    )
    assert done.returncode == 2
    assert b"no such file" in done.stderr
    assert b"Traceback" not in done.stderr


# The parts


def test_a_writer_drops_what_it_cannot_write_and_remembers_the_first_reason(tmp_path):
    path = tmp_path / "file"
    with path.open("wb") as file:
        writer = DroppingWriter(file.fileno())
        assert writer.write(b"abc") == 3
        assert writer.failure is None
    assert path.read_bytes() == b"abc"
    assert writer.write(b"def") == 3  # the file is closed
    assert writer.failure is not None
    assert path.read_bytes() == b"abc"


class Failing(io.StringIO):
    """A fake, for a stream that fails in a way of its own."""

    encoding = "ascii"

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def write(self, text: str) -> int:
        raise self._error

    def flush(self) -> None:
        raise self._error


@pytest.mark.parametrize(
    "error", [BrokenPipeError(), OSError(28, "full"), ValueError("I/O operation on closed file")]
)
def test_progress_that_cannot_be_shown_is_dropped(error):
    stream = Forgiving(Failing(error))
    assert stream.write("text") == 4
    stream.flush()


def test_characters_that_an_encoding_lacks_are_shown_as_escapes():
    raw = io.BytesIO()
    stream = Forgiving(io.TextIOWrapper(raw, encoding="iso-8859-1"))
    stream.write("5 \N{MICRO SIGN}s \N{RIGHTWARDS ARROW} 6")
    stream.flush()
    assert raw.getvalue() == b"5 \xb5s \\u2192 6"
