"""What can be said of the dependencies without a network: ``python scripts/audit.py``.

- pip finds no requirement of an installed package broken.
- Every direct dependency is installed in the range that pyproject.toml gives.
- docs/dependencies.md tells the same names, licences and ranges.
- Nothing in the whole tree, extras and tools of development included, is under the GPL or AGPL alone.

Known vulnerabilities are not among it: their lists are online (``pip-audit``).
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import metadata

sys.path.insert(0, __file__.rpartition("/")[0])
import dependencies_page as page
from packaging.requirements import Requirement

_COPYLEFT = re.compile(r"(?<!L)\bA?GPL|GNU (Affero )?General Public", re.IGNORECASE)


def plain(licence: str) -> str:
    """A licence without the words that come and go between releases (``MIT License``, ``MIT``)."""
    return re.sub(r"[- ]?(license|software|clause|\(.*\)|[23]|2\.0)", "", licence.lower())


def rows(text: str) -> dict[str, tuple[str, str]]:
    """Package -> (licence, range) of the page's table."""
    cells = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {row[0]: (row[1], row[2].strip("`")) for row in cells if row[0] != "package"}


def page_differences() -> list[str]:
    """Where the page and what is installed differ."""
    page_rows, installed = rows(page.PAGE.read_text(encoding="utf-8")), rows(page.page())
    said = [f"{name}: not on {page.PAGE.name}" for name in sorted(set(installed) - set(page_rows))]
    said += [
        f"{name}: on {page.PAGE.name}, but no dependency" for name in sorted(set(page_rows) - set(installed))
    ]
    for name in sorted(set(page_rows) & set(installed)):
        if plain(page_rows[name][0]) != plain(installed[name][0]):
            said.append(f"{name}: licence is {installed[name][0]!r}, the page says {page_rows[name][0]!r}")
        if page_rows[name][1] != installed[name][1]:
            said.append(f"{name}: range is {installed[name][1]!r}, the page says {page_rows[name][1]!r}")
    return said


def out_of_range(requirements: list[str]) -> list[str]:
    """Direct dependencies that are missing or of another version than asked for."""
    said = []
    for line in requirements:
        wanted = Requirement(line)
        version = metadata.version(wanted.name)
        if not wanted.specifier.contains(version, prereleases=True):
            said.append(f"{wanted.name} {version} is installed, pyproject.toml asks for {wanted.specifier}")
    return said


def refused(licence: str) -> bool:
    """Whether a licence leaves no choice but the GPL or AGPL."""
    return all(_COPYLEFT.search(choice) for choice in re.split(r"\s+OR\s+", licence))


def refused_licences(direct: list[str]) -> list[str]:
    """Packages of the whole tree that are under the GPL or AGPL alone."""
    installed = {page.normal(each.name) for each in metadata.distributions()}
    names = page.closure([name for name in direct if name in installed], installed)
    return [f"{name}: {page.licence(name)}" for name in sorted(names) if refused(page.licence(name))]


def main() -> int:
    """Print what is wrong; 1 if anything is."""
    project = tomllib.loads((page.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    direct = [page.normal(Requirement(line).name) for line in [*project["dependencies"], *extras]]
    wrong = [*page_differences(), *out_of_range(project["dependencies"]), *refused_licences(direct)]
    checked = subprocess.run(
        [sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False
    )
    if checked.returncode != 0:
        wrong += (checked.stdout + checked.stderr).strip().splitlines()
    for line in wrong:
        print(line)
    print(
        f"audit: {len(wrong)} findings" if wrong else "audit: dependencies, licences and ranges are as told"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
