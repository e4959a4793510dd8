"""What is in the image: Debian's packages, a kernel, a handful of modules and the files beside this module.

The hash of all of it names the image, so that a changed recipe never meets an old image.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from tunebench.targets.boards.wheels import Facts

RELEASE = "bookworm"
ARCHITECTURE = "arm64"
MIRROR = "http://deb.debian.org/debian"
SECURITY_MIRROR = "http://deb.debian.org/debian-security"
#: Debian's own packages. No systemd (30 s of every boot), no package manager, no torch; `setup` brings a runtime.
PACKAGES = (
    "busybox-static",
    "iproute2",
    # Wheels of runtimes are linked to it, and `setup` puts them into a virtual environment.
    "libstdc++6",
    "openssh-server",
    "procps",
    "python3",
    "python3-venv",
    "sudo",
    # Else `usrmerge` and perl come along to convert a file system that is merged already.
    "usr-is-merged",
)
KERNEL = "linux-image-arm64"
DEVICE_TREE = "broadcom/bcm2837-rpi-3-b.dtb"
#: Modules by machine family; what they depend on is found in the modules themselves.
MODULES: dict[str, tuple[str, ...]] = {
    "raspi": (
        "bcm2835-dma",
        "bcm2835",
        "mmc_block",
        "crc32c_generic",
        "ext4",
        "dwc2",
        "cdc_ether",
        "bcm2835_thermal",
        "bcm2835_wdt",
        "bcm2835-rng",
        "raspberrypi-cpufreq",
    ),
    "virt": ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4", "virtio_net", "virtio-rng"),
}
#: By which wheels of PyPI are chosen for it: Debian 12's Python and C library, a Cortex-A53.
FACTS = Facts("3.11", "aarch64", 64, "2.36", lse=False)
#: The emulated card; QEMU wants a power of two.
DISK_MB = 2048
USER = "bench"

#: Sources that decide what the image holds, besides `files/`.
_SOURCES = ("recipe.py", "initrd.py", "image.py", "runtimes.py")


def files_folder() -> Path:
    """The recipe's files as they are installed."""
    return Path(str(resources.files("tunebench.targets.virtual.qemu"))) / "files"


def recipe_hash(mirror: str = MIRROR, wheels: Sequence[str] = ()) -> str:
    """Return sixteen hexadecimal digits that name this recipe: settings, files and the code that puts them together.

    Args:
        mirror: where Debian's packages come from.
        wheels: file names of those of PyPI that it holds, too.
    """
    here = files_folder().parent
    paths = [here / name for name in _SOURCES] + sorted(files_folder().iterdir())
    content = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.is_file()}
    text = json.dumps({"mirror": mirror, "files": content, "wheels": sorted(wheels)}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
