"""Puts runtimes onto the image: their wheels unpacked as they are.

Over the emulated USB network they would take minutes to arrive, and minutes more to be installed by the slow cores. They
are not imported here: under qemu-user onnxruntime 1.32.0 dies of it, just after reading what the host says of its CPUs.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Runtimes:
    """Runtimes for compressed networks that an image is to hold.

    Attributes:
        names: as ``setup --runtime`` is asked for them.
        wheels: files of this machine that fit the board.
    """

    names: tuple[str, ...] = ()
    wheels: tuple[Path, ...] = ()

    @property
    def files(self) -> list[str]:
        """Return the file names of the wheels, sorted."""
        return sorted(wheel.name for wheel in self.wheels)


#: An image without any.
NONE = Runtimes()


def unpack(wheels: Sequence[Path], folder: Path) -> None:
    """Unpack wheels into a folder of modules; scripts and headers that they bring are left out."""
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            archive.extractall(
                folder, [name for name in names if not name.partition("/")[0].endswith(".data")]
            )
