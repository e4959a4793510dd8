"""Minutes of campaigns of several hosts on the boards of one farm, with a random fault every few seconds."""

from __future__ import annotations

import contextlib
import random
import shutil
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults import soak
from tests.faults.accounting import Account, count_work, look_at_boards, read_ledger, settle_run
from tests.faults.farm.lab import PATIENCE_S, FarmLab, FarmSite
from tests.faults.farm.network import ADDRESS, Network
from tests.faults.farm.scene import REAP_MIN, STRIKES, FarmHost, FarmScene
from tunebench.reports.results import ResultsError, RunReader
from tunebench.targets.virtual.openssh import find_sshd

HOSTS = ("host-a", "host-b")
#: Boards that a campaign asks for: so many, whichever are free, or all of them (None).
COUNTS: tuple[int | None, ...] = (1, 2, None)
BLOCKS = 5
_AGAIN_S = 0.5


@dataclass
class FarmTally(soak.Tally):
    """What came of it.

    Attributes:
        by_host: host -> board -> repetitions that count (``ok`` and not invalid).
        contested: repetitions that do not count, since the place was somebody else's when they ended.
        left_held: places that were held at the end.
    """

    by_host: dict[str, Counter[str]] = field(default_factory=dict)
    contested: int = 0
    left_held: int = 0

    @property
    def clean(self) -> bool:
        """Tell whether nothing was lost, doubled, left behind or left held, and every campaign ended."""
        return super().clean and not self.left_held

    def as_json(self) -> dict[str, Any]:
        """Return the tally as JSON for scripts."""
        return {**super().as_json(), "by_host": {host: dict(of) for host, of in self.by_host.items()}}


def why_not() -> str | None:
    """Return why it cannot be run here, but for a network; None if it can."""
    if find_sshd() is None:
        return "needs OpenSSH's server (Debian: openssh-server)"
    try:
        import labgrid  # noqa: F401
    except ImportError:
        return "labgrid is not installed: pip install 'tunebench[labgrid]'"
    return None


def share(minutes: float, boards: int, seed: int, blocks: int = BLOCKS) -> FarmTally:
    """Let two hosts share a farm until the time is over; each then ends its campaign without faults. Ctrl-C drops all.

    Args:
        minutes: how long faults strike and campaigns begin.
        boards: of the farm.
        seed: of the faults' and the campaigns' order.
        blocks: of a campaign.
    """
    tally = FarmTally(seed, boards, minutes)
    rng = random.Random(seed)
    folder = Path(tempfile.mkdtemp(prefix="tunebench-farm-"))
    began_s = time.monotonic()
    until_s = began_s + 60.0 * minutes
    with contextlib.ExitStack() as stack:
        scene = _scene(folder, boards, blocks, rng, stack)
        findings: list[str] = []
        users = [
            threading.Thread(
                target=_use,
                args=(host, random.Random(rng.getrandbits(32)), until_s, findings),
                name=host.name,
            )
            for host in scene.hosts
        ]
        striker = threading.Thread(
            target=soak.strike, args=(scene, STRIKES, tally.strikes, until_s), name="striker", daemon=True
        )
        try:
            for thread in (*users, striker):
                thread.start()
            for thread in users:
                thread.join()
            scene.over.set()
            striker.join()
            _settle(scene, tally, findings)
        except KeyboardInterrupt:
            tally.interrupted = True
    tally.seconds = time.monotonic() - began_s
    if tally.clean:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        tally.findings.append(f"its folder: {folder}")
    return tally


def _scene(
    folder: Path, boards: int, blocks: int, rng: random.Random, stack: contextlib.ExitStack
) -> FarmScene:
    network = stack.enter_context(Network())
    sites: list[FarmSite] = []
    for number in range(1, boards + 1):
        login = sites[0].server.directory if sites else None
        site = FarmSite(f"board-{number}", folder / f"board-{number}", ADDRESS, login)
        stack.callback(site.close)
        sites.append(site)
    lab = FarmLab(folder / "lab", sites, ADDRESS)
    stack.callback(lab.end)
    hosts = []
    for name in HOSTS:
        host = FarmHost(name, folder / name, lab, network.plug_in(name))
        host.blocks = blocks
        stack.callback(host.close)
        hosts.append(host)
    scene = FarmScene(
        folder, sites, sites[0], hosts[0], rng, stack, patience_s=soak.PATIENCE_S, lab=lab, network=network,
        hosts=hosts,
    )  # fmt: skip
    stack.callback(scene.over.set)
    return scene


def _use(host: FarmHost, rng: random.Random, until_s: float, findings: list[str]) -> None:
    """Run campaign after campaign on a host until the time is over."""

    def between() -> None:
        host.reap()
        time.sleep(_AGAIN_S)

    while time.monotonic() < until_s:
        host.begin(rng.choice(COUNTS))
        wrong = soak.to_the_end(host, until_s, between)
        findings += [f"{host.name}: {finding}; it said last:\n{host.said(40)}" for finding in wrong]
        soak.tell(
            f"[{until_s - time.monotonic():5.0f} s left] {host.name}: campaign {len(host.outs)}"
            f" {'NOT ended' if wrong else 'complete'}, the command given {host.starts} times"
        )
        if wrong:
            return


def _settle(scene: FarmScene, tally: FarmTally, findings: list[str]) -> None:
    """Compare every campaign with its plan, the ledger that all workloads wrote, the boards, and the farm."""
    account = Account()
    excused = soak.Excused(tally.strikes, frozenset())
    ledger = read_ledger(Path(scene.sites[0].ledger))
    for host in scene.hosts:
        counts = tally.by_host.setdefault(host.name, Counter())
        tally.starts += host.starts
        for out in host.outs:
            tally.campaigns += 1
            runs = sorted(path.parent for path in out.glob("**/plan.json"))
            if len(runs) != 1:
                account.findings.append(f"{len(runs)} runs below {out}, expected one")
            elif settle_run(runs[0], ledger, excused, account):
                tally.completed += 1
            for run in runs:
                _count(run, counts, tally)
    count_work(ledger, account)
    look_at_boards(scene, account)
    tally.left_held = len(held := _held(scene))
    tally.count(account)
    tally.findings += [*findings, *account.findings, *(f"left held: {place}" for place in held)]


def _held(scene: FarmScene) -> list[str]:
    """Return the places that are held though nobody measures: those of killed commands are freed first, as by a timer."""
    give_up_s = time.monotonic() + 60.0 * REAP_MIN + PATIENCE_S
    while (held := scene.lab.held()) and time.monotonic() < give_up_s:
        scene.hosts[0].reap()
        time.sleep(_AGAIN_S)
    return held


def _count(run: Path, counts: Counter[str], tally: FarmTally) -> None:
    with contextlib.suppress(ResultsError):
        for record in RunReader(run).repetitions:
            tally.repetitions += 1
            tally.contested += record.seen.contested is not None if record.seen else False
            if record.outcome == "ok" and record.verdict != "invalid":
                tally.measured += 1
                counts[record.board_id] += 1


def text(tally: FarmTally) -> str:
    """Return the tally as text for a person."""
    lines = [
        f"{host}: {counts.total()} repetitions that count, on {len(counts)} boards"
        for host, counts in tally.by_host.items()
    ]
    held = f"{tally.contested} repetitions contested, {tally.left_held} places left held"
    return "\n".join([*lines, held, soak.text(tally)])
