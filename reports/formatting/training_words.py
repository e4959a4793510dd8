"""Say in words how weights were updated, from the parameters of a record; plain SGD at a constant rate is the default."""

from __future__ import annotations

from collections.abc import Mapping

#: What a record without the key was trained with.
DEFAULTS: Mapping[str, object] = {
    "optimizer": "sgd",
    "schedule": "constant",
    "clip": None,
    "weight_decay": 0.0,
    "batchnorm": "frozen",
    "head": "method",
    "lora_plus": 1.0,
    "accumulate": 1,
}
PLAIN = "plain SGD at a constant rate"
_OPTIMIZERS = {"sgd": "SGD", "momentum": "SGD with momentum 0.9", "adamw": "AdamW"}


def training_words(params: Mapping[str, object]) -> str:
    """Return how weights were updated; empty if by the defaults, which :data:`PLAIN` says in words.

    >>> training_words({"lr": 0.001, "optimizer": "adamw", "schedule": "cosine", "clip": 1.0, "alpha": 8.0})
    'AdamW, cosine schedule, gradients clipped at 1, alpha 8'
    >>> training_words({"optimizer": "adamw", "quantized_base": "nf4"})
    'AdamW, base in nf4'
    >>> training_words({"schedule": "cosine"})
    'SGD, cosine schedule'
    >>> training_words({"lr": 0.02})
    ''
    """
    words = []
    for key, default in DEFAULTS.items():
        value = params.get(key, default)
        if value != default:
            words.append(_words(key, value))
    if "alpha" in params:
        words.append(f"alpha {setting(params['alpha'])}")
    if "quantized_base" in params:
        words.append(f"base in {params['quantized_base']}")
    if words and str(params.get("optimizer", "sgd")) == "sgd":
        words.insert(0, _OPTIMIZERS["sgd"])
    return ", ".join(words)


def _words(key: str, value: object) -> str:
    if key == "optimizer":
        return _OPTIMIZERS.get(str(value), str(value))
    return {
        "schedule": f"{value} schedule",
        "clip": f"gradients clipped at {setting(value)}",
        "weight_decay": f"weight decay {setting(value)}",
        "batchnorm": f"BatchNorm {value}",
        "head": f"head {value}",
        "lora_plus": f"LoRA+ {setting(value)}",
        "accumulate": f"gradients of {setting(value)} batches an update",
    }[key]


def setting(value: object) -> str:
    """Return the value of a key in words.

    >>> setting(1.0), setting(None), setting("adamw")
    ('1', 'none', 'adamw')
    """
    return "none" if value is None else f"{value:g}" if isinstance(value, int | float) else str(value)
