"""Reversible changes of a board's state (governor, clocks, power mode), with an undo list that outlives whoever made them."""
