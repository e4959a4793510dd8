"""Apply a method of the table to a network: what trains, where adapters sit, what is cached, and their counts.

A chain's layers have a bias of their own, and BatchNorm behind them is frozen. A network's convolutions have none where
BatchNorm follows: its shift is then their bias, its scale belongs to their weight. BatchNorm's statistics are frozen
unless the workload's key ``batchnorm`` or the method's row has them re-estimated; its scales and shifts train in every
layer if either says so. "Last" is the head: the layers the outputs come from; with the key ``head`` its weights and
biases train whatever the method.

An adapter on a convolution is an extractor of the convolution's kernel to ``rank`` channels and a 1x1 mapper:
``rank (c_in kh kw + c_out)`` parameters (Wang et al., LoRAE, Scientific Reports 15:33109, 2025). That is also LoRA
on the weight flattened to c_out x (c_in kh kw), so on one convolution the two are the same map.

Skip adapters of a network with branches are nodes of its graph (:mod:`tunebench.workloads.methods.skips`) whose weights
train.
"""

from typing import Dict, List, NamedTuple, Optional, Sequence, Set, Tuple, Union

from tunebench.workloads.errors import WorkloadError
from tunebench.workloads.methods import skips as skipping
from tunebench.workloads.methods.skips import Skips
from tunebench.workloads.methods.table import (
    ALL,
    BACKWARD,
    CONVOLUTIONS,
    ENTROPY,
    FORWARD_ONLY,
    FROZEN,
    LABELS,
    LAST,
    METHODS,
    NONE,
    OWN_ALL,
    OWN_LAST,
    SKIP,
    Method,
    UnsupportedMethod,
)
from tunebench.workloads.models.graph import (
    INPUT,
    LANGUAGE,
    TEXT,
    Graph,
    Node,
    product,
    shapes_of,
    weight_shapes,
)
from tunebench.workloads.models.language import FAMILY, OUTPUT, is_target, module_name

#: names of layers, or one regular expression
Targets = Union[str, Sequence[str]]
#: of a BatchNorm, as a weights artefact names them; they are no parameters
STATISTICS = ("mean", "variance")


class Adapter(NamedTuple):
    """A low-rank path from a layer's input to a layer's output: ``y_end += scale * mapper(extractor(x_start))``.

    Attributes:
        name: of its start values.
        start: the layer whose input it reads.
        end: the layer whose output (before BatchNorm) it adds to.
        extractor, mapper: shapes of its two weights, as torch keeps them.
        fan_in: inputs of one output of the extractor.
    """

    name: str
    start: str
    end: str
    extractor: Tuple[int, ...]
    mapper: Tuple[int, ...]
    fan_in: int

    @property
    def n_params(self) -> int:
        """Return the number of values of its two weights."""
        return product(self.extractor) + product(self.mapper)


class Plan(NamedTuple):
    """A method applied to a network: what an engine needs and no more.

    Attributes:
        graph: the network; with the nodes of skip adapters where it has branches.
        weights: layers whose weight trains, with the scale of a BatchNorm that trains.
        biases: layers whose bias trains, which may be BatchNorm's shift.
        adapters: in the order of the layers that they end at.
        rank: of every adapter.
        skipped: layer -> why the method's rule gives it no adapter.
        cached: nodes whose output is kept from the first epoch on; what lies before is then not run again.
        cached_output: the output of a chain's frozen head, without adapters, is kept, too.
        norms: layers whose BatchNorm's scale and shift both train, whatever ``weights`` and ``biases`` say.
        statistics: layers whose BatchNorm's statistics are re-estimated before the first step.
        objective, gradient: of the steps, as in the method's row.
        checkpoint: values of blocks are computed again in the backward pass, not kept
            (:mod:`tunebench.workloads.methods.checkpointing`).
        frozen_extractors: of the adapters only the mappers train, and layers that are frozen keep no input.
        dtype: what maps are computed in, by autocast: ``float32``, ``bfloat16``, ``float16``.
        accumulate: batches whose gradients are added up before an update.
        quantized_base: form of the frozen maps (:mod:`tunebench.workloads.methods.quantized_base`); None: float32.
    """

    graph: Graph
    weights: Tuple[str, ...]
    biases: Tuple[str, ...]
    adapters: Tuple[Adapter, ...]
    rank: int
    skipped: Dict[str, str]
    cached: Tuple[str, ...]
    cached_output: bool
    norms: Tuple[str, ...] = ()
    statistics: Tuple[str, ...] = ()
    objective: str = LABELS
    gradient: str = BACKWARD
    checkpoint: bool = False
    frozen_extractors: bool = False
    dtype: str = "float32"
    accumulate: int = 1
    quantized_base: Optional[str] = None

    @property
    def trains(self) -> bool:
        """Return whether there are steps at all."""
        return bool(self.weights or self.biases or self.adapters or self.norms)

    @property
    def caches(self) -> bool:
        """Return whether activations are kept from the first epoch on."""
        return bool(self.cached) or self.cached_output

    @property
    def has_adapters(self) -> bool:
        """Return whether there are adapters: beside layers or, in a network with branches, from blocks to its scores."""
        return bool(self.adapters or self.graph.added)

    @property
    def trains_trunk(self) -> bool:
        """Return whether something of a network with branches trains, or adapts, that lies before its head."""
        behind = {node.name for node in self.graph.nodes if node.head or node.added}
        trained = set(self.weights) | set(self.biases) | set(self.adapted)
        return not self.graph.chain and not trained <= behind

    @property
    def adapted(self) -> Tuple[str, ...]:
        """Return the layers that an adapter ends at."""
        return tuple(adapter.end for adapter in self.adapters)

    @property
    def places(self) -> List[Tuple[int, int]]:
        """Return for each adapter the numbers of the layers that it starts and ends at."""
        at = {layer.name: index for index, layer in enumerate(self.graph.layers)}
        return [(at[adapter.start], at[adapter.end]) for adapter in self.adapters]

    @property
    def cached_inputs(self) -> Tuple[int, ...]:
        """Return the numbers of a chain's layers whose input is cached; not the first: its input is the sample."""
        return tuple(
            index for index, layer in enumerate(self.graph.layers) if set(layer.inputs) & set(self.cached)
        )


def plan(
    row: Method,
    graph: Graph,
    rank: int,
    batchnorm: str = FROZEN,
    head: str = "method",
    *,
    skips: Skips = skipping.USUAL,
    checkpoint: bool = False,
    targets: Optional[Targets] = None,
) -> Plan:
    """Apply a method to a network.

    Args:
        row: the method.
        graph: the network.
        rank: of every adapter.
        batchnorm, head: the workload's keys of these names (:class:`tunebench.workloads.tasks.training.Training`).
        skips: which blocks of a network with branches get skip adapters, and how they are pooled.
        checkpoint: values of a network's blocks are computed again in the backward pass.
        targets: which layers of a transformer get an adapter, as peft's ``target_modules``; None: by the method's rule.

    Raises:
        UnsupportedMethod: the pair does not fit, or the keys do not fit the method or the network; names what does.
        WorkloadError: rank below 1.
        ValueError: a row that cannot be: it caches what its training changes, or skips convolutions.
    """
    if not _applies(row, graph):
        fitting = ", ".join(other.name for other in METHODS if _applies(other, graph))
        raise UnsupportedMethod(
            "method %r does not apply to model %r%s; for it use one of: %s"
            % (row.name, graph.name, unfit(row, graph), fitting)
        )
    _check_skips(row, graph, skips)
    _check_keys(row, graph, batchnorm, head)
    if row.adapters != NONE and rank < 1:
        raise WorkloadError("workload.rank is %d: adapters need a rank of at least 1" % rank)
    trainable = [node for node in graph.layers if not node.fixed]
    whole_head = head == "trained"
    weights = tuple(
        node.name for node in trainable if _chosen(row.weights, node) or (whole_head and node.head)
    )
    biases = tuple(
        node.name
        for node in trainable
        if (_chosen(row.biases, node) or (whole_head and node.head)) and (node.bias or node.norm)
    )
    normed = tuple(node.name for node in graph.layers if node.norm)
    does = (row.batchnorm, batchnorm)
    skipped: Dict[str, str] = {}
    adapters: Tuple[Adapter, ...] = ()
    if row.adapters == SKIP and not graph.chain:
        graph = skipping.with_skips(graph, rank, skips)
        weights += tuple(node.name for node in graph.added)
    else:
        adapters = _adapters(row.adapters, graph, rank, skipped)
        if targets is not None:
            adapters = _targeted(row, graph, rank, targets, skipped)
    made = Plan(
        graph, weights, biases, adapters, rank, skipped, (), False,
        norms=normed if any(value.endswith("affine") for value in does) else (),
        statistics=normed if any(value.startswith("reestimated") for value in does) else (),
        objective=row.objective,
        gradient=row.gradient,
        frozen_extractors=row.frozen_extractors,
    )  # fmt: skip
    made = _with_cache(row, made) if row.cache else made
    return _with_checkpoints(row, made) if checkpoint else made


def _with_checkpoints(row: Method, made: Plan) -> Plan:
    """Return the plan with its blocks run again in the backward pass.

    Raises:
        UnsupportedMethod: there is nothing to keep that could be computed again, or that may be run twice.
    """
    start = "workload.checkpoint is true: "
    if made.graph.chain or not any(node.block for node in made.graph.nodes):
        raise UnsupportedMethod(
            start + "model %r has no blocks to run again, leave the key out" % made.graph.name
        )
    if row.objective == ENTROPY:
        raise UnsupportedMethod(
            start + "method %r moves BatchNorm's statistics in each run, leave the key out" % row.name
        )
    trained = set(made.weights) | set(made.biases) | set(made.adapted) | set(made.norms)
    trunk = {node.name for node in made.graph.layers if not node.head}
    if made.gradient == FORWARD_ONLY or not trained & trunk:
        raise UnsupportedMethod(
            start
            + "method %r keeps nothing of the blocks, no gradient goes through them: leave the key out, or use "
            "e.g. ft-all, ft-bias, lora-all" % row.name
        )
    return made._replace(checkpoint=True)


def _applies(row: Method, graph: Graph) -> bool:
    if graph.task in (TEXT, LANGUAGE):
        return FAMILY in row.models and not unfit(row, graph)
    return (graph.name in row.models or (row.networks and not graph.chain)) and not unfit(row, graph)


def unfit(row: Method, graph: Graph) -> str:
    """Return what a method needs that a network does not have, as part of a sentence; "" if nothing."""
    if graph.task == LANGUAGE:
        return _unfit_language(row, graph)
    if row.adapters == SKIP and row.networks and not graph.chain and skipping.why_not(graph):
        return skipping.why_not(graph)
    if row.batchnorm != FROZEN and not any(node.norm for node in graph.layers):
        return ", which has no BatchNorm"
    if row.objective == ENTROPY and graph.task == "detect":
        return ", whose outputs are no probabilities of one class each: they have no entropy to minimise"
    return ""


def _unfit_language(row: Method, graph: Graph) -> str:
    """Return what of a method a language model does not have, as part of a sentence; "" if nothing."""
    if row.adapters == SKIP:
        return " that foretells tokens: skip adapters end at scores of classes"
    if LAST in (row.weights, row.biases):
        return " that foretells tokens: its last layer is the output over all it knows"
    alone = row.biases == ALL and row.weights == NONE and row.adapters == NONE
    if alone and not any(node.bias for node in graph.layers):
        return ", which has no biases"
    return ""


def _check_keys(row: Method, graph: Graph, batchnorm: str, head: str) -> None:
    """Refuse keys that a method without labels does not honour, and BatchNorm's where there is none."""
    if batchnorm != FROZEN and not any(node.norm for node in graph.layers):
        raise UnsupportedMethod(
            "workload.batchnorm is %r, but model %r has no BatchNorm: leave the key out"
            % (batchnorm, graph.name)
        )
    if graph.task == LANGUAGE and head != "method":
        raise UnsupportedMethod(
            "workload.head is %r: model %r foretells tokens and has no head of its own, leave the key out"
            % (head, graph.name)
        )
    if row.labels:
        return
    if batchnorm not in (FROZEN, row.batchnorm):
        raise UnsupportedMethod(
            "method %r says itself what BatchNorm does, %r: workload.batchnorm is %r, leave it out"
            % (row.name, row.batchnorm, batchnorm)
        )
    if head != "method":
        raise UnsupportedMethod(
            "method %r learns from no labels: workload.head is %r, leave it out" % (row.name, head)
        )


def _check_skips(row: Method, graph: Graph, skips: Skips) -> None:
    """Refuse keys of skip adapters where a method has none, and for a chain, whose every layer gets one."""
    for key in skips.changed:
        value = skips.grid if key == "skip_grid" else skips.blocks
        if row.adapters != SKIP:
            able = ", ".join(other.name for other in METHODS if other.adapters == SKIP)
            raise UnsupportedMethod(
                "workload.%s is %r: method %r has no skip adapters, leave the key out or use one of: %s"
                % (key, value, row.name, able)
            )
        if graph.task in (TEXT, LANGUAGE) and key == "skip_grid":
            raise UnsupportedMethod(
                "workload.%s is %r: of a transformer the mean over all tokens is read, leave the key out"
                % (key, value)
            )
        if graph.chain:
            raise UnsupportedMethod(
                "workload.%s is %r: it is for networks with branches; model %r is a chain, leave the key out"
                % (key, value, graph.name)
            )


def _chosen(which: str, node: Node) -> bool:
    return which == ALL or (which == LAST and node.head)


def _adapters(where: str, graph: Graph, rank: int, skipped: Dict[str, str]) -> Tuple[Adapter, ...]:
    """Return the adapters of a rule; layers that it passes over are noted in ``skipped``."""
    layers, adapters = graph.layers, []
    last_block = _last_block(graph)
    for index, node in enumerate(layers):
        end = layers[-1] if where == SKIP else node
        if node.name == OUTPUT and where != NONE:
            skipped[node.name] = "the output over all tokens, which peft's all-linear leaves, too"
            continue
        reason = "" if node.op in ("embedding", "layernorm") else _why_not(where, node, last_block)
        if reason is None:
            name = "adapter%d-%d" % (index, layers.index(end)) if graph.chain else node.name
            adapters.append(_adapter(name, node, end, rank))
        elif reason:
            skipped[node.name] = reason
    return tuple(adapters)


def _targeted(
    row: Method, graph: Graph, rank: int, targets: Targets, skipped: Dict[str, str]
) -> Tuple[Adapter, ...]:
    """Return an adapter for each layer that is named.

    Raises:
        UnsupportedMethod: the method has no adapters on all layers, or a name fits no layer that may have one.
    """
    if row.adapters != OWN_ALL or graph.task not in (TEXT, LANGUAGE):
        fitting = [other.name for other in METHODS if other.adapters == OWN_ALL and _applies(other, graph)]
        raise UnsupportedMethod(
            "workload.targets names layers of a transformer, method %r on model %r puts adapters by a rule of its own; "
            "methods that take it: %s" % (row.name, graph.name, ", ".join(fitting) or "none for this model")
        )
    maps = [node for node in graph.layers if node.op in ("project", "linear")]
    named: Sequence[str] = [targets] if isinstance(targets, str) else targets
    for name in named:
        wanted: Targets = name if isinstance(targets, str) else (name,)
        if not any(is_target(node.name, wanted) for node in maps):
            ends = sorted({module_name(node.name).rpartition(".")[2] for node in maps})
            raise UnsupportedMethod(
                "workload.targets has %r, which names no linear layer of model %r; their names end in: %s"
                % (name, graph.name, ", ".join(ends))
            )
    skipped.clear()
    return tuple(_adapter(node.name, node, node, rank) for node in maps if is_target(node.name, targets))


def _adapter(name: str, start: Node, end: Node, rank: int) -> Adapter:
    if start is not end and (start.op, end.op) != ("linear", "linear"):
        raise ValueError("an adapter that skips layers must start and end at linear layers")
    tail = start.weight_shape[2:]
    extractor = (start.groups * rank, start.weight_shape[1]) + tail
    return Adapter(
        name, start.name, end.name, extractor, (end.channels_out, rank) + (1,) * len(tail), start.fan_in
    )


def _last_block(graph: Graph) -> Set[str]:
    """Return the layers of a transformer's last block, which adapters of the last layer reach, too; else nothing.

    A head with few classes is narrower than an adapter's rank: alone it would leave next to nothing to adapt.
    """
    ends = [index for index, node in enumerate(graph.nodes) if node.block]
    if graph.task not in (TEXT, LANGUAGE) or len(ends) < 2:
        return set()
    return {node.name for node in graph.nodes[ends[-2] + 1 : ends[-1] + 1]}


def _why_not(where: str, node: Node, last_block: Set[str]) -> Optional[str]:
    """Return None if a layer gets an adapter, the reason if the rule passes it over, "" if the rule is not about it."""
    if where == NONE or (where == OWN_LAST and not node.head and node.name not in last_block):
        return ""
    if node.fixed:
        return "its weights are constants"
    if node.op == "deconv":
        return "a transposed convolution"
    if node.op == "linear" and where == CONVOLUTIONS:
        return "a Linear layer: this method adapts convolutions"
    if node.depthwise:
        return "a depthwise convolution: an adapter is larger than its weight"
    return None


def _with_cache(row: Method, made: Plan) -> Plan:
    """Return the plan with what it caches.

    What the head and the adapters read is frozen, so its values are those of the first epoch.
    """
    heads = {node.name for node in made.graph.nodes if node.head}
    if not set(made.norms) <= heads:
        fitting = [other for other in METHODS if _applies(other, made.graph) and other.labels]
        others = [other.name for other in fitting if not other.cache]
        raise UnsupportedMethod(
            "method %r caches activations, which workload.batchnorm 'affine' changes in every step: use 'frozen' or "
            "'reestimated', or a method without a cache: %s" % (row.name, ", ".join(others))
        )
    trained = set(made.weights) | set(made.biases)
    added = {node.name for node in made.graph.added}
    if not (trained - added) | set(made.adapted) <= heads:
        raise ValueError("method %r cannot cache: what it trains changes the activations" % row.name)
    if added:
        return made._replace(cached=skipping.kept(made.graph, bool(trained & heads)))
    reading = heads | {adapter.start for adapter in made.adapters}
    cached: List[str] = []
    for node in made.graph.nodes:
        if node.name in reading:
            cached += [name for name in node.inputs if name not in cached and name != INPUT]
    return made._replace(cached=tuple(cached), cached_output=made.graph.chain and not trained & heads)


class Counts(NamedTuple):
    """The counts of a plan.

    Attributes:
        total: parameters of the base model (BatchNorm's affine included, statistics not) and the adapters.
        trainable: of those, the ones that train.
        update_b: bytes of the updated values in float32: what a device would send or store.
        cache_floats: floats kept for one sample.
        statistics: values of BatchNorm's statistics that are re-estimated: means and variances.
    """

    total: int
    trainable: int
    update_b: int
    cache_floats: int
    statistics: int = 0

    @property
    def updated(self) -> int:
        """Return how many values a fine-tuning changes: parameters that train, and re-estimated statistics."""
        return self.trainable + self.statistics


def counts(made: Plan) -> Counts:
    """Count parameters, bytes of the update and cached floats of a plan."""
    adapters = sum(adapter.n_params for adapter in made.adapters)
    trainable = sum(adapter_params(made, adapter) for adapter in made.adapters) + sum(
        own_params(made, node) for node in made.graph.layers + made.graph.added
    )
    shapes = shapes_of(made.graph)
    cached = sum(product(shapes[name]) for name in made.cached)
    cached += product(shapes[made.graph.outputs[0]]) * made.cached_output
    changed = set(made.statistics)
    statistics = sum(2 * node.channels_out for node in made.graph.layers if node.name in changed)
    total = made.graph.n_params + sum(node.n_weights for node in made.graph.added) + adapters
    return Counts(total, trainable, 4 * (trainable + statistics), cached, statistics)


def adapter_params(made: Plan, adapter: Adapter) -> int:
    """Return how many of an adapter's values train: all, or the mapper's."""
    return product(adapter.mapper) if made.frozen_extractors else adapter.n_params


def own_params(made: Plan, node: Node) -> int:
    """Return how many of a layer's own parameters train: weight, bias, BatchNorm's affine; no adapter's."""
    return sum(node.n_weights if part == "weight" else node.channels_out for part in own_parts(made, node))


def own_parts(made: Plan, node: Node) -> Tuple[str, ...]:
    """Return which of a layer's own parameters train, by their names in a weights artefact, in the order of training."""
    weight, bias, norm = (node.name in names for names in (made.weights, made.biases, made.norms))
    parts = (
        ("weight", weight),
        ("gamma", norm or (weight and node.norm_trains)),
        ("bias", bias and node.bias),
        ("beta", norm or (bias and node.norm_trains)),
    )
    return tuple(part for part, trains in parts if trains)


def changed_names(made: Plan) -> Tuple[str, ...]:
    """Return the tensors of the weights artefact that a plan can change; an adapter changes its layer's weight."""
    adapted = {adapter.end + ".weight" for adapter in made.adapters}
    chosen = adapted | set(own_names(made))
    base = tuple(name for name, _ in weight_shapes(made.graph) if name in chosen)
    return base + tuple(node.name + ".weight" for node in made.graph.added)


def own_names(made: Plan) -> Tuple[str, ...]:
    """Return the tensors of the weights artefact that a plan changes itself: parameters that train, statistics.

    With adapters they travel in the update beside them, since no adapter holds them.
    """
    names: List[str] = []
    changed: Set[str] = set(made.statistics)
    for node in made.graph.layers:
        names += ["%s.%s" % (node.name, part) for part in own_parts(made, node)]
        names += ["%s.%s" % (node.name, part) for part in STATISTICS if node.name in changed]
    return tuple(names)


def update_shapes(made: Plan, what: str) -> Dict[str, Tuple[int, ...]]:
    """Return name -> shape of the tensors of an update's form; empty for ``adapter`` without adapters.

    Args:
        made: the plan of a network.
        what: one of :data:`tunebench.workloads.updates.FORMS`.
    """
    added = {node.name + ".weight": node.weight_shape for node in made.graph.added}
    every = {**dict(weight_shapes(made.graph)), **added}
    if what == "adapter":
        shapes = dict(added)
        for adapter in made.adapters:
            shapes[adapter.end + ".extractor"] = adapter.extractor
            shapes[adapter.end + ".mapper"] = adapter.mapper
        if shapes:
            shapes.update((name, every[name]) for name in own_names(made))
        return shapes
    return every if what == "weights" else {name: every[name] for name in changed_names(made)}
