"""A run on disk that another process is writing, a record at a time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.reports.campaigns import make_rep
from tunebench.reports.results import RunWriter

#: Appends each record that it is sent, a line of JSON each; ends with its standard input.
WRITE = """
import sys
from pathlib import Path
from tunebench.reports.records import Repetition
from tunebench.reports.results import RunWriter
writer = RunWriter.open(Path(sys.argv[1]))
print("open", flush=True)
for line in sys.stdin:
    writer.append(Repetition.model_validate_json(line))
    print("stored", flush=True)
"""
ROW = {"slot": 0, "role": "timed", "seed": 0, "task": "digits/mlp"}
#: Seconds of (ft-all, lora) in each block: ratios 2, 4, 2.5.
TIMES_S = ((2.0, 1.0), (4.0, 1.0), (2.5, 1.0))


class Written:
    """A run that is being written by another process."""

    def __init__(self, path: Path, process: subprocess.Popen[str]) -> None:
        self.path = path
        self._process = process
        self._n = 0

    def add(self, board: str, label: str, block: int, wall_s: float, **fields: object) -> str:
        """Store a record; returns its id."""
        rep_id = f"run.{board}.{block}.{label}"
        record = make_rep().model_copy(
            update={
                "rep_id": rep_id,
                "run_id": "run",
                "board_id": board,
                "task": ROW["task"],
                "label": label,
                "block": block,
                "wall_s": wall_s,
                "host_s": 10.0,
                "verdict": "valid",
                "faults": [],
                **fields,
            }
        )
        self._process.stdin.write(record.model_dump_json() + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "stored\n"
        return rep_id

    def end(self) -> None:
        """End the process that writes, as a killed campaign does."""
        self._process.kill()
        self._process.communicate()


def plan_of(boards: tuple[str, ...], blocks: int) -> dict:
    """Return a plan of two methods, as a campaign writes it."""
    return {
        "suite": {"name": "mine", "blocks": blocks},
        "tasks": {ROW["task"]: {"baseline": "ft-all", "labels": ["ft-all", "lora"]}},
        "boards": [{"id": board} for board in boards],
        "command": ["tunebench", "run", "-s", "mine.toml"],
        "started_utc": "2026-11-29T21:14:05Z",
        "repetitions": [
            {
                **ROW,
                "rep_id": f"run.{board}.{block}.{label}",
                "board_id": board,
                "block": block,
                "label": label,
            }
            for board in boards
            for block in range(blocks)
            for label in ("ft-all", "lora")
        ],
    }


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Callable[..., Written]]:
    """Function (boards, blocks) -> a run that another process writes."""
    runs = []

    def write(*boards: str, blocks: int = 3) -> Written:
        with RunWriter.create(tmp_path, "lab", "run", plan_of(boards or ("pi",), blocks)) as writer:
            path = writer.path
        process = subprocess.Popen(
            [sys.executable, "-c", WRITE, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "open\n"
        runs.append(Written(path, process))
        return runs[-1]

    yield write
    for run in runs:
        run.end()
