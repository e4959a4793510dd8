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


class RuntimeWheel(NamedTuple):
    """A row of the table of wheels: what a board must have for one of them.

    Attributes:
        machine: as ``uname -m`` says.
        python: oldest and newest Python for which there is one.
        glibc: oldest C library.
        version: what was looked at, and what `tunebench setup --runtime` installs.
    """

    machine: str
    python: Tuple[Tuple[int, int], Tuple[int, int]]
    glibc: Tuple[int, int]
    version: str


class BoardRuntime(NamedTuple):
    """What a runtime registers; read on the host when a suite is checked and a board is probed, and on the board.

    Attributes:
        module: below this package; empty: nothing runs it here, see ``nowhere``.
        packages: by import name; each must be there.
        install: what ``pip install`` is told.
        needs: other packages of PyPI that it imports.
        wheels: which there are; empty: any board may have it.
        numbers: forms of numbers that it runs, see :class:`tunebench.workloads.compress.state.Numbers`.
        note: what else a reader must know.
        partitions: it runs the part of a network before a cut, see :mod:`tunebench.workloads.deploy.device_parts`.
        nowhere: why no board runs it: its rows stand in tables, left out with this reason.
    """

    module: str
    packages: Tuple[str, ...]
    install: str
    needs: Tuple[str, ...] = ()
    wheels: Tuple[RuntimeWheel, ...] = ()
    numbers: Tuple[str, ...] = ("float32",)
    note: str = ""
    partitions: bool = False
    nowhere: str = ""

    def load(self) -> Any:
        """Import the module that runs it; the runtime itself is not imported yet."""
        return importlib.import_module("%s.%s" % (__name__, self.module))

    def unfit(
        self, machine: Optional[str], python: Optional[Tuple[int, int]], glibc: Optional[Tuple[int, int]]
    ) -> Optional[str]:
        """Return why no wheel of it runs on a board, as far as the board has told; None if one may.

        A Python newer than the table is no reason: wheels for it may have come since.
        """
        if self.nowhere:
            return self.nowhere
        if not self.wheels:
            return None
        rows = [wheel for wheel in self.wheels if machine in (None, wheel.machine)]
        if not rows:
            machines = sorted({wheel.machine for wheel in self.wheels})
            return "it has no wheel for %s; it has for %s" % (machine, ", ".join(machines))
        oldest = min(wheel.python[0] for wheel in rows)
        if python and python < oldest:
            return "its wheels need Python %d.%d, this is %d.%d" % (oldest + python)
        for_python = [wheel for wheel in rows if not python or wheel.python[0] <= python <= wheel.python[1]]
        needed = min([wheel.glibc for wheel in for_python] or [(0, 0)])
        if glibc and glibc < needed:
            return "its wheels need glibc %d.%d, this board has %d.%d" % (needed + glibc)
        return None

    def wheel(
        self, machine: Optional[str], python: Tuple[int, int], glibc: Optional[Tuple[int, int]]
    ) -> Optional[RuntimeWheel]:
        """Return the first row of the table that fits a board; None if none does."""
        for row in self.wheels:
            fits = row.machine == machine and row.python[0] <= python <= row.python[1]
            if fits and glibc is not None and glibc >= row.glibc:
                return row
        return None


def _rows(
    machines: Tuple[str, ...],
    python: Tuple[Tuple[int, int], Tuple[int, int]],
    glibc: Tuple[int, int],
    version: str,
) -> Tuple[RuntimeWheel, ...]:
    return tuple(RuntimeWheel(machine, python, glibc, version) for machine in machines)


_64_BIT = ("x86_64", "aarch64")
#: name -> runtime. Wheels as PyPI listed them on 2026-11-30; docs/compression.md has this table in words.
RUNTIMES: Dict[str, BoardRuntime] = {
    "onnxruntime": BoardRuntime(
        "onnx_runtime",
        ("onnxruntime", "numpy"),
        "onnxruntime",
        needs=("numpy",),
        wheels=_rows(_64_BIT, ((3, 11), (3, 14)), (2, 28), "1.32.0")
        + _rows(_64_BIT, ((3, 10), (3, 10)), (2, 28), "1.23.2"),
        numbers=("float32", "float16", "int8-static", "int8-dynamic"),
        partitions=True,
    ),
    "ncnn": BoardRuntime(
        "ncnn_net",
        ("ncnn",),
        "ncnn",
        wheels=_rows(_64_BIT, ((3, 9), (3, 14)), (2, 24), "1.0.20261020")
        + _rows(("armv7l",), ((3, 9), (3, 14)), (2, 31), "1.0.20261020"),
        note="its 16 bit arithmetic is off",
    ),
    "litert": BoardRuntime(
        "litert",
        ("ai_edge_litert", "numpy"),
        "ai-edge-litert",
        needs=("numpy",),
        wheels=_rows(_64_BIT, ((3, 10), (3, 14)), (2, 27), "2.3.0"),
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

__all__ = ["RUNTIMES", "BoardRuntime", "RuntimeUnavailable", "RuntimeWheel"]
