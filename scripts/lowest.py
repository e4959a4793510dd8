"""Write scripts/lowest.txt, the lowest versions that pyproject.toml allows: ``python scripts/lowest.py`` (needs uv).

uv resolves the list and installs nothing: direct requirements, and what the fast tests import, at their lowest versions
(``--resolution lowest-direct``); what these bring along at its newest. pip installs by the list, as constraints of the
tox environment ``lowest``. Torch is not among it: it is an extra, and the oldest one is tried apart (Debian's).
"""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "scripts" / "lowest.txt"
#: The lowest Python that pyproject.toml allows.
PYTHON = "3.11"
_HOW = ("--resolution", "lowest-direct", "--python-version", PYTHON, "--python-platform", "linux")
_OUTPUT = ("--no-header", "--no-annotate", "--quiet", "-o", str(LIST))


def tools() -> list[str]:
    """Return the requirements of what the fast tests import (tox.ini), with the floors that pyproject.toml gives them."""
    ini = configparser.ConfigParser(interpolation=None)
    ini.read(ROOT / "tox.ini", encoding="utf-8")
    names = set(ini["fast"]["deps"].split())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    return [line for line in [*extras["dev"], *extras["images"]] if re.split(r"[^\w.-]", line)[0] in names]


def main() -> int:
    """Write the list; return uv's exit code."""
    LIST.unlink(missing_ok=True)  # uv would keep the versions that stand there
    command = ["uv", "pip", "compile", "pyproject.toml", "-", *_HOW, *_OUTPUT]
    return subprocess.run(command, cwd=ROOT, check=False, input="\n".join(tools()), text=True).returncode


if __name__ == "__main__":
    sys.exit(main())
