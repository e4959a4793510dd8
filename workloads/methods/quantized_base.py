"""Keep the frozen base of a transformer in few bits below its adapters: which weights, and the bytes that they take.

QLoRA (Dettmers et al., NeurIPS 2023) as it is run: the trunk's linear maps in the forms of bitsandbytes, 4-bit
NormalFloat with its scales quantised once more, or 8 bits with a scale a row (Dettmers et al., LLM.int8(), NeurIPS 2022).
Embeddings, norms, biases, a head and a language model's output stay float32, as Hugging Face's package leaves them.
"""

from typing import Any, Optional, Tuple

from tunebench.workloads.errors import WorkloadError
from tunebench.workloads.methods.plan import Plan, unfit
from tunebench.workloads.methods.table import ALL, METHODS, UnsupportedMethod
from tunebench.workloads.models.graph import Node
from tunebench.workloads.models.language import FAMILY, OUTPUT, is_text_model

NF4, INT8 = "nf4", "int8"
FORMS = (NF4, INT8)
#: what runs such weights, by import name
PACKAGE = "bitsandbytes"
#: of nf4: values of a scale, and scales of a scale of theirs, as the package has them
_BLOCK, _SCALES = 64, 256
_FLOAT_B = 4


def parse_quantized_base(model: str, value: Any) -> Optional[str]:
    """Check the key ``quantized_base``; None stands for a base in float32.

    Raises:
        WorkloadError: no such form, or a model that is no transformer.
    """
    if value is None:
        return None
    if value not in FORMS:
        raise WorkloadError("workload.quantized_base is %r, allowed: %s" % (value, ", ".join(FORMS)))
    if not is_text_model(model):
        raise WorkloadError(
            "workload.quantized_base is %r, model %r is no transformer: leave the key out" % (value, model)
        )
    return str(value)


def is_quantized(node: Node) -> bool:
    """Return whether a layer's weight is kept in few bits where a base is quantised: a map of the trunk."""
    return node.op == "project" and node.name != OUTPUT


def with_quantized_base(made: Plan, method: str, form: Optional[str]) -> Plan:
    """Return the plan above a quantised base; without a form as it is.

    Raises:
        UnsupportedMethod: the method trains what is quantised, or blocks are to be run again in vain.
    """
    if form is None:
        return made
    trained = set(made.weights) | set(made.biases)
    if any(is_quantized(node) and node.name in trained for node in made.graph.layers):
        fitting = [
            row.name
            for row in METHODS
            if FAMILY in row.models and ALL not in (row.weights, row.biases) and not unfit(row, made.graph)
        ]
        raise UnsupportedMethod(
            "workload.quantized_base is %r: its maps are frozen, and method %r trains them; methods that leave them: %s"
            % (form, method, ", ".join(fitting))
        )
    if form == INT8 and made.checkpoint:
        raise UnsupportedMethod(
            "workload.quantized_base is 'int8' and workload.checkpoint is true: %s keeps what enters its 8-bit maps "
            "where running blocks again does not free it; leave one of them out, or use 'nf4'" % PACKAGE
        )
    return made._replace(quantized_base=form)


def weight_b(node: Node, form: str) -> int:
    """Return the bytes of a layer's weight in a form, its scales included; codes that all layers share are left out."""
    values = node.n_weights
    if form == INT8:
        return values + _FLOAT_B * node.channels_out
    scales = -(-values // _BLOCK)
    return -(-values // 2) + scales + _FLOAT_B * -(-scales // _SCALES) + _FLOAT_B


def saved_b(made: Plan) -> int:
    """Return how many bytes fewer than in float32 the base's weights take."""
    if made.quantized_base is None:
        return 0
    layers: Tuple[Node, ...] = tuple(node for node in made.graph.layers if is_quantized(node))
    return sum(_FLOAT_B * node.n_weights - weight_b(node, made.quantized_base) for node in layers)
