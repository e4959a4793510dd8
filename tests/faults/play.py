"""One run of one fault, from an empty folder to its account."""

from __future__ import annotations

import contextlib
import random
import shutil
import tempfile
import threading
import time
from pathlib import Path

from tests.faults.accounting import Account, settle
from tests.faults.host import Host
from tests.faults.scene import Fault, Over, Scene

#: The command is given at most this often; a fault strikes once.
MAX_STARTS = 6
#: Seconds that an undisturbed campaign takes, roughly; limits are stretched on a machine that is slower than that.
USUAL_S = 8.0


class Striker(threading.Thread):
    """Let a fault strike at its moment, in a thread beside the campaign."""

    def __init__(self, fault: Fault, scene: Scene, moment_s: float) -> None:
        super().__init__(name=f"striker {fault.name}", daemon=True)
        self.struck = False
        self.failure: BaseException | None = None
        self._fault, self._scene, self._moment_s = fault, scene, moment_s

    def run(self) -> None:
        try:
            self._scene.pause(self._moment_s)
            self._fault.strike(self._scene)
            self.struck = True
        except Over:
            pass
        except Exception as error:  # noqa: BLE001 - told by the account
            self.failure = error


def play(fault: Fault, seed: int, calm_s: float, keep: bool = False) -> Account:
    """Run a campaign, break something once, and settle the account.

    Args:
        seed: decides the moment and everything else that is left to chance.
        calm_s: how long the command takes when nothing happens.
        keep: leave the folder behind also when all is well.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"tunebench-faults-{fault.name}-"))
    began_s = time.monotonic()
    try:
        with contextlib.ExitStack() as stack:
            scene = make_scene(fault, folder, random.Random(seed), stack)
            account = _play(fault, scene, calm_s)
    except Exception as error:  # noqa: BLE001 - one scene that breaks is a finding, not the end of the others
        account = Account(findings=[f"the scene itself failed: {error!r}"])
    account.seconds = time.monotonic() - began_s
    if account.clean and not keep:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        account.findings.append(f"seed {seed}; its folder: {folder}")
    return account


def make_scene(fault: Fault, folder: Path, rng: random.Random, stack: contextlib.ExitStack) -> Scene:
    """A board, a host, and whatever the fault needs, ready to start."""
    site = fault.make_site("board", folder / "board")
    stack.callback(site.close)
    host = Host(folder, [site])
    stack.callback(host.close)
    scene = Scene(folder, [site], site, host, rng, stack)
    stack.callback(scene.over.set)
    fault.prepare(scene)
    host.write()
    return scene


def _play(fault: Fault, scene: Scene, calm_s: float) -> Account:
    striker = Striker(fault, scene, fault.moment_s(scene.rng, calm_s))
    limit_s = fault.limit_s * min(4.0, max(1.0, calm_s / USUAL_S))
    began_s = time.monotonic()
    scene.host.start()
    striker.start()
    try:
        findings = _to_the_end(limit_s, scene, striker)
        campaign_s = time.monotonic() - began_s
    finally:
        scene.over.set()
        striker.join(30.0)
        fault.heal(scene)
    account = settle(scene, fault)
    account.struck, account.campaign_s = striker.struck or fault.from_the_start, campaign_s
    if striker.failure is not None:
        findings = [*findings, f"the fault itself failed: {striker.failure!r}"]
    if findings:
        account.completed = False
        account.findings += [*findings, f"it said last:\n{scene.host.said()}"]
    elif not account.clean:
        account.findings.append(f"it said last:\n{scene.host.said()}")
    return account


def _to_the_end(limit_s: float, scene: Scene, striker: Striker) -> list[str]:
    """Give the command, and again once the fault is healed, until the run is complete; return what went wrong."""
    give_up_s = time.monotonic() + limit_s
    while True:
        status = scene.host.wait(give_up_s - time.monotonic())
        if status is None:
            return [f"the campaign had not ended after {limit_s:g} s (start {scene.host.starts})"]
        if "Traceback (most recent call last)" in scene.host.said(200):
            return [f"start {scene.host.starts} ended with a traceback"]
        if scene.host.complete:
            return []
        striker.join(max(0.0, give_up_s - time.monotonic()))
        if scene.host.starts >= MAX_STARTS:
            return [f"the run is still not complete after {MAX_STARTS} starts"]
        scene.host.start()
