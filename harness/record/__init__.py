"""Turn what a board sent into a record."""
