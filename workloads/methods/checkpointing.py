"""Gradient checkpointing at blocks: which part of a network is run again in the backward pass.

Chen et al., Training Deep Nets with Sublinear Memory Cost, arXiv 1604.06174. Of each block only what enters it is kept;
its other values are computed once more when its gradients are due, so losses and gradients are those of before, for one
more forward pass. What lies behind the last block (the head) is not run again: its backward pass follows at once.
"""

from typing import List, NamedTuple, Sequence, Tuple

from tunebench.workloads.models.graph import Node


class Segment(NamedTuple):
    """Nodes that are run again together.

    Attributes:
        nodes: in order of execution.
        inputs: names of the values that enter, each once.
        outputs: names of the values that later segments, or whoever asked, need.
        again: it is run again; else its values are kept as without checkpointing.
    """

    nodes: Tuple[Node, ...]
    inputs: Tuple[str, ...]
    outputs: Tuple[str, ...]
    again: bool


def segments(nodes: Sequence[Node], wanted: Sequence[str]) -> List[Segment]:
    """Return the segments of the nodes of a forward pass: each ends with a block, the last is what follows.

    Args:
        nodes: in order of execution.
        wanted: names of the values that are asked for.
    """
    groups: List[List[Node]] = [[]]
    for node in nodes:
        groups[-1].append(node)
        if node.block:
            groups.append([])
    made: List[Segment] = []
    for at, group in enumerate(groups):
        own = {node.name for node in group}
        read = [name for node in group for name in node.inputs if name not in own]
        later = {name for other in groups[at + 1 :] for node in other for name in node.inputs} | set(wanted)
        outputs = tuple(node.name for node in group if node.name in later)
        if group:
            inputs = tuple(sorted(set(read), key=read.index))
            made.append(Segment(tuple(group), inputs, outputs, at < len(groups) - 1))
    return made
