"""The LoRAE study's tables: what it comes to, quality by method and rank, cost by method and rank."""

from __future__ import annotations

from collections.abc import Sequence

from tunebench.reports.figures import DataTable
from tunebench.reports.formatting.units import clean, percent
from tunebench.reports.studies.lorae import sentences
from tunebench.reports.studies.lorae.model import AnyDifference, LoraeStudy, Method, Unit


def headline(study: LoraeStudy) -> DataTable:
    """Return a row for each of our tasks, then the paper's three figures and our inferences, each marked as such."""
    rows = [
        [sentences.task_name(unit), "ours, measured here", *_ours(unit), sentences.place(unit)]
        for unit in study.units
    ]
    for figure in study.published.values():
        source = clean(study.source, 120)
        rows.append(
            [figure.name, "published, not measured here", "", percent(figure.reduction), "", "", source]
        )
        rank, reduction = figure.inferred
        note = "our count of YOLOv8x's convolutions that comes nearest; no quality was measured"
        rows.append([figure.name, "inference, ours", f"rank {rank}", percent(reduction), "", "", note])
    return DataTable(
        "LoRAE against ft-all: share of parameters that is not updated, and difference in quality",
        ("task", "what this is", "row or rank", "fewer updated", "points, 95% interval", "verdict", "where"),
        rows,
    )


def _ours(unit: Unit) -> list[str]:
    chosen = unit.chosen
    if chosen is None:
        return ["–", "–", "–", "–"]
    differences = chosen.differences
    return [
        clean(chosen.label, 40),
        sentences.reached(chosen, unit.target),
        "; ".join(f"{_metric(unit, difference)}{sentences.points(difference)}" for difference in differences)
        or "–",
        "; ".join(
            f"{_metric(unit, difference)}{sentences.verdict(difference, alone=True)}"
            for difference in differences
        )
        or "–",
    ]


def _metric(unit: Unit, difference: AnyDifference) -> str:
    return f"{clean(difference.metric, 20)} " if len(unit.metrics) > 1 else ""


def quality_table(unit: Unit) -> DataTable:
    """Return a row for each method and rank: its quality, and its difference to the baseline."""
    metrics = unit.metrics
    base = clean(unit.baseline or "the baseline", 40)
    columns = ["method", "fewer updated", "updated parameters", "rate", "n"]
    for name in metrics:
        shown = clean(name, 20)
        columns += [f"{shown}, %", f"{shown} minus {base}, points", f"{shown}: verdict"]
    return DataTable(
        f"{sentences.task_name(unit)}: on held-out target data after training, mean ± standard deviation over blocks"
        f"{_before(unit)}",
        columns,
        [_quality(unit, method, metrics) for method in unit.methods],
    )


def _before(unit: Unit) -> str:
    known = [method.before for method in unit.methods if method.before is not None]
    return f"; before training {100 * known[0]:.2f}" if known else ""


def _quality(unit: Unit, method: Method, metrics: Sequence[str]) -> list[str]:
    judged = unit.chosen is not None and unit.chosen.label == method.label
    differences = {difference.metric: difference for difference in method.differences}
    name = clean(method.label, 40) + (" (fixed beforehand)" if judged else "")
    rate = f"{method.lr:g}" if isinstance(method.lr, int | float) else "–"
    cells = [
        name,
        sentences.share(method.reduction),
        sentences.count(method.params_trainable),
        rate,
        str(method.n),
    ]
    for metric in metrics:
        difference = differences.get(metric)
        cells += [
            sentences.quality(method.quality.get(metric)),
            sentences.points(difference),
            sentences.verdict(difference, alone=judged),
        ]
    return cells


def cost_table(unit: Unit) -> DataTable:
    """Return a row for each method and rank: bytes and seconds of its update, memory, time of a step."""
    return DataTable(
        f"{sentences.task_name(unit)}: cost. A dash says that it was not measured or not told; "
        "seconds are board to host.",
        (
            "method",
            "update by count",
            "update as shipped, float32",
            "peak memory of the process",
            "training adds, measured / predicted",
            f"step (ratio to {clean(unit.baseline or 'the baseline', 40)})",
        ),
        [
            [
                clean(method.label, 40) + (" (n = 1)" if method.n == 1 else ""),
                sentences.bytes_of(method.update_b),
                sentences.shipping(method),
                sentences.bytes_of(method.peak_b),
                sentences.training_memory(method),
                sentences.step(method),
            ]
            for method in unit.methods
        ],
    )
