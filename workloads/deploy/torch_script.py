"""TorchScript on torch: the network is traced and frozen on the board, then called as a program without Python."""

import ctypes
import os
from typing import Any, List, Optional, Tuple

from tunebench.workloads.artefact import Artefact
from tunebench.workloads.deploy.model import Model, Share
from tunebench.workloads.models.cuts import DEVICE, device_part
from tunebench.workloads.models.graph_json import from_json


def imported() -> Tuple[str, List[str]]:
    """Import it; return its version and the folders of what is installed."""
    import torch

    return str(torch.__version__), [os.path.dirname(torch.__file__)]


class TorchModel(Model):
    """A frozen trace."""

    def __init__(self, torch: Any, program: Any) -> None:
        self._torch, self._program = torch, program

    def prepare(self, values: Any, shape: Any) -> Any:
        return self._torch.tensor(values, dtype=self._torch.float32).reshape((1,) + tuple(shape))

    def call(self, sample: Any) -> List[float]:
        with self._torch.no_grad():
            scores: List[float] = self._program(sample)[0].tolist()
        return scores

    def tensor(self, sample: Any) -> bytes:
        with self._torch.no_grad():
            values = self._program(sample).contiguous()
        # Not through numpy, which a board's torch may have been built without.
        return ctypes.string_at(values.data_ptr(), 4 * values.numel())


def load(artefact: Artefact, which: str, threads: int) -> Optional[TorchModel]:
    """Return the network, or its part before a cut; it is in float32, so there is no parent."""
    if which != "model" and not which.startswith(DEVICE):
        return None
    import torch

    from tunebench.workloads.engines.pytorch.networks.network import Network, load_weights

    torch.set_num_threads(threads)
    graph = from_json(artefact.meta.get("graph"))
    if which != "model":
        graph = device_part(graph, which[len(DEVICE) :])
    network = Network(graph)
    load_weights(network, artefact)
    network.eval()

    class First(torch.nn.Module):  # type: ignore[misc]  # torch is Any to mypy
        """The network with one output."""

        def __init__(self) -> None:
            super(First, self).__init__()
            self.network = network

        def forward(self, x: Any) -> Any:
            return self.network(x)[0]

    with torch.no_grad():
        traced = torch.jit.trace(First().eval(), torch.zeros((1,) + tuple(graph.shape)), check_trace=False)
        return TorchModel(torch, torch.jit.freeze(traced.eval()))


def profiled(artefact: Artefact, threads: int, folder: str, samples: List[Any]) -> Optional[Share]:
    """Return nothing: what is in float32 claims nothing else."""
    return None
