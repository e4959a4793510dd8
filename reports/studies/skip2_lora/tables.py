"""The study's tables: accuracy, step time by phase, multiply-adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tunebench.reports.analysis.row import Accuracy, PhaseTimes
from tunebench.reports.analysis.within.phases import phase_order
from tunebench.reports.figures import DataTable
from tunebench.reports.figures.phases import parts
from tunebench.reports.formatting.units import clean, percent, seconds, significant
from tunebench.reports.studies.skip2_lora.constants import METHODS
from tunebench.reports.studies.skip2_lora.model import Method, Task
from tunebench.reports.studies.skip2_lora.sentences import rate

Tasks = Sequence[Task]
_USUAL = ("gather", "cache_fill", "forward", "backward", "update")


def accuracy_table(tasks: Tasks) -> DataTable | None:
    """Return a row for each method, a column for each data set: before -> after, mean and deviation over seeds."""
    known = [task for task in tasks if any(method.accuracy for method in task.methods)]
    if not known:
        return None
    cells = {
        (method.title, task.name): method.accuracy
        for task in known
        for method in task.methods
        if method.accuracy
    }
    seeds = {accuracy.n for accuracy in cells.values()}
    titles = [title for title in METHODS if any((title, task.name) in cells for task in known)]
    titles += [title for title, _ in cells if title not in titles]
    over = f"{min(seeds)} to {max(seeds)}" if len(seeds) > 1 else str(min(seeds))
    plural = "s" if max(seeds) > 1 else ""
    return DataTable(
        caption=f"On held-out target data, before → after, mean ± standard deviation over {over} seed{plural}, in %",
        columns=("method", *(clean(task.name, 40) for task in known)),
        rows=[
            [title, *(_accuracy(cells.get((title, task.name)), seeds) for task in known)]
            for title in dict.fromkeys(titles)
        ],
    )


def _accuracy(accuracy: Accuracy | None, seeds: set[int]) -> str:
    if accuracy is None:
        return "–"
    # All seeds start from the same weights: a deviation of nothing is not text.
    spread = accuracy.before_sd or 0.0
    before = _mean(accuracy.before_mean, spread if spread >= 0.0005 else None)
    text = f"{before} → {_mean(accuracy.after_mean, accuracy.after_sd)}"
    return f"{text} (n = {accuracy.n})" if len(seeds) > 1 else text


def _mean(mean: float | None, sd: float | None) -> str:
    if mean is None:
        return "?"
    return f"{100 * mean:.1f}" + (f" ± {100 * sd:.1f}" if sd is not None else "")


def phases_table(tasks: Tasks) -> DataTable | None:
    """Return a row for each data set and method: the time of a step by phase."""
    rows = [
        (task.name, method.title, method.phases) for task in tasks for method in task.methods if method.phases
    ]
    if not rows:
        return None
    met = {name for _, _, phases in rows for name in phases.by_phase_s}
    names = [*_USUAL, *(name for name in phase_order(met) if name not in _USUAL)]
    return DataTable(
        caption="Time of one training step by phase, mean over the instrumented repetitions",
        columns=(
            "data set",
            "method",
            "step",
            *(name.replace("_", " ") for name in names),
            "unaccounted",
            "n",
        ),
        rows=[[clean(name, 40), title, *_phases(phases, names)] for name, title, phases in rows],
    )


def _phases(phases: PhaseTimes, names: Sequence[str]) -> list[str]:
    values = dict(parts(phases))
    cells = [seconds(values[phase]) if phase in values else "–" for phase in (*names, "unaccounted")]
    return [seconds(phases.step_s), *cells, str(phases.n)]


def madds_table(tasks: Tasks) -> DataTable | None:
    """Return a row for each data set and method: multiply-adds of one fine-tuning, and multiply-adds per second."""
    rows = [(task, method, method.madds) for task in tasks for method in task.methods if method.madds]
    if not rows:
        return None
    kinds = ["forward", "backward", "update"]
    kinds += sorted({kind for _, _, madds in rows for kind in madds} - set(kinds))
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
        rows=[_madds(task, method, madds, kinds) for task, method, madds in rows],
    )


def _madds(task: Task, method: Method, madds: Mapping[str, int], kinds: Sequence[str]) -> list[str]:
    counts = [significant(madds[kind] / 1e6) if kind in madds else "–" for kind in kinds]
    wall, saved = method.wall_s, method.reduction
    return [
        clean(task.name, 40),
        method.title,
        *counts,
        significant((method.madds_total or 0) / 1e6),
        seconds(wall.median) if wall else "–",
        rate(method.madds_per_s) if method.madds_per_s else "–",
        percent(saved.value).replace("-", "−") if saved else "–",
    ]
