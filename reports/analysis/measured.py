"""What was measured in a run, typed: the part of the summary that is made from records, without studies or words.

Fields stand in the order of the public JSON. Names end in their unit: ``_s`` seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tunebench.reports.analysis.row import MethodResult, NotCompared, SpeedUp, Verdict
from tunebench.reports.formatting.json_value import INLINE, OMIT_NONE, named
from tunebench.reports.results.drift import Change


@dataclass(frozen=True, slots=True)
class LookFacts:
    """A look at a task on a board: what was decided at it, and whether the task's measuring ended with it."""

    board_id: str
    task: str
    blocks: int
    alpha: float
    decided: Mapping[str, str]
    undecided: Sequence[str]
    not_compared: Sequence[str]
    stops: bool


@dataclass(frozen=True, slots=True)
class UntilDecided:
    """The looks of a run that stops when every comparison of times is decided.

    Attributes:
        alpha: probability of any false difference over all looks of a board and task.
        planned: (blocks, what the look may spend of alpha) of each look, the last one at the most blocks.
        taken: in order.
    """

    alpha: float
    planned: Sequence[tuple[int, float]]
    taken: Sequence[LookFacts]


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A run's identity and how it was started.

    Attributes:
        complete: whether its manifest was written.
        earlier_blocks: how many blocks it had before each time that some were added; None: never.
        until_decided: None in a run that measures all its blocks.
    """

    run_id: str
    lab: str
    complete: bool
    suite: str
    level: str | None
    blocks: int | None
    command: list[str]
    tunebench: str | None
    started_utc: str | None
    ended_utc: str | None
    plan_sha256: str | None
    earlier_blocks: Sequence[int] | None = field(default=None, metadata=OMIT_NONE)
    until_decided: UntilDecided | None = field(default=None, metadata=OMIT_NONE)


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of repetitions by how they ended: ``by_class`` counts all, ``timed`` only the timed repetitions."""

    planned: int | None
    recorded: int
    by_class: Mapping[str, int] = field(metadata=INLINE)
    timed: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ControlQuantity:
    """The A/A control in one quantity; ``result`` is ``passed``, ``failed``, ``unclear`` or ``no verdict``."""

    verdict: Verdict | NotCompared = field(metadata=INLINE)
    result: str


@dataclass(frozen=True, slots=True)
class Control:
    """The A/A control of one board and task: one method twice under two names must not differ in anything.

    Attributes:
        twin: the label that it repeats.
        result: of the times; ``missing`` says why they were not compared.
        speed_up: how the times differ; None if they were not compared.
    """

    board_id: str
    task: str
    label: str
    twin: str | None
    result: str
    missing: str | None
    quantities: Mapping[str, ControlQuantity]
    speed_up: SpeedUp | None = field(metadata=INLINE)


@dataclass(frozen=True, slots=True)
class BoardRatio:
    """One board's ratio behind a mean over boards."""

    board_id: str
    ratio: float
    verdict: str
    n: int


@dataclass(frozen=True, slots=True)
class AcrossBoards:
    """A method's ratio to its baseline over several boards: geometric mean of the boards' own ratios.

    Attributes:
        spread: geometric standard deviation between boards; None if not known.
        left_out: board -> why it is not in the mean.
    """

    quantity: str
    task: str
    label: str
    baseline: str | None
    kind: str
    engine: str
    device: str
    threads: int
    dtype: str
    ratio: float
    low: float
    high: float
    interval: str
    spread: float | None
    boards: list[BoardRatio]
    left_out: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Check:
    """A correctness check: cached and recomputed training must agree before a speed is believed."""

    board_id: str
    task: str
    label: str
    outcome: str
    passed: bool | None
    figures: Mapping[str, object]
    reason: str | None


@dataclass(frozen=True, slots=True)
class BoardProbe:
    """The values that the probe read on one board; ``problem`` says why nothing is known.

    Attributes:
        fingerprint: tier -> key -> value.
        channels: sensors as the board described them.
        missing: what is not measured there -> why.
        changed: what differs between the probes before and after the campaign.
    """

    board_id: str
    kind: str | None
    model: str | None
    emulated: bool | None
    power_mode: str | None
    fingerprint: Mapping[str, Mapping[str, object]]
    channels: Sequence[Mapping[str, object]]
    missing: Mapping[str, str]
    changed: list[Change]
    problem: str | None


@dataclass(frozen=True, slots=True)
class RepetitionFacts:
    """One repetition in short; ``rep_class`` is ``valid``, ``degraded``, ``invalid``, ``failed`` or ``skipped``."""

    rep_id: str
    board_id: str
    task: str
    label: str
    aa_control: bool
    role: str
    block: int
    slot: int
    attempt: int
    t_start_utc: str | None
    wall_s: float | None
    rep_class: str = field(metadata=named("class"))
    outcome: str
    reason: str | None
    host_s: float | None
    process_s: float | None
    ssh_channels: int | None


@dataclass(frozen=True, slots=True)
class Measured:
    """All measurements of a run.

    Attributes:
        delta: what does not matter, by quantity: shares, points for accuracy.
        baselines: task -> label of its baseline.
        rows: one a method, board and set of conditions, in the order of the plan.
        skipped: what the plan left out: ``board_id``, ``label`` (None: the whole board), ``reason``.
        warnings: records that could not be read.
    """

    schema: str
    run: RunFacts
    delta: Mapping[str, float]
    counts: Counts
    baselines: Mapping[str, str | None]
    aa: list[Control]
    rows: list[MethodResult]
    across: list[AcrossBoards]
    checks: list[Check]
    environment: list[BoardProbe]
    skipped: Sequence[Mapping[str, object]]
    warnings: list[str]
    repetitions: list[RepetitionFacts]


@dataclass(frozen=True, slots=True)
class Caution:
    """A conclusion that the run does not support, as a sentence; ``code`` names its kind."""

    code: str
    message: str
