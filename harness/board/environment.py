"""What a campaign learns of a board and says of it: what it is, what it cannot run, who holds it."""

from __future__ import annotations

import getpass
import hashlib
import os
import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tunebench.harness.board.tuning import Change, as_records
from tunebench.harness.config.inventory import BoardEntry
from tunebench.harness.config.suite import Workload, canonical_json
from tunebench.harness.record.energy.board import widest
from tunebench.reports.records import BoardEnv
from tunebench.reports.results.drift import changes

#: Keys of the hardware tier that differ from boot to boot of one machine.
_NOT_THE_MACHINE = ("ram_b", "cores_online")


def owner(token: str) -> dict[str, Any]:
    """Who takes leases and writes undo lists.

    Args:
        token: whoever shows it owns the lease: a run's id, so that whoever resumes the run owns its leases.
    """
    return {"user": _user(), "host": socket.gethostname(), "pid": os.getpid(), "token": token}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def unable(cell: Workload, interpreter: Mapping[str, Any], words: Sequence[str]) -> str | None:
    """Why a probed interpreter cannot run a cell; ``None`` if it can."""
    name = " ".join(words)
    if not interpreter.get("ok"):
        return f"interpreter {name!r}: {interpreter.get('reason') or 'it does not start'}"
    if cell.needs_torch and not interpreter.get("torch"):
        return f"interpreter {name!r} has no usable torch: {interpreter.get('reason') or 'not installed'}"
    if cell.device == "cuda" and not interpreter.get("cuda"):
        return f"interpreter {name!r}: its torch sees no CUDA device"
    return None


def no_power_source(entry: BoardEntry, probe: Mapping[str, Any]) -> str | None:
    """Why nothing tells this board's power; ``None`` if a sensor or a meter does."""
    channels = probe.get("channels") or []
    if entry.meter is not None or widest([one for one in channels if isinstance(one, dict)]) is not None:
        return None
    missing = probe.get("missing") or {}
    told = missing.get("power") if isinstance(missing, dict) else None
    return f"{str(told or 'no power sensor was found')[:300]}; the inventory names no meter"


def board_env(board_id: str, probe: Mapping[str, Any], tuned: Sequence[Change] = ()) -> BoardEnv:
    """A probe as it is stored: the fingerprint with the interpreters in its python tier."""
    fingerprint = {tier: dict(values) for tier, values in (probe.get("fingerprint") or {}).items()}
    interpreters = probe.get("interpreters") or []
    if interpreters:
        first = interpreters[0]
        fingerprint.setdefault("python", {}).update(
            {key: first.get(key) for key in ("python", "torch", "cuda") if key in first}
        )
    for name in ("governor", "power_mode"):
        if probe.get(name) is not None:
            fingerprint.setdefault("os", {})[name] = probe[name]
    return BoardEnv(
        board_id=board_id,
        t_utc=utc_now(),
        fingerprint=fingerprint,
        channels=list(probe.get("channels") or []),
        missing=dict(probe.get("missing") or {}),
        env_sha256=hashlib.sha256(canonical_json(fingerprint).encode()).hexdigest(),
        tuning=as_records(tuned),
    )


def replaced(before: BoardEnv | None, now: BoardEnv) -> str | None:
    """Why a run must not go on here: another machine answers under the board's name; None if it is the same.

    What changes without another machine (firmware, kernel, interpreters, cores that are offline, memory that the
    firmware takes) degrades the records instead: :mod:`tunebench.reports.results.drift`.
    """
    if before is None:
        return None
    told = [
        f"{one['key']}: {one['before']} -> {one['after']}"
        for one in changes(before, now)
        if one["tier"] == "hardware" and one["key"] not in _NOT_THE_MACHINE
    ]
    return f"it is not the board that the run was begun on: {'; '.join(told)}" if told else None


def utc_now() -> str:
    """``2026-11-21T07:45:00Z``: to order things by, never to take durations from."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
