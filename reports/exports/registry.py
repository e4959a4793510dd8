"""The formats of ``tunebench export --format``: one module and one line here for each."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from tunebench.reports.results.reader import RunReader

#: Name of a format -> who reads it. The format ``github-benchmark`` lives in the module ``github_benchmark``.
FORMATS: Mapping[str, str] = {
    "openmetrics": "Prometheus, through node_exporter's textfile collector",
    "bmf": "Bencher (Bencher Metric Format, its adapter json)",
    "github-benchmark": "github-action-benchmark (its tool customSmallerIsBetter)",
    "mlflow": "MLflow: a run of it for every method on every board",
    "csv": "spreadsheets: the table of --table",
    "parquet": "DuckDB, pandas, Spark: the table of --table",
}


class FormatModule(Protocol):
    """What the module of a format offers."""

    def export(self, reader: RunReader, to: str | None) -> str | None:
        """Write a run.

        Args:
            reader: the run.
            to: what ``--to`` says, a file for most formats; None or ``-``: standard output.

        Returns:
            Where it went, in words; None if it was printed.

        Raises:
            ResultsError: it cannot be written there; the message has a command that would do.
            OutputError: the file cannot be written.
        """
        ...


def format_module(name: str) -> FormatModule:
    """Import the module of one of :data:`FORMATS`."""
    return cast(FormatModule, import_module(f"{__package__}.{name.replace('-', '_')}"))
