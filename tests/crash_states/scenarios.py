"""What a writer does while it is killed, and what must then be true of what it leaves.

A scenario's work tells the parent each thing that was acknowledged: ``created``, the id of a repetition whose
``append`` returned, ``finished``, a decision's number.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tunebench.reports.history import decisions
from tunebench.reports.records import BoardEnv, Provenance, Repetition
from tunebench.reports.results import RunReader, RunWriter
from tunebench.reports.results.layout import ResultsError

RUN_ID = "20261121T074500Z-a1b2"
RUN = f"results/lab1/2026/11/21/{RUN_ID}"
#: Ids of the repetitions of a scenario's campaign.
PLANNED = ("r0", "r1", "r2")
TORN = b'{"schema":"tunebench.rep/1.1","rep_id":"r1","run_'

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Scenario:
    """One way to write results: what is there before, what is written, and which promises are checked afterwards.

    Attributes:
        name: as it is printed.
        prepare: makes what is there before, durably.
        work: writes below a folder, telling what is acknowledged.
        lost: folder and what was acknowledged -> every promise that was broken, in words.
        given: what was acknowledged before the work begins.
    """

    name: str
    prepare: Callable[[Path], None]
    work: Callable[[Path, Tell], None]
    lost: Callable[[Path, Collection[str]], list[str]]
    given: tuple[str, ...] = ()


def record(rep_id: str) -> Repetition:
    """A small record, its padding as long as real ones are."""
    return Repetition(
        rep_id=rep_id, run_id=RUN_ID, block=0, slot=0, role="timed", lab="lab1", board_id="host",
        board_kind="loopback", task="digits/mlp", dataset="digits", model="mlp", method="ft-all", label="ft-all",
        engine="torch", device="cpu", threads=1, dtype="float32", seed=0, series_key="k", wall_s=1.0,
        outcome="ok", verdict="valid", prov=Provenance(tunebench="0", workload_sha256="0" * 64),
    )  # fmt: skip


def side(kind: str, rep_id: str) -> bytes:
    """Return the bytes of a side file: different for each file, and hard to compress."""
    return "".join(f"{kind} {rep_id} {i * i}\n" for i in range(40)).encode()


def _append(writer: RunWriter, rep_id: str, tell: Tell) -> None:
    kinds = ("trace", "log", "preds", "meter", "exit_record") if rep_id == "r0" else ("log", "exit_record")
    writer.append(record(rep_id), **{kind: side(kind, rep_id) for kind in kinds})
    tell(rep_id)


def _finish(writer: RunWriter, tell: Tell) -> None:
    writer.write_env(BoardEnv(board_id="host", t_utc="b"), "after")
    writer.finish(suite="demo", tunebench="0", started_utc="a", ended_utc="b", boards=["host"], blocks=1)
    tell("finished")


def _nothing(folder: Path) -> None:
    """Begin with an empty folder."""


def campaign(folder: Path, tell: Tell) -> None:
    """Write a run from its beginning to its end."""
    day = datetime(2026, 11, 21, tzinfo=UTC)
    with RunWriter.create(folder / "results", "lab1", RUN_ID, {"suite": {}}, created=day) as writer:
        tell("created")
        writer.write_env(BoardEnv(board_id="host", t_utc="a"), "before")
        for rep_id in PLANNED:
            _append(writer, rep_id, tell)
        _finish(writer, tell)


def torn_run(folder: Path) -> None:
    """Write a run of one record and half a line after it."""
    day = datetime(2026, 11, 21, tzinfo=UTC)
    with RunWriter.create(folder / "results", "lab1", RUN_ID, {"suite": {}}, created=day) as writer:
        _append(writer, "r0", lambda _: None)
    with (folder / RUN / "reps.jsonl").open("ab") as file:
        file.write(TORN)


def torn_run_with_zeros(folder: Path) -> None:
    """Write the same, but with the end of the torn line on disk and zeros in place of its beginning."""
    torn_run(folder)
    with (folder / RUN / "reps.jsonl").open("r+b") as file:
        data = file.read().removesuffix(TORN)
        file.truncate(len(data))
        file.seek(len(data))
        file.write(bytes(len(TORN)) + b'"prov":null}\n')


def resumed(folder: Path, tell: Tell) -> None:
    """Resume a run after a crash and write it to its end."""
    with RunWriter.open(folder / RUN) as writer:
        for rep_id in PLANNED:
            if rep_id not in writer.done_rep_ids:
                _append(writer, rep_id, tell)
        _finish(writer, tell)


def lost_of_run(folder: Path, acknowledged: Collection[str]) -> list[str]:
    """Return what a reader misses in a run, and what keeps a campaign from resuming it."""
    path = folder / RUN
    if not (path / "plan.json").exists() and not acknowledged:
        return []
    try:
        reader = RunReader(path)
        losses = _misses(reader, acknowledged)
        with RunWriter.open(path) as writer:
            missed = set(acknowledged) - {"created", "finished"} - writer.done_rep_ids
            if missed:
                losses.append(f"resuming knows nothing of {sorted(missed)}")
            if not writer.complete:
                writer.append(record("after"))
                writer.finish(suite="d", tunebench="0", started_utc="a", ended_utc="b", boards=[], blocks=1)
        again = RunReader(path)
    except ResultsError as error:
        return [f"not readable: {error}"]
    losses += [f"after resuming: {fault}" for fault in [*again.warnings, *again.verify()]]
    return losses


def _misses(reader: RunReader, acknowledged: Collection[str]) -> list[str]:
    there = {repetition.rep_id: repetition for repetition in reader.repetitions}
    losses = [
        f"{rep_id} was acknowledged and is not there"
        for rep_id in acknowledged
        if rep_id in PLANNED and rep_id not in there
    ]
    for rep_id, repetition in there.items():
        if reader.log(repetition) != side("log", rep_id).decode():
            losses.append(f"log of {rep_id} differs")
    if len(there) != len(reader.repetitions):
        losses.append("a repetition is there twice")
    if "finished" in acknowledged and not reader.complete:
        losses.append("the run was acknowledged as complete and is not")
    if reader.complete:
        losses += (
            reader.verify()
            + reader.warnings
            + [f"{rep_id} is missing" for rep_id in PLANNED if rep_id not in there]
        )
    # only the last line may be torn
    losses += [warning for warning in reader.warnings[:-1] if "missing" not in warning]
    return losses


def _decision(number: int) -> decisions.Decision:
    return decisions.Decision(
        t_utc=f"2026-11-21T00:00:0{number}Z",
        who="ann",
        kind="quarantine",
        board_id="pi5-01",
        reason=str(number),
    )


def decide(folder: Path, tell: Tell) -> None:
    """Write three decisions into a lab's log."""
    for number in range(3):
        decisions.append(folder, _decision(number))
        tell(str(number))


def torn_decision(folder: Path) -> None:
    """Write a log whose first line was torn."""
    (folder / decisions.DECISIONS).write_bytes(b'{"schema":"tuneb')


def lost_of_decisions(folder: Path, acknowledged: Collection[str]) -> list[str]:
    """Return the decisions that were acknowledged and are not read."""
    decisions.append(folder, _decision(9))
    reasons = [decision.reason for decision in decisions.read(folder)[0]]
    return [
        f"decision {number} is not there" for number in (*acknowledged, "9") if reasons.count(number) != 1
    ]


SCENARIOS = (
    Scenario("a campaign", _nothing, campaign, lost_of_run),
    Scenario("resumed after a torn line", torn_run, resumed, lost_of_run, ("created", "r0")),
    Scenario("resumed after zeros", torn_run_with_zeros, resumed, lost_of_run, ("created", "r0")),
    Scenario("decisions", _nothing, decide, lost_of_decisions),
    Scenario("decisions after a torn line", torn_decision, decide, lost_of_decisions),
)
