"""A `[[workload]]`: which of its keys go together, for networks in a runtime, own methods and built-in ones."""

from __future__ import annotations

from pydantic import model_validator

from tunebench.harness.config.tables.built_in_methods import check_built_in, check_data
from tunebench.harness.config.tables.compress import check_runtime_keys
from tunebench.harness.config.tables.partition import check_partition
from tunebench.harness.config.tables.stress import operating_points
from tunebench.harness.config.tables.workload_keys import WorkloadKeys
from tunebench.workloads.models import find_model
from tunebench.workloads.models.graph import ROWS


class WorkloadEntry(WorkloadKeys):
    """One ``[[workload]]``: built-in methods, or one method of the user's own."""

    @model_validator(mode="after")
    def _check_form(self) -> WorkloadEntry:
        if self.alpha is not None and "scale" in self.model_fields_set:
            raise ValueError("'alpha' and 'scale' exclude each other: scale is alpha / rank")
        if operating_points(self.power_modes, self.frequencies_mhz) and self.stressors:
            raise ValueError(
                "'stressors' stand beside a quiet row, and 'power_modes' and 'frequencies_mhz' have none: give them a "
                "workload of their own"
            )
        if self.runtime is None and self.chains:
            raise ValueError("'chains' go with 'runtime'; start weights of methods have 'start'")
        if self.runtime is None and (self.partition is not None or self.links is not None):
            raise ValueError("'partition' and 'links' go with 'runtime': a network that only runs is cut")
        if self.runtime is not None:
            _check_runtime(self)
        elif self.own:
            _check_own(self)
        else:
            check_built_in(self)
        return self


def _check_runtime(entry: WorkloadKeys) -> None:
    """Refuse what a runtime's rows cannot be."""
    check_runtime_keys(entry.runtime, sorted(entry.model_fields_set), entry.chains)
    if entry.dataset is None or entry.model is None:
        raise ValueError("'dataset' and 'model' are needed: which network the runtime runs, and on what")
    for name in entry.chains:
        if not 1 <= len(name) <= 64:
            raise ValueError(f"'chains': {name[:70]!r} is no name of 1 to 64 characters")
    check_data(entry, entry.model)
    if find_model(entry.model).task not in (ROWS, "classify"):
        raise ValueError(f"model {entry.model!r}: runtimes run classifiers of images or rows so far")
    if (partition := entry.cut) is not None:
        check_partition(partition, str(entry.runtime), entry.graph())


def _check_own(entry: WorkloadKeys) -> None:
    """Refuse keys that mean nothing for a method of the user's own, and one that could not travel."""
    if entry.start:
        raise ValueError("'start' goes with built-in methods")
    if entry.training.changed:
        raise ValueError(
            f"'{entry.training.changed[0]}' goes with built-in methods; hand a method of your own what it needs by "
            "'params'"
        )
    if entry.module is not None and entry.command is not None:
        raise ValueError("'module' and 'command' exclude each other")
    asked = {
        "checkpoint": entry.checkpoint, "dtype": entry.dtype != "float32", "peft": entry.peft is not None,
        "targets": entry.targets is not None, "seq_len": entry.seq_len is not None,
        "quantized_base": entry.quantized_base is not None,
    }  # fmt: skip
    for key, given in asked.items():
        if given:
            raise ValueError(
                f"{key!r} goes with built-in methods; hand a method of your own what it needs by 'params'"
            )
    if entry.skips.changed:
        raise ValueError(f"'{entry.skips.changed[0]}' goes with built-in methods of skip adapters")
    if entry.methods:
        raise ValueError("'methods' lists built-in methods; a method of your own has a 'label'")
    if not entry.label:
        raise ValueError("'label' is missing: the name of your method in tables")
    if (entry.dataset is None) != (entry.model is None):
        raise ValueError("give both 'dataset' and 'model' (your method gets their artefacts) or neither")
    if entry.command is not None and not all(entry.command):
        raise ValueError("'command' must be a list of words, none of them empty")
    if entry.module is not None and entry.module not in entry.files:
        raise ValueError(f"'files' must list {entry.module!r} so that it travels to the board")
