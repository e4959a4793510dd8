"""The comparison as a plain text table for terminals and logs."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from tunebench.reports.formatting.table import grid
from tunebench.reports.formatting.units import clean, factor, number, percent, seconds, significant, size
from tunebench.reports.sections.energy import joules_lines
from tunebench.reports.sections.energy import notes as joules_notes
from tunebench.reports.sections.groups import counted, engines, grouped
from tunebench.reports.sections.overall import overall_lines
from tunebench.reports.sections.sustained import lasting_lines
from tunebench.reports.sections.verdicts import control_words, reasons, verdict_lines
from tunebench.reports.studies.lorae.text import lorae_lines
from tunebench.reports.studies.skip2_lora.text import study_lines

_WIDTH = 110

HEADINGS = (
    "method", "n", "median", "interval", "speed-up", "verdict", "peak mem", "energy", "accuracy", "trains",
    "update", "validity",
)  # fmt: skip


def table(summary: Mapping[str, Any]) -> str:
    """Banner, one table a board, task and set of conditions, and what may not be concluded.

    Plain text: no colour; control characters of foreign text are made visible.
    """
    parts = [_banner(summary)]
    for key, rows in grouped(summary["rows"]).items():
        board, task, shared = (clean(part, 60) for part in key)
        names = [
            board,
            task,
            f"{engines(rows)} on {shared}",
            f"baseline {clean(str(rows[0]['baseline']), 40)}",
        ]
        parts.append("  ·  ".join(names) + "\n" + grid(HEADINGS, [_cells(row) for row in rows]))
    judged = verdict_lines(summary["rows"], grid)
    if judged is not None:
        parts.append(judged)
        why = [f"{which}: {sentence}" for which, sentence in reasons(summary["rows"])]
        if why:
            parts.append("Why verdicts are open\n" + _bullets(why))
    parts += overall_lines(summary, grid)
    spent = joules_lines(summary["rows"], grid)
    if spent is not None:
        parts.append(spent + "\n" + _bullets(joules_notes(summary["rows"])))
    warm = lasting_lines(summary["rows"], grid)
    if warm is not None:
        parts.append(warm)
    if summary["study"] is not None:
        parts.append(study_lines(summary["study"], _padded))
    if summary["lorae"] is not None:
        parts.append(lorae_lines(summary["lorae"], _padded))
    if any(
        _is_range(one) and one["n"] > 1
        for row in summary["rows"]
        for one in (row["wall_s"], row["speed_up"], *(each["j"] for each in row["joules"]))
    ):
        parts.append("* range seen: too few values for a 95% interval")
    notes = _notes(summary["rows"])
    if notes:
        parts.append("Not measured\n" + _bullets(notes))
    if summary["cautions"]:
        parts.append(
            "What you may not conclude\n" + _bullets([one["message"] for one in summary["cautions"]])
        )
    return "\n\n".join(parts) + "\n"


def _banner(summary: Mapping[str, Any]) -> str:
    run, counts = summary["run"], summary["counts"]
    state = "complete" if run["complete"] else "NOT COMPLETE"
    lines = [
        f"{clean(run['run_id'], 80)}  ·  {clean(run['suite'], 60)}  ·  {state}",
        f"{counts['recorded']} repetitions: {counted(counts)}",
    ]
    for one in summary["aa"]:
        lines.append(f"A/A control on {clean(one['board_id'], 60)}, {clean(one['task'], 60)}: {_aa(one)}")
    return "\n".join(lines)


def _aa(one: Mapping[str, Any]) -> str:
    if "factor" not in one:
        return f"{one['result']} ({one['missing']})"
    interval = f"[{significant(one['low'])}, {significant(one['high'])}]{_star(one)}"
    told = f"{one['result']}, {factor(one['factor'])} {interval}, n = {one['n']}"
    return told + control_words(one["quantities"])


def _cells(row: Mapping[str, Any]) -> list[str]:
    wall, speed, accuracy, energy = row["wall_s"], row["speed_up"], row["accuracy"], row["energy"]
    mark = " (A/A)" if row["aa_control"] and "A/A" not in row["label"] else " (own)" if row["own"] else ""
    return [
        clean(row["label"], 32) + mark,
        str(row["n"]),
        seconds(wall["median"]) if wall else "-",
        _interval(wall) if wall else "-",
        _factor(speed) if speed else "baseline" if row["is_baseline"] else "-",
        speed["verdict"] if speed else "",
        size(row["peak_rss_b"]["median"]) if row["peak_rss_b"] else "-",
        f"{significant(energy['gross_j']['median'])} J {energy['scope']}" if energy else "-",
        _accuracy(accuracy) if accuracy else "-",
        number(row["params_trainable"]) if row["params_trainable"] is not None else "-",
        size(row["update_b"]) if row["update_b"] is not None else "-",
        row["verdict"] + (f" ({clean(row['reasons'][0]['code'], 30)})" if row["reasons"] else ""),
    ]


def _is_range(interval: Mapping[str, Any] | None) -> bool:
    return interval is not None and interval["interval"] == "range"


def _star(interval: Mapping[str, Any]) -> str:
    return "*" if _is_range(interval) else ""


def _interval(wall: Mapping[str, Any]) -> str:
    if wall["n"] == 1:
        return "one value"
    return f"{seconds(wall['low'])} – {seconds(wall['high'])}{_star(wall)}"


def _factor(speed: Mapping[str, Any]) -> str:
    if speed["n"] == 1:
        return f"{factor(speed['factor'])} one block"
    interval = f"[{significant(speed['low'])}, {significant(speed['high'])}]{_star(speed)}"
    return f"{factor(speed['factor'])} {interval}"


def _accuracy(accuracy: Mapping[str, Any]) -> str:
    before = percent(accuracy["before_mean"]) if accuracy["before_mean"] is not None else "?"
    spread = f" ±{100 * accuracy['after_sd']:.1f}" if accuracy["after_sd"] is not None else ""
    return f"{before} -> {percent(accuracy['after_mean'])}{spread}"


def _notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Each reason for a missing value once, with the labels it holds for."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        named = [("time", "wall_missing"), ("energy", "energy_missing"), ("peak memory", "peak_rss_missing")]
        for what, key in [*named, ("accuracy", "accuracy_missing")]:
            if row[key] and (row["n"] or what == "time"):
                reasons.setdefault(f"{what}: {clean(row[key], 300)}", []).append(row["label"])
    return [f"{reason} ({_some(labels)})" for reason, labels in reasons.items()]


def _some(labels: Sequence[str]) -> str:
    names = [clean(label, 32) for label in dict.fromkeys(labels)]
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _bullets(sentences: Sequence[str]) -> str:
    return "\n".join(textwrap.fill(f"- {text}", _WIDTH, subsequent_indent="  ") for text in sentences)


def _padded(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A grid of rows that may end early."""
    return grid(headings, [[*row, *[""] * (len(headings) - len(row))] for row in rows])
