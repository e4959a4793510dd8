"""Put a point on held-out halves of the fine-tuning data: the test set is not in what a trial's board is given.

Each half is held out once: what a trial calls accuracy is that on samples which neither trained nor fixed a scale. The
two begin from two development bases, on which no suite measures (docs/protocol.md, 2 and 3).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tunebench.harness.artifacts.compressed import Runners, compress
from tunebench.harness.artifacts.gather import (
    Artifacts,
    Progress,
    artefacts_of,
    blob_of,
    build_payload,
    default_cache,
    lab_engines_of,
    prepare_bases,
    store_of,
)
from tunebench.harness.config.suite import Suite, Workload
from tunebench.harness.errors import UsageError
from tunebench.harness.study.folds import Fold, folds_of
from tunebench.harness.study.protocol import development_bases
from tunebench.reports.results.files import write_durable
from tunebench.targets.payload import Blob
from tunebench.workloads import artefact
from tunebench.workloads.prepare.artefacts import Prepared

HALVES = 2
#: Seeds of a search's repetitions; runs that measure its choice count from 0.
FIRST_SEED = 100_000
#: Keys of a trial's header: one repetition a half, nothing beside.
_ONCE = {"blocks": 1, "bases": 1, "policy": "cold"}


@dataclass(frozen=True)
class Half:
    """A held-out half, and the base that it begins from.

    Attributes:
        base: a development base.
        files: the start weights of that base; the data without the test set.
        cut: which samples train, which are held out.
    """

    base: int
    files: Prepared
    cut: Fold


@dataclass(frozen=True)
class Halves:
    """What all trials of a search share on this host."""

    halves: tuple[Half, ...]
    payload: Blob
    cache_dir: Path
    data_dir: Path | None
    progress: Progress | None = None
    _runners: Runners = field(default_factory=dict)

    def suite(self, point: Suite, *, energy: bool) -> Suite:
        """Return the suite of a trial: the point's row once on each half, for as many steps as on the whole pool.

        Args:
            point: a suite of one row.
            energy: whether energy is measured, too.
        """
        (row,) = point.workloads
        rows = tuple(
            _on_half(row, half.cut, task) for half, task in zip(self.halves, self._tasks(row), strict=True)
        )
        header = point.header.model_copy(
            update={**_ONCE, "name": f"{point.name}-search"[:64], "energy": energy}
        )
        baselines = {workload.task: workload.label for workload in rows}
        return replace(point, header=header, workloads=rows, baselines=baselines, first_seed=FIRST_SEED)

    def artifacts(self, suite: Suite) -> Artifacts:
        """Return what a trial's boards are given; a chain that cannot be is among what is impossible."""
        made = Artifacts(self.payload)
        data, weights = dict(made.data), dict(made.weights)
        compressed, impossible = dict(made.compressed), dict(made.impossible)
        for half, row in zip(self.halves, suite.workloads, strict=True):
            data[row.task] = blob_of(half.files.data, half.files.data_sha256)
            weights[row.task] = blob_of(half.files.weights, half.files.weights_sha256)
            chains = compress(
                [row],
                [half.files],
                cache_dir=self.cache_dir,
                store=store_of(self.data_dir),
                progress=self.progress,
                runners=self._runners,
                first_base=half.base,
            )
            compressed.update({(task, label, 0): blob for (task, label, _), blob in chains.blobs.items()})
            impossible.update(chains.impossible)
        return replace(made, data=data, weights=weights, compressed=compressed, impossible=impossible)

    def _tasks(self, row: Workload) -> Sequence[str]:
        """Return a task for each half: what is held out is other data."""
        return [f"{row.task}, half {number} held out" for number in range(1, len(self.halves) + 1)]


def prepare_halves(
    suite: Suite,
    *,
    cache_dir: Path | None = None,
    data_dir: Path | None = None,
    progress: Progress | None = None,
) -> Halves:
    """Cut the fine-tuning data of a suite of one task, and find or train the start weights of the development bases.

    Raises:
        DataUnavailable, PrepareError: the data or the start weights cannot be had; with the reason.
        UsageError: the pool cannot be halved.
    """
    task, (dataset, model) = next(iter(artefacts_of(suite).items()))
    cache = cache_dir or default_cache()
    bases = development_bases(HALVES)
    prepared = prepare_bases(
        dataset, model, bases, cache_dir=cache_dir, data_dir=data_dir, download=False, progress=progress
    )
    try:
        cuts = folds_of(artefact.read(str(prepared[0].data)), HALVES)
    except ValueError as error:
        raise UsageError(f"task {task!r}: its fine-tuning data cannot be halved: {error}") from None
    halves = tuple(
        Half(base, _with_data(files, cut, cache), cut)
        for base, files, cut in zip(bases, prepared, cuts, strict=True)
    )
    return Halves(halves, build_payload(lab_engines_of(suite)), cache, data_dir, progress)


def _with_data(files: Prepared, cut: Fold, cache_dir: Path) -> Prepared:
    """Return the artefacts with the half's data in the place of all data, as a file of the cache."""
    raw = artefact.encode(
        cut.data.kind, {**cut.data.meta, "held_out": "half of the fine-tuning part"}, cut.data.tensors
    )
    sha256 = hashlib.sha256(raw).hexdigest()
    path = cache_dir / f"half-{sha256[:32]}.tbx"
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        write_durable(path, raw)
    return replace(files, data=path, data_sha256=sha256)


def _on_half(row: Workload, cut: Fold, task: str) -> Workload:
    """Return a row on a half: of its own task, its epochs stretched to as many steps as the whole pool gives."""
    params = dict(row.params)
    settings = row.settings
    if row.runtime is None:
        params["epochs"] = cut.epochs(int(params["epochs"]))
    elif settings is not None:
        settings = replace(settings, tune_epochs=cut.epochs(settings.tune_epochs))
        params["compress"] = {**params["compress"], "tune_epochs": settings.tune_epochs}
    return replace(row, task=task, params=params, settings=settings, blocks=None, ship=())
