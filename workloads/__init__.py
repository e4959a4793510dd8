"""What is measured: methods, models, data sets and engines; travels to the board.

Board-side files keep Python 3.6 syntax and need the standard library plus torch >= 1.10, no numpy; an engine or
a runtime that is made of other packages imports those.
"""

if __name__ != "tunebench.workloads":
    raise ImportError("import tunebench.workloads: the folder workloads/ is no package of its own")

#: Paths below this package that stay on the host: they prepare what boards receive.
HOST_ONLY = ("datasets", "prepare", "compress", "engines/lab.py")
