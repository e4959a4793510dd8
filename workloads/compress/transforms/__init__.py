"""The transforms themselves: a module each, registered in :data:`tunebench.workloads.compress.TRANSFORMS`."""
