"""Start ``tunebench`` and ``pytest`` from a process that has imported already what they import.

A cold start of either takes about a second of CPU, nearly all of it for imports; the tests make hundreds. ``run`` and
``Popen`` are those of :mod:`subprocess`, with the same arguments, and the child is a real one: its own process, a child
of the caller, with the streams, folder, environment and session it was given, its exit code and signals. Only its
interpreter did not start anew: it is a fork of a server of the same Python. What a fork cannot show honestly starts
cold; :func:`tests.warm.client.cold_because` says what.
"""

from tests.warm.client import Popen, run

__all__ = ["Popen", "run"]
