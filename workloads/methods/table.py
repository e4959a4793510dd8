"""The methods of fine-tuning as one table: which weights train, where adapters sit, what is cached."""

from typing import List, NamedTuple, Sequence, Tuple

from tunebench.workloads.errors import WorkloadError
from tunebench.workloads.models import MODELS, NETWORKS, family
from tunebench.workloads.models.language import FAMILY

NONE, LAST, ALL = "none", "last", "all"

#: where adapters sit: no adapter; last layer's input -> its output, and of a transformer those of its last block, too;
#: each layer's input -> its own output;
#: each layer's input -> the last layer's output, or in a network with branches each block's pooled output -> the scores
#: (:mod:`tunebench.workloads.methods.skips`); each convolution's input -> its own output
OWN_LAST, OWN_ALL, SKIP, CONVOLUTIONS = "own-last", "own-all", "skip", "convolutions"

#: what the steps minimise: the loss of the labels; the entropy of the predictions, without labels; there are no steps
LABELS, ENTROPY, NO_STEPS = "labels", "entropy", "none"
#: how a step knows where to go: by the gradient, or by the slope along one direction from two forward passes
BACKWARD, FORWARD_ONLY = "backward", "forward-only"
#: of BatchNorm, as the workload's key of that name has them: whatever the key says, the method does this
FROZEN, STATISTICS, ADAPTED = "frozen", "reestimated", "reestimated+affine"


class Method(NamedTuple):
    """One row of the table.

    Attributes:
        name: as written in suites.
        title: as printed in tables.
        models: where the method applies; :data:`NETWORKS` stands for all networks with branches,
            :data:`~tunebench.workloads.models.language.FAMILY` for all transformers.
        weights, biases: which of the base model train: ``none``, ``last`` or ``all`` layers.
        adapters: one of ``none``, ``own-last``, ``own-all``, ``skip``, ``convolutions``.
        cache: activations are kept in the first epoch and read back in later ones; allowed only where
            nothing trains before the last layer's output (checked when the plan is made).
        source: where it was published.
        batchnorm: what the method itself does to BatchNorm, one of the values of the workload's key ``batchnorm``.
        objective: one of ``labels``, ``entropy``, ``none``.
        gradient: ``backward``, or ``forward-only``: estimated, by plain SGD and without a graph.
        frozen_extractors: of each adapter only the mapper (B) trains. Then a gradient needs what the extractor (A) gives,
            not what it reads, and no engine keeps a layer's input.
    """

    name: str
    title: str
    models: Tuple[str, ...]
    weights: str
    biases: str
    adapters: str
    cache: bool
    source: str
    batchnorm: str = FROZEN
    objective: str = LABELS
    gradient: str = BACKWARD
    frozen_extractors: bool = False

    @property
    def networks(self) -> bool:
        """Return whether the method applies to networks with branches."""
        return any(name in NETWORKS for name in self.models)

    @property
    def labels(self) -> bool:
        """Return whether the method learns from labels; the others are controls."""
        return self.objective == LABELS


_TEXT = (FAMILY,)
_MLP, _ANY, _CNN = ("mlp",), ("mlp", "cnn") + NETWORKS + _TEXT, ("cnn",) + NETWORKS
_NEW, _CHAINED = ("mlp",) + NETWORKS + _TEXT, ("mlp",) + NETWORKS
#: skip adapters end at scores of classes, not at maps
_SKIP = ("mlp",) + tuple(name for name in NETWORKS if MODELS[name].task == "classify") + _TEXT
#: networks with BatchNorm, and those of them whose outputs are probabilities of classes
_NORMED = tuple(name for name in NETWORKS if name != "squeezenet-small")
_BN = ("mlp", "cnn") + _NORMED
_SCORED = tuple(name for name in _NORMED if MODELS[name].task != "detect")
_LORA = "Hu et al., LoRA, ICLR 2022"
_SKIP2 = "Matsutani et al., Skip2-LoRA, ASP-DAC 2025"
_BITFIT = "Ben Zaken et al., BitFit, ACL 2022"
_CACHED = "ours: Skip2-LoRA's cache under a method that the study runs without one"
_LORAE = "Wang et al., LoRAE, Scientific Reports 15:33109, 2025"
_BASE = "the base as it is"
_AGAIN = "statistics alone, e.g. Schneider et al., NeurIPS 2020"
_FA = "Zhang et al., LoRA-FA, arXiv 2308.03303, 2023"
_MEZO = "Malladi et al., MeZO, NeurIPS 2023"
_TENT = "Wang et al., Tent, ICLR 2021"

# fmt: off
METHODS = (
    #      name           title          models weights biases adapters      cache  source
    Method("ft-all",      "FT-All",      _ANY,  ALL,    ALL,   NONE,         False, "all weights and biases"),
    Method("ft-last",     "FT-Last",     _ANY,  LAST,   LAST,  NONE,         False, "last layer only"),
    Method("ft-bias",     "FT-Bias",     _NEW,  NONE,   ALL,   NONE,         False, _BITFIT),
    Method("ft-all-lora", "FT-All-LoRA", _MLP,  ALL,    ALL,   OWN_ALL,      False, _SKIP2),
    Method("lora-all",    "LoRA-All",    _NEW,  NONE,   NONE,  OWN_ALL,      False, _LORA),
    Method("lora-fa",     "LoRA-FA",     _CHAINED, NONE,   NONE,  OWN_ALL,      False, _FA, frozen_extractors=True),
    Method("lora-last",   "LoRA-Last",   _ANY,  NONE,   NONE,  OWN_LAST,     False, _LORA),
    Method("skip-lora",   "Skip-LoRA",   _SKIP, NONE,   NONE,  SKIP,         False, _SKIP2),
    Method("skip2-lora",  "Skip2-LoRA",  _SKIP, NONE,   NONE,  SKIP,         True,  _SKIP2),
    Method("lora-last-cached", "LoRA-Last cached", _CHAINED, NONE, NONE, OWN_LAST, True, _CACHED),
    Method("ft-last-cached", "FT-Last cached", _NEW, LAST, LAST, NONE,       True,  _CACHED),
    Method("lorae",       "LoRAE",       _CNN,  NONE,   NONE,  CONVOLUTIONS, False, _LORAE),
    Method("mezo",        "MeZO",        _ANY,  ALL,    ALL,   NONE,         False, _MEZO, gradient=FORWARD_ONLY),
    # controls: without labels
    Method("untrained",   "Untrained",   _ANY,  NONE,   NONE,  NONE,         False, _BASE, FROZEN, NO_STEPS),
    Method("reestimated", "Re-estimated", _BN,  NONE,   NONE,  NONE,         False, _AGAIN, STATISTICS, NO_STEPS),
    Method("tent",        "Tent",        _SCORED, NONE, NONE,  NONE,         False, _TENT, ADAPTED, ENTROPY),
)
# fmt: on


#: keys of a workload that say something of adapters only, and that a method without adapters must not be given
ADAPTER_KEYS = ("lora_plus", "alpha")
#: keys about what trains besides the method's own: a control's row says all of that itself
OWN_KEYS = ("batchnorm", "head")
#: keys of training that mean something where no gradient is computed
FORWARD_ONLY_KEYS = OWN_KEYS + ("schedule",)


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
    return family(model) in method(name).models


def methods_of(model: str) -> List[str]:
    """Return the names of the methods that apply to the model, in the table's order."""
    return [row.name for row in METHODS if family(model) in row.models]


def head_alone() -> Method:
    """Return the method that trains a network's head on cached outputs of its trunk."""
    return next(row for row in METHODS if row.cache and row.weights == LAST and row.adapters == NONE)


def keeping_trunk(model: str) -> List[str]:
    """Return the names of the model's methods that change nothing before its head, in the table's order."""
    return [
        row.name
        for row in (method(name) for name in methods_of(model))
        if ALL not in (row.weights, row.biases)
        and row.adapters in (NONE, OWN_LAST, SKIP)
        and row.batchnorm == FROZEN
    ]


def honours(row: Method, key: str) -> bool:
    """Return whether a key of training means something for a method; beside methods that it does, others go without."""
    if key in ADAPTER_KEYS:
        return row.adapters != NONE and not (key == "lora_plus" and row.frozen_extractors)
    if row.gradient == FORWARD_ONLY:
        return key in FORWARD_ONLY_KEYS
    return row.labels if key in OWN_KEYS else row.objective != NO_STEPS


def honouring(key: str, model: str) -> List[str]:
    """Return the names of the model's methods that honour a key of training."""
    return [name for name in methods_of(model) if honours(method(name), key)]
