"""``tunebench doctor``: whether a board can be measured, what stays empty and why, and what would fill it."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tunebench.harness.artifacts.gather import build_payload
from tunebench.harness.board import meter as board_meter
from tunebench.harness.config.inventory import BoardEntry
from tunebench.harness.errors import EXIT_INFRA, EXIT_OK, EXIT_PARTIAL, UsageError
from tunebench.harness.lab.permissions import fixes
from tunebench.harness.planning import limits
from tunebench.reports.formatting.output import STDOUT, OutputError, refuse_folder, write_output
from tunebench.targets.boards import kind_of, match
from tunebench.targets.client.board import Board
from tunebench.targets.client.examination import Examination
from tunebench.targets.client.replies import CaptureSummary, Interpreter, Probe, TrialEnd
from tunebench.targets.errors import (
    AuthError,
    HostKeyError,
    IncompatibleError,
    InterpreterError,
    ReplyError,
    SshConfigError,
    TargetError,
    UnreachableError,
    WorkdirError,
)
from tunebench.targets.payload import deterministic_zip
from tunebench.targets.sanitize import one_line

SCHEMA = "tunebench.doctor/1"
MANIFEST = "bundle.json"
_TOPS = ("sys", "proc", "etc", "var", "usr", ".commands")
#: The order in which a board is reached; a failure of one says that those before it are fine.
_WAY: tuple[tuple[str, type[TargetError] | tuple[type[TargetError], ...]], ...] = (
    ("reachable", (UnreachableError, SshConfigError, IncompatibleError)),
    ("host key", HostKeyError),
    ("login", AuthError),
    ("python", InterpreterError),
    ("workdir", WorkdirError),
)

State = Literal["ok", "warn", "fail", "unknown"]


@dataclass(frozen=True)
class DoctorCheck:
    """One line of the diagnosis."""

    name: str
    state: State
    message: str


@dataclass
class Diagnosis:
    """The diagnosis of one board."""

    board_id: str
    kind: str
    checks: list[DoctorCheck] = field(default_factory=list)
    model: str | None = None
    channels: list[str] = field(default_factory=list)
    empty: dict[str, str] = field(default_factory=dict)
    examination: Examination | None = None

    @property
    def measurable(self) -> bool:
        """Return whether nothing failed and everything was looked at."""
        return all(check.state in ("ok", "warn") for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        rights = self.examination
        return {
            "board_id": self.board_id,
            "kind": self.kind,
            "measurable": self.measurable,
            "checks": [vars(check) for check in self.checks],
            "model": self.model,
            "channels": self.channels,
            "empty": self.empty,
            "user": rights.user if rights else None,
            "groups": rights.groups if rights else [],
            "devices": [device.model_dump() for device in rights.devices] if rights else [],
            "tuning": [
                {**row.model_dump(exclude={"commands"}), "sudoers": rights.sudoers(row)}
                for row in rights.tuning
            ]
            if rights
            else [],
            "fixes": fixes(rights) if rights else [],
        }


def examine_all(chosen: Sequence[BoardEntry]) -> list[Diagnosis]:
    """Examine boards in parallel."""
    payload = build_payload()
    with ThreadPoolExecutor(max_workers=max(1, len(chosen))) as pool:
        return list(pool.map(lambda entry: diagnose(entry, payload), chosen))


def exit_code(diagnoses: Sequence[Diagnosis]) -> int:
    """Return 0 if all boards can be measured, 4 if none can, 3 in between."""
    usable = sum(diagnosis.measurable for diagnosis in diagnoses)
    if usable == len(diagnoses):
        return EXIT_OK
    return EXIT_PARTIAL if usable else EXIT_INFRA


def diagnose(entry: BoardEntry, payload: Any) -> Diagnosis:
    """Do what a repetition does up to its start, and report how far that succeeds; nothing on the board is changed."""
    diagnosis = Diagnosis(entry.id, entry.kind)
    meter = _meter(entry)
    try:
        with Board(entry.spec()) as board:
            board.sync([payload])
            probe = board.probe([list(board.spec.interpreter)], None)
            rights = board.examine(entry.tuning.wanted())
            tried = _tried(board, probe)
    except TargetError as error:
        diagnosis.checks = [*_how_far(error), *meter]
        return diagnosis
    diagnosis.examination = rights
    name = probe.hardware.get("model")
    diagnosis.model = _clean(name) if name else None
    diagnosis.channels = [_clean(channel.id) for channel in probe.channels]
    diagnosis.empty = {_clean(quantity): _clean(reason) for quantity, reason in probe.missing.items()}
    known = match(probe.hardware)
    if "power" in diagnosis.empty:
        diagnosis.empty["power"] += f" ({known.name}: {known.needs_meter})" if known.needs_meter else ""
    diagnosis.checks = [
        *_way_is_free(entry, probe, rights),
        *_state(probe),
        *_counters(probe),
        *(_survival(trial) for trial in tried),
        *_wishes(rights),
        *meter,
    ]
    return diagnosis


def _how_far(error: TargetError) -> list[DoctorCheck]:
    """Return the checks that passed, the one that failed, and those that are unknown because of it."""
    checks: list[DoctorCheck] = []
    failed = next((name for name, kind in _WAY if isinstance(error, kind)), None)
    for name, _ in _WAY:
        if name == failed:
            checks.append(DoctorCheck(name, "fail", _clean(error)))
        elif failed is None or any(check.state == "fail" for check in checks):
            checks.append(DoctorCheck(name, "unknown", "not looked at"))
        else:
            checks.append(DoctorCheck(name, "ok", ""))
    if failed is None:
        checks.append(DoctorCheck("agent", "fail", _clean(error)))
    return checks


def _way_is_free(entry: BoardEntry, probe: Probe, rights: Examination) -> list[DoctorCheck]:
    free_b = probe.disk_free_b
    enough = free_b is not None and free_b >= limits.MIN_FREE_B
    shown = f"{free_b / 1e9:.1f} GB free" if free_b is not None else "unknown"
    return [
        DoctorCheck("reachable", "ok", entry.host or "this machine"),
        DoctorCheck(
            "host key", "ok", "its own" if kind_of(entry.kind).host_itself else "the one that is known"
        ),
        DoctorCheck("login", "ok", f"as {_clean(rights.user)}"),
        DoctorCheck("python", "ok", f"{_clean(probe.agent_python)} runs the agent"),
        _workdir(probe, rights),
        DoctorCheck("disk", "ok" if enough else "fail", f"{shown}; at least {limits.MIN_FREE_B >> 20} MiB"),
        *(_interpreter(interpreter) for interpreter in probe.interpreters[:4]),
    ]


def _workdir(probe: Probe, rights: Examination) -> DoctorCheck:
    if probe.noexec is None:
        return DoctorCheck("workdir", "ok", _clean(rights.workdir))
    text = f"{rights.workdir}: {probe.noexec} is mounted noexec: own programs, compiled kernels, environments fail there"
    return DoctorCheck("workdir", "warn", _clean(text))


def _interpreter(interpreter: Interpreter) -> DoctorCheck:
    words, python = _clean(interpreter.words), _clean(interpreter.python)
    if not interpreter.ok:
        return DoctorCheck("interpreter", "fail", f"{words}: {_clean(interpreter.reason)}")
    if not interpreter.torch:
        reason = _clean(interpreter.reason or "not installed")
        return DoctorCheck("interpreter", "warn", f"{words}: Python {python}, no torch: {reason}")
    return DoctorCheck("interpreter", "ok", f"{words}: Python {python}, torch {_clean(interpreter.torch)}")


def _state(probe: Probe) -> list[DoctorCheck]:
    checks = []
    if probe.lease is not None:
        owner = probe.lease.owner
        whose = f"{owner.user}@{owner.host} for {probe.lease.expires_in_s} s more"
        checks.append(DoctorCheck("lease", "warn", f"held by {_clean(whose)}"))
    if probe.undo_pending:
        checks.append(
            DoctorCheck("undo list", "warn", "a run left the board tuned; the next one puts it back")
        )
    return checks


def _counters(probe: Probe) -> list[DoctorCheck]:
    """Tell whether the CPU counts instructions; a warning only where a command would allow it."""
    names = ", ".join(_clean(name).replace("_", " ") for name in probe.pmu)
    if "instructions" in probe.pmu:
        return [DoctorCheck("instructions", "ok", f"yes: {names}")]
    reason = _clean(probe.missing.get("instructions", ""))
    return [DoctorCheck("instructions", "warn", f"no: {reason}")] if "`" in reason else []


def _tried(board: Board, probe: Probe) -> list[TrialEnd]:
    """Return the trials of the board's interpreter; none where it has no transformers, whose engine alone needs them."""
    interpreter = next(iter(probe.interpreters), None)
    if interpreter is None or not interpreter.transformers:
        return []
    return board.trials(list(board.spec.interpreter))


def _survival(trial: TrialEnd) -> DoctorCheck:
    """Say which steps a package survived; a warning where it died, since all else can be measured."""
    what = f"{_clean(trial.package)} {_clean(trial.version)}" if trial.version else _clean(trial.package)
    survived = ", ".join(map(_clean, trial.survived)) or "nothing"
    if trial.died_in is None:
        return DoctorCheck(_clean(trial.name), "ok", f"{what} survives {survived} ({trial.seconds:.1f} s)")
    text = f"{what} dies in {_clean(trial.died_in)}: {_clean(trial.reason)}; it survived {survived}"
    return DoctorCheck(_clean(trial.name), "warn", text)


def _wishes(rights: Examination) -> list[DoctorCheck]:
    """Return a warning for each setting that ``[board.tuning]`` asks for and the board cannot have."""
    checks = []
    for row in rights.tuning:
        if row.asked and (row.reason or row.how is None):
            reason = row.reason or "needs root; see below for the lines that sudoers would need"
            checks.append(DoctorCheck(f"tuning: {row.op}", "warn", _clean(reason)))
    return checks


def _meter(entry: BoardEntry) -> list[DoctorCheck]:
    """Read the board's external meter for a moment; without it the board can be measured, its energy cannot."""
    meter = board_meter.describe(entry.meter)
    return [] if meter is None else [DoctorCheck("meter", "ok" if meter.ok else "warn", _clean(meter.text))]


def _clean(value: Any) -> str:
    """Make a board's text fit for a terminal: bounded, printable, on one line."""
    return one_line(str(value)[:1000])


def text(diagnosis: Diagnosis) -> str:
    """Return the diagnosis for a person."""
    head = "can be measured" if diagnosis.measurable else "CANNOT be measured"
    lines = [f"{diagnosis.board_id}: {head}" + (f" ({diagnosis.model})" if diagnosis.model else "")]
    width = max(len(check.name) for check in diagnosis.checks)
    lines += [
        f"  {check.state:<7} {check.name:<{width}}  {check.message}".rstrip() for check in diagnosis.checks
    ]
    if diagnosis.channels:
        lines.append("  sensors: " + ", ".join(diagnosis.channels))
    if diagnosis.empty:
        lines.append("  stays empty, and why:")
        lines += [f"    {name}: {reason}" for name, reason in diagnosis.empty.items()]
    rights = diagnosis.examination
    if rights is not None:
        lines.append("  tuning:")
        ways = {"direct": "possible without root", "sudo": "possible through sudo"}
        for row in rights.tuning:
            way = ways.get(row.how or "", "needs root") if row.available else _clean(row.reason)
            lines.append(f"    {row.op:<14} {way}")
        todo = fixes(rights)
        if todo:
            lines.append("  what would fill it (on the board, by someone who is root there):")
            lines += [f"    {line}" for line in todo]
    return "\n".join(lines)


# -- bundles ---------------------------------------------------------------------------------------


def make_bundle(entry: BoardEntry, path: Path) -> dict[str, Any]:
    """Write a redacted capture of a board's sensor tree as a zip; unpacked, it is a ``simulated_root``.

    Returns:
        what is in it: ``files``, ``bytes``, ``areas``, ``programs``, ``redacted``, ``left_out``.

    Raises:
        UsageError: the file cannot be written.
        TargetError: the board cannot be reached, or its answer is not of the agreed form.
    """
    try:
        refuse_folder(path, "--bundle")
    except OutputError as error:
        raise UsageError(str(error)) from None
    with Board(entry.spec()) as board:
        board.sync([build_payload()])
        capture, files = board.bundle()
    summary = _summary(capture, files, entry.id)
    manifest = json.dumps(summary, indent=2, sort_keys=True).encode() + b"\n"
    data = deterministic_zip({**files, MANIFEST: manifest})
    if path == STDOUT:
        write_output(path, data, "--bundle")
        return summary
    try:
        path.write_bytes(data)
        with zipfile.ZipFile(path) as archive:
            archive.testzip()
    except OSError as error:
        raise UsageError(f"--bundle {path}: cannot be written: {error.strerror or error}") from None
    return summary


def _summary(capture: CaptureSummary, files: Mapping[str, bytes], board_id: str) -> dict[str, Any]:
    """Count what is in a bundle; what was taken out and left out only the board knows."""
    areas: Counter[str] = Counter()
    for name in files:
        parts = name.split("/")
        if parts[0] not in _TOPS or MANIFEST in parts:
            raise ReplyError(f"{board_id}: bundle: {name[:200]!r} is no place of ours")
        areas["/".join(parts[: 3 if parts[0] == "sys" else 1])] += 1
    return {
        "schema": "tunebench.bundle/1",
        "files": len(files),
        "bytes": sum(map(len, files.values())),
        "areas": dict(sorted(areas.items())),
        "programs": sorted(
            name.removeprefix(".commands/") for name in files if name.startswith(".commands/")
        ),
        "redacted": {_clean(kind): count for kind, count in capture.redacted.items()},
        "left_out": [
            {"name": _clean(file.name), "reason": _clean(file.reason)} for file in capture.left_out[:200]
        ],
    }


def bundle_text(summary: Mapping[str, Any], path: Path) -> str:
    """Return what is in a bundle, for the person who will send it."""
    lines = [f"{path}: {summary['files']} files, {summary['bytes']} bytes"]
    lines += [f"  {area}: {n}" for area, n in summary["areas"].items() if area != ".commands"]
    lines += ["  answers of programs: " + (", ".join(summary["programs"]) or "none")]
    taken = ", ".join(f"{n} {kind}" for kind, n in summary["redacted"].items())
    lines += ["  taken out: " + (taken or "nothing had to be")]
    lines += [f"  left out: {file['name']}: {file['reason']}" for file in summary["left_out"][:20]]
    lines += ["  Look through it before you send it: unzip it and read; it is text."]
    return "\n".join(lines)
