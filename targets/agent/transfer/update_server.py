"""A job's updates on the board: told, sent, and applied, so that the old weights stay unless all of the new is right.

What a model runs on is its base weights and at most one update. ``updates/serving.safetensors`` in the job's folder is
that update; it changes by one rename behind the last check, so there is never a moment without a whole one.
"""

import hashlib
import os
from typing import Any, BinaryIO, Callable, Dict, List, Optional

from tunebench.targets.agent import workdir
from tunebench.targets.agent.protocol import monotonic_ns
from tunebench.targets.agent.transfer import update_check
from tunebench.targets.agent.transfer.safetensors import Refused
from tunebench.targets.agent.workdir import AgentError

FOLDER = "updates"
INDEX = "index.json"
SERVING = "serving.safetensors"
#: Of an update as it travels; larger ones are not taken.
MAX_UPDATE_B = update_check.MAX_UPDATE_B
_CHUNK_B = 1 << 18


def index(job_dir: str) -> Dict[str, Any]:
    """Return what the workload says of its updates, and the update that is in force.

    Raises:
        AgentError: (kind ``job``) the job has written none.
    """
    listing = workdir.read_json(os.path.join(job_dir, FOLDER, INDEX))
    if listing is None:
        raise AgentError("job", "job %s has no updates" % os.path.basename(job_dir))
    return dict(listing, serving=serving(job_dir))


def serving(job_dir: str) -> Optional[str]:
    """Return SHA-256 of the update in force; None: the base weights alone."""
    try:
        with open(os.path.join(job_dir, FOLDER, SERVING), "rb") as file:
            digest = hashlib.sha256()
            for chunk in iter(lambda: file.read(_CHUNK_B), b""):
                digest.update(chunk)
            return digest.hexdigest()
    except OSError:
        return None


def open_update(job_dir: str, name: Any) -> BinaryIO:
    """Return one of the files that the index lists.

    Raises:
        AgentError: (kind ``job``) there is no such update.
    """
    known = [entry.get("name") for entry in index(job_dir).get("files", []) if isinstance(entry, dict)]
    if not isinstance(name, str) or name not in known or os.path.basename(name) != name:
        raise AgentError("job", "no update %.80r here" % (name,))
    return open(os.path.join(job_dir, FOLDER, name), "rb")


def receive(source: Any, size_b: Any, tick: Callable[[], Any]) -> bytes:
    """Read exactly ``size_b`` bytes of a buffered stream; ``tick`` is called before every wait.

    Raises:
        AgentError: (kind ``job``) too large a size, or the stream ended before.
    """
    if type(size_b) is not int or not 0 <= size_b <= MAX_UPDATE_B:
        raise AgentError("job", "an update of %.40r bytes, taken are at most %d" % (size_b, MAX_UPDATE_B))
    parts: List[bytes] = []
    left_b: int = size_b
    while left_b:
        tick()
        part = source.read1(min(_CHUNK_B, left_b))
        if not part:
            raise AgentError("job", "the update ended %d bytes too early" % left_b)
        parts.append(part)
        left_b -= len(part)
    return b"".join(parts)


def apply(job_dir: str, raw: bytes, sha256: Any, packed: Any) -> Dict[str, Any]:
    """Check an update against the job's base weights and put it in force, or leave everything as it was.

    Returns:
        ``{"applied": true, "apply_s", "serving"}`` or ``{"applied": false, "reason", "apply_s", "serving"}``.
    """
    begun_ns = monotonic_ns()
    job = workdir.read_json(os.path.join(job_dir, "job.json")) or {}
    answer: Dict[str, Any] = {}
    try:
        base = update_check.read_base(str((job.get("paths") or {}).get("weights", "")))
        plain = update_check.check(raw, str(sha256), packed is True, base)
        _put_in_force(os.path.join(job_dir, FOLDER, SERVING), plain)
        answer = {"applied": True}
    except Refused as error:
        answer = {"applied": False, "reason": str(error)}
    except OSError as error:
        answer = {"applied": False, "reason": "it cannot be written: %s" % error}
    answer["apply_s"] = (monotonic_ns() - begun_ns) / 1e9
    answer["serving"] = serving(job_dir)
    return answer


def _put_in_force(path: str, plain: bytes) -> None:
    """Put an update in force (write, fsync, rename, fsync the folder): a power cut leaves the old one or the new one."""
    part = "%s.part.%d" % (path, os.getpid())
    try:
        with open(part, "wb") as file:
            file.write(plain)
            file.flush()
            os.fsync(file.fileno())
        os.rename(part, path)
        workdir.sync_folder(path)
    finally:
        if os.path.exists(part):
            os.remove(part)
