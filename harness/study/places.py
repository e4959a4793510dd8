"""Where rates are searched: development bases, the fine-tuning pool cut in folds, and the start weights of a workload."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tunebench.harness.artifacts.compressed import compress
from tunebench.harness.artifacts.gather import Progress, default_cache, prepare_bases, store_of
from tunebench.harness.config.suite import Workload
from tunebench.harness.errors import UsageError
from tunebench.harness.study.folds import Fold, folds_of
from tunebench.workloads import artefact
from tunebench.workloads.prepare import artefacts


@dataclass(frozen=True)
class Place:
    """A base and a fold: start weights, data, and what tells both from others."""

    base: int
    fold: int
    cut: Fold
    weights: artefact.Artefact
    sha256: str


def places_of(
    workload: Workload,
    bases: range,
    folds: int,
    *,
    data_dir: Path | None = None,
    cache_dir: Path | None = None,
    download: bool = False,
    progress: Progress | None = None,
) -> list[Place]:
    """Return the development bases and folds of a workload's task; start weights that are missing are trained now.

    Raises:
        DataUnavailable, PrepareError: the data or the start weights cannot be had; with the reason.
        UsageError: the pool cannot be cut into so many folds.
    """
    dataset, model = str(workload.dataset), str(workload.model)
    made = prepare_bases(
        dataset,
        model,
        bases,
        cache_dir=cache_dir,
        data_dir=data_dir,
        download=download,
        progress=progress,
    )
    try:
        cuts = folds_of(artefact.read(str(made[0].data)), folds)
    except ValueError as error:
        raise UsageError(f"--folds {folds}: task {workload.task!r}: {error}") from None
    starts = made
    if workload.chain:
        chained = partial(_compressed, workload, cache_dir=cache_dir, data_dir=data_dir, progress=progress)
        starts = [chained(prepared, base) for base, prepared in zip(bases, made, strict=True)]
    return [
        Place(
            base,
            fold,
            cut,
            weights,
            f"{prepared.data_sha256} {start.weights_sha256} {fold}/{folds}{cut.cut and ' ' + cut.cut}",
        )
        for base, prepared, start in zip(bases, made, starts, strict=True)
        for weights in [artefact.read(str(start.weights))]
        for fold, cut in enumerate(cuts)
    ]


def _compressed(
    workload: Workload,
    prepared: artefacts.Prepared,
    base: int,
    *,
    cache_dir: Path | None,
    data_dir: Path | None,
    progress: Progress | None,
) -> artefacts.Prepared:
    """Return a base's artefacts with the start weights that the workload's chain makes of them.

    Raises:
        PrepareError: the chain cannot be, with the reason.
    """
    made = compress(
        [workload],
        [prepared],
        cache_dir=cache_dir or default_cache(),
        store=store_of(data_dir),
        progress=progress,
        first_base=base,
    )
    if (reason := made.impossible.get(workload.key)) is not None:
        raise artefacts.PrepareError(reason)
    blob = made.blobs[(*workload.key, base)]
    if blob.path is None:
        raise TypeError(f"{blob.name} is no file")
    return replace(prepared, weights=blob.path, weights_sha256=blob.sha256)
