"""Engines execute a plan.

An engine is a module with ``version() -> str`` and a class ``Session(task)`` that has ``warm_up(steps)``,
``train_epoch(epoch, mark) -> mean loss``, ``evaluate() -> Evaluation`` and ``facts() -> dict``; see
:class:`tunebench.workloads.engines.session.Session` for what each must do.
"""

import importlib
from typing import Any

from tunebench.workloads.models import NETWORKS
from tunebench.workloads.tasks.spec import SpecError

#: name -> module, for models that are a chain of layers
ENGINES = {
    "torch": "tunebench.workloads.engines.pytorch.chain",
    "native": "tunebench.workloads.engines.native",
}
#: name -> module, for networks with branches
NETWORK_ENGINES = {"torch": "tunebench.workloads.engines.pytorch.networks"}


def load_engine(name: str, model: str = "mlp") -> Any:
    """Import the module of an engine that trains a model.

    Raises:
        SpecError: the engine does not train networks with branches.
    """
    if model not in NETWORKS:
        return importlib.import_module(ENGINES[name])
    if name not in NETWORK_ENGINES:
        raise SpecError(
            "workload.engine is %r, model %r runs on: %s" % (name, model, ", ".join(NETWORK_ENGINES))
        )
    return importlib.import_module(NETWORK_ENGINES[name])
