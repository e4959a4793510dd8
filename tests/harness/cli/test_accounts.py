"""Accounts as containers and services have them: no name, no home, a home that cannot be written; all commands work."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests import mounts
from tunebench.harness.account import complete_account

COMMAND = (sys.executable, "-m", "tunebench")
#: What tells an account's name or home, so that nothing but the system's table could.
NAMES = ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")


@pytest.fixture
def account(tmp_path):
    """Function (mounts, words, **variables) -> the command run under an account of that kind."""
    (tmp_path / "home").mkdir()
    (tmp_path / "tmp").mkdir()

    def run(lines, *words, **variables):
        env = {name: value for name, value in os.environ.items() if name not in NAMES}
        return subprocess.run(
            mounts.within(lines, [*COMMAND, *words]),
            cwd=tmp_path, env={**env, "TMPDIR": str(tmp_path / "tmp"), "COLUMNS": "200", **variables},
            capture_output=True, text=True, timeout=170, check=False,
        )  # fmt: skip

    return run


#: A loopback board that has no working directory of its own: the default is tried.
BARE_LAB = '[lab]\nname = "testlab"\n[[board]]\nid = "here"\nkind = "loopback"\ninterpreter = "{python}"\n'


@pytest.fixture
def bare_lab(tmp_path, bare_python):
    """An inventory of that board."""
    path = tmp_path / "lab.toml"
    path.write_text(BARE_LAB.format(python=bare_python))
    return str(path)


def works(done, tmp_path) -> None:
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert list(tmp_path.glob("results/**/run.json"))


KINDS = {
    "no name": ("nameless", {"HOME": "{root}/home"}),
    "no name, no home": ("nameless read-only-root", {}),
    "no name, HOME=/": ("nameless read-only-root", {"HOME": "/"}),
    "a home that is no folder": ("", {"HOME": "/dev/null"}),
    "a read-only home": ("read-only", {"HOME": "{root}/home"}),
    "a read-only home and XDG_CACHE_HOME": (
        "read-only",
        {"HOME": "{root}/home", "XDG_CACHE_HOME": "{root}/xdg"},
    ),
    "a relative XDG_CACHE_HOME": ("", {"HOME": "{root}/home", "XDG_CACHE_HOME": "xdg"}),
}


#: Kinds under which the report is read after its campaign.
REPORTED = ("no name, no home", "a read-only home")


def lines_of(kind: str, tmp_path):
    made = []
    if "nameless" in KINDS[kind][0]:
        made.append(mounts.nameless(tmp_path))
    if "read-only-root" in KINDS[kind][0]:
        made.append(mounts.read_only_root(tmp_path))
    elif "read-only" in KINDS[kind][0]:
        made.append(mounts.read_only(tmp_path / "home"))
    return made, {name: value.format(root=tmp_path) for name, value in KINDS[kind][1].items()}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_campaign_runs(account, bare_lab, sleep_suite, tmp_path, kind):
    lines, variables = lines_of(kind, tmp_path)
    suite = str(sleep_suite(["a"], blocks=1))
    works(account(lines, "run", "-i", bare_lab, "-s", suite, **variables), tmp_path)
    if "read-only" in KINDS[kind][0]:
        assert list((tmp_path / "home").iterdir()) == []
    if "XDG_CACHE_HOME" in variables and os.path.isabs(variables["XDG_CACHE_HOME"]):
        assert list((tmp_path / "xdg" / "tunebench" / "built").iterdir())
    assert not (tmp_path / "~").exists()
    if kind in REPORTED:
        done = account(lines, "report", "results", **variables)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("command", ["boards", "doctor", "plan"])
def test_every_command_works(account, bare_lab, sleep_suite, tmp_path, command):
    lines, variables = lines_of("no name, no home", tmp_path)
    suite = str(sleep_suite(["a"], blocks=1))
    words = {
        "boards": ["boards", "-i", bare_lab],
        "doctor": ["doctor", "-i", bare_lab],
        "plan": ["plan", "-i", bare_lab, "-s", suite],
    }[command]
    done = account(lines, *words, **variables)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr + done.stdout


#: The first task of the suite `smoke`, with two of its methods: each repetition imports torch for two seconds.
_TWO = """
[suite]
name = "two"
blocks = 1
epochs = 2
aa = false
instrumented = false

[[workload]]
dataset = "digits"
model = "mlp"
methods = ["ft-all", "skip2-lora"]
"""


@pytest.mark.slow
@pytest.mark.torch
def test_torch_trains(account, tmp_path):
    """torch asks for the account's name when its optimisers are imported; this home cannot be written, either."""
    (tmp_path / "two.toml").write_text(_TWO)
    lines, variables = lines_of("no name, HOME=/", tmp_path)
    works(account(lines, "demo", "--suite", "two.toml", **variables), tmp_path)


_BECOME = ("setpriv", "--reuid=12345", "--regid=12345", "--clear-groups")
#: What lets an account read all files, and write none: for a checkout or an interpreter in a folder that is closed to
#: others (``/root``).
_READ_ALL = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
_THROUGH_A_SHELL = ("sh", "-c", 'exec "$@"', "sh")  # what setpriv itself starts may still do what root may


@pytest.fixture
def number(tmp_path):
    """The words that start a command as an account that is a number and owns nothing; it can read this checkout."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv (util-linux) to become another account")
    failures = []
    for words in ((*_BECOME, *_THROUGH_A_SHELL), (*_BECOME, *_READ_ALL, *_THROUGH_A_SHELL)):
        done = subprocess.run(
            [*words, *COMMAND, "--version"], cwd="/", capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return words
        failures.append(done.stderr.strip())
    pytest.skip(f"other accounts may not read this checkout or this interpreter: {failures}")


@pytest.mark.slow
def test_a_number_without_a_name_for_real(number, sleep_suite):
    """As ``docker run --user 12345``: another uid, which may read this checkout but owns nothing."""
    suite = sleep_suite(["a"], blocks=1)
    with tempfile.TemporaryDirectory(prefix="tunebench-test-", dir="/tmp") as name:
        folder = Path(name)
        os.chown(folder, 12345, 12345)
        for path in (suite, suite.with_name("sleep.py")):
            shutil.copy(path, folder)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "bare")], check=True)
        (folder / "lab.toml").write_text(BARE_LAB.format(python=folder / "bare/bin/python"))
        env = {name: value for name, value in os.environ.items() if name not in NAMES}
        done = subprocess.run(
            [*number, *COMMAND, "run", "-i", "lab.toml", "-s", suite.name],
            cwd=folder, env={**env, "HOME": "/"}, capture_output=True, text=True, timeout=170, check=False,
        )  # fmt: skip
        works(done, folder)
        (run,) = folder.glob("results/**/run.json")
        assert run.stat().st_uid == 12345


def test_an_account_that_has_a_name_keeps_it(monkeypatch):
    monkeypatch.setenv("LOGNAME", "ann")
    monkeypatch.setenv("HOME", "/home/ann")
    complete_account()
    assert (os.environ["LOGNAME"], os.environ["HOME"]) == ("ann", "/home/ann")


@pytest.mark.slow
def test_the_library_works_without_a_name_too(tmp_path, bare_lab, sleep_suite):
    program = (
        "import tunebench\n"
        f"results = tunebench.run({bare_lab!r}, {str(sleep_suite(['a'], blocks=1))!r})\n"
        "print(results.complete)"
    )
    env = {name: value for name, value in os.environ.items() if name not in NAMES}
    done = subprocess.run(
        mounts.within(
            [mounts.nameless(tmp_path), mounts.read_only_root(tmp_path)], [sys.executable, "-c", program]
        ),
        cwd=tmp_path, env={**env, "HOME": "/", "TMPDIR": str(tmp_path)},
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "True", done.stderr
