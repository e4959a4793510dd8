"""Show the gate's judgement of a night: plain text, Markdown, JSON and JUnit XML; read it back from JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypedDict, get_args
from xml.etree import ElementTree

from tunebench.reports.history.confirm import Confirmation
from tunebench.reports.history.gating import Judgement, NightFinding, NightVerdict
from tunebench.reports.history.screen import Screening, Sight

#: Verdicts that a reader must act on or know of, in the order in which they are shown.
_ORDER = (
    "REGRESSION", "OFFLINE", "DAMAGED", "INVALID", "UNCLEAR", "MISSING", "LEARNING", "BOARD", "SWAPPED", "CLOCK",
    "RENAMED", "TRANSIENT", "IMPROVED", "QUARANTINED", "NEW", "OK",
)  # fmt: skip
#: Verdicts that fail a JUnit test case; the others pass or are skipped.
_FAILURES = {"REGRESSION", "OFFLINE", "DAMAGED", "INVALID", "MISSING"}
#: Verdicts that say that nothing can be said: a skipped test case.
_SKIPPED = {"UNCLEAR", "LEARNING"}
_SHOWN = 40
SCHEMA = "tunebench.gate/1"

#: Finding -> the command by which a person decides on it; None: there is nothing to decide.
Decide = Callable[[NightFinding], str | None]


class GateJson(TypedDict):
    """What ``tunebench gate --json`` prints; ``findings`` and ``passed`` are :class:`NightFinding`, field by field."""

    schema: str
    run_id: str
    exit_code: int
    screened: int
    learning: int
    confirmed: int
    findings: list[dict[str, object]]
    passed: list[dict[str, object]]
    sight: dict[str, object] | None


def ordered(judgement: Judgement) -> list[NightFinding]:
    return sorted(judgement.findings, key=lambda finding: (_ORDER.index(finding.verdict), finding.name))


def as_json_value(judgement: Judgement) -> GateJson:
    """Return the judgement for scripts."""
    return {
        "schema": SCHEMA,
        "run_id": judgement.run_id,
        "exit_code": judgement.exit_code,
        "screened": judgement.screened,
        "learning": judgement.learning,
        "confirmed": judgement.confirmed,
        "findings": [asdict(finding) for finding in ordered(judgement)],
        "passed": [asdict(finding) for finding in judgement.passed],
        "sight": None if judgement.sight is None else asdict(judgement.sight),
    }


def judgement_of(value: Any) -> Judgement:
    """Return the judgement that :func:`as_json_value` made JSON of; keys that are not known are ignored.

    Raises:
        ValueError: it is none.
    """
    try:
        if value["schema"] != SCHEMA and not value["schema"].startswith(f"{SCHEMA}."):
            raise ValueError(f"schema {value['schema']!r}, this version reads {SCHEMA!r}")
        sight = value.get("sight")
        return Judgement(
            run_id=str(value["run_id"]),
            findings=[_finding_of(finding) for finding in value["findings"]],
            screened=int(value["screened"]),
            learning=int(value["learning"]),
            confirmed=int(value["confirmed"]),
            passed=[_finding_of(finding) for finding in value.get("passed", [])],
            sight=None if sight is None else Sight(**_known(Sight, sight)),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no judgement of a night: {type(error).__name__}: {error}") from None


def _finding_of(value: Any) -> NightFinding:
    fields = _known(NightFinding, value)
    if fields["verdict"] not in get_args(NightVerdict):
        raise ValueError(f"unknown verdict {fields['verdict']!r}")
    for name, kind in (("screening", Screening), ("confirmation", Confirmation)):
        if fields.get(name) is not None:
            fields[name] = kind(**_known(kind, fields[name]))
    return NightFinding(**fields)


def _known(kind: Any, value: Any) -> dict[str, Any]:
    """Return those keys of an object that are fields of a dataclass."""
    return {name: item for name, item in value.items() if name in kind.__dataclass_fields__}


def figures(finding: NightFinding) -> str:
    """Return ``time +7.1% (z 5.2, 30 nights); pairs +6.8%, bound +5.9%``, or nothing."""
    parts = []
    say = _points if finding.metric == "accuracy" else _relative
    screening, pairs = finding.screening, finding.confirmation
    if screening is not None and screening.change is not None:
        parts.append(f"{finding.metric} {say(screening.change)} (z {screening.z:.1f}, {screening.n} nights)")
    if pairs is not None and pairs.change is not None and pairs.bound is not None:
        # A confirmation counts what is worse as more than 0; of accuracy less is worse.
        sign = -1 if finding.metric == "accuracy" else 1
        parts.append(f"pairs {say(sign * pairs.change)}, bound {say(sign * pairs.bound)}")
    return "; ".join(parts)


def _relative(change: float) -> str:
    return f"{change:+.1%}"


def _points(change: float) -> str:
    return f"{100 * change:+.2f} points"


def headline(judgement: Judgement) -> str:
    """Return the night in one line."""
    counts = Counter(str(finding.verdict) for finding in judgement.findings)
    verdicts = ", ".join(f"{counts[name]} {name}" for name in _ORDER if counts[name]) or "nothing found"
    sight = f"; {judgement.sight.sentence}" if judgement.sight is not None else ""
    return (
        f"gate: exit {judgement.exit_code}: {verdicts}{sight}; {judgement.screened} values screened"
        f" ({judgement.learning} still learning), {judgement.confirmed} confirmed on boards"
    )


def plain_text(judgement: Judgement, decide: Decide | None = None) -> str:
    """Return the judgement for a terminal; under each finding the command that decides on it, ready to be pasted."""
    lines, shown = [headline(judgement)], set[str]()
    for finding in ordered(judgement)[:_SHOWN]:
        details = "; ".join(filter(None, [figures(finding), finding.reason]))
        lines.append(_printable(f"  {finding.verdict:11} {finding.name}: {details}"))
        command = decide(finding) if decide is not None else None
        if command and command not in shown:
            shown.add(command)
            lines.append(f"    {_printable(command)}")
    if len(judgement.findings) > _SHOWN:
        lines.append(f"  and {len(judgement.findings) - _SHOWN} more (--json has all)")
    return "\n".join(lines)


def markdown_text(judgement: Judgement, decide: Decide | None = None) -> str:
    """Return the judgement for a job's page or a pull request, with the commands that decide on its findings."""
    lines = [f"### tunebench gate, run `{_cell(judgement.run_id)}`", "", _cell(headline(judgement)), ""]
    if judgement.findings:
        lines += ["| verdict | series | figures | reason |", "|---|---|---|---|"]
        lines += [
            f"| {finding.verdict} | {_cell(finding.name)} | {_cell(figures(finding))} | {_cell(finding.reason)} |"
            for finding in ordered(judgement)[:_SHOWN]
        ]
        if len(judgement.findings) > _SHOWN:
            lines += ["", f"and {len(judgement.findings) - _SHOWN} more"]
        commands = [decide(finding) for finding in ordered(judgement)[:_SHOWN]] if decide is not None else []
        shown = [_printable(command).replace("`", "'") for command in dict.fromkeys(commands) if command]
        lines += ["", "If a change is meant:", "", "```console", *shown, "```"] if shown else []
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Escape text from results for a table cell: no markup, no new cell, no new line."""
    plain = "".join(char if char.isprintable() else " " for char in text)[:300]
    for char in "\\`*_[]<>|#&":
        plain = plain.replace(char, f"&#{ord(char)};")
    return plain


def junit_xml(judgement: Judgement) -> str:
    """Return the judgement as JUnit XML for CI systems, one test case for each finding and each value that passed."""
    cases = [*ordered(judgement), *judgement.passed]
    failed = sum(finding.verdict in _FAILURES for finding in cases)
    skipped = sum(map(_is_skipped, cases))
    suite = ElementTree.Element(
        "testsuite",
        name="tunebench gate",
        tests=str(len(cases) or 1),
        failures=str(failed),
        skipped=str(skipped),
    )
    if judgement.sight is not None:
        properties = ElementTree.SubElement(suite, "properties")
        ElementTree.SubElement(properties, "property", name="sight", value=judgement.sight.sentence)
    if not cases:
        ElementTree.SubElement(suite, "testcase", classname="gate", name="nothing found")
    for finding in cases:
        name = f"{_printable(finding.name)} [{finding.metric or finding.verdict}]"
        case = ElementTree.SubElement(suite, "testcase", classname=_printable(finding.board_id), name=name)
        message = _printable("; ".join(filter(None, [finding.verdict, figures(finding), finding.reason])))
        if finding.verdict in _FAILURES:
            ElementTree.SubElement(case, "failure", message=message)
        elif _is_skipped(finding):
            ElementTree.SubElement(case, "skipped", message=message)
        else:
            ElementTree.SubElement(case, "system-out").text = message
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _is_skipped(finding: NightFinding) -> bool:
    """Return whether nothing can be said of it."""
    learns = (
        finding.verdict == "OK" and finding.screening is not None and finding.screening.state == "learning"
    )
    return finding.verdict in _SKIPPED or learns


def _printable(text: str) -> str:
    """Remove the control characters that XML does not allow, and cut the text to 500 characters."""
    return "".join(char if char.isprintable() else "?" for char in text)[:500]
