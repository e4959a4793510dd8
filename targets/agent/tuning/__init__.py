"""Reversible changes of a board: governor, clocks, power mode, stressors; their undo list outlives whoever made them."""
