"""A study's tracks as a table, and sentences on what may be claimed: the same on the page, in text and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunebench.reports.figures import DataTable
from tunebench.reports.formatting.markdown import escaped
from tunebench.reports.formatting.markdown import table as markdown_table
from tunebench.reports.formatting.table import Grid, paragraph
from tunebench.reports.formatting.units import clean, significant
from tunebench.reports.studies.margin import signed
from tunebench.reports.studies.tracks.model import Track, TrackedTask, TrackRow

TITLE = "Tracks beside each other"
LEAD = (
    "The same methods, trained in different ways, each with rates of its own. Differences are paired by block; a run "
    "that diverged scores 0. Controls learn from no labels. Loss is training's, mean of the last epoch; a run measures "
    "no validation loss."
)
_ROLES = {"candidate": ", candidate", "baseline": ", baseline", "control": ", control", "method": ""}
_ABSENT = "–"
#: Characters of what is said of one track in Markdown.
_MOST = 1000


@dataclass(frozen=True)
class TracksView:
    """The tracks as they stand on the page: for each data set its table, and the sentences below it."""

    title: str
    lead: str
    tasks: Sequence[tuple[DataTable, Sequence[str]]]


def tracks_view(tasks: Sequence[TrackedTask]) -> TracksView | None:
    """Return what the page shows of tracks; None where there are none."""
    return TracksView(TITLE, LEAD, track_tables(tasks)) if tasks else None


def track_tables(tasks: Sequence[TrackedTask]) -> list[tuple[DataTable, list[str]]]:
    """Return for each data set a row a method and a group of columns a track, and the sentences below it."""
    several = len({(task.board_id, task.engine, task.engine_build) for task in tasks}) > 1
    return [(_table(task, several), sentences(task)) for task in tasks]


def track_lines(tasks: Sequence[TrackedTask], grid: Grid) -> list[str]:
    """Return the tables and sentences as plain text; empty without tracks."""
    lines = [paragraph(f"{TITLE}. {LEAD}")] if tasks else []
    for table, below in track_tables(tasks):
        lines += [paragraph(table.caption), grid(table.columns, table.rows, keys=1), *map(paragraph, below)]
    return lines


def track_markdown(tasks: Sequence[TrackedTask]) -> str:
    """Return the tables and sentences as Markdown; empty without tracks."""
    parts = []
    for table, below in track_tables(tasks):
        bullets = "\n".join(f"- {escaped(sentence, _MOST)}" for sentence in below)
        parts.append(f"{escaped(table.caption)}\n\n{markdown_table(table.columns, table.rows)}\n\n{bullets}")
    return "\n\n".join(parts)


def sentences(task: TrackedTask) -> list[str]:
    """Return how each track trains, and what may be claimed of its candidate."""
    lines = []
    for track in task.tracks:
        sentences = [f"{_name(track)}: {clean(track.training, 120)}."] if track.training != track.name else []
        sentences += [sentence for sentence in (track.claim, *track.beside) if sentence]
        if sentences:
            lines.append(" ".join(sentences))
    return lines


def _name(track: Track) -> str:
    word, comma, rest = track.name.partition(",")
    shown = f"{word} track" if word in ("main", "paper") else word
    return clean(f"{shown[:1].upper()}{shown[1:]}{comma}{rest}", 80)


def _table(task: TrackedTask, several: bool) -> DataTable:
    engine = " ".join(part for part in (task.engine, task.engine_build) if part)
    place = f" on {clean(task.board_id, 40)}, {clean(engine, 40)}" if several else ""
    metric = clean(task.metric or "score", 20)
    columns = ["method"]
    for track in task.tracks:
        name = clean(track.name, 40)
        columns += [
            f"{name}: {metric}, %",
            f"{name}: minus {clean(track.baseline or 'baseline', 30)}, points",
            f"{name}: loss",
            f"{name}: rate",
        ]
    blocks = sorted({row.n for track in task.tracks for row in track.rows if row.n})
    over = f"{blocks[0]} to {blocks[-1]}" if len(blocks) > 1 else str(blocks[0]) if blocks else "no"
    shown_blocks = len(blocks) > 1
    return DataTable(
        f"{clean(f'{task.dataset}/{task.model}', 60)}{place}: on held-out target data, mean ± standard deviation over "
        f"{over} block{'s' if blocks != [1] else ''}{_before(task)}",
        columns,
        [
            [name, *(text for track in task.tracks for text in _cells(_find(track, name), shown_blocks))]
            for name in dict.fromkeys(_title(row) for track in task.tracks for row in track.rows)
        ],
    )


def _before(task: TrackedTask) -> str:
    known = [row.before for track in task.tracks for row in track.rows if row.before is not None and row.n]
    most = max(row.n for track in task.tracks for row in track.rows) if known else 0
    of_all = [
        row.before for track in task.tracks for row in track.rows if row.before is not None and row.n == most
    ]
    return f"; before training {100 * of_all[0]:.2f}" if of_all else ""


def _title(row: TrackRow) -> str:
    engine = f" ({clean(row.engine, 20)})" if row.engine else ""
    return f"{clean(row.label, 40)}{engine}{_ROLES[row.role]}"


def _find(track: Track, title: str) -> TrackRow | None:
    return next((row for row in track.rows if _title(row) == title), None)


def _cells(row: TrackRow | None, shown_blocks: bool) -> list[str]:
    if row is None:
        return [_ABSENT] * 4
    return [
        _score(row, shown_blocks),
        _apart(row),
        significant(row.loss) if row.loss is not None else _ABSENT,
        f"{row.lr:g}" if row.lr is not None else _ABSENT,
    ]


def _score(row: TrackRow, shown_blocks: bool) -> str:
    if row.score is None:
        return _ABSENT
    text = f"{100 * row.score:.2f}" + (f" ± {100 * row.sd:.2f}" if row.sd is not None else "")
    notes = [f"n = {row.n}"] if shown_blocks else []
    notes += [f"{row.diverged} diverged"] if row.diverged else []
    return f"{text} ({', '.join(notes)})" if notes else text


def _apart(row: TrackRow) -> str:
    apart = row.apart
    if apart is None:
        return _ABSENT
    if apart.n == 1:
        return f"{signed(apart.points)} one block"
    star = "*" if apart.interval == "range" else ""
    return f"{signed(apart.points)} [{signed(apart.low)}, {signed(apart.high)}]{star}"
