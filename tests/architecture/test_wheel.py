"""What is installed is what stands in the checkout, no file more and none less, whichever way the wheel was built."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.architecture.source import FOLDERS, ROOT

pytestmark = pytest.mark.slow


def build(kind: str, source: Path, into: Path) -> Path:
    """Build a wheel or an sdist of a source tree and return its path."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(into)],
        cwd=source, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    return next(path for path in into.iterdir() if path.suffix == (".whl" if kind == "wheel" else ".gz"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> set[str]:
    """The names of the files in a wheel that was built in the checkout."""
    pytest.importorskip("hatchling")
    return names(build("wheel", ROOT, tmp_path_factory.mktemp("wheel")))


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as file:
        return {name for name in file.namelist() if ".dist-info/" not in name}


def checkout() -> set[str]:
    """Return the files of the package that git knows or would take, as they are named once installed."""
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("no checkout of git")
    words = [
        "git",
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "--",
        *FOLDERS,
        "examples",
        "tunebench",
    ]
    listed = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\n")
    files = {name for name in listed if name and (ROOT / name).is_file()}
    return {name if name.startswith("tunebench/") else f"tunebench/{name}" for name in files}


def test_a_wheel_holds_every_file_of_the_checkout_and_nothing_else(wheel):
    assert wheel == checkout()


def test_nothing_of_it_lies_beside_the_namespace(wheel):
    assert {name.partition("/")[0] for name in wheel} == {"tunebench"}


def test_a_wheel_from_the_sdist_is_the_same(wheel, tmp_path):
    sdist = build("sdist", ROOT, tmp_path / "sdist")
    with tarfile.open(sdist) as file:
        file.extractall(tmp_path / "source", filter="data")
    (unpacked,) = (tmp_path / "source").iterdir()
    assert names(build("wheel", unpacked, tmp_path / "wheel")) == wheel
