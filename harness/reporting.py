"""``tunebench report`` and ``tunebench compare``: what they read, write and print."""

from __future__ import annotations

import getpass
import json
import socket
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from tunebench.harness.errors import UsageError
from tunebench.reports.results import RunReader, find_run

# What makes numbers and pages (scipy, pandas, jinja2, duckdb) takes a second to load: only where it is needed.

FORMATS = ("md", "text")

RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run's directory, or a results root (newest run).")
]
HtmlOption = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write the HTML page here.")]
JsonOption = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the numbers here.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the CLI."""
    app.command("report")(report_command)
    app.command("compare")(compare_command)


def report_command(
    run: RunArgument,
    html: HtmlOption = None,
    json_file: JsonOption = None,
    baseline: Annotated[
        str | None, typer.Option("--baseline", metavar="METHOD", help="Compare with this method.")
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option("--store", metavar="DIR", help="A results root: show the trend over its nights."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            "--against",
            metavar="RUN",
            help="Hold the boards' environment against this run's; default: the run before in --store.",
        ),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", metavar="md|text", help="Print it, for a pull request or a log."),
    ] = None,
) -> None:
    """Render a run as one self-contained HTML file and/or JSON; by default RUN.html beside the run."""
    if form is not None:
        typer.echo(printed(run, baseline, form), nl=False)
        if html is None and json_file is None:
            return
    for path in report(run, html, json_file, baseline, store=store, against=against):
        if path is not None:
            typer.echo(f"Report: {path}", err=form is not None)


def compare_command(
    run_a: Annotated[
        Path, typer.Argument(metavar="RUN_A", help="The reference: a run's directory, or a results root.")
    ],
    run_b: Annotated[Path, typer.Argument(metavar="RUN_B", help="The run to hold against it.")],
    html: HtmlOption = None,
    json_file: JsonOption = None,
    form: Annotated[str, typer.Option("--format", metavar="md|text", help="How to print it.")] = "text",
) -> None:
    """Hold two runs side by side: every series that both have, and what else differs between them.

    Blocks of different runs are not paired, so this is no substitute for a comparison within one run, nor for the gate.
    """
    typer.echo(comparison(run_a, run_b, html, json_file, form), nl=False)
    for path in (html, json_file):
        if path is not None:
            typer.echo(f"Comparison: {path}", err=True)


def report(
    run_path: Path,
    html: Path | None,
    json_file: Path | None,
    baseline: str | None,
    *,
    store: Path | None = None,
    against: Path | None = None,
) -> tuple[Path | None, Path | None]:
    """Write the report of a run; without a file named, the HTML goes beside the run's directory.

    Args:
        run_path: a run's directory, or a results root.
        html: where the page goes.
        json_file: where the summary goes.
        baseline: the label to compare with.
        store: a results root whose nights the trend shows; its index is made anew.
        against: the run whose environment this one's is held against.
    """
    run_dir = find_run(run_path)
    reader = _opened(run_dir, baseline)
    if html is None and json_file is None:
        # Beside, not inside: the run's directory is write-once and its manifest lists every file in it.
        html = run_dir.with_name(f"{run_dir.name}.html")
    if html is not None:
        from tunebench.reports.html import render

        page = render(reader, baseline, words=names_here(), **_nights(store), against=_other(against))
        _write(html, page)
    if json_file is not None:
        from tunebench.reports.scrub import scrubbed, scrubber
        from tunebench.reports.summary import summarise

        _write(json_file, _json(scrubbed(summarise(reader, baseline), scrubber(_words(reader)))))
    return html, json_file


def printed(run_path: Path, baseline: str | None, form: str) -> str:
    """The report as Markdown (below 65,000 characters) or plain text, without names of people and machines."""
    _check_format(form)
    reader = _opened(find_run(run_path), baseline)
    from tunebench.reports.markdown import markdown
    from tunebench.reports.scrub import scrubbed, scrubber
    from tunebench.reports.summary import summarise
    from tunebench.reports.text import table

    summary, scrub = summarise(reader, baseline), scrubber(_words(reader))
    return markdown(summary, scrub) if form == "md" else table(scrubbed(summary, scrub))


def comparison(run_a: Path, run_b: Path, html: Path | None, json_file: Path | None, form: str) -> str:
    """Compare two runs; writes the files named and returns what is to be printed."""
    _check_format(form)
    folders = find_run(run_a), find_run(run_b)
    if folders[0].resolve() == folders[1].resolve():
        raise UsageError(f"{run_b}: is the same run as {run_a}; name two runs' directories")
    from tunebench.reports.runs import compare_runs
    from tunebench.reports.runs_words import as_markdown, as_text, shown
    from tunebench.reports.scrub import scrubber

    first, second = map(RunReader, folders)
    found, words = compare_runs(first, second), _words(first, second)
    if html is not None:
        from tunebench.reports.html import render_comparison

        _write(html, render_comparison(found, words=words))
    if json_file is not None:
        _write(json_file, _json(shown(found, scrubber(words))))
    return (as_markdown if form == "md" else as_text)(found, scrubber(words))


def names_here() -> list[str]:
    """Names that no report and no export may show: this machine's and its user's."""
    names = [socket.gethostname(), socket.gethostname().split(".")[0]]
    try:
        names.append(getpass.getuser())
    except (KeyError, OSError):
        pass  # a user without a name has none to hide
    return names


def _words(*readers: RunReader) -> set[str]:
    """:func:`names_here`, less what the lab itself named its boards and methods."""
    from tunebench.reports.scrub import shown_names

    shown = {name for reader in readers for name in shown_names(reader.repetitions)}
    return set(names_here()) - shown


def _opened(run_dir: Path, baseline: str | None) -> RunReader:
    reader = RunReader(run_dir)
    labels = sorted({record.label for record in reader.repetitions})
    if baseline is not None and baseline not in labels:
        raise UsageError(f"--baseline {baseline!r}: not in this run; it has: {', '.join(labels)}")
    return reader


def _nights(store: Path | None) -> dict[str, Any]:
    """Index and decisions of a store; the index is a cache and always made anew."""
    if store is None:
        return {}
    from tunebench.reports.history import decisions, index

    console = Console(stderr=True)
    made = index.build(store)
    found, warnings = decisions.read(store)
    for warning in [*made.warnings, *warnings]:
        console.print(warning, markup=False, soft_wrap=True)
    return {"index": made.path, "decisions": found}


def _other(run: Path | None) -> RunReader | None:
    return None if run is None else RunReader(find_run(run))


def _check_format(form: str) -> None:
    if form not in FORMATS:
        raise UsageError(f"--format {form!r}: one of {', '.join(FORMATS)}")


def _json(value: object) -> str:
    return json.dumps(value, indent=2, sort_keys=True, allow_nan=False)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # A lone surrogate of a hostile name has no UTF-8.
    path.write_text(text, encoding="utf-8", errors="replace")
