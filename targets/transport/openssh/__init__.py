"""Another way to reach a board: the system's ``ssh`` as a control master, and a client of it for each command."""

from tunebench.targets.transport.openssh.connection import OpenSsh

__all__ = ["OpenSsh"]
