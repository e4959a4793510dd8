"""Engines execute a plan.

An engine is a module with ``version() -> str`` and a class ``Session(task)`` that has ``warm_up(steps)``,
``train_epoch(epoch, mark) -> mean loss``, ``evaluate() -> Evaluation`` and ``facts() -> dict``; see
:class:`workloads.engines.session.Session` for what each must do.
"""

import importlib
from typing import Any

#: name -> module
ENGINES = {"torch": "workloads.engines.torch_engine", "native": "workloads.engines.native"}


def load_engine(name: str) -> Any:
    """Import an engine's module."""
    return importlib.import_module(ENGINES[name])
