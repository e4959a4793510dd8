"""The public interface for scripts and notebooks: run a suite, load results, compare runs. docs/api.md has examples."""

from __future__ import annotations

import html as html_text
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from tunebench.harness.errors import HarnessError, UsageError
from tunebench.reports.analysis.row import Verdict
from tunebench.reports.analysis.two_runs.comparison import RunComparison, compare_runs
from tunebench.reports.render import files
from tunebench.reports.results import ResultsError, RunReader, find_run
from tunebench.reports.results.frames import frame
from tunebench.reports.summary import Summary, summarise

#: A file or folder, as :func:`open` takes it.
AnyPath = str | PathLike[str]

#: Columns of :attr:`Results.verdicts`.
VERDICT_COLUMNS = (
    "board_id", "task", "label", "baseline", "quantity", "verdict", "better", "value", "unit", "low", "high",
    "confidence", "delta", "n", "blocks_needed", "reason",
)  # fmt: skip
#: Columns of :attr:`Comparison.rows`.
ROW_COLUMNS = (
    "board_id", "task", "label", "quantity", "a", "b", "unit", "value", "low", "high", "confidence", "verdict",
)  # fmt: skip


class Results:
    """The results of one run, complete or not; :func:`load` and :func:`run` make it. Nothing in it changes.

    Attributes:
        path: the run's directory.
    """

    def __init__(self, reader: RunReader) -> None:
        self.path = reader.path
        self._reader = reader

    @property
    def run_id(self) -> str:
        """Return the run's id: the time at which it began, and a random part."""
        return self.summary.run.run_id

    @property
    def complete(self) -> bool:
        """Return whether the run came to its end; one that did not can be resumed."""
        return self._reader.complete

    @cached_property
    def repetitions(self) -> pd.DataFrame:
        """Return one row for each stored repetition, in the order stored.

        Units stand in the names: ``_s`` seconds, ``_b`` bytes, ``_j`` joules, ``_c`` degrees Celsius. Only rows with
        ``usable`` (timed, ended well, not judged invalid) stand in the summary's medians.
        """
        return frame(self._reader.repetitions)

    @cached_property
    def summary(self) -> Summary:
        """Return the numbers of the report, typed: medians, intervals, verdicts, checks, cautions."""
        return summarise(self._reader)

    @cached_property
    def verdicts(self) -> pd.DataFrame:
        """Return one row for each method and quantity (time, energy, memory, accuracy): how it compares.

        ``value`` is method / baseline (unit ``ratio``) or method - baseline (unit ``points``, percentage points), with
        its interval from ``low`` to ``high``. Where nothing could be compared, ``verdict`` is None and ``reason`` says
        why.
        """
        rows = [
            {
                "board_id": row.board_id,
                "task": row.task,
                "label": row.label,
                "baseline": row.baseline,
                **(
                    {name: getattr(verdict, name) for name in VERDICT_COLUMNS if hasattr(verdict, name)}
                    if isinstance(verdict, Verdict)
                    else {"quantity": verdict.quantity, "verdict": None, "reason": verdict.missing}
                ),
            }
            for row in self.summary.rows
            for verdict in row.verdicts.values()
        ]
        return pd.DataFrame(rows, columns=list(VERDICT_COLUMNS))

    def report(
        self, html: AnyPath | None = None, *, baseline: str | None = None, store: AnyPath | None = None
    ) -> Path:
        """Write the report, one self-contained HTML file, and return its path.

        Args:
            html: the file; default: beside the run's directory, with its name and ``.html``.
            baseline: the label to compare with; default: the suite's.
            store: a results root whose nights the page shows as a trend.

        Raises:
            ResultsError: no repetition has the label ``baseline``.
            OutputError: the file cannot be written; what was there before is unchanged.
        """
        page = Path(html) if html is not None else self.path.with_name(f"{self.path.name}.html")
        files.report(self.path, page, None, baseline, store=None if store is None else Path(store))
        return page

    def __repr__(self) -> str:
        counts = self.summary.counts
        planned = f" of {counts.planned}" if counts.planned is not None else ""
        state = "complete" if self.complete else "not complete"
        return f"<Results {self.run_id}: suite {self.summary.run.suite}, {counts.recorded}{planned} repetitions, {state}>"

    def _repr_html_(self) -> str:
        return _html(repr(self), self.verdicts)


class Comparison:
    """Two runs side by side; :func:`compare` makes it.

    Blocks of different runs are not paired, so this is no substitute for a comparison within one run, nor for the gate.
    """

    def __init__(self, a: Results, b: Results) -> None:
        self.a = a
        self.b = b

    @cached_property
    def details(self) -> RunComparison:
        """Return everything that was compared, typed: rows, series of one run only, other differences, cautions."""
        return compare_runs(RunReader(self.a.path), RunReader(self.b.path))

    @cached_property
    def rows(self) -> pd.DataFrame:
        """Return one row for each series and quantity that both runs hold.

        ``value`` is B / A (unit ``ratio``) or B - A (unit ``points``, percentage points).
        """
        return pd.DataFrame(map(_comparison_row, self.details.rows), columns=list(ROW_COLUMNS))

    @cached_property
    def differences(self) -> pd.DataFrame:
        """Return what else differs between the runs: systems, power modes, versions; columns where, what, a, b."""
        return _table(self.details.environment, ("where", "what", "a", "b"))

    def report(self, html: AnyPath) -> Path:
        """Write the comparison as one self-contained HTML file and return its path."""
        files.comparison(self.a.path, self.b.path, Path(html), None, "text")
        return Path(html)

    def __repr__(self) -> str:
        return f"<Comparison of A {self.a.run_id} and B {self.b.run_id}: {len(self.details.rows)} rows>"

    def _repr_html_(self) -> str:
        return _html(repr(self), self.rows)


def load(path: AnyPath) -> Results:
    """Open the results of a run; a results root stands for its newest run.

    Raises:
        RunNotFound: there is no run.
        ResultsError: the run is damaged; the message names the file.
    """
    return Results(RunReader(find_run(Path(path))))


def compare(a: Results | AnyPath, b: Results | AnyPath) -> Comparison:
    """Hold run ``b`` against run ``a``, each a :class:`Results` or a path as for :func:`load`.

    Raises:
        ResultsError: both are the same run, or one of them cannot be read.
    """
    first, second = (run if isinstance(run, Results) else load(run) for run in (a, b))
    if first.path.resolve() == second.path.resolve():
        raise ResultsError(f"{second.path}: is the same run as {first.path}; name two runs")
    return Comparison(first, second)


def run(
    inventory: AnyPath,
    suite: AnyPath = "quick",
    *,
    boards: str | Sequence[str] | None = None,
    methods: str | Sequence[str] | None = None,
    out: AnyPath = "results",
    resume: bool = False,
    blocks: int | None = None,
    add_blocks: int = 0,
    until_decided: bool = False,
    max_blocks: int | None = None,
) -> Results:
    """Run a suite on the boards of an inventory, as ``tunebench run`` does, and return its results.

    Progress goes to standard error. A Ctrl-C (in a notebook: interrupt) leaves a run that ``resume`` continues.

    Args:
        inventory: the file with the lab's boards (TOML).
        suite: the name of a built-in suite, or a suite file.
        boards: globs of ids or tags; default: all boards.
        methods: labels of the suite; default: all.
        out: root of the results directories.
        resume: continue the newest unfinished run of this suite below ``out``; it is an error if there is none.
        blocks: so many in place of the suite's.
        add_blocks: add so many to the newest finished run of this suite below ``out``; its records stay as they are.
        until_decided: measure until every comparison of times is decided, by looks fixed beforehand.
        max_blocks: bound of ``until_decided``; default 30, or the suite's blocks if these are more.

    Raises:
        UsageError: inventory, suite, boards, methods, blocks or ``out`` are wrong; the message says where and what is
            right.
        HarnessError: nothing was recorded, e.g. because no board could be reached.
    """
    from tunebench.harness.account import complete_account
    from tunebench.harness.artifacts.gather import data_dir_from_env
    from tunebench.harness.campaign import run as campaign
    from tunebench.harness.campaign.progress import console
    from tunebench.harness.campaign.session import Request
    from tunebench.harness.config.inventory import load_inventory
    from tunebench.harness.config.suite import load_suite, sized

    complete_account()
    if add_blocks < 0 or (add_blocks and (resume or until_decided)):
        raise UsageError("add_blocks: a whole number from 1, and neither resume nor until_decided beside it")
    chosen = sized(
        load_suite(str(suite)).only_methods(_comma_separated(methods)),
        blocks=blocks,
        until_decided=until_decided,
        max_blocks=max_blocks,
    )
    lab = load_inventory(Path(inventory))
    request = Request(
        suite=chosen,
        boards=lab.select(_comma_separated(boards)),
        lab=lab.lab.name,
        out=Path(out),
        resume=resume,
        command=["tunebench.run", str(inventory), str(suite)],
        data_dir=data_dir_from_env(),
        add_blocks=add_blocks,
    )
    code, run_dir = campaign.run(request, console())
    if run_dir is None:
        raise HarnessError(f"nothing was recorded (exit code {code}); the lines above say why")
    return Results(RunReader(run_dir))


def _comma_separated(names: str | Sequence[str] | None) -> str | None:
    return names if names is None or isinstance(names, str) else ",".join(names)


def _comparison_row(row: Any) -> dict[str, Any]:
    """Return a row of a comparison as columns; accuracies differ by points, everything else by a ratio."""
    unit = "points" if hasattr(row, "points") else "ratio"
    values = {name: getattr(row, name) for name in ROW_COLUMNS if hasattr(row, name)}
    series = asdict(row.series)
    return {
        **{name: series[name] for name in ("board_id", "task", "label")},
        **values,
        "unit": unit,
        "value": getattr(row, unit),
    }


def _table(rows: Iterable[Any], columns: Sequence[str]) -> pd.DataFrame:
    values = [{item.name: getattr(row, item.name) for item in fields(row)} for row in rows]
    return pd.DataFrame(values, columns=list(columns))


def _html(heading: str, table: pd.DataFrame) -> str:
    shown = table.to_html(index=False, na_rep="", float_format=lambda value: f"{value:.4g}", border=0)
    return f"<p>{html_text.escape(heading)}</p>\n{shown}"
