"""Take packages from another environment of tox, instead of unpacking and compiling the same wheels again.

``test``, ``full`` and ``demo`` hold the same PyTorch and most of the same libraries: 10,000 files, whose bytecode alone
takes a minute to compile. What an environment is asked for, and a sibling of the same Python has in a version that fits,
is linked file by file (``link(2)``; copied where that fails), with all that it requires. pip, which runs next, finds it
installed. It never writes into a file that it has installed, so environments stay apart. Scripts in ``bin`` are written
anew: they name their Python.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from importlib import metadata
from importlib.util import cache_from_source
from pathlib import Path

from pip._vendor.packaging.requirements import InvalidRequirement, Requirement
from pip._vendor.packaging.utils import canonicalize_name

#: Made with the same versions: neither those of the lowest versions nor of other Pythons.
SIBLINGS = ("test", "full", "demo")
_OWN = "tunebench"
_SHEBANG = re.compile(rb"#!/[^\n]*/bin/python[0-9.]*(?=\n)")


class Sibling:
    """The packages of another environment.

    Args:
        prefix: its folder.
    """

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
        places = {"base": str(prefix), "platbase": str(prefix)}
        self.library = Path(sysconfig.get_path("purelib", vars=places))
        self._packages = {
            canonicalize_name(package.name): package
            for package in metadata.distributions(path=[str(self.library)])
            if package.files and canonicalize_name(package.name) != _OWN
        }

    def closure(self, wanted: list[Requirement]) -> dict[str, metadata.Distribution]:
        """Return the packages that fit what is wanted, each with all that it requires, or none of these."""
        chosen: dict[str, metadata.Distribution] = {}
        for requirement in wanted:
            packages = self._with_required(requirement)
            if packages is not None:
                chosen |= packages
        return chosen

    def _with_required(self, wanted: Requirement) -> dict[str, metadata.Distribution] | None:
        chosen: dict[str, metadata.Distribution] = {}
        done: set[tuple[str, str]] = set()
        left = [wanted]
        while left:
            requirement = left.pop()
            name = canonicalize_name(requirement.name)
            package = self._packages.get(name)
            if package is None or not requirement.specifier.contains(package.version, prereleases=True):
                return None
            sources = (
                file for file in package.files or () if file.suffix != ".pyc" and file.name != "__pycache__"
            )
            if not all(file.locate().exists() for file in sources):
                return None
            chosen[name] = package
            for extra in requirement.extras | {""}:
                if (name, extra) not in done:
                    done.add((name, extra))
                    required = map(Requirement, package.requires or ())
                    left += [
                        item
                        for item in required
                        if item.marker is None or item.marker.evaluate({"extra": extra})
                    ]
        return chosen


def requirements(words: list[str]) -> Iterator[Requirement]:
    """Yield the requirements among pip's arguments; options and paths are none."""
    for word in words:
        try:
            yield Requirement(word)
        except InvalidRequirement:
            continue


def take(
    words: list[str], prefix: Path = Path(sys.prefix), siblings: tuple[str, ...] = SIBLINGS
) -> list[str]:
    """Link what ``pip install WORDS`` would install and a sibling has; return the names of the packages."""
    if prefix.name not in siblings or any(word in words for word in ("-U", "--upgrade", "--force-reinstall")):
        return []
    wanted = list(requirements(words))
    here = Sibling(prefix)
    taken = []
    for name in siblings:
        if name == prefix.name or not (prefix.parent / name / "pyvenv.cfg").is_file():
            continue
        sibling = Sibling(prefix.parent / name)
        for package_name, package in sorted(sibling.closure(wanted).items()):
            if package_name not in here._packages:
                _link(package, sibling, here)
                taken.append(package_name)
        here = Sibling(prefix)
    return taken


def _link(package: metadata.Distribution, sibling: Sibling, here: Sibling) -> None:
    record = None
    for source in _files(package):
        target = here.prefix / source.relative_to(sibling.prefix)
        if target.name == "RECORD" and target.parent.suffix == ".dist-info":
            record = source, target
        else:
            _place(source, target, here.prefix)
    if record is not None:  # last: a package is there when all of it is
        _place(*record, here.prefix)


def _files(package: metadata.Distribution) -> set[Path]:
    """Return the files of a package, and their bytecode, which not every list of files names rightly."""
    files = {Path(os.path.normpath(str(file.locate()))) for file in package.files or ()}
    compiled = {Path(cache_from_source(str(path))) for path in files if path.suffix == ".py"}
    return {path for path in files | compiled if path.is_file()}


def _place(source: Path, target: Path, here: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    if target.parent == here / "bin":
        content = source.read_bytes()
        if _SHEBANG.match(content):
            target.write_bytes(_SHEBANG.sub(f"#!{here}/bin/python".encode(), content, count=1))
            shutil.copymode(source, target)
            return
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
