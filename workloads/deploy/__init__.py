"""Run a compressed network in a board's own runtime; travels to the board.

A runtime is one module and one line in :data:`RUNTIMES`. Its module has

- ``load(artefact, which, threads) -> Model`` with ``which`` one of ``model``, ``parent``;
- ``imported() -> (version, folders)``: imports the runtime; the folders are what it has installed;
- ``profiled(artefact, threads, folder, inputs) -> Share or None``: in which types it has really computed.

:mod:`~tunebench.workloads.deploy.child` measures one in a process of its own, which
:mod:`~tunebench.workloads.deploy.parent` starts and survives: a runtime that dies at its import is an outcome.
"""

import importlib
from typing import Any, Dict, NamedTuple, Optional, Tuple

from tunebench.workloads.errors import WorkloadError


class RuntimeUnavailable(WorkloadError):
    """A runtime that a board does not have, or that cannot run what it is given; with what to do."""


class BoardRuntime(NamedTuple):
    """What a runtime registers; read on the host when a suite is checked and a board is probed, and on the board.

    Attributes:
        module: below this package.
        packages: by import name; each must be there.
        install: what ``pip install`` is told.
        machines: for which there is a wheel, as ``uname -m`` says; empty: any.
        python: oldest Python for which there is one.
        glibc: oldest C library.
        numbers: forms of numbers that it runs, see :class:`tunebench.workloads.compress.state.Numbers`.
        note: what else a reader must know.
    """

    module: str
    packages: Tuple[str, ...]
    install: str
    machines: Tuple[str, ...] = ()
    python: Tuple[int, int] = (3, 6)
    glibc: Tuple[int, int] = (0, 0)
    numbers: Tuple[str, ...] = ("float32",)
    note: str = ""

    def load(self) -> Any:
        """Import the module that runs it; the runtime itself is not imported yet."""
        return importlib.import_module("%s.%s" % (__name__, self.module))

    def unfit(
        self, machine: Optional[str], python: Optional[Tuple[int, int]], glibc: Optional[Tuple[int, int]]
    ) -> Optional[str]:
        """Return why no wheel of it runs on a board, as far as the board has told; None if one may."""
        if self.machines and machine and machine not in self.machines:
            return "it has no wheel for %s; it has for %s" % (machine, ", ".join(self.machines))
        if python and python < self.python:
            return "its wheels need Python %d.%d, this is %d.%d" % (self.python + python)
        if glibc and glibc < self.glibc:
            return "its wheels need glibc %d.%d, this board has %d.%d" % (self.glibc + glibc)
        return None


_64_BIT = ("x86_64", "aarch64")
#: name -> runtime
RUNTIMES: Dict[str, BoardRuntime] = {
    "onnxruntime": BoardRuntime(
        "onnx_runtime",
        ("onnxruntime", "numpy"),
        "onnxruntime",
        machines=_64_BIT,
        python=(3, 10),
        glibc=(2, 28),
        numbers=("float32", "float16", "int8-static", "int8-dynamic"),
    ),
    "torch": BoardRuntime(
        "torch_script",
        ("torch",),
        "torch",
        note="TorchScript on torch, traced and frozen: it stands for PyTorch Mobile, whose packages are no more made",
    ),
}

__all__ = ["RUNTIMES", "BoardRuntime", "RuntimeUnavailable"]
