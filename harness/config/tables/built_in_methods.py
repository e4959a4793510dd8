"""What built-in methods can be asked for: data, engine, start weights and keys that fit the model and the methods."""

from __future__ import annotations

from tunebench.harness.config.tables.workload_keys import WorkloadKeys
from tunebench.workloads import datasets as data_sets
from tunebench.workloads import engines
from tunebench.workloads.engines.native.build import VARIANTS
from tunebench.workloads.methods import table
from tunebench.workloads.methods.plan import plan as make_plan
from tunebench.workloads.methods.plan import unfit
from tunebench.workloads.methods.quantized_base import parse_quantized_base, with_quantized_base
from tunebench.workloads.methods.skips import USUAL
from tunebench.workloads.models import find_model
from tunebench.workloads.models.graph import LANGUAGE, TEXT
from tunebench.workloads.models.language import SHAPE, is_text_model
from tunebench.workloads.tasks.spec import parse_targets


def check_built_in(entry: WorkloadKeys) -> None:
    """Refuse a workload of built-in methods that no board could run as it is asked for.

    Raises:
        ValueError: the sentence names the key and what is allowed.
    """
    if entry.files or entry.params:
        raise ValueError("'files' and 'params' go with 'module' or 'command'")
    if entry.dataset is None or entry.model is None or not entry.methods:
        raise ValueError("'dataset', 'model' and 'methods' are needed (or 'module' or 'command')")
    if entry.label and len(entry.methods) != 1:
        raise ValueError("'label' renames one method; this workload has several")
    check_data(entry, entry.model)
    _check_start(entry, entry.model)
    _check_engine(entry, entry.model)
    if entry.seq_len is not None and not is_text_model(entry.model):
        raise ValueError(f"'seq_len' is about tokens, model {entry.model!r} reads none: leave the key out")
    parse_quantized_base(entry.model, entry.quantized_base)
    for name in entry.methods:
        table.method(name)
        if not table.supports(name, entry.model):
            fitting, reason = ", ".join(table.methods_of(entry.model)), _unfit(entry, name)
            raise ValueError(
                f"method {name!r} does not apply to model {entry.model!r}{reason}; those that do: {fitting}"
            )
    _check_keys(entry, entry.model)
    _check_targets(entry, entry.model)
    _check_plans(entry)


def check_data(entry: WorkloadKeys, model: str) -> None:
    """Refuse a data set that the model does not take."""
    wanted = (TEXT, LANGUAGE) if is_text_model(model) else (find_model(model).task,)
    if entry.data_task() not in wanted:
        sets = [name for name in data_sets.DATASETS if data_sets.dataset_module(name).TASK in wanted]
        own = f", or {data_sets.FILE_PREFIX}PATH" if is_text_model(model) else ""
        raise ValueError(
            f"model {model!r} does not take data set {entry.dataset!r}; those it takes: {', '.join(sets)}{own}"
        )


def _check_start(entry: WorkloadKeys, model: str) -> None:
    if not entry.start:
        return
    if not engines.find_engine(entry.engine).starts:
        able = ", ".join(name for name, engine in engines.ENGINES.items() if engine.starts)
        raise ValueError(
            f"engine {entry.engine!r} does not begin from compressed weights; engines that do: {able}"
        )
    if find_model(model).task != "classify":
        raise ValueError(f"'start' compresses classifiers of images; model {model!r} is none")


def _unfit(entry: WorkloadKeys, name: str) -> str:
    return unfit(table.method(name), entry.graph())


def _check_engine(entry: WorkloadKeys, model: str) -> None:
    engine = engines.find_engine(entry.engine)
    if not engine.runs(model, entry.device, entry.threads):
        limits = engine.limits or "neither this model nor this device, or not with so many threads"
        raise ValueError(f"engine {entry.engine!r} runs {limits}")
    engines.check_training(entry.engine, entry.training, model)
    engines.check_dtype(entry.engine, entry.dtype, model)
    settings = {
        "build": entry.build,
        "cache_dtype": entry.cache_dtype,
        "cache_budget_b": entry.cache_budget_b,
    }
    if any(value and key not in engine.settings for key, value in settings.items()):
        raise ValueError("'build', 'cache_dtype' and 'cache_budget_b' go with engine = \"native\"")
    if entry.build is not None and entry.build not in VARIANTS:
        raise ValueError(f"unknown build {entry.build!r}; allowed: {', '.join(VARIANTS)}")


def _check_keys(entry: WorkloadKeys, model: str) -> None:
    """Refuse keys that mean nothing for any of the methods; beside one that honours a key, the others go without."""
    rows = [table.method(name) for name in entry.methods]
    for key in entry.asked:
        if any(table.honours(row, key) for row in rows):
            continue
        names, fitting = ", ".join(entry.methods), ", ".join(table.honouring(key, model))
        if any(row.frozen_extractors for row in rows) and key in table.ADAPTER_KEYS:
            train = "trains" if len(rows) == 1 else "train"
            raise ValueError(
                f"'{key}' is the rate of adapters' B over that of A, and {names} {train} no A; methods of "
                f"model {model!r} that do: {fitting}"
            )
        if key in table.ADAPTER_KEYS:
            raise ValueError(
                f"'{key}' is about adapters, and {names} {'has' if len(rows) == 1 else 'have'} none; methods of "
                f"model {model!r} that have: {fitting}"
            )
        raise ValueError(
            f"'{key}' means nothing for {names}: no labels are learnt from, no gradient is computed or no step is "
            f"taken; methods of model {model!r} for which it does: {fitting}"
        )


def _check_targets(entry: WorkloadKeys, model: str) -> None:
    if entry.targets is None:
        return
    parse_targets(model, entry.targets)
    if all(entry.targets_of(name) is None for name in entry.methods):
        fitting = [name for name in table.methods_of(model) if entry.targets_of(name) is not None]
        raise ValueError(
            f"'targets' names layers that get adapters, {', '.join(entry.methods)} put them elsewhere; methods of "
            f"model {model!r} that take it: {', '.join(fitting)}"
        )


def _check_plans(entry: WorkloadKeys) -> None:
    """Refuse what no board could plan: a cache of what every step changes, keys of BatchNorm where there is none."""
    graph = entry.graph()
    shape = str(entry.model).startswith(f"{SHAPE}:")
    rows = [table.method(name) for name in entry.methods]
    checkpointing = any(entry.checkpoints(name) for name in entry.methods)
    skipping = any(row.adapters == table.SKIP for row in rows)
    for name, row in zip(entry.methods, rows, strict=True):
        skips = entry.skips if row.adapters == table.SKIP or not skipping else USUAL
        again = entry.checkpoint and (entry.checkpoints(name) or not checkpointing)
        keys = {key: getattr(entry, key) for key in table.OWN_KEYS if table.honours(row, key)}
        # What layers a wheel's or a folder's model has is known once it is read.
        targets = entry.targets_of(name) if shape else None
        made = make_plan(row, graph, entry.rank, skips=skips, checkpoint=again, targets=targets, **keys)
        engines.check_plan(entry.engine, name, with_quantized_base(made, name, entry.quantized_base))
