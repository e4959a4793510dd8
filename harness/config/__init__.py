"""Read what users write: the inventory and suites."""
