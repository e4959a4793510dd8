"""Predict the memory that one training step of a network needs from its graph; needs no torch.

What is counted: the network's tensors, the gradients of what trains, the optimiser's state (none with plain SGD, one or
two values a trained parameter with momentum or AdamW; clipping and schedule keep nothing), and what autograd keeps
between forward and backward. That last part follows the rules of torch's own formulas
(``tools/autograd/derivatives.yaml``), for the layers that autograd meets, i.e. those above the lowest that trains:

- a convolution or linear map keeps its input, whether its weight trains or not; a composed adapter keeps the weight that
  it forms; a linear adapter its low-rank output;
- BatchNorm keeps its input, also with frozen statistics and affine; a batch's own statistics, which are kept, too, are
  a few bytes a channel and left out;
- relu in place keeps its result, which is the next layer's input: the same bytes; sigmoid keeps its result; the others
  keep their input, relu6 as a copy although it runs in place (seen with torch 2.13);
- where the extractors of a plan's adapters are frozen (LoRA-FA), what is frozen keeps no input
  (:mod:`tunebench.workloads.engines.pytorch.lean`): a convolution or linear map nothing, BatchNorm a few bytes a channel,
  relu and relu6 one byte an output, an adapter its low-rank output;
- a product keeps both factors;
- max pooling keeps its input and an 8-byte index for each output; sums, concatenations, shuffling and upsampling keep
  nothing;
- a transformer's map keeps its input for a weight or an adapter that trains only. In half precision (torch's autocast)
  maps, attention and what follows them give two bytes a value; each map and each adapter keeps a copy of its input in
  them, and each map that a gradient goes through a copy of its weight. States between blocks, norms, weights, gradients
  and the optimiser's state stay float32;
- a transformer that skip adapters read gives all its states at once, so they live until its last block is done;
- an adapter of a transformer's map makes a gradient of the map's input beside the map's own, then they are summed;
- a map whose weight is kept in few bits (QLoRA) unpacks it for each product, and keeps nothing of that; in nf4 its values
  are as wide as what enters it, in int8 what enters stays, too (bitsandbytes 0.50);
- where several batches make an update, the sum of their gradients is there from its first batch on;
- the loss keeps what stands in :func:`_loss_b`.

Then a step is walked through forward and backward, tensor by tensor. Not counted: what a convolution's algorithm needs
besides (reordered copies, columns), the allocator's slack, the interpreter and torch themselves. So it is a lower bound
of what a process takes, and tells methods and batches apart.
"""

from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from tunebench.workloads.methods import quantized_base
from tunebench.workloads.methods.checkpointing import segments
from tunebench.workloads.methods.plan import Plan, adapter_params, counts, own_params
from tunebench.workloads.methods.table import BACKWARD, ENTROPY, FORWARD_ONLY
from tunebench.workloads.models.graph import ACTIVATIONS, BUILT_IN, INPUT, TEXT, Node, product
from tunebench.workloads.models.language import TABLE

#: Where the search for the largest ends. Sides are multiples of what every network takes.
MOST_BATCH, SIDE_STEP, MOST_SIDE = 1 << 12, 32, 1 << 12
_FLOAT_B, _INDEX_B, _HALF_B = 4, 8, 2
#: nodes of a transformer whose values are in half precision under autocast
_HALVED = ("project", "attention", "multiply")
#: activations that do not work in place
_BESIDE = tuple(act for act in ACTIVATIONS if act not in BUILT_IN)
#: maps over tokens; a tied output's weight is the embeddings' table
_OVER_TOKENS = ("project", "unembed")
#: Channels of a detector's distances; one of four classes is counted as if it were them, which is little less.
_BOX_MAPS = 4


class Memory(NamedTuple):
    """Bytes of one training step.

    Attributes:
        weights_b: of the network: parameters, BatchNorm's statistics, adapters.
        gradients_b: of what trains.
        optimiser_b: state that the optimiser keeps from step to step; plain SGD has none.
        saved_b: kept by autograd at the end of the forward pass: the activations.
        step_b: most that lives at once during a step besides the weights: inputs, activations, their gradients and the
            weights' gradients.
        cache_b: activations that the method keeps of the whole fine-tuning set; 0 without a cache or its size.
    """

    weights_b: int
    gradients_b: int
    optimiser_b: int
    saved_b: int
    step_b: int
    cache_b: int

    @property
    def total_b(self) -> int:
        """Return the sum of all parts, in bytes."""
        return self.weights_b + self.optimiser_b + self.step_b + self.cache_b


class _Tape:
    """Tensors by name, freed when nobody holds them any more; the most bytes that lived at once."""

    def __init__(self) -> None:
        self.size_b: Dict[str, int] = {}
        self.holders: Dict[str, int] = {}
        self.live_b = self.peak_b = 0

    def make(self, name: str, size_b: int) -> str:
        """Add a new tensor with one holder; return its name."""
        self.size_b[name], self.holders[name] = size_b, 1
        self.live_b += size_b
        self.peak_b = max(self.peak_b, self.live_b)
        return name

    def hold(self, name: str) -> str:
        """Add a holder to a tensor; return its name."""
        self.holders[name] += 1
        return name

    def drop(self, name: str) -> None:
        """Remove a holder from a tensor, which is freed with the last one."""
        self.holders[name] -= 1
        if self.holders[name] == 0:
            self.live_b -= self.size_b[name]


class _Step:
    """One training step of a plan with a batch, walked through."""

    def __init__(self, plan: Plan, batch: int) -> None:
        self.plan, self.batch = plan, batch
        self.half = plan.dtype != "float32"
        self.by_name = {node.name: node for node in plan.graph.nodes}
        self.adapters = {adapter.end: adapter for adapter in plan.adapters}
        self.tape = _Tape()
        self.nodes = run_nodes(plan)
        self.needs_grad = needs_grad(plan, self.nodes)
        #: node -> tensor that holds its value
        self.value: Dict[str, str] = {}
        #: node -> what autograd keeps for it, by the part of the node that does, last part first
        self.kept: Dict[str, List[Tuple[str, str]]] = {}

    def bytes_of(self, shape: Tuple[int, ...], item_b: int = _FLOAT_B) -> int:
        """Return the bytes of a batch of samples of this shape."""
        return self.batch * product(shape) * item_b

    def value_b(self, node: Node) -> int:
        """Return the bytes of a batch of a node's values, or of their gradients."""
        return self.bytes_of(node.shape, self._item_b(node))

    def _item_b(self, node: Node) -> int:
        """Return the bytes of a value; those of a map in nf4, and a product of such, are as wide as what enters."""
        if not self.half or node.op not in _HALVED:
            return _FLOAT_B
        if self.plan.quantized_base != quantized_base.NF4 or node.op == "attention":
            return _HALF_B
        return max(self._item_b(self.by_name[name]) for name in node.inputs if name in self.by_name)

    def _is_quantized(self, node: Node) -> bool:
        return self.plan.quantized_base is not None and quantized_base.is_quantized(node)

    def _unpack(self, node: Node) -> None:
        """Hold a map's weight in the numbers that it is multiplied in, as long as the product takes."""
        if self._is_quantized(node):
            item_b = _HALF_B if self.half else _FLOAT_B
            self.tape.drop(self.tape.make("unpacked " + node.name, item_b * node.n_weights))

    # -- forward ------------------------------------------------------------------------------------

    def forward(self) -> None:
        """Run the nodes; what is not kept is freed after its last use."""
        shapes = {node.name: node.shape for node in self.plan.graph.nodes}
        shapes[INPUT] = self.plan.graph.shape
        for name in self.plan.cached or (INPUT,):
            self.value[name] = self.tape.make("value " + name, self.bytes_of(shapes[name]))
        last = self._last_uses()
        outputs = set(self.plan.graph.outputs)
        for node in self.nodes:
            self.kept[node.name] = []
            self.value[node.name] = self._run(node)
            for name in set(node.inputs):
                if last[name] == node.name and name not in outputs and name in self.value:
                    self.tape.drop(self.value[name])
        for name in sorted(outputs):
            if name in self.needs_grad:
                entropy = self.plan.objective == ENTROPY
                size_b = _loss_b(self.plan.graph.task, self.batch, shapes[name], entropy)
                self.kept[name].append(("loss", self.tape.make("loss " + name, size_b)))

    def _last_uses(self) -> Dict[str, str]:
        """Return of each value the node that it is freed behind; "" for one that lives to the end of the forward pass."""
        last = {name: node.name for node in self.nodes for name in node.inputs}
        if self.plan.graph.task == TEXT and any(node.added for node in self.nodes):
            # all states are given at once, those that no adapter reads, too
            last.update((node.name, "") for node in self.nodes if node.block)
        return last

    def _keep(self, node: Node, part: str, tensor: str) -> None:
        if node.name in self.needs_grad:
            self.kept[node.name].append((part, self.tape.hold(tensor)))

    def _layer_meets(self, node: Node) -> bool:
        """Return whether autograd reaches a layer itself, not only the BatchNorm behind it.

        Under ft-bias autograd reaches only the BatchNorm of the first layer.
        """
        plan = self.plan
        own = (
            node.name in plan.weights
            or node.name in self.adapters
            or (node.name in plan.biases and node.bias)
        )
        return own or any(name in self.needs_grad for name in node.inputs)

    def _run(self, node: Node) -> str:
        name, size_b = node.name, self.value_b(node)
        if node.op == "slice":  # a view
            return self.tape.hold(self.value[node.inputs[0]])
        if node.op == "activate":  # nothing is computed before the activation
            return self._activate(node, self.tape.hold(self.value[node.inputs[0]]))
        made = self.tape.make("value " + name, size_b)
        if node.op in ("attention", "multiply", "layernorm"):
            self._keep_given(node, made)
        elif node.op in _OVER_TOKENS:
            self._project(node)
        elif node.op in ("conv", "deconv", "linear"):
            made = self._run_layer(node, made)
        elif node.op == "maxpool":
            self._keep(node, "layer", self.value[node.inputs[0]])
            index = self.tape.make("index " + name, self.bytes_of(node.shape, _INDEX_B))
            self._keep(node, "index", index)
            self.tape.drop(index)
        return self._activate(node, made)

    def _keep_given(self, node: Node, made: str) -> None:
        """Keep what enters a node whose gradient reads all of it; attention's reads the result, too."""
        for place, source in enumerate(node.inputs):
            if node.op == "attention":
                self._keep_entering(node, "layer %d" % place, source)
            else:
                self._keep(node, "layer %d" % place, self.value[source])
        if node.op == "attention":
            self._keep(node, "result", made)

    def _run_layer(self, node: Node, made: str) -> str:
        """Keep what a layer, its adapter and its norm need; return the tensor that holds the result so far."""
        lean = self.plan.frozen_extractors
        if self._layer_meets(node) and (not lean or own_params(self.plan, node)):
            self._keep(node, "layer", self.value[node.inputs[0]])
        self._keep_adapter(node)
        if not node.norm:
            return made
        if not lean or node.name in self.plan.norms:
            self._keep(node, "norm", made)
        normed = self.tape.make("normed " + node.name, self.value_b(node))
        self.tape.drop(made)
        return normed

    def _project(self, node: Node) -> None:
        """Keep what a map over tokens needs, and what its adapter does."""
        source = node.inputs[0]
        trains = self._trains_weight(node)
        packed = self._is_quantized(node)
        self._unpack(node)
        if packed and source in self.needs_grad and self.plan.quantized_base == quantized_base.INT8:
            self._keep(node, "entering", self.value[source])
        if not packed and self.half and (trains or source in self.needs_grad):
            weight = self.tape.make("half weight " + node.name, _HALF_B * _map_weights(node))
            self._keep(node, "weight", weight)
            self.tape.drop(weight)
        for part, reads in (
            ("layer", trains),
            ("adapter input", node.name in self.adapters),
        ):
            if reads:
                self._keep_entering(node, part, source)
        self._keep_adapter(node)

    def _keep_entering(self, node: Node, part: str, source: str) -> None:
        """Keep what enters a node for a part of it: in half precision a copy where it comes in float32."""
        if not self.half or self._item_b(self.by_name[source]) == _HALF_B:
            self._keep(node, part, self.value[source])
            return
        size_b = self.bytes_of(self.by_name[source].shape, _HALF_B)
        copy = self.tape.make("cast for %s %s" % (part, node.name), size_b)
        self._keep(node, part, copy)
        self.tape.drop(copy)

    def _trains_weight(self, node: Node) -> bool:
        return (TABLE if node.op == "unembed" else node.name) in self.plan.weights

    def _activate(self, node: Node, made: str) -> str:
        """Keep what the activation's backward pass needs; return the tensor that holds its result."""
        name = node.name
        if self.plan.frozen_extractors and node.act.startswith("relu"):
            if name in self.needs_grad:
                mask = self.tape.make("mask " + name, self.bytes_of(node.shape, 1))
                self._keep(node, "act", mask)
                self.tape.drop(mask)
        elif node.act in _BESIDE or (node.act == "relu6" and name in self.needs_grad):
            after = self.tape.make("act " + name, self.value_b(node))
            self._keep(node, "act", after if node.act == "sigmoid" else made)
            self.tape.drop(made)
            made = after
        elif node.act:
            self._keep(node, "act", made)
        return made

    def _keep_adapter(self, node: Node) -> None:
        """Keep a convolution's composed weight or a linear adapter's low-rank output; it is freed if nothing needs it."""
        if node.name not in self.adapters:
            return
        low = {"linear": (self.plan.rank,), "project": (self.plan.rank,) + node.shape[1:]}
        if node.op in low:
            size_b = self.bytes_of(low[node.op], self._item_b(node))
        elif self.plan.frozen_extractors:
            size_b = self.bytes_of((self.plan.rank,) + node.shape[1:])
        else:
            size_b = _FLOAT_B * node.n_weights
        formed = self.tape.make("adapter " + node.name, size_b)
        if self.plan.frozen_extractors:  # what it gives lives beside what it is added to
            self.tape.drop(self.tape.make("branch " + node.name, self.bytes_of(node.shape)))
        self._keep(node, "adapter", formed)
        self.tape.drop(formed)

    # -- backward -----------------------------------------------------------------------------------

    def backward(self) -> None:
        """Walk from the outputs to the inputs: gradients come and go, and each part frees what was kept for it."""
        self._backward_through(self.nodes, {})

    def saved(self) -> Set[str]:
        """Return the tensors that autograd keeps at the end of the forward pass."""
        return {tensor for kept in self.kept.values() for _, tensor in kept}

    def _backward_through(self, nodes: Sequence[Node], gradients: Dict[str, str]) -> None:
        """Walk from the last node to the first; ``gradients`` holds, by node, those that have not been used yet."""
        for node in reversed(nodes):
            if node.name not in self.needs_grad:
                continue
            if node.name in self.plan.graph.outputs:
                gradients[node.name] = self.tape.make("grad " + node.name, self.value_b(node))
            kept = dict(self.kept[node.name])
            self._release(kept, "loss")
            gradient = gradients.pop(node.name)
            for part in ("act", "norm"):
                if part in kept or (part == "norm" and node.norm and self.plan.frozen_extractors):
                    gradient = self._replaced(gradient, "%s of %s" % (part, node.name), node)
                    self._release(kept, part)
            self._to_parameters(node)
            for index, name in enumerate(node.inputs):
                if name in self.needs_grad:
                    self._to_input(gradients, node, index)
            for part in list(kept):
                self._release(kept, part)
            self.tape.drop(gradient)

    def _replaced(self, gradient: str, name: str, node: Node) -> str:
        made = self.tape.make("grad " + name, self.value_b(node))
        self.tape.drop(gradient)
        return made

    def _release(self, kept: Dict[str, str], part: str) -> None:
        if part in kept:
            self.tape.drop(kept.pop(part))

    def _to_parameters(self, node: Node) -> None:
        """Add the gradients of a node's parameters, which live to the end of the step.

        A composed weight's gradient lives only while it is used.
        """
        own = own_params(self.plan, node)
        if (
            node.op == "unembed" and TABLE in self.plan.weights
        ):  # summed with what the embedding's own use gives
            own = _map_weights(node)
        if node.name in self.adapters:
            own += adapter_params(self.plan, self.adapters[node.name])
            if node.op == "conv" and not self.plan.frozen_extractors:
                self.tape.drop(self.tape.make("grad of weight " + node.name, _FLOAT_B * node.n_weights))
        if own:
            made = self.tape.make("grad of parameters " + node.name, _FLOAT_B * own)
            if self.plan.accumulate > 1:  # added to the sum and gone
                self.tape.drop(made)

    def _to_input(self, gradients: Dict[str, str], node: Node, index: int) -> None:
        name = node.inputs[index]
        source = next(other for other in self.nodes if other.name == name)
        formed = node.op == "conv" and node.name in self.adapters and self.plan.frozen_extractors
        self._unpack(node)
        weight = self.tape.make("merged " + node.name, _FLOAT_B * node.n_weights * formed)
        beside = node.op == "project" and node.name in self.adapters
        by_adapter = self.tape.make("grad %s by adapter" % name, self.value_b(source) * beside)
        made = self.tape.make("grad %s by %s %d" % (name, node.name, index), self.value_b(source))
        self.tape.drop(by_adapter)  # added to it in place
        self.tape.drop(weight)
        if name in gradients:  # two paths meet: a sum, then the parts go
            total = self.tape.make("grad %s at %s %d" % (name, node.name, index), self.value_b(source))
            self.tape.drop(gradients[name])
            self.tape.drop(made)
            made = total
        gradients[name] = made


class _CheckpointedStep(_Step):
    """A step whose blocks are run again in the backward pass: of each only what enters it is kept."""

    def __init__(self, plan: Plan, batch: int) -> None:
        super().__init__(plan, batch)
        self.graded = self.needs_grad
        self.segments = segments(self.nodes, plan.graph.outputs)
        #: segment -> what is kept of it
        self.entering: Dict[int, List[str]] = {}

    def _again(self, at: int) -> bool:
        segment = self.segments[at]
        return segment.again and any(node.name in self.graded for node in segment.nodes)

    def forward(self) -> None:
        every, self.needs_grad = self.nodes, set()
        last = self._last_uses()
        self.value[INPUT] = self.tape.make("value " + INPUT, self.bytes_of(self.plan.graph.shape))
        for at, segment in enumerate(self.segments):
            if self._again(at):
                self.entering[at] = [self.tape.hold(self.value[name]) for name in segment.inputs]
            self.needs_grad = set() if self._again(at) else self.graded
            self._run_all(segment.nodes, last)
        self.needs_grad = self.graded
        shapes = {node.name: node.shape for node in every}
        for name in sorted(self.plan.graph.outputs):
            size_b = _loss_b(self.plan.graph.task, self.batch, shapes[name])
            self.kept[name].append(("loss", self.tape.make("loss " + name, size_b)))

    def _run_all(self, nodes: Sequence[Node], last: Dict[str, str]) -> None:
        outputs = set(self.plan.graph.outputs)
        for node in nodes:
            self.kept[node.name] = []
            self.value[node.name] = self._run(node)
            for name in set(node.inputs):
                if last[name] == node.name and name not in outputs:
                    self.tape.drop(self.value[name])

    def saved(self) -> Set[str]:
        return super().saved() | {tensor for tensors in self.entering.values() for tensor in tensors}

    def backward(self) -> None:
        gradients: Dict[str, str] = {}
        for at in reversed(range(len(self.segments))):
            segment = self.segments[at]
            if self._again(at):
                own = {node.name for node in segment.nodes}
                last = {name: node.name for node in segment.nodes for name in node.inputs if name in own}
                for name, tensor in zip(segment.inputs, self.entering[at]):  # noqa: B905  Python 3.10
                    self.value[name], last[name] = tensor, ""
                self._run_all(segment.nodes, last)
                for name in segment.outputs:
                    if name not in last:
                        self.tape.drop(self.value[name])
            self._backward_through(segment.nodes, gradients)
            for tensor in self.entering.get(at, ()):
                self.tape.drop(tensor)


def run_nodes(plan: Plan) -> List[Node]:
    """Return the nodes of a step: those behind the cached ones, if the method caches."""
    by_name = {node.name: node for node in plan.graph.nodes}
    given = set(plan.cached) | {INPUT}
    needed: Set[str] = set()
    todo = list(plan.graph.outputs)
    while todo:
        name = todo.pop()
        if name not in given and name not in needed:
            needed.add(name)
            todo += by_name[name].inputs
    return [node for node in plan.graph.nodes if node.name in needed]


def needs_grad(plan: Plan, nodes: List[Node]) -> Set[str]:
    """Return the nodes that autograd reaches: their own parameters train, or those of a node before them."""
    training = set(plan.weights) | set(plan.biases) | set(plan.adapted) | set(plan.norms)
    graded: Set[str] = set()
    for node in nodes:
        if node.op == "unembed" and TABLE in training:
            graded.add(node.name)
        if node.name in training or any(name in graded for name in node.inputs):
            graded.add(node.name)
    return graded


def _map_weights(node: Node) -> int:
    """Return the values of the weight of a map over tokens, also of one that is the embeddings' table."""
    return node.channels_in * node.channels_out


def _loss_b(task: str, batch: int, shape: Tuple[int, ...], entropy: bool = False) -> int:
    """Return the bytes that the loss keeps of one output.

    Classes of samples or pixels: their log-probabilities, and labels as 8-byte integers; the entropy keeps the
    probabilities instead of labels. A detector's losses are chains
    of elementwise operations: focal loss keeps 7 tensors of the scores' size; generalised IoU 25 maps, of which each of
    the four distances is one (:mod:`tunebench.workloads.engines.pytorch.networks.detection`, read off its formulas).
    """
    values = batch * product(shape)
    if entropy:
        return 2 * _FLOAT_B * values
    if task == "detect":
        return _FLOAT_B * (values // shape[0] * 25 if shape[0] == _BOX_MAPS else values * 7)
    return _FLOAT_B * values + _INDEX_B * values // shape[0]


def optimizer_state_b(plan: Plan, state_floats: int) -> int:
    """Return the bytes of an optimizer's state that holds so many float32 values for each trained parameter."""
    return _FLOAT_B * state_floats * counts(plan).trainable


def _moving_b(plan: Plan, step: _Step) -> int:
    """Return the bytes beside the weights while they move: the largest tensor's direction and the inputs."""
    if plan.gradient != FORWARD_ONLY:
        return 0
    largest_part = max(product(node.weight_shape) for node in plan.graph.layers)
    return step.bytes_of(plan.graph.shape) + _FLOAT_B * largest_part


def forward_b(plan: Plan, batch: int) -> int:
    """Return the most bytes that live at once while a plan's network runs forward and nothing of it is kept."""
    forward = _Step(plan._replace(cached=()), batch)
    forward.needs_grad = set()
    forward.forward()
    return forward.tape.peak_b


def predict(plan: Plan, batch: int, n_train: Optional[int] = None, state_floats: int = 0) -> Memory:
    """Predict a training step's memory; without steps that of re-estimating statistics, which runs batches forward.

    Re-estimating takes no more than a step of the same plan does, or than filling its cache.

    Args:
        plan: method and network.
        batch: samples of a step.
        n_train: samples of the fine-tuning set, for the size of a cache.
        state_floats: values that the optimizer keeps for each trained parameter: 0 plain SGD, 1 momentum, 2 AdamW.
    """
    amount = counts(plan)
    statistics = sum(2 * node.channels_out for node in plan.graph.layers if node.norm)
    saved_b = peak_b = 0
    if plan.trains or plan.statistics:
        step = _CheckpointedStep(plan, batch) if plan.checkpoint else _Step(plan, batch)
        if plan.gradient == FORWARD_ONLY:
            step.needs_grad = set()
        elif plan.accumulate > 1:
            step.tape.make("sum of gradients", _FLOAT_B * amount.trainable)
        step.forward()
        saved_b = sum(step.tape.size_b[name] for name in step.saved())
        step.backward()
        peak_b = max(step.tape.peak_b, _moving_b(plan, step))
    if plan.caches:  # the first epoch runs the trunk, too, and keeps nothing of it
        peak_b = max(peak_b, forward_b(plan, batch))
    return Memory(
        weights_b=_FLOAT_B * (amount.total + statistics) - quantized_base.saved_b(plan),
        gradients_b=_FLOAT_B * amount.trainable * (plan.gradient == BACKWARD),
        optimiser_b=optimizer_state_b(plan, state_floats),
        saved_b=saved_b,
        step_b=peak_b,
        cache_b=_FLOAT_B * amount.cache_floats * (n_train or 0),
    )


def largest(fits: Callable[[int], bool], limit: int = 1 << 20) -> int:
    """Find the largest number from 1 to ``limit`` that fits, by doubling and bisection; 0 if not even 1 does.

    Args:
        fits: whether a number does; if one does, so does every smaller one. Asked about 2 log2(answer) times.
    """
    if not fits(1):
        return 0
    low = 1
    while low < limit and fits(min(2 * low, limit)):
        low = min(2 * low, limit)
    high = min(2 * low, limit + 1)
    while high - low > 1:
        middle = (low + high) // 2
        if fits(middle):
            low = middle
        else:
            high = middle
    return low


def largest_batch(plan: Plan, free_b: int, n_train: Optional[int] = None, state_floats: int = 0) -> int:
    """Find the largest batch whose predicted memory is at most ``free_b``; 0 if none is."""
    return largest(lambda batch: predict(plan, batch, n_train, state_floats).total_b <= free_b, MOST_BATCH)


def largest_side(
    plan_at: Callable[[int], Plan],
    batch: int,
    free_b: int,
    n_train: Optional[int] = None,
    state_floats: int = 0,
) -> int:
    """Find the largest side of a square input that fits with a batch, a multiple of :data:`SIDE_STEP`; 0 if none does.

    Args:
        plan_at: the method on the network at a side.
    """

    def fits(count: int) -> bool:
        return predict(plan_at(SIDE_STEP * count), batch, n_train, state_floats).total_b <= free_b

    return SIDE_STEP * largest(fits, MOST_SIDE // SIDE_STEP)
