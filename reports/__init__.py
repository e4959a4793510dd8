"""Results: kept, compared, shown. This room knows results only, never a board."""

if __name__ != "tunebench.reports":
    raise ImportError("import tunebench.reports: the folder reports/ is no package of its own")
