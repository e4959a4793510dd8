"""Two hosts that share one farm while its parts are killed, frozen and cut: ``python -m tests.faults farm``."""
