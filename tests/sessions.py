"""How tests start pytest in a process of its own."""

from __future__ import annotations

#: Words after the interpreter. Hypothesis' plugin takes a second of each start, and no test that is started so uses it.
PYTEST = ("-m", "pytest", "-p", "no:cacheprovider", "-p", "no:hypothesispytest")
