"""What the engines share: they feed a subject through a watch, which counts, keeps crashes and writes the tally."""

from __future__ import annotations

import hashlib
import json
import os
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.fuzz.subjects import Subject

#: Seconds between two tallies on disk; a killed child leaves the last one.
_TALLY_EVERY_S = 1.0
#: An input that takes longer is a crash of its own. All seconds are this process's CPU time, so that what else the
#: machine does neither makes an input slow nor a run short.
SLOW_S = 5.0


@dataclass
class Tally:
    """What one engine did with one subject.

    Attributes:
        accepted: inputs that were read without any error.
        seconds: CPU time.
        slowest_s: of all executions.
        crashes: by where they happened: the error, and the file that holds the input.
    """

    name: str
    engine: str
    executions: int = 0
    accepted: int = 0
    seconds: float = 0.0
    slowest_s: float = 0.0
    peak_mib: float = 0.0
    new_corpus: int = 0
    crashes: dict[str, str] = field(default_factory=dict)


class Watch:
    """Calls a subject; only the errors that it documents pass, the first of each other kind is kept."""

    def __init__(self, subject: Subject, engine: str, seconds: float, folder: Path) -> None:
        self.run, self.allowed = subject.load()
        self.tally = Tally(subject.name, engine)
        self._folder = folder
        self._begun_s = time.process_time()
        self._over_s = self._begun_s + seconds
        self._written_s = 0.0

    @property
    def over(self) -> bool:
        """Tell whether the time is up."""
        return time.process_time() >= self._over_s

    def feed(self, data: bytes) -> None:
        """Call the subject once with these bytes."""
        begun_s = time.process_time()
        self.tally.executions += 1
        try:
            self.run(data)
            self.tally.accepted += 1
        except self.allowed:
            pass
        except Exception as error:  # noqa: BLE001 - finding these is the purpose
            self._keep(data, error)
        now_s = time.process_time()
        took_s = now_s - begun_s
        self.tally.slowest_s = max(self.tally.slowest_s, took_s)
        if took_s > SLOW_S:
            self._keep(data, TimeoutError(f"longer than {SLOW_S:g} s"))
        if now_s - self._written_s > _TALLY_EVERY_S:
            self.write()

    def write(self) -> None:
        """Write the tally as it is now."""
        self._written_s = time.process_time()
        self.tally.seconds = round(self._written_s - self._begun_s, 1)
        self.tally.peak_mib = _peak_mib()
        part = self._folder / "tally.part"
        part.write_text(json.dumps(asdict(self.tally)))
        part.replace(self._folder / "tally.json")

    def _keep(self, data: bytes, error: Exception) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        where = f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else "the subject"
        ours = [f for f in frames if "/tests/" not in f.filename and "site-packages" not in f.filename]
        if ours:
            where += f" from {os.path.basename(ours[-1].filename)}:{ours[-1].name}"
        signature = f"{type(error).__name__} in {where}"
        if signature in self.tally.crashes:
            return
        path = self._folder / f"crash-{hashlib.sha256(signature.encode()).hexdigest()[:8]}"
        path.write_bytes(data)
        self.tally.crashes[signature] = f"{path}: {str(error)[:200]}"
        self.write()


def _peak_mib() -> float:
    import resource

    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
