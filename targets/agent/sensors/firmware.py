"""Questions to a Raspberry Pi's firmware: by ioctl where the device file may be opened, else by ``vcgencmd``.

The ioctl spares a process a question. Device ``/dev/vcio_gencmd`` (kernels from 2026 on) or ``/dev/vcio``, group
video. Message: size, 0, tag 0x00030080, buffer size, 0, result, text, 0. Source: raspberrypi/utils vcgencmd.c.
"""

import fcntl
import os
import struct
from typing import Callable, Optional, Sequence

from tunebench.targets.agent.linux import programs
from tunebench.targets.agent.linux.sysfs import bounded

_DEVICES = ("dev/vcio_gencmd", "dev/vcio")
_GET_GENCMD_RESULT = 0x00030080
_TEXT_B = 4096
_HEADER = struct.Struct("=6I")
#: _IOWR(100, 0, char *): its size field is that of a pointer.
_REQUEST = 0xC0006400 | struct.calcsize("P") << 16
TIMEOUT_S = 1.0

Ioctl = Callable[[int, int, bytearray], object]


def message(command: str) -> bytearray:
    """Return the buffer that asks ``command``; the answer comes in it."""
    text = command.encode("ascii")[: _TEXT_B - 1].ljust(_TEXT_B, b"\0")
    size = _HEADER.size + _TEXT_B + 4
    return bytearray(_HEADER.pack(size, 0, _GET_GENCMD_RESULT, _TEXT_B, 0, 0) + text + b"\0\0\0\0")


def answer(buffer: bytearray) -> programs.Said:
    """Return what the firmware wrote into the buffer."""
    result = _HEADER.unpack_from(buffer)[5]
    text = bytes(buffer[_HEADER.size : _HEADER.size + _TEXT_B]).split(b"\0", 1)[0]
    return programs.Said(int(result), text.decode("ascii", "replace"), None)


class Firmware:
    """One way to ask, chosen once.

    Attributes:
        route: ``ioctl /dev/vcio`` or ``vcgencmd``: for a channel's source.
    """

    def __init__(self, root: str = "/", ioctl: Optional[Ioctl] = None) -> None:
        self._root = root
        self._ioctl = ioctl or fcntl.ioctl
        self._descriptor = -1
        self._owner = os.getpid()
        self.route = "vcgencmd"
        for device in _DEVICES if programs.is_real(root) or ioctl else ():
            path = os.path.join(root, device)
            try:
                self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            except OSError:
                continue
            self.route = "ioctl /" + device
            return

    def ask(self, words: Sequence[str]) -> programs.Said:
        """Return the firmware's answer to e.g. ``["measure_clock", "arm"]``."""
        if self._descriptor < 0:
            return programs.run(self._root, ["vcgencmd"] + list(words), TIMEOUT_S)
        buffer = message(" ".join(words))
        try:
            self._ioctl(self._descriptor, _REQUEST, buffer)
        except OSError as error:
            return programs.Said(None, "", "%s: %s" % (self.route, error.strerror))
        return answer(buffer)

    def ask_once(self, words: Sequence[str]) -> programs.Said:
        """Ask during discovery, where a driver that hangs is left behind."""
        late = programs.Said(None, "", "%s gave no answer within %g s" % (self.route, 2 * TIMEOUT_S))
        said: programs.Said = bounded(lambda: self.ask(words), 2 * TIMEOUT_S, late)
        return said

    def close(self) -> None:
        """Close the device."""
        if self._descriptor >= 0 and self._owner == os.getpid():
            os.close(self._descriptor)
        self._descriptor = -1

    def __del__(self) -> None:
        self.close()
