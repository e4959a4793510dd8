"""Pack a job's files into one uncompressed tar for the host."""

import hashlib
import os
import stat
import tarfile
import tempfile
from contextlib import contextmanager
from typing import Any, BinaryIO, Dict, Iterator, List, Tuple

from tunebench.targets.agent.job import state
from tunebench.targets.agent.protocol import MAX_FILE_B, MAX_HARVEST_B
from tunebench.targets.agent.workdir import AgentError

MAX_FILES = 500
_CHUNK_B = 1 << 18
#: Room for the tar's own headers and padding.
_OVERHEAD_B = 2048


def listed(job_dir: str) -> Tuple[List[Tuple[str, int]], List[Dict[str, Any]]]:
    """Return the job's regular files that may travel as (name, bytes), and what is left out and why.

    The user's own files (``src/``) came from the host and stay; updates travel by themselves.
    """
    files: List[Tuple[str, int]] = []
    left_out: List[Dict[str, Any]] = []
    total_b = 0
    for folder, folders, names in os.walk(job_dir):
        if folder == job_dir:
            folders[:] = [name for name in folders if name not in ("src", "updates")]
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, job_dir)
            info = os.lstat(path)
            reason = None
            if not relative.isprintable() or "\\" in relative:
                reason = "its name cannot be shown as it is"
            elif not stat.S_ISREG(info.st_mode):
                reason = "no regular file"
            elif info.st_size > MAX_FILE_B:
                reason = "larger than %d bytes" % MAX_FILE_B
            elif total_b + info.st_size + _OVERHEAD_B > MAX_HARVEST_B - (1 << 20):
                reason = "all files together are larger than %d bytes" % MAX_HARVEST_B
            elif len(files) >= MAX_FILES:
                reason = "more than %d files" % MAX_FILES
            if reason is not None:
                left_out.append({"name": _shown(relative), "size": info.st_size, "reason": reason})
            elif not relative.endswith(".lock"):
                total_b += info.st_size + _OVERHEAD_B
                files.append((relative, info.st_size))
    return files, left_out[:50]


def _shown(name: str) -> str:
    """Return a file's name as printable text; a name that is not printable is written with escapes."""
    return name if name.isprintable() else ascii(name)[1:-1]


@contextmanager
def packed(job_dir: str) -> Iterator[Tuple[Dict[str, Any], BinaryIO]]:
    """Return the tar of a job's files, with the reply that announces it.

    Raises:
        AgentError: (kind ``job``) there is no such job.
    """
    now = state.state(job_dir)
    if now == "unknown":
        raise AgentError("job", "no job %s on this board" % os.path.basename(job_dir))
    if now == "running":
        raise AgentError("condition", "job %s still runs; wait for its end" % os.path.basename(job_dir))
    files, left_out = listed(job_dir)
    with tempfile.TemporaryFile(dir=os.path.dirname(job_dir)) as content:
        with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for name, size_b in files:
                info = tarfile.TarInfo(name)
                info.size = size_b
                with open(os.path.join(job_dir, name), "rb") as file:
                    archive.addfile(info, file)
        tar_b = content.tell()
        content.seek(0)
        digest = hashlib.sha256()
        for chunk in iter(lambda: content.read(_CHUNK_B), b""):
            digest.update(chunk)
        content.seek(0)
        yield {"tar_b": tar_b, "sha256": digest.hexdigest(), "left_out": left_out}, content


def copy(source: BinaryIO, sink: BinaryIO) -> None:
    """Write all of ``source`` to ``sink``."""
    for chunk in iter(lambda: source.read(_CHUNK_B), b""):
        sink.write(chunk)
