"""Write the files of a report: HTML, JSON, Markdown and plain text."""

from __future__ import annotations

import getpass
import json
import shlex
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from tunebench.reports.formatting.output import OutputError, write_output
from tunebench.reports.results import ResultsError, RunReader, find_run

if TYPE_CHECKING:
    from tunebench.reports.history.decisions import Decision
    from tunebench.reports.history.gating import Judgement
    from tunebench.reports.stores.address import Address

FORMATS = ("md", "text")


def report(
    run_path: Path,
    html: Path | None,
    json_file: Path | None,
    baseline: str | None,
    *,
    store: Path | Address | None = None,
    against: Path | None = None,
    gate: Judgement | None = None,
) -> tuple[Path | None, Path | None]:
    """Write the report of a run; without a file named, the HTML goes beside the run's directory.

    Args:
        run_path: a run's directory, or a results root.
        html: where the page goes.
        json_file: where the summary goes.
        baseline: the label to compare with.
        store: a results root whose nights the trend shows; its index is made anew.
        against: the run whose environment this one's is held against.
        gate: the verdict on its night; default: the one that was kept beside the run, if any.

    Raises:
        OutputError: a file cannot be written; what was there before is unchanged.
    """
    from tunebench.reports.render.gate_block import regressed, stored_judgement

    run_dir = find_run(run_path)
    reader = _opened(run_dir, baseline)
    judged = gate or stored_judgement(run_dir, str(reader.plan_view.run_id))
    beside = html is None and json_file is None
    if beside:
        # Beside, not inside: the run's directory is write-once and its manifest lists every file in it.
        html = run_dir.with_name(f"{run_dir.name}.html")
    if html is not None:
        from tunebench.reports.render.html import render

        index, decided = _nights(store)
        page = render(
            reader,
            baseline,
            words=names_here(),
            index=index,
            decisions=decided,
            against=_other(against),
            gate=judged,
        )
        try:
            _write(html, page, "--html")
        except OutputError as error:
            if not beside:
                raise
            command = shlex.join(["tunebench", "report", str(run_dir), "--html", html.name])
            raise OutputError(f"{error}, e.g. {command}", disk=error.disk) from error
    if json_file is not None:
        from tunebench.reports.formatting.privacy import scrubbed, scrubber
        from tunebench.reports.summary import as_json, summarise

        worse = regressed(judged, reader.repetitions)
        summary = scrubbed(summarise(reader, baseline, regressed=worse), scrubber(_words(reader)))
        _write(json_file, _json(as_json(summary)), "--json")
    return html, json_file


def printed(run_path: Path, baseline: str | None, form: str) -> str:
    """Return the report as Markdown (below 65,000 characters) or plain text, without names of people and machines."""
    _check_format(form)
    run_dir = find_run(run_path)
    reader = _opened(run_dir, baseline)
    from tunebench.reports.formatting.privacy import scrubbed, scrubber
    from tunebench.reports.render.gate_block import regressed, stored_judgement
    from tunebench.reports.render.markdown import markdown
    from tunebench.reports.render.text import table
    from tunebench.reports.summary import summarise

    worse = regressed(stored_judgement(run_dir, str(reader.plan_view.run_id)), reader.repetitions)
    summary, scrub = summarise(reader, baseline, regressed=worse), scrubber(_words(reader))
    return markdown(summary, scrub) if form == "md" else table(scrubbed(summary, scrub))


def comparison(run_a: Path, run_b: Path, html: Path | None, json_file: Path | None, form: str) -> str:
    """Compare two runs, write the files named and return the text to print."""
    _check_format(form)
    folders = find_run(run_a), find_run(run_b)
    if folders[0].resolve() == folders[1].resolve():
        raise ResultsError(f"{run_b}: is the same run as {run_a}; name two runs' directories")
    from tunebench.reports.analysis.two_runs.comparison import compare_runs
    from tunebench.reports.formatting.json_value import json_value
    from tunebench.reports.formatting.privacy import scrubbed, scrubber
    from tunebench.reports.render.compare import as_markdown, as_text

    first, second = map(RunReader, folders)
    if first.manifest is not None and first.manifest == second.manifest:
        raise ResultsError(f"{run_b}: is the same run as {run_a}, of another place; name two runs")
    compared, words = compare_runs(first, second), _words(first, second)
    if html is not None:
        from tunebench.reports.render.html import render_comparison

        _write(html, render_comparison(compared, words=words), "--html")
    if json_file is not None:
        _write(json_file, _json(json_value(scrubbed(compared, scrubber(words)))), "--json")
    return (as_markdown if form == "md" else as_text)(compared, scrubber(words))


def names_here() -> list[str]:
    """Return the names that no report and no export may show: this machine's and its user's."""
    names = [socket.gethostname(), socket.gethostname().split(".")[0]]
    try:
        names.append(getpass.getuser())
    except (KeyError, OSError):
        pass  # a user without a name has none to hide
    return names


def _words(*readers: RunReader) -> set[str]:
    """Return :func:`names_here` without the names that the lab gave to its own boards and methods."""
    from tunebench.reports.formatting.privacy import shown_names

    shown = {name for reader in readers for name in shown_names(reader.repetitions)}
    return set(names_here()) - shown


def _opened(run_dir: Path, baseline: str | None) -> RunReader:
    reader = RunReader(run_dir)
    labels = sorted({record.label for record in reader.repetitions})
    if baseline is not None and baseline not in labels:
        raise ResultsError(f"--baseline {baseline!r}: not in this run; it has: {', '.join(labels)}")
    return reader


def _nights(store: Path | Address | None) -> tuple[Path | None, Sequence[Decision]]:
    """Return the index and the decisions of a store; the index is a cache and is always built anew."""
    if store is None:
        return None, ()
    from tunebench.reports.history import decisions, index

    console = Console(stderr=True)
    made = index.build(store)
    decided, warnings = decisions.read(store)
    for warning in [*made.warnings, *warnings]:
        console.print(warning, markup=False, soft_wrap=True)
    if not isinstance(store, Path):
        from tunebench.reports.render.stored import lay_probes

        # The trend looks beside the index for what the run before found on the boards.
        lay_probes(store, made.path.parent)
    elif made.path.parent.resolve() != store.resolve():
        for lab in (entry for entry in store.resolve().iterdir() if entry.is_dir()):
            (made.path.parent / lab.name).symlink_to(lab)
    return made.path, decided


def _other(run: Path | None) -> RunReader | None:
    return None if run is None else RunReader(find_run(run))


def _check_format(form: str) -> None:
    if form not in FORMATS:
        raise ResultsError(f"--format {form!r}: one of {', '.join(FORMATS)}")


def _json(value: object) -> str:
    return json.dumps(value, indent=2, sort_keys=True, allow_nan=False)


def _write(path: Path, text: str, option: str) -> None:
    # A lone surrogate of a hostile name has no UTF-8.
    write_output(path, text.encode("utf-8", "replace"), option)
