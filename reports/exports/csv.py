"""All repetitions as CSV: the table of ``--table FILE.csv``, byte for byte."""

from __future__ import annotations

from tunebench.reports.exports.figures import file_of
from tunebench.reports.formatting.output import STDOUT, write_output
from tunebench.reports.results.export import table_bytes
from tunebench.reports.results.reader import RunReader


def export(reader: RunReader, to: str | None) -> str | None:
    """Write the run's repetitions."""
    path = file_of(to)
    data, rows = table_bytes([reader.path], "csv")
    write_output(path, data, "--to")
    return None if path == STDOUT else f"{path} ({rows} repetitions)"
