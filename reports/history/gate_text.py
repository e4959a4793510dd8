"""Show the gate's judgement of a night: plain text, Markdown, JSON and JUnit XML."""

from __future__ import annotations

from collections import Counter
from typing import Any
from xml.etree import ElementTree

from tunebench.reports.history.gating import Judgement, NightFinding

#: Verdicts that a reader must act on or know of, in the order in which they are shown.
_ORDER = (
    "REGRESSION", "OFFLINE", "DAMAGED", "INVALID", "UNCLEAR", "MISSING", "BOARD", "RENAMED", "TRANSIENT",
    "IMPROVED", "QUARANTINED", "NEW",
)  # fmt: skip
#: Verdicts that fail a JUnit test case; the others pass or are skipped.
_FAILURES = {"REGRESSION", "OFFLINE", "DAMAGED", "INVALID", "MISSING"}
_SHOWN = 40


def _ordered(judgement: Judgement) -> list[NightFinding]:
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


def _figures(one: NightFinding) -> str:
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
