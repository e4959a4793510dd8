"""The results directory of a run: write-once, append-only, checksummed; its writer and its reader.

Layout below a results root::

    <lab>/<YYYY>/<MM>/<DD>/<run_id>/
        plan.json       what was to run; written first
        reps.jsonl      one Repetition a line, appended and fsynced as each one finishes
        env/            <board>.before.json, <board>.after.json
        trace/ log/ preds/   side files of a repetition, gzip, written before its line
        run.json        RunManifest, with the SHA-256 of every other file; written last: there = complete
        missing.json    while it is not: boards whose queue was left open, each with the reason

Errors::

    ResultsError            something is wrong with a results directory; the message names the file
      RunNotFound           no run where one was looked for
      ChecksumError         a file is not what run.json says it was
"""

from __future__ import annotations

from tunebench.reports.results.layout import (
    ChecksumError,
    ResultsError,
    RunNotFound,
    count,
    find_run,
    plan_sha256,
    rep_class,
)
from tunebench.reports.results.reader import RunReader
from tunebench.reports.results.writer import RunWriter, is_being_written

__all__ = [
    "ChecksumError",
    "ResultsError",
    "RunNotFound",
    "RunReader",
    "RunWriter",
    "count",
    "find_run",
    "is_being_written",
    "plan_sha256",
    "rep_class",
]
