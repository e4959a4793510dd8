"""Names, errors and line formats of a results directory; shared by its writer and its reader."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, Protocol

from pydantic import ValidationError

from tunebench.reports.records import REP_SCHEMA, Outcome, Repetition, Verdict
from tunebench.reports.results.files import file_name

When = Literal["before", "after"]

PLAN, REPS, MANIFEST, LOOKS = "plan.json", "reps.jsonl", "run.json", "looks.jsonl"
#: Folder for what a run's directory held before blocks were added to it: ``earlier/1.run.json`` and so on.
EARLIER = "earlier"
#: Boards that an unfinished run did not get to the end of, and why; gone once the run is complete.
MISSING, MISSING_SCHEMA = "missing.json", "tunebench.missing/1"
SIDE_FILES = {
    "trace": ".jsonl.gz",
    "log": ".txt.gz",
    "preds": ".jsonl.gz",
    "meter": ".jsonl.gz",
    "exit": ".json.gz",
}
#: A run lies so many folders below a results root: <lab>/<YYYY>/<MM>/<DD>/<run_id>.
_ROOT_DEPTH = 5


class ResultsError(Exception):
    """Something is wrong with a results directory."""


class RunNotFound(ResultsError):
    """No run where one was looked for."""


class ChecksumError(ResultsError):
    """A file is not what ``run.json`` says it was."""


def find_run(path: Path) -> Path:
    """Return a run's directory itself (or that of a file in it), else the newest run below a results root.

    Newest means: by date folders, then by run id (which starts with UTC time).

    Raises:
        RunNotFound: the path does not exist or holds no run; the message says what was looked for.
    """
    path = Path(path)
    if not path.exists():
        raise RunNotFound(f"{path}: does not exist; give a run's directory or a results root")
    if path.is_file():
        path = path.parent
    if (path / PLAN).is_file():
        return path
    for depth in range(1, _ROOT_DEPTH + 1):
        runs = [plan.parent for plan in path.glob("*/" * depth + PLAN)]
        if runs:
            return max(runs, key=lambda run: (run.parts[-4:], run.stat().st_mtime_ns))
    raise RunNotFound(f"{path}: holds no run (looked for {PLAN} at most {_ROOT_DEPTH} folders down)")


class Ended(Protocol):
    """The fields of a record that say how the repetition ended."""

    @property
    def outcome(self) -> Outcome: ...

    @property
    def verdict(self) -> Verdict: ...


def count(repetitions: Iterable[Ended]) -> dict[str, int]:
    """Count repetitions by how they ended: each falls in exactly one class.

    ``failed`` is any outcome but ``ok`` (and ``skipped``); the others are classed by their verdict.
    """
    classes = {"valid": 0, "degraded": 0, "invalid": 0, "failed": 0, "skipped": 0}
    classes.update(Counter(rep_class(rep) for rep in repetitions))
    return classes


def rep_class(rep: Ended) -> str:
    """Return ``valid``, ``degraded``, ``invalid``, ``failed`` or ``skipped``."""
    if rep.outcome == "ok":
        return rep.verdict
    return "skipped" if rep.outcome == "skipped" else "failed"


def parse_lines(data: bytes) -> tuple[list[Repetition], list[str]]:
    """Return the records of a ``reps.jsonl``, and a warning for each line that is not a record."""
    repetitions: list[Repetition] = []
    warnings: list[str] = []
    lines = data.split(b"\n")
    if lines[-1]:
        warnings.append(f"{REPS}: line {len(lines)} is torn ({len(lines[-1])} bytes) and was left out")
    for number, line in enumerate(lines[:-1], start=1):
        try:
            repetitions.append(parse_line(line))
        except ResultsError as error:
            warnings.append(f"{REPS}: line {number} was left out: {error}")
    return repetitions, warnings


def parse_line(line: bytes) -> Repetition:
    """Return the record of one line.

    Raises:
        ResultsError: it is no record of this major version.
    """
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise ResultsError("not JSON") from None
    _check_schema(value, REP_SCHEMA)
    try:
        return Repetition.model_validate(value)
    except ValidationError as error:
        raise ResultsError(first_fault(error)) from None


def load_object(path: Path, schema: str) -> dict[str, object]:
    """Return the JSON object in a file.

    Raises:
        ResultsError: the file is not readable, or is of another schema; the message names it.
    """
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ResultsError(f"{path}: not readable as JSON: {error}") from None
    try:
        return _check_schema(value, schema)
    except ResultsError as error:
        raise ResultsError(f"{path}: {error}") from None


def _check_schema(value: object, schema: str) -> dict[str, object]:
    """Check that a value has the schema ``name/major`` or any newer minor (``name/major.minor``)."""
    name = value.get("schema") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(name, str):
        raise ResultsError(f"no schema, expected {schema!r}")
    if name != schema and not name.startswith(schema + "."):
        raise ResultsError(f"schema {name!r}, this version reads {schema!r}")
    return value


def first_fault(error: ValidationError) -> str:
    """Return the first error of a record: the field and the reason."""
    fault = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in fault["loc"]) or "record"
    return f"{where}: {fault['msg']}"


def env_name(board_id: str, when: When) -> str:
    """Return the path of a board's probe inside a run's directory."""
    return f"env/{file_name(board_id)}.{when}.json"


def other_files(path: Path) -> list[str]:
    """Return the path of every file in a run's directory except ``run.json`` and unfinished files."""
    files = (file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    return sorted(name for name in files if name != MANIFEST and not name.endswith(".part"))


def json_bytes(value: Mapping[str, object]) -> bytes:
    """Return indented JSON; keys keep their order, which in a plan is the order of its tasks."""
    return (json.dumps(value, allow_nan=False, indent=1) + "\n").encode()


def plan_sha256(plan: Mapping[str, object]) -> str:
    """Return the SHA-256 of a plan's canonical JSON, without its own ``sha256`` key."""
    value = {key: item for key, item in plan.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def run_folders(root: Path) -> list[Path]:
    """Return every run below a results root, oldest first (by date folders, then run id).

    Raises:
        RunNotFound: there is none.
    """
    root = Path(root)
    runs = [plan.parent for depth in range(1, _ROOT_DEPTH + 1) for plan in root.glob("*/" * depth + PLAN)]
    if (root / PLAN).is_file():
        runs.append(root)
    if not runs:
        raise RunNotFound(f"{root}: holds no run (looked for {PLAN} at most {_ROOT_DEPTH} folders down)")
    return sorted(runs, key=lambda run: (run.parts[-4:], run.name))
