"""Plan repetitions: which, where, in which order, within which limits."""
