"""What a suite compares with what: the baseline of each task, its A/A control, and rows that cannot be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tunebench.harness.config.mistakes import did_you_mean
from tunebench.harness.config.suite.workload import Workload
from tunebench.harness.config.tables.schema import Header, SuiteFile
from tunebench.harness.errors import UsageError

AA_SUFFIX = " (A/A)"


def baselines_of(parsed: SuiteFile, workloads: Sequence[Workload], path: Path) -> dict[str, str]:
    """Return task -> label of its baseline: the workload's, else the suite's, else the task's first method.

    Raises:
        UsageError: a baseline that the file names is in none of its tasks, or not in the task that it is named for.
    """
    labels: dict[str, list[str]] = {}
    for workload in workloads:
        labels.setdefault(workload.task, []).append(workload.label)
    given = parsed.suite.baseline
    if "baseline" in parsed.suite.model_fields_set and not any(given in names for names in labels.values()):
        every = list(dict.fromkeys(name for names in labels.values() for name in names))
        raise UsageError(
            f"{path}: [suite]: baseline {given!r} is not one of its methods{did_you_mean(given, every)}; it has:"
            f" {', '.join(every)}"
        )
    chosen: dict[str, str] = {}
    for entry in parsed.workload:
        if entry.baseline is not None:
            names = labels.get(entry.task_name) or _labels_at_points(workloads, entry.task_name)
            if entry.baseline not in names:
                raise UsageError(
                    f"{path}: task {entry.task_name!r}: baseline {entry.baseline!r} is not one of its methods: "
                    f"{', '.join(names)}"
                )
            chosen[entry.task_name] = entry.baseline
    for workload in workloads:
        if workload.stressor is not None and workload.stressor.quiet_task in chosen:
            chosen[workload.task] = chosen[workload.stressor.quiet_task]
    for task, names in labels.items():
        chosen.setdefault(task, parsed.suite.baseline if parsed.suite.baseline in names else names[0])
    return {task: label for task, label in chosen.items() if task in labels}


def _labels_at_points(workloads: Sequence[Workload], quiet_task: str) -> list[str]:
    """Return the labels of a task that is measured at operating points only."""
    rows = [row for row in workloads if row.stressor is not None and row.stressor.quiet_task == quiet_task]
    return list(dict.fromkeys(row.label for row in rows))


def aa_controls(workloads: Sequence[Workload], baselines: Mapping[str, str]) -> list[Workload]:
    """Return an A/A control for every task with several labels: its baseline once more under a second name."""
    controls = []
    for task, base in baselines.items():
        of_task = [workload for workload in workloads if workload.task == task]
        if len(of_task) > 1:
            workload = next(workload for workload in of_task if workload.label == base)
            # The control's update is the baseline's: shipping it again would tell nothing.
            fields = {**workload.__dict__, "label": base + AA_SUFFIX, "aa_control": True, "ship": ()}
            controls.append(Workload(**fields))
    return controls


def check_comparable(header: Header, workloads: Sequence[Workload], path: Path) -> None:
    """Refuse rows that no report could set side by side.

    Raises:
        UsageError: a label stands twice in a task, a task has several runtimes or numbers of blocks, or no label is the
            candidate's.
    """
    _check_labels(workloads, path)
    _check_runtimes(workloads, path)
    _check_candidate(header, workloads, path)
    _check_blocks(header, workloads, path)


def _check_labels(workloads: Sequence[Workload], path: Path) -> None:
    by_key: dict[tuple[str, str], Workload] = {}
    for workload in workloads:
        if workload.key in by_key:
            raise UsageError(
                f"{path}: task {workload.task!r}: {workload.label!r} is given twice; give one a 'task' or 'label'"
                + _label_hint(by_key[workload.key], workload)
            )
        by_key[workload.key] = workload


def _label_hint(first: Workload, second: Workload) -> str:
    """Return a label for a method that stands in a task with other settings, too; empty if the settings are equal."""
    for workload, other in ((second, first), (first, second)):
        differing = [
            f"{value}" if isinstance(value, str) else f"{key} {value:g}"
            for key, value in workload.params.items()
            if other.params.get(key) != value and isinstance(value, str | int | float)
        ]
        if differing:
            return f', e.g. label = "{" ".join([workload.label, *differing])[:64]}"'
    return ""


def _check_candidate(header: Header, workloads: Sequence[Workload], path: Path) -> None:
    labels = {workload.label for workload in workloads if not workload.aa_control}
    if header.candidate is not None and header.candidate not in labels:
        raise UsageError(
            f"{path}: [suite]: candidate {header.candidate!r} is not one of its methods: {', '.join(sorted(labels))}"
        )


def _check_runtimes(workloads: Sequence[Workload], path: Path) -> None:
    """Refuse a task whose rows would be compared across runtimes, or an inference with a fine-tuning."""
    of_task: dict[str, Workload] = {}
    for workload in workloads:
        first = of_task.setdefault(workload.task, workload)
        if first.runtime != workload.runtime:
            names = [row.runtime or f"fine-tuning by {row.engine}" for row in (first, workload)]
            raise UsageError(
                f"{path}: task {workload.task!r}: {first.label!r} is {names[0]}, {workload.label!r} is {names[1]}: no "
                "speed-up is drawn between them; give one of the workloads another 'task'"
            )


def _check_blocks(header: Header, workloads: Sequence[Workload], path: Path) -> None:
    """Refuse a task whose methods would not stand in the same blocks, and more blocks than the suite has."""
    of_task: dict[str, Workload] = {}
    for workload in workloads:
        first = of_task.setdefault(workload.task, workload)
        if first.blocks != workload.blocks:
            raise UsageError(
                f"{path}: task {workload.task!r}: 'blocks' must be the same for {first.label!r} and {workload.label!r}: "
                "methods are compared within blocks"
            )
        if workload.blocks is not None and workload.blocks > header.blocks:
            raise UsageError(
                f"{path}: task {workload.task!r}: blocks = {workload.blocks} is more than [suite] blocks = "
                f"{header.blocks}: give the suite as many as its longest task needs"
            )
