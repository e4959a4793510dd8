"""Show the gate's judgement of a night: plain text, Markdown, JSON and JUnit XML."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TypedDict
from xml.etree import ElementTree

from tunebench.reports.history.gating import Judgement, NightFinding

#: Verdicts that a reader must act on or know of, in the order in which they are shown.
_ORDER = (
    "REGRESSION", "OFFLINE", "DAMAGED", "INVALID", "UNCLEAR", "MISSING", "LEARNING", "BOARD", "SWAPPED", "CLOCK",
    "RENAMED", "TRANSIENT", "IMPROVED", "QUARANTINED", "NEW",
)  # fmt: skip
#: Verdicts that fail a JUnit test case; the others pass or are skipped.
_FAILURES = {"REGRESSION", "OFFLINE", "DAMAGED", "INVALID", "MISSING"}
#: Verdicts that say that nothing can be said: a skipped test case.
_SKIPPED = {"UNCLEAR", "LEARNING"}
_SHOWN = 40
SCHEMA = "tunebench.gate/1"


class GateJson(TypedDict):
    """What ``tunebench gate --json`` prints; ``findings`` are :class:`NightFinding`, field by field."""

    schema: str
    run_id: str
    exit_code: int
    screened: int
    learning: int
    confirmed: int
    findings: list[dict[str, object]]


def _ordered(judgement: Judgement) -> list[NightFinding]:
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
        "findings": [asdict(finding) for finding in _ordered(judgement)],
    }


def _figures(finding: NightFinding) -> str:
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
    return (
        f"gate: exit {judgement.exit_code}: {verdicts}; {judgement.screened} values screened"
        f" ({judgement.learning} still learning), {judgement.confirmed} confirmed on boards"
    )


def plain_text(judgement: Judgement) -> str:
    """Return the judgement for a terminal."""
    lines = [headline(judgement)]
    for finding in _ordered(judgement)[:_SHOWN]:
        details = "; ".join(filter(None, [_figures(finding), finding.reason]))
        lines.append(_printable(f"  {finding.verdict:11} {finding.name}: {details}"))
    if len(judgement.findings) > _SHOWN:
        lines.append(f"  and {len(judgement.findings) - _SHOWN} more (--json has all)")
    return "\n".join(lines)


def markdown_text(judgement: Judgement) -> str:
    """Return the judgement for a job's page or a pull request."""
    lines = [f"### tunebench gate, run `{_cell(judgement.run_id)}`", "", _cell(headline(judgement)), ""]
    if judgement.findings:
        lines += ["| verdict | series | figures | reason |", "|---|---|---|---|"]
        lines += [
            f"| {finding.verdict} | {_cell(finding.name)} | {_cell(_figures(finding))} | {_cell(finding.reason)} |"
            for finding in _ordered(judgement)[:_SHOWN]
        ]
        if len(judgement.findings) > _SHOWN:
            lines += ["", f"and {len(judgement.findings) - _SHOWN} more"]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Escape text from results for a table cell: no markup, no new cell, no new line."""
    plain = "".join(char if char.isprintable() else " " for char in text)[:300]
    for char in "\\`*_[]<>|#&":
        plain = plain.replace(char, f"&#{ord(char)};")
    return plain


def junit_xml(judgement: Judgement) -> str:
    """Return the judgement as JUnit XML for CI systems, one test case for each finding."""
    cases = _ordered(judgement)
    failed = sum(finding.verdict in _FAILURES for finding in cases)
    skipped = sum(finding.verdict in _SKIPPED for finding in cases)
    suite = ElementTree.Element(
        "testsuite",
        name="tunebench gate",
        tests=str(len(cases) or 1),
        failures=str(failed),
        skipped=str(skipped),
    )
    if not cases:
        ElementTree.SubElement(suite, "testcase", classname="gate", name="nothing found")
    for finding in cases:
        name = f"{_printable(finding.name)} [{finding.metric or finding.verdict}]"
        case = ElementTree.SubElement(suite, "testcase", classname=_printable(finding.board_id), name=name)
        message = _printable("; ".join(filter(None, [finding.verdict, _figures(finding), finding.reason])))
        if finding.verdict in _FAILURES:
            ElementTree.SubElement(case, "failure", message=message)
        elif finding.verdict in _SKIPPED:
            ElementTree.SubElement(case, "skipped", message=message)
        else:
            ElementTree.SubElement(case, "system-out").text = message
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _printable(text: str) -> str:
    """Remove the control characters that XML does not allow, and cut the text to 500 characters."""
    return "".join(char if char.isprintable() else "?" for char in text)[:500]
