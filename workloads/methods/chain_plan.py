"""Apply a method to a chain of layers: its adapters, what it trains, what it caches, and their counts."""

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from tunebench.workloads.errors import WorkloadError
from tunebench.workloads.methods.table import (
    ALL,
    CONVOLUTIONS,
    LAST,
    NONE,
    OWN_ALL,
    OWN_LAST,
    SKIP,
    Method,
    UnsupportedMethod,
    methods_of,
)
from tunebench.workloads.models import Layer


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
