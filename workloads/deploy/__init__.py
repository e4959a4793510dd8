"""Run a compressed network in a board's own runtime; travels to the board.

A runtime is one module and one line in :data:`RUNTIMES`; its wheels stand in the host's table of wheels. Its module has

- ``load(artefact, which, threads) -> Model`` with ``which`` one of ``model``, ``parent``;
- ``imported() -> (version, folders)``: imports the runtime; the folders are what it has installed;
- ``profiled(artefact, threads, folder, inputs) -> Share or None``: in which types it has really computed.

:mod:`~tunebench.workloads.deploy.child` measures one in a process of its own, which
:mod:`~tunebench.workloads.deploy.parent` starts and survives: a runtime that dies at its import is an outcome.
"""

import importlib
from typing import Any, Dict, NamedTuple, Tuple

from tunebench.workloads.errors import WorkloadError


class RuntimeUnavailable(WorkloadError):
    """A runtime that a board does not have, or that cannot run what it is given; with what to do."""


class BoardRuntime(NamedTuple):
    """What a runtime registers; read on the host when a suite is checked and a board is probed, and on the board.

    Attributes:
        module: below this package; empty: nothing runs it here, see ``nowhere``.
        packages: by import name, its own first; each must be there, and the others have that name on PyPI, too.
        install: what ``pip install`` is told.
        numbers: forms of numbers that it runs, see :class:`tunebench.workloads.compress.state.Numbers`.
        note: what else a reader must know.
        partitions: it runs the part of a network before a cut, see :mod:`tunebench.workloads.deploy.device_parts`.
        nowhere: why no board runs it: its rows stand in tables, left out with this reason.
    """

    module: str
    packages: Tuple[str, ...]
    install: str
    numbers: Tuple[str, ...] = ("float32",)
    note: str = ""
    partitions: bool = False
    nowhere: str = ""

    def load(self) -> Any:
        """Import the module that runs it; the runtime itself is not imported yet."""
        return importlib.import_module("%s.%s" % (__name__, self.module))


#: name -> runtime
RUNTIMES: Dict[str, BoardRuntime] = {
    "onnxruntime": BoardRuntime(
        "onnx_runtime",
        ("onnxruntime", "numpy"),
        "onnxruntime",
        numbers=("float32", "float16", "int8-static", "int8-dynamic"),
        partitions=True,
    ),
    "ncnn": BoardRuntime(
        "ncnn_net",
        ("ncnn",),
        "ncnn",
        numbers=("float32", "int8-static"),
        note="its 16 bit arithmetic is off",
    ),
    "litert": BoardRuntime(
        "litert",
        ("ai_edge_litert", "numpy"),
        "ai-edge-litert",
        numbers=("float32", "int8-static", "int8-dynamic"),
        note="with its delegate XNNPACK; was TensorFlow Lite",
    ),
    "executorch": BoardRuntime(
        "",
        ("executorch",),
        "executorch",
        nowhere="ExecuTorch is not run: its wheel for 64-bit ARM (1.5.1) links libtorch_python.so of a torch that PyPI "
        "has for no CPU, so that a board cannot import it",
    ),
    "torch": BoardRuntime(
        "torch_script",
        ("torch",),
        "torch",
        note="TorchScript on torch, traced and frozen: it stands for PyTorch Mobile, whose packages are no more made",
        partitions=True,
    ),
}

__all__ = ["RUNTIMES", "BoardRuntime", "RuntimeUnavailable"]
