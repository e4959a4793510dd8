"""All repetitions as Parquet (zstd): the table of ``--table FILE.parquet``."""

from __future__ import annotations

import shlex

from tunebench.reports.exports.figures import file_of
from tunebench.reports.formatting.output import STDOUT, write_output
from tunebench.reports.results.export import table_bytes
from tunebench.reports.results.layout import ResultsError
from tunebench.reports.results.reader import RunReader


def export(reader: RunReader, to: str | None) -> str | None:
    """Write the run's repetitions."""
    path = file_of(to)
    if path == STDOUT:
        words = [
            "tunebench",
            "export",
            str(reader.path),
            "--format",
            "parquet",
            "--to",
            "repetitions.parquet",
        ]
        raise ResultsError(f"--format parquet: is no text to print; name a file: {shlex.join(words)}")
    data, rows = table_bytes([reader.path], "parquet")
    write_output(path, data, "--to")
    return f"{path} ({rows} repetitions)"
