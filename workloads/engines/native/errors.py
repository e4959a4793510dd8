"""Errors of the native engine, and the name of its build record."""

from tunebench.workloads.errors import WorkloadError

#: a build's own account of itself lies beside the library under this suffix
RECORD_SUFFIX = ".json"


class NativeError(WorkloadError):
    """The kernels cannot be loaded or built here; the message says which file and what would be right."""
