"""Download of a published file: resumed, bounded in size and time, accepted before it is put in place.

A download grows in ``NAME.part``. When it breaks off, the next attempt (or the next run) asks for the rest with
``Range``, guarded by ``If-Range`` so that two versions are never glued together; a server that ignores
``Range`` sends all of it again. Only what the caller accepts is renamed to ``NAME``.

https only, redirects included; plain http is allowed to 127.0.0.1 for tests. Standard library only.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Any

from tunebench.workloads.datasets.base import DataUnavailable

#: called with (what is being done, share done 0..1)
Progress = Callable[[str, float], None]

CHUNK_B = 1 << 18
#: answers that another attempt may change: timeout, too early, too many requests, and every 5xx
PASSING_STATUS = (408, 425, 429)


@dataclass(frozen=True)
class Source:
    """A published file.

    Attributes:
        name: what the file is called in a folder.
        home: where it comes from, in words, for whoever places it by hand.
        url: where to download it; None if it cannot be downloaded.
        sha256: of bytes that were really fetched once; None = unknown (recorded at first use).
        also: other names that copies of it go by.
        max_b: largest download accepted.
        max_unpacked_b: most that a zip may hold, unpacked.
    """

    name: str
    home: str
    url: str | None = None
    sha256: str | None = None
    also: tuple[str, ...] = ()
    max_b: int = 200_000_000
    max_unpacked_b: int = 1_000_000_000

    def by_hand(self) -> str:
        """Return how to get the file without this program."""
        return (
            f"{self.name} comes from {self.home}; "
            "place it in a folder and name that in TUNEBENCH_DATA or data_dir"
        )

    def damaged(self, where: object, why: object) -> DataUnavailable:
        """Return the error for a file that is there but cannot be used."""
        return DataUnavailable(f"{where} is damaged or another version: {why}; {self.by_hand()}")


@dataclass(frozen=True)
class Limits:
    """Bounds of a download: silence on the line, all of it, attempts, first pause between them (doubles)."""

    idle_s: float = 30.0
    total_s: float = 3600.0
    attempts: int = 5
    pause_s: float = 1.0


class _BrokenOff(Exception):
    """An attempt that failed; another one may succeed."""


def fetch(
    source: Source,
    folder: Path,
    *,
    accept: Callable[[Path], object],
    progress: Progress | None = None,
    limits: Limits | None = None,
) -> Path:
    """Download a file into a folder, unless it is there.

    Args:
        source: what to download.
        folder: made if missing.
        accept: looks at the complete download before it gets its name; raises DataUnavailable to refuse it.
        progress: told how far it is; the last share is 1.0. A server that names no size gets 0.0 until then.
        limits: bounds; None takes the defaults.

    Returns:
        ``folder / source.name``.

    Raises:
        DataUnavailable: refused, too large, not to be had, or the folder cannot be written.
    """
    target, part = folder / source.name, folder / (source.name + ".part")
    if source.url is None:
        raise DataUnavailable(f"{source.name} cannot be downloaded; {source.by_hand()}")
    _check_url(source.url)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder / (source.name + ".lock"), source):
            if not target.is_file():
                _Download(source, source.url, part, progress, limits or Limits()).run()
                _accepted(part, accept)
                part.replace(target)
                _state_of(part).unlink(missing_ok=True)
    except OSError as error:
        raise DataUnavailable(f"cannot write {target}: {error}; {source.by_hand()}") from error
    if progress is not None:
        progress(f"downloaded {source.name}", 1.0)
    return target


def _accepted(part: Path, accept: Callable[[Path], object]) -> None:
    try:
        accept(part)
    except DataUnavailable:
        _forget(part)  # to resume from bytes that were refused could never end well
        raise


def _state_of(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _state_of(part).unlink(missing_ok=True)


def _check_url(url: str) -> None:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and (parts.scheme, parts.hostname) != ("http", "127.0.0.1"):
        raise DataUnavailable(f"will not download from {url}: only https is allowed")


class _CheckedRedirects(urllib.request.HTTPRedirectHandler):
    """A handler that follows redirects to https only."""

    def redirect_request(  # noqa: PLR0917
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        _check_url(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextmanager
def _alone(lock: Path, source: Source) -> Iterator[None]:
    """Hold a lock, so that only one process at a time writes the ``.part`` file."""
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataUnavailable(
                f"{source.name} is being downloaded by another process ({lock} is locked); try again when it is done"
            ) from None
        yield


@dataclass
class _Download:
    """The attempts at one file."""

    source: Source
    url: str
    part: Path
    progress: Progress | None
    limits: Limits

    def run(self) -> None:
        give_up = time.monotonic() + self.limits.total_s
        failure, attempt = "no attempt was allowed", 0
        for attempt in range(1, self.limits.attempts + 1):
            if attempt > 1:
                pause_s = self.limits.pause_s * 2 ** (attempt - 2)
                time.sleep(max(0.0, min(pause_s, give_up - time.monotonic())))
            try:
                self._attempt(give_up)
                return
            except _BrokenOff as error:
                failure = str(error)
            if time.monotonic() >= give_up:
                break
        kept = self.part.stat().st_size if self.part.is_file() else 0
        raise DataUnavailable(
            f"could not download {self.source.name} from {self.url} in {attempt} attempts: {failure} "
            f"({kept} bytes are kept, the next run goes on from there); {self.source.by_hand()}"
        )

    def _attempt(self, give_up: float) -> None:
        have = self._resumable_b()
        # the scheme was checked by _check_url
        request = urllib.request.Request(self.url, headers=self._headers(have))  # noqa: S310
        opener = urllib.request.build_opener(_CheckedRedirects)
        try:
            with opener.open(request, timeout=self.limits.idle_s) as response:
                if response.status == 206 and not self._continues(response.headers, have):
                    _forget(self.part)
                    raise _BrokenOff("the server sent another part than asked for")
                have = have if response.status == 206 else 0
                self._receive(response, have, give_up)
        except urllib.error.HTTPError as error:
            self._refused(error.code, error.reason)
        except (HTTPException, OSError) as error:  # timeouts, resets, name look-ups, certificates
            raise _BrokenOff(f"{type(error).__name__}: {error}") from error

    def _refused(self, code: int, reason: str) -> None:
        """Raise the error for an answer that is no file: worth another attempt, or the end."""
        if code == 416:  # what is kept does not fit the server's file (any more)
            _forget(self.part)
        elif code < 500 and code not in PASSING_STATUS:
            raise DataUnavailable(
                f"{self.url} answers {code} {reason}: not to be had there; {self.source.by_hand()}"
            )
        raise _BrokenOff(f"the server answers {code} {reason}")

    def _resumable_b(self) -> int:
        """Return how many bytes to go on from; 0 where a change of the file since then would not be noticed."""
        if not self.part.is_file():
            return 0
        state = self._state()
        trusted = state.get("url") == self.url and (state.get("validator") or self.source.sha256)
        return self.part.stat().st_size if trusted else 0

    def _state(self) -> dict[str, Any]:
        try:
            state = json.loads(_state_of(self.part).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}

    def _headers(self, have: int) -> dict[str, str]:
        headers = {"User-Agent": "tunebench", "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if validator := self._state().get("validator"):
                headers["If-Range"] = validator
        return headers

    def _continues(self, headers: HTTPMessage, have: int) -> bool:
        return headers.get("Content-Range", "").startswith(f"bytes {have}-")

    def _receive(self, response: Any, have: int, give_up: float) -> None:
        """Write the response's body behind the first ``have`` bytes; raise unless all of it came."""
        length = response.headers.get("Content-Length", "")
        total = have + int(length) if length.isdigit() else None
        self._check_size(total or 0, "the server announces")
        if have == 0:
            self._begin(response.headers)
        with _written(self.part, "ab" if have else "wb") as file:
            while chunk := response.read1(CHUNK_B):
                have += len(chunk)
                self._check_size(have, "the server sent")
                _write(file, chunk)
                self._tell(have, total)
                if time.monotonic() >= give_up:
                    raise _BrokenOff(f"not done within {self.limits.total_s:g} s")
        if total is not None and have < total:
            raise _BrokenOff(f"the connection ended after {have} of {total} bytes")

    def _check_size(self, size_b: int, who: str) -> None:
        if size_b > self.source.max_b:
            _forget(self.part)
            raise DataUnavailable(
                f"{self.url} is too large: {who} {size_b} bytes, at most {self.source.max_b} are accepted for "
                f"{self.source.name}; {self.source.by_hand()}"
            )

    def _begin(self, headers: HTTPMessage) -> None:
        """Record what identifies this version of the file: a strong ETag, else when it was last modified."""
        tag = headers.get("ETag", "")
        validator = tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")
        text = json.dumps({"url": self.url, "validator": validator})
        with _written(_state_of(self.part), "wb") as file:
            _write(file, text.encode())

    def _tell(self, have: int, total: int | None) -> None:
        if self.progress is None:
            return
        size = f" of {total / 1e6:.1f}" if total else ""
        share = have / total if total else 0.0
        self.progress(f"downloading {self.source.name}: {have / 1e6:.1f}{size} MB", share)


@contextmanager
def _written(path: Path, mode: str) -> Iterator[IO[bytes]]:
    """Open a file for writing; a failure here is the disk's, which another attempt at the download does not mend."""
    try:
        file = path.open(mode)
    except OSError as error:
        raise DataUnavailable(f"cannot write {path}: {error}") from error
    try:
        yield file
    finally:
        file.close()


def _write(file: IO[bytes], data: bytes) -> None:
    try:
        file.write(data)
    except OSError as error:
        raise DataUnavailable(f"cannot write {os.fspath(file.name)}: {error}") from error
