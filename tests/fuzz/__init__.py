"""Fuzzing of everything that reads what somebody else wrote; see ``python -m tests.fuzz --help``."""
