"""Whether programs may be run from a folder: file systems that are mounted ``noexec``, as on hardened images."""

import os
from typing import Optional


def noexec(path: str) -> Optional[str]:
    """Return the mount point of the ``noexec`` file system that a folder lies on; ``None`` if programs run from it.

    Python 3.6 knows the flag by its number only on some builds (statvfs(3): ST_NOEXEC is 8 on Linux).
    """
    try:
        if not os.statvfs(path).f_flag & getattr(os, "ST_NOEXEC", 8):
            return None
    except OSError:
        return None
    place = os.path.realpath(path)
    while not os.path.ismount(place):
        place = os.path.dirname(place)
    return place


def why_not_startable(program: str, cwd: str) -> Optional[str]:
    """Return why a program that is there cannot be started; ``None`` if nothing is known against it."""
    path = program if os.path.isabs(program) else os.path.join(cwd, program)
    if "/" not in program or not os.path.isfile(path):
        return None
    mount = noexec(path)
    if mount is not None:
        return (
            "the file system at %s is mounted noexec, so nothing can be run from it: set workdir in the inventory to a"
            " folder that allows it" % mount
        )
    if not os.access(path, os.X_OK):
        return "it is not executable: chmod +x it before it is packed"
    return None
