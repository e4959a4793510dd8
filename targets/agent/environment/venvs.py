"""Virtual environments for workloads, below ``<workdir>/venvs``: what a board offers, and what is there already.

A build (:mod:`tunebench.targets.agent.environment.venv_build`) is described by a recipe and leaves a state file; both
are JSON beside the environment, so that a build that was cut off goes on, and one that is complete is seen to be.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from typing import Any, Callable, Dict, List, Optional

from tunebench.targets.agent import workdir
from tunebench.targets.agent.environment import identity, interpreters, jetpack
from tunebench.targets.agent.linux import detached, processes, said
from tunebench.targets.agent.linux.mounts import noexec
from tunebench.targets.agent.linux.sysfs import text_of
from tunebench.targets.agent.workdir import AgentError, Workdir

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,39}\Z")
_WHEEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+!-]{0,200}\.whl\Z")
_CHUNK = re.compile(r"[0-9a-f]{64}\.chunk\Z")
_ASK_S = 60.0
#: A follower says that it is still there, so that silence means a broken link.
_HEARTBEAT_S = 5.0
_PERIOD_S = 0.1
#: Runs in the Python that the environment will be made with; stays readable by 3.6.
_ASK = """
import ctypes, importlib.util, json, os, platform, struct, sys
def loads(library):
    try:
        ctypes.CDLL(library)
        return True
    except OSError:
        return False
def there(name):
    try:
        return importlib.util.find_spec(name) is not None
    except Exception:
        return False
try:
    libc = os.confstr("CS_GNU_LIBC_VERSION")
except (ValueError, OSError):
    libc = None
short = "%d.%d" % sys.version_info[:2]
print(json.dumps({
    "version": "%d.%d.%d" % sys.version_info[:3], "short": short, "implementation": sys.implementation.name,
    "tag": "cp" + short.replace(".", ""), "executable": sys.executable, "bits": struct.calcsize("P") * 8,
    "machine": platform.machine(), "glibc": libc.split()[-1] if libc and libc.startswith("glibc") else None,
    "venv": there("venv"), "ensurepip": there("ensurepip"), "libstdcxx": loads("libstdc++.so.6"),
}))
"""


class Place:
    """Where one environment and what belongs to it lies."""

    def __init__(self, root: str, name: Any) -> None:
        if not isinstance(name, str) or not _NAME.match(name):
            raise AgentError(
                "job", "environment name %.80r: use lower-case letters, digits, '.', '-'" % (name,)
            )
        self.name = name
        self.folder = os.path.join(root, "venvs")
        self.venv = os.path.join(self.folder, name)
        self.python = os.path.join(self.venv, "bin", "python")
        self.wheels = self.venv + ".wheels"
        self.tmp = self.venv + ".tmp"
        self.state = self.venv + ".json"
        self.recipe = self.venv + ".recipe.json"
        self.events = self.venv + ".events.jsonl"
        self.log = self.venv + ".log"
        self.lock = self.venv + ".lock"

    def make(self) -> None:
        """Create the folder that all environments share."""
        os.makedirs(self.folder, mode=0o700, exist_ok=True)

    def read_state(self) -> Dict[str, Any]:
        """Return what is recorded of earlier builds; empty if there were none."""
        return workdir.read_json(self.state) or {}


def facts(place: Workdir, request: Dict[str, Any], root: str = "/") -> Dict[str, Any]:
    """Return what decides on an environment: Python, C library, instruction set, disk, and what is there already.

    Args:
        place: the working directory.
        request: ``{"python": [argv], "name": environment}``.
        root: where the board's file system starts (not for Python, the C library and the disk).
    """
    here = Place(place.root, request.get("name"))
    release = identity.os_release(_read(root, "etc/os-release") or _read(root, "usr/lib/os-release"))
    l4t = jetpack.release(_read(root, "etc/nv_tegra_release"))
    return {
        "python": ask(request["python"]),
        "venv": here.venv,
        "distro": {key: release.get(key.upper()) for key in ("id", "id_like", "version_id", "pretty_name")},
        "disk_free_b": shutil.disk_usage(place.root).free,
        "noexec": noexec(place.root),
        "lse": identity.has_lse(_read(root, "proc/cpuinfo")),
        "l4t": l4t,
        "jetpack": jetpack.jetpack(l4t),
        "state": here.read_state(),
        "building": is_building(here),
        "wheels": _wheels(here),
    }


def _read(root: str, path: str) -> str:
    return text_of(os.path.join(root, path)) or ""


def ask(argv: List[str]) -> Dict[str, Any]:
    """Ask a Python about itself: ``version``, ``short``, ``tag``, ``bits``, ``glibc``, ``venv``, ``ensurepip``, ...

    Raises:
        AgentError: (kind ``interpreter``) it does not start, or is no Python.
    """
    try:
        done = subprocess.run(
            processes.expanded(argv) + ["-I", "-c", _ASK],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=interpreters.NEUTRAL,
            timeout=_ASK_S,
            check=False,
        )
        answer = json.loads(done.stdout.decode("utf-8", "replace").strip().splitlines()[-1])
        answer["short"], answer["executable"]
    except subprocess.TimeoutExpired:
        raise AgentError("interpreter", "%s: no answer within %g s" % (argv[0], _ASK_S)) from None
    except OSError as error:
        raise AgentError("interpreter", "cannot start %s: %s" % (argv[0], error.strerror)) from None
    except (ValueError, IndexError, KeyError, TypeError):
        last = said.why(done.stderr.decode("utf-8", "replace"))
        raise AgentError("interpreter", "%s is no Python that works: %s" % (" ".join(argv), last)) from None
    return dict(answer)


def is_building(here: Place) -> bool:
    """Tell whether a build is at work: it holds the lock, and the kernel releases it with the process."""
    return detached.is_held(here.lock)


def join(place: Workdir, request: Dict[str, Any]) -> Dict[str, Any]:
    """Join pushed chunks into wheels: verify each wheel, rename it into place, then remove its chunks.

    Args:
        place: the working directory; chunks are in its blobs.
        request: ``{"name", "wheels": [{"file", "sha256", "chunks": [blob, ...]}]}``.
    """
    here = Place(place.root, request.get("name"))
    here.make()
    os.makedirs(here.wheels, mode=0o700, exist_ok=True)
    for wheel in request["wheels"]:
        name, chunks = wheel["file"], wheel["chunks"]
        if not _WHEEL.match(name) or not all(_CHUNK.match(blob) for blob in chunks):
            raise AgentError("job", "join: %.200r is no wheel of chunks" % (name,))
        part = os.path.join(here.wheels, name + ".part")
        digest = hashlib.sha256()
        with open(part, "wb") as sink:
            for chunk in chunks:
                try:
                    with open(os.path.join(place.blobs, chunk), "rb") as source:
                        data = source.read()
                except OSError:
                    raise AgentError(
                        "blob", "join: chunk %s is not on the board; push it again" % chunk
                    ) from None
                digest.update(data)
                sink.write(data)
        if digest.hexdigest() != wheel["sha256"]:
            raise AgentError("blob", "join: %s came together with another SHA-256" % name)
        os.rename(part, os.path.join(here.wheels, name))
        for chunk in set(chunks):
            os.remove(os.path.join(place.blobs, chunk))
    return {"wheels": _wheels(here)}


def _wheels(here: Place) -> List[str]:
    names = os.listdir(here.wheels) if os.path.isdir(here.wheels) else []
    return sorted(name for name in names if _WHEEL.match(name))


def follow(here: Place, tell: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """Pass on a build's events until its end; return the last event.

    Args:
        here: the environment.
        tell: called with each event; raising ends the following, not the build.
    """
    told_b, said_s = 0, time.monotonic()
    while True:
        at_work = is_building(here)
        lines = _whole_lines(here.events, told_b)
        for line in lines:
            told_b += len(line)
            event = json.loads(line.decode())
            if event.get("event") == "end":
                return event  # type: ignore[no-any-return]
            tell(event)
            said_s = time.monotonic()
        if not lines and not at_work:
            return {
                "event": "end",
                "ok": False,
                "kind": "died",
                "reason": "the build died; see %s" % here.log,
            }
        if time.monotonic() - said_s > _HEARTBEAT_S:
            tell({"event": "alive"})
            said_s = time.monotonic()
        time.sleep(_PERIOD_S)


def _whole_lines(path: str, start_b: int) -> List[bytes]:
    try:
        with open(path, "rb") as file:
            file.seek(start_b)
            return [line for line in file.readlines() if line.endswith(b"\n")]
    except OSError:
        return []


def tail(path: str, size_b: int = 2000) -> Optional[str]:
    """Return the last lines of a log."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.path.getsize(path) - size_b))
            return file.read().decode("utf-8", "replace").strip()
    except OSError:
        return None
