"""What a fault acts on, and what a fault is."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tests.faults.host import Host
from tests.faults.site import Job, Site

Value = TypeVar("Value")


class Over(Exception):
    """The campaign ended before the fault met what it was to strike."""


@dataclass
class Scene:
    """A campaign and its boards while a fault is about.

    Attributes:
        site: the board that is struck.
        over: set when the campaign has ended for good.
        patience_s: how long a fault looks for what it is to strike.
    """

    folder: Path
    sites: list[Site]
    site: Site
    host: Host
    rng: random.Random
    stack: contextlib.ExitStack
    over: threading.Event = field(default_factory=threading.Event)
    patience_s: float = 60.0

    def at(self, site: Site) -> Scene:
        """The same scene with another board to strike."""
        return dataclasses.replace(self, site=site)

    def pause(self, seconds: float) -> None:
        """Wait before striking.

        Raises:
            Over: there is nothing left to strike.
        """
        if self.over.wait(seconds):
            raise Over

    def last(self, seconds: float) -> None:
        """Let what was struck last; shorter if the campaign ends meanwhile."""
        self.over.wait(seconds)

    def until(
        self, look: Callable[[], Value | None], every_s: float = 0.02, limit_s: float | None = None
    ) -> Value:
        """The first value that is not false.

        Raises:
            Over: it did not come before the campaign's end, or in time.
        """
        give_up_s = time.monotonic() + (self.patience_s if limit_s is None else limit_s)
        while not (seen := look()):
            if time.monotonic() > give_up_s:
                raise Over
            self.pause(every_s)
        return seen

    def workload(self, *, listens: bool = False) -> Job:
        """A repetition whose workload runs, somewhere within its time.

        Args:
            listens: only once it has said that it began: from then on it knows our signals.
        """
        while True:
            job = self.until(self.site.running)
            self.pause(self.rng.uniform(0.0, self.host.sleep_s))
            if not job.ended and job.works and (not listens or self._began(job)):
                return job

    def _began(self, job: Job) -> bool:
        with contextlib.suppress(OSError):
            return f"begin {job.folder.name}\n" in Path(self.sites[0].ledger).read_text()
        return False


class Fault:
    """One way to break things. Instances hold no state of a run: many scenes share one.

    Attributes:
        name: as in the table and for ``--only``.
        family: the module's.
        spoils: outcomes that a slot may end with instead of ``ok``; at most ``at_most`` slots.
        destroys: what was measured may be destroyed with the board's files or processes, and measured once more.
        may_skip: the board may be left out, with the reason (a board that could not be used at all).
        from_the_start: things are broken before the command is given; the strike mends them, if it is not over then.
        logs: whether the log of every repetition that began must have come.
        logs_of_lost: also of one that was lost; not where the agent dies with what it had not yet read of the pipe.
        costly: takes longer than 20 s: five runs are enough.
        short: part of the short form (``--repeat`` below 5, and CI).
        limit_s: the campaign must have ended by itself by then, reruns included: a bound for a hang.
    """

    name = ""
    family = ""
    spoils: frozenset[str] = frozenset()
    at_most = 1
    destroys = False
    may_skip = False
    from_the_start = False
    logs = True
    logs_of_lost = True
    costly = False
    short = True
    limit_s = 300.0

    def impossible(self) -> str | None:
        """Why it cannot be produced on this machine."""
        return None

    def make_site(self, board_id: str, folder: Path) -> Site:
        """The board that it needs."""
        return Site(board_id, folder)

    def prepare(self, scene: Scene) -> None:
        """Before the campaign: change the board or the host; ``scene.stack`` puts it back."""

    def moment_s(self, rng: random.Random, calm_s: float) -> float:
        """When to strike, from the start of the command; ``calm_s`` is how long it takes when nothing happens.

        Beside other scenes it takes longer: a moment may come after its end, which costs another try, but none is spared.
        """
        return rng.uniform(0.0, 1.2 * calm_s)

    def strike(self, scene: Scene) -> None:
        """Break it, for as long as it lasts.

        Raises:
            Over: the campaign ended before.
        """

    def heal(self, scene: Scene) -> None:
        """Mend whatever may still be broken; called once the campaign has ended, whatever happened."""
