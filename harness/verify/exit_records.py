"""Read what a run kept of a repetition beside its record, as its judge saw it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from pydantic import ValidationError

from tunebench.harness.record.harvest import ExitRecord, read_exit
from tunebench.harness.verify.discrepancy import Discrepancy, RecordLine
from tunebench.reports.records import Repetition
from tunebench.reports.results.layout import ResultsError
from tunebench.reports.results.reader import RunReader
from tunebench.targets.agent.protocol import ProtocolError

_FREQUENCY, _CLOCK = "cpu_freq_hz", "cpu_clock_hz"


@dataclass(frozen=True)
class Kept:
    """What a run kept of one repetition beside its record.

    Attributes:
        exit_record: the board's, as its judge saw it; None where the board had none.
        freq_median_hz: median CPU clock in the measured window, from the trace.
        clock_median_hz: the same, as the board's firmware measured it.
        whole: whether everything that the verdict was made from is there.
        faults: what is there and contradicts the record.
    """

    exit_record: ExitRecord | None = None
    freq_median_hz: float | None = None
    clock_median_hz: float | None = None
    whole: bool = False
    faults: tuple[Discrepancy, ...] = ()


def whole(rep: Repetition) -> bool:
    """Return whether a record was written with everything that its verdict was made from."""
    return rep.seen is not None and "exit" not in rep.missing


def read_kept(reader: RunReader, line: RecordLine) -> Kept:
    """Read what a run kept of a repetition; what is damaged is named among the faults, and judged without."""
    if not whole(line.record):
        return Kept()
    try:
        text = reader.exit_record(line.record)
        freq_hz, clock_hz = (_median_hz(reader, line.record, name) for name in (_FREQUENCY, _CLOCK))
    except (ResultsError, OSError):
        return Kept()  # files.side_files names it
    if text is None:
        if line.record.process_s is None:
            return Kept(whole=True)
        message = "it ran to an end, and the board's exit record is not named"
        return Kept(faults=(line.discrepancy("exit-record", message),))
    try:
        record = read_exit(text)
    except (ProtocolError, ValidationError) as error:
        message = f"{line.record.exit}: {str(error).splitlines()[0][:200]}"
        return Kept(faults=(line.discrepancy("exit-record", message),))
    return Kept(record, freq_hz, clock_hz, True, tuple(_differences(line, record)))


def _median_hz(reader: RunReader, rep: Repetition, channel_id: str) -> float | None:
    trace = reader.trace(rep)
    names = [channel.id for channel in trace.channels] if trace else []
    if trace is None or trace.window_ns is None or channel_id not in names:
        return None
    start_ns, end_ns = trace.window_ns
    column = zip(trace.t_ns, trace.values[names.index(channel_id)], strict=True)
    values = [value for t_ns, value in column if start_ns <= t_ns <= end_ns and value is not None]
    return median(values) if values else None


def _differences(line: RecordLine, record: ExitRecord) -> Iterator[Discrepancy]:
    """Compare a record with the exit record that it was made from."""
    rep = line.record
    pairs = (
        ("rep_id", rep.rep_id, record.rep_id),
        ("process_s", rep.process_s, record.process_s),
        ("t_start_utc", rep.t_start_utc, record.utc_start),
        ("conditions", rep.conditions, record.conditions),
        ("sampler.n", rep.sampler and rep.sampler.n, record.sampler and record.sampler.n),
        (
            "sampler.max_gap_s",
            rep.sampler and rep.sampler.max_gap_s,
            record.sampler and record.sampler.max_gap_s,
        ),
    )
    for name, here, there in pairs:
        if here != there:
            yield line.discrepancy("exit-record", f"{name} differs from the one in {rep.exit}")
    if record.outcome not in ("ok", rep.outcome):
        yield line.discrepancy(
            "exit-record", f"outcome is {rep.outcome!r}, {rep.exit} says {record.outcome!r}"
        )
