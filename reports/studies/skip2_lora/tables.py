"""The study's tables: accuracy, step time by phase, multiply-adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunebench.reports.analysis.phases import phase_order
from tunebench.reports.figures import DataTable
from tunebench.reports.figures.phases import parts
from tunebench.reports.formatting.units import clean, percent, seconds, significant
from tunebench.reports.studies.skip2_lora.constants import TITLES
from tunebench.reports.studies.skip2_lora.sentences import rate

Tasks = Sequence[Mapping[str, Any]]
_USUAL = ("gather", "cache_fill", "forward", "backward", "update")


def accuracy_table(tasks: Tasks) -> DataTable | None:
    """One row a method, one column a data set: before -> after, mean and standard deviation over seeds."""
    known = [task for task in tasks if any(one["accuracy"] for one in task["methods"])]
    if not known:
        return None
    found = {
        (one["title"], task["name"]): one["accuracy"]
        for task in known
        for one in task["methods"]
        if one["accuracy"]
    }
    seeds = {accuracy["n"] for accuracy in found.values()}
    titles = [title for title in TITLES.values() if any((title, task["name"]) in found for task in known)]
    titles += [title for title, _ in found if title not in titles]
    over = f"{min(seeds)} to {max(seeds)}" if len(seeds) > 1 else str(min(seeds))
    plural = "s" if max(seeds) > 1 else ""
    return DataTable(
        caption=f"On held-out target data, before → after, mean ± standard deviation over {over} seed{plural}, in %",
        columns=("method", *(clean(task["name"], 40) for task in known)),
        rows=[
            [title, *(_accuracy(found.get((title, task["name"])), seeds) for task in known)]
            for title in dict.fromkeys(titles)
        ],
    )


def _accuracy(found: Mapping[str, Any] | None, seeds: set[int]) -> str:
    if found is None:
        return "–"
    # All seeds start from the same weights: a deviation of nothing is not told.
    spread = found["before_sd"] or 0.0
    before = _mean(found["before_mean"], spread if spread >= 0.0005 else None)
    told = f"{before} → {_mean(found['after_mean'], found['after_sd'])}"
    return f"{told} (n = {found['n']})" if len(seeds) > 1 else told


def _mean(mean: float | None, sd: float | None) -> str:
    if mean is None:
        return "?"
    return f"{100 * mean:.1f}" + (f" ± {100 * sd:.1f}" if sd is not None else "")


def phases_table(tasks: Tasks) -> DataTable | None:
    """One row a data set and method: what a step spends on each phase."""
    rows = [(task["name"], one) for task in tasks for one in task["methods"] if one["phases"]]
    if not rows:
        return None
    met = {name for _, one in rows for name in one["phases"]["by_phase_s"]}
    names = [*_USUAL, *(name for name in phase_order(met) if name not in _USUAL)]
    return DataTable(
        caption="Time of one training step by phase, mean over the instrumented repetitions",
        columns=("data set", "method", "step", *(name.replace("_", " ") for name in names), "unaccounted"),
        rows=[_phases(name, one, names) for name, one in rows],
    )


def _phases(name: str, one: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    values = dict(parts(one["phases"]))
    cells = [seconds(values[phase]) if phase in values else "–" for phase in (*names, "unaccounted")]
    return [clean(name, 40), one["title"], seconds(one["phases"]["step_s"]), *cells]


def madds_table(tasks: Tasks) -> DataTable | None:
    """One row a data set and method: multiply-adds of one fine-tuning, and how many a second that is."""
    rows = [(task, one) for task in tasks for one in task["methods"] if one["madds"]]
    if not rows:
        return None
    kinds = ["forward", "backward", "update"]
    kinds += sorted({kind for _, one in rows for kind in one["madds"]} - set(kinds))
    return DataTable(
        caption="Multiply-adds of one fine-tuning, counted from the table of methods, in millions; and the rate reached",
        columns=(
            "data set",
            "method",
            *(clean(kind, 30).replace("_", " ") for kind in kinds),
            "all",
            "time",
            "rate",
            "saved",
        ),
        rows=[_madds(task, one, kinds) for task, one in rows],
    )


def _madds(task: Mapping[str, Any], one: Mapping[str, Any], kinds: Sequence[str]) -> list[str]:
    counts = [significant(one["madds"][kind] / 1e6) if kind in one["madds"] else "–" for kind in kinds]
    wall, saved = one["wall_s"], one["reduction"]
    return [
        clean(task["name"], 40),
        one["title"],
        *counts,
        significant(one["madds_total"] / 1e6),
        seconds(wall["median"]) if wall else "–",
        rate(one["madds_per_s"]) if one["madds_per_s"] else "–",
        percent(saved["value"]).replace("-", "−") if saved else "–",
    ]
