"""Talk to the agent on a board: push, start, wait, harvest."""
