"""The LoRAE study's numbers as JSON-ready values, by board, task and conditions; none of these is ever pooled.

They rest on the summary's rows; added are further metrics, the shipping of updates and the comparison that the suite
fixed beforehand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from tunebench.reports.analysis.cells import Cell
from tunebench.reports.records import Repetition, Update
from tunebench.reports.results.reader import RunReader
from tunebench.reports.stats.accuracy import compare_accuracies
from tunebench.reports.stats.paired import mean_sd
from tunebench.reports.studies.lorae.constants import (
    AIM_POINTS,
    FURTHER,
    METHOD,
    PUBLISHED,
    PUBLISHED_SOURCE,
    REFERENCE,
    STUDY,
)

Row = Mapping[str, Any]
_CONDITIONS = ("board_id", "task", "engine", "engine_build", "device", "threads", "dtype", "power_mode")
_FACTS = ("board_kind", "emulated", "dataset", "model", "engine_version")


def lorae_block(reader: RunReader, groups: Sequence[Cell], rows: Sequence[Row]) -> dict[str, Any] | None:
    """The study of a run, or None if its plan does not ask for one.

    Args:
        reader: an open run.
        groups: its cells, in the order of the report.
        rows: the summary's row of each of them.
    """
    suite = reader.plan.get("suite")
    if not isinstance(suite, dict) or suite.get("study") != STUDY:
        return None
    wanted = suite.get("candidate")
    candidate = wanted if isinstance(wanted, str) else None
    units: dict[tuple[Any, ...], list[tuple[Cell, Row]]] = {}
    for cell, row in zip(groups, rows, strict=True):
        if not (row["own"] or row["aa_control"]):
            units.setdefault(tuple(row[name] for name in _CONDITIONS), []).append((cell, row))
    return {
        "name": STUDY,
        "source": PUBLISHED_SOURCE,
        "candidate": candidate,
        "published": {metric: one._asdict() for metric, one in PUBLISHED.items()},
        "units": [_unit(members, candidate) for members in units.values()],
    }


def _unit(members: Sequence[tuple[Cell, Row]], candidate: str | None) -> dict[str, Any]:
    """One task on one board under one set of conditions."""
    first = members[0][1]
    base = next((pair for pair in members if pair[1]["is_baseline"]), None)
    full = next((row["params_trainable"] for _, row in members if row["method"] == REFERENCE), None)
    metric = next((row["accuracy"]["metric"] for _, row in members if row["accuracy"]), None)
    told = [_method(cell, row, base, full, metric) for cell, row in members]
    chosen = next((one for one in told if one["label"] == candidate), None)
    published = PUBLISHED.get(str(metric))
    return {
        **{name: first[name] for name in (*_CONDITIONS, *_FACTS)},
        "metric": metric,
        "metrics": [metric, *FURTHER.get(metric, ())] if metric else [],
        "n_items": next((row["accuracy"]["n_items"] for _, row in members if row["accuracy"]), None),
        "baseline": base[1]["label"] if base else None,
        "target": published.target if published else None,
        "methods": told,
        "chosen": _chosen(chosen, published.target if published else None),
        "chosen_missing": None if chosen else _why_not_chosen(candidate),
        "shared_machine": first["board_kind"] == "loopback",
    }


def _why_not_chosen(candidate: str | None) -> str:
    if candidate is None:
        return "the suite names no candidate: none was fixed before the test set was seen"
    return f"{candidate} was not measured"


def _chosen(one: Mapping[str, Any] | None, target: float | None) -> dict[str, Any] | None:
    """What the study comes to: the row that was fixed beforehand, judged alone."""
    if one is None:
        return None
    reduction = one["reduction"]
    known = reduction is not None and target is not None
    return {
        "label": one["label"],
        "rank": one["rank"],
        "reduction": reduction,
        "reduction_met": reduction >= target if known else None,
        "differences": one["differences"],
    }


def _method(
    cell: Cell, row: Row, base: tuple[Cell, Row] | None, full: int | None, metric: str | None
) -> dict[str, Any]:
    trains, wall, steps = row["params_trainable"], row["wall_s"], row["steps"]
    adapts = "lora" in row["method"]
    against = row["verdicts"].get("time") if not row["is_baseline"] else None
    names = [metric, *FURTHER.get(metric, ())] if metric else []
    return {
        **{name: row[name] for name in ("label", "method", "n", "params_trainable", "update_b", "cache_b")},
        "is_lorae": row["method"] == METHOD,
        "rank": row["params"].get("rank") if adapts else None,
        "lr": row["params"].get("lr"),
        "reduction": 1 - trains / full if trains is not None and full else None,
        "before": row["accuracy"]["before_mean"] if row["accuracy"] else None,
        "quality": {name: _mean(_values(cell, name, metric)) for name in names},
        "quality_missing": row["accuracy_missing"],
        "differences": [] if row["is_baseline"] else [_difference(cell, row, base, name, metric) for name in names],
        "step_s": wall["median"] / steps if wall and steps else None,
        "step_missing": row["wall_missing"] or (None if steps else "the records count no steps"),
        "time_ratio": _ratio(against),
        "peak_b": row["peak_rss_b"]["median"] if row["peak_rss_b"] else None,
        "peak_missing": row["peak_rss_missing"],
        **_memory(cell),
        **_shipping(cell),
    }  # fmt: skip


def _values(cell: Cell, name: str, main: str | None) -> dict[int, float]:
    """A metric after training by block, as a share."""
    return {rep.block: value for rep in cell.usable if (value := _value(rep, name, main)) is not None}


def _value(rep: Repetition, name: str, main: str | None) -> float | None:
    if name == main:
        return rep.quality.after if rep.quality.metric == main else None
    return rep.metrics.get(name)


def _mean(values: Mapping[int, float]) -> dict[str, Any] | None:
    if not values:
        return None
    mean, sd = mean_sd(list(values.values()))
    return {"mean": mean, "sd": sd, "n": len(values)}


def _difference(
    cell: Cell, row: Row, base: tuple[Cell, Row] | None, name: str, main: str | None
) -> dict[str, Any]:
    """Points more than the baseline, paired by block; ``verdict_alone`` is that of a comparison fixed beforehand."""
    told = row["verdicts"].get("accuracy") if name == main else None
    if told is not None:
        kept = (
            "missing",
            "value",
            "low",
            "high",
            "interval",
            "confidence",
            "n",
            "delta",
            "kind",
            "limited_by",
        )
        judged = {key: told.get(key) for key in (*kept, "verdict", "verdict_alone", "methods", "items")}
        return {"metric": name, **judged}
    theirs = _values(base[0], name, main) if base else {}
    ours = _values(cell, name, main)
    blocks = sorted(set(theirs) & set(ours))
    if not blocks:
        return {"metric": name, "verdict": None, "missing": "no block in which it is known of both"}
    delta = _delta(row)
    one = compare_accuracies([theirs[b] for b in blocks], [ours[b] for b in blocks], delta=delta)
    return {
        "metric": name,
        "missing": None,
        "value": one.points,
        "low": one.low,
        "high": one.high,
        "interval": "wilcoxon" if one.confidence else "range",
        "confidence": one.confidence,
        "n": one.n,
        "delta": delta,
        "kind": "",
        "limited_by": None,
        # Not one of the quantities that Holm's procedure runs over: judged alone only.
        "verdict": None,
        "verdict_alone": one.verdict,
        "methods": None,
        "items": None,
    }


def _delta(row: Row) -> float:
    told = row["verdicts"].get("accuracy")
    return float(told["delta"]) if told and told.get("delta") else AIM_POINTS


def _ratio(told: Row | None) -> dict[str, Any] | None:
    if told is None or told["verdict"] is None:
        return None
    return {key: told[key] for key in ("value", "low", "high", "interval", "n")}


def _memory(cell: Cell) -> dict[str, Any]:
    """What training added to the resident set, of instrumented repetitions, beside what was predicted."""
    found = [
        rep.metrics["train_rss_peak_b"] - rep.metrics["train_rss_before_b"]
        for rep in cell.instrumented
        if {"train_rss_peak_b", "train_rss_before_b"} <= set(rep.metrics)
    ]
    predicted = [b for rep in cell.reps if (b := rep.metrics.get("predicted_step_b")) is not None]
    return {
        "train_peak_b": median(found) if found else None,
        "predicted_step_b": median(predicted) if predicted else None,
    }


def _shipping(cell: Cell) -> dict[str, Any]:
    """The smallest exact update (float32, not packed): adapters where there are any, else what changed."""
    made = [update for rep in cell.usable for update in rep.updates]
    exact = [one for one in made if one.dtype == "float32" and not one.packed]
    form = next((name for name in ("adapter", "delta") if any(one.form == name for one in exact)), None)
    if form is None:
        told = [why for rep in cell.usable if (why := rep.missing.get("updates"))]
        return {"shipped": None, "shipped_missing": told[0] if told else "no update was shipped in this run"}
    chosen = [one for one in exact if one.form == form]
    return {
        "shipped": {
            "form": form,
            "size_b": chosen[0].size_b,
            "tensor_b": chosen[0].tensor_b,
            "links": _links(chosen),
        },
        "shipped_missing": None,
    }


def _links(updates: Iterable[Update]) -> list[dict[str, Any]]:
    """Median seconds of each link, board to host; how they were come by is never mixed."""
    found: dict[tuple[str, str], list[float]] = {}
    for update in updates:
        for one in update.transfers:
            if one.direction == "board-host" and one.seconds is not None and one.reason is None:
                found.setdefault((one.link, one.how), []).append(one.seconds)
    return [
        {"link": link, "how": how, "seconds": median(values), "n": len(values)}
        for (link, how), values in found.items()
    ]
