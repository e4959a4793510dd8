"""The rows of a `[[workload]]`: one for each method or chain, once more under each stressor and operating point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tunebench.harness.config.suite.params import cache_params, params_of
from tunebench.harness.config.suite.workload import Workload
from tunebench.harness.config.tables.compress import chain_of, chain_params, start_of, transforms_of
from tunebench.harness.config.tables.schema import SuiteFile
from tunebench.harness.config.tables.stress import operating_points, stressors_of
from tunebench.harness.config.tables.workload import WorkloadEntry


def rows_of(entry: WorkloadEntry, parsed: SuiteFile) -> list[Workload]:
    """Return the rows of a workload; of one that is measured at operating points, only those at them."""
    quiet = _inference_rows(entry, parsed) if entry.runtime else _fine_tuning_rows(entry, parsed)
    points = operating_points(entry.power_modes, entry.frequencies_mhz)
    return [*([] if points else quiet), *_stressed_rows(quiet, entry, parsed)]


def _inference_rows(entry: WorkloadEntry, parsed: SuiteFile) -> list[Workload]:
    """Return a row for each chain of a workload that runs networks in a runtime."""
    header, transforms = parsed.suite, transforms_of(parsed.transform)
    runtime = str(entry.runtime)
    sustained_s = header.sustained_s if header.policy == "sustained" else None
    chains = {
        name: chain_of(name, idents, transforms, parsed.compress.settings, runtime)
        for name, idents in entry.chains.items()
    }
    return [
        Workload(
            task=entry.task_name,
            label=name,
            method=name,
            dataset=entry.dataset,
            model=entry.model,
            engine=runtime,
            device="cpu",
            threads=entry.threads,
            dtype="float32",
            params=chain_params(parsed.compress, chain, runtime)
            | (entry.cut.as_params() if entry.cut is not None else {}),
            own_params={},
            deadline_s=(entry.deadline_s or header.deadline_s) + (sustained_s or 0.0),
            needs_ram_gb=entry.needs.ram_gb,
            needs_gpu=entry.needs.gpu,
            sustained_s=sustained_s,
            blocks=entry.blocks,
            runtime=runtime,
            chain=chain,
            settings=parsed.compress.settings,
            partition=entry.cut,
        )
        for name, chain in chains.items()
    ]


def _fine_tuning_rows(entry: WorkloadEntry, parsed: SuiteFile) -> list[Workload]:
    """Return a row for each method of a workload that fine-tunes."""
    header, transforms = parsed.suite, transforms_of(parsed.transform)
    chain = start_of(entry.start, transforms, parsed.compress.settings, entry.trunk)
    from_chain = chain_params(parsed.compress, chain, None) if chain else {}
    names = [entry.label or ""] if entry.own else entry.methods
    sustained_s = header.sustained_s if header.policy == "sustained" else None
    return [
        Workload(
            task=entry.task_name,
            label=entry.label or name,
            method=name,
            dataset=entry.dataset,
            model=entry.model,
            engine="own" if entry.command else entry.engine,
            device=entry.device,
            threads=entry.threads,
            dtype=entry.dtype,
            params=params_of(entry, header, name) | from_chain,
            own_params={**entry.params, **cache_params(entry)},
            deadline_s=(entry.deadline_s or header.deadline_s) + (sustained_s or 0.0),
            needs_ram_gb=entry.needs.ram_gb,
            needs_gpu=entry.needs.gpu or entry.device == "cuda",
            module=entry.module,
            command=tuple(entry.command) if entry.command else None,
            files=tuple(entry.files),
            build=entry.build,
            sustained_s=sustained_s,
            ship=() if entry.own else tuple(header.ship),
            blocks=entry.blocks,
            chain=chain,
            settings=parsed.compress.settings if chain else None,
        )
        for name in names
    ]


def _stressed_rows(quiet: Sequence[Workload], entry: WorkloadEntry, parsed: SuiteFile) -> list[Workload]:
    """Return the rows of a workload for each of its stressors and operating points, in a task of their own.

    What is shipped is the quiet rows' update: again it would tell nothing.
    """
    by_id = stressors_of(parsed.stressor)
    stressors = [by_id[ident] for ident in entry.stressors]
    rows = []
    for setting in [*stressors, *operating_points(entry.power_modes, entry.frequencies_mhz)]:
        stressor = replace(setting, quiet_task=entry.task_name)
        rows += [replace(row, task=stressor.task, stressor=stressor, ship=()) for row in quiet]
    return rows
