"""Keep the agent compiled on the board: each command is a process, and a slow board compiles for a second.

The payload holds source, since boards have many Pythons. What a board's Python makes of it is kept beside the blobs, in
``compiled/<payload's SHA-256>.<tag and magic number of the bytecode>.zip``. A probe makes that file, or makes it again
where it is damaged, so that a run has one before its first repetition.
"""

import os
import sys

#: Another host with another version of tunebench may want its own again.
_KEPT = 4
_PACKAGE = "tunebench.targets.agent"
_EPOCH = (1980, 1, 1, 0, 0, 0)


def path_of(payload: str) -> str:
    """Return where the agent of a payload is kept compiled, for the Python that runs this."""
    folder, name = os.path.split(os.path.abspath(payload))
    kind = "%s-%d" % (sys.implementation.cache_tag, int.from_bytes(_magic()[:2], "little"))
    return os.path.join(os.path.dirname(folder), "compiled", "%s.%s.zip" % (os.path.splitext(name)[0], kind))


def use(compiled: str) -> None:
    """Import what has not been imported of the agent from ``compiled``, if it is there."""
    if not os.path.isfile(compiled):
        return
    for name, module in list(sys.modules.items()):
        if (name + ".").startswith(_PACKAGE + ".") and hasattr(module, "__path__"):
            place = os.path.join(compiled, *name.split("."))
            if place not in module.__path__:
                module.__path__.insert(0, place)


def keep(payload: str, compiled: str) -> bool:
    """Compile the agent of a payload unless that is done; return whether it is there afterwards."""
    if _is_whole(compiled):
        return True
    part = "%s.part.%d" % (compiled, os.getpid())
    folder = os.path.dirname(compiled)
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        try:
            _write(payload, part)
            os.rename(part, compiled)
        finally:
            if os.path.exists(part):
                os.remove(part)
        _drop_old(folder, compiled)
    except (OSError, SyntaxError, ValueError):
        return False  # on a full or read-only disk the source serves as well, only slower
    return True


def _is_whole(path: str) -> bool:
    """Tell whether each member has its checksum: Python's import does not look at them."""
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return False


def _write(payload: str, path: str) -> None:
    import marshal
    import zipfile

    inside = _PACKAGE.replace(".", "/") + "/"
    # As Python's import reads it, without a time of its source.
    head = _magic() + b"\0" * (12 if sys.version_info >= (3, 7) else 8)
    with open(path, "wb") as file:
        with zipfile.ZipFile(payload) as source, zipfile.ZipFile(file, "w") as compiled:
            for name in source.namelist():
                if name.startswith(inside) and name.endswith(".py"):
                    code = compile(source.read(name), os.path.join(payload, name), "exec", dont_inherit=True)
                    compiled.writestr(zipfile.ZipInfo(name + "c", _EPOCH), head + marshal.dumps(code))
        file.flush()
        os.fsync(file.fileno())


def _drop_old(folder: str, newest: str) -> None:
    paths = [os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".zip")]
    paths.sort(key=lambda path: (path == newest, os.path.getmtime(path)))
    for path in paths[:-_KEPT]:
        os.remove(path)


def _magic() -> bytes:
    # importlib.util has it, too, but takes 5 ms to import.
    import _frozen_importlib_external

    magic: bytes = _frozen_importlib_external.MAGIC_NUMBER
    return magic
