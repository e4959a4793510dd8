"""The torch engine of networks with branches: adapters, modules, losses and the session."""

from workloads.engines.networks.session import Session
from workloads.engines.torch_session import version

__all__ = ["Session", "version"]
