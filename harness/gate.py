"""``tunebench index``, ``gate``, ``accept``, ``quarantine``: a lab's history, and the verdict on its newest night.

The judgement itself is :mod:`tunebench.reports.history.gating`; here stand the commands and what they print.
"""

from __future__ import annotations

import getpass
import json
import os
from collections import Counter
from pathlib import Path
from typing import Annotated, Any
from xml.etree import ElementTree

import typer
from rich.console import Console

from tunebench.harness.errors import UsageError
from tunebench.harness.inventory import Inventory, load_inventory
from tunebench.harness.session import data_dir_from_env
from tunebench.reports.history import decisions, index
from tunebench.reports.history.gating import Confirmer, Finding, Judgement, judge
from tunebench.reports.history.series import Series, all_series, opened
from tunebench.reports.results import RunReader, find_run

#: Verdicts that a reader must act on or know of, in the order in which they are shown.
_ORDER = (
    "REGRESSION", "OFFLINE", "DAMAGED", "INVALID", "UNCLEAR", "MISSING", "BOARD", "RENAMED", "TRANSIENT",
    "IMPROVED", "QUARANTINED", "NEW",
)  # fmt: skip
#: Verdicts that fail a JUnit test case; the others pass or are skipped.
_FAILURES = {"REGRESSION", "OFFLINE", "DAMAGED", "INVALID", "MISSING"}
_SHOWN = 40

StoreOption = Annotated[Path, typer.Option("--store", metavar="DIR", help="Root of the results directories.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it is kept and shown in reports.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the CLI."""
    app.command("index")(index_command)
    app.command("gate")(gate_command)
    app.command("accept")(accept_command)
    app.command("quarantine")(quarantine_command)


def index_command(
    store: Annotated[Path, typer.Argument(metavar="DIR", help="Root of the results directories.")] = Path(
        "results"
    ),
) -> None:
    """Build the index of all runs below DIR: a cache (DIR/index.duckdb) that can be deleted at any time."""
    console = Console(stderr=True)
    report = index.build(store, progress=lambda told: console.print(told, markup=False, soft_wrap=True))
    for warning in report.warnings:
        console.print(warning, markup=False, soft_wrap=True)
    if report.damaged:
        console.print(f"{report.damaged} damaged lines were left out", markup=False)
    typer.echo(f"Index: {report.path} ({report.runs} runs, {report.repetitions} repetitions)")


def gate_command(
    run: Annotated[Path, typer.Option("--run", metavar="RUN", help="The run to judge (or a results root).")],
    store: StoreOption = Path("results"),
    inventory: Annotated[
        Path | None,
        typer.Option("--inventory", "-i", metavar="FILE", help="The lab's boards, to confirm on."),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            metavar="ARTIFACT",
            help="The pinned build: a run's directory or a payload's SHA-256[+environment's SHA-256].",
        ),
    ] = None,
    junit: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML.")] = None,
    markdown: Annotated[
        Path | None, typer.Option("--md", metavar="FILE", help="Write a Markdown summary.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Judge a night: screen every series against its last nights, list what is missing, decide.

    With --inventory and --baseline, what the screen nominates is measured again in pairs of the pinned build and
    tonight's on the same board; without, it is UNCLEAR. Exit codes: 0 nothing found, 1 a
    confirmed regression, 3 unclear, 4 infrastructure (precedence 2, 1, 4, 3, 0).
    """
    if (inventory is None) != (baseline is None):
        raise UsageError(
            "--inventory and --baseline go together: boards to confirm on, and the build to compare with"
        )
    judgement = gate(run, store)
    if inventory is not None and baseline is not None:
        judgement = confirmed(judgement, run, store, load_inventory(inventory), baseline)
    if junit is not None:
        junit.write_text(junit_xml(judgement), encoding="utf-8")
    if markdown is not None:
        markdown.write_text(markdown_text(judgement), encoding="utf-8")
    typer.echo(json.dumps(as_json_value(judgement), indent=2) if as_json else plain_text(judgement))
    raise typer.Exit(judgement.exit_code)


def accept_command(
    series: Annotated[
        str,
        typer.Argument(metavar="SERIES", help="Series key (or its beginning), or 'board / task / label'."),
    ],
    reason: ReasonOption,
    store: StoreOption = Path("results"),
) -> None:
    """Accept a change: the series starts a new segment, older nights are no yardstick any more."""
    chosen = find_series(store, series)
    path = _decide(store, "accept", reason, series_key=chosen.series_key, board_id=chosen.board_id)
    typer.echo(f"Accepted {chosen.name} ({chosen.series_key[:12]}) in {path}")


def quarantine_command(
    board: Annotated[str, typer.Argument(metavar="BOARD", help="A board's id.")],
    reason: ReasonOption,
    store: StoreOption = Path("results"),
    release: Annotated[bool, typer.Option("--release", help="End the quarantine.")] = False,
) -> None:
    """Leave a board's nights out of the gate from now on, until it is released."""
    _refresh(store)
    with opened(store / index.INDEX) as database:
        known = sorted({one.board_id for one in all_series(database)})
    if board not in known:
        raise UsageError(f"board {board!r} is not in {store}; the results have: {', '.join(known)}")
    path = _decide(store, "release" if release else "quarantine", reason, board_id=board)
    typer.echo(f"{'Released' if release else 'Quarantined'} {board} in {path}")


def gate(run: Path, store: Path, confirmer: Confirmer | None = None) -> Judgement:
    """Index the store, then judge one run of it.

    Raises:
        UsageError: the run does not lie below the store.
        ResultsError: the run or the store is not readable.
    """
    folder = find_run(run)
    reader = RunReader(folder, check=False)
    run_id = str(reader.plan.get("run_id"))
    report = _refresh(store)
    made, _ = decisions.read(store)
    damaged = sum("was left out" in warning for warning in reader.warnings)
    with opened(report.path) as database:
        if not database.execute("SELECT 1 FROM runs WHERE run_id = ?", [run_id]).fetchone():
            raise UsageError(f"--run {folder}: not below --store {store}; the gate needs its history there")
        return judge(database, run_id, decisions=made, confirmer=confirmer, damaged=damaged)


def confirmed(judgement: Judgement, run: Path, store: Path, inventory: Inventory, baseline: str) -> Judgement:
    """The judgement again, with what was nominated measured on the boards; unchanged if nothing was."""
    from tunebench.harness.confirming import (  # what reaches boards is loaded only for them
        Night,
        confirmer,
        find_baseline,
    )

    find_baseline(store, baseline)  # a wrong one is told on quiet nights too
    if not any(one.screening and one.screening.state == "suspect" for one in judgement.findings):
        return judgement
    night = Night(RunReader(find_run(run), check=False), store, inventory, data_dir_from_env())
    answer = confirmer(judgement, night, baseline, Console(stderr=True))
    return gate(run, store, answer)


def find_series(store: Path, wanted: str) -> Series:
    """The series that a person means.

    Raises:
        UsageError: none or several fit; the message names those that are near.
    """
    _refresh(store)
    with opened(store / index.INDEX) as database:
        every = all_series(database)
    plain = "".join(wanted.split())
    fits = [one for one in every if one.series_key.startswith(wanted) or "".join(one.name.split()) == plain]
    if len(fits) == 1:
        return fits[0]
    shown = fits or [one for one in every if any(part in one.name for part in wanted.split("/"))] or every
    names = "; ".join(f"{one.name} ({one.series_key[:12]})" for one in shown[:8])
    more = f"; and {len(shown) - 8} more" if len(shown) > 8 else ""
    what = "is ambiguous" if fits else "is not known"
    raise UsageError(f"series {wanted!r} {what} in {store}; {'it fits' if fits else 'it has'}: {names}{more}")


def _refresh(store: Path) -> index.IndexReport:
    return index.build(store)


def _decide(store: Path, kind: decisions.Kind, reason: str, **fields: str) -> Path:
    if not reason.strip():
        raise UsageError("--reason: say why; it is kept and shown in reports")
    try:
        who = getpass.getuser()
    except (KeyError, OSError):
        who = str(os.getuid())
    made = decisions.Decision(t_utc=decisions.now_utc(), who=who, kind=kind, reason=reason.strip(), **fields)
    return decisions.append(store, made)


def _ordered(judgement: Judgement) -> list[Finding]:
    return sorted(judgement.findings, key=lambda one: (_ORDER.index(one.verdict), one.name))


def as_json_value(judgement: Judgement) -> dict[str, Any]:
    """The judgement for scripts."""
    return {
        "schema": "tunebench.gate/1",
        "run_id": judgement.run_id,
        "exit_code": judgement.exit_code,
        "screened": judgement.screened,
        "learning": judgement.learning,
        "confirmed": judgement.confirmed,
        "findings": [one.as_dict() for one in _ordered(judgement)],
    }


def _figures(one: Finding) -> str:
    """``time +7.1% (z 5.2, 30 nights); pairs +6.8%, bound +5.9%`` or nothing."""
    parts = []
    held, pairs = one.screening, one.confirmation
    if held is not None and held.change is not None:
        change = f"{held.change:+.3f}" if one.metric == "accuracy" else f"{held.change:+.1%}"
        parts.append(f"{one.metric} {change} (z {held.z:.1f}, {held.n} nights)")
    if pairs is not None and pairs.change is not None and pairs.bound is not None:
        unit = "+.3f" if one.metric == "accuracy" else "+.1%"
        parts.append(f"pairs {format(pairs.change, unit)}, bound {format(pairs.bound, unit)}")
    return "; ".join(parts)


def headline(judgement: Judgement) -> str:
    """One line: what the night was."""
    counts = Counter(str(one.verdict) for one in judgement.findings)
    told = ", ".join(f"{counts[name]} {name}" for name in _ORDER if counts[name]) or "nothing found"
    return (
        f"gate: exit {judgement.exit_code}: {told}; {judgement.screened} values screened"
        f" ({judgement.learning} still learning), {judgement.confirmed} confirmed on boards"
    )


def plain_text(judgement: Judgement) -> str:
    """For a terminal."""
    lines = [headline(judgement)]
    for one in _ordered(judgement)[:_SHOWN]:
        told = "; ".join(filter(None, [_figures(one), one.reason]))
        lines.append(_printable(f"  {one.verdict:11} {one.name}: {told}"))
    if len(judgement.findings) > _SHOWN:
        lines.append(f"  and {len(judgement.findings) - _SHOWN} more (--json has all)")
    return "\n".join(lines)


def markdown_text(judgement: Judgement) -> str:
    """For a job's page or a pull request."""
    lines = [f"### tunebench gate, run `{_cell(judgement.run_id)}`", "", _cell(headline(judgement)), ""]
    if judgement.findings:
        lines += ["| verdict | series | figures | reason |", "|---|---|---|---|"]
        lines += [
            f"| {one.verdict} | {_cell(one.name)} | {_cell(_figures(one))} | {_cell(one.reason)} |"
            for one in _ordered(judgement)[:_SHOWN]
        ]
        if len(judgement.findings) > _SHOWN:
            lines += ["", f"and {len(judgement.findings) - _SHOWN} more"]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Text from results is shown as text: no markup, no new cell, no new line."""
    plain = "".join(char if char.isprintable() else " " for char in text)[:300]
    for char in "\\`*_[]<>|#&":
        plain = plain.replace(char, f"&#{ord(char)};")
    return plain


def junit_xml(judgement: Judgement) -> str:
    """One test case a finding: what CI systems show of a job."""
    cases = _ordered(judgement)
    failed = sum(one.verdict in _FAILURES for one in cases)
    skipped = sum(one.verdict == "UNCLEAR" for one in cases)
    suite = ElementTree.Element(
        "testsuite",
        name="tunebench gate",
        tests=str(len(cases) or 1),
        failures=str(failed),
        skipped=str(skipped),
    )
    if not cases:
        ElementTree.SubElement(suite, "testcase", classname="gate", name="nothing found")
    for one in cases:
        name = f"{_printable(one.name)} [{one.metric or one.verdict}]"
        case = ElementTree.SubElement(suite, "testcase", classname=_printable(one.board_id), name=name)
        message = _printable("; ".join(filter(None, [one.verdict, _figures(one), one.reason])))
        if one.verdict in _FAILURES:
            ElementTree.SubElement(case, "failure", message=message)
        elif one.verdict == "UNCLEAR":
            ElementTree.SubElement(case, "skipped", message=message)
        else:
            ElementTree.SubElement(case, "system-out").text = message
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _printable(text: str) -> str:
    """XML has no place for control characters."""
    return "".join(char if char.isprintable() else "?" for char in text)[:500]
