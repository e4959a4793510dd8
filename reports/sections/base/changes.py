"""What is different around the numbers: since another run, and between the boards of one run."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tunebench.reports.analysis.measured import BoardProbe
from tunebench.reports.figures import DataTable
from tunebench.reports.formatting.privacy import Scrub, names_one
from tunebench.reports.formatting.units import clean
from tunebench.reports.records import BoardEnv
from tunebench.reports.results.drift import changes
from tunebench.reports.results.layout import ResultsError
from tunebench.reports.results.reader import RunReader

#: So many earlier runs are looked through for one that had a board.
_EARLIER = 30


@dataclass(frozen=True)
class Since:
    """Keys of the boards' fingerprints that differ; ``why`` says why there is no table.

    Attributes:
        heading: since what.
    """

    table: DataTable | None = None
    why: str = ""
    heading: str = "What changed since the run before"


def since(reader: RunReader, other: RunReader, scrub: Scrub) -> Since:
    """Compare a run's boards with those of another run, its baseline."""
    name = clean(other.plan_view.run_id or other.path.name, 80)

    def env(board_id: str) -> BoardEnv | None:
        try:
            return other.env(board_id, "before")
        except ResultsError:
            return None

    table, held = _differences(reader, env, scrub, "Fingerprint: the baseline run, and this one")
    why = _nothing(held) if held else "The baseline run had none of these boards."
    return Since(table, "" if table else why, f"What differs from the baseline run {name}")


def since_the_run_before(
    reader: RunReader, root: Path, paths: Sequence[tuple[str, str]], run_id: str, scrub: Scrub
) -> Since:
    """Compare a run's boards with the newest earlier run of the store that had each of them.

    Args:
        root: of the store.
        paths: run id and path below the root, oldest first.
    """
    # By the store's order: an id begins with a date, which a wrong clock may have made.
    names = [name for name, _ in paths]
    end = names.index(run_id) if run_id in names else sum(name < run_id for name in names)
    earlier = [path for _, path in paths[:end]][::-1][:_EARLIER]

    def env(board_id: str) -> BoardEnv | None:
        return next((env for path in earlier if (env := _env(root / path, board_id))), None)

    table, held = _differences(reader, env, scrub, "Fingerprint: the run before, and this one")
    why = _nothing(held) if held else "No earlier run in the store had these boards."
    return Since(table, "" if table else why)


def _differences(
    reader: RunReader, then: Callable[[str], BoardEnv | None], scrub: Scrub, caption: str
) -> tuple[DataTable | None, int]:
    """Return the table of differences, and how many boards could be compared with their earlier state."""
    rows: list[list[str]] = []
    held = 0
    for board_id in dict.fromkeys(rep.board_id for rep in reader.repetitions):
        try:
            now = reader.env(board_id, "before")
        except ResultsError:
            now = None
        before = then(board_id) if now is not None else None
        if now is None or before is None:
            continue
        held += 1
        for change in changes(before, now):
            if not names_one(change.key):
                key = clean(f"{change.tier}.{change.key}", 80)
                values = [scrub(_shown(value)) for value in (change.before, change.after)]
                rows.append([clean(board_id, 60), key, *values])
    return DataTable(caption, ("board", "key", "before", "now"), rows) if rows else None, held


def _nothing(held: int) -> str:
    return f"Nothing that the probe reads, on {held} board{'s' if held != 1 else ''}."


def _env(run: Path, board_id: str) -> BoardEnv | None:
    for file in (run / "env").glob("*.before.json"):
        try:
            value = json.loads(file.read_bytes())
            if isinstance(value, dict) and value.get("board_id") == board_id:
                return BoardEnv.model_validate(value)
        except (OSError, ValueError, RecursionError):
            continue
    return None


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return clean(text, 120) if value is not None else "not known"


def board_differences(environment: Sequence[BoardProbe]) -> DataTable | None:
    """Return the keys in which the boards of one run differ; None if there are none, or one board."""
    known = [probe for probe in environment if probe.fingerprint]
    if len(known) < 2:
        return None
    keys = dict.fromkeys(
        (tier, key) for probe in known for tier, facts in probe.fingerprint.items() for key in facts
    )
    rows = []
    for tier, key in keys:
        values = [_shown(probe.fingerprint.get(tier, {}).get(key)) for probe in known]
        if len(set(values)) > 1:
            rows.append([f"{tier}.{key}", *values])
    if not rows:
        return None
    names = [clean(probe.board_id, 40) for probe in known]
    return DataTable("Keys in which the boards differ", ("key", *names), rows)
