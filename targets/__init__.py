"""Everything that knows a board: transport, the agent that travels, meters, virtual boards."""

if __name__ != "tunebench.targets":
    raise ImportError("import tunebench.targets: the folder targets/ is no package of its own")
