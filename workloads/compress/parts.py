"""Cut a network at the end of its chain: the part before each cut for the board, the part behind it for the host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tunebench.workloads import artefact
from tunebench.workloads.compress.state import State, TransformError
from tunebench.workloads.deploy.device_parts import Crossing
from tunebench.workloads.models.cuts import cuts_of, device_part, remote_part, shape_at
from tunebench.workloads.models.graph import INPUT, Graph


@dataclass(frozen=True)
class Parts:
    """A network that is cut.

    Attributes:
        crossings: what crosses at each cut, in order of execution; the last is the output: nothing is left.
        before: cut -> the network up to it.
        behind: cut -> the network from there on.
    """

    crossings: Sequence[Crossing]
    before: Mapping[str, State]
    behind: Mapping[str, State]

    @property
    def meta(self) -> dict[str, object]:
        """Return what an artefact says of it."""
        return {
            "cuts": [{"cut": row.cut, "shape": list(row.shape), "dtype": row.dtype} for row in self.crossings]
        }


def cut_parts(state: State, wanted: str, data: artefact.Artefact) -> Parts:
    """Cut a network.

    Args:
        state: its end of a chain.
        wanted: a layer, or :data:`~tunebench.workloads.models.cuts.AUTO`.
        data: whose inputs cross where nothing is computed on the board.

    Raises:
        TransformError: its numbers are not float32.
        UnsupportedModel: there is no such cut; lists those that there are.
    """
    if state.numbers.kind != "float32":
        raise TransformError(
            f"partition: this chain ends in {state.numbers.kind}; what crosses is float32: only such chains are cut"
        )
    graph = state.graph
    cuts = cuts_of(graph, wanted)
    crossings = [
        Crossing(cut, shape_at(graph, cut), data.need("test_x").dtype if cut == INPUT else "float32")
        for cut in cuts
    ]
    return Parts(
        crossings,
        before={cut: _of(state, device_part(graph, cut)) for cut in cuts[:-1] if cut != INPUT},
        behind={cut: _of(state, remote_part(graph, cut)) for cut in cuts[:-1]},
    )


def _of(state: State, graph: Graph) -> State:
    """Return a part of a network; tensors that it has not are left out."""
    names = {node.name for node in graph.nodes}
    tensors = {name: values for name, values in state.tensors.items() if name.rpartition(".")[0] in names}
    return replace(state, graph=graph, tensors=tensors)
