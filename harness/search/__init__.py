"""Search a suite's space under a device budget: every trial is measured on the board and kept as an ordinary run."""
