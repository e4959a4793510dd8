"""The torch engine of networks with branches: adapters, modules, losses and the session."""

from tunebench.workloads.engines.networks.session import Session
from tunebench.workloads.engines.torch_session import version

__all__ = ["Session", "version"]
