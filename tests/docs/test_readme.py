"""README is short, and its commands run as they stand: an installed wheel, a new home, a real SSH server as the board."""

from __future__ import annotations

import getpass
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.api.user_files import write_suite
from tests.terminal import at_a_terminal
from tunebench.targets.virtual.dropbear import nss_wrapper, other_home
from tunebench.targets.virtual.openssh import OpenSshServer, find_sshd

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
#: What the test adds to a command of README: nothing is downloaded, and what is measured takes seconds.
ADDED = {
    "tunebench setup": ["--torch", "none"],
    "tunebench plan": ["-s", "mine.toml"],
    "tunebench run": ["-s", "mine.toml"],
    "tunebench new-method": ["--command"],
    "tunebench try": ["--epochs", "1"],
    "tunebench run -s": ["-m", "my-method"],
    "tunebench nightly": ["-s", "night.toml"],
    "pytest --pyargs": ["--campaign", "mine.toml", "-q", "-p", "no:cacheprovider"],
}


def commands():
    """Return the commands of README's console blocks, without their comments."""
    blocks = re.findall(r"```console\n(.*?)```", TEXT, re.DOTALL)
    lines = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    return [shlex.split(line, comments=True) for line in lines]


def test_readme_is_short_and_has_one_picture():
    assert len(TEXT.split()) < 700
    assert len(re.findall(r"!\[", TEXT)) == 1
    picture = ROOT / re.search(r"!\[[^\]]+\]\(([^)]+)\)", TEXT).group(1)
    assert picture.stat().st_size < 300_000


def test_readme_leads_to_every_page():
    linked = set(re.findall(r"\]\((docs/[^)#]+)", TEXT)) | {
        f"docs/{name}" for name in re.findall(r"\]\(([^)#:]+\.md)", (ROOT / "docs" / "README.md").read_text())
    }
    pages = {str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")} - {"docs/README.md"}
    assert pages - linked == set()


def test_the_path_of_a_first_lab_is_the_one_that_is_told():
    path = [words[1] for words in commands() if words[0] == "tunebench"]
    assert path[:5] == ["init", "boards", "setup", "plan", "run"]


@pytest.fixture
def board(tmp_path):
    """A real SSH server that the ssh config of a new home calls pi5-01; what it does stays below this folder."""
    if find_sshd() is None:
        pytest.skip("no sshd on this machine: install openssh-server")
    if nss_wrapper() is None:
        pytest.skip("no nss_wrapper on this machine: install libnss-wrapper")
    home, there, keys = tmp_path / "home", tmp_path / "board", tmp_path / "sshd"
    for folder in (home / ".ssh", there, keys):
        folder.mkdir(parents=True, mode=0o700)
    with OpenSshServer(keys, settings=f"SetEnv HOME={there}") as server:
        endpoint = server.endpoint
        (home / ".ssh" / "config").write_text(
            f"Host pi5-01\n  HostName 127.0.0.1\n  Port {endpoint.port}\n  User {getpass.getuser()}\n"
            f"  IdentityFile {endpoint.key_file}\n  UserKnownHostsFile {endpoint.known_hosts}\n"
            "Host github.com\n  User git\n"
        )
        yield {**other_home(home), "HOME": str(home)}


@pytest.mark.slow
@pytest.mark.openssh
def test_the_commands_of_readme_run_in_a_fresh_environment(installed_wheel, board, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    write_suite(work)
    night = (work / "mine.toml").read_text().replace('name = "mine"', 'name = "night"', 1)
    (work / "night.toml").write_text(night.replace("blocks = 1", "blocks = 3"))  # fewer are no night
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "PYTEST", "XDG", "TUNEBENCH"))
    }
    env = {**kept, **board, "PATH": f"{installed_wheel / 'bin'}:/usr/bin:/bin", "COLUMNS": "120"}
    ran = []
    for words in commands():
        line = " ".join(words)
        if words[0] in ("make", "pip"):
            continue
        if line == "tunebench init":
            code, shown = at_a_terminal(words, [b"all\n", b"my-lab\n"], work, env)
            assert code == 0, shown
            (board_text,) = re.findall(r'host = "([^"]+)"', (work / "lab.toml").read_text())
            assert board_text == "pi5-01", "a forge is no board"
            _never_wait(work / "lab.toml")
        else:
            more = next(
                (ADDED[begin] for begin in sorted(ADDED, key=len, reverse=True) if line.startswith(begin)), []
            )
            # What the wheel depends on lies elsewhere, its scripts too.
            program = ["python", "-m", "pytest", *words[1:]] if words[0] == "pytest" else words
            done = subprocess.run(
                [*program, *more], cwd=work, env=env, capture_output=True, text=True, timeout=300, check=False
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
            assert "Traceback" not in done.stderr
            if "new-method" in words:
                _shorten(work / "my-method.toml")
            if line == "tunebench run":
                assert "Answer: pi5-01 · " in done.stdout
                page = done.stdout.splitlines()[-1].removeprefix("Report: ")
                assert (work / page).read_text().startswith("<!doctype html>")
        ran.append(line)
    assert len(ran) >= 10


def _never_wait(inventory: Path) -> None:
    """Have the board measure at once: it is this machine, on which other tests run."""
    text = inventory.read_text()
    inventory.write_text(re.sub(r"^(kind = .*)$", r'\1\ngates = "warn"', text, flags=re.MULTILINE))


def _shorten(suite: Path) -> None:
    """Make a suite short: once, with one epoch."""
    text = suite.read_text()
    suite.write_text(re.sub(r"blocks = \d+", "blocks = 1", re.sub(r"epochs = \d+", "epochs = 1", text)))
