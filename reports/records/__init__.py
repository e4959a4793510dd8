"""Define the records of a repetition and of a run: what every room meets at.

One :class:`Repetition` is one line of ``reps.jsonl``. Units stand in the names, durations come from the
board's CLOCK_MONOTONIC, UTC only orders things. What was not measured is ``None`` and has its reason in
``missing``; it is never zero and never guessed. Readers ignore unknown fields, so that a newer minor
version can still be read.
"""

from __future__ import annotations

from tunebench.reports.records.energy import Energy, Scope
from tunebench.reports.records.inference import Inference
from tunebench.reports.records.partition import Partition, PartitionCall, PartitionCut, PartitionLink
from tunebench.reports.records.record import Record
from tunebench.reports.records.repetition import (
    BENCH_VERSION,
    REP_SCHEMA,
    REP_SCHEMA_WRITTEN,
    Outcome,
    Provenance,
    Reason,
    Repetition,
    Role,
    Seen,
    Verdict,
)
from tunebench.reports.records.run import (
    ENV_SCHEMA,
    PLAN_SCHEMA,
    RUN_SCHEMA,
    BoardEnv,
    LookTaken,
    RunManifest,
    Skip,
)
from tunebench.reports.records.surroundings import (
    OPERATING_POINTS,
    ChannelReads,
    ClockOffset,
    Conditions,
    Pmu,
    Sampler,
    Stressed,
)
from tunebench.reports.records.training import Quality, Sustained
from tunebench.reports.records.updates import Transfer, Update

__all__ = [
    "BENCH_VERSION",
    "ENV_SCHEMA",
    "OPERATING_POINTS",
    "PLAN_SCHEMA",
    "REP_SCHEMA",
    "REP_SCHEMA_WRITTEN",
    "RUN_SCHEMA",
    "BoardEnv",
    "ChannelReads",
    "ClockOffset",
    "Conditions",
    "Energy",
    "Inference",
    "LookTaken",
    "Outcome",
    "Partition",
    "PartitionCall",
    "PartitionCut",
    "PartitionLink",
    "Pmu",
    "Provenance",
    "Quality",
    "Reason",
    "Record",
    "Repetition",
    "Role",
    "RunManifest",
    "Sampler",
    "Scope",
    "Seen",
    "Skip",
    "Stressed",
    "Sustained",
    "Transfer",
    "Update",
    "Verdict",
]
