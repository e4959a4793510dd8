"""The emulated board's image: its recipe's name, its initrd, and what a build leaves when it fails or is killed."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tunebench.targets.virtual.qemu import image, initrd, recipe
from tunebench.targets.virtual.qemu.errors import EmulationError, MissingError


def kernel(**depends: str) -> initrd.KernelFiles:
    """A kernel with modules that say what they depend on, as real ones do in their .modinfo section."""
    modules = {
        name: b"\x7fELF\0license=GPL\0depends=" + needs.encode() + b"\0name=" + name.encode() + b"\0"
        for name, needs in depends.items()
    }
    return initrd.KernelFiles(b"kernel", b"tree", modules, frozenset({"mmc_block"}))


def test_modules_are_loaded_after_what_they_depend_on_and_once():
    kernel_files = kernel(ext4="jbd2,mbcache", jbd2="", mbcache="", usbnet="mii", cdc_ether="usbnet", mii="")
    order = initrd.load_order(["ext4", "cdc-ether", "usbnet", "mmc_block"], kernel_files)
    assert order == ["jbd2", "mbcache", "ext4", "mii", "usbnet", "cdc_ether"]


def test_a_module_that_the_kernel_has_not_is_named():
    with pytest.raises(EmulationError, match="no module 'dwc2'"):
        initrd.load_order(["dwc2"], kernel(ext4=""))


def test_the_initrd_is_an_archive_that_cpio_reads(tmp_path):
    packed = initrd.make_initrd(
        b"busybox", b"#!/bin/sh\n", {"raspi": ["ext4"], "virt": ["jbd2"]}, kernel(ext4="jbd2", jbd2="")
    )
    assert packed == initrd.make_initrd(
        b"busybox", b"#!/bin/sh\n", {"raspi": ["ext4"], "virt": ["jbd2"]}, kernel(ext4="jbd2", jbd2="")
    )
    files = read_cpio(gzip.decompress(packed))
    assert files["init"] == (0o100755, b"#!/bin/sh\n")
    assert files["bin/sh"] == (0o120777, b"busybox")
    assert files["modules/raspi.order"][1] == b"jbd2.ko\next4.ko\n"
    assert files["modules/virt.order"][1] == b"jbd2.ko\n"
    assert {"modules/ext4.ko", "modules/jbd2.ko"} <= set(files)


def read_cpio(archive: bytes) -> dict[str, tuple[int, bytes]]:
    """Read ``newc`` by its published layout (kernel: driver-api/early-userspace/buffer-format.rst)."""
    files, at = {}, 0
    while True:
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        mode, size, name_b = fields[1], fields[6], fields[11]
        name = archive[at + 110 : at + 110 + name_b - 1].decode()
        body = (at + 110 + name_b + 3) // 4 * 4
        if name == "TRAILER!!!":
            return files
        files[name] = (mode, archive[body : body + size])
        at = (body + size + 3) // 4 * 4


def test_another_mirror_is_another_recipe_and_the_same_is_the_same():
    assert recipe.recipe_hash() == recipe.recipe_hash()
    assert recipe.recipe_hash() != recipe.recipe_hash("http://mirror.example/debian")


def test_an_image_counts_only_when_it_is_complete(tmp_path):
    folder = tmp_path / recipe.recipe_hash()
    folder.mkdir()
    (folder / "disk.img").write_bytes(b"half")
    assert image.find(tmp_path) is None
    with pytest.raises(MissingError, match="tunebench emulate raspi3b build"):
        image.find_any(tmp_path)
    (folder / "image.json").write_text(json.dumps({"mirror": recipe.MIRROR}))
    assert image.find_any(tmp_path).path == folder


def test_an_image_of_another_mirror_is_found_too(tmp_path):
    mirror = "http://mirror.example/debian"
    folder = tmp_path / recipe.recipe_hash(mirror)
    folder.mkdir()
    (folder / "image.json").write_text(json.dumps({"mirror": mirror}))
    assert image.find(tmp_path) is None
    assert image.find_any(tmp_path).path == folder


def test_what_is_missing_is_named_all_at_once_with_the_command_that_installs_it(monkeypatch, tmp_path):
    monkeypatch.setattr(image.shutil, "which", lambda *_args, **_options: None)
    monkeypatch.setattr(image.os, "geteuid", lambda: 1000)
    with pytest.raises(MissingError) as refused:
        image.build(tmp_path, lambda _: None)
    said = str(refused.value)
    assert "apt-get install --no-install-recommends" in said
    for package in ("mmdebstrap", "qemu-user", "e2fsprogs"):
        assert package in said
    assert "as root" in said
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def fake_tools(tmp_path, monkeypatch):
    """Programs of the names that a build calls; ``mmdebstrap`` does what the test says, the others nothing."""
    if os.geteuid() != 0 or not Path("/usr/share/keyrings/debian-archive-keyring.gpg").is_file():
        pytest.skip("building needs root and Debian's keyring")
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in image.BUILD_TOOLS:
        (folder / tool).write_text("#!/bin/sh\nexit 0\n")
        (folder / tool).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def write(script: str) -> None:
        (folder / "mmdebstrap").write_text("#!/bin/sh\n" + script)

    return write


def test_a_failed_build_says_why_and_leaves_no_image(fake_tools, tmp_path):
    fake_tools("echo 'I: downloading packages'; echo 'E: mirror is down' >&2; exit 25\n")
    messages: list[str] = []
    with pytest.raises(EmulationError, match=r"(?s)mmdebstrap failed with status 25; log: .*mirror is down"):
        image.build(tmp_path / "cache", messages.append)
    assert any("downloading packages" in line for line in messages)
    assert image.find(tmp_path / "cache") is None
    assert list((tmp_path / "cache").glob("*.part.*")) == []


def test_a_killed_build_never_looks_complete_and_the_next_one_sweeps_it(fake_tools, tmp_path):
    fake_tools("sleep 60\n")
    cache = tmp_path / "cache"
    code = (
        "from pathlib import Path; from tunebench.targets.virtual.qemu import image;"
        f" image.build(Path({str(cache)!r}), lambda _: None)"
    )
    build = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    end_s = time.monotonic() + 20
    while not list(cache.glob("*.part.*/image/id_ed25519")):
        assert time.monotonic() < end_s
        time.sleep(0.05)
    os.killpg(build.pid, signal.SIGKILL)
    build.wait()
    assert image.find(cache) is None
    fake_tools("exit 1\n")
    with pytest.raises(EmulationError):
        image.build(cache, lambda _: None)
    assert list(cache.glob("*.part.*")) == []
