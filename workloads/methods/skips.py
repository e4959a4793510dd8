"""Skip adapters of networks with branches: from the pooled output of every block to the network's scores.

Skip2-LoRA (Matsutani et al., ASP-DAC 2025) leads a rank-r adapter from each layer's input of a chain to the last
layer's output. In a network with branches blocks take the layers' place::

    scores = head(features) + scale * sum over blocks of B_i(A_i(pool(block_i)))

What the adapters read is frozen, so it is computed once and kept; the frozen head's own scores are kept, too. The
adapters are nodes of the graph, marked ``added``; the sum over blocks is one product: B = [B_1 ... B_k] on the joined
A_i(pool(block_i)). So whatever counts, predicts or runs a graph does it for them as well.
"""

from typing import List, NamedTuple, Tuple, Union

from tunebench.workloads.errors import WorkloadError
from tunebench.workloads.methods.table import UnsupportedMethod
from tunebench.workloads.models.graph import TEXT, Graph, Node, product
from tunebench.workloads.updates import SKIP_MAPPER, SKIP_PREFIX

#: sides of the grid of means that a block's maps are pooled to, as the key writes them
GRIDS = {"1x1": 1, "2x2": 2}
EVERY = "all"
#: names of the added nodes: the kept inputs of all adapters, the product with B, the scores; an A is ``skip_BLOCK_a``
PREFIX, MAPPER = SKIP_PREFIX, SKIP_MAPPER
POOLED, SCORES = PREFIX + "pooled", PREFIX + "scores"


class Skips(NamedTuple):
    """Which blocks are skipped from, and how they are pooled.

    Attributes:
        grid: one of :data:`GRIDS`: means over the whole map, or over its quarters.
        blocks: :data:`EVERY`, or the number of the last blocks that get an adapter.
    """

    grid: str = "1x1"
    blocks: Union[str, int] = EVERY

    @property
    def changed(self) -> Tuple[str, ...]:
        """Return the workload's keys whose values are not the defaults."""
        return tuple("skip_" + key for key in self._fields if getattr(self, key) != getattr(USUAL, key))


USUAL = Skips()


def parse_skips(grid: object, blocks: object) -> Skips:
    """Check the keys ``skip_grid`` and ``skip_blocks``; None stands for the default.

    Raises:
        WorkloadError: the first that is wrong.
    """
    grid = USUAL.grid if grid is None else grid
    blocks = USUAL.blocks if blocks is None else blocks
    if not isinstance(grid, str) or grid not in GRIDS:
        raise WorkloadError("workload.skip_grid is %r, allowed: %s" % (grid, ", ".join(GRIDS)))
    if blocks != EVERY and (type(blocks) is not int or blocks < 1):
        raise WorkloadError(
            "workload.skip_blocks is %r, allowed: 'all', or the number of last blocks, at least 1" % (blocks,)
        )
    return Skips(grid, EVERY if blocks == EVERY else int(str(blocks)))


def blocks(graph: Graph) -> Tuple[str, ...]:
    """Return the nodes whose values stand for the blocks of a network, in order.

    The model's builder marks where a block ends (:meth:`tunebench.workloads.models.graph.Builder.end_block`): the stem
    with its pooling, each residual, inverted-residual, fire or C2f module, a last convolution before the pooling, each
    level of an encoder or decoder. Their order is that of execution. In a chain, a graph without branches, each layer is
    a block and what stands for it is its input, as in the paper.
    """
    if graph.chain:
        return tuple(layer.inputs[0] for layer in graph.layers)
    return tuple(node.name for node in graph.nodes if node.block)


def why_not(graph: Graph) -> str:
    """Return why a network with branches takes no skip adapters, as part of a sentence; "" if it does."""
    if graph.task not in ("classify", TEXT):
        return (
            ", whose outputs are maps: at their resolution the kept blocks of one image take "
            "hundreds of kilobytes to megabytes, and no cache pays"
        )
    if not blocks(graph):
        return ", whose builder marks no blocks (Builder.end_block)"
    return ""


def with_skips(graph: Graph, rank: int, skips: Skips) -> Graph:
    """Return the network with an adapter from each chosen block to its scores.

    Raises:
        UnsupportedMethod: more blocks are asked for than there are.
    """
    names = blocks(graph)
    if skips.blocks != EVERY and int(skips.blocks) > len(names):
        raise UnsupportedMethod(
            "workload.skip_blocks is %d, model %r has %d blocks: give at most so many, or 'all'"
            % (int(skips.blocks), graph.name, len(names))
        )
    chosen = names if skips.blocks == EVERY else names[-int(skips.blocks) :]
    by_name = {node.name: node for node in graph.nodes}
    (scores,) = graph.outputs
    pools = [_pooled(by_name[name], GRIDS[skips.grid]) for name in chosen]
    total = sum(pool.channels_out for pool in pools)
    made: List[Node] = []
    made.append(_added(POOLED, "concat", tuple(pool.name for pool in pools), total))
    lows, at = [], 0
    for name, pool in zip(chosen, pools):  # noqa: B905  Python 3.10
        part, size = PREFIX + name, pool.channels_out
        made.append(_added(part + "_part", "slice", (POOLED,), size, channels_in=total)._replace(first=at))
        made.append(_added(part + "_a", "linear", (part + "_part",), rank, channels_in=size))
        lows.append(part + "_a")
        at += size
    n_out = product(by_name[scores].shape)
    made.append(_added(PREFIX + "low", "concat", tuple(lows), rank * len(lows)))
    made.append(_added(MAPPER, "linear", (PREFIX + "low",), n_out, channels_in=rank * len(lows)))
    made.append(_added(SCORES, "add", (scores, MAPPER), n_out))
    pool_of = {pool.inputs[0]: pool for pool in pools}
    nodes: List[Node] = []
    for node in graph.nodes:  # each map is pooled where it is made, and need not live longer
        nodes += [node] + ([pool_of[node.name]] if node.name in pool_of else [])
    return graph._replace(nodes=tuple(nodes + made), outputs=(SCORES,))


def _pooled(block: Node, grid: int) -> Node:
    """Return the pooling of a block: a map smaller than the grid is taken as it is."""
    side = min((grid,) + block.shape[1:])
    name = "%s%s_pool" % (PREFIX, block.name)
    return _added(name, "avgpool", (block.name,), block.shape[0] * side * side)._replace(kernel=side)


def _added(name: str, op: str, inputs: Tuple[str, ...], size: int, channels_in: int = 0) -> Node:
    return Node(name, op, inputs, (size,), channels_in, added=True)


def kept(graph: Graph, head_trains: bool) -> Tuple[str, ...]:
    """Return the nodes that a cache of skip adapters keeps: what they read, and the scores or what a head reads."""
    (scores,) = (name for name in _reads(graph, SCORES) if name != MAPPER)
    if not head_trains:
        return (POOLED, scores)
    heads = [node for node in graph.nodes if node.head]
    inside = {node.name for node in heads}
    names = [name for node in heads for name in node.inputs if name not in inside]
    return (POOLED,) + tuple(sorted(set(names), key=names.index))


def _reads(graph: Graph, name: str) -> Tuple[str, ...]:
    return next(node.inputs for node in graph.nodes if node.name == name)
