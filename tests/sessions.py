"""How tests start pytest in a process of its own."""

from __future__ import annotations

#: Words after the interpreter. Hypothesis' plugin takes a second of each start, and no test that is started so uses it.
#: labgrid's plugin, where that is installed, cannot do without pytest's terminal.
PYTEST = ("-m", "pytest", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:labgrid")
