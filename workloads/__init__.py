"""What is measured: methods, models, data sets and engines; travels to the board.

Board-side files keep Python 3.6 syntax and need the standard library plus torch >= 1.10, no numpy.
"""

#: Paths below this package that stay on the host: they prepare what boards receive as artefacts.
HOST_ONLY = ("datasets", "prepare")
