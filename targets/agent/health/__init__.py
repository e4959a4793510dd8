"""Judge whether the board is fit to be measured on: gates, background load, counters."""
