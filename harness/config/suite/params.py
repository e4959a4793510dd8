"""The hyper-parameters of a method: which keys of its workload become parameters, and where."""

from __future__ import annotations

from typing import Any

from tunebench.harness.config.tables.schema import Header
from tunebench.harness.config.tables.workload import WorkloadEntry
from tunebench.workloads import defaults
from tunebench.workloads.methods.table import SKIP, honours
from tunebench.workloads.methods.table import method as find_method


def params_of(entry: WorkloadEntry, header: Header, name: str) -> dict[str, Any]:
    """Return the hyper-parameters of a method of an entry: those of training, of skip adapters and of checkpointing."""
    return _training_params(entry, header, name) | _skip_params(entry, name) | _checkpoint_params(entry, name)


def _training_params(entry: WorkloadEntry, header: Header, name: str) -> dict[str, Any]:
    """Return the hyper-parameters of a method of an entry.

    Keys of training stand in them only where they ask for something of the method: those of adapters only where it has
    adapters, none of steps where it takes none; a control says itself what trains. So what is measured without keeps its
    hash and its series key, and no record tells what was not done. A method of the user's own, which knows no ``alpha``,
    gets ``scale``.
    """
    params: dict[str, Any] = {
        "epochs": entry.epochs
        or header.epochs
        or defaults.epochs(entry.dataset or "own", entry.model or "own"),
        "batch": entry.batch,
        "lr": entry.lr,
        "rank": entry.rank,
        "scale": entry.scale,
        "warmup_steps": entry.warmup_steps,
    }
    if entry.own:
        return params | ({"scale": entry.alpha / entry.rank} if entry.alpha is not None else {})
    row = find_method(name)
    asked = [key for key in entry.asked if honours(row, key)]
    if (targets := entry.targets_of(name)) is not None:
        params["targets"] = targets
    for key in ("seq_len", "quantized_base"):
        if (value := getattr(entry, key)) is not None:
            params[key] = value
    if "alpha" in asked:
        del params["scale"]
    return {**params, **{key: getattr(entry, key) for key in asked}}


def _skip_params(entry: WorkloadEntry, name: str) -> dict[str, Any]:
    """Return the keys of skip adapters that ask for something, for a method that has any; the others have none."""
    if entry.own or find_method(name).adapters != SKIP:
        return {}
    return {key: getattr(entry, key) for key in entry.skips.changed}


def _checkpoint_params(entry: WorkloadEntry, name: str) -> dict[str, Any]:
    """Return the key of gradient checkpointing for a method that keeps blocks; the others of a workload go without."""
    return {"checkpoint": True} if entry.checkpoint and not entry.own and entry.checkpoints(name) else {}


def cache_params(entry: WorkloadEntry) -> dict[str, Any]:
    """Return the keys of a cache of activations that an entry gives."""
    cache = {"cache_dtype": entry.cache_dtype, "cache_budget_b": entry.cache_budget_b}
    return {key: value for key, value in cache.items() if value is not None}
