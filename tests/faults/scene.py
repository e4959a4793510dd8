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
    """The campaign ended before the fault could strike."""


@dataclass
class Scene:
    """A campaign and its boards, on which a fault acts.

    Attributes:
        site: the board that is struck.
        over: set when the campaign has ended for good.
        patience_s: how long a fault looks for what it is to strike.
        destroyed: ids of the repetitions whose supervisor was killed so far.
    """

    folder: Path
    sites: list[Site]
    site: Site
    host: Host
    rng: random.Random
    stack: contextlib.ExitStack
    over: threading.Event = field(default_factory=threading.Event)
    patience_s: float = 60.0
    destroyed: set[str] = field(default_factory=set)

    def at(self, site: Site) -> Scene:
        """Return the same scene with another board to strike."""
        return dataclasses.replace(self, site=site)

    def anywhere(self) -> Scene:
        """Return the same scene with a board to strike that chance chooses."""
        return self.at(self.rng.choice(self.sites))

    def pause(self, seconds: float) -> None:
        """Wait before striking.

        Raises:
            Over: there is nothing left to strike.
        """
        if self.over.wait(seconds):
            raise Over

    def last(self, seconds: float) -> None:
        """Keep the fault in force for a time; less if the campaign ends meanwhile."""
        self.over.wait(seconds)

    def until(
        self, look: Callable[[], Value | None], every_s: float = 0.02, limit_s: float | None = None
    ) -> Value:
        """Wait for the first true value and return it.

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
        """Wait for a running workload, to a random moment of its run, and return its repetition.

        Args:
            listens: wait until it has noted that it began: from then on it handles our signals.
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
        name: its name in the table and for ``--only``.
        family: the name of its module.
        spoils: outcomes that a slot may end with instead of ``ok``; at most ``at_most`` slots.
        destroys: a measurement may be destroyed with the board's files or processes; then it is measured once more.
        destroyed: ids of repetitions that surely were: a slot whose two attempts are among them may stay lost.
        may_skip: the board may be left out, with the reason (a board that could not be used at all).
        from_the_start: the fault is there before the command is given; the strike mends it, if the campaign still runs.
        logs: whether the log of every repetition that began must have come.
        logs_of_lost: the same for lost ones; False where the agent dies and with it what it had not yet read of the pipe.
        costly: takes longer than 20 s: five runs are enough.
        short: part of the short form (``--repeat`` below 5, and CI).
        limit_s: the campaign must have ended by itself by then, reruns included: a bound for a hang.
    """

    name = ""
    family = ""
    spoils: frozenset[str] = frozenset()
    at_most = 1
    destroys = False
    destroyed: frozenset[str] = frozenset()
    may_skip = False
    from_the_start = False
    logs = True
    logs_of_lost = True
    costly = False
    short = True
    limit_s = 300.0

    def impossible(self) -> str | None:
        """Return why it cannot be produced on this machine; None if it can."""
        return None

    def make_site(self, board_id: str, folder: Path) -> Site:
        """Return the board that it needs."""
        return Site(board_id, folder)

    def prepare(self, scene: Scene) -> None:
        """Change the board or the host before the campaign; ``scene.stack`` undoes it."""

    def moment_s(self, rng: random.Random, calm_s: float) -> float:
        """Return when to strike, in seconds from the start of the command; ``calm_s``: what it takes undisturbed.

        Moments up to a fifth beyond that are drawn, since a campaign takes longer beside other scenes; one that comes
        after its end costs another try.
        """
        return rng.uniform(0.0, 1.2 * calm_s)

    def strike(self, scene: Scene) -> None:
        """Cause the fault, and end it after its time.

        Raises:
            Over: the campaign ended before.
        """

    def heal(self, scene: Scene) -> None:
        """Mend whatever may still be broken; called once the campaign has ended, whatever happened."""
