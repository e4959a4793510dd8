"""Judge a night: run, gate, confirm on the boards the same night."""
