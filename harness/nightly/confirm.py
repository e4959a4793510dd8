"""Confirm on the boards what the gate nominates: the pinned build against tonight's, in pairs, the same night.

It is a campaign like any other: two rows for each nominated series, which differ in nothing but the bytes that ran
(payload, own files, native library, all known by their SHA-256 from the records), in blocks of random order. Its
results lie in a folder ``confirmations`` of their own, apart from the nights that it judges.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from tunebench.harness.artifacts import build_cache
from tunebench.harness.artifacts.gather import Artifacts, gather
from tunebench.harness.board.environment import utc_now
from tunebench.harness.campaign.progress import PlainLines, StageLines
from tunebench.harness.campaign.session import Request, Session, new_run_id
from tunebench.harness.config.inventory import Inventory
from tunebench.harness.config.suite import Suite, Workload
from tunebench.harness.config.tables.schema import Header
from tunebench.harness.errors import UsageError
from tunebench.harness.planning.plan import Plan, make_plan
from tunebench.reports.history import index
from tunebench.reports.history.confirm import PAIRS
from tunebench.reports.history.gating import MAX_CONFIRMED, Confirmer, Judgement, NightFinding, Pairs
from tunebench.reports.history.series import Metric, Series, opened
from tunebench.reports.records import Repetition
from tunebench.reports.render.stored import run_folder
from tunebench.reports.results import ResultsError, RunReader, RunWriter
from tunebench.reports.stores.address import Address, place_of
from tunebench.targets.payload import Blob

CONFIRMATIONS = "confirmations"
SUITE = "gate-confirmation"
PINNED, TONIGHT = " @pinned", " @tonight"
#: A payload's hash may be given by so many of its first digits.
_SHORTEST = 8

_VALUES: dict[Metric, Callable[[Repetition], float | None]] = {
    "time": lambda rep: rep.wall_s,
    "memory": lambda rep: rep.peak_rss_b,
    "accuracy": lambda rep: rep.quality.after,
    "energy": lambda rep: rep.energy.j_per_finetuning if rep.energy else None,
}


@dataclasses.dataclass(frozen=True)
class JudgedNight:
    """The night that is judged, and where to measure again.

    Attributes:
        run: the night's run.
        store: root of the results, or a store that hosts share.
        confirmations: root of what is measured to confirm.
        inventory: where the boards are.
        data_dir: local copies of data sets.
    """

    run: RunReader
    store: Path | Address
    confirmations: Path
    inventory: Inventory
    data_dir: Path | None = None


class _Impossible(Exception):
    """Why a series cannot be measured again."""


def confirmer(judgement: Judgement, night: JudgedNight, baseline: str, console: Console) -> Confirmer:
    """Measure pairs of every nominated series on its board; return a function that looks them up.

    Args:
        judgement: the screen's, without boards.
        night: what is judged.
        baseline: what is pinned: a run's directory or its address in a store, or (the beginning of) the SHA-256 of a
            payload that a run of the store used, with ``+`` and an environment's hash behind it if that is to hold too.
        console: where progress goes.

    Raises:
        UsageError: no run used that payload.
    """
    pinned = _records(find_baseline(night.store, baseline, night.run.plan_view.run_id))
    tonight = _records(night.run)
    environment = baseline.partition("+")[2]
    reasons: dict[str, str] = {}
    rows: dict[str, _Row] = {}
    for finding in _chosen(judgement):
        key = str(finding.series_key)
        try:
            rows[key] = _row(finding, night, (pinned.get(key), tonight.get(key)), environment)
        except _Impossible as why:
            reasons[key] = str(why)
    measured = _campaign(list(rows.values()), night, console) if rows else []

    def pairs_of(series: Series, metric: Metric) -> Pairs:
        row = rows.get(series.series_key)
        if row is None:
            return Pairs(reason=reasons.get(series.series_key, "it was not measured again"))
        return _pairs(measured, row, metric)

    return pairs_of


@dataclasses.dataclass(frozen=True)
class _Row:
    """One series to confirm: its workload, and what was built for it on both sides, by role."""

    board_id: str
    workload: Workload
    pinned: Mapping[str, Blob]
    tonight: Mapping[str, Blob]
    energy: bool


def _chosen(judgement: Judgement) -> list[NightFinding]:
    """Return the nominated series, each once, the worst first, at most :data:`MAX_CONFIRMED` a board."""
    nominated = [finding for finding in judgement.findings if finding.nominated]
    nominated.sort(key=lambda finding: -((finding.screening and finding.screening.z) or 0.0))
    counts: Counter[str] = Counter()
    chosen: dict[str, NightFinding] = {}
    for finding in nominated:
        counts[finding.board_id] += 1
        if counts[finding.board_id] <= MAX_CONFIRMED:
            chosen.setdefault(str(finding.series_key), finding)
    return list(chosen.values())


def find_baseline(store: Path | Address, baseline: str, judged: str | None = None) -> RunReader:
    """Return the run that stands for a pinned build: the one that is named, or the newest of the store with that payload.

    Args:
        judged: id of the run that is judged; it cannot stand for the pinned build too.

    Raises:
        UsageError: there is none; the message says what was looked for.
        ResultsError: it is named by an address with a mistake, or the store does not have it.
    """
    path = place_of(baseline)
    if isinstance(path, Address):
        return RunReader(run_folder(path), check=False)
    if (path / "plan.json").is_file():
        return RunReader(path, check=False)
    wanted = baseline.partition("+")[0].lower()
    if len(wanted) < _SHORTEST or any(char not in "0123456789abcdef" for char in wanted):
        raise UsageError(
            f"--baseline {baseline!r}: neither a run's directory nor {_SHORTEST} or more hexadecimal digits of a"
            " payload's SHA-256 (records name it as prov.payload_sha256), nor a run of a store (ADDRESS#RUN_ID)"
        )
    if isinstance(store, Address):
        return _newest_stored(store, baseline, wanted, judged)
    plans = sorted(store.glob("*/*/*/*/*/plan.json"), key=lambda plan: plan.parent.name, reverse=True)
    for plan in plans:
        try:
            reader = RunReader(plan.parent, check=False)
        except ResultsError:
            continue
        used = any((rep.prov.payload_sha256 or "").startswith(wanted) for rep in reader.repetitions[:1])
        if used and (judged is None or reader.plan_view.run_id != judged):
            return reader
    raise UsageError(
        f"--baseline {baseline!r}: no other run of the {len(plans)} below {store} used that payload"
    )


def _newest_stored(store: Address, baseline: str, wanted: str, judged: str | None) -> RunReader:
    """Return the newest run of a store with a payload.

    Raises:
        UsageError: there is none.
    """
    with opened(index.build(store).path) as database:
        row = database.execute(
            "SELECT max(run_id) FROM repetitions WHERE starts_with(payload_sha256, ?) AND run_id IS DISTINCT FROM ?",
            [wanted, judged],
        ).fetchone()
    if row is None or row[0] is None:
        raise UsageError(f"--baseline {baseline!r}: no other run of {store.text} used that payload")
    return RunReader(run_folder(dataclasses.replace(store, run_id=str(row[0]))), check=False)


def _records(run: RunReader) -> dict[str, Repetition]:
    """Return series key -> its last record that ended well; all repetitions of a run ran the same bytes."""
    return {rep.series_key: rep for rep in run.repetitions if rep.outcome == "ok"}


def _row(
    finding: NightFinding,
    night: JudgedNight,
    sides: tuple[Repetition | None, Repetition | None],
    environment: str,
) -> _Row:
    """Return what to measure so that a finding is confirmed or refuted.

    Raises:
        _Impossible: why that cannot be done.
    """
    pinned, tonight = sides
    if pinned is None:
        raise _Impossible("the pinned run has not measured this series")
    if tonight is None:
        raise _Impossible("no repetition of tonight ended well")
    if finding.board_id not in {board.id for board in night.inventory.boards}:
        raise _Impossible(f"board {finding.board_id} is not in the inventory")
    if environment and not (tonight.prov.env_sha256 or "").startswith(environment):
        raise _Impossible("the pinned environment is not on the board any more (its hash differs)")
    old, new = _blobs(pinned), _blobs(tonight)
    if {role: blob.sha256 for role, blob in old.items()} == {role: blob.sha256 for role, blob in new.items()}:
        raise _Impossible("tonight's build is the pinned one, byte for byte: there is nothing to compare")
    return _Row(finding.board_id, _workload_of(night.run, tonight), old, new, finding.metric == "energy")


def _blobs(rep: Repetition) -> dict[str, Blob]:
    """Return the built blobs that a record names, from what the host keeps."""
    wanted = {
        "payload": (rep.prov.payload_sha256, ".zip"),
        "own": (rep.prov.own_sha256, ".zip"),
        "native": ((rep.prov.engine_build or {}).get("sha256"), ".so"),
    }
    blobs = {}
    for role, (sha256, suffix) in wanted.items():
        if sha256 is None:
            continue
        blob = build_cache.kept(str(sha256), suffix, role)
        if blob is None:
            raise _Impossible(
                f"{role} {str(sha256)[:12]} is not kept on this host ({build_cache.default_folder()})"
            )
        blobs[role] = blob
    return blobs


def _workload_of(run: RunReader, rep: Repetition) -> Workload:
    """Return a record's workload as the night's plan holds it."""
    names = {field.name for field in dataclasses.fields(Workload)}
    for written in run.plan_view.suite.workloads:
        if (written.get("task"), written.get("label")) == (rep.task, rep.label):
            # A plan holds tuples as lists.
            values = {
                name: tuple(value) if isinstance(value, list) else value
                for name, value in written.items()
                if name in names
            }
            return Workload(**values)  # type: ignore[arg-type]  # as Workload.as_dict wrote it
    raise _Impossible("the night's plan does not tell how it was run")


def _campaign(rows: Sequence[_Row], night: JudgedNight, console: Console) -> list[Repetition]:
    """Measure the pairs of all rows; return the records."""
    owners: dict[tuple[str, str], str] = {}
    built: dict[tuple[str, str], Mapping[str, Blob]] = {}
    workloads: list[Workload] = []
    for row in rows:
        for mark, blobs in ((PINNED, row.pinned), (TONIGHT, row.tonight)):
            workload = dataclasses.replace(
                row.workload, label=_label(row.workload, mark, row.board_id), aa_control=False
            )
            owners[workload.key], built[workload.key] = row.board_id, blobs
            workloads.append(workload)
    header = Header(
        name=SUITE, blocks=PAIRS, aa=False, instrumented=False, energy=any(row.energy for row in rows)
    )
    suite = Suite(
        header, tuple(workloads), {workload.task: workload.label for workload in reversed(workloads)}
    )
    boards = [board for board in night.inventory.boards if board.id in set(owners.values())]
    request = Request(
        suite,
        boards,
        str(night.run.plan_view.lab),
        night.confirmations,
        data_dir=night.data_dir,
        leave_out_missing=True,
    )
    artifacts = gather(suite, data_dir=night.data_dir, progress=StageLines(console))
    plan = make_plan(suite, boards, run_id=new_run_id(), lab=request.lab, unavailable=artifacts.unavailable)
    session = _session(request, _only_owned(plan, owners), dataclasses.replace(artifacts, built=built))
    console.print(
        f"confirming {len(rows)} series in {PAIRS} pairs each; results in {session.writer.path}",
        markup=False,
        soft_wrap=True,
    )
    outcome = session.campaign(PlainLines(console, session.plan, 0)).run()
    measured = list(session.writer.repetitions())
    session.close(outcome)
    return measured


def _session(request: Request, plan: Plan, artifacts: Artifacts) -> Session:
    started_utc = utc_now()
    content = {**plan.as_dict(), "started_utc": started_utc}
    writer = RunWriter.create(request.out, request.lab, plan.run_id, content)
    return Session(request, plan, artifacts, writer, {}, started_utc)


def _only_owned(plan: Plan, owners: Mapping[tuple[str, str], str]) -> Plan:
    """Return the plan with each row on its own board only, and without checks: the night's run has made these."""
    return dataclasses.replace(
        plan,
        repetitions=tuple(
            planned for planned in plan.repetitions
            if planned.role == "idle"
            or (planned.role != "check" and owners[planned.workload.key] == planned.board_id)
        ),
        skipped=tuple(
            skip for skip in plan.skipped if owners.get((str(skip.task), str(skip.label)), skip.board_id) == skip.board_id
        ),
    )  # fmt: skip


def _label(workload: Workload, mark: str, board_id: str) -> str:
    """Return a label that is unique over boards, which may have native libraries of their own."""
    return f"{workload.label}{mark} {board_id}"


def _pairs(measured: Sequence[Repetition], row: _Row, metric: Metric) -> Pairs:
    """Return the values of both sides by block; a block with an invalid half is no pair."""
    role = "energy" if metric == "energy" else "timed"
    sides: dict[str, dict[int, float]] = {PINNED: {}, TONIGHT: {}}
    counts: dict[str, dict[int, float]] = {PINNED: {}, TONIGHT: {}}
    for rep in measured:
        value = _VALUES[metric](rep)
        side = next((mark for mark in sides if rep.label == _label(row.workload, mark, row.board_id)), None)
        if side is None or (rep.board_id, rep.task, rep.role) != (row.board_id, row.workload.task, role):
            continue
        if rep.outcome == "ok" and rep.verdict != "invalid" and value is not None:
            sides[side][rep.block] = value
            if rep.pmu is not None and rep.pmu.instructions_per_finetuning is not None:
                counts[side][rep.block] = rep.pmu.instructions_per_finetuning
    blocks = sorted(set(sides[PINNED]) & set(sides[TONIGHT]))
    counted = sorted(set(counts[PINNED]) & set(counts[TONIGHT]))
    return Pairs(
        [sides[PINNED][block] for block in blocks],
        [sides[TONIGHT][block] for block in blocks],
        instructions=[(counts[PINNED][block], counts[TONIGHT][block]) for block in counted],
    )
