"""The methods of fine-tuning as one table: which weights train, where adapters sit, what is cached."""

from typing import List, NamedTuple, Sequence, Tuple

from tunebench.workloads.errors import WorkloadError
from tunebench.workloads.models import MODELS, NETWORKS

NONE, LAST, ALL = "none", "last", "all"

#: where adapters sit: no adapter; last layer's input -> its output; each layer's input -> its own output;
#: each layer's input -> the last layer's output, or in a network with branches each block's pooled output -> the scores
#: (:mod:`tunebench.workloads.methods.skips`); each convolution's input -> its own output
OWN_LAST, OWN_ALL, SKIP, CONVOLUTIONS = "own-last", "own-all", "skip", "convolutions"


class Method(NamedTuple):
    """One row of the table.

    Attributes:
        name: as written in suites.
        title: as printed in tables.
        models: where the method applies; :data:`NETWORKS` stands for all networks with branches.
        weights, biases: which of the base model train: ``none``, ``last`` or ``all`` layers.
        adapters: one of ``none``, ``own-last``, ``own-all``, ``skip``, ``convolutions``.
        cache: activations are kept in the first epoch and read back in later ones; allowed only where
            nothing trains before the last layer's output (checked when the plan is made).
        source: where it was published.
    """

    name: str
    title: str
    models: Tuple[str, ...]
    weights: str
    biases: str
    adapters: str
    cache: bool
    source: str

    @property
    def networks(self) -> bool:
        """Return whether the method applies to networks with branches."""
        return any(name in NETWORKS for name in self.models)


_MLP, _ANY, _CNN, _NEW = ("mlp",), ("mlp", "cnn") + NETWORKS, ("cnn",) + NETWORKS, ("mlp",) + NETWORKS
#: skip adapters end at scores of classes, not at maps
_SKIP = ("mlp",) + tuple(name for name in NETWORKS if MODELS[name].task == "classify")
_LORA = "Hu et al., LoRA, ICLR 2022"
_SKIP2 = "Matsutani et al., Skip2-LoRA, ASP-DAC 2025"
_BITFIT = "Ben Zaken et al., BitFit, ACL 2022"
_CACHED = "ours: Skip2-LoRA's cache under a method that the study runs without one"
_LORAE = "Wang et al., LoRAE, Scientific Reports 15:33109, 2025"

# fmt: off
METHODS = (
    #      name           title          models weights biases adapters      cache  source
    Method("ft-all",      "FT-All",      _ANY,  ALL,    ALL,   NONE,         False, "all weights and biases"),
    Method("ft-last",     "FT-Last",     _ANY,  LAST,   LAST,  NONE,         False, "last layer only"),
    Method("ft-bias",     "FT-Bias",     _NEW,  NONE,   ALL,   NONE,         False, _BITFIT),
    Method("ft-all-lora", "FT-All-LoRA", _MLP,  ALL,    ALL,   OWN_ALL,      False, _SKIP2),
    Method("lora-all",    "LoRA-All",    _NEW,  NONE,   NONE,  OWN_ALL,      False, _LORA),
    Method("lora-last",   "LoRA-Last",   _ANY,  NONE,   NONE,  OWN_LAST,     False, _LORA),
    Method("skip-lora",   "Skip-LoRA",   _SKIP, NONE,   NONE,  SKIP,         False, _SKIP2),
    Method("skip2-lora",  "Skip2-LoRA",  _SKIP, NONE,   NONE,  SKIP,         True,  _SKIP2),
    Method("lora-last-cached", "LoRA-Last cached", _NEW, NONE, NONE, OWN_LAST, True, _CACHED),
    Method("ft-last-cached", "FT-Last cached", _NEW, LAST, LAST, NONE,       True,  _CACHED),
    Method("lorae",       "LoRAE",       _CNN,  NONE,   NONE,  CONVOLUTIONS, False, _LORAE),
)
# fmt: on


#: keys of a workload that say something of adapters only, and that a method without adapters must not be given
ADAPTER_KEYS = ("lora_plus", "alpha")


class UnknownMethod(WorkloadError):
    """A method name that is not in the table."""


class UnsupportedMethod(WorkloadError):
    """A method that does not apply to the model."""


def method(name: str, table: Sequence[Method] = METHODS) -> Method:
    """Return the row called ``name``.

    Raises:
        UnknownMethod: names the allowed ones.
    """
    for row in table:
        if row.name == name:
            return row
    raise UnknownMethod("unknown method %r, use one of: %s" % (name, ", ".join(row.name for row in table)))


def supports(name: str, model: str) -> bool:
    """Return whether the method applies to the model."""
    return model in method(name).models


def methods_of(model: str) -> List[str]:
    """Return the names of the methods that apply to the model, in the table's order."""
    return [row.name for row in METHODS if model in row.models]


def adapter_keys(keys: Sequence[str]) -> List[str]:
    """Return those of the keys that are about adapters only."""
    return [key for key in keys if key in ADAPTER_KEYS]


def adapting(model: str) -> List[str]:
    """Return the names of the methods with adapters that apply to the model."""
    return [name for name in methods_of(model) if method(name).adapters != NONE]
