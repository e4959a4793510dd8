"""Run the fast tests under each newer Python that is here: ``python scripts/newest.py TOX [--notest] [ARGUMENTS]``.

TOX is the command that starts tox. Dependencies are the newest that pip finds. A Python that is not here is named and
left out: not every machine can have each (:data:`VERSIONS`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

#: Beside the one that all other parts run under.
VERSIONS = ("3.13", "3.14")


def interpreter(version: str) -> str | None:
    """Return a Python of this version that starts: from the PATH, or one that pyenv keeps."""
    home = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    name = f"python{version}"
    candidates = [
        shutil.which(name),
        *sorted(map(str, home.glob(f"versions/{version}.*/bin/{name}")), reverse=True),
    ]
    return next((path for path in candidates if path and _version_of(path) == version), None)


def _version_of(path: str) -> str | None:
    """Return the version that a Python tells; None if it does not start (pyenv's shim of a version not chosen)."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        asked = subprocess.run([path, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return asked.stdout.strip() if asked.returncode == 0 else None


def main(words: list[str]) -> int:
    """Run tox's environment of each version; return the first code that is not 0."""
    if not words:
        sys.stderr.write("usage: python scripts/newest.py TOX [--notest] [PYTEST-ARGUMENTS]\n")
        return 2
    tox, arguments = words[0], words[1:]
    only_prepare = arguments[:1] == ["--notest"]
    codes = []
    for version in VERSIONS:
        path = interpreter(version)
        if path is None:
            print(f"newest-{version}: skipped: no Python {version} on PATH or under pyenv", flush=True)
            continue
        how = ["--notest"] if only_prepare else []
        more = ["--", *arguments] if arguments and not only_prepare else []
        command = [tox, "run", "-q", "--discover", path, *how, "-e", f"newest-{version}", *more]
        codes.append(subprocess.run(command, check=False).returncode)
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
