"""What is in the image: Debian's packages, a kernel, a handful of modules and the files beside this module.

The hash of all of it names the image, so that a changed recipe never meets an old image.
"""

from __future__ import annotations

import hashlib
import json
from importlib import resources
from pathlib import Path

RELEASE = "bookworm"
ARCHITECTURE = "arm64"
MIRROR = "http://deb.debian.org/debian"
SECURITY_MIRROR = "http://deb.debian.org/debian-security"
#: Debian's own packages. No systemd (30 s of every boot), no package manager, no torch: the native engine only.
PACKAGES = (
    "busybox-static",
    "iproute2",
    "openssh-server",
    "procps",
    "python3",
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
#: The emulated card; QEMU wants a power of two.
DISK_MB = 2048
USER = "bench"

#: Sources that decide what the image holds, besides `files/`.
_SOURCES = ("recipe.py", "initrd.py", "image.py")


def files_folder() -> Path:
    """The recipe's files as they are installed."""
    return Path(str(resources.files("tunebench.targets.virtual.qemu"))) / "files"


def recipe_hash(mirror: str = MIRROR) -> str:
    """Sixteen hexadecimal digits that name this recipe: settings, files and the code that puts them together."""
    here = files_folder().parent
    paths = [here / name for name in _SOURCES] + sorted(files_folder().iterdir())
    content = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.is_file()}
    text = json.dumps({"mirror": mirror, "files": content}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
