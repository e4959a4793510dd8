"""Compress a suite's networks on this host, and write the trunks that engines keep frozen, as files of a runtime.

One artefact a chain and base is made once and kept in the cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebench.harness.config.suite import Workload
from tunebench.targets.payload import Blob
from tunebench.workloads import artefact
from tunebench.workloads.compress.steps import Settings, identity
from tunebench.workloads.datasets import DataUnavailable, dataset_module
from tunebench.workloads.datasets.store import Store, default_data_dir
from tunebench.workloads.datasets.texts import TextSet
from tunebench.workloads.deploy import RUNTIMES
from tunebench.workloads.engines.head import Head, head_of
from tunebench.workloads.errors import WorkloadError
from tunebench.workloads.methods.plan import plan
from tunebench.workloads.methods.skips import parse_skips
from tunebench.workloads.methods.table import method
from tunebench.workloads.models import graph_of
from tunebench.workloads.models.graph import Graph
from tunebench.workloads.prepare.artefacts import Prepared
from tunebench.workloads.prepare.pretrain import data_tensors, shape_of

if TYPE_CHECKING:
    from tunebench.workloads.compress.chain import Chains
    from tunebench.workloads.compress.state import State

#: What is being made, and how much of it is done (0..1).
Progress = Callable[[str, float], None]
NO_TORCH = "chains train and look at networks on this host, and torch is not installed: pip install 'tunebench[torch]'"


@dataclass
class Compressed:
    """What chains and trunks have given: blobs by task, label and base; the rows that cannot be, with the reason."""

    blobs: dict[tuple[str, str, int], Blob] = field(default_factory=dict)
    impossible: dict[tuple[str, str], str] = field(default_factory=dict)


def compress(
    workloads: Sequence[Workload],
    prepared: Sequence[Prepared],
    *,
    cache_dir: Path,
    store: Store | None = None,
    progress: Progress | None = None,
    runners: Runners | None = None,
    first_base: int = 0,
) -> Compressed:
    """Run the chains of the workloads of one task, and write what of their networks an engine keeps frozen.

    A chain that cannot be is not an error: its rows are left out with the reason, the others run.

    Args:
        workloads: of one task.
        prepared: data and start weights, one a base.
        cache_dir: where artefacts are kept.
        store: where the source domain's samples are read from; None: the usual places, nothing is downloaded.
        progress: told which chain is at work.
        runners: those of earlier tasks: what two tasks have in common is trained once.
        first_base: number of the first of ``prepared``; chains are trained with it as their seed.
    """
    nowhere = {row.key: RUNTIMES[row.runtime].nowhere for row in workloads if row.runtime}
    made = Compressed(impossible={key: reason for key, reason in nowhere.items() if reason})
    changed = [workload for workload in workloads if workload.chain or workload.trunk]
    rows = [workload for workload in changed if not workload.aa_control]
    if not rows:
        return made
    runners = {} if runners is None else runners
    total, done = len(rows) * len(prepared), 0
    for base, files in enumerate(prepared, first_base):
        start = rows[0].params.get("compress"), files.data_sha256, files.weights_sha256, base
        runner = runners.setdefault(json.dumps(start), _Runner(files, str(rows[0].model), base, store))
        for row in rows:
            if progress is not None:
                doing = "compressing" if row.chain else "writing the trunk of"
                progress(f"{doing} {row.task}: {row.label}", done / total)
            done += 1
            if row.key in made.impossible:
                continue
            try:
                path, sha256 = runner.file_of(row, cache_dir)
            except ImportError:
                made.impossible[row.key] = NO_TORCH
            except (DataUnavailable, WorkloadError) as error:
                asked = "be compressed as asked" if row.chain else "have its trunk written"
                made.impossible[row.key] = f"it cannot {asked}: {error}"
            else:
                made.blobs[(*row.key, base)] = Blob(name=f"{sha256}.tbx", sha256=sha256, path=path)
    for control in changed:
        if control.aa_control:
            _follow(made, control, rows, range(first_base, first_base + len(prepared)))
    return made


def _follow(made: Compressed, control: Workload, rows: Sequence[Workload], bases: Iterable[int]) -> None:
    """Give an A/A control what its baseline has: it is the same once more, from the same bytes."""
    twin = next(row for row in rows if row.params == control.params and row.method == control.method)
    if twin.key in made.impossible:
        made.impossible[control.key] = made.impossible[twin.key]
    for base in bases:
        if (*twin.key, base) in made.blobs:
            made.blobs[(*control.key, base)] = made.blobs[(*twin.key, base)]


class _Runner:
    """The chains of one task from one base; torch is imported only where an artefact is missing."""

    def __init__(self, files: Prepared, model: str, base: int, store: Store | None) -> None:
        self._files, self._model, self._base = files, model, base
        self._store = store
        self._chains: Chains | None = None

    def file_of(self, row: Workload, cache_dir: Path) -> tuple[Path, str]:
        """Return the file of a row's network and its SHA-256, made now if it is not there whole.

        Raises:
            ImportError: it must be made, and there is no torch.
            DataUnavailable: it must be made, and the source domain's samples are not there.
            WorkloadError: a step cannot be done to this network.
        """
        settings = row.settings or Settings()
        form = row.runtime or ("trunk" if row.trunk else "start")
        parts = [form, str(self._base), self._files.data_sha256, self._files.weights_sha256]
        if row.trunk:
            parts += [row.trunk, *_head(row, self._start.graph).given]
        ident = identity(row.chain, settings, *parts)
        path = cache_dir / f"{row.dataset}-{row.model}-{form}-{ident}.tbx".replace("/", "-").replace(":", "-")
        sha256 = _intact(path)
        if sha256 is None:
            raw = self._made(row, settings)
            sha256 = _write(path, raw)
        return path, sha256

    def _made(self, row: Workload, settings: Settings) -> bytes:
        from tunebench.workloads.compress.deployed import encoded, start_weights
        from tunebench.workloads.compress.trunk import trunk_artefact

        meta: dict[str, Any] = {
            "dataset": row.dataset,
            "model": row.model,
            "seed": self._base,
            "parent_sha256": self._files.weights_sha256,
            "data_sha256": self._files.data_sha256,
        }
        state = self._start
        if row.chain:
            import torch

            meta |= {"settings": row.params["compress"], "made_with": f"torch {torch.__version__}"}
            state = self._chains_of(row, settings).run(row.chain)
        if row.trunk:
            return trunk_artefact(state, _head(row, state.graph), row.chain, meta)
        if row.runtime is None:
            return start_weights(state, row.chain, meta)
        return encoded(state, self._start, row.runtime, row.chain, meta)

    @cached_property
    def _start(self) -> State:
        """Return the network that the chains begin from."""
        from tunebench.workloads.compress.state import state_of

        meta, weights = self._data.meta, artefact.read(str(self._files.weights))
        return state_of(graph_of(self._model, shape_of(meta), meta["n_classes"]), weights)

    @cached_property
    def _data(self) -> artefact.Artefact:
        return artefact.read(str(self._files.data))

    def _chains_of(self, row: Workload, settings: Settings) -> Chains:
        from tunebench.workloads.compress.chain import Chains, Domains
        from tunebench.workloads.compress.train import part_of

        if self._chains is None:
            graph = self._start.graph
            source = self._source(row) if settings.source_steps else None
            domains = Domains(
                part_of(self._data, "finetune", graph),
                part_of(source, "pretrain", graph) if source is not None else None,
            )
            self._chains = Chains(self._start, domains, settings, self._base)
        return self._chains

    def _source(self, row: Workload) -> artefact.Artefact:
        """Return the source domain's samples, which no board gets."""
        store = self._store or Store(default_data_dir())
        loaded = dataset_module(str(row.dataset)).load(store)
        if isinstance(loaded, TextSet):
            raise WorkloadError(
                f"data set {row.dataset!r} holds texts: chains change classifiers of images or rows"
            )
        meta = {"n_classes": loaded.meta["n_classes"]}
        return artefact.decode(artefact.encode("data", meta, data_tensors(loaded, "pretrain")))


def _head(row: Workload, graph: Graph) -> Head:
    """Return what trains behind the trunk of a row's network.

    Raises:
        WorkloadError: the engine cannot keep such a trunk.
    """
    skips = parse_skips(row.params.get("skip_grid"), row.params.get("skip_blocks"))
    return head_of(plan(method(row.method), graph, row.params["rank"], skips=skips), row.engine)


#: Start of chains -> who runs them.
Runners = dict[str, _Runner]


def _intact(path: Path) -> str | None:
    """Return the SHA-256 of a kept artefact; None where it is missing or damaged."""
    try:
        raw = path.read_bytes()
        artefact.decode(raw)
    except (OSError, artefact.ArtefactError):
        return None
    return hashlib.sha256(raw).hexdigest()


def _write(path: Path, raw: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.part")
    part.write_bytes(raw)
    part.replace(path)
    return hashlib.sha256(raw).hexdigest()
