"""Every moment at which the writer of results can die, tried: ``python -m tests.crash_states``."""
