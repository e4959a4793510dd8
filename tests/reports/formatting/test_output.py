"""A file that a user asked for is whole, or is what it was before."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests import mounts
from tunebench.harness.errors import ending_of
from tunebench.reports.formatting import output
from tunebench.reports.formatting.output import OutputError, write_output

#: Writes FILE with 200 kB, in a process of its own.
WRITES = """
import sys
from pathlib import Path
from tunebench.reports.formatting.output import OutputError, write_output
try:
    write_output(Path(sys.argv[1]), b"new " * 50_000, "--html")
except OutputError as error:
    print(error.disk, error)
    sys.exit(9)
"""


def write_within(lines: list[str], path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        mounts.within(lines, [sys.executable, "-c", WRITES, str(path)]),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_a_file_and_its_folders_are_made(tmp_path):
    write_output(tmp_path / "a" / "b.html", b"new", "--html")
    assert (tmp_path / "a" / "b.html").read_bytes() == b"new"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.html"]


def test_an_old_file_keeps_its_mode_and_a_link_stays_a_link(tmp_path):
    old = tmp_path / "old.html"
    old.write_bytes(b"old")
    old.chmod(0o640)
    (tmp_path / "link.html").symlink_to("old.html")
    write_output(tmp_path / "link.html", b"new", "--html")
    assert (tmp_path / "link.html").is_symlink()
    assert old.read_bytes() == b"new"
    assert stat.S_IMODE(old.stat().st_mode) == 0o640


def test_a_new_file_has_the_mode_that_the_account_gives(tmp_path):
    before = os.umask(0o027)
    try:
        write_output(tmp_path / "new.html", b"new", "--html")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new.html").stat().st_mode) == 0o640


def test_a_name_as_long_as_a_name_may_be_is_written(tmp_path):
    write_output(tmp_path / ("n" * 255), b"new", "--html")
    assert (tmp_path / ("n" * 255)).read_bytes() == b"new"


def test_devices_and_pipes_are_written_to_as_they_are(tmp_path):
    write_output(Path("/dev/null"), b"new", "--html")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    write_output(pipe, b"new", "--html")
    reader.join(20)
    assert read == [b"new"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_whoever_reads_sees_the_old_page_or_the_new_one(tmp_path):
    path = tmp_path / "page.html"
    pages = [bytes([letter]) * 300_000 for letter in b"abcdefgh"]
    write_output(path, pages[0], "--html")
    seen: set[bytes] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for page in pages:
        write_output(path, page, "--html")
    done.set()
    reader.join(20)
    assert seen <= set(pages)


@pytest.mark.parametrize(
    ("make", "name", "reason"),
    [
        (lambda folder: (folder / "r.html").mkdir(), "r.html", "Is a directory"),
        (lambda folder: (folder / "file").write_text(""), "file/r.html", "Not a directory"),
        (lambda folder: (folder / "loop").symlink_to("loop"), "loop", "symbolic links"),
        (lambda folder: None, "n" * 256, "name too long"),
    ],
)
def test_a_place_that_cannot_be_written_is_told_with_the_option(tmp_path, make, name, reason):
    make(tmp_path)
    with pytest.raises(OutputError, match="--html FILE") as raised:
        write_output(tmp_path / name, b"new", "--html")
    assert reason in str(raised.value)
    assert ending_of(raised.value).code == 2


def test_a_full_disk_leaves_the_old_page(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    keep = f"echo old > {disk}/r.html"
    look = f"trap 'ls -a {disk}; cat {disk}/r.html' EXIT"
    done = subprocess.run(
        mounts.within(
            [mounts.small_disk(disk, 64), keep],
            ["sh", "-c", f"{look}; {sys.executable} -c '{WRITES}' {disk}/r.html"],
        ),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "True " in done.stdout, done.stdout + done.stderr
    assert "No space left on device; the old file is unchanged" in done.stdout
    assert ".part" not in done.stdout
    assert done.stdout.endswith("\nold\n")


def test_a_full_disk_leaves_no_half_page(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    done = write_within([mounts.small_disk(disk, 64)], disk / "new.html")
    assert done.returncode == 9, done.stderr
    assert done.stdout.startswith("True ")
    assert "no part of it was left there" in done.stdout


def test_a_read_only_disk_is_told(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    (disk / "r.html").write_text("old")
    for name in ("r.html", "new.html", "deep/new.html"):
        done = write_within([mounts.read_only(disk)], disk / name)
        assert done.returncode == 9, done.stderr
        assert done.stdout.startswith("False ")
        assert "Read-only file system; name another place with --html FILE" in done.stdout
    assert (disk / "r.html").read_text() == "old"


def test_a_disk_that_fails_at_the_last_moment_leaves_the_old_page(tmp_path, monkeypatch):
    """A fake, for a disk that fails: the kernel tells of it when the file is synced."""

    def fails(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    (tmp_path / "r.html").write_text("old")
    monkeypatch.setattr(output.os, "fsync", fails)
    with pytest.raises(OutputError) as raised:
        write_output(tmp_path / "r.html", b"new", "--html")
    assert raised.value.disk
    assert ending_of(raised.value).code == 4
    assert (tmp_path / "r.html").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_in_a_folder_that_cannot_be_written_is_written_in_place(tmp_path):
    path = tmp_path / "web" / "r.html"
    path.parent.mkdir()
    path.write_text("old")
    path.parent.chmod(0o555)
    try:
        write_output(path, b"new", "--html")
    finally:
        path.parent.chmod(0o755)
    assert path.read_text() == "new"


def test_a_folder_is_refused_with_a_name_in_it(tmp_path):
    folder = tmp_path / "my reports"
    folder.mkdir()
    with pytest.raises(OutputError) as refusal:
        write_output(folder, b"new", "--html")
    assert str(refusal.value).endswith(
        f"name a file in it with --html FILE, e.g. --html '{folder}/report.html'"
    )
    assert "Errno" not in str(refusal.value)
    assert ending_of(refusal.value).code == 2
    assert list(folder.iterdir()) == []


def test_a_hyphen_is_standard_output(tmp_path, monkeypatch, capfdbinary):
    monkeypatch.chdir(tmp_path)
    write_output(Path("-"), b"new \xff\n", "--json")
    assert capfdbinary.readouterr().out == b"new \xff\n"
    assert list(tmp_path.iterdir()) == []
