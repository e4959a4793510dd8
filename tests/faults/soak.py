"""Minutes of campaigns on several boards, with a random fault every few seconds on one of them or on the host."""

from __future__ import annotations

import contextlib
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.accounting import Account, Counts, settle
from tests.faults.host import Host
from tests.faults.kinds import agent, host, link, server, workload
from tests.faults.scene import Fault, Over, Scene
from tests.faults.site import Site

#: From the end of a fault to the next one, on average.
PAUSE_S = 5.0
#: How long a fault waits for something to strike; then the next fault has its turn.
PATIENCE_S = 5.0
BLOCKS = 16
#: Within this time a campaign without further faults must end, on a busy machine too.
FINISH_S = 900.0
#: Where the time is over and faults are wanting, it goes on for so long again, up to so many times the minutes in all.
MORE_S, AT_MOST = 30.0, 3.0

STRIKES: tuple[Fault, ...] = (
    link.Cut(1),
    link.Cut(4),
    link.Silent(3),
    server.Killed(),
    agent.SupervisorKilled(),
    agent.CommandKilled(),
    workload.Killed(),
    workload.Garbage(),
    host.Killed(),
)


@dataclass
class Tally(Counts):
    """The sum over the campaigns of a soak."""

    seed: int
    boards: int
    minutes: float
    seconds: float = 0.0
    interrupted: bool = False
    campaigns: int = 0
    completed: int = 0
    repetitions: int = 0
    measured: int = 0
    strikes: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    findings: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Tell whether nothing was lost, doubled or left behind, and every campaign ended."""
        ended = self.campaigns > 0 and self.completed == self.campaigns
        return not self.interrupted and ended and self.nothing_amiss

    def add(self, account: Account) -> None:
        """Count a campaign."""
        self.campaigns += 1
        self.completed += account.completed
        self.starts += account.starts
        self.count(account)
        self.findings += account.findings

    def as_json(self) -> dict[str, Any]:
        """Return the tally as JSON for scripts."""
        return {**self.__dict__, "strikes": dict(self.strikes), "clean": self.clean}


class Excused(Fault):
    """A fault that stands for all strikes of one campaign: what they may have cost together."""

    name = "soak"
    destroys = True
    logs_of_lost = False
    may_skip = True
    spoils = frozenset({"killed", "failed"})

    def __init__(self, struck: Counter[str], destroyed: frozenset[str]) -> None:
        self.destroyed = destroyed
        spoiling = {strike.name for strike in STRIKES if strike.spoils}
        self.at_most = sum(n for name, n in struck.items() if name in spoiling)


def soak(minutes: float, boards: int, seed: int, at_least: int = 0) -> Tally:
    """Run campaign after campaign until the time is over; the last one ends without faults. Ctrl-C drops it.

    Args:
        minutes: how long faults strike.
        boards: how many.
        seed: of the faults' order.
        at_least: so many faults; a busy machine, which is slow to get where one can strike, goes on up to three times
            as long for them.
    """
    tally = Tally(seed, boards, minutes)
    rng = random.Random(seed)
    began_s = time.monotonic()
    until_s = began_s + 60.0 * minutes
    last_s = began_s + AT_MOST * 60.0 * minutes
    try:
        while (now_s := time.monotonic()) < until_s or (tally.strikes.total() < at_least and now_s < last_s):
            if now_s >= until_s:
                until_s = min(now_s + MORE_S, last_s)
            _campaign(tally, rng, until_s)
            tell(
                f"[{time.monotonic() - began_s:5.0f} s] {tally.campaigns} campaigns, {tally.repetitions} repetitions,"
                f" {tally.strikes.total()} faults, {tally.starts} starts,"
                f" lost {tally.lost}, doubled {tally.doubled}, left behind {tally.left_behind}"
            )
    except KeyboardInterrupt:
        tally.interrupted = True
    tally.seconds = time.monotonic() - began_s
    return tally


def _campaign(tally: Tally, rng: random.Random, until_s: float) -> None:
    folder = Path(tempfile.mkdtemp(prefix="tunebench-soak-"))
    struck: Counter[str] = Counter()
    with contextlib.ExitStack() as stack:
        scene = _scene(folder, tally.boards, rng, stack)
        scene.host.start()
        striker = threading.Thread(target=strike, args=(scene, STRIKES, struck, until_s), daemon=True)
        striker.start()
        findings = to_the_end(scene.host, until_s)
        scene.over.set()
        striker.join(60.0)
        account = settle(scene, Excused(struck, frozenset(scene.destroyed)))
        if findings:
            account.completed = False
        if findings or not account.clean:
            account.findings += [*findings, f"{folder}; it said last:\n{scene.host.said()}"]
        _count(scene, tally)
    tally.strikes += struck
    tally.add(account)
    if account.clean:
        shutil.rmtree(folder, ignore_errors=True)


def _count(scene: Scene, tally: Tally) -> None:
    for run in scene.host.runs:
        for line in (run / "reps.jsonl").read_bytes().splitlines():
            tally.repetitions += 1
            tally.measured += b'"outcome":"ok"' in line


def _scene(folder: Path, boards: int, rng: random.Random, stack: contextlib.ExitStack) -> Scene:
    sites = []
    for number in range(1, boards + 1):
        site = Site(f"board-{number}", folder / f"board-{number}")
        stack.callback(site.close)
        sites.append(site)
    command = Host(folder, sites)
    command.blocks = BLOCKS
    stack.callback(command.close)
    scene = Scene(folder, sites, sites[0], command, rng, stack, patience_s=PATIENCE_S)
    stack.callback(scene.over.set)
    command.write()
    return scene


def strike(scene: Scene, faults: Sequence[Fault], struck: Counter[str], until_s: float) -> None:
    """Strike with one of these faults after the other until the time is over; each is healed before the next."""
    while time.monotonic() < until_s and not scene.over.is_set():
        scene.last(min(12.0, scene.rng.expovariate(1 / PAUSE_S)))
        fault = scene.rng.choice(faults)
        if fault.impossible() or scene.over.is_set() or time.monotonic() > until_s:
            continue
        victim = scene.anywhere()
        try:
            fault.strike(victim)
            struck[fault.name] += 1
        except Over:
            pass
        finally:
            fault.heal(victim)


def to_the_end(
    command: Host, until_s: float, between: Callable[[], object] = lambda: time.sleep(0.2)
) -> list[str]:
    """Give the command again whenever it has ended too early; return what went wrong.

    Args:
        command: where it was started.
        until_s: when the last fault ends, by the monotonic clock.
        between: called before it is given again.
    """
    give_up_s = until_s + FINISH_S
    while True:
        if command.wait(give_up_s - time.monotonic()) is None:
            return [f"the campaign had not ended {FINISH_S:g} s after the last fault"]
        if "Traceback (most recent call last)" in command.said(400):
            return [f"start {command.starts} ended with a traceback"]
        if command.complete:
            return []
        between()
        command.start()


def tell(line: str) -> None:
    """Tell how far it is."""
    print(line, file=sys.stderr, flush=True)


def text(tally: Tally) -> str:
    """Return the tally as text for a person."""
    kinds = ", ".join(f"{n} x {name}" for name, n in tally.strikes.most_common())
    early = " (interrupted: the campaign under way is not counted)" if tally.interrupted else ""
    lines = [
        f"{tally.seconds / 60:.1f} minutes, {tally.boards} boards, seed {tally.seed}{early}",
        f"{tally.strikes.total()} faults: {kinds}",
        f"{tally.campaigns} campaigns ({tally.completed} completed), the command given {tally.starts} times",
        f"{tally.repetitions} repetitions recorded, {tally.measured} of them ok,"
        f" {tally.repeated} slots measured once more, {tally.spoilt} spoilt by a struck workload,"
        f" {tally.skipped} skipped with a reason",
        f"lost {tally.lost}, doubled {tally.doubled}, left behind {tally.left_behind},"
        f" without a log {tally.unlogged}: {'clean' if tally.clean else 'NOT CLEAN'}",
    ]
    return "\n".join(
        [*lines, *(f"    {line}" for finding in tally.findings for line in finding.splitlines())]
    )
