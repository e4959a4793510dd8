"""The kernel's package -> kernel, device tree and an initrd with only the modules that this board needs.

Debian's own initrd holds far more, is made under emulation and looks for hardware for half a minute. Written with the
standard library: a ``newc`` archive is a header and a body a file (kernel: Documentation/driver-api/early-userspace/
buffer-format.rst).
"""

from __future__ import annotations

import gzip
import re
import subprocess
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tunebench.targets.virtual.qemu.errors import EmulationError

_FILE, _FOLDER, _LINK = 0o100755, 0o040755, 0o120777
_MODULE = re.compile(r"^\./lib/modules/[^/]+/kernel/.*\.ko$")
#: Large folders without anything that this board could have.
_SKIPPED = re.compile(r"/kernel/(sound|drivers/(gpu|media|staging|infiniband|net/(wireless|ethernet)))/")
_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")


@dataclass(frozen=True)
class KernelFiles:
    """What is needed of the kernel's package.

    Attributes:
        modules: name (``-`` written as ``_``) -> content.
        built_in: names of those that the kernel needs no file for.
    """

    kernel: bytes
    device_tree: bytes
    modules: Mapping[str, bytes]
    built_in: frozenset[str]


def read_package(package: Path, device_tree: str) -> KernelFiles:
    """Read a Debian kernel package without installing it (streamed).

    Raises:
        EmulationError: it does not hold a kernel and the device tree.
    """
    kernel, tree, built_in, modules = b"", b"", b"", {}
    unpack = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE)
    assert unpack.stdout is not None  # noqa: S101 - by stdout=PIPE
    with unpack, tarfile.open(fileobj=unpack.stdout, mode="r|") as archive:
        for member in archive:
            if not member.isreg():
                continue
            if member.name.startswith("./boot/vmlinuz-"):
                kernel = _content(archive, member)
            elif member.name.endswith("/" + device_tree):
                tree = _content(archive, member)
            elif member.name.endswith("/modules.builtin"):
                built_in = _content(archive, member)
            elif _MODULE.match(member.name) and not _SKIPPED.search(member.name):
                modules[_plain(PurePosixPath(member.name).stem)] = _content(archive, member)
    if unpack.returncode != 0 or not kernel or not tree:
        raise EmulationError(f"{package.name}: holds no kernel with {device_tree}")
    names = frozenset(_plain(PurePosixPath(line).stem) for line in built_in.decode().split())
    return KernelFiles(kernel, tree, modules, names)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return file.read() if file is not None else b""


def _plain(name: str) -> str:
    """Module names are spelt with either; the kernel takes both for one."""
    return name.replace("-", "_")


def load_order(wanted: Iterable[str], kernel: KernelFiles) -> list[str]:
    """The modules of ``wanted`` and all they depend on, each after what it needs; those built in need no loading.

    Raises:
        EmulationError: a module is not there.
    """
    order: list[str] = []
    modules = kernel.modules

    def add(name: str) -> None:
        if name in order or name in kernel.built_in:
            return
        if name not in modules:
            raise EmulationError(f"the kernel's package has no module {name!r}")
        dependencies = _DEPENDS.search(modules[name])
        for needed in dependencies.group(1).decode().split(",") if dependencies else []:
            if needed:
                add(_plain(needed))
        order.append(name)

    for name in wanted:
        add(_plain(name))
    return order


def make_initrd(
    busybox: bytes, init: bytes, families: Mapping[str, Sequence[str]], kernel: KernelFiles
) -> bytes:
    """A gzipped initrd: busybox, ``/init``, the modules and their order for each family of machines."""
    orders = {family: load_order(wanted, kernel) for family, wanted in families.items()}
    entries = [
        ("bin", _FOLDER, b""),
        ("modules", _FOLDER, b""),
        ("bin/busybox", _FILE, busybox),
        ("bin/sh", _LINK, b"busybox"),
        ("init", _FILE, init),
    ]
    for name in sorted({name for order in orders.values() for name in order}):
        entries.append((f"modules/{name}.ko", _FILE, kernel.modules[name]))
    for family, order in sorted(orders.items()):
        text = "".join(f"{name}.ko\n" for name in order)
        entries.append((f"modules/{family}.order", _FILE, text.encode()))
    return gzip.compress(cpio(entries), 6, mtime=0)


def cpio(entries: Iterable[tuple[str, int, bytes]]) -> bytes:
    """A ``newc`` archive of ``(name, mode, content)``, all owned by root."""
    archive = bytearray()
    for number, (name, mode, content) in enumerate([*entries, ("TRAILER!!!", 0, b"")], start=1):
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        archive += b"070701" + "".join(f"{field:08X}" for field in fields).encode() + name.encode() + b"\0"
        _pad(archive)
        archive += content
        _pad(archive)
    return bytes(archive)


def _pad(archive: bytearray) -> None:
    archive.extend(b"\0" * (-len(archive) % 4))
