"""Wheels for a board without internet: fetched here by pip, pushed in chunks, put together there.

pip judges environment markers by this machine, not by the board, so each requirement is fetched by itself
(``--no-deps``) and the table lists all of them. What has been fetched, and each chunk that has arrived, stays: a
broken download or push goes on where it was.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tunebench.harness.account import cache_place
from tunebench.harness.errors import HarnessError
from tunebench.targets.boards.wheels import Facts
from tunebench.targets.client.board import Board
from tunebench.targets.payload import Blob

#: What is lost when a push breaks, at most.
CHUNK_B = 2 << 20
_FETCH_S = 3600.0
_NOTICE_S = 5.0
#: The oldest manylinux level that pip's tags know by number.
_OLDEST = 17

Say = Callable[[str], None]


class FetchError(HarnessError):
    """A wheel could not be fetched; the message holds what pip said."""


@dataclass(frozen=True)
class Download:
    """One requirement, and the options of pip that belong to it."""

    what: str
    args: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Return a key that tells downloads apart."""
        return hashlib.sha256("\n".join((self.what, *self.args)).encode()).hexdigest()[:16]


def default_cache() -> Path:
    """Return where fetched wheels stay on this machine."""
    return cache_place("wheelhouse")


def platform_options(facts: Facts) -> list[str]:
    """Return the options with which pip chooses wheels for the board instead of for this machine.

    >>> platform_options(Facts("3.11", "aarch64", 64, "2.28"))[:4]
    ['--platform', 'manylinux_2_28_aarch64', '--platform', 'manylinux_2_27_aarch64']
    """
    newest = int(facts.glibc.split(".")[1]) if facts.glibc else _OLDEST - 1
    names = [f"manylinux_2_{minor}_{facts.machine}" for minor in range(newest, _OLDEST - 1, -1)]
    if newest >= _OLDEST:
        names.append(f"manylinux2014_{facts.machine}")
    names.append(f"linux_{facts.machine}")
    options = [word for name in names for word in ("--platform", name)]
    return [*options, "--python-version", facts.python, "--implementation", "cp"]


def fetch(downloads: Sequence[Download], facts: Facts, cache: Path, say: Say) -> list[Path]:
    """Fetch the wheels of a board; those in the cache are not fetched again.

    Raises:
        FetchError: pip is missing or found none.
    """
    where = cache / f"cp{facts.python.replace('.', '')}-{facts.machine}-glibc{facts.glibc}"
    wheels = []
    for n, download in enumerate(downloads, start=1):
        folder = where / download.key
        files = sorted(folder.glob("*.whl"))
        if not files:
            say(f"fetch {n}/{len(downloads)}: {download.what}")
            files = _fetch(download, facts, folder, say)
        wheels.append(files[0])
    return wheels


def _fetch(download: Download, facts: Facts, folder: Path, say: Say) -> list[Path]:
    part = folder.with_name(folder.name + ".part")
    part.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "pip", "download", "--dest", str(part), "--no-deps"]
    argv += ["--only-binary=:all:", *platform_options(facts), *download.args, download.what]
    done = _run(argv, say)
    files = sorted(part.glob("*.whl"))
    if done.returncode or len(files) != 1:
        reason = (done.stderr + done.stdout).strip()[-1500:]
        if "No module named pip" in reason:
            reason = f"{sys.executable} has no pip; install it there (python -m ensurepip)"
        raise FetchError(
            f"{download.what} for Python {facts.python} on {facts.machine} could not be fetched: {reason}"
        )
    part.rename(folder)
    return sorted(folder.glob("*.whl"))


def _run(argv: Sequence[str], say: Say) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    began_s = time.monotonic()
    with subprocess.Popen(
        argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        while True:
            try:
                out, err = child.communicate(timeout=_NOTICE_S)
                return subprocess.CompletedProcess(list(argv), child.returncode, out, err)
            except subprocess.TimeoutExpired:
                waited_s = time.monotonic() - began_s
                if waited_s > _FETCH_S:
                    child.kill()
                    raise FetchError(f"pip did not end within {_FETCH_S:g} s") from None
                say(f"  still fetching, {waited_s:.0f} s")
            except BaseException:
                child.kill()
                raise


def push(board: Board, name: str, wheels: Sequence[Path], present: Sequence[str], say: Say) -> int:
    """Push wheels to the board's wheelhouse; return the bytes that crossed the link.

    Args:
        board: connected, with its payload.
        name: of the environment.
        wheels: files on this machine.
        present: names that are there already, verified when they were put together.
        say: told after each batch.
    """
    pushed_b = 0
    missing = [wheel for wheel in wheels if wheel.name not in set(present)]
    for n, wheel in enumerate(missing, start=1):
        data = wheel.read_bytes()
        chunks = [Blob.of_bytes(data[at : at + CHUNK_B], ".chunk") for at in range(0, len(data), CHUNK_B)]
        pushed_b += _push_chunks(board, chunks, f"push {n}/{len(missing)}: {wheel.name}", say)
        entry = {
            "file": wheel.name,
            "sha256": hashlib.sha256(data).hexdigest(),
            "chunks": [chunk.name for chunk in chunks],
        }
        board.join_wheels(name, [entry])
    return pushed_b


def _push_chunks(board: Board, chunks: Sequence[Blob], title: str, say: Say) -> int:
    """Push chunks in batches of some seconds on any link, so that the user sees progress; return the bytes pushed."""
    at, n, pushed_b = 0, 1, 0
    while at < len(chunks):
        began_s = time.monotonic()
        batch = chunks[at : at + n]
        pushed_b += board.sync(batch).uploaded_b
        at += len(batch)
        say(f"{title}, {100 * at // len(chunks)}%")
        if time.monotonic() - began_s < _NOTICE_S:
            n *= 2
    return pushed_b
