"""A ``adapter_config.json`` of Hugging Face's peft as keys of a workload: what it asks for, or why it cannot be had.

Read are ``r``, ``lora_alpha``, ``target_modules`` and, of the head, ``task_type`` and ``modules_to_save``
(``peft.LoraConfig``, peft 0.21). A key that asks for nothing may stand there, as peft writes them all; one that asks for
anything else is refused by its name: nothing of a file is ignored silently.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunebench.harness.errors import UsageError

#: what a file says of itself or of where it was used
_SAYS = frozenset(
    (
        "peft_type",
        "peft_version",
        "base_model_name_or_path",
        "revision",
        "auto_mapping",
        "inference_mode",
        "megatron_core",
    )
)
_READ = frozenset(("r", "lora_alpha", "target_modules", "task_type", "modules_to_save"))
#: values that ask for nothing, of keys that are neither empty, false nor zero by default
_NOTHING: Mapping[str, Any] = {
    "bias": "none",
    "init_lora_weights": True,
    "qalora_group_size": 16,
    "runtime_config": {"ephemeral_gpu_offload": False},
}
#: names of a classifier's head in Hugging Face's models
_HEADS = frozenset(("classifier", "score"))
_CLASSES, _TOKENS = "SEQ_CLS", "CAUSAL_LM"
_MOST_B = 1_000_000


def peft_keys(path: Path) -> dict[str, Any]:
    """Return the keys of a workload that do what the file says: rank, alpha, targets, head.

    Raises:
        UsageError: the file cannot be read, or asks for something that is not here; names file and key.
    """
    config = _read(path)
    kind = config.get("peft_type", "LORA")
    if kind != "LORA":
        raise UsageError(f"{path}: peft_type is {kind!r}: adapters of type LORA are run; others are not")
    for key, value in config.items():
        if key in _SAYS or key in _READ or not value or (key in _NOTHING and value == _NOTHING[key]):
            continue
        raise UsageError(
            f"{path}: {key} is {json.dumps(value)[:200]}, which is not run here; leave the key out. Read are: "
            + ", ".join(sorted(_READ))
        )
    rank, alpha, targets = (
        config.get(key, usual) for key, usual in (("r", 8), ("lora_alpha", 8), ("target_modules", None))
    )
    if type(rank) is not int or rank < 1:
        raise UsageError(f"{path}: r is {rank!r}, expected a whole number from 1")
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha < float("inf"):
        raise UsageError(f"{path}: lora_alpha is {alpha!r}, expected a number above 0")
    named = isinstance(targets, list) and targets and all(isinstance(name, str) and name for name in targets)
    if not named and not (isinstance(targets, str) and targets):
        raise UsageError(
            f'{path}: target_modules is {targets!r}, expected names of layers, a regular expression or "all-linear"'
        )
    return {"rank": rank, "alpha": float(alpha), "targets": targets, **_head(config, path)}


def _head(config: Mapping[str, Any], path: Path) -> dict[str, str]:
    """Return whether the head trains, as peft has it: of classifiers it always does."""
    saved, task = config.get("modules_to_save") or [], config.get("task_type")
    if task not in (None, _CLASSES, _TOKENS, "FEATURE_EXTRACTION"):
        raise UsageError(f"{path}: task_type is {task!r}; run are {_CLASSES} and {_TOKENS}")
    others = [name for name in saved if name not in _HEADS] if isinstance(saved, list) else [saved]
    if others:
        raise UsageError(
            f"{path}: modules_to_save names {others[0]!r}; besides adapters only a head trains: "
            + ", ".join(sorted(_HEADS))
        )
    return {"head": "trained"} if saved or task == _CLASSES else {}


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_B:
            raise UsageError(f"{path}: larger than {_MOST_B:,} bytes: this is no adapter_config.json")
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}: 'peft' names an adapter_config.json") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: no JSON: {error}") from None
    if not isinstance(config, dict):
        raise UsageError(f"{path}: no JSON object: 'peft' names an adapter_config.json")
    return config
