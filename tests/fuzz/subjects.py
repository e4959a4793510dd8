"""What is fuzzed: each subject reads bytes, may refuse them with the errors it documents, and must do nothing else.

A subject is loaded late, so that the guided engine can instrument what it imports. Each one also checks that what it
made of its input is what later code relies on; if it is not, that is a crash like any other.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Shape = Literal["json", "toml", "text", "tar"]
Run = Callable[[bytes], None]

CORPUS = Path(__file__).parent / "corpus"
REP_ID = "rep-1"


@dataclass(frozen=True)
class Subject:
    """One reader.

    Attributes:
        load: imports it; gives the function to call and the errors that it documents.
        shape: how its input is built, for the mutator.
    """

    name: str
    shape: Shape
    load: Callable[[], tuple[Run, tuple[type[Exception], ...]]]

    def seeds(self) -> list[bytes]:
        """Return the inputs in the repository: invented ones, and those that once crashed it."""
        return [path.read_bytes() for path in sorted((CORPUS / self.name).iterdir())]


def _scratch(name: str) -> Path:
    """Return a path for readers that take one: a file in memory, where the machine has a file system for that."""
    root = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix="tunebench-fuzz-", dir=root)) / name


def _storable(value: Any) -> None:
    """Check that what was read can be written: finite numbers, and text that can be encoded."""
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


def _inventory() -> tuple[Run, tuple[type[Exception], ...]]:
    from tunebench.harness.config.inventory import load_inventory
    from tunebench.harness.errors import UsageError

    path = _scratch("lab.toml")

    def run(data: bytes) -> None:
        path.write_bytes(data)
        inventory = load_inventory(path)
        _storable(inventory.model_dump(mode="json"))
        for board in inventory.boards:
            board.spec()
            board.tuning.wanted()

    return run, (UsageError,)


def _suite() -> tuple[Run, tuple[type[Exception], ...]]:
    from tunebench.harness.canonical import canonical_json
    from tunebench.harness.config.suite import load_suite
    from tunebench.harness.errors import UsageError

    path = _scratch("suite.toml")
    path.with_name("other.py").write_text("")  # the user's file that a seed names

    def run(data: bytes) -> None:
        path.write_bytes(data)
        canonical_json(load_suite(str(path)).as_dict()).encode()

    return run, (UsageError,)


def _journal() -> tuple[Run, tuple[type[Exception], ...]]:
    from tunebench.harness.planning.attempts import boot_id_of

    def run(data: bytes) -> None:
        _storable(boot_id_of({"journal.jsonl": data}))

    return run, ()


def _exit_record() -> tuple[Run, tuple[type[Exception], ...]]:
    from tunebench.harness.record.harvest import read_harvest
    from tunebench.targets.client.harvest_check import verify
    from tunebench.targets.errors import ReplyError

    def run(data: bytes) -> None:
        harvest = read_harvest({"exit.json": data})
        assert (harvest.exit_record is None) == bool(harvest.faults)
        _storable(harvest.faults)
        if harvest.exit_record is not None:
            _storable(harvest.exit_record.model_dump(mode="json"))
        verify({"exit.json": data, "log.txt": b"said\n"}, REP_ID)

    return run, (ReplyError,)


def _result() -> tuple[Run, tuple[type[Exception], ...]]:
    from tunebench.harness.record.harvest import read_harvest, trace_bytes
    from tunebench.reports.results.timeseries import read_trace

    def run(data: bytes) -> None:
        harvest = read_harvest(dict.fromkeys(("out/result.json", "out/marks.json", "samples.jsonl"), data))
        _storable(harvest.faults)
        if harvest.result is not None:
            _storable(harvest.result.model_dump(mode="json"))
        if harvest.marks is not None:
            _storable([harvest.marks.phases_s(), harvest.marks.window_phases_s()])
        stored = trace_bytes(harvest)
        if stored is not None:
            assert len(read_trace(stored.decode()).t_ns) == len(harvest.samples.rows)

    return run, ()


def _formats(*kinds: str) -> Callable[[], tuple[Run, tuple[type[Exception], ...]]]:
    def load() -> tuple[Run, tuple[type[Exception], ...]]:
        from tunebench.targets.agent.formats import read

        def run(data: bytes) -> None:
            text = data.decode("utf-8", "replace")
            for kind in kinds:
                reading = read(kind, text)
                _storable(reading._asdict())
                assert (reading.total_w is None) == (reading.reason is not None)
                assert (reading.total_w is None) == (reading.total_scope is None)
                assert all(channel["value"] is not None or channel["reason"] for channel in reading.channels)

        return run, ()

    return load


def _harvest() -> tuple[Run, tuple[type[Exception], ...]]:
    from pathlib import PurePosixPath

    from tunebench.targets.agent import protocol
    from tunebench.targets.client.harvest_check import MAX_FILES, unpack, verify
    from tunebench.targets.errors import ReplyError

    def run(data: bytes) -> None:
        files = unpack(data, hashlib.sha256(data).hexdigest())
        assert len(files) <= MAX_FILES
        for name, content in files.items():
            path = PurePosixPath(name)
            assert not path.is_absolute() and ".." not in path.parts and name.isprintable() and name
            assert len(content) <= min(len(data), protocol.MAX_FILE_B)
        verify(files, REP_ID)

    return run, (ReplyError,)


def _reply() -> tuple[Run, tuple[type[Exception], ...]]:
    from tunebench.targets.agent import protocol
    from tunebench.targets.agent import protocol as agent_protocol
    from tunebench.targets.client.replies import read_probe
    from tunebench.targets.sanitize import cleaned

    def run(data: bytes) -> None:
        line = data.decode("utf-8", "replace")
        try:
            _storable(agent_protocol.loads(line))
        except ValueError:
            pass
        message = protocol.decode_line(protocol.SENTINEL + line)
        assert message is not None
        _storable(cleaned(message))
        try:
            read_probe(message, 1)
        except ValueError as error:
            assert len(str(error)) < 5000

    return run, (protocol.ProtocolError,)


def _record() -> tuple[Run, tuple[type[Exception], ...]]:
    from tunebench.reports.results.layout import parse_lines
    from tunebench.reports.results.timeseries import read_meter, read_trace

    def run(data: bytes) -> None:
        repetitions, warnings = parse_lines(data)
        for repetition in repetitions:
            repetition.to_line().encode()
        _storable(warnings)
        for read in (read_trace, read_meter):
            try:
                trace = read(data.decode("utf-8", "replace"))
            except ValueError:
                continue
            assert isinstance(trace.t_ns if hasattr(trace, "t_ns") else trace.t_s, list)

    return run, ()


def _meter() -> tuple[Run, tuple[type[Exception], ...]]:
    from tunebench.targets.meters import csv_replay, serial_csv
    from tunebench.targets.meters.base import MeterError

    path = _scratch("logger.csv")
    spec = {
        "kind": "csv-replay",
        "scope": "board_input",
        "path": str(path),
        "time_column": 0,
        "voltage_column": 1,
        "current_column": 2,
    }

    def run(data: bytes) -> None:
        unwrapper = serial_csv.Unwrapper()
        for number, line in enumerate(data.split(b"\n")):
            sample = serial_csv.parse_line(line, number / 100)
            if not isinstance(sample, str):
                unwrapper.add(sample)
        path.write_bytes(data)
        meter = csv_replay.make(csv_replay.Keys.model_validate(spec))
        meter.open()
        meter.start()
        trace = meter.stop()
        assert len(trace.t_s) == len(trace.power_w)
        _storable([trace.t_s, trace.power_w, trace.errors])

    return run, (MeterError,)


SUBJECTS = (
    Subject("inventory", "toml", _inventory),
    Subject("suite", "toml", _suite),
    Subject("journal", "json", _journal),
    Subject("exit-record", "json", _exit_record),
    Subject("result", "json", _result),
    Subject("tegrastats", "text", _formats("tegrastats")),
    Subject("vcgencmd", "text", _formats("vcgencmd", "pmic", "throttled")),
    Subject("formats", "text", _formats("ina3221", "kasa", "nvpmodel", "shelly", "tasmota")),
    Subject("harvest", "tar", _harvest),
    Subject("reply", "json", _reply),
    Subject("record", "json", _record),
    Subject("meter", "text", _meter),
)


def subject(name: str) -> Subject:
    """Return the subject of that name."""
    return next(candidate for candidate in SUBJECTS if candidate.name == name)
