"""Read what came back from a board as untrusted input: schema, types and sizes are checked here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from tunebench.reports.records import Conditions, Inference, Sampler
from tunebench.targets.agent import protocol
from tunebench.targets.client.replies import FormerLease
from tunebench.targets.sanitize import cleaned, printable

#: More than a day at ten samples a second.
_MAX_ROWS = 1_000_000
#: Ten times as many as our engines have.
_MAX_PHASES = 200
_MAX_NAME = 200
#: A larger exit record is not stored; names and hashes of a thousand files take a fifth of this.
MAX_EXIT_B = 1 << 20


#: A counter has 64 bits.
_Count = Annotated[int, Field(ge=0, lt=1 << 64)]


class _Untrusted(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, str_max_length=20_000)


def _number(value: object) -> float | None:
    """Return what a board sent as a number; ``None`` if it is none. The reader of JSON has refused nan and giants."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


class WatchdogEntry(_Untrusted):
    """What the thermal watchdog did; a value of another form counts as not told.

    Attributes:
        limit_c: where it ends the workload.
        tripped_c: the temperature at which it did; None where it did not.
        passive_trip_c: where the kernel begins to throttle, if the board says so.
    """

    limit_c: float | None = None
    tripped_c: float | None = None
    passive_trip_c: float | None = None

    @field_validator("*", mode="before")
    @classmethod
    def _number_or_none(cls, value: Any) -> Any:
        return _number(value)


class Notice(_Untrusted):
    """What the agent noted; ``code`` names a gate or another kind of notice."""

    code: str | None = None
    message: str = ""

    @field_validator("code", mode="before")
    @classmethod
    def _text_or_none(cls, value: Any) -> Any:
        return value[:_MAX_NAME] if isinstance(value, str) else None

    @field_validator("message", mode="before")
    @classmethod
    def _text(cls, value: Any) -> str:
        return str(value)[:_MAX_NAME]


class Pulses(_Untrusted):
    """The board's account of the load pulses before and after the window, which the meter's alignment reads."""

    before: dict[str, object] | None = None
    after: dict[str, object] | None = None

    @field_validator("*", mode="before")
    @classmethod
    def _object_or_none(cls, value: Any) -> Any:
        return value if isinstance(value, dict) else None


_Figures = Annotated[dict[Annotated[str, Field(max_length=64)], float], Field(max_length=16)]


class StressorEntry(_Untrusted):
    """What became of the stressor that the job asked for."""

    applied: _Figures | None = None
    verified: _Figures | None = None
    held: bool = False
    reason: str | None = Field(default=None, max_length=1000)


class ExitRecord(_Untrusted):
    """``exit.json``: how the repetition ended, as the agent saw it."""

    rep_id: str
    outcome: Literal["ok", "failed", "deadline", "oom", "killed", "diverged", "lost"]
    reason: str | None = None
    returncode: int | None = None
    utc_start: str | None = Field(default=None, max_length=40)
    process_s: float | None = Field(default=None, ge=0)
    peak_rss_b: int | None = Field(default=None, ge=0)
    sampler: Sampler | None = None
    conditions: Conditions = Conditions()
    missing: dict[str, str] = Field(default_factory=dict, max_length=64)
    counters: dict[str, dict[str, int | None]] = Field(default_factory=dict, max_length=8)
    warnings: list[Notice] = Field(default_factory=list, max_length=64)
    watchdog: WatchdogEntry | None = None
    pulses: Pulses | None = None
    stressor: StressorEntry | None = None
    lease_taken_over_from: FormerLease | None = None


class PmuCounts(_Untrusted):
    """What the workload read from its counters.

    Attributes:
        counts: event -> count, nanoseconds switched on, nanoseconds of these in which it was counted; over all threads.
        core_pmus: kinds of cores with counters of their own; 0: not named.
        reason: why there are none.
    """

    counts: dict[str, tuple[_Count, _Count, _Count]] = Field(default_factory=dict, max_length=16)
    core_pmus: int = 0
    reason: str | None = Field(default=None, max_length=1000)


class PartTime(_Untrusted):
    """What the part of a network before a cut took on the board, alone.

    Attributes:
        window_ns: of its calls in an energy repetition, on the board's CLOCK_MONOTONIC.
    """

    cut: str = Field(max_length=128)
    device_s: float = Field(ge=0)
    calls: int = Field(ge=1)
    window_ns: tuple[int, int] | None = None


class WorkloadResult(_Untrusted):
    """``out/result.json``: what the workload says of itself."""

    outcome: Literal["ok", "diverged", "failed"] = "ok"
    reason: str | None = None
    metric: str = Field(default="accuracy", max_length=64)
    before: float | None = None
    after: float | None = None
    n_items: int | None = Field(default=None, ge=0)
    loss_first: float | None = None
    loss_final: float | None = None
    losses: list[float] = Field(default_factory=list, max_length=100_000)
    curve: list[tuple[int, float, float]] = Field(default_factory=list, max_length=10_000)
    steps: int | None = Field(default=None, ge=0)
    params_total: int | None = Field(default=None, ge=0)
    params_trainable: int | None = Field(default=None, ge=0)
    update_b: int | None = Field(default=None, ge=0)
    optimizer_state_b: int | None = Field(default=None, ge=0)
    cache_b: int | None = Field(default=None, ge=0)
    cache_hit_ratio: float | None = Field(default=None, ge=0, le=1)
    peak_rss_b: int | None = Field(default=None, ge=0)
    engine_version: str | None = Field(default=None, max_length=200)
    python: str | None = Field(default=None, max_length=64)
    check: dict[str, Any] | None = Field(default=None, max_length=64)
    madds: dict[str, int] | None = Field(default=None, max_length=16)
    metrics: dict[str, Any] = Field(default_factory=dict, max_length=256)
    repeats: int | None = Field(default=None, ge=0)
    repeats_s: list[Annotated[float, Field(ge=0)]] = Field(default_factory=list, max_length=100_000)
    pmu: PmuCounts | None = None
    inference: Inference | None = None
    parts: list[PartTime] = Field(default_factory=list, max_length=512)
    missing: dict[str, str] = Field(default_factory=dict, max_length=64)


@dataclass(frozen=True)
class SampledChannel:
    """A column of the samples, as the board described it; a value of another form counts as not told.

    Attributes:
        id: unique on the board.
        kind: temperature, frequency, load, memory, power, energy, throttle.
        scope: of a power: ``board_input``, ``module``, ``rails_sum``, ``soc_rail``.
        source: driver and file that it is read from.
        site: where it is measured; rails that were added up are joined by ``+``.
        quantum: smallest step of the sensor, in the channel's unit.
        rate_hz: how often the source can sensibly be read.
        wrap_j: of a cumulative counter: where it begins again.
        corrected: whether the sensor's known errors were taken out.
        described: all that the board said of it, as the trace keeps it.
    """

    id: str | None = None
    kind: str | None = None
    scope: str | None = None
    source: str | None = None
    site: str | None = None
    quantum: float | None = None
    rate_hz: float | None = None
    wrap_j: float | None = None
    corrected: bool = False
    described: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def read(cls, described: Mapping[str, object]) -> Self:
        """Read a description; nothing is raised for what is of another form."""

        def text(name: str) -> str | None:
            value = described.get(name)
            return str(value) if value else None

        def positive(name: str) -> float | None:
            number = _number(described.get(name))
            return number if number is not None and number > 0 else None

        return cls(
            id=text("id"),
            kind=text("kind"),
            scope=text("scope"),
            source=text("source"),
            site=text("site"),
            quantum=positive("quantum"),
            rate_hz=positive("rate_hz"),
            wrap_j=positive("wrap_j"),
            corrected=described.get("corrected") is True,
            described=described,
        )


@dataclass(frozen=True)
class Samples:
    """The samples of one repetition.

    Attributes:
        rows: ``[t_ns, value, ...]``, a value for each channel; None where it was not read.
        period_s: seconds between two samples, as the board meant it.
    """

    channels: tuple[SampledChannel, ...] = ()
    rows: list[list[float | None]] = field(default_factory=list)
    period_s: float | None = None


@dataclass(frozen=True)
class Harvested:
    """The files of one repetition, parsed; what could not be parsed is named in ``faults``.

    Attributes:
        exit_kept: the exit record as it is stored; None without one, and where it is too large to be kept.
    """

    exit_record: ExitRecord | None
    result: WorkloadResult | None
    marks: protocol.Marks | None
    samples: Samples
    log: bytes | None
    preds: bytes | None
    exit_kept: bytes | None = None
    faults: tuple[str, ...] = ()

    @property
    def lost(self) -> bool:
        """Tell whether the board lost it: there is no exit record, or that of an agent which was ended from outside."""
        return self.exit_record is None or self.exit_record.outcome == "lost"


def read_harvest(files: Mapping[str, bytes]) -> Harvested:
    """Parse everything that is there; what cannot be parsed is named in ``faults``, and nothing is raised for it."""
    faults: list[str] = []

    def attempt(name: str, parse: Any) -> Any:
        if name not in files:
            return None
        try:
            return parse(files[name].decode("utf-8", errors="strict"))
        except (protocol.ProtocolError, UnicodeDecodeError, ValidationError) as error:
            faults.append(f"{name}: {_error_text(error)}")
            return None

    exit_record = attempt("exit.json", read_exit)
    result = attempt(
        "out/result.json", lambda text: _model(WorkloadResult, text, protocol.RESULT_SCHEMA, "result")
    )
    marks = attempt("out/marks.json", _marks)
    preds = attempt("out/preds.jsonl", _preds)
    samples = attempt("samples.jsonl", read_samples) or Samples()
    return Harvested(
        exit_record=exit_record,
        result=result,
        marks=marks,
        samples=samples,
        log=files.get("log.txt"),
        preds=preds,
        exit_kept=_kept(files["exit.json"]) if exit_record is not None else None,
        faults=tuple(faults),
    )


def read_exit(text: str) -> ExitRecord:
    """Return an exit record, held against its schema.

    Raises:
        ProtocolError, ValidationError: the text is none.
    """
    return cast(ExitRecord, _model(ExitRecord, text, protocol.EXIT_SCHEMA, "exit record"))


def _kept(exit_json: bytes) -> bytes | None:
    """Return what is stored of an exit record: all of it, but for the token of a lease that was taken over."""
    if len(exit_json) > MAX_EXIT_B:
        return None
    content = protocol.loads(exit_json.decode())
    lease = content.get("lease_taken_over_from")
    owner = lease.get("owner") if isinstance(lease, dict) else None
    if not isinstance(owner, dict) or "token" not in owner:
        return exit_json
    del owner["token"]
    return json.dumps(content, sort_keys=True).encode()


def _model(model: type[BaseModel], text: str, schema: str, what: str) -> BaseModel:
    value = protocol.check_schema(protocol.parse_object(text, what), schema, what)
    return model.model_validate(cleaned(value))


def _marks(text: str) -> protocol.Marks:
    marks = protocol.read_marks(text)
    shown = {phase: printable(phase)[:_MAX_NAME] for phase in {phase for _, phase in marks.events}}
    if len(shown) > _MAX_PHASES:
        raise protocol.ProtocolError(f"marks: {len(shown)} phases, at most {_MAX_PHASES} are accepted")
    return protocol.Marks(marks.window_ns, [(t_ns, shown[phase]) for t_ns, phase in marks.events])


def _preds(text: str) -> bytes:
    """Return the predictions as they came; each line is read once, so that what is stored can be read again."""
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            row = protocol.loads(line)
        except ValueError:
            row = None
        if not _is_prediction(row):
            raise protocol.ProtocolError(f"line {number} is not [index, label, before, after]")
    return text.encode()


def _is_prediction(row: Any) -> bool:
    """Tell whether a row is a prediction; before and after may be null, since an own method need not predict both."""
    return (
        isinstance(row, list)
        and len(row) == 4
        and all(isinstance(value, int | float) for value in row[:2])
        and all(value is None or isinstance(value, int | float) for value in row[2:])
    )


def _error_text(error: Exception) -> str:
    """Return an error as one printable line."""
    if isinstance(error, ValidationError):
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        return printable(f"{where[:200]}: {problem['msg']}")
    return printable(str(error).replace("\n", " ")[:300])


def read_samples(text: str) -> Samples:
    """Return what ``samples.jsonl`` holds; a torn last line is dropped.

    Raises:
        ProtocolError: it does not fit the schema, or is too long.
    """
    lines = text.split("\n")
    header = protocol.check_schema(
        protocol.parse_object(lines[0], "samples header"), protocol.SAMPLES_SCHEMA, "samples header"
    )
    channels = cleaned(header.get("channels"))
    if not isinstance(channels, list) or not all(isinstance(channel, dict) for channel in channels):
        raise protocol.ProtocolError("samples header: 'channels' must be a list of objects")
    rows: list[list[float | None]] = []
    body = [line for line in lines[1:] if line]
    if len(body) > _MAX_ROWS:
        raise protocol.ProtocolError(f"samples: {len(body)} rows, at most {_MAX_ROWS} are accepted")
    for number, line in enumerate(body):
        try:
            row = protocol.loads(line)
        except ValueError:
            if number == len(body) - 1:
                break
            raise protocol.ProtocolError(f"samples: line {number + 2} is not JSON") from None
        if not _is_row(row, len(channels) + 1):
            raise protocol.ProtocolError(f"samples: line {number + 2} is not [t_ns, {len(channels)} values]")
        rows.append(row)
    return Samples(
        tuple(SampledChannel.read(channel) for channel in channels),
        rows,
        _number(header.get("period_s")),
    )


def _is_row(row: Any, width: int) -> bool:
    return (
        isinstance(row, list)
        and len(row) == width
        and type(row[0]) is int
        and all(value is None or type(value) in (int, float) for value in row)
    )


def trace_bytes(harvested: Harvested) -> bytes | None:
    """Return the trace as it is stored: samples, and the marks that cut them; ``None`` if there are no samples."""
    samples = harvested.samples
    if not samples.rows:
        return None
    header = {
        "schema": "tunebench.trace/1",
        "period_s": samples.period_s,
        "channels": [channel.described for channel in samples.channels],
        "window_ns": list(harvested.marks.window_ns) if harvested.marks else None,
        "events": thin_events(harvested.marks) if harvested.marks else [],
    }
    lines = [json.dumps(header, sort_keys=True)] + [json.dumps(row) for row in samples.rows]
    return ("\n".join(lines) + "\n").encode()


def thin_events(marks: protocol.Marks, limit: int = 2000) -> list[list[Any]]:
    """Return the marks for drawing: all of them, or where they are too many only those outside the window."""
    if len(marks.events) <= limit:
        return [[t_ns, phase] for t_ns, phase in marks.events]
    start_ns, end_ns = marks.window_ns
    outside = [[t_ns, phase] for t_ns, phase in marks.events if t_ns < start_ns or t_ns >= end_ns]
    return sorted([*outside, [start_ns, "finetune"]])
