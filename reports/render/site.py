"""The lab's pages: static files made from the index, without a server and without a script.

``index.html`` lists boards, nights and series; each has a page of its own. A file whose content did not change is not
written again, and a page that has no content any more is removed, so that what publishes the folder copies little.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
from markupsafe import Markup

from tunebench.reports.figures import Figure
from tunebench.reports.formatting.output import write_output
from tunebench.reports.formatting.privacy import Scrub, scrubber
from tunebench.reports.formatting.units import clean, seconds
from tunebench.reports.history.decisions import Decision, quarantined
from tunebench.reports.history.series import Night, Series, all_series, nights_of, opened
from tunebench.reports.render.files import names_here
from tunebench.reports.render.html import TEMPLATES, environment, hash_of
from tunebench.reports.results.files import file_name
from tunebench.reports.results.layout import ResultsError
from tunebench.reports.sections.base.trend import TREND_COLUMNS, series_view

#: Names the pages that tunebench wrote: only these are ever removed.
PAGES = ".tunebench-site.json"
#: Nights on the first page; each has its own page all the same.
_NEWEST = 60
#: How a run's report is addressed: from its path below the results root to a link; None where it has no report.
ReportLink = Callable[[str], str | None]


@dataclass(frozen=True)
class Link:
    """A cell that leads to another page."""

    text: str
    href: str


Cell = str | Link


@dataclass(frozen=True)
class Table:
    """A table of a page."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class Part:
    """A section of a page: a heading, and a table, a figure or words."""

    heading: str
    words: str = ""
    table: Table | None = None
    figure: Figure | None = None


@dataclass
class SiteReport:
    """What became of the pages."""

    pages: int = 0
    written: int = 0
    removed: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class _Run:
    run_id: str
    path: str
    suite: str
    order_utc: str
    complete: bool
    doubt: str | None
    counts: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def sums(self, board_id: str | None = None) -> list[int]:
        """Return repetitions: all, valid, degraded, invalid, failed; of a board, or of all boards."""
        rows = [row for board, row in self.counts.items() if board_id in (None, board)]
        return [sum(column) for column in zip(*rows, strict=True)] if rows else [0] * 5


_COUNTED = ("repetitions", "valid", "degraded", "invalid", "failed")


def write_site(index: Path, decisions: Sequence[Decision], out: Path, report_link: ReportLink) -> SiteReport:
    """Write all pages of a store below ``out``.

    Args:
        index: a DuckDB index of the store.
        decisions: of the store.
        out: the folder; other files in it are left alone.
        report_link: leads from a run's path to its report.

    Raises:
        ResultsError: the folder holds files, and none of them is a site's.
        OutputError: a page cannot be written.
    """
    known = _known(out)
    report, pages = SiteReport(), []
    with opened(index) as database:
        for name, html in _pages(_Lab(database, decisions, scrubber(names_here())), report_link):
            data, path = html.encode("utf-8", "replace"), out / name
            pages.append(name)
            report.bytes += len(data)
            if not path.is_file() or path.read_bytes() != data:
                write_output(path, data, "--out")
                report.written += 1
    for name in sorted(known - set(pages)):
        path = out / name
        if path.resolve().is_relative_to(out.resolve()):
            path.unlink(missing_ok=True)
            report.removed += 1
    report.pages = len(pages)
    write_output(out / PAGES, json.dumps(sorted(pages), indent=0).encode(), "--out")
    return report


def _known(out: Path) -> set[str]:
    try:
        names = json.loads((out / PAGES).read_bytes())
    except FileNotFoundError:
        if out.is_dir() and any(out.glob("*.html")):
            raise ResultsError(
                f"--out {out}: holds pages that tunebench did not write; name a folder of its own"
            ) from None
        return set()
    except ValueError:
        return set()
    return {name for name in names if isinstance(name, str)} if isinstance(names, list) else set()


class _Lab:
    """All that the pages show, read once."""

    def __init__(
        self, database: duckdb.DuckDBPyConnection, decisions: Sequence[Decision], scrub: Scrub
    ) -> None:
        self.decisions, self.scrub = decisions, scrub
        self.runs = _runs(database)
        self.series = all_series(database)
        keys = [series.series_key for series in self.series]
        self.nights = nights_of(database, keys, "time", decisions) if keys else {}
        self.by_run: dict[str, list[tuple[Series, Night]]] = {}
        for series in self.series:
            for night in self.nights.get(series.series_key, []):
                self.by_run.setdefault(night.run_id, []).append((series, night))
        self.boards = sorted({board for run in self.runs for board in run.counts})
        self.tiers = _tiers(database)
        self.models = dict(
            database.execute(
                "SELECT board_id, arg_max(board_model, coalesce(t_start_utc, '')) FROM repetitions GROUP BY 1"
            ).fetchall()
        )


def _runs(database: duckdb.DuckDBPyConnection) -> list[_Run]:
    counted: dict[str, dict[str, Sequence[int]]] = {}
    for run_id, board, *numbers in database.execute(
        "SELECT run_id, board_id, count(*), count(*) FILTER (outcome = 'ok' AND verdict = 'valid'),"
        " count(*) FILTER (outcome = 'ok' AND verdict = 'degraded'),"
        " count(*) FILTER (outcome = 'ok' AND verdict = 'invalid'), count(*) FILTER (outcome NOT IN ('ok', 'skipped'))"
        " FROM repetitions GROUP BY 1, 2 ORDER BY 1, 2"
    ).fetchall():
        counted.setdefault(run_id, {})[board] = numbers
    rows = database.execute(
        "SELECT run_id, path, coalesce(suite, ''), order_utc, complete, doubt FROM runs"
        " ORDER BY order_utc DESC, run_id DESC"
    ).fetchall()
    return [_Run(*row, *[counted.get(row[0], {})]) for row in rows]


def _tiers(database: duckdb.DuckDBPyConnection) -> dict[str, list[tuple[str, ...]]]:
    """Return (night, what changed) of every change of a board's hardware, firmware, system or packages."""
    names = ("hardware", "firmware", "operating system", "Python packages")
    before: dict[str, tuple[str | None, ...]] = {}
    changes: dict[str, list[tuple[str, ...]]] = {}
    for board, night, *now in database.execute(
        "SELECT b.board_id, u.order_utc, b.hardware, b.firmware, b.os, b.python FROM boards b JOIN runs u USING (run_id)"
        " ORDER BY u.order_utc, u.run_id"
    ).fetchall():
        was = before.get(board)
        if was is not None:
            changed = [
                name for name, a, b in zip(names, was, now, strict=True) if a != b and None not in (a, b)
            ]
            if changed:
                changes.setdefault(board, []).append((_day(night), ", ".join(changed)))
        before[board] = tuple(now)
    return changes


def _pages(lab: _Lab, report_link: ReportLink) -> Iterator[tuple[str, str]]:
    """Return the name and the content of every page."""
    cells: dict[str, Sequence[str]] = {}
    for series in lab.series:
        nights = lab.nights.get(series.series_key, [])
        view = series_view(series, nights, lab.decisions, lab.scrub)
        cells[series.series_key] = view.cells
        rows = [(_night_link(night, 1), _counted(night), night.excluded or "") for night in reversed(nights)]
        parts = [
            Part("Over the nights", _TREND_WORDS, figure=view.figure),
            Part(
                "Changes and decisions",
                "None." if not view.notes else "",
                Table(
                    "What changed, and what was decided",
                    ("night", "what"),
                    [(_day(t), w) for t, w in view.notes],
                )
                if view.notes
                else None,
            ),
            Part(
                "Nights",
                table=Table("Every night, the newest first", _NIGHT, rows),
            ),
        ]
        way = _up(1, Link(series.board_id, "../" + _board_page(series.board_id)))
        yield _series_page(series), _page(series.name, way, parts)
    for board in lab.boards:
        yield _board_page(board), _page(board, _up(1), _board_parts(lab, board, cells))
    for run in lab.runs:
        yield _run_page(run.run_id), _page(_day(run.order_utc), _up(1), _run_parts(lab, run, report_link))
    yield "index.html", _page("The lab", [], _index_parts(lab, cells, report_link))


_NIGHT = ("night", "median", "why it does not count")
_TREND_WORDS = (
    "Each night's median, with the range of its repetitions. The tinted band holds what is usual since the last segment"
    " began. ■ a new segment; ▲ system or packages changed; ◆ a decision; × a night that does not count."
)


def _index_parts(lab: _Lab, cells: Mapping[str, Sequence[str]], report_link: ReportLink) -> list[Part]:
    boards: list[list[Cell]] = []
    for board in lab.boards:
        of_board = [run for run in lab.runs if board in run.counts]
        away = quarantined(lab.decisions, board, of_board[0].order_utc)
        state = f"quarantined: {lab.scrub(clean(away.reason, 120))}" if away else ""
        sums = of_board[0].sums(board)
        boards.append(
            [
                Link(board, _board_page(board)), lab.models.get(board) or "", str(len(of_board)),
                _day(of_board[0].order_utc), f"{sums[1]} of {sums[0]}", state,
            ]
        )  # fmt: skip
    nights: list[list[Cell]] = [
        [
            Link(_day(run.order_utc), _run_page(run.run_id)),
            run.suite,
            *map(str, run.sums()),
            _report(run, report_link, 0),
        ]
        for run in lab.runs[:_NEWEST]
    ]
    return [
        Part("Boards", table=Table("Every board, with its last night",
             ("board", "model", "nights", "last night", "valid then", "state"), boards)),
        Part("Nights", table=Table(f"The newest nights, {len(nights)} of {len(lab.runs)}",
             ("night", "suite", *_COUNTED, "report"), nights)),
        Part("Series", table=_series_table(lab.series, cells, "Every series", "")),
    ]  # fmt: skip


def _series_table(
    series: Sequence[Series], cells: Mapping[str, Sequence[str]], caption: str, up: str
) -> Table:
    rows: list[list[Cell]] = [
        [Link(member.name, up + _series_page(member)), *cells[member.series_key]] for member in series
    ]
    return Table(caption, ("series", *TREND_COLUMNS), rows)


def _board_parts(lab: _Lab, board: str, cells: Mapping[str, Sequence[str]]) -> list[Part]:
    months: dict[str, list[int]] = {}
    for run in lab.runs:
        if board in run.counts:
            sums = months.setdefault(run.order_utc[:7] or "unknown", [0] * 6)
            for place, number in enumerate([1, *run.sums(board)]):
                sums[place] += number
    changes = lab.tiers.get(board, [])
    decided = [
        (_day(made.t_utc), made.kind, lab.scrub(clean(made.reason, 200)))
        for made in lab.decisions
        if made.board_id == board and made.series_key is None
    ]
    of_board = [series for series in lab.series if series.board_id == board]
    return [
        Part("Month by month", table=Table("Nights, and how their repetitions ended", ("month", "nights", *_COUNTED),
             [[month, *map(str, sums)] for month, sums in months.items()])),
        Part("What changed", "" if changes else "Nothing that the probe reads.",
             Table("Tiers of the fingerprint that changed", ("night", "what"), changes) if changes else None),
        Part("Decisions", "" if decided else "None.",
             Table("What people decided about the board", ("date", "what", "why"), decided) if decided else None),
        Part("Series", table=_series_table(of_board, cells, "Series of the board", "../")),
    ]  # fmt: skip


def _run_parts(lab: _Lab, run: _Run, report_link: ReportLink) -> list[Part]:
    rows: list[Sequence[Cell]] = [
        (Link(series.name, "../" + _series_page(series)), _counted(night), night.excluded or "")
        for series, night in lab.by_run.get(run.run_id, [])
    ]
    facts = [("run", run.run_id), ("suite", run.suite), ("complete", "yes" if run.complete else "no")]
    facts += [("clock", run.doubt)] if run.doubt else []
    boards: list[list[Cell]] = [
        [Link(board, "../" + _board_page(board)), *map(str, run.sums(board))] for board in sorted(run.counts)
    ]
    summary: list[Sequence[Cell]] = [*facts, ("report", _report(run, report_link, 1))]
    return [
        Part("The run", table=Table("What it was", ("what", "value"), summary)),
        Part("Boards", table=Table("How repetitions ended", ("board", *_COUNTED), boards)),
        Part(
            "Series", table=Table("Medians of the night", ("series", "median", "why it does not count"), rows)
        ),
    ]


def _report(run: _Run, report_link: ReportLink, depth: int) -> Cell:
    link = report_link(run.path)
    if link is None:
        return "–"
    absolute = link.startswith("/") or "://" in link
    return Link("report", link if absolute else "../" * depth + link)


def _night_link(night: Night, depth: int) -> Link:
    return Link(_day(night.t_utc), "../" * depth + _run_page(night.run_id))


def _counted(night: Night) -> str:
    median = "–" if night.value is None else seconds(night.value)
    return f"{median} ({night.n} of {night.n_all})"


def _day(moment: str) -> str:
    return moment.replace("T", " ")[:16] or "at an unknown time"


def _up(depth: int, *more: Link) -> list[Link]:
    return [Link("The lab", "../" * depth + "index.html"), *more]


def _series_page(series: Series) -> str:
    return f"series/{hashlib.sha256(series.series_key.encode()).hexdigest()[:16]}.html"


def _board_page(board: str) -> str:
    return (
        f"boards/{file_name(board).replace('%', '_')}-{hashlib.sha256(board.encode()).hexdigest()[:6]}.html"
    )


def _run_page(run_id: str) -> str:
    return f"nights/{file_name(run_id).replace('%', '_')}.html"


def _page(title: str, way: Sequence[Link], parts: Sequence[Part]) -> str:
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; style-src {hash_of(style)}; img-src data:; base-uri 'none'; form-action 'none'"
    )
    template = environment().get_template("site.html.j2")
    return template.render(policy=policy, style=Markup(style), title=title, way=way, parts=parts)  # noqa: S704


def links_beside(root: Path, out: Path) -> ReportLink:
    """Return a function that leads to the reports which lie beside the runs of a results root."""

    def link(path: str) -> str | None:
        report = root / f"{path}.html"
        return Path(os.path.relpath(report.resolve(), out.resolve())).as_posix() if report.is_file() else None

    return link


def links_below(base: str) -> ReportLink:
    """Return a function that leads to reports below an address: ``BASE/<lab>/<YYYY>/<MM>/<DD>/<run_id>.html``."""
    return lambda path: f"{base.rstrip('/')}/{path}.html"
