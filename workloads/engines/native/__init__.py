"""The native engine: C kernels behind ctypes, standard library only; what a product would ship.

``c/kernels.c`` (with its headers) holds the arithmetic, ``build.py`` compiles it for a board, ``loader.py`` loads
it there, ``session.py`` runs a chain's plan on it and ``network.py`` that of a network whose trunk (``trunk.py``) stays
frozen. The engine's interface is that of :mod:`tunebench.workloads.engines`.
"""

from tunebench.workloads.engines.native.errors import NativeError
from tunebench.workloads.engines.native.loader import Library, find_library
from tunebench.workloads.engines.native.session import Session, version

__all__ = ["Library", "NativeError", "Session", "find_library", "version"]
