"""Where things are kept that can be made again: a home that cannot be written, or that is not there, is no obstacle."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile

import pytest

from tests import mounts
from tunebench.harness import account as accounts
from tunebench.harness.account import cache_place, cache_places, home_can_be_written
from tunebench.harness.artifacts import build_cache
from tunebench.targets.payload import Blob

TOLD = "from tunebench.harness.account import cache_place; print(cache_place('built'))"


@pytest.fixture(autouse=True)
def account(tmp_path, monkeypatch):
    """A home and a temporary directory of this test's own."""
    (tmp_path / "home").mkdir()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    accounts._own.cache_clear()
    return tmp_path


def test_it_is_below_the_home_and_nothing_is_made_to_find_out(account):
    assert str(cache_place("built")) == f"{account}/home/.cache/tunebench/built"
    assert list((account / "home").iterdir()) == []


@pytest.mark.parametrize(("named", "there"), [("{root}/xdg", True), ("relative/xdg", False), ("", False)])
def test_an_absolute_xdg_cache_home_comes_first(account, monkeypatch, named, there):
    monkeypatch.setenv("XDG_CACHE_HOME", named.format(root=account))
    base = f"{account}/xdg" if there else f"{account}/home/.cache"
    assert str(cache_place("built")) == f"{base}/tunebench/built"


def test_what_lies_in_the_home_is_still_found_once_xdg_cache_home_is_set(account, monkeypatch):
    blob = Blob.of_bytes(b"an old build", ".zip", role="payload")
    build_cache.keep([blob])
    monkeypatch.setenv("XDG_CACHE_HOME", f"{account}/xdg")
    assert cache_places("built") == [
        account / "xdg" / "tunebench" / "built",
        account / "home" / ".cache" / "tunebench" / "built",
    ]
    kept = build_cache.kept(blob.sha256, ".zip", "payload")
    assert kept is not None
    assert kept.sha256 == blob.sha256


@pytest.mark.parametrize("home", ["/dev/null", "/dev/null/below"])
def test_a_home_that_cannot_hold_it_gives_way_to_a_private_folder(account, monkeypatch, home):
    monkeypatch.setenv("HOME", home)
    assert not home_can_be_written()
    place = cache_place("built")
    assert place == account / "tmp" / f"tunebench-{os.getuid()}" / "built"
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    assert cache_place("built") == place


@pytest.mark.parametrize("made", ["link", "open", "file"])
def test_a_folder_of_that_name_that_others_can_write_is_not_trusted(account, monkeypatch, made):
    monkeypatch.setenv("HOME", "/dev/null")
    name = account / "tmp" / f"tunebench-{os.getuid()}"
    if made == "link":
        (account / "elsewhere").mkdir()
        name.symlink_to(account / "elsewhere")
    elif made == "open":
        name.mkdir()
        name.chmod(0o777)
    else:
        name.write_text("")
    place = cache_place("built")
    assert place.parent != name
    assert place.parent.parent == account / "tmp"
    assert cache_place("native") == place.parent / "native"


def test_a_read_only_home_is_one_that_cannot_be_written_and_is_still_read(account):
    kept = account / "home" / ".cache" / "tunebench" / "built"
    kept.mkdir(parents=True)
    program = (
        "from tunebench.harness.account import cache_places, home_can_be_written\n"
        "print(home_can_be_written()); print(*cache_places('built'), sep='\\n')"
    )
    done = subprocess.run(
        mounts.within([mounts.read_only(account / "home")], [sys.executable, "-c", program]),
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "TMPDIR": str(account / "tmp")},
    )  # fmt: skip
    assert done.stdout.splitlines() == ["False", f"{account}/tmp/tunebench-{os.getuid()}/built", str(kept)], (
        done.stderr
    )


def test_without_a_home_it_is_in_the_private_folder(account):
    env = {name: value for name, value in os.environ.items() if name != "HOME"}
    done = subprocess.run(
        mounts.within([mounts.nameless(account)], [sys.executable, "-c", TOLD]),
        capture_output=True, text=True, timeout=60, check=False, env={**env, "TMPDIR": str(account / "tmp")},
    )  # fmt: skip
    assert done.stdout.strip() == f"{account}/tmp/tunebench-{os.getuid()}/built", done.stderr
