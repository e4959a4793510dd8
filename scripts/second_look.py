"""Run pytest; tests that failed are looked at once more, one after the other and alone.

    python scripts/second_look.py PYTEST-ARGUMENTS

Many tests wait for boards, links and samplers that run in real time, two at a time on whatever else a CI machine does;
others compare times.
A test that fails again by itself fails the run; one that passes is named, so that nobody overlooks it. More than
``MOST`` failures are not looked at again: that is no bad luck.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

MOST = 4
_FAILED = 1  # pytest's exit code for tests that failed; others (usage, interrupted) are not ours to mend
_LAST = Path(".pytest_cache/v/cache/lastfailed")


def main(args: list[str]) -> int:
    command = [sys.executable, "-m", "pytest"]
    _LAST.unlink(missing_ok=True)
    # Said outright: under tox pytest would put its cache elsewhere.
    code = subprocess.run([*command, "-o", f"cache_dir={_LAST.parts[0]}", *args], check=False).returncode
    failed = _failed() if code == _FAILED else []
    if not 0 < len(failed) <= MOST:
        return code
    print(f"\nsecond look at {len(failed)} that failed: {', '.join(failed)}", flush=True)
    again = subprocess.run([*command, "-q", "--timeout=600", *failed], check=False).returncode
    if again == 0:
        print(f"second look: passed alone: {', '.join(failed)}", flush=True)
    return again


def _failed() -> list[str]:
    try:
        return sorted(json.loads(_LAST.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
