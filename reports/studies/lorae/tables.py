"""The LoRAE study's tables: what it comes to, quality by method and rank, cost by method and rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunebench.reports.figures import DataTable
from tunebench.reports.formatting.units import clean, percent
from tunebench.reports.studies.lorae import sentences

Unit = Mapping[str, Any]


def headline(study: Mapping[str, Any]) -> DataTable:
    """A row a task, ours; then the paper's three figures and what we infer, each marked as what it is."""
    rows = [
        [sentences.task_name(unit), "ours, measured here", *_ours(unit), sentences.place(unit)]
        for unit in study["units"]
    ]
    for one in study["published"].values():
        source = clean(study["source"], 120)
        rows.append(
            [one["name"], "published, not measured here", "", percent(one["reduction"]), "", "", source]
        )
        rank, reduction = one["inferred"]
        told = "our count of YOLOv8x's convolutions that comes nearest; no quality was measured"
        rows.append([one["name"], "inference, ours", f"rank {rank}", percent(reduction), "", "", told])
    return DataTable(
        "LoRAE against ft-all: share of parameters that is not updated, and difference in quality",
        ("task", "what this is", "row or rank", "fewer updated", "points, 95% interval", "verdict", "where"),
        rows,
    )


def _ours(unit: Unit) -> list[str]:
    chosen = unit["chosen"]
    if chosen is None:
        return ["–", "–", "–", "–"]
    differences: Sequence[Mapping[str, Any]] = chosen["differences"]
    return [
        clean(chosen["label"], 40),
        sentences.reached(chosen, unit["target"]),
        "; ".join(f"{_metric(unit, one)}{sentences.points(one)}" for one in differences) or "–",
        "; ".join(f"{_metric(unit, one)}{sentences.verdict(one, alone=True)}" for one in differences) or "–",
    ]


def _metric(unit: Unit, one: Mapping[str, Any]) -> str:
    return f"{clean(one['metric'], 20)} " if len(unit["metrics"]) > 1 else ""


def quality_table(unit: Unit) -> DataTable:
    """A row a method and rank: what it learnt, and its difference to the baseline."""
    metrics: Sequence[str] = unit["metrics"]
    base = clean(unit["baseline"] or "the baseline", 40)
    columns = ["method", "fewer updated", "updated parameters", "rate", "n"]
    for name in metrics:
        shown = clean(name, 20)
        columns += [f"{shown}, %", f"{shown} minus {base}, points", f"{shown}: verdict"]
    return DataTable(
        f"{sentences.task_name(unit)}: on held-out target data after training, mean ± standard deviation over blocks"
        f"{_before(unit)}",
        columns,
        [_quality(unit, one, metrics) for one in unit["methods"]],
    )


def _before(unit: Unit) -> str:
    known = [one["before"] for one in unit["methods"] if one["before"] is not None]
    return f"; before training {100 * known[0]:.2f}" if known else ""


def _quality(unit: Unit, one: Mapping[str, Any], metrics: Sequence[str]) -> list[str]:
    judged = unit["chosen"] is not None and unit["chosen"]["label"] == one["label"]
    differences = {told["metric"]: told for told in one["differences"]}
    name = clean(one["label"], 40) + (" (fixed beforehand)" if judged else "")
    rate = f"{one['lr']:g}" if isinstance(one["lr"], int | float) else "–"
    cells = [
        name,
        sentences.share(one["reduction"]),
        sentences.count(one["params_trainable"]),
        rate,
        str(one["n"]),
    ]
    for metric in metrics:
        told = differences.get(metric)
        cells += [
            sentences.quality(one["quality"].get(metric)),
            sentences.points(told),
            sentences.verdict(told, alone=judged),
        ]
    return cells


def cost_table(unit: Unit) -> DataTable:
    """A row a method and rank: bytes and seconds of its update, memory, time of a step."""
    return DataTable(
        f"{sentences.task_name(unit)}: cost. A dash says that it was not measured or not told; "
        "seconds are board to host.",
        (
            "method",
            "update by count",
            "update as shipped, float32",
            "peak memory of the process",
            "training adds, measured / predicted",
            f"step (ratio to {clean(unit['baseline'] or 'the baseline', 40)})",
        ),
        [
            [
                clean(one["label"], 40),
                sentences.bytes_of(one["update_b"]),
                sentences.shipping(one),
                sentences.bytes_of(one["peak_b"]),
                sentences.training_memory(one),
                sentences.step(one),
            ]
            for one in unit["methods"]
        ],
    )
