"""Mark the measured window of a method of your own; :mod:`tunebench.workloads.marks` tells how.

Travels to the board, under the same name: Python 3.6, standard library.
"""

from tunebench.workloads.marks import MarksError, mark, result, spec, window_end, window_start

__all__ = ["MarksError", "mark", "result", "spec", "window_end", "window_start"]
