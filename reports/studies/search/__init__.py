"""A search under a budget: its trials, which of them nothing beats, and which one was chosen."""
