"""Take blobs into the board's store. Sent whole as ``python -c <this> <workdir>``: it needs nothing of ours.

Standard input: a JSON line, the manifest ``[{"name", "sha256", "size"}]``; then, if the answer names missing
blobs, a tar stream of exactly those, gzipped or not. Standard output: protocol lines.

An upload that breaks off leaves what arrived as ``NAME.part.PID``. The next receiver takes it over and says how many
bytes it holds, and their SHA-256 (``held``); a member of the tar that is shorter by so much goes on from there. Nothing
is believed: the whole file has the SHA-256 of its name, or is removed. An empty manifest removes all such parts.
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
#: A shorter part is not worth a question: it is removed.
RESUMABLE_B = 1 << 20
#: A day later a process ID may be another process's, and whoever sent the part has given it up.
STALE_S = 86400
NAME = re.compile(r"[0-9a-f]{64}(\.[A-Za-z0-9]{1,16})?\Z")
PART = re.compile(r"\.part\.([1-9][0-9]{0,8})\Z")


class Refused(Exception):
    """A request that is not carried out; args: kind, message."""


def reply(message: Any) -> None:
    """Send one protocol line."""
    sys.stdout.write(SENTINEL + json.dumps(message, sort_keys=True) + "\n")
    sys.stdout.flush()


def copy_hashed(source: Any, sink: Any = None, digest: Any = None) -> str:
    """Copy a stream (to nowhere by default); returns the SHA-256 of what passed, and before it into ``digest``."""
    digest = digest or hashlib.sha256()
    for chunk in iter(lambda: source.read(CHUNK_B), b""):
        signal.alarm(SILENCE_S)
        digest.update(chunk)
        if sink is not None:
            sink.write(chunk)
    return str(digest.hexdigest())


def is_whole(path: str, sha256: str) -> bool:
    """Tell whether the file is there with the content its name promises."""
    try:
        with open(path, "rb") as file:
            return copy_hashed(file) == sha256
    except OSError:
        return False


class Part:
    """What this process holds of a blob: the file it writes, its size and the hash of its content."""

    def __init__(self, path: str) -> None:
        """Begin with an empty file."""
        self.path = path
        self.restart()

    def restart(self) -> None:
        """Forget what is held."""
        with open(self.path, "wb"):
            pass
        self.size, self.digest = 0, hashlib.sha256()

    def take_over(self, other: str, living: bool) -> None:
        """Hold what another process has left; one that lives may be writing, so its file is copied.

        A receiver lives on for minutes behind a link that is gone without a word, and nothing will come to it.
        """
        if living:
            with open(other, "rb") as source, open(self.path, "wb") as file:
                copy_hashed(source, file, self.digest)
        else:
            os.rename(other, self.path)
            with open(self.path, "rb") as file:
                copy_hashed(file, None, self.digest)
        self.size = size_of(self.path)

    def append(self, source: Any) -> str:
        """Add a stream; returns the SHA-256 of all of it."""
        with open(self.path, "ab") as file:
            sha256 = copy_hashed(source, file, self.digest)
            # A power cut must not leave a torn file under a name that promises its content.
            file.flush()
            os.fsync(file.fileno())
        return sha256

    def remove(self) -> None:
        """Remove the file."""
        if os.path.exists(self.path):
            os.remove(self.path)


def prepare(root: str, tidy: bool) -> str:
    """Make the working directory; remove parts of files that nobody will finish.

    Args:
        tidy: remove all parts without a living writer, also those that an upload could go on from.
    """
    blobs = os.path.join(root, "blobs")
    for folder in (root, blobs, os.path.join(root, "jobs")):
        os.makedirs(folder, mode=0o700, exist_ok=True)
    os.chmod(root, 0o700)
    for folder in (root, blobs):
        for path, writer in parts_in(folder):
            resumable = folder == blobs and NAME.match(os.path.basename(path).rpartition(".part.")[0])
            remove_if_stale(path, writer, 0 if tidy or not resumable else RESUMABLE_B)
    return blobs


def parts_in(folder: str, prefix: str = "") -> Any:
    """Return the parts of files in a folder, and who writes each, a process ID."""
    names = [(name, PART.search(name)) for name in os.listdir(folder) if name.startswith(prefix)]
    return [(os.path.join(folder, name), int(part.group(1))) for name, part in names if part]


def size_of(path: str) -> int:
    """Return how many bytes a file has; 0 if it is gone."""
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        return 0


def remove_if_stale(path: str, writer: int, resumable_b: int) -> None:
    """Remove a part of a file that is a day old, or whose writer, a process ID, is dead: nobody would finish it.

    Args:
        resumable_b: one of a dead writer with so many bytes is left for whoever sends the file again; 0: none is.
    """
    try:
        stat = os.stat(path)
        needed = lives(writer) or (resumable_b and stat.st_size >= resumable_b)
        if not needed or stat.st_mtime < time.time() - STALE_S:
            os.remove(path)
    except FileNotFoundError:
        pass  # finished, or removed by another receiver


def claim(blobs: str, name: str, size: int) -> Part:
    """Return this process's part of a blob, with the most that another receiver has left of it."""
    others = [(size_of(path), lives(writer), path) for path, writer in parts_in(blobs, name + ".part.")]
    part = Part(os.path.join(blobs, "%s.part.%d" % (name, os.getpid())))
    for held_b, living, path in sorted(others, reverse=True):
        if part.size or held_b > size or held_b < RESUMABLE_B:
            if not living:
                remove_if_stale(path, 0, 0)
            continue
        try:
            part.take_over(path, living)
        except OSError:
            part.restart()  # gone meanwhile, or it cannot be read
    return part


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


def take(blobs: str, wanted: Any, parts: Any) -> None:
    """Read a tar (gzipped or not) of the wanted blobs from standard input; each is verified, then renamed into place."""
    wanted = {entry["name"]: entry for entry in wanted}
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|*") as archive:
        for member in archive:
            entry = wanted.pop(member.name, None)
            if entry is None or not member.isreg():
                raise Refused("job", "upload: %.200r was not asked for in that form" % member.name)
            part = parts[member.name]
            if member.size == entry["size"]:
                part.restart()
            elif member.size != entry["size"] - part.size:
                raise Refused("job", "upload: %.200r was not asked for in that form" % member.name)
            store(blobs, entry, part, archive.extractfile(member))
    if wanted:
        raise Refused("blob", "upload ended without %s" % sorted(wanted))


def store(blobs: str, entry: Any, part: Part, source: Any) -> None:
    """Write the rest of a blob, and rename it into place if it has become what its name promises."""
    try:
        sha256 = part.append(source)
    except OSError:
        part.remove()  # a full file system must not stay full
        raise
    if sha256 != entry["sha256"]:
        part.remove()
        raise Refused("blob", "upload: %s arrived with SHA-256 %s" % (entry["name"], sha256))
    os.rename(part.path, os.path.join(blobs, entry["name"]))


def main(root: str) -> None:
    """Reply which blobs are missing and what of them is held, receive them, and confirm."""
    root = os.path.abspath(os.path.expanduser(root))
    signal.signal(signal.SIGALRM, lambda *_: sys.exit("no data for %d s" % SILENCE_S))
    signal.alarm(SILENCE_S)
    if sys.version_info < (3, 6):
        raise Refused(
            "interpreter", "Python %s is too old: the agent needs 3.6 or newer" % sys.version.split()[0]
        )
    manifest = check(json.loads(sys.stdin.buffer.readline().decode("utf-8")))
    blobs = prepare(root, not manifest)
    missing = [blob for blob in manifest if not is_whole(os.path.join(blobs, blob["name"]), blob["sha256"])]
    parts = {blob["name"]: claim(blobs, blob["name"], blob["size"]) for blob in missing}
    try:
        receive(root, blobs, missing, parts)
    finally:
        for name, part in parts.items():
            leave(blobs, name, part)


def leave(blobs: str, name: str, part: Part) -> None:
    """Remove a part that nobody needs: too short, the blob is there, or another receiver has taken it over."""
    others = [other for other in parts_in(blobs, name + ".part.") if other[0] != part.path]
    stored = os.path.exists(os.path.join(blobs, name))
    if stored:
        for path, writer in others:
            remove_if_stale(path, writer, 0)
    own_b = size_of(part.path)
    if stored or own_b < RESUMABLE_B or any(size_of(path) >= own_b for path, _ in others):
        part.remove()


def receive(root: str, blobs: str, missing: Any, parts: Any) -> None:
    """Ask for what is missing and take it."""
    sizes = {blob["name"]: blob["size"] for blob in missing}
    needed_b = sum(size - parts[name].size for name, size in sizes.items())
    if missing and shutil.disk_usage(blobs).free < needed_b + SPARE_B:
        prepare(root, True)
    free_b = shutil.disk_usage(blobs).free
    if missing and free_b < needed_b + SPARE_B:
        for part in parts.values():
            part.remove()
        raise Refused("workdir", "%s: %d bytes free, %d needed" % (root, free_b, needed_b + SPARE_B))
    held = {
        name: {"size": part.size, "sha256": part.digest.hexdigest()}
        for name, part in parts.items()
        if part.size
    }
    reply({"workdir": root, "missing": [blob["name"] for blob in missing], "held": held})
    if missing:
        take(blobs, missing, parts)
        reply({"stored": len(missing), "stored_b": sum(sizes.values())})


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except Refused as refused:
        reply({"error": {"kind": refused.args[0], "message": refused.args[1]}})
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        reply({"error": {"kind": "workdir", "message": "%s: %s" % (sys.argv[1], error)}})
    except (ValueError, KeyError, TypeError) as error:
        reply({"error": {"kind": "job", "message": "manifest: %r" % error}})
