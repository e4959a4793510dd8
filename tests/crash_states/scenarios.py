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
#: Repetitions that a campaign of a scenario has.
PLANNED = ("r0", "r1", "r2")
TORN = b'{"schema":"tunebench.rep/1.1","rep_id":"r1","run_'

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Scenario:
    """One way to write.

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
    """Bytes of a side file, each different and not to be compressed to nothing."""
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
    """A run from its beginning to its end."""
    day = datetime(2026, 11, 21, tzinfo=UTC)
    with RunWriter.create(folder / "results", "lab1", RUN_ID, {"suite": {}}, created=day) as writer:
        tell("created")
        writer.write_env(BoardEnv(board_id="host", t_utc="a"), "before")
        for rep_id in PLANNED:
            _append(writer, rep_id, tell)
        _finish(writer, tell)


def torn_run(folder: Path) -> None:
    """A run of one record and half a line after it."""
    day = datetime(2026, 11, 21, tzinfo=UTC)
    with RunWriter.create(folder / "results", "lab1", RUN_ID, {"suite": {}}, created=day) as writer:
        _append(writer, "r0", lambda _: None)
    with (folder / RUN / "reps.jsonl").open("ab") as file:
        file.write(TORN)


def torn_run_with_zeros(folder: Path) -> None:
    """The same, the line's end on disk and its begin not."""
    torn_run(folder)
    with (folder / RUN / "reps.jsonl").open("r+b") as file:
        data = file.read().removesuffix(TORN)
        file.truncate(len(data))
        file.seek(len(data))
        file.write(bytes(len(TORN)) + b'"prov":null}\n')


def resumed(folder: Path, tell: Tell) -> None:
    """A run that goes on after a crash."""
    with RunWriter.open(folder / RUN) as writer:
        for rep_id in PLANNED:
            if rep_id not in writer.done_rep_ids:
                _append(writer, rep_id, tell)
        _finish(writer, tell)


def lost_of_run(folder: Path, told: Collection[str]) -> list[str]:
    """What a reader misses in a run, and what keeps a campaign from going on."""
    path = folder / RUN
    if not (path / "plan.json").exists() and not told:
        return []
    try:
        reader = RunReader(path)
        found = _misses(reader, told)
        with RunWriter.open(path) as writer:
            missed = set(told) - {"created", "finished"} - writer.done_rep_ids
            if missed:
                found.append(f"resuming knows nothing of {sorted(missed)}")
            if not writer.complete:
                writer.append(record("after"))
                writer.finish(suite="d", tunebench="0", started_utc="a", ended_utc="b", boards=[], blocks=1)
        again = RunReader(path)
    except ResultsError as error:
        return [f"not readable: {error}"]
    found += [f"after resuming: {one}" for one in [*again.warnings, *again.verify()]]
    return found


def _misses(reader: RunReader, told: Collection[str]) -> list[str]:
    there = {one.rep_id: one for one in reader.repetitions}
    found = [
        f"{one} was acknowledged and is not there" for one in told if one in PLANNED and one not in there
    ]
    for rep_id, one in there.items():
        if reader.log(one) != side("log", rep_id).decode():
            found.append(f"log of {rep_id} differs")
    if len(there) != len(reader.repetitions):
        found.append("a repetition is there twice")
    if "finished" in told and not reader.complete:
        found.append("the run was acknowledged as complete and is not")
    if reader.complete:
        found += (
            reader.verify() + reader.warnings + [f"{one} is missing" for one in PLANNED if one not in there]
        )
    found += [one for one in reader.warnings[:-1] if "missing" not in one]  # only the last line may be torn
    return found


def _decision(number: int) -> decisions.Decision:
    return decisions.Decision(
        t_utc=f"2026-11-21T00:00:0{number}Z",
        who="ann",
        kind="quarantine",
        board_id="pi5-01",
        reason=str(number),
    )


def decide(folder: Path, tell: Tell) -> None:
    """Three decisions in a lab's log."""
    for number in range(3):
        decisions.append(folder, _decision(number))
        tell(str(number))


def torn_decision(folder: Path) -> None:
    """A log whose first line was torn."""
    (folder / decisions.DECISIONS).write_bytes(b'{"schema":"tuneb')


def lost_of_decisions(folder: Path, told: Collection[str]) -> list[str]:
    """Decisions that were acknowledged and are not read."""
    decisions.append(folder, _decision(9))
    reasons = [one.reason for one in decisions.read(folder)[0]]
    return [f"decision {one} is not there" for one in (*told, "9") if reasons.count(one) != 1]


SCENARIOS = (
    Scenario("a campaign", _nothing, campaign, lost_of_run),
    Scenario("resumed after a torn line", torn_run, resumed, lost_of_run, ("created", "r0")),
    Scenario("resumed after zeros", torn_run_with_zeros, resumed, lost_of_run, ("created", "r0")),
    Scenario("decisions", _nothing, decide, lost_of_decisions),
    Scenario("decisions after a torn line", torn_decision, decide, lost_of_decisions),
)
