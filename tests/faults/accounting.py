"""The account of a campaign: is every planned repetition there exactly once, and is the board clean?

Two records are compared: the store, and a ledger that the harness knows nothing of, into which the workloads themselves
wrote when they began and when their window had ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from tests.faults.scene import Fault, Scene
from tunebench.harness import verify
from tunebench.reports.records import Repetition, Skip
from tunebench.reports.results import ResultsError, RunReader

#: What every workload of ours prints first.
GREETING = "hello from"


@dataclass(kw_only=True)
class Counts:
    """Counts of what faults have cost, in one run or in many.

    Attributes:
        lost: planned repetitions that are missing, without a reason, or cost although the fault excuses no such cost.
        doubled: repetitions that are recorded, or were measured, more often than once.
        left_behind: processes and files of ours on the boards afterwards.
        unlogged: repetitions that ran and whose log did not come.
        spoilt: slots that ended otherwise than ``ok``, as this fault may make them.
        repeated: slots that were lost with a reason, and measured once more.
        skipped: repetitions left out with their reason.
    """

    lost: int = 0
    doubled: int = 0
    left_behind: int = 0
    unlogged: int = 0
    spoilt: int = 0
    repeated: int = 0
    skipped: int = 0

    @property
    def nothing_amiss(self) -> bool:
        """Whether nothing was lost, doubled, left behind or without its log; the rest is what a fault may cost."""
        return not (self.lost or self.doubled or self.left_behind or self.unlogged)

    def count(self, other: Counts) -> None:
        """Add other counts to these."""
        for counter in fields(Counts):
            setattr(self, counter.name, getattr(self, counter.name) + getattr(other, counter.name))


@dataclass
class Account(Counts):
    """The account of one run of a fault.

    Attributes:
        struck: the fault met the campaign.
        completed: the campaign ended by itself, its run is complete and whole.
        starts: how often the command was given.
        seconds: all of it; ``campaign_s``: from the first start of the command to its last end.
        findings: a sentence on everything that is not as it should be.
        struck_twice: slots whose attempts were both destroyed; they count as spoilt, too.
    """

    struck: bool = False
    struck_twice: int = 0
    completed: bool = False
    starts: int = 0
    seconds: float = 0.0
    campaign_s: float = 0.0
    findings: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing is amiss."""
        return self.completed and self.nothing_amiss


def settle(scene: Scene, fault: Fault) -> Account:
    """Compare a campaign that has ended with its plan, the ledger and the boards."""
    account = Account(starts=scene.host.starts)
    look_at_boards(scene, account)
    runs = scene.host.runs
    if len(runs) != 1:
        account.findings.append(f"{len(runs)} runs below the results root, expected one")
    whole = True
    ledger = read_ledger(Path(scene.sites[0].ledger))
    for run in runs:
        whole = settle_run(run, ledger if scene.sites[0].ledger else None, fault, account) and whole
    if runs:
        count_work(ledger, account)
    account.completed = len(runs) == 1 and whole
    return account


def _skips(reader: RunReader) -> Sequence[Skip]:
    return reader.manifest.skipped if reader.manifest else ()


def settle_run(
    run: Path, ledger: Mapping[tuple[str, str], int] | None, fault: Fault, account: Account
) -> bool:
    """Compare a run with its plan and the ledger; return whether it is complete and whole."""
    try:
        reader = RunReader(run)
        whole = _is_whole(reader, account)
        audit(reader.plan, reader.repetitions, _skips(reader), fault, account)
        look_at_logs(reader, ledger, fault, account)
    except ResultsError as error:
        account.findings.append(f"the run cannot be read: {error}")
        return False
    return whole


def look_at_boards(scene: Scene, account: Account) -> None:
    """Count what is left behind on the boards once nobody measures there any more."""
    for site in scene.sites:
        remains = site.left_behind()
        account.left_behind += len(remains)
        account.findings += [f"{site.board_id}: left behind: {remnant}" for remnant in remains]


def _is_whole(reader: RunReader, account: Account) -> bool:
    """Whether the run is complete, every file of it as it was written, and ``tunebench verify`` has no objection."""
    faults = [*reader.warnings, *(str(finding) for finding in verify.audit(reader.path))]
    account.findings += [f"store: {fault}" for fault in faults]
    return reader.complete and not faults


def look_at_logs(
    reader: RunReader, ledger: Mapping[tuple[str, str], int] | None, fault: Fault, account: Account
) -> None:
    """Count repetitions whose workload began, by the ledger, and whose log does not hold its greeting.

    A workload prints the greeting before it writes into the ledger; so a log must have it, however the repetition ended.
    """
    if not fault.logs:
        return
    for record in reader.repetitions:
        if record.outcome == "lost" and not fault.logs_of_lost:
            continue
        greeted = _ran(record) if ledger is None else ledger.get(("begin", record.rep_id), 0) > 0
        text = reader.log(record)
        if greeted and GREETING not in (text or ""):
            account.unlogged += 1
            account.findings.append(f"{record.rep_id} ({record.outcome}): its log did not come: {text!r:.80}")


def _ran(record: Repetition) -> bool:
    """Tell whether a workload without a ledger surely printed its first line; a lost one may have died before it."""
    return record.outcome in ("ok", "failed", "deadline", "oom")


def audit(
    plan: Mapping[str, Any],
    records: Iterable[Repetition],
    skips: Sequence[Skip],
    fault: Fault,
    account: Account,
) -> None:
    """Count what is missing, doubled, spoilt, repeated and skipped."""
    attempts: dict[str, list[Repetition]] = {planned["rep_id"]: [] for planned in plan["repetitions"]}
    for record in records:
        first_id = record.rep_id.rsplit(".try", 1)[0]
        if first_id not in attempts:
            account.doubled += 1
            account.findings.append(f"{record.rep_id}: nobody planned it")
        else:
            attempts[first_id].append(record)
    for planned in plan["repetitions"]:
        _audit_slot(planned, attempts[planned["rep_id"]], skips, fault, account)
    if account.spoilt > fault.at_most:
        account.lost += account.spoilt - fault.at_most
        account.findings.append(f"{account.spoilt} slots were spoilt, the fault excuses {fault.at_most}")
    account.spoilt += account.struck_twice


def _audit_slot(
    planned: Mapping[str, Any],
    attempts: Sequence[Repetition],
    skips: Sequence[Skip],
    fault: Fault,
    account: Account,
) -> None:
    rep_id = planned["rep_id"]

    def lost(why: str) -> None:
        account.lost += 1
        account.findings.append(f"{rep_id}: {why}")

    ids = Counter(attempt.rep_id for attempt in attempts)
    again = [attempt for attempt in attempts[:-1] if attempt.outcome != "lost"]
    if again or max(ids.values(), default=0) > 1:
        account.doubled += 1
        account.findings.append(
            f"{rep_id}: recorded as {[(attempt.rep_id, attempt.outcome) for attempt in attempts]}"
        )
    if not attempts:
        skip = next((entry for entry in skips if _covers(entry, planned)), None)
        if skip is None:
            lost("no record and no skip")
        else:
            account.skipped += 1
            if not fault.may_skip or not skip.reason:
                lost(f"skipped: {skip.reason}")
        return
    repeated = len(attempts) > 1 and attempts[0].outcome == "lost"
    account.repeated += repeated
    if repeated and not fault.destroys:
        lost(f"its first attempt was lost: {attempts[0].outcome_reason}")
    last = attempts[-1]
    if any(attempt.outcome != "ok" and not attempt.outcome_reason for attempt in attempts):
        lost("it ended badly and nobody says why")
    elif last.outcome == "lost" and len(attempts) > 1 and ids.keys() <= fault.destroyed:
        account.struck_twice += 1  # no third attempt is made
    elif last.outcome in fault.spoils:
        account.spoilt += 1
    elif last.outcome != "ok":
        lost(f"{last.outcome}: {last.outcome_reason}")


def _covers(skip: Skip, planned: Mapping[str, Any]) -> bool:
    if skip.board_id != planned["board_id"]:
        return False
    return skip.label is None or (skip.task, skip.label) == (planned["task"], planned["label"])


def read_ledger(path: Path) -> Counter[tuple[str, str]]:
    """Return (``begin``, ``end`` or ``beside``, repetition) -> how often; empty where workloads could not write one."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return Counter()
    return Counter((what, rep_id) for what, _, rep_id in (line.partition(" ") for line in lines))


def count_work(ledger: Mapping[tuple[str, str], int], account: Account) -> None:
    """Count repetitions whose workload ran more than once under one id, or while another ran on that board.

    A second attempt has an id of its own.
    """
    for (what, rep_id), times in ledger.items():
        if what == "beside":
            account.doubled += 1
            account.findings.append(f"{rep_id}: its workload began while another ran on the board")
        elif times > 1:
            account.doubled += 1
            account.findings.append(f"{rep_id}: the workload wrote {what!r} {times} times")
