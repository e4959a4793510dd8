"""The fine-tuning methods as one declarative table.

A row says which weights and biases train, where adapters start and end, and whether activations are cached.
Engines read a :class:`Plan` (a row applied to a model's layers); nothing else knows a method's name. A new
method is one row.
"""

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from tunebench.workloads.errors import WorkloadError
from tunebench.workloads.models import NETWORKS, Layer

NONE, LAST, ALL = "none", "last", "all"

#: where adapters sit: no adapter; last layer's input -> its output; each layer's input -> its own output;
#: each layer's input -> the last layer's output; each convolution's input -> its own output
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
        """Whether the method applies to networks with branches (:mod:`tunebench.workloads.network_plan`)."""
        return any(name in NETWORKS for name in self.models)


_NETS = tuple(NETWORKS)
_MLP, _ANY, _CNN, _NEW = ("mlp",), ("mlp", "cnn") + _NETS, ("cnn",) + _NETS, ("mlp",) + _NETS
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
    Method("skip-lora",   "Skip-LoRA",   _MLP,  NONE,   NONE,  SKIP,         False, _SKIP2),
    Method("skip2-lora",  "Skip2-LoRA",  _MLP,  NONE,   NONE,  SKIP,         True,  _SKIP2),
    Method("lora-last-cached", "LoRA-Last cached", _NEW, NONE, NONE, OWN_LAST, True, _CACHED),
    Method("ft-last-cached", "FT-Last cached", _NEW, LAST, LAST, NONE,       True,  _CACHED),
    Method("lorae",       "LoRAE",       _CNN,  NONE,   NONE,  CONVOLUTIONS, False, _LORAE),
)
# fmt: on


class UnknownMethod(WorkloadError):
    """A method name that is not in the table."""


class UnsupportedMethod(WorkloadError):
    """A method that does not apply to the model."""


def method(name: str, table: Sequence[Method] = METHODS) -> Method:
    """The row called ``name``.

    Raises:
        UnknownMethod: names the allowed ones.
    """
    for row in table:
        if row.name == name:
            return row
    raise UnknownMethod("unknown method %r, use one of: %s" % (name, ", ".join(row.name for row in table)))


def supports(name: str, model: str) -> bool:
    """Whether the method applies to the model."""
    return model in method(name).models


def methods_of(model: str) -> List[str]:
    """Names of the methods that apply to the model, in the table's order."""
    return [row.name for row in METHODS if model in row.models]


class Adapter(NamedTuple):
    """A low-rank path from a layer's input to a layer's output: ``y_end += scale * B(A(x_start))``.

    Attributes:
        start: index of the layer whose input it reads.
        end: index of the layer whose output (before BatchNorm) it adds to.
        rank: channels between A and B.
        conv: None for a linear adapter; else (kernel, stride, padding) of the extractor A, whose mapper B is
            a 1x1 convolution.
        a_shape, b_shape: of the two weights.
        fan_in: inputs of one output of A.
    """

    start: int
    end: int
    rank: int
    conv: Optional[Tuple[int, int, int]]
    a_shape: Tuple[int, ...]
    b_shape: Tuple[int, ...]
    fan_in: int

    @property
    def name(self) -> str:
        """Stable name for start values and weight files."""
        return "adapter%d-%d" % (self.start, self.end)


class Plan(NamedTuple):
    """A method applied to a model: what an engine needs and no more.

    Attributes:
        layers: of the model.
        weights, biases: for each layer, whether it trains.
        adapters: in order of their end, then start.
        cached_inputs: layers whose input is cached (not the first: its input is the sample itself).
        cached_output: the last layer's output without adapters is cached.
    """

    layers: Tuple[Layer, ...]
    weights: Tuple[bool, ...]
    biases: Tuple[bool, ...]
    adapters: Tuple[Adapter, ...]
    cached_inputs: Tuple[int, ...]
    cached_output: bool

    @property
    def caches(self) -> bool:
        """Whether activations are kept from the first epoch on."""
        return bool(self.cached_inputs) or self.cached_output


def plan(row: Method, model: str, layers: Sequence[Layer], rank: int) -> Plan:
    """Apply a method to a model.

    Raises:
        UnsupportedMethod: the pair does not fit; names the methods that do.
        WorkloadError: rank below 1
        ValueError: a row that cannot be: it caches what training changes, or skips convolutions.
    """
    if model not in row.models:
        raise UnsupportedMethod(
            "method %r does not apply to model %r; for it use one of: %s"
            % (row.name, model, ", ".join(methods_of(model)))
        )
    if row.adapters != NONE and rank < 1:
        raise WorkloadError("workload.rank is %d: adapters need a rank of at least 1" % rank)
    last = len(layers) - 1
    weights, biases = _chosen(row.weights, last), _chosen(row.biases, last)
    adapters = tuple(_adapter(layers, start, end, rank) for start, end in _places(row.adapters, layers))
    inputs: Tuple[int, ...] = ()
    output = False
    if row.cache:
        _check_cacheable(row, weights, biases, adapters)
        head_trains = weights[last] or biases[last]
        needed = {adapter.start for adapter in adapters} | ({last} if head_trains else set())
        inputs, output = tuple(sorted(needed - {0})), not head_trains
    return Plan(tuple(layers), weights, biases, adapters, inputs, output)


def _chosen(which: str, last: int) -> Tuple[bool, ...]:
    return tuple(which == ALL or (which == LAST and index == last) for index in range(last + 1))


def _places(where: str, layers: Sequence[Layer]) -> List[Tuple[int, int]]:
    last = len(layers) - 1
    places: Dict[str, List[Tuple[int, int]]] = {
        NONE: [],
        OWN_LAST: [(last, last)],
        OWN_ALL: [(i, i) for i in range(last + 1)],
        SKIP: [(i, last) for i in range(last + 1)],
        CONVOLUTIONS: [(i, i) for i in range(last + 1) if layers[i].kind == "conv"],
    }
    return places[where]


def _adapter(layers: Sequence[Layer], start: int, end: int, rank: int) -> Adapter:
    source, target = layers[start], layers[end]
    if source.kind == "linear" and target.kind == "linear":
        shapes = (rank, source.in_shape[0]), (target.channels_out, rank)
        return Adapter(start, end, rank, None, shapes[0], shapes[1], source.in_shape[0])
    if start != end:
        raise ValueError("an adapter that skips layers must start and end at linear layers")
    k = source.kernel
    a_shape = (rank, source.in_shape[0], k, k)
    b_shape = (source.channels_out, rank, 1, 1)
    return Adapter(start, end, rank, (k, source.stride, source.padding), a_shape, b_shape, source.fan_in)


def _check_cacheable(
    row: Method, weights: Sequence[bool], biases: Sequence[bool], adapters: Sequence[Adapter]
) -> None:
    last = len(weights) - 1
    if any(weights[:last]) or any(biases[:last]) or any(adapter.end < last for adapter in adapters):
        raise ValueError("method %r cannot cache: what it trains changes the activations" % row.name)


class Counts(NamedTuple):
    """What a plan amounts to.

    Attributes:
        total: parameters of the base model (BatchNorm's affine included, statistics not) and the adapters.
        trainable: of those, the ones that train.
        update_b: bytes of the trained ones in float32: what a device would send or store.
        cache_floats: floats kept for one sample.
    """

    total: int
    trainable: int
    update_b: int
    cache_floats: int


def counts(made: Plan) -> Counts:
    """Count parameters, bytes of the update and cached floats of a plan."""
    total = trainable = 0
    for index, layer in enumerate(made.layers):
        weight, bias = _size(layer.weight_shape), layer.channels_out
        total += weight + bias + (2 * layer.channels_out if layer.norm else 0)
        trainable += weight * made.weights[index] + bias * made.biases[index]
    adapters = sum(_size(adapter.a_shape) + _size(adapter.b_shape) for adapter in made.adapters)
    cached = sum(made.layers[index].size_in for index in made.cached_inputs)
    cached += made.layers[-1].size_out * made.cached_output
    return Counts(total + adapters, trainable + adapters, 4 * (trainable + adapters), cached)


def _size(shape: Sequence[int]) -> int:
    result = 1
    for size in shape:
        result *= size
    return result
