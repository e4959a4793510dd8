"""Run a plan: one queue a board, every record on disk before the next repetition starts."""
