"""What is told of a run as a whole: what was left out, looks, boards, and the manifest."""

from __future__ import annotations

from pydantic import Field

from tunebench.reports.records.record import Record
from tunebench.reports.records.repetition import Role

RUN_SCHEMA = "tunebench.run/1"
PLAN_SCHEMA = "tunebench.plan/1"
ENV_SCHEMA = "tunebench.env/1"


class Skip(Record):
    """What the plan left out, and why."""

    board_id: str
    label: str | None = Field(default=None, description="None: the whole board")
    task: str | None = None
    from_block: int | None = Field(
        default=None, description="only this block and those behind it: what came before had decided the task"
    )
    role: Role | None = Field(
        default=None, description="None: everything; energy: energy repetitions and their idle baselines only"
    )
    reason: str

    @property
    def of_whole_board(self) -> bool:
        """Tell whether nothing of the board is left."""
        return self.label is None and self.role is None and self.from_block is None


class LookTaken(Record):
    """One look at a task on a board, in a run that stops when it is decided: a line of ``looks.jsonl``."""

    board_id: str
    task: str
    blocks: int = Field(description="only blocks before this one were looked at")
    alpha: float = Field(description="what the look may spend: probability of any false difference at it")
    decided: dict[str, str] = Field(default_factory=dict, description="label -> verdict on its time")
    undecided: list[str] = Field(default_factory=list, description="labels whose verdict is open")
    not_compared: list[str] = Field(default_factory=list, description="labels without any block to compare")
    stops: bool = Field(description="nothing is open: the task is left out of the blocks that follow")


class BoardEnv(Record):
    """What a probe found on a board: ``env/<board>.before.json`` and ``.after.json``."""

    schema_: str = Field(default=ENV_SCHEMA, alias="schema")
    board_id: str
    t_utc: str
    fingerprint: dict[str, dict[str, object]] = Field(
        default_factory=dict, description="tiers: hardware, firmware, os, python"
    )
    channels: list[dict[str, object]] = Field(default_factory=list)
    missing: dict[str, str] = Field(default_factory=dict)
    env_sha256: str | None = None
    tuning: list[dict[str, object]] = Field(
        default_factory=list,
        description="what was set on the board for this run: op, state, before, after, how, reason",
    )

    def text(self, tier: str, key: str) -> str | None:
        """Return a text value of the fingerprint; None if it was not probed or is not a text."""
        value = self.fingerprint.get(tier, {}).get(key)
        return value if isinstance(value, str) else None


class RunManifest(Record):
    """``run.json``, written last: its presence says that the run is complete."""

    schema_: str = Field(default=RUN_SCHEMA, alias="schema")
    run_id: str
    lab: str
    suite: str
    level: str | None = None
    command: list[str] = Field(default_factory=list)
    tunebench: str
    started_utc: str
    ended_utc: str
    boards: list[str]
    blocks: int
    baselines: dict[str, str] = Field(default_factory=dict, description="task -> label of its baseline")
    delta: dict[str, float] = Field(default_factory=dict)
    counts: dict[str, int] = Field(default_factory=dict)
    skipped: list[Skip] = Field(default_factory=list)
    plan_sha256: str
    files: dict[str, str] = Field(default_factory=dict, description="path -> SHA-256 of every other file")
