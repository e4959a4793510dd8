"""Compare what was measured: cells, quantities, verdicts, cautions. Numbers only, no words but reasons."""
