"""Try methods once on this machine, shortened: does it run, does it learn? No comparison, no results that are kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from tunebench.harness.artifacts.gather import data_dir_from_env
from tunebench.harness.campaign.progress import Silent
from tunebench.harness.campaign.session import Request, open_session
from tunebench.harness.config.inventory import loopback_inventory
from tunebench.harness.config.suite import Suite, Workload
from tunebench.harness.errors import HarnessError, UsageError
from tunebench.reports.records import Repetition
from tunebench.reports.results import RunReader
from tunebench.targets.sanitize import printable

#: Enough to see whether the loss falls; the suite's own number is for the campaign.
EPOCHS = 2
#: Of a log that is shown where something failed.
_LOG_LINES = 15


@dataclasses.dataclass(frozen=True)
class Trial:
    """How one method went.

    Attributes:
        record: as a campaign would have stored it; None: it did not run, and ``reason`` says why.
        epochs: that were run.
        of_epochs: that the suite gives it.
        log: the last lines that it printed.
    """

    label: str
    task: str
    record: Repetition | None
    epochs: int
    of_epochs: int
    reason: str = ""
    log: Sequence[str] = ()

    @property
    def ok(self) -> bool:
        """Return whether it ran to its end."""
        return self.record is not None and self.record.outcome == "ok"


def shortened(suite: Suite, epochs: int) -> Suite:
    """Return a suite of its own methods alone (all of them where none is the user's), each once and with fewer epochs.

    No control, no energy, nothing shipped: what is asked is whether it works.
    """
    rows = [workload for workload in suite.workloads if not workload.aa_control]
    rows = [workload for workload in rows if workload.own] or rows
    chosen = tuple(_short(workload, epochs) for workload in rows)
    header = suite.header.model_copy(
        update={
            "blocks": 1,
            "aa": False,
            "instrumented": False,
            "energy": False,
            "policy": "cold",
            "ship": [],
        }
    )
    baselines = {workload.task: workload.label for workload in reversed(chosen)}
    return dataclasses.replace(suite, header=header, workloads=chosen, baselines=baselines)


def _short(workload: Workload, epochs: int) -> Workload:
    params = {**workload.params, "epochs": min(epochs, int(workload.params["epochs"]))}
    return dataclasses.replace(workload, params=params, sustained_s=None, ship=())


def try_out(suite: Suite, epochs: int, out: Path) -> list[Trial]:
    """Run a suite's methods once on this machine; return how each went, in the suite's order.

    Args:
        epochs: of each, at most.
        out: where the run's results go.

    Raises:
        HarnessError: this machine cannot be a board; with the reason.
    """
    short = shortened(suite, epochs)
    wanted = {workload.key: int(workload.params["epochs"]) for workload in suite.workloads}
    board = loopback_inventory().boards[0]
    request = Request(short, [board], "trial", out, data_dir=data_dir_from_env())
    session = open_session(request)
    outcome = session.campaign(Silent()).run()
    session.close(outcome)
    if outcome.interrupted:
        raise KeyboardInterrupt
    given_up = next(iter(outcome.given_up.values()), None)
    if given_up is not None and not session.writer.stored:
        raise HarnessError(f"this machine cannot be measured: {given_up}")
    reader = RunReader(session.writer.path)
    records = {(record.task, record.label): record for record in reader.repetitions if record.role == "timed"}
    skips = {(skip.task, skip.label): skip.reason for skip in [*session.plan.skipped, *outcome.skipped]}
    return [_trial(workload, records, skips, wanted[workload.key], reader) for workload in short.workloads]


def _trial(
    workload: Workload,
    records: dict[tuple[str, str], Repetition],
    skips: dict[tuple[str | None, str | None], str],
    of_epochs: int,
    reader: RunReader,
) -> Trial:
    record = records.get(workload.key)
    epochs = int(workload.params["epochs"])
    if record is None:
        reason = skips.get(workload.key) or skips.get((None, None)) or "it was not measured"
        return Trial(workload.label, workload.task, None, epochs, of_epochs, reason)
    reason = record.outcome_reason or ("" if record.outcome == "ok" else record.outcome)
    lines = [printable(line) for line in (reader.log(record) or "").splitlines() if line.strip()]
    return Trial(workload.label, workload.task, record, epochs, of_epochs, reason, lines[-_LOG_LINES:])


def suite_name(name: str) -> str:
    """Return what ``--suite`` would be given: a name that stands for ``NAME.toml`` in this folder may be short.

    Raises:
        UsageError: it is a Python file: the suite beside it says how to run it.
    """
    path = Path(name)
    if path.suffix == ".py":
        suite = path.with_suffix(".toml")
        if not suite.is_file():
            raise UsageError(f"{name}: is the method itself; name the suite that lists it (none at {suite})")
        return str(suite)
    return f"{name}.toml" if path.suffix != ".toml" and Path(f"{name}.toml").is_file() else name
