"""MLflow: for every method on every board a run of MLflow, with its parameters, figures and tags.

A row that is there already is not logged again: its tag ``tunebench.key`` (the tunebench run and the row) is looked for
first, so an export can be repeated. The package is not needed for anything else: extra ``mlflow``.
"""

from __future__ import annotations

import os
import shlex
from datetime import UTC, datetime
from typing import Any

from tunebench.reports.analysis.row import MethodResult
from tunebench.reports.exports.figures import figures, identity, named, summary_of
from tunebench.reports.results.layout import ResultsError
from tunebench.reports.results.reader import RunReader
from tunebench.reports.summary import Summary

#: MLflow's own variables: where it logs to, and since 3.13 whether it may log to a folder.
_TRACKING, _FILE_STORE = "MLFLOW_TRACKING_URI", "MLFLOW_ALLOW_FILE_STORE"
KEY = "tunebench.key"
#: The longest value of a parameter that every back end of MLflow takes, in characters.
_MAX_PARAM = 500


def export(reader: RunReader, to: str | None) -> str:
    """Log the run to MLflow's tracking address ``to``; default: what ``MLFLOW_TRACKING_URI`` says."""
    if not reader.complete:
        # What is there already is not logged again: a run that grows would stay as it was.
        raise ResultsError(f"{reader.path}: the run is not complete; --format mlflow takes whole runs only")
    address = to or os.environ.get(_TRACKING)
    command = ["tunebench", "export", str(reader.path), "--format", "mlflow", "--to", "file:mlruns"]
    if address is None or address == "-":
        raise ResultsError(
            f"--format mlflow: goes to a tracking address of MLflow, which neither --to nor {_TRACKING} names:"
            f" {shlex.join(command)}"
        )
    if "://" not in address and not address.startswith("file:"):
        address = f"file:{address}"
    if address.startswith("file:"):
        # A folder was asked for by name: MLflow's advice to take a data base is no reason to refuse it.
        os.environ.setdefault(_FILE_STORE, "true")
    client = _client(address)
    try:
        added, there = _log(client, summary_of(reader))
    except Exception as error:  # whatever MLflow or its back end raise
        raise ResultsError(f"--to {address}: MLflow: {_first_line(error)}") from error
    return f"{address} ({added} runs of MLflow added, {there} were there)"


def _client(address: str) -> Any:
    try:
        from mlflow import MlflowClient
    except ImportError:
        raise ResultsError(
            "--format mlflow: MLflow's package is not installed: pip install 'tunebench[mlflow]'"
        ) from None
    return MlflowClient(tracking_uri=address)


def _log(client: Any, summary: Summary) -> tuple[int, int]:
    """Log every row; return how many were added and how many were there."""
    name = f"tunebench/{summary.run.suite}"
    experiment = client.get_experiment_by_name(name)
    experiment_id = experiment.experiment_id if experiment is not None else client.create_experiment(name)
    added = there = 0
    for label, row in named(list(summary.rows)):
        key = f"{summary.run.run_id} / {label}"
        quoted = key.replace("'", "\\'")
        finished = f"tags.`{KEY}` = '{quoted}' and attributes.status = 'FINISHED'"
        if client.search_runs([experiment_id], finished, max_results=1):
            there += 1
            continue
        _log_row(client, experiment_id, (key, label), row, summary)
        added += 1
    return added, there


def _log_row(
    client: Any, experiment_id: str, names: tuple[str, str], row: MethodResult, summary: Summary
) -> None:
    """Log a row as one run; ``names``: its key and what MLflow's pages call it."""
    from mlflow.entities import Metric, Param

    started_ms, ended_ms = _ms(summary.run.started_utc), _ms(summary.run.ended_utc)
    run = client.create_run(
        experiment_id, start_time=started_ms, tags={KEY: names[0], **_tags(summary, row)}, run_name=names[1]
    )
    params = {
        **{name: str(value) for name, value in row.params.items()},
        "dataset": row.dataset,
        "model": row.model,
    }
    stamp_ms = ended_ms or started_ms or 0
    client.log_batch(
        run.info.run_id,
        metrics=[Metric(name, value, stamp_ms, 0) for name, value in _metrics(row).items()],
        params=[Param(name, value[:_MAX_PARAM]) for name, value in sorted(params.items())],
    )
    client.set_terminated(run.info.run_id, status="FINISHED", end_time=ended_ms)


def _metrics(row: MethodResult) -> dict[str, float]:
    """Return figures by a name that ends in the unit; bounds of the interval have ``_low`` and ``_high`` behind it."""
    metrics: dict[str, float] = {}
    for figure in figures(row):
        name = figure.name if figure.name == figure.unit else f"{figure.name}_{figure.unit}"
        values = {"": figure.value, "_low": figure.low, "_high": figure.high, "_sd": figure.sd}
        metrics |= {f"{name}{end}": value for end, value in values.items() if value is not None}
    return metrics


def _tags(summary: Summary, row: MethodResult) -> dict[str, str]:
    run = summary.run
    tags = {f"tunebench.{name}": value for name, value in identity(row).items()}
    return tags | {
        "tunebench.run_id": run.run_id,
        "tunebench.lab": run.lab,
        "tunebench.suite": run.suite,
        "tunebench.version": run.tunebench or "",
        "tunebench.verdict": row.verdict,
    }


def _ms(moment: str | None) -> int | None:
    if moment is None:
        return None
    time = datetime.fromisoformat(moment)
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
