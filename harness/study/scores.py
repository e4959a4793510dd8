"""Keep the scores of single runs in a file after each run, so that a search that was stopped goes on where it was."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from tunebench.harness.errors import UsageError
from tunebench.reports.formatting.output import write_output

SCHEMA = "tunebench.rates/1"


@dataclass(frozen=True)
class Run:
    """One fine-tuning of a search.

    Attributes:
        key: SHA-256 of all that decides its score: spec, data, start weights, fold.
        task, label, method, track, lr, base, fold, folds, epochs: the same for a reader.
        before, score: quality on the fold, 0..1, at the start and at the end; score None: it diverged.
        loss_first, loss_final: training's mean loss in the first and the last epoch; None where not finite.
        seconds: of the fine-tuning and its two evaluations.
    """

    key: str
    task: str
    label: str
    method: str
    track: str
    lr: float
    base: int
    fold: int
    folds: int
    epochs: int
    before: float
    score: float | None
    loss_first: float | None
    loss_final: float | None
    seconds: float


class ScoresFile:
    """The runs of a file, by their key.

    Raises:
        UsageError: the file is there and is none of ours, or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs: dict[str, Run] = {run.key: run for run in _read(path)}

    def add(self, run: Run) -> None:
        """Add a run and write the file in one step.

        Raises:
            OutputError: it cannot be written; what was there before still is.
        """
        self.runs[run.key] = run
        self.write()

    def write(self) -> None:
        """Write the file as it is now; told early, a place that cannot be written costs no run."""
        rows = [json.dumps(asdict(run), sort_keys=True, allow_nan=False) for run in self.runs.values()]
        body = ",\n".join(rows)
        text = f'{{"schema": "{SCHEMA}", "runs": [\n{body}\n]}}\n'
        write_output(self.path, text.encode(), "--keep")


def _read(path: Path) -> list[Run]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UsageError(f"{path}: cannot be read: {reason}; name another file with --keep FILE") from None
    try:
        content = json.loads(text)
        if not isinstance(content, dict) or content.get("schema") != SCHEMA:
            raise ValueError
        return [_run(row) for row in content["runs"]]
    except (ValueError, KeyError, TypeError):
        raise UsageError(
            f"{path}: holds no scores of a search (schema {SCHEMA}); name another file with --keep FILE"
        ) from None


def _run(row: Any) -> Run:
    if not isinstance(row, dict) or not isinstance(row.get("key"), str):
        raise TypeError
    score, rate = row.get("score"), row.get("lr")
    if not (score is None or isinstance(score, int | float)) or not isinstance(rate, int | float):
        raise TypeError
    return Run(**{item.name: row[item.name] for item in fields(Run)})
