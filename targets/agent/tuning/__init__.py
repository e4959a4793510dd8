"""Reversible changes of a board: governor, clocks, power mode; their undo list outlives whoever made them."""
