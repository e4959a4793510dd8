"""Take blobs into the board's store. Sent whole as ``python -c <this> <workdir>``: it needs nothing of ours.

Standard input: a JSON line, the manifest ``[{"name", "sha256", "size"}]``; then, if the answer names missing
blobs, a tar stream of exactly those, gzipped or not. Standard output: protocol lines.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import sys
import tarfile
import time
import zlib
from typing import Any

SENTINEL = "@tb1 "
SILENCE_S = 300
#: Left free on the board's file system beyond what is uploaded.
SPARE_B = 32 * 1024 * 1024
CHUNK_B = 1 << 18
NAME = re.compile(r"[0-9a-f]{64}(\.[A-Za-z0-9]{1,16})?\Z")
PART = re.compile(r"\.part\.([1-9][0-9]{0,8})\Z")


class Refused(Exception):
    """A request that is not carried out; args: kind, message."""


def reply(message: Any) -> None:
    """Send one protocol line."""
    sys.stdout.write(SENTINEL + json.dumps(message, sort_keys=True) + "\n")
    sys.stdout.flush()


def copy_hashed(source: Any, sink: Any = None) -> str:
    """Copy a stream (to nowhere by default); returns the SHA-256 of what passed."""
    digest = hashlib.sha256()
    for chunk in iter(lambda: source.read(CHUNK_B), b""):
        signal.alarm(SILENCE_S)
        digest.update(chunk)
        if sink is not None:
            sink.write(chunk)
    return digest.hexdigest()


def is_whole(path: str, sha256: str) -> bool:
    """Tell whether the file is there with the content its name promises."""
    try:
        with open(path, "rb") as file:
            return copy_hashed(file) == sha256
    except OSError:
        return False


def prepare(root: str) -> str:
    """Make the working directory; remove parts of files whose writer has died, or that are a day old."""
    blobs = os.path.join(root, "blobs")
    for folder in (root, blobs, os.path.join(root, "jobs")):
        os.makedirs(folder, mode=0o700, exist_ok=True)
    os.chmod(root, 0o700)
    for folder in (root, blobs):
        for name in os.listdir(folder):
            part = PART.search(name)
            if part:
                remove_if_stale(os.path.join(folder, name), int(part.group(1)))
    return blobs


def remove_if_stale(path: str, writer: int) -> None:
    """Remove a part of a file unless its writer, a process ID, lives: nobody would finish it."""
    try:
        # A day later the number may be another process's.
        if not lives(writer) or os.stat(path).st_mtime < time.time() - 86400:
            os.remove(path)
    except FileNotFoundError:
        pass  # finished, or removed by another receiver


def lives(pid: int) -> bool:
    """Tell whether there is a process with that ID, of whatever user."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def check(manifest: Any) -> Any:
    """Return the manifest if names, hashes and sizes are well-formed."""
    for entry in manifest:
        if not NAME.match(entry["name"]) or entry["name"][:64] != entry["sha256"] or int(entry["size"]) < 0:
            raise Refused("job", "manifest: %.200r is not <sha256>[.suffix]" % (entry,))
    return manifest


def take(blobs: str, wanted: Any) -> None:
    """Read a tar (gzipped or not) of the wanted blobs from standard input; each is verified, then renamed into place."""
    wanted = {entry["name"]: entry for entry in wanted}
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|*") as archive:
        for member in archive:
            entry = wanted.pop(member.name, None)
            if entry is None or not member.isreg() or member.size != entry["size"]:
                raise Refused("job", "upload: %.200r was not asked for in that form" % member.name)
            part = os.path.join(blobs, "%s.part.%d" % (member.name, os.getpid()))
            try:
                with open(part, "wb") as file:
                    sha256 = copy_hashed(archive.extractfile(member), file)
                    # A power cut must not leave a torn file under a name that promises its content.
                    file.flush()
                    os.fsync(file.fileno())
                if sha256 != entry["sha256"]:
                    raise Refused("blob", "upload: %s arrived with SHA-256 %s" % (member.name, sha256))
                os.rename(part, os.path.join(blobs, member.name))
            finally:
                if os.path.exists(part):
                    os.remove(part)
    if wanted:
        raise Refused("blob", "upload ended without %s" % sorted(wanted))


def main(root: str) -> None:
    """Reply which blobs are missing, receive them, and confirm."""
    root = os.path.abspath(os.path.expanduser(root))
    signal.alarm(SILENCE_S)
    if sys.version_info < (3, 6):
        raise Refused(
            "interpreter", "Python %s is too old: the agent needs 3.6 or newer" % sys.version.split()[0]
        )
    manifest = check(json.loads(sys.stdin.buffer.readline().decode("utf-8")))
    blobs = prepare(root)
    missing = [blob for blob in manifest if not is_whole(os.path.join(blobs, blob["name"]), blob["sha256"])]
    needed_b = sum(blob["size"] for blob in missing)
    free_b = shutil.disk_usage(blobs).free
    if missing and free_b < needed_b + SPARE_B:
        raise Refused("workdir", "%s: %d bytes free, %d needed" % (root, free_b, needed_b + SPARE_B))
    reply({"workdir": root, "missing": [blob["name"] for blob in missing]})
    if missing:
        take(blobs, missing)
        reply({"stored": len(missing), "stored_b": needed_b})


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except Refused as refused:
        reply({"error": {"kind": refused.args[0], "message": refused.args[1]}})
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        reply({"error": {"kind": "workdir", "message": "%s: %s" % (sys.argv[1], error)}})
    except (ValueError, KeyError, TypeError) as error:
        reply({"error": {"kind": "job", "message": "manifest: %r" % error}})
