"""OpenSSH's server as tests use it: what costs CPU and shows nothing of ours is left out.

Each connection cost 0.3 s of CPU, most of it beside SSH: 0.1 s of ``ssh`` (9.2) for the keys of sntrup761, which the
portable C code makes, and 0.15 s of a bash that reads the account's ``~/.bashrc`` (pyenv's ``init``), as it does for the
commands of sshd. Python's SSH speaks no such key exchange, and no board's account is this machine's. Servers with the
default settings are in ``tests/harness/lab/test_first_lab.py`` and ``tests/docs/test_readme.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tunebench.targets.transport.endpoint import Timeouts
from tunebench.targets.virtual.openssh import OpenSshServer

#: sshd_config(5). bash(1) takes itself for a shell of sshd's where SSH_CLIENT is set and it is no shell within another.
QUICK = """
    KexAlgorithms -sntrup*,mlkem*
    SetEnv SHLVL=1
"""


def quick_server(
    folder: Path,
    timeouts: Timeouts | None = None,
    settings: str = "",
    key_types: Sequence[str] = ("ed25519",),
) -> OpenSshServer:
    """Start a server; arguments as of OpenSshServer. Its settings go before ours: the first of a keyword counts."""
    return OpenSshServer(folder, timeouts, f"{settings}\n{QUICK}", key_types)
