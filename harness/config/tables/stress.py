"""Read ``[[stressor]]`` and the stressors of workloads: what is put around a fine-tuning on purpose.

::

    [[stressor]]
    id = "two-busy"
    kind = "background-load"
    processes = 2

    [[workload]]
    dataset = "digits"
    model = "mlp"
    methods = ["ft-all", "skip2-lora"]
    stressors = ["two-busy", "low-memory"]    # a kind by its name has the defaults of its keys
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict, Field, model_validator

from tunebench.harness.config.tables.strict import StrictTable
from tunebench.reports.records import OPERATING_POINTS
from tunebench.targets.agent.tuning.stressors.kind import Key
from tunebench.targets.agent.tuning.stressors.table import KINDS, find_kind
from tunebench.targets.transport.traffic_shaping import PROFILES

#: The link between host and board is the host's to shape: the board's agent knows nothing of it.
SHAPED_LINK = "shaped-link"
_ON_HOST: Mapping[str, Mapping[str, Key]] = {
    SHAPED_LINK: {"link": Key("250k", words=tuple(PROFILES), about="a profile of shaped links")}
}


@dataclass(frozen=True)
class Stressor:
    """What is put around a fine-tuning on purpose.

    Attributes:
        ident: its name in the suite.
        params: all keys of its kind.
        quiet_task: the task with the same methods without it.
    """

    ident: str
    kind: str
    params: Mapping[str, Any]
    quiet_task: str = ""

    @property
    def on_host(self) -> bool:
        """Return whether the host applies it, not the board's agent."""
        return self.kind in _ON_HOST

    @property
    def task(self) -> str:
        """Return the task of the rows that are measured with it."""
        return f"{self.quiet_task} {'at' if self.kind in OPERATING_POINTS else 'under'} {self.ident}"

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for plan and series key."""
        return {"id": self.ident, "kind": self.kind, "params": dict(self.params)}


def kinds() -> tuple[str, ...]:
    """Return the kinds that a suite may name; operating points have keys of their own in a workload."""
    return (*(kind for kind in KINDS if kind not in OPERATING_POINTS), *_ON_HOST)


class StressorEntry(StrictTable):
    """One ``[[stressor]]``: an id, its kind, and the keys of that kind."""

    model_config = ConfigDict(extra="allow")

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$")
    kind: str

    @model_validator(mode="after")
    def _check(self) -> StressorEntry:
        _ = self.stressor
        return self

    @property
    def stressor(self) -> Stressor:
        """Return it with all its keys.

        Raises:
            ValueError: unknown kind or key, or a value that is not allowed.
        """
        if self.kind not in kinds():
            raise ValueError(f"unknown kind {self.kind!r}; allowed: {', '.join(kinds())}")
        return Stressor(self.id, self.kind, _settled(self.id, self.kind, self.model_extra or {}))


def stressors_of(entries: Sequence[StressorEntry]) -> dict[str, Stressor]:
    """Return id -> stressor: those of the suite, and each kind with its defaults under its own name.

    Raises:
        ValueError: an id is given twice.
    """
    usual = {kind: Stressor(kind, kind, _settled(kind, kind, {})) for kind in kinds()}
    given: dict[str, Stressor] = {}
    for entry in entries:
        if entry.id in given:
            raise ValueError(f"[[stressor]]: id {entry.id!r} is given twice")
        given[entry.id] = entry.stressor
    return {**usual, **given}


def operating_points(power_modes: Sequence[str], frequencies_mhz: Sequence[int]) -> list[Stressor]:
    """Return the operating points of a workload: power modes of a Jetson, or frequencies of a board's CPU.

    Raises:
        ValueError: one is no name or no frequency, is given twice, or both kinds are given.
    """
    if power_modes and frequencies_mhz:
        raise ValueError(
            "'power_modes' and 'frequencies_mhz' exclude each other: a mode sets frequencies itself"
        )
    points = [
        Stressor(mode, "power-mode", _settled("power_modes", "power-mode", {"mode": mode}))
        for mode in power_modes
    ]
    points += [
        Stressor(f"{mhz} MHz", "pinned-clock", _settled("frequencies_mhz", "pinned-clock", {"mhz": mhz}))
        for mhz in frequencies_mhz
    ]
    if len({point.ident for point in points}) < len(points):
        raise ValueError("'power_modes' and 'frequencies_mhz': one is given twice")
    return points


def check_stressors(names: Sequence[str], known: Mapping[str, Stressor]) -> None:
    """Refuse names of a workload that are no stressor's, or given twice.

    Raises:
        ValueError: says which, and what there is.
    """
    for name in names:
        if name not in known:
            raise ValueError(
                f"'stressors': no [[stressor]] has the id {name!r}, and no kind this name; there are: {', '.join(known)}"
            )
    if len(set(names)) < len(names):
        raise ValueError("'stressors': one is given twice")


def _settled(ident: str, kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all keys of a kind, with defaults."""
    keys = _ON_HOST[kind] if kind in _ON_HOST else find_kind(kind).keys
    for name in given:
        if name not in keys:
            raise ValueError(f"stressor {ident!r} has no key {name!r}; {kind} has: {', '.join(keys)}")
    values = {name: given.get(name, key.default) for name, key in keys.items()}
    for name, key in keys.items():
        if not key.fits(values[name]):
            raise ValueError(f"stressor {ident!r}: {name} is {values[name]!r}, allowed: {key.allowed}")
    return values
