"""The torch engine of networks with branches: adapters, modules, losses and the session."""

from tunebench.workloads.engines.pytorch.networks.session import Session
from tunebench.workloads.engines.pytorch.session import version

__all__ = ["Session", "version"]
